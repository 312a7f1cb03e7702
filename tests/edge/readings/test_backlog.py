"""What is kept of an outage: aligned between agents, handed in once, and a disk that fails."""

import json
import math
import random
import sqlite3
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from protoledger.edge.readings.backlog import Anchor, Backlog
from protoledger.edge.readings.kit import Kit
from protoledger.edge.readings.spool import SqliteSpool
from protoledger.edge.readings.windows import LiveWindows
from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.protocol.wire.messages import Kept
from protoledger.protocol.wire.schema import NO_LABEL, Channel, Schema
from tests.support.site_of import Running, change, live, running_site

SCHEMA = b"s" * 32
WINDOW_S = 10.0
ONE_CHANNEL = Schema((Channel("a", "", 0.0, 100.0, 0.1),), ("no", "yes"))


def backlog(spool=None, **changes):
    usual = {"window_s": WINDOW_S, "count": 1, "width": 1, "most": 1000, "spool": spool}
    return Backlog(**{**usual, **changes})


def feed(agent, begin, end, every_s=2.0, value=lambda at: at, label=lambda _at: 1):
    """Readings at begin, begin + 2 … whose value is the true time."""
    at = begin
    while at < end:
        agent.add(at, [value(at)], label(at))
        at += every_s


def spool_at(path, boot=None):
    spool = SqliteSpool(path, SCHEMA, 1)
    if boot is not None:
        spool._boot = boot
    return spool


def test_what_was_kept_is_given_right_after_the_outage():
    """A backlog has a length, 0 at that moment, and was taken for none: nothing was handed in."""
    kept = backlog(window_s=5.0)
    now = [40.0]
    windows = LiveWindows(Kit(ONE_CHANNEL, []), 5.0, 1.0, 1, clock=lambda: now[0], backlog=kept)
    try:
        windows._stop.set()
        kept.live(1, 0.0)
        feed(kept, 0.0, 40.0)
        windows.take(SimpleNamespace(round_id=2, kept=None))
        asked = windows.kept()
        assert asked == Kept(1, 7)
        for number in range(1, asked.number + 1):
            window = windows.take(SimpleNamespace(round_id=2 + number, kept=Kept(1, number)))
            assert np.isfinite(window.values).all(), number
        assert windows.kept() is None
    finally:
        windows.close()


def given(agent, anchor, count):
    """What so many rounds that ask for the outage after a round get."""
    return [agent.give(Kept(anchor, 1 + number)) for number in range(count)]


def test_who_kept_nothing_gives_nothing_to_a_round_that_asks_for_what_was_kept():
    """On an emulated Pi such rounds carried its last moment alone, and the others' in the next."""
    agent = backlog(count=2)
    agent.live(1, 0.0)
    feed(agent, 0.0, 4.0)
    (asked,) = given(agent, 1, 1)
    assert np.isnan(asked.values).all()
    assert (asked.labels == NO_LABEL).all()
    assert agent.waiting is None


def test_rounds_that_ask_leave_what_is_read_meanwhile_alone():
    agent = backlog()
    agent.live(1, 0.0)
    feed(agent, 0.5, 300.0)
    agent.live(2, 300.0)
    feed(agent, 300.5, 400.0)
    assert given(agent, 1, 1)[0].values[0, 0] < 10
    agent.live(3, 400.0)
    assert agent.waiting.anchor == 2


def test_agents_hand_in_the_same_moments_whatever_their_clocks_phases_and_latencies():
    draw = random.Random(5)
    agents = []
    for _ in range(6):
        agent, offset = backlog(count=2), draw.uniform(0, 1e6)  # a monotonic clock of its own

        def later(at, offset=offset):
            return at + offset + draw.uniform(0, 0.05)  # and the network's latency

        agent.live(7, later(0.0))
        feed(agent, offset + draw.uniform(0, 2), offset + 605.0, value=lambda at, o=offset: at - o)
        agent.live(8, later(605.0))
        agents.append(agent)
    assert {agent.waiting for agent in agents} == {Kept(7, 58)}
    rounds = list(zip(*(given(agent, 7, 31) for agent in agents), strict=True))
    for number, windows in enumerate(rounds[:29]):
        for row in range(2):
            middles = [window.values[row, 0] for window in windows]
            expected = (2 * number + row + 0.5) * WINDOW_S
            assert np.allclose(middles, expected, atol=2.1)
            assert {int(window.labels[row]) for window in windows} == {1}
    assert all(np.isnan(window.values).all() for window in rounds[-1]), "and then nothing"
    assert all(set(window.labels.tolist()) == {NO_LABEL} for window in rounds[-1])


