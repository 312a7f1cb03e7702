"""What grows how: small sizes, and the fit. What is measured is not tested."""

import json
import math

import pytest
from typer.testing import CliRunner

from protoledger.experiments.benchmarks.growth.bench import PARTS, app, exponents
from protoledger.experiments.benchmarks.growth.owners import of_owners
from protoledger.gateway.learner import load_kernels

runner = CliRunner()


@pytest.fixture(scope="module", autouse=True)
def kernels(request):
    """The tests' compiled kernels, not the user's."""
    assert load_kernels(request.config.cache.mkdir("kernels"))


def test_every_part_is_measured_and_written(tmp_path):
    words = ["--size", "4", "--size", "6", "--repeats", "2", "--prototypes", "12"]
    done = runner.invoke(app, [*words, "--json", str(tmp_path / "r.json")])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "r.json").read_text())
    for part in PARTS:
        assert [row["size"] for row in report[part]["rows"]] == [4, 4, 6, 6]
        assert f"| {part} |" in done.output
    assert report["owners"]["rows"][-1]["voting"] == pytest.approx(72, abs=10)
    assert all(row["gas"] > 21_000 for row in report["ledger"]["rows"])
    assert all(row["bytes_of_agent"] > 1000 for row in report["agents"]["rows"])


def test_a_part_that_is_none_is_refused():
    assert runner.invoke(app, ["--part", "owner"]).exit_code == 2


def test_beyond_the_bound_owners_are_drawn(monkeypatch):
    monkeypatch.setattr("protoledger.experiments.benchmarks.growth.owners.MOST_PROTOTYPES", 60)
    assert of_owners(20, 10, 4, 1)["voting"] <= 60
    assert of_owners(20, 10, 4, 1, bound=False)["voting"] > 150


def test_an_interval_covers_the_true_exponent_and_needs_three_measurements():
    noisy = [
        {"size": n, "ms": n**1.5 * (1 + 0.1 * (-1) ** at)}
        for at, n in enumerate((40.0, 80.0, 160.0, 320.0))
    ]
    exponent, half = exponents(noisy)["ms"]
    assert abs(exponent - 1.5) < half < 1
    assert exponents(noisy[:2])["ms"][1] == math.inf
    assert exponents([{"size": 4.0, "ms": 1.0}]) == {}
