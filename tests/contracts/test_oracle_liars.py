"""Liars among the reporters, and in their exchange: they stop no feed and cost nobody money."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protoledger.contracts.client.account import Account
from protoledger.contracts.client.deployment import Sender
from protoledger.contracts.keys import address_of
from protoledger.contracts.oracle.binding import FeedState, Report, feed_id
from protoledger.contracts.oracle.exchange import FolderExchange
from protoledger.contracts.oracle.reporter import Reporter, is_usable
from tests.contracts.test_oracle import FEED, OWNER, Site
from tests.support import chain

GOOD = Report("0x" + "ab" * 20, 1, 2000, 100, bytes(65))
LIAR = bytes(31) + b"\x66"


@pytest.fixture(scope="module")
def anvil() -> Iterator[chain.Anvil]:
    with chain.Anvil() as running:
        yield running


class Four(Site):
    """Three honest reporters and one that may lie; a submission carries three of the four."""

    def __init__(self, anvil: chain.Anvil, folder: Path, patience_s: int) -> None:
        super().__init__(anvil, folder, 3, 3)
        self.run("reporters", address_of(LIAR), "--faults", "1", "--quorum", "3", key=OWNER)
        sender = Sender(self.node, Account(OWNER))
        sender.send(self.made.oracle, self.oracle.encode("setPatience", patience_s), 100_000)
        sender.wait()
        for key, text in zip(self.keys, ("20", "21", "22"), strict=True):
            self.says(key, text)
        self.exchange = FolderExchange(folder)

    def lies(self, answer: int, observed_at: int, round_id: int = 1) -> None:
        report = self.oracle.sign(
            LIAR, self.made.chain_id, feed_id(FEED), round_id, answer, observed_at
        )
        self.exchange.share(feed_id(FEED), report)

    def settle(self, reporters: list[Reporter], round_id: int, lie: Any) -> int:
        """Step until the round is answered; the liar lies before each step. Gives the answer."""
        deadline = time.monotonic() + 60
        while self.state()[0] < round_id:
            assert time.monotonic() < deadline, "a liar stops the feed"
            for reporter in reporters:
                lie()
                reporter.step()
        return self.state()[1]


LIES = {
    "from the future": (2100, 3600),
    "from the end of time": (2100, 2**64 - 2**32),
    "above the bounds": (6001, -3),
    "below the bounds": (-(2**190), -3),
    "too old": (2100, -(10**6)),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_the_contract_refuses_counts_as_not_sent(lie: str) -> None:
    now, (answer, after_s) = 10**9, LIES[lie]
    state = FeedState(2, 3600, -6000, 6000, 4, 2000, now - 100)
    honest = Report(GOOD.reporter, 5, 2100, now - 3, GOOD.signature)
    assert is_usable(honest, state, now)
    assert not is_usable(replace(honest, answer=answer, observed_at=now + after_s), state, now)
    assert not is_usable(replace(honest, round_id=4), state, now)
    assert not is_usable(replace(honest, round_id=6), state, now)


@pytest.mark.parametrize("lie", ["from the future", "above the bounds"])
def test_a_report_that_the_contract_refuses_stops_no_feed(
    anvil: chain.Anvil, tmp_path: Path, lie: str
) -> None:
    site, (answer, after_s) = Four(anvil, tmp_path, 0), LIES[lie]
    reporters = [site.reporter(key) for key in site.keys]
    site.run("request", FEED, key=OWNER)
    told = site.settle(reporters, 1, lambda: site.lies(answer, int(time.time()) + after_s))
    assert told == 2100


def test_a_report_that_is_dated_again_and_again_stops_no_feed(
    anvil: chain.Anvil, tmp_path: Path
) -> None:
    """One honest reporter is silent, so the others must be patient; the liar is always new."""
    site = Four(anvil, tmp_path, 3)
    reporters = [site.reporter(key) for key in (site.keys[0], site.keys[2])]
    site.run("request", FEED, key=OWNER)
    answer = site.settle(reporters, 1, lambda: site.lies(2150, int(time.time()) - 1))
    assert 2000 <= answer <= 2200


def test_a_liar_alone_makes_nobody_answer(anvil: chain.Anvil, tmp_path: Path) -> None:
    """Else each round would be followed by the next at once, and honest reporters would pay."""
    site = Four(anvil, tmp_path, 0)
    reporters = [site.reporter(key, every_s=3600) for key in site.keys]
    site.settle(reporters, 1, lambda: None)
    spent = [site.node.nonce(address_of(key)) for key in site.keys]
    for _ in range(4):
        site.lies(2100, int(time.time()) - 1, round_id=2)
        for reporter in reporters:
            assert reporter.step() == []
    assert site.state()[0] == 1
    assert [site.node.nonce(address_of(key)) for key in site.keys] == spent


@pytest.mark.parametrize(
    "change",
    [
        {"answer": 10**100},
        {"answer": -(2**191) - 1},
        {"answer": float("inf")},
        {"answer": "2000"},
        {"answer": 2000.0},
        {"answer": True},
        {"observed_at": -1},
        {"observed_at": 2**64},
        {"round_id": None},
        {"round_id": []},
        {"reporter": 7},
        {"reporter": "0x" + "AB" * 20},
        {"signature": ""},
        {"signature": "00" * 66},
        {"signature": 5},
        {"more": 1},
    ],
)
def test_what_is_no_report_is_passed_over(tmp_path: Path, change: dict[str, object]) -> None:
    exchange = FolderExchange(tmp_path)
    feed = feed_id(FEED)
    exchange.share(feed, GOOD)
    exchange.share(feed, replace(GOOD, reporter="0x" + "cd" * 20))
    file = tmp_path / f"{feed.hex()}.{GOOD.reporter}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert [report.reporter for report in exchange.reports(feed)] == ["0x" + "cd" * 20]
    file.write_text("[" * 4000)
    assert len(exchange.reports(feed)) == 1
    file.write_text("[]")
    assert len(exchange.reports(feed)) == 1
