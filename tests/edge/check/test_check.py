"""`edge check`: what it says about files, sensors and a real broker, and its exit codes."""

import json
import re
import socket

import pytest
import yaml

from protoledger.edge import cli
from protoledger.edge.check.agent_files import read_agent_files
from protoledger.edge.config import AgentConfig
from protoledger.edge.readings.backlog import Anchor
from protoledger.edge.readings.spool import SqliteSpool
from protoledger.edge.status import read_status
from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.runtime.check import broker as broker_check
from protoledger.runtime.exits import Exit
from protoledger.runtime.identity_files import load_identity
from protoledger.runtime.mqtt.tls import tls_context
from protoledger.runtime.site import load
from protoledger.sensors import SimulatedMachine
from protoledger.sensors.errors import PinInUse
from tests.support.broker_client import until
from tests.support.site_of import change, command, copy, invoke, live, running_agent, running_site

needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto not installed")

AT = "protoledger/v1/site-1"
AGENT = "site-1.agent-1.yaml"
USER = "user site-1.agent-1\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("site")) as (files, _):
        yield files


def checked(path, *words):
    done = invoke(cli.app, "check", "-c", path, "--json", *words)
    told = json.loads(done.stdout)
    assert told["exit"] == done.exit_code
    return done.exit_code, {item["name"]: item for item in told["items"]}


@needs_mosquitto
def test_everything_is_fine(site):
    done = command("edge", "check", "-c", site.agent_file(site.agents[0]))
    assert done.returncode == 0, done.stdout
    assert "✗" not in done.stdout
    for text in ("its certificate is good", "own topics open", "roster", "votes for", "not needed"):
        assert text in done.stdout


@needs_mosquitto
def test_a_running_agent_is_not_thrown_out(site):
    """A broker of ours lets a device have one connection: the check must not open a second."""
    path = site.agent_file(site.agents[1])
    change(path, status_file="status.json")
    with running_agent(site, 1) as agent:
        until(lambda: (status := read_status(path.parent / "status.json")) and status.connected)
        code, items = checked(path)
        assert code == 0
        assert f"process {agent.process.pid} is connected" in items["broker"]["found"]
        assert items["access list"]["verdict"] == "skipped"
        assert agent.poll() is None
    assert "Session taken over" not in agent.errors
    code, items = checked(path)
    assert code == 0
    assert items["access list"]["verdict"] == "ok"


@needs_mosquitto
def test_a_check_that_loses_its_connection_says_so(site, monkeypatch):
    """Its device runs on another machine, and connects again."""
    path = site.agent_file(site.agents[2])
    access = broker_check._access

    def taken_over(client, answers, broker, me):
        config = load(path, AgentConfig)
        other, others = broker_check._client(
            broker, config.credentials, me, tls_context(broker, config.credentials)
        )
        assert broker_check._connect(other, others, broker) is None
        return access(client, answers, broker, me)

    monkeypatch.setattr(broker_check, "_access", taken_over)
    code, items = checked(path)
    assert code == Exit.UNAVAILABLE
    assert items["broker"]["verdict"] == "ok"
    assert "stop it first" in items["access list"]["advice"]


@needs_mosquitto
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: "topic readwrite #\n" + text, None),
        (
            lambda text: text.replace(USER, f"{USER}topic readwrite #\n"),
            [
                "may publish a key in the name of site-1.agent-2",
                "can read a message for another device",
            ],
        ),
        (
            lambda text: text.replace(f"topic write {AT}/boxes/site-1.agent-1\n", ""),
            ["may not publish its boxes"],
        ),
        (
            lambda text: text.replace(f"topic read {AT}/key/+\n", ""),
            ["may not read protoledger/v1/site-1/key/site-1.agent-1"],
        ),
    ],
)  # fmt: skip
def test_a_wrong_access_list_is_seen(tmp_path, spoil, said):
    with running_site(tmp_path, access=spoil) as (files, _):
        code, items = checked(files.agent_file(files.agents[0]))
    if said is None:  # Mosquitto's rules before the first `user` are for clients without a name
        assert code == 0
        return
    assert code == Exit.CONFIGURATION
    for text in said:
        assert text in items["access list"]["found"]
    assert items["broker"]["verdict"] == "ok"


