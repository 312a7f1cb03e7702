"""The oracle's reporter: reads its sources, signs, and submits once enough others have signed.

A report is due when somebody requested the feed, when the newest answer is older than `every_s`, or
when the number moved by `deviation`. Reporters leave their signed reports where the others find
them (`protoledger.contracts.oracle.exchange`); each that holds the reports of the round's first
reporters may submit them, and they take turns in the round's order so that mostly one pays. The
contract takes a round once. Where a reporter in front is silent, they wait as long as the contract
asks before they go on without it.

A source's failure is reported once, and again when it is over; nothing is signed meanwhile.
"""

from __future__ import annotations

import logging
import time
from decimal import Decimal  # noqa: TC003 - pydantic reads the annotations
from pathlib import Path  # noqa: TC003
from typing import TYPE_CHECKING, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from protoledger.contracts.client.account import Account
from protoledger.contracts.client.deployment import Sender
from protoledger.contracts.client.logs import LogRanges
from protoledger.contracts.errors import (
    ChainUnreachableError,
    DeploymentError,
    KeyFileError,
    RevertedError,
    RpcError,
)
from protoledger.contracts.oracle.batches import CLOCK_S
from protoledger.contracts.oracle.binding import FeedState, Oracle, Report, feed_id
from protoledger.contracts.oracle.exchange import BrokerExchangeConfig, ExchangeError, open_exchange
from protoledger.contracts.oracle.sources import SourceConfig, SourceError, open_source
from protoledger.runtime.yaml_files import fit

if TYPE_CHECKING:
    from collections.abc import Callable

    from protoledger.contracts.client.node import Node

_log = logging.getLogger(__name__)
_LARGEST = 2**191 - 1
_TURN_S = 3.0
_LOOK_BACK = 5_000  # blocks in which a request may have been made while no reporter ran


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FeedConfig(_Config):
    """One feed that this reporter answers."""

    feed: str = Field(min_length=1, max_length=32, description="The feed's name on the oracle.")
    source: SourceConfig = Field(description="Where the number is read.")
    every_s: float | None = Field(
        default=None, gt=0, description="Report when the newest answer is older; else on request."
    )
    deviation: Decimal | None = Field(
        default=None, gt=0, description="Report when the number moved by so much."
    )
    minimum: Decimal = Field(description="A number below is taken for a fault, not reported.")
    maximum: Decimal = Field(description="Likewise above.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        feed_id(self.feed)
        if self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum} is above maximum {self.maximum}")
        return self


class ReporterConfig(_Config):
    """A reporter's file."""

    rpc_url: str = Field(
        pattern=r"^https?://", repr=False, description="The node's JSON-RPC address."
    )
    chain_id: int = Field(gt=0, description="The chain's id; another one is refused.")
    oracle: str = Field(pattern=r"^0x[0-9a-fA-F]{40}$", description="DataOracle's address.")
    key_file: Path = Field(description="The reporter's key, mode 0600.")
    key_password_file: Path | None = Field(default=None, description="The keystore's password.")
    exchange: Path | None = Field(
        default=None, description="Folder that all reporters share: for a quorum above 1."
    )
    exchange_broker: BrokerExchangeConfig | None = Field(
        default=None, description="Instead of a folder: a broker that all reporters reach."
    )
    poll_s: float = Field(default=1.0, gt=0, le=600, description="Seconds between looks.")
    feeds: tuple[FeedConfig, ...] = Field(min_length=1, description="What to report.")

    @model_validator(mode="after")
    def _one_exchange(self) -> Self:
        if self.exchange is not None and self.exchange_broker is not None:
            raise ValueError("exchange and exchange_broker: only one of them")
        return self


def load_reporter(path: Path) -> ReporterConfig:
    """Read a reporter's file; files that it names are relative to it.

    Raises:
        KeyFileError: with one line for everything that is wrong.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise KeyFileError(f"{path}: this is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise KeyFileError(f"{path}: expected keys and values, found {type(content).__name__}")
    model, problems = fit(_anchored(content, path.parent), ReporterConfig)
    if problems or model is None:
        raise KeyFileError("\n  ".join([f"{path}: {len(problems)} problem(s)", *problems]))
    return model


def _anchored(content: dict[str, Any], base: Path) -> dict[str, Any]:
    """Make file names relative to the configuration's folder; a source's `path` is none."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            found[key] = _anchored(value, base)
        elif isinstance(value, list):
            found[key] = [_anchored(v, base) if isinstance(v, dict) else v for v in value]
        elif isinstance(value, str) and (key in {"exchange", "file"} or key.endswith("_file")):
            found[key] = str(base / value)
        else:
            found[key] = value
    return found


