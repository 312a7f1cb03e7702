"""The agent as a service: what systemd hears of it, and how it leaves."""

import contextlib
import json
import os
import socket
import time

import pytest
import yaml

from protoledger.edge.readings.kit import Kit
from protoledger.edge.readings.slots import GIVE_UP_S, Slot
from protoledger.edge.readings.windows import STALLED_S, LiveWindows
from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.operations.health import read_status, status_path
from protoledger.protocol.wire.schema import Channel, Schema
from protoledger.runtime.site import load
from protoledger.runtime.systemd import Notifier
from protoledger.sensors import FilterOptions, Probe, Quality, Reading, Sensor
from protoledger.sensors.errors import BadOptions, ReadFailed, SensorMissing
from tests.support.broker_client import until
from tests.support.site_of import command, copy, live, running_agent, running_site

SCHEMA = Schema((Channel("a", "", 0, 10, 0.1), Channel("b", "", 0, 10, 0.1)), ("no", "yes"))
needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto not installed")


class Manager:
    """Listens as systemd does."""

    def __init__(self, folder):
        self.path = folder / "n.sock"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.heard = []

    def environment(self, watchdog_s=None):
        found = {**os.environ, "NOTIFY_SOCKET": str(self.path)}
        return (
            found if watchdog_s is None else found | {"WATCHDOG_USEC": str(int(watchdog_s * 1e6))}
        )

    def wait(self, text, timeout_s=60.0):
        """Listen until a message has such a line; returns all lines until then."""
        deadline = time.monotonic() + timeout_s
        while not any(text in line for line in self.heard):
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            self.heard += self.socket.recv(4096).decode().splitlines()
        return self.heard

    def drain(self, seconds):
        """What is heard from now on for so long."""
        found, until = [], time.monotonic() + seconds
        with contextlib.suppress(TimeoutError):
            while (left := until - time.monotonic()) > 0:
                self.socket.settimeout(left)
                found += self.socket.recv(4096).decode().splitlines()
        return found


@pytest.fixture
def manager(tmp_path):
    with contextlib.closing(Manager(tmp_path)) as found:
        yield found


Manager.close = lambda self: self.socket.close()


def test_without_systemd_nothing_is_sent():
    notifier = Notifier({})
    notifier.ready("up")
    notifier.pet()
    assert notifier.due is None


@pytest.mark.parametrize("abstract", [False, True])
def test_what_systemd_hears(tmp_path, abstract):
    name = f"@protoledger-{os.getpid()}" if abstract else str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name[1:] if abstract else name)
        listener.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "200000"})
        assert notifier.pet_every_s == 0.1
        notifier.ready("up")
        notifier.status("up")  # not again
        notifier.status("round 1")
        notifier.pet()
        notifier.pet()  # not yet
        notifier.stopping()
        heard = [listener.recv(4096).decode() for _ in range(4)]
    assert heard == ["READY=1\nSTATUS=up", "STATUS=round 1", "WATCHDOG=1", "STOPPING=1"]