@needs_mosquitto
def test_another_authority_is_named(site, tmp_path):
    from protoledger.emulator.processes.certificates import CertificateAuthority

    folder = copy(site.folder, "stranger")
    content = yaml.safe_load((folder / "site.yaml").read_text())
    content["broker"]["ca_file"] = str(CertificateAuthority(tmp_path / "other").server().authority)
    (folder / "site.yaml").write_text(yaml.safe_dump(content))
    code, items = checked(folder / site.agent_file(site.agents[0]).name, "--no-sensors")
    assert code == Exit.CONFIGURATION
    assert "certificate" in items["broker"]["found"]
    assert "clock" in items["broker"]["advice"]
    assert items["access list"]["verdict"] == "skipped"
    assert items["sensors"]["verdict"] == "skipped"


def test_a_broker_that_is_down_is_told_from_one_that_hangs(site):
    folder = copy(site.folder, "down")
    content = yaml.safe_load((folder / "site.yaml").read_text())
    path = folder / site.agent_file(site.agents[0]).name
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        content["broker"]["port"] = mute.getsockname()[1]
        (folder / "site.yaml").write_text(yaml.safe_dump(content))
        code, items = checked(path, "--no-sensors")
        assert (code, items["broker"]["found"].split(": ")[1]) == (69, "Connection refused")
        mute.listen()
        code, items = checked(path, "--no-sensors")
    assert code == Exit.UNAVAILABLE
    assert "does not answer" in items["broker"]["found"]


def test_sensors_are_read_once_each(site):
    folder = copy(site.folder, "sensors")
    path = folder / site.agent_file(site.agents[0]).name
    live(path)
    content = yaml.safe_load(path.read_text())
    content["sensors"][0]["options"] = {"missing_rate": 1.0}
    content["sensors"][1]["options"] = {"level": 1000.0, "unit": "°C"}
    content["sensors"][2]["options"] = {"level": 20.0, "unit": "°F"}
    content["label"]["options"] = {"level": 7.0}
    path.write_text(yaml.safe_dump(content))
    code, items = checked(path, "--no-broker")
    assert code == Exit.UNAVAILABLE
    first, second, third = (
        items[f"{sensor['channel']} (mock)"] for sensor in content["sensors"][:3]
    )
    assert first["verdict"] == "failed"
    assert "missed read" in first["found"]
    assert second["verdict"] == "note"
    assert "clipped" in second["found"]
    assert third["verdict"] == "failed"
    assert "°F" in third["found"]
    assert "does not vote" in items["label (mock)"]["found"]


def test_simulated_pins_need_no_hardware(site):
    folder = copy(site.folder, "pins")
    path = folder / site.agent_file(site.agents[0]).name
    content = yaml.safe_load(path.read_text())
    dht22 = {"driver": "dht22", "options": {"pin": 4, "quantity": "temperature"}}
    content["sensors"][1] = {"channel": "temperature", **dht22}
    content["label"] = {"driver": "motion", "options": {"pin": 17}}
    path.write_text(yaml.safe_dump(content))
    code, items = checked(path, "--mock", "--no-broker")
    assert code == 0, items
    assert "GPIO4 (temperature)" in items["pins"]["found"]
    assert "GPIO17 (label)" in items["pins"]["found"]


def test_pins_are_told_as_a_person_knows_them(site):
    folder = copy(site.folder, "named")
    path = folder / site.agent_file(site.agents[0]).name
    content = yaml.safe_load(path.read_text())
    for sensor, options in zip(content["sensors"], ({"channel": 0}, {"channel": 1}), strict=False):
        sensor.update(driver="mcp3008", options=options)
    content["sensors"][2].update(driver="dht22", options={"pin": 4, "quantity": "humidity"})
    path.write_text(yaml.safe_dump(content))
    _, items = checked(path, "--mock", "--no-broker")
    found = items["pins"]["found"]
    assert re.fullmatch(r"free: (GPIO\d+ \([^()]*\)(, )?)+", found), found