class _Feed:
    """One feed's source and what is known of it."""

    def __init__(self, config: FeedConfig) -> None:
        self.config, self.id = config, feed_id(config.feed)
        self.source = open_source(config.source)
        self.requested = False
        self.mine: Report | None = None
        self.theirs: dict[str, Report] = {}
        self.failure = ""
        self.quorum_since: float | None = None

    def scaled(self, decimals: int) -> int:
        """Read the source, and scale as the contract wants.

        Raises:
            SourceError: there is no number, or it is no plausible one.
        """
        number, config = self.source.read(), self.config
        if not config.minimum <= number <= config.maximum:
            raise SourceError(
                f"{number} is not between {config.minimum} and {config.maximum}: taken for a fault"
            )
        answer = int((number * 10**decimals).to_integral_value())
        if abs(answer) > _LARGEST:
            raise SourceError(f"{number} with {decimals} decimals does not fit the contract")
        return answer


def is_usable(report: Report, state: FeedState, now: float) -> bool:
    """Whether the contract would take a report for the next round, now and for a while."""
    return (
        report.round_id == state.round_id + 1
        and state.minimum <= report.answer <= state.maximum
        and 0 <= now - report.observed_at <= state.max_age_s / 2
    )


class Reporter:
    """One reporter of one oracle; `step` does what is due, so that a test needs no clock.

    Args:
        config: its file.
        key: 32 secret bytes.
        node: a connection.

    Raises:
        NoContractError: it is another chain.
        KeyFileError: the contract does not know the key's account as a reporter.
    """

    def __init__(self, config: ReporterConfig, key: bytes, node: Node) -> None:
        self._config, self._key, self._node = config, key, node
        self._account, self._oracle = Account(key), Oracle(config.oracle)
        self._seen: int | None = None
        if node.chain_id() != config.chain_id:
            raise KeyFileError(
                f"{config.rpc_url} is chain {node.chain_id()}, not {config.chain_id}"
            )
        self._oracle.require(node)
        if not self._oracle.is_reporter(node, self._account.address):
            raise KeyFileError(
                f"{self._account.address} is no reporter of {config.oracle}; its owner adds it "
                "with `protoledger oracle reporters`"
            )
        self._ranges = LogRanges()
        self._exchange = open_exchange(config.exchange, config.exchange_broker)
        self._feeds = [_Feed(feed) for feed in config.feeds]

    def step(self) -> list[tuple[str, int]]:
        """Look once; gives the feeds and answers that this reporter submitted.

        Raises:
            ChainUnreachableError: the node does not answer.
            RpcError: it refused something.
        """
        self._look_for_requests()
        done = []
        for feed in self._feeds:
            try:
                state = self._oracle.feed(self._node, feed.id)
                self._report(feed, state)
                done += [(feed.config.feed, each) for each in self._submit(feed, state)]
                self._tell(feed, "")
            except (SourceError, ExchangeError, RevertedError, DeploymentError) as error:
                self._tell(feed, str(error))
        return done

    def close(self) -> None:
        """Close sources and exchange; idempotent."""
        self._exchange.close()
        for feed in self._feeds:
            feed.source.close()

    def _look_for_requests(self) -> None:
        head = self._node.block("latest")
        if head is None:
            return
        if self._seen is not None and head.number < self._seen:
            self._seen = head.number  # the chain was reorganised
        first = max(0, head.number - _LOOK_BACK) if self._seen is None else self._seen + 1
        if first <= head.number:
            asked = self._oracle.requested(self._node, self._ranges, first, head.number)
            for feed in self._feeds:
                feed.requested = feed.requested or feed.id in asked
            self._seen = head.number

    def _report(self, feed: _Feed, state: FeedState) -> None:
        """Sign a report for the next round if one is due."""
        wanted, now = state.round_id + 1, int(time.time())
        mine = feed.mine
        if (
            mine is not None
            and mine.round_id == wanted
            and now - mine.observed_at < state.max_age_s / 2
        ):
            return  # it stands, and waits for the others
        config = feed.config
        late = config.every_s is not None and now - state.updated_at >= config.every_s
        # With f liars one of f + 1 is honest, and has a reason; else a liar alone could have the
        # others answer, and pay, without an end.
        theirs = self._others(feed, state)
        joined = bool(theirs) and len(theirs) > self._oracle.faults(self._node)
        if not (feed.requested or late or joined or config.deviation is not None):
            return
        answer = feed.scaled(state.decimals)
        if not state.minimum <= answer <= state.maximum:
            raise SourceError(
                f"{answer} is not between the contract's bounds {state.minimum} and {state.maximum}"
            )
        moved = (
            config.deviation is not None
            and abs(answer - state.answer) >= config.deviation * 10**state.decimals
        )
        if feed.requested or late or joined or moved or not state.round_id:
            observed_at = max(now - CLOCK_S, state.updated_at)  # the contract's time never falls
            feed.mine = self._oracle.sign(
                self._key, self._config.chain_id, feed.id, wanted, answer, observed_at
            )
            feed.requested = False
            self._exchange.share(feed.id, feed.mine)

    def _submit(self, feed: _Feed, state: FeedState) -> list[int]:
        """Send the next round if enough have signed it, and it is this reporter's turn."""
        mine, wanted = feed.mine, state.round_id + 1
        if mine is None or mine.round_id != wanted:
            feed.quorum_since = None
            return []
        order = self._oracle.order(self._node)
        reports = {mine.reporter: mine} | {r.reporter: r for r in self._others(feed, state)}
        reports = {who: each for who, each in reports.items() if who in order.seats}
        if not order.quorum or len(reports) < order.quorum or mine.reporter not in reports:
            return []
        chosen, from_s = order.chosen(reports.values(), wanted)
        if time.time() < from_s + (CLOCK_S if from_s > mine.observed_at else 0):
            return []  # a reporter in front is missing, and may still come
        now = time.monotonic()
        feed.quorum_since = now if feed.quorum_since is None else feed.quorum_since
        turn = sorted(reports, key=lambda who: order.place(who, wanted)).index(mine.reporter)
        if now - feed.quorum_since < _TURN_S * turn:
            return []
        call = self._oracle.submission(feed.id, chosen)
        if not self._send(call, lambda: self._oracle.feed(self._node, feed.id).round_id >= wanted):
            return []
        feed.mine = feed.quorum_since = None
        return [mine.answer]

    def _send(self, call: bytes, too_late: Callable[[], bool]) -> bool:
        """Send a submission; False if another reporter was first, as two may see a quorum at once.

        Raises:
            RevertedError, DeploymentError: the contract refuses it for another reason.
        """
        try:
            gas = self._node.estimate_gas(
                self._account.address, self._oracle.address, call, at="pending"
            )
            sender = Sender(self._node, self._account)
            sender.send(self._oracle.address, call, gas * 5 // 4)
            sender.wait()
        except RevertedError as error:
            if too_late():
                return False
            raise self._oracle.explain(error) from error
        except DeploymentError:
            if too_late():
                return False
            raise
        return True

    def _others(self, feed: _Feed, state: FeedState) -> list[Report]:
        """Read what the others signed for the next round; what does not check is passed over.

        What the contract would refuse counts as not sent: with it no submission would ever pass.
        Of each reporter the first report is kept, because one that dates its report again and again
        would have the others wait for ever.
        """
        now, seats = time.time(), None
        kept = {who: each for who, each in feed.theirs.items() if is_usable(each, state, now)}
        for report in self._exchange.reports(feed.id):
            if report.reporter in kept or not is_usable(report, state, now):
                continue
            seats = seats if seats is not None else self._oracle.order(self._node).seats
            signer = self._oracle.signer(self._config.chain_id, feed.id, report)
            if signer == report.reporter != self._account.address and signer in seats:
                kept[signer] = report
        feed.theirs = kept
        return list(kept.values())

    def _tell(self, feed: _Feed, failure: str) -> None:
        if failure and not feed.failure:
            _log.error("%s: %s", feed.config.feed, failure)
        elif feed.failure and not failure:
            _log.info("%s: reports again", feed.config.feed)
        feed.failure = failure


def run(config: ReporterConfig, key: bytes, node: Node) -> None:
    """Report until asked to stop; a node that is away is reported once and waited for."""
    reporter, away = Reporter(config, key, node), False
    try:
        while True:
            try:
                for feed, answer in reporter.step():
                    _log.info("%s: answered %d", feed, answer)
                away = False
            except (ChainUnreachableError, RpcError) as error:
                if not away:
                    _log.error("the chain: %s", error)
                away = True
            time.sleep(config.poll_s)
    finally:
        reporter.close()
