"""Each experiment in a tiny version, through the command; and what they are made of."""

import csv
import importlib

import numpy as np
import pytest
from typer.testing import CliRunner

from protoledger.experiments.cli import EXPERIMENTS, app, load
from protoledger.experiments.collaboration import Collaboration
from protoledger.experiments.experiment import Experiment, carry_out, write
from protoledger.experiments.streams import DATA, deal, split
from protoledger.gateway.learner import load_kernels
from protoledger.gateway.training.model import SiteModel

runner = CliRunner()


@pytest.fixture(scope="module", autouse=True)
def kernels(request):
    """The tests' compiled kernels, not the user's."""
    assert load_kernels(request.config.cache.mkdir("kernels"))


def command(*words):
    return runner.invoke(app, list(words))


def test_without_a_name_they_are_listed():
    lines = command().output.splitlines()
    assert [line.split()[0] for line in lines] == list(EXPERIMENTS)
    assert all(len(line) < 100 for line in lines)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["acuracy"], "did you mean 'accuracy'?"),
        (["accuracy", "--seeds", "-1"], "--seeds"),
        (["accuracy", "--seeds", "two"], "--seeds"),
        (["accuracy", "--out", __file__], "is a file"),
        (["accuracy", "--fast"], "--fast"),
    ],
)
def test_bad_options_are_told(words, said):
    answer = command(*words)
    assert answer.exit_code == 2
    assert said in " ".join(answer.output.replace("│", "").split())


# it runs in real time: half a minute
TINY = [pytest.param(n, marks=pytest.mark.long) if n == "consensus" else n for n in EXPERIMENTS]
UNTRIED = {"one_killed_s", "back_s"}  # with one node there is nothing to kill


@pytest.mark.parametrize("name", TINY)
def test_a_tiny_run_writes_its_files(name, tmp_path):
    found = load(name)
    tiny = Experiment(
        **{slot: getattr(found, slot) for slot in Experiment.__slots__ if slot != "jobs"},
        jobs=lambda seed, quick: list(found.jobs(seed, quick))[:2],
    )
    table = carry_out(tiny, [1], quick=True)
    paths = write(tiny, table, tmp_path / "new")
    assert [path.suffix for path in paths] == [".csv", ".md", ".png", ".json"]
    rows = list(csv.DictReader(paths[0].open()))
    assert len(rows) == len(table.points)
    assert set(found.keys) <= set(rows[0])
    measured = [measure for measure in found.measures if measure not in UNTRIED]
    assert all(np.isfinite(float(row[measure])) for row in rows for measure in measured)
    assert paths[2].read_bytes()[:4] == b"\x89PNG"
    assert paths[2].stat().st_size < 200_000


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_jobs_are_values(name):
    module = importlib.import_module(f"protoledger.experiments.studies.{name}")
    for quick in (True, False):
        jobs = list(module.EXPERIMENT.jobs(1, quick))
        assert len(set(jobs)) == len(jobs) > 0
    assert module.EXPERIMENT.name == name
    assert module.EXPERIMENT.seeds >= (3 if name == "consensus" else 10)


@pytest.mark.parametrize("name", DATA)
def test_what_is_held_out_is_not_learnt(name):
    data = split(name, 3)
    assert len(data.x) == pytest.approx(7 / 3 * len(data.held_x), rel=0.01)
    again = split(name, 3)
    assert (data.held_x == again.held_x).all()
    assert not (data.held_x[:50] == split(name, 4).held_x[:50]).all()


@pytest.mark.parametrize("dirichlet", [None, 0.3])
def test_every_row_is_dealt_once(dirichlet):
    y = split("image-segments", 1).y
    dealt = deal(y, 7, 5, dirichlet)
    assert sorted(np.concatenate(dealt).tolist()) == list(range(len(y)))
    if dirichlet is not None:
        assert max(map(len, dealt)) > 1.5 * min(map(len, dealt))


def test_a_branch_goes_on_as_the_run_it_left():
    data = split("phishing", 1)
    run = Collaboration(data, deal(data.y, 3, 1), lambda: SiteModel(9, 2))
    for played in run.play():
        if played == 8:
            break
    branches = run.branch(), run.branch()
    for branch in branches:
        for number in range(8, 20):
            branch.round(number)
    for one, other in zip(*(branch.gateways for branch in branches), strict=True):
        assert one.book == other.book
        assert one.model.state() == other.model.state()
    assert branches[0].accuracy() == branches[1].accuracy() > 0.8
    assert run.commits <= branches[0].commits
