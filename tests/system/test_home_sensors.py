"""A site of a Pi kit, of what a home has and of a chip on a bus: its agents run rounds."""

import json
import threading
from functools import partial

import pytest
import yaml

from protoledger.edge.agent import Agent
from protoledger.edge.config import AgentConfig
from protoledger.edge.host import AgentHost
from protoledger.edge.readings.windows import open_windows
from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.runtime.site import load
from protoledger.sensors import SimulatedMachine
from tests.support.home_broker import HomeBroker, eventually
from tests.support.i2c_bus import Bench, Bus
from tests.support.site_of import Running, change, running_site

pytest.importorskip("adafruit_sht4x", reason="Adafruit's drivers are for Linux")
pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto is not installed")
ROUNDS = 3
ZIGBEE = json.dumps({"battery": 100, "humidity": 46.5, "linkquality": 120, "temperature": 21.25})
LEVELS = {"co2": 600.0, "temperature": 20.0, "humidity": 50.0, "light": 300.0}


def sensors_with(real):
    """The sensors of an agent: those given, and made-up ones for the site's other channels."""
    return [
        {"channel": name, **real.get(name, {"driver": "mock", "options": {"level": level}})}
        for name, level in LEVELS.items()
    ]


def pi_kit():
    dht = {q: {"driver": "dht22", "options": {"pin": 4, "quantity": q}}
           for q in ("temperature", "humidity")}  # fmt: skip
    return sensors_with(dht), {"driver": "button", "options": {"pin": 18, "mode": "toggle"}}


def home_kit(broker):
    login = {"host": "127.0.0.1", "port": broker.port, "tls": False}

    def mqtt(topic, **options):
        return {"driver": "mqtt", "options": {**login, "topic": topic, **options}}

    real = {
        "temperature": mqtt("zigbee2mqtt/bedroom", json_path="temperature", unit="°C"),
        "humidity": mqtt("zigbee2mqtt/bedroom", json_path="humidity", unit="%"),
        "co2": mqtt("bedroom/sensor/co2/state", unit="ppm"),
    }
    values = {"true": 1.0, "false": 0.0}
    return sensors_with(real), mqtt("zigbee2mqtt/motion", json_path="occupancy", values=values)


def chip_kit():
    real = {
        channel: {
            "driver": "circuitpython",
            "options": {"chip": "adafruit_sht4x.SHT4x", "quantity": quantity},
        }
        for channel, quantity in (("temperature", "temperature"), ("humidity", "relative_humidity"))
    }
    return sensors_with(real), {"driver": "mock", "options": {"level": 1.0}}


def made_up():
    return sensors_with({}), {"driver": "mock", "options": {"level": 0.0}}


@pytest.fixture
def home(tmp_path):
    """The home's broker, on which the sensors report every moment until the test ends."""
    (tmp_path / "home").mkdir()
    broker = HomeBroker(tmp_path / "home", ["allow_anonymous true"])
    broker.start()
    stop = threading.Event()

    def report():
        while not stop.wait(0.3):
            broker.publish("zigbee2mqtt/bedroom", ZIGBEE)
            broker.publish("zigbee2mqtt/motion", '{"occupancy": true, "battery": 90}')
            broker.publish("bedroom/sensor/co2/state", "812.5")

    reporting = threading.Thread(target=report)
    reporting.start()
    yield broker
    stop.set()
    reporting.join(20)
    broker.stop()


def test_a_site_of_unlike_sensors_runs_rounds(tmp_path, home):
    with running_site(tmp_path) as (files, _), SimulatedMachine() as pi:
        kits = [pi_kit(), home_kit(home), chip_kit(), made_up()]
        machines = [pi, None, Bench(Bus()), None]
        site = yaml.safe_load((files.folder / "site.yaml").read_text())
        change(files.folder / "site.yaml", round={**site["round"], "every_s": 1.0})
        agents = []
        for name, (sensors, label), machine in zip(files.agents, kits, machines, strict=True):
            path = files.agent_file(name)
            sampling = {"read_every_s": 0.2}
            change(path, sensors=sensors, label=label, sampling=sampling)
            opener = partial(open_windows, machine=machine)
            agents.append(Agent(load(path, AgentConfig), opener=opener))
        host = AgentHost(agents)
        serving = threading.Thread(target=host.run)
        serving.start()
        try:
            with Running(["gateway", "run", "--events", "-c", files.gateway_file]) as gateway:
                eventually(lambda: all(agent.answered >= ROUNDS for agent in agents))
                shown = [{s.name: s for s in agent._windows.states()} for agent in agents]
        finally:
            host.stop()
            serving.join(60)
    events = [json.loads(line) for line in gateway.output.splitlines()]
    completed = [event for event in events if event["event"] == "round"]
    assert len(completed) >= ROUNDS - 1, gateway.errors
    assert any(len(event["included"]) == len(agents) for event in completed), completed
    assert [problems(states) for states in shown] == [{}, {}, {}, {}]
    of_home, of_chip = shown[1], shown[2]
    assert [of_home[n].reading.value for n in ("co2", "temperature", "humidity", "label")] == [
        812.5, 21.25, 46.5, 1.0,
    ]  # fmt: skip
    assert of_chip["temperature"].reading.value == pytest.approx(25.0, abs=0.01)
    assert of_chip["humidity"].reading.value == pytest.approx(50.0, abs=0.01)


def problems(states):
    return {name: state.problem for name, state in states.items() if state.problem}