def test_a_reading_is_handed_in_once_or_never():
    agent = backlog()
    agent.live(1, 0.0)
    feed(agent, 0.5, 300.0)
    agent.live(2, 300.0)
    seen = [one.values[0, 0] for one in given(agent, 1, 40) + given(agent, 1, 40)]
    values = [value for value in seen if not math.isnan(value)]
    assert len(values) == len(set(values)) == 29, "the newest is in the live windows"
    assert max(values) < 290.0
    assert agent.waiting is None


def test_who_has_another_anchor_gives_nothing():
    """Others summed those moments without it: its own would be alone, or of other moments."""
    agent = backlog()
    agent.live(1, 0.0)
    feed(agent, 0.0, 300.0)
    agent.live(25, 300.0)
    assert agent.waiting.anchor == 1
    assert np.isnan(given(agent, 24, 1)[0].values).all()
    assert agent.waiting is not None


def test_a_failed_round_costs_its_windows_and_no_alignment():
    agent = backlog()
    agent.live(1, 0.0)
    feed(agent, 0.5, 100.0)
    agent.live(2, 100.0)
    given(agent, 1, 1)
    window = agent.give(Kept(1, 2))
    assert 10 < window.values[0, 0] < 20, "the second window, by its number"


def test_short_gaps_are_no_outage_and_touch_no_disk(tmp_path):
    path = tmp_path / "spool.db"
    agent = backlog(spool_at(path))
    for number in range(1, 50):
        at = number * WINDOW_S
        agent.live(number, at)
        feed(agent, at, at + WINDOW_S)
    assert not path.exists()


def test_the_first_windows_of_an_outage_are_the_ones_kept():
    agent = backlog(most=5)
    agent.live(1, 0.0)
    feed(agent, 0.5, 10_000.0)
    assert len(agent) == 5
    agent.live(2, 10_000.0)
    first = agent.give(Kept(1, 1))
    assert first.values[0, 0] < 10


def test_a_restart_goes_on_where_it_was(tmp_path):
    path = tmp_path / "spool.db"
    agent = backlog(spool_at(path, "boot"), flush_s=100.0)
    agent.live(1, 0.0)
    feed(agent, 0.5, 250.0)
    again = backlog(spool_at(path, "boot"), flush_s=100.0)
    assert len(again) == 20
    feed(again, 260.5, 400.0)
    again.live(2, 400.0)
    seen = [one.values[0, 0] for one in given(again, 1, 39)]
    middles = [round(value / WINDOW_S - 0.5, 0) for value in seen if not math.isnan(value)]
    assert middles == [*range(20), *range(26, 39)], "what was not on disk yet is missing"
    third = backlog(spool_at(path, "boot"))
    assert len(third) == 0, "struck off before it was handed in"


def test_a_reboot_keeps_what_was_on_disk_and_counts_no_further(tmp_path):
    path = tmp_path / "spool.db"
    agent = backlog(spool_at(path, "one"), flush_s=100.0)
    agent.live(1, 5000.0)
    feed(agent, 5000.5, 5250.0, value=lambda at: at - 5000.0)
    again = backlog(spool_at(path, "two"), flush_s=100.0)
    feed(again, 10.0, 500.0)
    assert len(again) == 20, "its clock began again: it cannot tell where these belong"
    again.live(2, 500.0)
    assert again.give(Kept(1, 1)).values[0, 0] == pytest.approx(5.0, abs=2)


@pytest.mark.parametrize(
    "content", [b"", b"no database", b"SQLite format 3\0" + b"\xff" * 5000], ids=len
)
def test_a_corrupt_file_is_told_once_and_set_aside(tmp_path, caplog, content):
    path = tmp_path / "spool.db"
    path.write_bytes(content)
    spool = spool_at(path)
    agent = backlog(spool, flush_s=100.0)
    agent.live(1, 0.0)
    feed(agent, 0.5, 1000.0)
    agent.live(2, 1000.0)
    assert agent.give(Kept(1, 1)).values[0, 0] < 10
    assert len(caplog.records) <= 1
    assert spool_at(path).load() == (None, {})