@pytest.mark.parametrize(("active", "idle"), [(3, 0), (1, -2), (0.5, 0), (7, 9)])
def test_a_label_source_whose_value_never_votes_is_refused(site, tmp_path, active, idle):
    folder = copy(site.folder, tmp_path.name)
    path = folder / AGENT
    options = {"pin": 5, "active_value": active, "idle_value": idle}
    change(path, label={"driver": "button", "options": options})
    labels = yaml.safe_load((folder / "site.yaml").read_text())["labels"]
    numbers = {*range(-1, len(labels))}
    wrong = {key for key in ("active_value", "idle_value") if options[key] not in numbers}
    done = invoke(cli.app, "run", "-c", path)
    assert done.exit_code == Exit.CONFIGURATION
    for key in wrong:
        assert f"label.options.{key} = {options[key]:g}: no label has this number" in done.stderr
    assert done.stderr.count("no label has this number") == len(wrong)
    assert f"0 ({labels[0]})" in done.stderr


def test_the_spool_is_looked_at_and_left_alone(site, tmp_path):
    folder = copy(site.folder, "spool")
    path = folder / AGENT
    spool = tmp_path / "spool.db"

    def told(file):
        change(path, spool_file=None if file is None else str(file))
        code, items = checked(path, "--no-broker", "--no-sensors")
        item = items["spool"]
        return code, item["verdict"], item["found"]

    assert told(None)[:2] == (0, "ok")
    assert "in memory" in told(None)[2]
    code, verdict, found = told(spool)
    assert (code, verdict, spool.exists()) == (0, "ok", False), found
    SqliteSpool(spool, b"schema", 1).keep(Anchor(3, 1.0), {1: ([1.0], 0), 2: ([2.0], 0)})
    before = spool.read_bytes()
    assert re.search(r": keeps 2 windows of an outage, \d+ KiB", told(spool)[2])
    assert spool.read_bytes() == before
    spool.write_bytes(b"no database at all" * 100)
    code, verdict, found = told(spool)
    assert (code, verdict) == (0, "note")
    assert "set it aside" in found
    code, verdict, found = told(tmp_path / "nowhere" / "spool.db")
    assert (code, verdict) == (Exit.IO, "failed")
    assert "no such folder" in found


def test_a_pin_that_cannot_be_had_is_told(site, monkeypatch):
    folder = copy(site.folder, "held")
    path = folder / AGENT
    content = yaml.safe_load(path.read_text())
    content["sensors"][0].update(driver="mock", options={})
    content["sensors"][1].update(driver="digital", options={"pin": 6})
    content["label"].update(driver="button", options={"pin": 5})
    path.write_text(yaml.safe_dump(content))
    plain = SimulatedMachine.gpio

    def held(machine, kind, **arguments):
        if arguments.get("pin") == 5:
            raise PinInUse("Button (pin 5): GPIO busy")
        return plain(machine, kind, **arguments)

    monkeypatch.setattr(SimulatedMachine, "gpio", held)
    code, items = checked(path, "--mock", "--no-broker")
    assert code == Exit.UNAVAILABLE
    assert (items["pins"]["verdict"], items["pins"]["found"]) == (
        "failed",
        "cannot be claimed: GPIO5 (label)",
    )
    assert "GPIO busy" in items["label (button)"]["found"]
    assert items["temperature (digital)"]["verdict"] != "failed"


def test_a_sensor_whose_lines_are_wrong_is_not_blamed_on_its_wires(site):
    folder = copy(site.folder, "lines")
    path = folder / AGENT
    content = yaml.safe_load(path.read_text())
    content["sensors"][0].update(driver="dth22", options={"pin": 4})
    content["sensors"][1].update(driver="mcp3008", options={"channel": 9}, filters={"hihg": 3})
    content["label"].update(driver="button", options={"pin": 30})
    path.write_text(yaml.safe_dump(content))
    code, items = checked(path, "--mock", "--no-broker")
    assert code == Exit.CONFIGURATION
    for line in (
        "sensors.0.driver = 'dth22': ",
        "sensors.1.options.channel = 9: ",
        "sensors.1.filters.hihg = 3: unknown key; did you mean 'high'?",
        "label.options.pin = 30: ",
    ):
        assert line in items["configuration"]["found"]
    for name in ("co2 (dth22)", "temperature (mcp3008)", "label (button)"):
        assert items[name]["verdict"] == "skipped"


def test_what_could_not_be_compared_yet_is_said(site):
    folder = copy(site.folder, "missing")
    path = folder / AGENT
    assert "check again" not in read_agent_files(path).text
    change(path, identity_file=None)
    assert "then check again" in read_agent_files(path).text


