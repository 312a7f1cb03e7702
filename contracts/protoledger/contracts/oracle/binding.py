"""DataOracle as Python values: what a feed says, who asks, and reports signed after EIP-712."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eth_hash.auto import keccak

from protoledger.contracts.client.contract import Contract
from protoledger.contracts.errors import RevertedError
from protoledger.contracts.recursion import limit_kept

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from protoledger.contracts.client.answers import Log
    from protoledger.contracts.client.logs import LogRanges
    from protoledger.contracts.client.node import Node

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
        minimum: lowest answer that the contract takes, scaled.
        maximum: highest answer.
        round_id: newest round; 0 before the first.
        answer: its answer.
        updated_at: when that was read, seconds.
    """

    decimals: int
    max_age_s: int
    minimum: int
    maximum: int
    round_id: int
    answer: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Order:
    """Who may report, and whose reports make an answer.

    Attributes:
        seats: the reporters, in the contract's order.
        quorum: how many reports a submission carries.
        patience_s: seconds after which a reporter in front may be left out, each.
    """

    seats: tuple[str, ...]
    quorum: int
    patience_s: int

    def place(self, reporter: str, round_id: int) -> int:
        """Give where a reporter stands in a round's order, from 0, as the contract counts.

        >>> [Order(("a", "b", "c"), 3, 30).place(who, 4) for who in "abc"]
        [2, 0, 1]
        """
        return (self.seats.index(reporter) - round_id) % len(self.seats)

    def chosen(self, reports: Iterable[Report], round_id: int) -> tuple[list[Report], int]:
        """Give the reports that a submission must carry, and when it may be sent, seconds.

        Args:
            reports: at least a quorum, of reporters that have a seat, each once.
            round_id: the round.
        """
        ordered = sorted(reports, key=lambda report: self.place(report.reporter, round_id))
        first = ordered[: self.quorum]
        left_out = self.place(first[-1].reporter, round_id) + 1 - len(first)
        return first, max(each.observed_at for each in first) + left_out * self.patience_s


class Oracle(Contract):
    """DataOracle at an address."""

    def __init__(self, address: str) -> None:
        super().__init__("DataOracle", address)

    def rounds(self, logs: Iterable[Log]) -> list[tuple[int, BatchLog | None]]:
        """Give the rounds among events, in order, each with its batch if it is one.

        Raises:
            NonsenseError: a log does not fit the ABI.
        """
        found: list[tuple[int, BatchLog | None]] = []
        for log in logs:
            event = self.event(log)
            if event is None:
                continue
            name, values = event
            if name == "Answered":
                found.append((values["round"], None))
            elif name == "Samples":
                source = name_of(values["source"])
                batch = BatchLog(values["round"], source, values["observedAt"], values["samples"])
                found.append((batch.round, batch))
        return found

    def latest_round(self, node: Node, *, at: int | str = "latest") -> int:
        """Read how many answers and batches were accepted."""
        return int(self.read(node, "latestRound", at=at))

    def latest_batch(self, node: Node, source: bytes) -> tuple[int, int]:
        """Read the number and time of a source's newest batch; zeros before the first."""
        number, observed_at = self.read(node, "latestBatch", source)
        return int(number), int(observed_at)

    def order(self, node: Node) -> Order:
        """Read who may report, and whose reports make an answer."""
        seats = tuple(str(account).lower() for account in self.read(node, "reporters"))
        return Order(seats, int(self.read(node, "quorum")), int(self.read(node, "patience")))

    def faults(self, node: Node) -> int:
        """Read how many of the reporters may lie."""
        return int(self.read(node, "faults"))

    def is_reporter(self, node: Node, account: str) -> bool:
        """Read whether an account may report."""
        return bool(self.read(node, "isReporter", account))

    def request_price(self, node: Node) -> int:
        """Read what a request costs, in wei."""
        return int(self.read(node, "requestPrice"))

    def feed(self, node: Node, feed: bytes) -> FeedState:
        """Read how a feed stands.

        Raises:
            RevertedError: there is no such feed, or an outside source answers it.
        """
        aggregator, max_age, round_id, source, _, minimum, maximum = self.read(node, "feeds", feed)
        if int(str(aggregator), 16) == 0:
            raise RevertedError("DataOracleUnknownFeed", (name_of(feed),))
        if int(str(source), 16):
            raise RevertedError("DataOracleFeedIsExternal", (name_of(feed), source))
        [decimals] = self.decode(["uint8"], node.call(str(aggregator), keccak(b"decimals()")[:4]))
        answer = updated_at = 0
        if round_id:
            _, answer, updated_at = self.read(node, "answerAt", feed, round_id)
        return FeedState(decimals, max_age, minimum, maximum, round_id, answer, updated_at)

    def requested(self, node: Node, ranges: LogRanges, first: int, last: int) -> set[bytes]:
        """Give the feeds that were asked for in the blocks first … last, and not answered after."""
        waiting: set[bytes] = set()
        topics = self.topic("Requested", "Answered")
        for _, logs in ranges.fetch(node, self.address, first, last, topics):
            for log in logs:
                event = self.event(log)
                if event is not None and event[0] == "Requested":
                    waiting.add(event[1]["feed"])
                elif event is not None:
                    waiting.discard(event[1]["feed"])
        return waiting

    def sign(
        self, key: bytes, chain_id: int, feed: bytes, round_id: int, answer: int, observed_at: int
    ) -> Report:
        """Sign what a reporter read, for this contract on this chain and this round only."""
        with limit_kept():
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
        with limit_kept():
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
        """Give who signed a report; another address than it names if it was tampered with."""
        with limit_kept():
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

    def submission(self, feed: bytes, reports: Sequence[Report]) -> bytes:
        """Encode the submission of a round; the reports as `Order.chosen` gives them."""
        rows = [(report.answer, report.observed_at, report.signature) for report in reports]
        return self.encode("submitAnswer", feed, rows)


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
