"""DataOracle as Python values: what a feed says, who asks, and reports signed after EIP-712."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eth_hash.auto import keccak

from protoledger.contracts.client.binding import Contract
from protoledger.contracts.errors import RevertedError

if TYPE_CHECKING:
    from protoledger.contracts.client.rpc import Node

_ANSWER = [
    {"name": "feed", "type": "bytes32"},
    {"name": "roundId", "type": "uint64"},
    {"name": "answer", "type": "int192"},
    {"name": "observedAt", "type": "uint64"},
]
_BATCH = [
    {"name": "source", "type": "bytes32"},
    {"name": "number", "type": "uint64"},
    {"name": "observedAt", "type": "uint64"},
    {"name": "samplesHash", "type": "bytes32"},
]


@dataclass(frozen=True, slots=True)
class Report:
    """What one reporter read, and signed.

    Attributes:
        reporter: its address.
        round_id: the round of the feed that it is for.
        answer: the number, scaled by the feed's decimals.
        observed_at: when it was read, seconds.
        signature: 65 bytes.
    """

    reporter: str
    round_id: int
    answer: int
    observed_at: int
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BatchLog:
    """Labelled samples that a quorum signed; `samples` are records of the buffer's format."""

    round: int
    source: str
    observed_at: int
    samples: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class FeedState:
    """How a feed stands.

    Attributes:
        decimals: an answer is in units of 10^−decimals.
        max_age_s: seconds after which an answer is stale.
        round_id: newest round; 0 before the first.
        answer: its answer.
        updated_at: when that was read, seconds.
    """

    decimals: int
    max_age_s: int
    round_id: int
    answer: int
    updated_at: int


class Oracle(Contract):
    """DataOracle at an address."""

    def __init__(self, address: str) -> None:
        super().__init__("DataOracle", address)

    def batches(self, node: Node, first: int, last: int) -> list[BatchLog]:
        """Give the batches that were accepted in the blocks first … last, in order."""
        topic = keccak(b"Samples(uint64,bytes32,uint64,bytes)")
        found = []
        for log in node.logs(self.address, first, last, [topic]):
            observed_at, samples = self._decode(["uint64", "bytes"], log.data)
            round_, source = int.from_bytes(log.topics[1]), name_of(log.topics[2])
            found.append(BatchLog(round_, source, observed_at, samples))
        return found

    def latest_batch(self, node: Node, source: bytes) -> int:
        """Read the number of a source's newest batch; 0 before the first."""
        data = node.call(self.address, self.encode("latestBatch(bytes32)", source))
        return int.from_bytes(data)

    def quorum(self, node: Node) -> int:
        """Read how many reports a round needs; 0 while there are no reporters."""
        return int.from_bytes(node.call(self.address, self.encode("quorum()")))

    def is_reporter(self, node: Node, account: str) -> bool:
        """Read whether an account may report."""
        return any(node.call(self.address, self.encode("isReporter(address)", account)))

    def feed(self, node: Node, feed: bytes) -> FeedState:
        """Read how a feed stands.

        Raises:
            RevertedError: there is no such feed, or an outside source answers it.
        """
        data = node.call(self.address, self.encode("feeds(bytes32)", feed))
        types = ["address", "uint32", "uint64", "address"]
        aggregator, max_age, round_id, source = self.decode(types, data)
        if int(str(aggregator), 16) == 0:
            raise RevertedError("DataOracleUnknownFeed", (name_of(feed),))
        if int(str(source), 16):
            raise RevertedError("DataOracleFeedIsExternal", (name_of(feed), source))
        decimals = int.from_bytes(node.call(str(aggregator), keccak(b"decimals()")[:4]))
        answer = updated_at = 0
        if round_id:
            call = self.encode("answerAt(bytes32,uint64)", feed, round_id)
            values = self.decode(["uint64", "int192", "uint64"], node.call(self.address, call))
            answer, updated_at = int(str(values[1])), int(str(values[2]))
        return FeedState(decimals, int(str(max_age)), int(str(round_id)), answer, updated_at)

    def requested(self, node: Node, first: int, last: int) -> set[bytes]:
        """Give the feeds that were asked for in the blocks first … last, and not answered after."""
        asked = keccak(b"Requested(bytes32,address)")
        answered = keccak(b"Answered(bytes32,uint64,uint64,int192,uint64)")
        waiting: set[bytes] = set()
        for log in node.logs(self.address, first, last, [asked, answered]):
            if log.topics[0] == asked:
                waiting.add(log.topics[1])
            else:
                waiting.discard(log.topics[1])
        return waiting

    def sign(
        self, key: bytes, chain_id: int, feed: bytes, round_id: int, answer: int, observed_at: int
    ) -> Report:
        """Sign what a reporter read, for this contract on this chain and this round only."""
        from eth_account import Account  # noqa: PLC0415 - half of web3's import time

        domain = self._domain(chain_id)
        message = {"feed": feed, "roundId": round_id, "answer": answer, "observedAt": observed_at}
        signed = Account.sign_typed_data(key, domain, {"Answer": _ANSWER}, message)
        reporter = str(Account.from_key(key).address).lower()
        return Report(reporter, round_id, answer, observed_at, bytes(signed.signature))

    def sign_batch(
        self,
        key: bytes,
        chain_id: int,
        source: bytes,
        number: int,
        observed_at: int,
        samples: bytes,
    ) -> bytes:
        """Sign a batch of labelled samples: records of the buffer's format, ids from 0."""
        from eth_account import Account  # noqa: PLC0415 - half of web3's import time

        domain = self._domain(chain_id)
        message = {
            "source": source,
            "number": number,
            "observedAt": observed_at,
            "samplesHash": keccak(samples),
        }
        return bytes(Account.sign_typed_data(key, domain, {"Batch": _BATCH}, message).signature)

    def _domain(self, chain_id: int) -> dict[str, object]:
        return {
            "name": "DataOracle",
            "version": "1",
            "chainId": chain_id,
            "verifyingContract": self.address,
        }

    def signer(self, chain_id: int, feed: bytes, report: Report) -> str:
        """Tell who signed a report; another address than it names if it was tampered with."""
        from eth_account import Account  # noqa: PLC0415
        from eth_account.messages import encode_typed_data  # noqa: PLC0415

        domain = self._domain(chain_id)
        message = {
            "feed": feed,
            "roundId": report.round_id,
            "answer": report.answer,
            "observedAt": report.observed_at,
        }
        signable = encode_typed_data(domain, {"Answer": _ANSWER}, message)
        try:
            return str(Account.recover_message(signable, signature=report.signature)).lower()
        except Exception:  # noqa: BLE001 - the library raises several kinds for bad bytes
            return ""

    def submission(self, feed: bytes, reports: list[Report]) -> bytes:
        """Encode the submission of a round, sorted as the contract wants it."""
        ordered = sorted(reports, key=lambda report: report.reporter)
        rows = [(report.answer, report.observed_at, report.signature) for report in ordered]
        return self.encode_call("submitAnswer", feed, rows)


def feed_id(name: str) -> bytes:
    """Give a feed's identifier: its name, filled up with zeros.

    Raises:
        ValueError: the name has no or more than 32 bytes.

    >>> len(feed_id("outdoor")), name_of(feed_id("outdoor"))
    (32, 'outdoor')
    """
    raw = name.encode()
    if not 1 <= len(raw) <= 32:
        raise ValueError(f"a feed's name has 1 to 32 bytes, {name!r} has {len(raw)}")
    return raw.ljust(32, b"\0")


def name_of(feed: bytes) -> str:
    """Give a feed's name back."""
    return feed.rstrip(b"\0").decode(errors="replace")