SIX = """\
{agent}: 5 problems
  sampling.windows_s = 10: unknown key; did you mean 'keep_windows'?
  colour = 'red': unknown key; known keys: id, site_file, roster_file, identity_file, credentials, \
sampling, spool_file, status_file, metrics_file, privacy, log_level, home_assistant, sensors, \
inputs, label
  sensors.2.channel = 'humidty': not a channel of the site; did you mean 'humidity'? it has co2, \
temperature, humidity, light
  sensors.1: GPIO4 is used twice: by 'button' at sensors.0 and by 'motion' here; move one of them
  identity_file = '{identity}': can be read by other users (mode 0644); run: chmod 600 {identity}
{site}: 1 problem
  channel 'light', step = 1e-12: 4 agents × 2000000000000000 steps exceed 1073741823, the largest \
sum; raise its step to at least 7.45e-06
"""


def test_six_errors_are_told_at_once_with_key_value_and_suggestion(site):
    folder = copy(site.folder, "six")
    path = folder / site.agent_file(site.agents[0]).name
    content = yaml.safe_load(path.read_text())
    for sensor, driver, options in zip(
        content["sensors"],
        ("button", "motion", "mock", "mock"),
        ({"pin": 4}, {"pin": 4}, {}, {}),
        strict=True,
    ):
        sensor.update(driver=driver, options=options)
    content["sensors"][2]["channel"] = "humidty"
    content["sampling"]["windows_s"] = 10
    content["colour"] = "red"
    path.write_text(yaml.safe_dump(content))
    shared = yaml.safe_load((folder / "site.yaml").read_text())
    shared["channels"][3].update(low=0, high=2000, step=1e-12)
    (folder / "site.yaml").write_text(yaml.safe_dump(shared))
    identity = folder / content["identity_file"]
    identity.chmod(0o644)
    expected = SIX.format(agent=path, site=folder / "site.yaml", identity=identity)
    done = command("edge", "run", "-c", path)
    assert done.returncode == Exit.CONFIGURATION
    known = [
        line for line in done.stderr.splitlines(keepends=True) if "the roster says" not in line
    ]
    assert "".join(known).replace("6 problems", "5 problems") == expected
    code, items = checked(path, "--no-broker", "--no-sensors")
    assert code == Exit.CONFIGURATION
    assert items["configuration"]["found"] + "\n" == done.stderr


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"roster.json": None}, "roster.json"),
        ({"roster.json": "{}"}, "is no roster"),
        ({"site.yaml": "- 1\n"}, "expected keys and values, found list"),
        ({"site.yaml": None}, "No such file"),
        ({AGENT: "{"}, "is not valid YAML"),
        ({AGENT: "{}"}, "identity_file: is missing"),
        ({"sensors": []}, "at least 1 item"),
        ({"id": "site-1.agent-9"}, "no agent of the roster"),
        ({"identity_file": "site-1.agent-2.identity"}, "sign a roster with this key"),
        ({"credentials": {"certificate_file": "no.crt"}}, "[nN]o such file"),
        ({"label": None}, "says otherwise"),
        ({"sensors": [{"channel": "co2", "driver": "moc"}]}, "'mock'"),
        ({"sensors": [{"channel": "co2", "driver": "mock"}] * 2}, "fills this"),
    ],
)
def test_each_thing_that_is_wrong_is_named(site, tmp_path, spoil, said):
    folder = copy(site.folder, tmp_path.name)
    path = folder / AGENT
    for name, content in spoil.items():
        if not (folder / name).is_file():
            change(path, **{name: content})
        elif content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(content)
    text = read_agent_files(path).text
    assert re.search(said, text)
    done = invoke(cli.app, "run", "-c", path)
    assert done.exit_code == Exit.CONFIGURATION
    assert re.search(said, done.stderr)


def test_no_secret_is_told(site):
    folder = copy(site.folder, "secret")
    path = folder / site.agent_file(site.agents[0]).name
    identity = folder / yaml.safe_load(path.read_text())["identity_file"]
    secret = identity.read_text().strip()
    identity.write_text(secret + "x")
    assert secret[:12] not in read_agent_files(path).text
    assert load_identity(site.folder / identity.name)
