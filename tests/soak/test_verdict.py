"""The soak's own rules: a leak is found, noise and a jump are not, and faults follow their seed."""

import itertools
import random

from tests.soak import faults, verdict
from tests.soak.measure import FAULT, RSS, SIZE, life_of

MIB = 2**20


def series(value, minutes=120):
    return [(60.0 * minute, f"{value(minute):.0f}") for minute in range(minutes)]


def found(value, what=RSS, name="site-1.agent-1"):
    judge = verdict.memory if what == RSS else verdict.files
    [one] = judge({(what, name, 1): series(value)})
    return one


def test_a_leak_is_found_and_noise_is_not():
    chance = random.Random(1)
    noisy = [70 * MIB + chance.randrange(-300_000, 300_000) for _ in range(120)]
    assert not found(noisy.__getitem__).grew
    assert found(lambda minute: noisy[minute] + 40_000 * minute).grew, "2.3 MiB an hour"
    assert not found(lambda minute: noisy[minute] + (8 * MIB if minute > 70 else 0)).grew
    assert not found(lambda minute: 70 * MIB - 10 * MIB / (1 + minute)).grew, "caches fill up"


def test_stores_and_logs_may_grow_by_what_faults_explain():
    store = "site-1/gateway.db"
    assert not found(lambda minute: min(minute, 60) * 30_000, SIZE, store).grew
    assert found(lambda minute: minute * MIB / 10, SIZE, store).grew
    rows = {(SIZE, "logs/site-1.agent-1", 0): series(lambda minute: 1500 * minute)}
    assert [one.grew for one in verdict.files(rows)] == [True]
    rows[(FAULT, "broker", 0)] = series(lambda _minute: 0)[:60]
    assert [one.grew for one in verdict.files(rows)] == [False]


def test_what_was_not_measured_is_not_called_good():
    [said] = verdict.growth_findings("memory", [])
    assert not said.good


def test_a_traceback_fails_and_is_named(tmp_path):
    (tmp_path / "a.log").write_text("fine\n")
    assert [one.good for one in verdict.tracebacks(tmp_path)] == [True]
    (tmp_path / "b.log").write_text("Traceback (most recent call last):\n  x\nKeyError: 1\n")
    [one] = verdict.tracebacks(tmp_path)
    assert not one.good
    assert "b.log" in one.text
    assert "KeyError: 1" in one.text


def test_faults_follow_the_seed_spare_whom_they_should_and_end_in_time():
    names = {"agents": ["s.agent-1", "s.agent-2"], "gateways": ["s.gateway", "t.gateway"]}
    plan = faults.draw(86_400, 3, spared=["s.agent-1", "t.gateway"], **names)
    assert plan == faults.draw(86_400, 3, spared=["s.agent-1", "t.gateway"], **names)
    assert plan != faults.draw(86_400, 4, spared=["s.agent-1", "t.gateway"], **names)
    killed = {fault.target for fault in plan if fault.kind == faults.KILL}
    assert killed == {"s.agent-2", "s.gateway", "broker"}
    assert max(fault.at_s + fault.lasts_s for fault in plan) <= 86_400 - faults.QUIET_S
    for target in {fault.target for fault in plan}:
        ends = [(f.at_s, f.at_s + f.lasts_s) for f in plan if f.target == target]
        assert all(a[1] < b[0] for a, b in itertools.pairwise(ends)), target


def test_a_childs_name_tells_its_process_and_life():
    assert life_of("site-1.gateway-12") == ("site-1.gateway", 12)
    assert life_of("site-1.agent-2-3") == ("site-1.agent-2", 3)
    assert life_of("site-1.agent-2") == ("site-1.agent-2", 1)
    assert life_of("chain-4") == ("chain", 4)
