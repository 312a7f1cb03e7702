"""One node of the chain: JSON-RPC over a kept connection, through web3's provider.

Only what the ledger needs, and raw: web3's middleware costs several times the request itself, and a
gateway polls all day. Importing this module is cheap; `Node` imports web3 when it is made, which
takes 1.5–3 s, so make it in the thread that uses it.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protoledger.contracts.errors import ChainUnreachableError, RevertedError, RpcError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_REVERTED = 3  # the code that nodes give a reverted call
BLOCKS_A_REQUEST = 10_000  # most blocks that public nodes look through at once
_CALLS = {"eth_call", "eth_estimateGas"}
_Json = dict[str, object] | list[object] | str | int | bool | None


@dataclass(frozen=True, slots=True)
class Block:
    """What is needed of a block: number, hash, parent's hash, base fee in wei."""

    number: int
    hash: str
    parent: str
    base_fee: int


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
    contract: str | None


class Node:
    """A connection to a node, owned by one thread.

    Args:
        url: http:// or https://.
        timeout_s: longest wait for an answer.

    Attributes:
        url: the same.
    """

    def __init__(self, url: str, timeout_s: float = 10.0) -> None:
        import requests  # noqa: PLC0415 - web3 loads it
        from web3 import HTTPProvider  # noqa: PLC0415 - see the module's docstring

        self._session = requests.Session()
        self._session.trust_env = False  # looking for proxies costs more than a request
        logging.getLogger("web3").setLevel(logging.ERROR)
        self._provider = HTTPProvider(
            url,
            request_kwargs={"timeout": timeout_s},
            session=self._session,
            exception_retry_configuration=None,  # the caller knows better when to try again
        )
        self.url = url

    def request(self, method: str, *params: object) -> _Json:
        """Ask the node.

        Raises:
            ChainUnreachableError: no answer, or none that is JSON-RPC.
            RevertedError: a contract refused a call; its name is not decoded here, and `values`
                holds the data as bytes, or what the node said.
            RpcError: any other error answer.
        """
        import requests  # noqa: PLC0415 - web3 has loaded it

        try:
            answer = self._provider.make_request(method, list(params))
        except (requests.RequestException, ValueError, OSError) as error:
            raise ChainUnreachableError(
                f"{self.url} does not answer {method}: {_innermost(error)}; does the node run, "
                "and is that its address?",
            ) from error
        if not isinstance(answer, dict):
            raise ChainUnreachableError(f"{self.url} answers {method} with no JSON-RPC")
        failure = answer.get("error")
        if failure is None:
            return answer.get("result")
        if not isinstance(failure, dict):
            raise RpcError(method, 0, str(failure))
        code, text = int(failure.get("code", 0)), str(failure.get("message", ""))
        data = failure.get("data")
        if method in _CALLS and (code == _REVERTED or "revert" in text):
            with _understood(method):
                raise RevertedError("", (_bytes(data) if isinstance(data, str) else text,))
        raise RpcError(method, code, text)

    def chain_id(self) -> int:
        """Give the chain's id."""
        with _understood("eth_chainId"):
            return _number(self.request("eth_chainId"))

    def block(self, number: int | str) -> Block | None:
        """Fetch a block's header, by number or tag; None if there is none (yet)."""
        wanted = hex(number) if isinstance(number, int) else number
        raw = self.request("eth_getBlockByNumber", wanted, False)
        if not isinstance(raw, dict):
            return None
        with _understood("eth_getBlockByNumber"):
            return Block(
                _number(raw["number"]),
                str(raw["hash"]),
                str(raw["parentHash"]),
                _number(raw.get("baseFeePerGas") or "0x0"),
            )

    def logs(
        self, address: str, first: int, last: int, *topics: Sequence[bytes] | None
    ) -> list[Log]:
        """Fetch events of a contract in the blocks first … last, in order.

        Args:
            address: the contract.
            first: first block.
            last: last block.
            topics: for each place, the topics of which one must stand there; None: any.
        """
        wanted: dict[str, object] = {"address": address}
        if topics:
            wanted["topics"] = [
                None if each is None else [_hex(topic) for topic in each] for each in topics
            ]
        found: list[Log] = []
        for start in range(first, last + 1, BLOCKS_A_REQUEST):
            end = min(start + BLOCKS_A_REQUEST - 1, last)
            blocks = {"fromBlock": hex(start), "toBlock": hex(end)}
            raw = self.request("eth_getLogs", wanted | blocks)
            if isinstance(raw, list):
                found += [_log(entry) for entry in raw if isinstance(entry, dict)]
        return sorted(found, key=lambda log: (log.block, log.index))

    def call(self, to: str, data: bytes, sender: str | None = None) -> bytes:
        """Run a call on the newest block without a transaction."""
        message = {"to": to, "data": _hex(data)} | ({"from": sender} if sender else {})
        with _understood("eth_call"):
            return _bytes(str(self.request("eth_call", message, "latest")))

    def estimate_gas(self, sender: str, to: str, data: bytes, *, at: str = "latest") -> int:
        """Run a transaction without sending it, and give the gas that it needs.

        Args:
            sender: the account that would send it.
            to: the contract.
            data: the call.
            at: the block whose state and clock it sees. `pending` where the clock matters: a node
                that makes blocks only for transactions has a newest block of any age.
        """
        message = {"from": sender, "to": to, "data": _hex(data)}
        with _understood("eth_estimateGas"):
            return _number(self.request("eth_estimateGas", message, at))

    def nonce(self, account: str) -> int:
        """Give the number of an account's mined transactions."""
        with _understood("eth_getTransactionCount"):
            return _number(self.request("eth_getTransactionCount", account, "latest"))

    def code(self, address: str) -> bytes:
        """Give a contract's code; empty if there is none."""
        with _understood("eth_getCode"):
            return _bytes(str(self.request("eth_getCode", address, "latest")))

    def send(self, raw: bytes) -> None:
        """Hand a signed transaction over; one that the node knows already is no error."""
        try:
            self.request("eth_sendRawTransaction", _hex(raw))
        except RpcError as error:
            if "already" not in error.text and "known" not in error.text:
                raise

    def receipt(self, transaction: str) -> Receipt | None:
        """Tell what became of a transaction; None if it is not mined (any more)."""
        try:
            raw = self.request("eth_getTransactionReceipt", transaction)
        except RpcError as error:
            if "indexing" in error.text:  # Geth, when it has just started or mined
                return None
            raise
        if not isinstance(raw, dict):
            return None
        with _understood("eth_getTransactionReceipt"):
            contract = raw.get("contractAddress")
            return Receipt(
                _number(raw["status"]) == 1,
                _number(raw["gasUsed"]),
                _number(raw["blockNumber"]),
                str(contract) if contract else None,
            )

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._session.close()


@contextmanager
def _understood(method: str) -> Iterator[None]:
    """Turn an answer of another shape into an error that callers expect of a node."""
    try:
        yield
    except (KeyError, ValueError, TypeError) as error:
        raise RpcError(method, 0, f"an answer of an unknown shape: {error!r}") from error


def _innermost(error: BaseException) -> str:
    """Say what lies under an error that others were made of: the system's own reason."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return f"{error}" or type(error).__name__


def _log(raw: dict[str, object]) -> Log:
    topics = raw["topics"]
    return Log(
        str(raw["address"]).lower(),
        tuple(_bytes(str(topic)) for topic in topics) if isinstance(topics, list) else (),
        _bytes(str(raw["data"])),
        _number(raw["blockNumber"]),
        str(raw["blockHash"]),
        str(raw["transactionHash"]),
        _number(raw["logIndex"]),
    )


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _number(value: object) -> int:
    return int(str(value), 16)
