"""A kept emulation is continued as a site: the same agents, model, contracts and chain."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.emulator.sites import cli
from protoledger.runtime.exits import Exit
from tests.support.isolation import isolated

ROUNDS = 12
SCRIPT = """
set -e
trap 'kill $(jobs -p); wait' EXIT
cd site-1
protoledger site chain &
protoledger site broker &
protoledger site deploy
protoledger edge run $(printf -- ' -c %s' devices/*agent*/agent.yaml) &
protoledger gateway run -c devices/site-1.gateway/gateway.yaml &
protoledger site check --wait 120
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """What `emulate --keep` leaves, moved elsewhere."""
    folder = tmp_path_factory.mktemp("kept")
    command = [sys.executable, "-m", "protoledger", "emulate", "--sites", "1", "--agents", "4"]
    command += ["--rounds", str(ROUNDS), "--keep", str(folder / "run")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (folder / "run").rename(folder / "moved")
    return folder / "moved"


def files(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_nothing_that_is_kept_names_where_it_was(kept):
    names = [p for p in (kept / "site-1").glob("*.yaml") if str(kept.parent) in p.read_text()]
    assert names == []
    from protoledger.edge.check.agent_files import read_agent_files

    assert read_agent_files(kept / "site-1/site-1.agent-1.yaml").text == ""
    assert json.loads((kept / "chain/deployment.json").read_text())["oracle"].startswith("0x")
    assert (kept / "chain/state.json").exists()


def test_what_is_no_emulation_and_what_exists_is_refused(kept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (["adopt", "."], ["adopt", str(kept), "--name", "site-9"]):
        done = CliRunner().invoke(cli.app, words)
        assert done.exit_code == Exit.CONFIGURATION, done.output
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "site-1").mkdir()
    assert CliRunner().invoke(cli.app, ["adopt", str(kept)]).exit_code == Exit.CONFIGURATION


def test_agents_go_over_to_sensors_one_by_one(kept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(cli.app, ["adopt", str(kept)]).exit_code == Exit.OK
    words = ["check", "--site", "site-1", "--no-broker", "--no-chain"]

    def replaying():
        done = CliRunner().invoke(cli.app, words)
        assert done.exit_code == Exit.OK, done.output
        return re.findall(r"! (\S+) .*\n.*no real sensor gives co2, .*the label", done.output)

    assert replaying() == [f"site-1.agent-{number}" for number in range(1, 5)]
    path = tmp_path / "site-1/devices/site-1.agent-1/agent.yaml"
    content = yaml.safe_load(path.read_text())
    names = [sensor["channel"] for sensor in content["sensors"]]
    del content["sampling"]
    content["sensors"] = [
        {"channel": name, "driver": "iio", "options": {"name": "ads1015", "channel": f"voltage{n}"}}
        for n, name in enumerate(names)
    ]
    content["label"] = {"driver": "button", "options": {"pin": 4, "mode": "toggle"}}
    path.write_text(yaml.safe_dump(content))
    site_file = tmp_path / "site-1/site.yaml"
    site = yaml.safe_load(site_file.read_text())
    site["round"] = {"window_s": 10, "every_s": 10}
    site_file.write_text(yaml.safe_dump(site))
    assert CliRunner().invoke(cli.app, ["renew", "--site", "site-1"]).exit_code == Exit.OK
    assert replaying() == [f"site-1.agent-{number}" for number in range(2, 5)]


@pytest.mark.timeout(500)
def test_an_adopted_site_goes_on_where_the_emulation_ended(kept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = files(kept)
    done = CliRunner().invoke(cli.app, ["adopt", str(kept)])
    assert done.exit_code == Exit.OK, done.output
    assert files(kept) == before  # only read
    made = tmp_path / "site-1"
    agent = yaml.safe_load((made / "devices/site-1.agent-1/agent.yaml").read_text())
    assert {sensor["options"]["path"] for sensor in agent["sensors"]} == {"agent-1.csv"}
    assert "replay recordings until" in done.output
    isolation = isolated()
    if isolation is None or find_mosquitto() is None:
        pytest.skip("needs Mosquitto and a network namespace")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    run = subprocess.run(
        [*isolation, "bash", "-c", SCRIPT],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "the contracts are there already" in run.stdout
    with closing(sqlite3.connect(made / "devices/site-1.gateway/gateway.db")) as store:
        state = dict(store.execute("SELECT name, value FROM state"))
    assert int(state["round"]) > ROUNDS
