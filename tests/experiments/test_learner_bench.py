"""The learner's benchmark: small, and as a person runs it."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from protoledger.experiments.benchmarks.cli import app
from protoledger.experiments.benchmarks.learner import bench as bench_learner
from protoledger.experiments.benchmarks.learner import measures as learner_measures
from protoledger.experiments.benchmarks.learner.measures import (
    RIVER,
    Stream,
    accuracy,
    measure,
    measure_many,
)
from protoledger.gateway.learner import MODES, load_kernels


@pytest.fixture(autouse=True, scope="module")
def kernels(request):
    assert load_kernels(request.config.cache.mkdir("kernels"))


@pytest.fixture
def short(monkeypatch):
    """The streams' first rows, and a hundred prototypes for very many."""
    packaged = Stream.packaged

    def beginning(name):
        whole = packaged(name)
        return Stream(name, whole.xs[:150], whole.ys[:150], whole.labels)

    monkeypatch.setattr(Stream, "packaged", beginning)
    monkeypatch.setattr(bench_learner, "_SIZES", (100,))
    monkeypatch.setattr(learner_measures, "REPEATS", 1)


@pytest.mark.usefixtures("short")
def test_the_command_writes_its_rows(tmp_path):
    file = tmp_path / "learner.json"
    done = CliRunner().invoke(app, ["learner", "--json", str(file), "--shuffles", "2"])
    assert done.exit_code == 0, done.output
    rows = json.loads(file.read_text())["rows"]
    found = {(row["data"], row["mode"]) for row in rows}
    streams = ("image-segments", "phishing", "bananas")
    assert found == {
        *((data, mode) for data in streams for mode in (*MODES, *RIVER)),
        *(("synthetic-100", mode) for mode in MODES),
    }
    for row in rows:
        assert 0 <= row["accuracy"] <= 1
        assert row["us_per_sample"] > 0
        assert (row["ratio_to_numpy"] is None) == (row["mode"] in RIVER)
        assert (row["ratio_to_python"] is None) == (
            row["mode"] != "reference" or row["data"].startswith("synthetic")
        )


def test_figures_are_of_the_whole_stream():
    stream = Stream.packaged("phishing")
    row = measure(stream, "reference", shuffles=1, slow=False)
    assert (round(row.accuracy, 4), row.prototypes) == (0.8551, 68)
    assert row.shuffled[1] == 0
    assert row.us_python is None


def test_the_first_prediction_does_not_count():
    assert accuracy(np.array([-1, 1, 0]), np.array([0, 1, 1])) == 0.5


@pytest.mark.parametrize("mode", MODES)
def test_very_many_prototypes_are_really_there(mode):
    assert measure_many(mode, 300, samples=50).prototypes >= 300


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_the_picture_is_the_same_each_time(tmp_path, kind):
    files = [tmp_path / f"{number}.{kind}" for number in (1, 2)]
    for file in files:
        done = CliRunner().invoke(app, ["learner", "--picture", str(file)])
        assert done.exit_code == 0, done.output
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("option", ["--json", "--picture"])
def test_a_file_that_cannot_be_is_told_at_once(tmp_path, option):
    done = CliRunner().invoke(app, ["learner", option, str(tmp_path / "no" / "file")])
    assert done.exit_code == 74
    assert "is no folder" in " ".join(done.output.split())
