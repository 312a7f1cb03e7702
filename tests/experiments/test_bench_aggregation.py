"""The aggregation benchmark: what it writes, and that it measures rounds that really add up."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from protoledger.experiments.benchmarks.aggregation import own_round
from protoledger.experiments.benchmarks.aggregation.bench import app
from protoledger.experiments.benchmarks.aggregation.own_round import Parties, Site, Size, measure
from protoledger.experiments.benchmarks.aggregation.prio_round import (
    PrioRow,
    find_prio,
    prio_rows,
)
from protoledger.experiments.benchmarks.stopwatch import Stopwatch, medians

KEYS = {
    "agents",
    "length",
    "dropouts",
    "client_ms",
    "gateway_ms",
    "client_bytes",
    "gateway_bytes",
    "client_ratio",
    "client_ratio_rekeyed",
    "gateway_ratio",
}


def bench(*arguments):
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def test_without_flower_ours_stands_alone(tmp_path):
    file = tmp_path / "rows.json"
    alone = "--no-flower", "--no-prio"
    shown = bench("--agents", "5", "--length", "20", *alone, "--json", str(file))
    assert "milliseconds" in shown
    rows = json.loads(file.read_text())["rows"]
    assert [(row["agents"], row["length"], row["dropouts"]) for row in rows] == [
        (5, 20, 0),
        (5, 20, 1),
    ]
    for row in rows:
        assert row.keys() >= KEYS
        assert 0 < row["client_unsigned_ms"] <= row["client_ms"] < row["client_rekeyed_ms"]
        assert row["gateway_ms"] > 0
        assert row["client_ratio"] is None
        assert (sum(row["client_parts_ms"].values()) > 0) == (row["dropouts"] == 0)


def test_ratios_are_theirs_over_ours(tmp_path, monkeypatch):
    theirs = {"client_ms": 1e3, "gateway_ms": 1e6, "client_bytes": 1, "gateway_bytes": 1}
    module = "protoledger.experiments.benchmarks.aggregation.bench"
    monkeypatch.setattr(f"{module}._flower_python", lambda _console: "python")
    monkeypatch.setattr(f"{module}._flower", lambda _size, _python, _slots: theirs)
    file = tmp_path / "rows.json"
    shown = bench("--agents", "5", "--length", "20", "--no-prio", "--json", str(file))
    assert "Flower over ours" in shown
    for row in json.loads(file.read_text())["rows"]:
        assert row["client_ratio"] == pytest.approx(1e3 / row["client_ms"], rel=0.01)
        assert row["gateway_ratio"] == pytest.approx(1e6 / row["gateway_ms"], rel=0.01)
        assert row["client_ratio_rekeyed"] < row["client_ratio"]


def program(folder, body):
    """Something that is called as the program of Prio3 is."""
    file = folder / "prio-round"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return file


def test_prio_is_measured_with_two_servers_and_with_one_more_than_t(tmp_path):
    said = '{"client_ms": %s.5, "server_ms": 2, "client_bytes": %s, "server_bytes": %s}'
    echo = program(tmp_path, f"""printf '{said}' "$1" "$3" "$4" """)
    sizes = [Size(10, 20, 0, 5, 1), Size(5, 20, 0, 1, 1), Size(10, 20, 1, 5, 1)]
    assert prio_rows(sizes, echo) == [
        PrioRow(5, 20, 2, 5.5, 2, 2, 1000),
        PrioRow(10, 20, 2, 10.5, 2, 2, 1000),
        PrioRow(10, 20, 6, 10.5, 2, 6, 1000),
    ]


def test_a_round_of_prio_that_fails_is_no_measurement(tmp_path):
    wrong = program(tmp_path, "echo the sum is wrong >&2; exit 1")
    with pytest.raises(RuntimeError, match="the sum is wrong"):
        prio_rows([Size(5, 20, 0, 1, 1)], wrong)


def test_without_cargo_prio_is_left_out(tmp_path, monkeypatch):
    module = "protoledger.experiments.benchmarks.aggregation.bench"
    monkeypatch.setattr(f"{module}.find_prio", lambda: (None, "no cargo here"))
    file = tmp_path / "rows.json"
    shown = bench("--agents", "5", "--length", "20", "--no-flower", "--json", str(file))
    assert "left out: no cargo here" in shown
    assert json.loads(file.read_text())["prio"] == []


@pytest.mark.long
def test_prio_adds_up_and_a_server_more_costs_a_client_more():
    """Its sums are checked by the program itself; bytes are a matter of the scheme alone."""
    found, reason = find_prio()
    if found is None:
        pytest.skip(reason)
    two, six = prio_rows([Size(10, 20, 0, 5, 1)], found)
    assert (two.servers, six.servers) == (2, 6)
    assert 0 < two.client_bytes < six.client_bytes
    assert two.client_ms > 0
    assert two.server_ms > 0


def test_what_cannot_be_is_refused_before_anything_runs(tmp_path):
    result = CliRunner().invoke(app, ["--json", str(tmp_path / "absent" / "rows.json")])
    assert result.exit_code != 0
    result = CliRunner().invoke(app, ["--agents", "5", "--length", "20", "--dropouts", "3"])
    assert result.exit_code != 0
    assert "dropouts" in result.output


def test_dropouts_are_summed_over_and_change_from_round_to_round():
    site = Site(Size(agents=7, length=40, dropouts=1, collusion=1, tolerance=1))
    watch = Stopwatch()
    parties = Parties(site, watch)
    for number in range(3):
        outcome = parties.round(watch, {site.names[number]})
        assert outcome.included == frozenset(range(7))
    assert watch.seconds["client"] > 0
    assert watch.seconds["dropper"] > 0


def test_a_wrong_sum_is_no_measurement(monkeypatch):
    site = Site(Size(agents=5, length=20, dropouts=0, collusion=1, tolerance=1))
    monkeypatch.setattr(site, "expected", lambda _included: np.zeros(20, dtype=np.uint32))
    with pytest.raises(RuntimeError, match="wrong"):
        Parties(site, Stopwatch()).round(Stopwatch(), set())


def test_measuring_leaves_everything_as_it_was():
    before = own_round.Session.seal, own_round.ProvenCode.shares, own_round.sealing.verify
    measure(Size(6, 20, 0, 1, 1), 1, rekey=True, parts=True)
    assert before == (own_round.Session.seal, own_round.ProvenCode.shares, own_round.sealing.verify)


def test_time_goes_to_the_innermost_name():
    watch = Stopwatch()
    with watch.on("outer"):
        with watch.on("inner"):
            sum(range(300_000))
        assert watch.innermost == "outer"
    assert watch.innermost == ""
    assert watch.seconds["outer"] < watch.seconds["inner"]


def test_medians_count_what_is_missing_as_nothing():
    assert medians([{"a": 1.0}, {"a": 3.0, "b": 1.0}, {"a": 2.0}]) == {"a": 2.0, "b": 0.0}
