"""Plug-ins: how they are found, the rules of each kind, and the example package, installed."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
from pydantic import ValidationError

from protoledger import plugins
from protoledger.conformance import SUITES, check, failures, main
from protoledger.emulator.errors import DataSourceError, UnknownSourceError
from protoledger.emulator.sources.catalogue import open_source
from protoledger.emulator.sources.house import HouseSource
from protoledger.experiments.variants.attacks import ATTACKS, DataAttack, make_attack
from protoledger.experiments.variants.sharing import SHARING, make_sharing
from protoledger.gateway.config import LearnerConfig
from protoledger.gateway.errors import LearnerUnavailableError
from protoledger.gateway.learner import ImprovedILVQ, XuILVQ, make_learner
from protoledger.gateway.learner.own import PrototypeLearner
from protoledger.sensors.synthetic.mock import MockSensor

EXAMPLE = Path(__file__).parents[2] / "examples/plugins"
PAGE = (EXAMPLE.parents[1] / "docs/api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
GROUPS = ("sensors", "learners", "sharing", "attacks", "sources")


class Reference(XuILVQ):
    """As other learners are made; it knows no limit."""

    def __init__(self, n_features, n_classes, *, capacity=128):  # noqa: ARG002
        super().__init__(n_features, n_classes)


class Forgetful(PrototypeLearner):
    """Breaks rules: it saves less than it needs, and never says that rows changed."""

    def _learn(self, x, y, margin):  # noqa: ARG002
        self.odd = not getattr(self, "odd", False)
        if self.odd:
            self.add(x, y)
            self.revision = 0


class Stray(DataAttack):
    """Writes to what it is given."""

    def sample(self, x, y, labels, rng):  # noqa: ARG002
        x += 1
        return x, labels


@pytest.mark.parametrize("learner", [ImprovedILVQ, Reference])
def test_the_built_in_learners_keep_the_rules(learner):
    assert failures("learners", learner) == []


@pytest.mark.parametrize("name", SHARING.built_in)
def test_the_built_in_ways_of_sharing_keep_the_rules(name):
    assert failures("sharing", SHARING.find(name)) == []


@pytest.mark.parametrize("name", ATTACKS.built_in)
def test_the_built_in_attacks_keep_the_rules(name):
    assert failures("attacks", ATTACKS.find(name)) == []


def test_a_built_in_source_and_driver_keep_the_rules():
    assert failures("sources", HouseSource) == []
    assert failures("sensors", MockSensor, {"level": 3.0, "missing_rate": 0.2}) == []
    assert failures("sensors", "protoledger.sensors.drivers.distance:DistanceSensor",
                    {"echo": 24, "trigger": 23}) == []  # fmt: skip


def test_rules_that_are_not_kept_are_told():
    broken = {kept.rule for kept in check("learners", Forgetful) if kept.broken}
    assert any("revision" in rule for rule in broken)
    assert any("restored" in rule for rule in broken)
    assert not any("Before the first sample" in rule for rule in broken)
    told = "\n".join(failures("attacks", Stray))
    assert "it wrote to the honest sample" in told
    assert failures("sharing", dict) != []
    assert failures("sources", dict) != []
    assert failures("sensors", dict) != []


def test_the_command_says_what_it_wants(capsys):
    for words in ([], ["learners"], ["fish", "a:b"], ["learners", "a:b", "[]"], ["learners", "x"],
                  ["learners", "no_such:X"], ["attacks", "math:pi", '{"a": 1}']):  # fmt: skip
        assert main(words) == 64
        assert "usage: python -m protoledger.conformance" in capsys.readouterr().err


def offer(monkeypatch, *offers):
    found = EntryPoints(EntryPoint(name, value, group) for group, name, value in offers)
    monkeypatch.setattr(plugins, "entry_points", found.select)


def test_unknown_names_list_what_is_installed(monkeypatch):
    offer(
        monkeypatch,
        ("protoledger.learners", "mine", "math:pi"),
        ("protoledger.sources", "mine", "math:pi"),
        ("protoledger.sharing", "mine", "math:pi"),
        ("protoledger.attacks", "mine", "no_such_module:X"),
    )
    with pytest.raises(LearnerUnavailableError, match="there are improved, mine, reference"):
        make_learner("imprved", 2, 2)
    with pytest.raises(ValidationError, match=r"did you mean 'improved'.*mine, reference"):
        LearnerConfig(mode="imprved")
    with pytest.raises(UnknownSourceError, match="house, image-segments, mine, phishing, or a CSV"):
        open_source("hose")
    ways = ", ".join(sorted({*SHARING.built_in, "mine"}))
    with pytest.raises(plugins.UnknownPluginError, match=f"there are {ways}"):
        make_sharing("vote")
    with pytest.raises(plugins.UnknownPluginError, match="mine"):
        make_attack("swaped")


def test_what_is_broken_is_named(monkeypatch):
    offer(
        monkeypatch,
        ("protoledger.learners", "mine", "math:pi"),
        ("protoledger.sources", "mine", "math:pi"),
        ("protoledger.sharing", "mine", "math:pi"),
        ("protoledger.attacks", "mine", "no_such_module:X"),
        ("protoledger.attacks", "twice", "a:A"),
        ("protoledger.attacks", "twice", "b:B"),
        ("protoledger.attacks", "flood", "b:B"),
    )
    with pytest.raises(LearnerUnavailableError, match="'mine' is 3"):
        make_learner("mine", 2, 2)
    with pytest.raises(DataSourceError, match=r"must be a subclass of .*RowSource"):
        open_source("mine")
    with pytest.raises(plugins.BrokenPluginError, match=r"must be a subclass of .*Sharing"):
        make_sharing("mine")
    with pytest.raises(plugins.BrokenPluginError, match="cannot be loaded: No module"):
        make_attack("mine")
    with pytest.raises(plugins.BrokenPluginError, match="twice, as a:A and b:B"):
        make_attack("twice")
    assert type(make_attack("flood")).__name__ == "Flood", "a built-in name cannot be replaced"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment of a process in which the example package is installed."""
    target = tmp_path_factory.mktemp("site-packages")
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps",
         "--no-build-isolation", "--target", target, EXAMPLE],
        check=True,
    )  # fmt: skip
    return os.environ | {"PYTHONPATH": str(target)}


