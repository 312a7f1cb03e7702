"""SIGHUP: what a running agent or gateway takes up of its file, and what it refuses."""

import logging
import signal
import threading

import pytest
import yaml

from protoledger.edge.agent import Agent
from protoledger.edge.config import AgentConfig
from protoledger.edge.readings.slots import slot_for
from protoledger.edge.reload import refusals
from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.operations import reload as of_gateway
from protoledger.runtime import exits
from protoledger.runtime.site import load
from protoledger.sensors import Quality
from tests.support.agent_files import AGENT, SITE, write_site
from tests.support.site_of import Running


@pytest.fixture
def files(tmp_path):
    site, roster = write_site(tmp_path)
    return tmp_path, site, roster


def config(folder, **changes):
    path = folder / "agent.yaml"
    content = {**yaml.safe_load(yaml.safe_dump(AGENT)), **changes}
    path.write_text(yaml.safe_dump(content))
    return load(path, AgentConfig)


def sensors(**changes):
    made = [{"channel": "a", "driver": "mock"}, {"channel": "b", "driver": "mock"}]
    made[0] |= changes
    return made


SAFE = [
    {"log_level": "debug"},
    {"home_assistant": {}},
    {"sensors": sensors(filters={"low": 1.0})},
    {"sensors": sensors(calibration={"offset": 2.0})},
]
UNSAFE = [
    ("id", {"id": "pi-1"}),
    ("identity_file", {"identity_file": "pi-1.identity"}),
    ("sampling", {"sampling": {"read_every_s": 1.0}}),
    ("spool_file", {"spool_file": "s.db"}),
    ("credentials", {"credentials": {"key_file": "k"}}),
    ("a: its driver", {"sensors": sensors(options={"level": 3.0})}),
    ("a: its driver", {"sensors": sensors(driver="replay", options={"path": "x", "column": "y"})}),
    ("sensors: a, b became b", {"sensors": sensors()[1:]}),
    ("a, b, label", {"label": {"driver": "mock"}}),
]


@pytest.mark.parametrize("changes", SAFE)
def test_what_is_safe_is_taken_up(files, changes):
    folder, site, roster = files
    old, new = config(folder), config(folder, **changes)
    assert refusals(old, new, (site, site), (roster, roster)) == []


@pytest.mark.parametrize(("said", "changes"), UNSAFE)
def test_what_is_not_is_refused_with_a_reason(files, said, changes):
    folder, site, roster = files
    old, new = config(folder), config(folder, **changes)
    (reason,) = refusals(old, new, (site, site), (roster, roster))
    assert reason.startswith(said) or said in reason
    assert "restart" in reason


def test_another_site_file_and_roster_are_refused(files, tmp_path_factory):
    folder, site, roster = files
    old = config(folder)
    other, newer = write_site(tmp_path_factory.mktemp("o"), {**SITE, "labels": ["x", "y"]})
    reasons = refusals(old, old, (site, other), (roster, newer))
    assert [reason.partition(":")[0].rpartition("/")[2] for reason in reasons] == [
        "site.yaml",
        "roster.json",
    ]


def test_filters_and_calibration_change_the_next_reading_and_survive_a_reopening(files):
    folder, _, _ = files
    options = {"level": 5.0, "noise": 0.0}
    slot = slot_for("a", config(folder, sensors=sensors(options=options)).sensors[0])
    slot.open()
    assert slot.read() == 5.0
    slot.retune(
        config(folder, sensors=sensors(options=options, calibration={"scale": 2.0})).sensors[0]
    )
    assert slot.read() == 10.0
    slot._release()
    slot.open()
    assert slot.read() == 10.0
    slot.retune(config(folder, sensors=sensors(options=options, filters={"high": 1.0})).sensors[0])
    slot.read()
    assert slot.state.reading.quality is Quality.SUSPECT
    slot.close()


def test_an_agent_takes_up_all_or_nothing(files):
    folder, site, roster = files
    level = {"options": {"level": 5.0}}
    agent = Agent(config(folder, sensors=sensors(**level)))
    try:
        bad = config(folder, sensors=sensors(**level, filters={"high": 1.0}), spool_file="x.db")
        assert agent.reload(bad, site, roster)
        slots = agent._windows._kit.slots
        assert slots[0]._tuning is None
        good = config(folder, sensors=sensors(**level, filters={"high": 1.0}), home_assistant={})
        assert agent.reload(good, site, roster) == []
        assert slots[0]._tuning[0].high == 1.0
        assert agent._assistant is not None
    finally:
        agent.close()


def until_said(running, text):
    """Read the process's log until a line has this text."""
    for line in running.process.stderr:
        if text in line:
            return line
    raise AssertionError(f"it ended without {text!r}")


@pytest.mark.timeout(120)
def test_the_process_reads_its_file_again_and_lives_on(files):
    folder, _, _ = files
    config(folder)
    with Running(["edge", "run", "-c", folder / "agent.yaml"], start_new_session=True) as running:
        hup = running.process.send_signal
        until_said(running, "not connected")  # it serves, though there is no broker
        config(folder, log_level="debug", sensors=sensors(filters={"low": 1.0}))
        hup(signal.SIGHUP)
        assert "read again" in until_said(running, "read again")
        config(folder, sensors=sensors(options={"level": 1.0}))
        hup(signal.SIGHUP)
        until_said(running, "a: its driver holds the device")
        (folder / "agent.yaml").write_text("id: [")
        hup(signal.SIGHUP)
        until_said(running, "not valid YAML")
        assert running.poll() is None


def gateway(**changes):
    base = {
        "id": "gw", "site_file": "s", "roster_file": "r", "identity_file": "i", "store_file": "d"
    }  # fmt: skip
    return GatewayConfig.model_validate({**base, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"log_level": "error"},
        {"home_assistant": {}},
        {"learner": {"ask_below": 0.1}},
        {"commit": {"quiet_hours": 3, "stop_s": None}},
    ],
)
def test_a_gateway_takes_up_what_concerns_people(changes, monkeypatch):
    taken = []
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", root.level)  # put back afterwards
    new = gateway(**changes)
    assert of_gateway.take_up(gateway(), lambda: new, taken.append) is new
    assert taken == [new]


@pytest.mark.parametrize(
    "changes", [{"learner": {"capacity": 12}}, {"commit": {"alpha": 0.1}}, {"store_file": "e"}]
)
def test_a_gateway_refuses_the_rest(changes, caplog):
    taken, old = [], gateway()
    assert of_gateway.take_up(old, lambda: gateway(**changes), taken.append) is old
    assert of_gateway.take_up(old, lambda: None, taken.append) is old
    assert taken == []
    assert f"{next(iter(changes))}: is fixed" in caplog.text


def test_a_closed_terminal_still_ends_the_process(monkeypatch):
    called = []
    terminal = [True]
    monkeypatch.setattr(exits, "_has_terminal", lambda: terminal[0])
    before = signal.getsignal(signal.SIGHUP)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        exits.on_reload(lambda *_: called.append("reload"), lambda *_: called.append("gone"))
        assert threading.current_thread() is threading.main_thread()
        signal.raise_signal(signal.SIGHUP)
        terminal[0] = False
        signal.raise_signal(signal.SIGHUP)
        assert called == ["reload", "gone"]
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as after nohup
        exits.on_reload(lambda *_: called.append("reload"), lambda *_: called.append("gone"))
        signal.raise_signal(signal.SIGHUP)
        assert called == ["reload", "gone"]
    finally:
        signal.signal(signal.SIGHUP, before)
