"""The one boundary between a node's answers and the rest: whatever does not fit is refused here.

A node may lag, limit, prune, restart and answer with anything. web3's formatters turn hex into
numbers and bytes and let everything else pass, so each value is checked once more before it becomes
one of the types below, which everybody else relies on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eth_hash.auto import keccak

from protoledger.contracts.errors import NonsenseError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST = 2**256


@dataclass(frozen=True, slots=True)
class Block:
    """A block's header as far as it is needed.

    Attributes:
        number: its height.
        hash: 0x-hex.
        parent: its parent's hash.
        base_fee: wei per gas; 0 before London.
        bloom: 256 bytes: the addresses and topics of its logs as a Bloom filter.
    """

    number: int
    hash: str
    parent: str
    base_fee: int
    bloom: bytes

    def may_hold(self, address: str) -> bool:
        """Whether the filter allows that a contract has logs in this block; never wrongly not."""
        return bloom_may_hold(self.bloom, address)


@dataclass(frozen=True, slots=True)
class Log:
    """An event as a node returns it; topics and data are bytes, hashes 0x-hex."""

    address: str
    topics: tuple[bytes, ...]
    data: bytes
    block: int
    block_hash: str
    transaction: str
    index: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a transaction."""

    succeeded: bool
    gas_used: int
    block: int
    block_hash: str
    contract: str | None


def bloom_may_hold(bloom: bytes, address: str) -> bool:
    """Whether a block's filter of 256 bytes allows logs of a contract; never wrongly not."""
    digest = keccak(bytes.fromhex(address.removeprefix("0x")))
    filled = int.from_bytes(bloom)
    return all(filled >> (int.from_bytes(digest[at : at + 2]) & 2047) & 1 for at in (0, 2, 4))


def block_of(raw: object) -> Block:
    """Check a header.

    Raises:
        NonsenseError: it is none.
    """
    fields = _fields("a block", raw)
    return Block(
        number(fields, "number"),
        _hash(fields, "hash"),
        _hash(fields, "parentHash"),
        number(fields, "baseFeePerGas") if fields.get("baseFeePerGas") is not None else 0,
        _bytes(fields, "logsBloom", 256),
    )


def log_of(raw: object, address: str, first: int, last: int) -> Log:
    """Check an event that was asked for by its contract and blocks.

    Raises:
        NonsenseError: it is none, or one that nobody asked for.
    """
    fields = _fields("a log", raw)
    topics = fields.get("topics")
    if not isinstance(topics, list | tuple) or not all(_is_bytes(topic, 32) for topic in topics):
        raise NonsenseError(f"the node answers nonsense: topics {topics!r}")
    if str(fields.get("address")).lower() != address or fields.get("removed") is True:
        raise NonsenseError("the node answers nonsense: a log of another contract, or removed")
    block = number(fields, "blockNumber")
    if not first <= block <= last:
        raise NonsenseError(f"the node answers nonsense: block {block} is not in {first}…{last}")
    return Log(
        address,
        tuple(bytes(topic) for topic in topics),
        _bytes(fields, "data", None),
        block,
        _hash(fields, "blockHash"),
        _hash(fields, "transactionHash"),
        number(fields, "logIndex"),
    )


def receipt_of(raw: object, transaction: str) -> Receipt:
    """Check a transaction's receipt.

    Raises:
        NonsenseError: it is none, or another transaction's.
    """
    fields = _fields("a receipt", raw)
    if _hash(fields, "transactionHash") != transaction:
        raise NonsenseError("the node answers nonsense: the receipt of another transaction")
    contract = fields.get("contractAddress")
    return Receipt(
        number(fields, "status") == 1,
        number(fields, "gasUsed"),
        number(fields, "blockNumber"),
        _hash(fields, "blockHash"),
        str(contract).lower() if contract else None,
    )


def whole(value: object, what: str) -> int:
    """Check a whole number.

    Raises:
        NonsenseError: it is none, negative, or wider than 256 bits.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST:
        raise NonsenseError(f"the node answers nonsense: {what} is {str(value)[:80]!r}")
    return value


def number(fields: Mapping[str, object], name: str) -> int:
    """Check a field that is a whole number; see `whole`."""
    return whole(fields.get(name), name)


def octets(value: object, what: str) -> bytes:
    """Check a string of bytes.

    Raises:
        NonsenseError: it is none.
    """
    if not isinstance(value, bytes):
        raise NonsenseError(f"the node answers nonsense: {what} is {str(value)[:80]!r}")
    return bytes(value)


def _fields(what: str, raw: object) -> Mapping[str, object]:
    if not isinstance(raw, dict):
        raise NonsenseError(f"the node answers nonsense: {what} is {str(raw)[:80]!r}")
    return raw


def _is_bytes(value: object, length: int | None) -> bool:
    return isinstance(value, bytes) and length in {None, len(value)}


def _bytes(fields: Mapping[str, object], name: str, length: int | None) -> bytes:
    value = fields.get(name)
    if not isinstance(value, bytes) or not _is_bytes(value, length):
        raise NonsenseError(f"the node answers nonsense: {name} is {str(value)[:80]!r}")
    return bytes(value)


def _hash(fields: Mapping[str, object], name: str) -> str:
    return "0x" + _bytes(fields, name, 32).hex()