PROGRAM = """
import json, re, sys
from pathlib import Path
from protoledger.conformance import failures
from protoledger.emulator.options import Options
from protoledger.emulator.sources.catalogue import open_source
from protoledger.experiments.studies import poison, scale
from protoledger.gateway.config import LearnerConfig
from protoledger.gateway.training.model import SiteModel
from protoledger.sensors import open_sensor

readme = Path(sys.argv[1]).read_text()
line = r"^\\$ python -m protoledger.conformance (\\w+) (\\S+)(?: '(.*)')?$"
found = re.findall(line, readme, re.M)
broken = {kind: failures(kind, target, json.loads(given or "{}")) for kind, target, given in found}
model = SiteModel(2, 2, mode=LearnerConfig(mode="class-means").mode)
for step in range(80):
    model.step([step % 2 + 0.01 * (step % 5), 0.5], step % 2)
twin = SiteModel.restore(model.state())
with open_sensor("load_average", {"minutes": 5}) as sensor:
    load = sensor.read().value
print(json.dumps({
    "broken": broken,
    "right": [model.predict_one([0.1, 0.5]), twin.predict_one([0.9, 0.5])],
    "same": twin.state() == model.state(),
    "options": [Options(learner="class-means", source="pendulum").learner],
    "labels": open_source("pendulum").labels,
    "load": load >= 0,
    "ways": sorted({job.way for job in scale.jobs(1, True)}),
    "attacks": "mirror" in poison.jobs(1, True)[0].kinds,
}))
"""


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0][5:60])
def test_the_programs_of_the_page_run(block):
    if "scikit_learn" in block:
        pytest.importorskip("sklearn", reason="in requirements.lock: run `make setup`")
    exec(block, {})  # the page's own text


@pytest.mark.timeout(1200)
def test_the_example_package_is_found_and_keeps_all_rules(installed):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, EXAMPLE / "README.md"],
        env=installed, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["broken"] == {kind: [] for kind in SUITES}
    assert set(told["broken"]) == set(GROUPS)
    assert told["right"] == [0, 1]
    assert told["same"]
    assert told["load"]
    assert told["labels"] == ["left", "right"]
    assert told["ways"] == sorted({*SHARING.built_in, "majority"})
    assert told["attacks"]
