"""Tables of benchmarks and of experiments that were not recorded yet, from what these write."""

import json
from dataclasses import asdict

import pytest

from protoledger.experiments.benchmarks.aggregation.bench import AggregationRow
from protoledger.experiments.benchmarks.aggregation.prio_round import PrioRow
from protoledger.experiments.benchmarks.learner.measures import LearnerRow
from protoledger.experiments.benchmarks.ledger.bench import _compared
from protoledger.experiments.benchmarks.ledger.operations import Operation, Speed
from protoledger.experiments.benchmarks.ledger.replay import Run
from protoledger.experiments.benchmarks.network.bench import NetworkRow
from protoledger.experiments.cli import load
from protoledger.experiments.experiment import Table, write
from protoledger.experiments.studies import many
from tests.docs.loading import blocks, tables


@pytest.fixture
def keep(tmp_path, monkeypatch):
    """Records what a benchmark would write, as `make figures` does."""
    monkeypatch.setattr(tables, "MEASURED", tmp_path)
    monkeypatch.setattr(tables, "RESULTS", tmp_path)

    def kept(name, result):
        (tmp_path / f"{name}.json").write_text(json.dumps({"result": result}))
        return tmp_path

    return kept


def cells(made):
    """The heads and rows of a table, all of one width."""
    lines = [[cell.strip() for cell in line[1:-1].split("|")] for line in made.splitlines()]
    assert len({len(line) for line in lines}) == 1, made
    assert set("".join(lines[1])) <= set("-:")
    return lines[0], lines[2:]


@pytest.mark.parametrize("name", sorted(blocks.BLOCKS))
def test_what_was_not_recorded_makes_no_table(keep, name):
    """Filling the pages then leaves what stands there."""
    del keep
    with pytest.raises(FileNotFoundError):
        blocks.BLOCKS[name]()
    page = f"<!-- unrecorded: {name} -->\n\n| typed |\n\n<!-- /unrecorded -->\n"
    assert blocks.filled(page) == page
    with pytest.raises(FileNotFoundError):
        blocks.filled(page.replace("unrecorded", "figures"))


def test_the_first_record_takes_the_place_of_what_was_typed(keep):
    keep("sources", {
        "make_s": 0.5, "numpy_draws_s": 0.01, "write_s": 0.7, "csv_writes_s": 0.35,
        "make_by_numpy": 50.0, "write_by_csv": 2.0,
    })  # fmt: skip
    page = (
        "Before.\n\n<!-- unrecorded: sources -->\n\n| typed |\n\n<!-- /unrecorded -->\n\nAfter.\n"
    )
    made = blocks.filled(page)
    assert made.startswith("Before.\n\n<!-- figures: sources -->\n\n|  | CPU, ms | the least |")
    assert made.endswith("| 2.00 |\n\n<!-- /figures -->\n\nAfter.\n")
    assert "typed" not in made
    assert blocks.filled(made) == made


def test_a_record_of_older_code_stays_until_it_is_made_again(keep):
    keep("sources", {"make_s": 0.5})
    page = "<!-- figures: sources -->\n\n| as it was |\n\n<!-- /figures -->\n"
    assert blocks.filled(page, lenient=True) == page
    with pytest.raises(KeyError, match="numpy_draws_s"):
        blocks.filled(page)
    with pytest.raises(KeyError, match="fish"):
        blocks.filled(page.replace("sources", "fish"), lenient=True)


def row(agents, collusion, dropouts=0, **more):
    parts = {"quantise": 1.0, "read": 0.0, "rest": 3.0} if not dropouts else dict.fromkeys("ab", 0)
    taken = AggregationRow(
        agents=agents, length=20, dropouts=dropouts, collusion=collusion, tolerance=1,
        code="proven 9/10", client_ms=0.789, client_unsigned_ms=0.664, client_rekeyed_ms=2.276,
        client_rekeyed_unsigned_ms=1.514, gateway_ms=1.5, gateway_rekeyed_ms=2.0,
        client_bytes=4658.6, gateway_bytes=9.0, client_parts_ms=parts,
    )  # fmt: skip
    return asdict(taken) | more


