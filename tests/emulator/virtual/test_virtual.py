"""Deployments in virtual time: exact sums, repeatable weather, and sites that recover from cuts."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from protoledger.emulator.cli import app
from protoledger.emulator.options import Options
from protoledger.emulator.virtual.clock import Clock
from protoledger.emulator.virtual.links import Cut, Links, NetworkFile
from protoledger.emulator.virtual.run import VirtualRun
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.exits import Exit

VARIES = ("seconds", "cpu_seconds", "megabytes")  # keys and signatures are new in each run


def run(network: str = "", tmp_path: Path | None = None, **options: Any) -> dict[str, Any]:
    if tmp_path is not None:
        options["network"] = tmp_path / "network.yaml"
        options["network"].write_text(network)
    agents = options.setdefault("agents", 4)
    options = {"virtual": agents, "sites": 1, "rounds": 8, **options}
    return VirtualRun(Options(**options), lambda _: None).run()


def test_without_faults_every_round_completes_and_every_sum_is_true() -> None:
    report = run(agents=6, virtual=12, sites=2)
    assert (report["rounds_completed"], report["rounds_failed"]) == (16, 0)
    assert (report["wrong_sums"], report["messages_lost"]) == (0, 0)
    assert report["agents"] == 12


def test_a_seed_repeats_the_weather(tmp_path: Path) -> None:
    weather = (
        "{loss: 0.03, duplicate: 0.05, jitter_ms: 50, cuts: [{from_s: 20, to_s: 40, share: 1}]}"
    )
    reports = [run(weather, tmp_path, seed=seed, rounds=6) for seed in (1, 1, 2)]
    told = [{k: v for k, v in one.items() if k not in VARIES} for one in reports]
    assert told[0] == told[1]
    assert told[0] != told[2]
    assert reports[0]["messages_lost"] > 0
    assert reports[0]["messages_repeated"] > 0


@pytest.mark.parametrize("device", ["site-1.gateway", "site-1.agent-2"])
def test_a_site_goes_on_after_a_device_was_cut_off(device: str, tmp_path: Path) -> None:
    report = run(f"cuts: [{{from_s: 25, to_s: 60, devices: [{device}]}}]", tmp_path, rounds=10)
    assert report["sites_given_up"] == 0
    assert report["rounds_completed"] + report["rounds_failed"] == 10
    assert report["rounds_completed"] >= 8
    assert report["wrong_sums"] == 0


def test_a_site_waits_for_agents_that_come_late(tmp_path: Path) -> None:
    agents = ", ".join(f"site-1.agent-{n}" for n in (1, 2, 3))
    report = run(f"cuts: [{{from_s: 0, to_s: 5000, devices: [{agents}]}}]", tmp_path, rounds=2)
    assert report["rounds_completed"] == 2
    assert report["virtual_seconds"] > 5000


def test_a_site_whose_agents_never_come_is_given_up_and_said_so(tmp_path: Path) -> None:
    report = run("loss: 1", tmp_path, rounds=2)
    assert report["sites_given_up"] == 1
    assert report["rounds_completed"] == 0


def test_commits_land_in_blocks_and_reach_those_that_were_cut_off(tmp_path: Path) -> None:
    weather = "cuts: [{from_s: 30, to_s: 150, devices: [site-2.gateway]}]"
    options = Options(
        virtual=8, sites=2, agents=4, rounds=20, batch=8, network=tmp_path / "n", test="always"
    )
    (tmp_path / "n").write_text(weather)
    made = VirtualRun(options, lambda _: None)
    report = made.run()
    assert report["commits"] > 0
    assert all(site.model.leftover() is None for site in made.sites), "nothing is owed at the end"
    first, second = made.sites
    for reader, owner in ((first, second), (second, first)):
        assert owner.gateway in reader.model.union.owners
        assert reader.model.commits.version == made.ledger.books[reader.gateway].version > 0


@pytest.mark.parametrize(
    ("cut", "told"),
    [
        ({"from_s": 5, "to_s": 5, "share": 1}, "is not after"),
        ({"from_s": 5, "to_s": 6}, "neither a share"),
        ({"from_s": -1, "to_s": 6, "share": 0.1}, "greater than or equal to 0"),
    ],
)
def test_a_cut_that_means_nothing_is_refused(cut: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Cut.model_validate(cut)


def test_a_device_that_does_not_exist_is_named() -> None:
    settings = NetworkFile(cuts=(Cut(from_s=0, to_s=1, devices=("site-9.agent-1",)),))
    with pytest.raises(ConfigurationError, match=r"no device site-9\.agent-1"):
        Links(Clock(), settings, ["site-1.agent-1"], 0)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--virtual", "12", "--page"], "--page: there is no such thing"),
        (["--virtual", "3"], "a site has 6 agents"),
        (["--sites", "51"], "at most 50 without --virtual"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_starts(
    words: list[str], told: str
) -> None:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == Exit.USAGE, done.output
    assert told in done.output


def test_all_errors_of_a_network_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "n").write_text("{loss: 2, dela_ms: 3}")
    done = CliRunner().invoke(app, ["--virtual", "12", "--network", str(tmp_path / "n")])
    assert done.exit_code == Exit.CONFIGURATION, done.output
    assert "2 problem(s)" in done.output
    assert "did you mean 'delay_ms'" in done.output


def test_the_command_prints_a_table_and_writes_the_report(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    words = ["--virtual", "8", "--agents", "4", "--rounds", "3", "--json", str(file)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "6 completed, 0 failed" in done.output
    assert json.loads(file.read_text())["sites"] == 2
