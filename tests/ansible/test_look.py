"""The role `edge` has the installed version look at new files before the agent gets them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from protoledger.emulator.sites import cli

ANSIBLE = Path(__file__).parents[2] / "ansible"
BIN = Path(sys.executable).parent


@pytest.fixture
def host(tmp_path, monkeypatch):
    """What the role finds on a host, and the variables that say where."""
    monkeypatch.chdir(tmp_path)

    def site(*words):
        assert CliRunner().invoke(cli.app, [str(w) for w in words]).exit_code == 0

    site("init", "house", "--broker", "localhost", "--kit", "climate")
    folders = sorted((tmp_path / "house/devices").iterdir())
    site("request", *folders)
    site("approve", "--site", "house", "--yes", *(f / "request.json" for f in folders))
    device, etc = tmp_path / "house/devices/house-1", tmp_path / "etc"
    for place in ("etc/private", "opt/current/bin", "state/sites/house"):
        (tmp_path / place).mkdir(parents=True)
    for name in ("tls.crt", "ca.crt"):
        shutil.copy(device / name, etc)
    for name in ("tls.key", "identity.key"):
        shutil.copy(device / name, etc / "private")
    (etc / "agent.yaml").write_text("the old one")
    shutil.copy(device / "roster.json", tmp_path / "state/sites/house")
    (tmp_path / "opt/current/bin/protoledger").symlink_to(BIN / "protoledger")
    content = yaml.safe_load((device / "site.yaml").read_text())
    agent = yaml.safe_load((device / "agent.yaml").read_text())
    return {
        "fleet_etc": str(etc),
        "fleet_private": str(etc / "private"),
        "fleet_opt": str(tmp_path / "opt"),
        "fleet_state": str(tmp_path / "state"),
        "fleet_site": "house",
        "fleet_sites": {"house": {"broker": {"host": "localhost"}, "round": content["round"]}},
        "fleet_channels": content["channels"],
        "fleet_labels": content["labels"],
        "fleet_sensors": agent["sensors"],
        "fleet_label": agent["label"],
        "fleet_sampling": agent["sampling"],
        "pki_authority": {"fleet_key": content["fleet_key"]},
        "edge_files": {},
        "edge_extra": {},
        "edge_status_file": "/var/lib/protoledger/status.json",
    }


def look(folder, variables):
    """Run the role's tasks on this machine, as if it were the host house-1."""
    play = {
        "hosts": "all",
        "connection": "local",
        "gather_facts": False,
        "vars_files": [str(ANSIBLE / "roles/edge/vars/main.yml")],
        "tasks": [
            {"ansible.builtin.import_tasks": str(ANSIBLE / "roles/edge/tasks/look.yml")},
        ],
    }
    fleet = yaml.safe_load((ANSIBLE / "roles/fleet/defaults/main.yml").read_text())
    play["vars"] = {**fleet, **variables, "ansible_python_interpreter": sys.executable}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    return subprocess.run(
        [BIN / "ansible-playbook", "-i", "house-1,", folder / "play.yml"],
        cwd=ANSIBLE,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(300)
def test_good_files_pass_and_change_nothing_the_second_time(host, tmp_path):
    for changed in ("changed=2", "changed=0"):
        run = look(tmp_path, host)
        assert run.returncode == 0, run.stdout + run.stderr
        assert changed in run.stdout
        copied = tmp_path / "etc/look/site.yaml"
        assert copied.read_text() != "an old one"
        copied.write_text("an old one")  # as rotate.yml leaves it
    assert (tmp_path / "etc/look").stat().st_mode & 0o777 == 0o700


@pytest.mark.timeout(300)
def test_files_that_the_agent_could_not_read_are_refused_by_name(host, tmp_path):
    host["fleet_sensors"][0]["options"] = {"pin": 99, "quantity": "temperature"}
    host["fleet_sampling"] = {"read_evry_s": 5}
    run = look(tmp_path, host)
    assert run.returncode != 0
    assert "keeps its old files" in run.stdout
    assert "did you mean 'read_every_s'" in run.stdout
    assert "pin" in run.stdout
    assert (tmp_path / "etc/agent.yaml").read_text() == "the old one"


def test_it_stands_before_all_that_the_agent_reads():
    tasks = yaml.safe_load((ANSIBLE / "roles/edge/tasks/configure.yml").read_text())
    names = [task["name"] for task in tasks]
    at = names.index("Look at the new files")
    assert names.index("Hand out the files that its drivers read") < at
    for later in ("Write the site's file and the roster", "Write the agent's file"):
        assert at < names.index(later)