def test_a_round_s_computation(keep):
    found = [
        row(10, 2, client_ratio=33.4, gateway_ratio=2950.4),
        row(10, 2, 1),
        row(10, 5, code="packed 4 × 9/10"),
        row(10, 2, length=1000),
    ]
    keep("aggregation", {"rows": found})
    heads, made = cells(blocks.BLOCKS["aggregation"]())
    assert heads[-2:] == ["Flower ÷ client", "÷ gateway"]
    assert made[0] == [
        "10, proven, 9 of 10", "0", "0.79 (0.66)", "2.28 (1.51)", "0.15", "4,659", "33", "2,950",
    ]  # fmt: skip
    assert made[1][1:] == [*("1", "0.79 (0.66)", "2.28 (1.51)", "0.15", "4,659"), "–", "–"]
    assert [line[0] for line in made[2:]] == [
        "10, T = 5, packed, 9 of 10",
        "10, L = 1,000, proven, 9 of 10",
    ]
    heads, made = cells(blocks.BLOCKS["aggregation-parts"]())
    assert heads == ["N", "quantise", "rest"]
    assert made[:2] == [["10", "25", "75"], ["10, T = 5", "25", "75"]]


def test_prio_stands_beside_ours_with_as_many_that_may_collude(keep):
    found = [row(5, 1), row(10, 2), row(10, 2, 1), row(10, 5, code="packed 4 × 9/10")]
    keep("aggregation", {"rows": found, "prio": []})
    with pytest.raises(FileNotFoundError):
        blocks.BLOCKS["prio"]()
    measured = [PrioRow(n, 20, servers, 0.12, 0.5, 4640, 40) for n, servers in
                ((5, 2), (10, 2), (10, 3), (10, 6))]  # fmt: skip
    keep("aggregation", {"rows": found, "prio": [asdict(one) for one in measured]})
    _, made = cells(blocks.BLOCKS["prio"]())
    assert [line[:2] for line in made] == [
        ["5, one", "2"],
        ["10, two", "3"],
        ["10, five (T = N/2)", "6"],
    ]
    assert made[1][2:] == ["0.12", "0.05", "4,640", "proven", "0.66", "0.15", "4,659"]
    assert made[2][5] == "packed"


def test_rounds_over_a_broker(keep):
    measured = NetworkRow(
        agents=1000, length=20, code="proven 14/18", messages=5, rounds=9, failed=0, included=99.0,
        rounds_per_second=6.21, latency_p50_ms=156.4, latency_p95_ms=1180.0, agent_cpu_ms=1.142,
        broker_cpu_ms=0.12, gateway_cpu_ms=0.309, gateway_cpu_round_ms=3.1, agents_rss_mb=80.0,
        start_s=3.0,
    )  # fmt: skip
    keep("network", {"rows": [asdict(measured)]})
    _, made = cells(blocks.BLOCKS["network"]())
    assert made == [["1,000, proven, 14 of 18", "6.2", "156", "1,180", "1.14", "0.12", "0.31"]]


def test_learners(keep):
    rows = [
        LearnerRow("bananas", "reference", 0.86581, 58, 0.751, 6.21, 93.4, 311.2, 124.6, 414.9),
        LearnerRow("bananas", "improved", 0.8979, 128, 1.27, 5.7, 66.0, None, 52.0, None),
        LearnerRow("synthetic-1000", "improved", 0.1, 1000, 4.7, None, 160.2, None, 34.1, None),
    ]
    keep("learner", {"rows": [asdict(one) for one in rows]})
    with pytest.raises(FileNotFoundError):
        blocks.BLOCKS["learner-river"]()
    rows.append(LearnerRow("bananas", "river-knn", 0.88491, None, 482.3))
    keep("learner", {"rows": [asdict(one) for one in rows]})
    _, made = cells(blocks.BLOCKS["learner"]())
    assert made == [
        ["bananas, 58", "reference", ".8658", "0.75", "6.21", "93.4", "311", "125", "415"],
        ["bananas, 128", "improved", ".8979", "1.27", "5.70", "66.0", "–", "52", "–"],
        ["synthetic, 1,000", "improved", "–", "4.70", "–", "160", "–", "34", "–"],
    ]
    heads, made = cells(blocks.BLOCKS["learner-river"]())
    assert heads == ["", "knn", "µs", "improved", "µs"]
    assert made == [["bananas", ".8849", "482", ".8979", "1.27"]]