def test_a_watchdog_of_another_process_is_not_ours():
    found = Notifier({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
    assert found.pet_every_s is None
    found.ready("nobody listens there, and that is no error")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running_site(tmp_path_factory.mktemp("site")) as (files, _):
        yield files


def without_broker(site, name):
    """A copy of a site whose broker is nowhere."""
    folder = copy(site.folder, name)
    content = yaml.safe_load((folder / "site.yaml").read_text())
    content["broker"]["port"] = 1
    (folder / "site.yaml").write_text(yaml.safe_dump(content))
    return folder / site.agent_file(site.agents[0]).name


@needs_mosquitto
def test_an_agent_starts_with_the_broker_down_and_pets_the_watchdog(site, manager):
    path = without_broker(site, "alone")
    live(path)
    files = _Only(path)
    with running_agent(files, 0, env=manager.environment(watchdog_s=0.4)) as agent:
        manager.wait("READY=1")
        manager.wait("WATCHDOG=1")
        manager.heard.clear()
        manager.wait("WATCHDOG=1")  # again and again
        agent.process.terminate()
        manager.wait("STOPPING=1")
        assert agent.process.wait(60) == 0
    assert any("waiting for the broker" in line for line in manager.heard) or agent.errors


class _Only:
    def __init__(self, path):
        self.agents = ("only",)
        self.agent_file = lambda _name: path


@needs_mosquitto
def test_an_agent_whose_sensor_hangs_leaves_all_the_same(site, manager):
    path = without_broker(site, "hanging")
    live(path, slow_rate=1.0, slow_s=600.0, timeout_s=600.0)
    with running_agent(_Only(path), 0, env=manager.environment()) as agent:
        manager.wait("READY=1")
        agent.process.terminate()
        assert agent.process.wait(60) == 0, "it does not wait for the sensor's 600 s"
    assert "Traceback" not in agent.errors


@needs_mosquitto
def test_presence_is_taken_back_by_leaving_and_by_dying(site):
    from protoledger.gateway.config import GatewayConfig
    from protoledger.protocol.wire import topics
    from protoledger.runtime.mqtt.client import Arrived, Link
    from protoledger.runtime.mqtt.loop import LinkLoop
    from protoledger.runtime.site import SiteConfig, load

    config = load(site.gateway_file, GatewayConfig)
    shared = load(config.site_file, SiteConfig)
    me, agent_id = site.gateway, site.agents[2]
    topic = topics.topic(shared.site, None, agent_id)
    link = Link(me, shared.broker, config.credentials, [topic], (f"{topic}x", b""))
    seen = []
    with LinkLoop([link]) as links:

        def until(payload):
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                events = links.wait(0.2)
                seen.extend(event.payload for event in events if isinstance(event, Arrived))
                if seen and seen[-1] == payload:
                    return
            raise AssertionError(seen)

        for kill in (False, True):
            with running_agent(site, 2) as agent:
                until(topics.ONLINE)
                agent.process.kill() if kill else agent.process.terminate()
                agent.process.wait(60)
                until(topics.OFFLINE)
        links.farewell(b"")


class Plugged(Sensor):
    """A sensor that can be pulled out."""

    there = True

    def __init__(self):
        self._closed = False
        if not Plugged.there:
            raise SensorMissing("nothing is plugged in: check the cable")

    def _measure(self):
        if not Plugged.there:
            raise ReadFailed("no answer")
        return Reading(3.0)


def test_an_unplugged_sensor_comes_back_and_is_told_once(caplog):
    caplog.set_level("INFO")
    clock = [0.0]
    opened = []

    def opener():
        opened.append(clock[0])
        return Probe(Plugged(), FilterOptions())

    Plugged.there = False
    slot = Slot("a", opener, clock=lambda: clock[0])
    slot.open()
    kit = Kit(SCHEMA, [slot])
    for second in range(200):
        clock[0] = float(second)
        assert kit.read()[0][0] != 3.0
    assert 4 <= len(opened) < 12, "it is looked for ever more seldom"
    Plugged.there = True
    while kit.read()[0][0] != 3.0:
        clock[0] += 1.0
        assert clock[0] < 300
    before = len(opened)
    Plugged.there = False
    clock[0] += 1.0
    assert kit.read()[0][0] != 3.0
    assert slot.state.problem == "no answer"
    Plugged.there = True
    clock[0] += 1.0
    assert kit.read()[0][0] == 3.0
    assert len(opened) == before, "an open one is just read again"
    assert [r.levelname for r in caplog.records] == ["WARNING", "INFO", "WARNING", "INFO"]


def test_a_sensor_that_is_silent_for_long_is_opened_anew():
    clock, opened = [0.0], []

    class Mute(Plugged):
        def _measure(self):
            raise ReadFailed("no answer")

    def opener():
        opened.append(Mute())
        return Probe(opened[-1], FilterOptions())

    Plugged.there = True
    slot = Slot("a", opener, clock=lambda: clock[0])
    slot.open()
    while clock[0] < 3 * GIVE_UP_S:
        slot.read()
        clock[0] += 5.0
    assert len(opened) == 3
    assert [sensor.closed for sensor in opened] == [True, True, False]


def test_what_is_doubtful_is_shown_and_not_contributed():
    class Doubtful(Plugged):
        def _measure(self):
            return Reading(9.0, Quality.SUSPECT, "a spike")

    Plugged.there = True
    slot = Slot("a", lambda: Probe(Doubtful(), FilterOptions()))
    slot.open()
    assert slot.read() != slot.read()  # NaN
    assert (slot.state.reading.value, slot.state.problem) == (9.0, "")


def test_a_misconfigured_sensor_is_not_waited_for():
    def opener():
        raise BadOptions("pin = 99: too large")

    kit = Kit(SCHEMA, [Slot("a", opener)])
    with pytest.raises(BadOptions):
        kit.open()


def test_a_read_that_hangs_is_no_progress_and_does_not_hold_up_the_end():
    import threading

    release = threading.Event()

    class Hanging(Plugged):
        def _measure(self):
            release.wait(30)
            return Reading(1.0)

    Plugged.there = True
    fine = Plugged()
    slots = [
        Slot("a", lambda: Probe(Hanging(), FilterOptions())),
        Slot("b", lambda: Probe(fine, FilterOptions())),
    ]
    kit = Kit(SCHEMA, slots)
    kit.open()
    windows = LiveWindows(kit, 1.0, 0.5, 1)
    now = time.monotonic()
    assert windows.healthy(now)
    assert not windows.healthy(now + STALLED_S + 1)
    windows.close()
    assert fine.closed, "the others' pins are free"
    release.set()
    windows._thread.join(5)


def test_the_command_leaves_in_time_even_if_the_main_thread_hangs(tmp_path):
    script = tmp_path / "hang.py"
    script.write_text(
        "import signal, sys, threading\n"
        "from protoledger.edge.shutdown import ShutdownGuard\n"
        "released = lambda: print('released', flush=True)\n"
        "with ShutdownGuard(released):\n"
        "    signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "    print('ready', flush=True)\n"
        "    threading.Lock().acquire()\n"
        "    import time\n"
        "    while True: time.sleep(100)\n"
    )
    import subprocess
    import sys

    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.communicate(timeout=60)[0] == "released\n"
    assert process.returncode == 0


@needs_mosquitto
def test_a_gateway_is_checked_and_watched(tmp_path, manager):
    from tests.support.site_of import Running

    with running_site(tmp_path) as (files, _):
        path = files.gateway_file
        store = status_path(load(path, GatewayConfig).store_file)
        done = command("gateway", "check", "-c", path, "--json")
        items = {item["name"]: item for item in json.loads(done.stdout)["items"]}
        assert done.returncode == 0, done.stdout
        assert items["access list"]["verdict"] == "ok"
        assert "will be created" in items["store"]["found"]
        done = command("gateway", "check", "-c", path, "--running")
        assert done.returncode == 69
        assert "is not running" in done.stdout
        env = manager.environment(watchdog_s=0.5)
        with Running(["gateway", "run", "-c", path], env=env) as gateway:
            manager.wait("READY=1")
            manager.wait("WATCHDOG=1")
            manager.wait("0 of 4 agents here")
            assert command("gateway", "check", "-c", path, "--running").returncode == 0
            until(lambda: (status := read_status(store)) and status.connected)
            done = command("gateway", "check", "-c", path, "--json")
            items = {item["name"]: item for item in json.loads(done.stdout)["items"]}
            assert "is connected" in items["broker"]["found"]
            assert items["access list"]["verdict"] == "skipped"
            done = command("gateway", "check", "-c", path, "--wait", "0.5")
            assert done.returncode == 69
            assert "no round completed" in done.stdout
            words = ["edge", "run"]
            for agent in files.agents:
                words += ["-c", files.agent_file(agent)]
            with Running(words):
                done = command("gateway", "check", "-c", path, "--wait", "30")
                assert done.returncode == 0, done.stdout
                assert "4 of 4 agents here" in done.stdout
            # a round may be under way yet; then nothing is completed any more, whatever was before
            until(lambda: command("gateway", "check", "-c", path, "--wait", "1").returncode == 69)
            done = command("gateway", "check", "-c", path, "--wait", "0.5")
            assert "no round completed in 0.5 s" in done.stdout
            manager.drain(0.1)  # its queue is full by now
            gateway.process.terminate()
            manager.wait("STOPPING=1")
            assert gateway.process.wait(60) == 0
        done = command("gateway", "check", "-c", path, "--wait", "0.2", "--json")
        assert done.returncode == 69
