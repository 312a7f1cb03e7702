"""`edge check --running`: what a running agent's status file says, and what it must not hide."""

import json
import os
import subprocess
import sys

import msgspec
import pytest
import yaml

from protoledger.edge.check.running import running
from protoledger.edge.cli import app
from protoledger.edge.status import STALE_S, AgentStatus, PrivacyState, StatusFile, read_status
from protoledger.emulator.processes.broker import find_mosquitto
from tests.support.site_of import change, invoke, live, running_agent, running_site

needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto not installed")

GOOD = {"temperature": "", "label": ""}


class Config:
    def __init__(self, path):
        self.status_file = path


def status(**changes):
    given = {
        "id": "pi", "pid": os.getpid(), "written_at": 1000.0, "connected": True, "last_round": 9,
        "answered": 3, "answered_at": 999.0, "sensors": GOOD,
    }  # fmt: skip
    return AgentStatus(**{**given, **changes})


def verdicts(tmp_path, now, before=None, called=None):
    """By name; `called` is the time of the call, `now` all later ones."""
    times = iter([called if called is not None else now])
    config = Config(tmp_path / "status.json")
    items = running(config, 0.0, before, clock=lambda: next(times, now))
    return {item.name: (item.result.value, item.found) for item in items}


def write(tmp_path, one):
    StatusFile(tmp_path / "status.json").write(one)


def test_an_agent_that_does_its_work_is_fine(tmp_path):
    write(tmp_path, status(answered_at=1001.0))
    found = verdicts(tmp_path, 1002.0, called=1000.0)
    assert {name: verdict for name, (verdict, _) in found.items()} == {
        "service": "ok", "temperature": "ok", "label": "ok", "rounds": "ok",
    }  # fmt: skip


@pytest.mark.parametrize(("left", "verdict"), [(4, "ok"), (0, "note")])
def test_a_budget_is_shown_and_a_spent_one_noted(tmp_path, left, verdict):
    write(tmp_path, status(privacy=PrivacyState(6.0, 10.0, left)))
    found = verdicts(tmp_path, 1002.0, called=1000.0)["privacy"]
    assert found[0] == verdict
    assert found[1].startswith("ε 6 of 10 spent")
    assert read_status(tmp_path / "status.json").privacy.rounds_left == left


def test_an_old_file_is_no_running_agent(tmp_path):
    write(tmp_path, status())
    for now in (1000.0 + STALE_S, 10.0):  # 10 s after another boot
        assert verdicts(tmp_path, now)["service"][0] == "failed"
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait(60)
    write(tmp_path, status(pid=ended.pid))
    assert verdicts(tmp_path, 1001.0)["service"][0] == "failed"
    (tmp_path / "status.json").write_text("{")
    assert verdicts(tmp_path, 1001.0)["service"][0] == "failed"


def test_after_an_update_each_sensor_that_answered_must_answer(tmp_path):
    write(tmp_path, status(sensors={"temperature": "no answer", "label": ""}, written_at=1011.0))
    before = status(answered_at=0.0)
    found = verdicts(tmp_path, 1012.0, before=before, called=1010.0)
    assert found["temperature"] == ("failed", "no answer, and answered before")
    dead = status(answered_at=0.0, sensors={"temperature": "unplugged", "label": ""})
    found = verdicts(tmp_path, 1012.0, before=dead, called=1010.0)
    assert found["temperature"] == ("note", "no answer (as before)")


def test_a_round_from_before_the_call_is_no_evidence(tmp_path):
    write(tmp_path, status(written_at=1011.0, answered_at=1009.0))
    found = verdicts(tmp_path, 1012.0, before=status(), called=1010.0)
    assert found["rounds"][0] == "failed"
    stood_still = status(answered_at=100.0)
    found = verdicts(tmp_path, 1012.0, before=stood_still, called=1010.0)
    assert found["rounds"][0] == "note", "a site that stood still need not go on"
    write(tmp_path, status(written_at=1009.0, answered_at=1011.0))
    assert verdicts(tmp_path, 1012.0, before=status(), called=1010.0)["service"][0] == "failed"


def test_a_full_disk_costs_a_line_once(tmp_path, caplog):
    file = StatusFile(tmp_path / "missing" / "status.json")
    for second in range(3):
        file.write(status(written_at=float(second)))
    assert len(caplog.records) == 1
    assert StatusFile(None).due is None


@needs_mosquitto
def test_the_command_reads_a_running_agents_file(tmp_path):
    with running_site(tmp_path) as (files, _):
        path = files.agent_file(files.agents[0])
        live(path)
        change(path, status_file="status.json")
        before = tmp_path / "before.json"
        with running_agent(files, 0):
            done = invoke(app, "check", "--running", "--wait", "60", "-c", path)
            text = done.output
            assert done.exit_code == 0, text
            assert "connected to the broker" in text
            folder = path.parent
            now = read_status(folder / "status.json")
            channel = next(iter(now.sensors))
            before.write_bytes(msgspec.json.encode(now))
            assert yaml.safe_load(path.read_text())["id"] == now.id
            content = json.loads((folder / "status.json").read_text())
            assert set(content["sensors"].values()) == {""}
        assert channel
        done = invoke(app, "check", "--running", "--since", before, "-c", path)
        assert done.exit_code == 69, done.output