def test_the_ledger(keep):
    runs = [Run("phishing", "limited", n, 2, 33033, 66066, 0.931, 0.89, 500) for n in (1, 3)]
    runs.append(Run("bananas", "unlimited", 3, 200, 32796, 6_569_070, 0.907, 0.895, 300))
    keep("ledger", {
        "operations": [asdict(Operation(name, n, 2, 30_000 + n)) for n in (11, 20)
                       for name in ("grant", "read one record")],
        "replay": [_compared(run) for run in runs],
        "speed": [asdict(Speed("anvil", True, 60.3, 15.6, 16.7))],
    })  # fmt: skip
    heads, made = cells(blocks.BLOCKS["ledger-operations"]())
    assert heads == ["operation", "11 × 2", "20 × 2"]
    assert made == [["grant", "30,011", "30,020"], ["read one record", "30,011", "30,020"]]
    _, made = cells(blocks.BLOCKS["ledger-runs"]())
    assert made[1] == [
        "phishing, limited", "3", "2", "33,033", "66,066", "4.6 M", "70×", "0.931", "0.891",
        "0.890",
    ]  # fmt: skip
    assert made[2][5:7] == ["86 M", "13×"]
    _, made = cells(blocks.BLOCKS["ledger-slots"]())
    assert made == [["phishing", "2", "33,033", "43,982", "66,066", "4.6 M", "70×"]]
    _, made = cells(blocks.BLOCKS["ledger-speed"]())
    assert made == [["anvil, WebSocket", "60", "16 ms", "17 ms"]]


def test_an_agent_and_an_emulation_s_data(keep):
    keep("edge", {
        "first_reading_s": 1.13, "cpu_percent_of_a_core": 0.496, "rss_mb": 65.5, "peak_mb": 66.1,
        "own_mb": 34.06, "sockets_and_files_bytes_s": 900.0, "card_bytes_a_day_online": 0.0,
        "libraries_peak_mb": 58.0, "libraries_own_mb": 30.0, "peak_by_libraries": 1.139,
        "card_bytes_a_day_offline": 2_712_345,
    })  # fmt: skip
    _, made = cells(blocks.BLOCKS["edge"]())
    assert [line[2] for line in made] == [
        "1.1 s", "0.50 %", "65.5 MB", "34.1 MB", "66.1 MB", "58.0 MB", "1.14", "0 bytes", "2.7 MB",
    ]  # fmt: skip


def recorded(study, rows, folder):
    write(study, Table(study.keys, tuple(study.measures), rows), folder)


def test_ways_of_sharing(keep):
    study = load("ways")
    rows = [
        {"data": "phishing", "dealt": dealt, "way": way}
        | {name: 0.5 + number / 10 for number, name in enumerate(study.measures)}
        for dealt in ("iid", "Dirichlet 0.3")
        for way in ("union", "gossip")
    ]
    recorded(study, rows, keep("none", {}))
    heads, made = cells(blocks.BLOCKS["ways"]())
    assert heads[:4] == ["data", "dealt", "way", "accuracy"]
    assert [line[:3] for line in made] == [list(row.values())[:3] for row in rows]
    assert made[0][3:] == [".500", ".600", ".700", ".800", "0.9", "1.0", "1.1", "1 k"]


def test_many_gateways_from_a_tiny_run(keep):
    """The experiment itself, with three gateways."""
    rows = [row for seed in (1, 2) for row in many.run(many.Job("bananas", 3, None, seed))]
    recorded(load("many"), rows, keep("none", {}))
    heads, ((*keys, prototypes, alone, few, some, default, everything),) = cells(
        blocks.BLOCKS["many"]()
    )
    assert heads[:3] == ["data", "dealt", "gateways"]
    assert keys == ["bananas", "iid", "3"]
    assert float(prototypes) > 0
    assert few == some == default == everything, "so few prototypes are below each bound"
    assert 0.4 < float(alone) < 1