def test_another_schema_or_width_is_dropped(tmp_path):
    path = tmp_path / "spool.db"
    spool_at(path).keep(Anchor(1, 0.0), {1: ([3.0], 0)})
    assert SqliteSpool(path, b"t" * 32, 1).load() == (None, {})
    assert SqliteSpool(path, SCHEMA, 2).load() == (None, {})
    assert not path.exists()
    assert path.with_name("spool.db.damaged").exists()


def test_a_disk_that_cannot_be_written_is_told_once(tmp_path, caplog):
    path = tmp_path / "missing" / "spool.db"
    agent = backlog(spool_at(path), flush_s=50.0)
    agent.live(1, 0.0)
    feed(agent, 0.5, 1000.0)
    assert len(caplog.records) == 1
    assert "continuing without it" in caplog.text
    agent.live(2, 1000.0)
    assert agent.give(Kept(1, 1)).values[0, 0] < 10, "memory is enough"


def test_what_cannot_be_struck_off_is_not_handed_in(tmp_path):
    class Stubborn(SqliteSpool):
        def clear(self):
            return False

    path = tmp_path / "spool.db"
    agent = backlog(Stubborn(path, SCHEMA, 1), flush_s=100.0)
    agent.live(1, 0.0)
    feed(agent, 0.5, 250.0)
    agent.live(2, 250.0)
    seen = [one.values[0, 0] for one in given(agent, 1, 24)]
    assert [math.isnan(value) for value in seen] == [True] * 20 + [False] * 4


def test_a_full_disk_is_told_once(tmp_path, caplog):
    path = tmp_path / "spool.db"

    class Full(SqliteSpool):
        def _open(self):
            raise sqlite3.OperationalError("database or disk is full")

    agent = backlog(Full(path, SCHEMA, 1), flush_s=50.0)
    agent.live(1, 0.0)
    feed(agent, 0.5, 1000.0)
    assert caplog.text.count("disk is full") == 1


def test_the_file_holds_windows_and_nothing_else(tmp_path):
    path, before = tmp_path / "spool.db", threading.active_count()
    spool_at(path).keep(Anchor(3, 1.0), {n: ([float(n)], NO_LABEL) for n in range(1, 91)})
    with sqlite3.connect(path) as database:
        tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
        assert tables == {"anchor", "windows"}
        assert database.execute("SELECT count(*) FROM windows").fetchone() == (90,)
    assert threading.active_count() <= before + 1


@pytest.mark.long
@pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto not installed")
def test_a_broker_that_was_away_costs_no_windows(tmp_path):
    """Agents and gateway as processes; the broker is killed for some windows' time."""
    with running_site(tmp_path, rounds=4000) as (files, children):
        shared = files.folder / "site.yaml"
        content = yaml.safe_load(shared.read_text())
        content["round"].update(every_s=1.0)
        shared.write_text(yaml.safe_dump(content))
        words = ["edge", "run"]
        for agent in files.agents:
            path = files.agent_file(agent)
            live(path)
            change(path, spool_file=f"{agent}.db")
            words += ["-c", path]
        command = ["gateway", "run", "--events", "-c", files.gateway_file]
        with Running(command) as gateway, Running(words) as agents:
            told = iter(gateway.process.stdout.readline, "")
            rounds = (event for line in told if (event := json.loads(line))["event"] == "round")
            for _ in range(3):
                before = next(rounds)
            children.kill("broker")
            time.sleep(12.0)
            broker = [find_mosquitto(), "-c", tmp_path / "broker" / "mosquitto.conf"]
            children.start("broker-again", broker)
            next(rounds)
            started, after = time.monotonic(), next(rounds)
            while time.monotonic() - started < 3.0:
                after = next(rounds)
            gateway.process.terminate()
            for _ in rounds:
                pass
    learnt = after["samples"] - before["samples"]
    assert learnt > 12, agents.errors
