"""A driver that hangs: it silences its own bus, is named, and everything else goes on."""

import threading
import time

import pytest

from protoledger.edge.config import SensorConfig
from protoledger.edge.readings import buses as module
from protoledger.edge.readings.kit import Kit
from protoledger.edge.readings.slots import Slot, slot_for
from protoledger.edge.readings.windows import STALLED_S, LiveWindows
from protoledger.protocol.wire.schema import NO_LABEL, Channel, Schema
from protoledger.sensors import DriverOptions, FilterOptions, Probe, Reading, Sensor
from protoledger.sensors.errors import BadOptions, ReadFailed

SCHEMA = Schema(
    channels=tuple(Channel(name, "", 0.0, 10.0, 0.1) for name in ("a", "b", "c")), labels=("x", "y")
)


class Scripted(Sensor):
    """Gives a value; hangs while `blocked` is not set."""

    Options = DriverOptions

    def __init__(self, value, *, hangs=False):
        super().__init__(DriverOptions())
        self.value = value
        self.blocked = threading.Event()
        self.reads = 0
        if not hangs:
            self.blocked.set()

    def _measure(self):
        self.reads += 1
        self.blocked.wait()
        if self.value is None:
            raise ReadFailed("no answer")
        return Reading(self.value)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "HANGS_AFTER_S", 0.3)
    monkeypatch.setattr("protoledger.edge.readings.kit.HANGS_AFTER_S", 0.3)


@pytest.fixture
def kit_of():
    kits, scripted = [], []

    def make(sensors, *, label=None, shares=None):
        def slot(name, sensor):
            scripted.append(sensor)
            probe = Probe(sensor, FilterOptions())
            return Slot(name, lambda: probe, shares=(shares or {}).get(name, ()))

        slots = [slot(name, sensor) for name, sensor in sensors.items()]
        kit = Kit(SCHEMA, slots, None if label is None else slot("label", label))
        kit.open()
        kits.append(kit)
        return kit

    yield make
    for sensor in scripted:
        sensor.blocked.set()
    for kit in kits:
        kit.close()


def problems(kit):
    return {state.name: state.problem for state in kit.states()}


def wait_for_problem(kit, name, begin):
    """Wait for a state: the reading thread may have begun late on a machine that is busy."""
    deadline = time.monotonic() + 30
    while not problems(kit)[name].startswith(begin):
        assert time.monotonic() < deadline, problems(kit)
        time.sleep(0.01)


def test_a_driver_that_hangs_costs_its_own_channel_alone_and_is_named(kit_of, caplog):
    caplog.set_level("INFO")
    hanging = Scripted(1.0, hangs=True)
    kit = kit_of({"a": hanging, "b": Scripted(2.0)}, label=Scripted(1.0))
    for _ in range(3):
        values, label = kit.sample()
        assert (values[1], label) == (2.0, 1)
        assert values[0] != values[0]
    assert hanging.reads == 1, "a read that has not ended is not asked for again"
    wait_for_problem(kit, "a", "hangs for ")
    assert problems(kit)["b"] == ""
    assert not kit.hangs
    [record] = caplog.records
    assert record.getMessage().startswith("a: the driver hangs")
    hanging.blocked.set()
    deadline = time.monotonic() + 30
    while kit.sample()[0][0] != 1.0:
        assert time.monotonic() < deadline
    assert problems(kit) == {"a": "", "b": "", "label": ""}
    assert caplog.records[-1].getMessage() == "a: the driver returned"


def test_sensors_of_one_bus_wait_for_each_other_and_say_for_which(kit_of):
    hanging, behind = Scripted(1.0, hangs=True), Scripted(2.0)
    kit = kit_of(
        {"a": hanging, "b": behind, "c": Scripted(3.0)}, shares={"a": ["GPIO4"], "b": ["GPIO4"]}
    )
    assert kit.sample()[0][2] == 3.0
    wait_for_problem(kit, "b", "waits for a, which hangs for ")
    assert (problems(kit)["c"], behind.reads) == ("", 0)


def test_an_answer_that_comes_late_is_of_another_time(kit_of):
    late = Scripted(1.0, hangs=True)
    kit = kit_of({"a": late, "b": Scripted(2.0)})
    kit.sample()
    late.blocked.set()
    deadline = time.monotonic() + 30
    while late.reads == 1 or problems(kit)["a"]:
        late.value = 5.0  # what it gives from now on
        values, _ = kit.sample()
        assert values[0] == 5.0 or values[0] != values[0]
        assert time.monotonic() < deadline


def test_an_agent_all_of_whose_drivers_hang_is_unhealthy(kit_of):
    sensors = {"a": Scripted(1.0, hangs=True), "b": Scripted(2.0, hangs=True)}
    kit = kit_of(sensors)
    windows = LiveWindows(kit, 1.0, 0.2, 1)
    deadline = time.monotonic() + 30
    while not kit.hangs:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    stalled_at = windows._read_at
    time.sleep(0.5)
    assert windows._read_at == stalled_at, "no progress"
    assert not windows.healthy(stalled_at + STALLED_S + 1)
    windows.close()


def test_one_that_hangs_does_not_keep_the_others_from_being_released(kit_of, caplog):
    hanging, fine = Scripted(1.0, hangs=True), Scripted(2.0)
    kit = kit_of({"a": hanging, "b": fine})
    kit.sample()
    kit.close()
    assert fine.closed
    assert not hanging.closed
    assert "a: cannot be closed" in caplog.text


def test_a_sensor_that_fails_is_no_driver_that_hangs(kit_of):
    kit = kit_of({"a": Scripted(None)}, label=Scripted(7.0))
    values, label = kit.sample()
    assert values[0] != values[0]
    assert label == NO_LABEL
    assert problems(kit)["a"] == "no answer"


def test_what_shares_a_chip_or_a_bus_is_read_in_turn():
    def slot(driver, **options):
        return slot_for(driver, SensorConfig(channel=driver, driver=driver, options=options))

    def dht(quantity):
        return slot("dht22", pin=4, quantity=quantity)

    found = module.buses(
        [
            dht("temperature"),
            slot("mcp3008", channel=0),
            dht("humidity"),
            slot("mcp3008", channel=1, device=1),
            slot("button", pin=17),
            slot("ds18b20", pin=5),
            slot("cpu_temperature"),
        ]
    )
    named = sorted(sorted(one.name for one in bus.slots) for bus in found)
    assert named == [
        ["button"], ["cpu_temperature"], ["dht22", "dht22"], ["ds18b20"], ["mcp3008", "mcp3008"],
    ]  # fmt: skip


class Constructed:
    """Opens a sensor whose constructor hangs until `released` is set."""

    def __init__(self, value=1.0, error=None):
        self.released = threading.Event()
        self.value, self.error, self.opened = value, error, 0

    def __call__(self):
        self.opened += 1
        self.released.wait()
        if self.error is not None:
            raise self.error
        return Probe(Scripted(self.value), FilterOptions())


def opening(openers, shares=None):
    slots = [
        Slot(name, opener, shares=(shares or {}).get(name, ())) for name, opener in openers.items()
    ]
    return Kit(SCHEMA, slots, None)


def ready(value):
    opener = Constructed(value)
    opener.released.set()
    return opener


@pytest.mark.timeout(60)
def test_a_constructor_that_hangs_costs_its_own_bus_alone(caplog):
    hanging = Constructed(3.0)
    kit = opening({"a": hanging, "b": ready(2.0), "c": ready(4.0)}, {"c": ("bus",), "b": ("bus",)})
    try:
        kit.open()
        assert "a: the driver hangs" in caplog.text
        values, _ = kit.sample()
        assert values[1:] == [2.0, 4.0]
        wait_for_problem(kit, "a", "hangs for ")
        hanging.released.set()
        deadline = time.monotonic() + 30
        while (values := kit.sample()[0])[0] != 3.0:
            assert time.monotonic() < deadline
        assert hanging.opened == 1, "it is not opened twice"
    finally:
        hanging.released.set()
        kit.close()


@pytest.mark.timeout(60)
def test_a_constructor_that_hangs_and_then_refuses_its_options_is_shown():
    hanging = Constructed(error=BadOptions("driver 'x'", ["pin = 99: there is none"]))
    kit = opening({"a": hanging, "b": ready(2.0)})
    try:
        kit.open()
        hanging.released.set()
        deadline = time.monotonic() + 30
        while "there is none" not in problems(kit)["a"]:
            assert kit.sample()[0][1] == 2.0
            assert time.monotonic() < deadline
    finally:
        kit.close()


@pytest.mark.timeout(60)
def test_an_agent_ends_although_a_constructor_hangs(caplog):
    hanging = Constructed()
    kit = opening({"a": hanging, "b": ready(2.0)})
    kit.open()
    kit.close()
    assert "a: cannot be closed" in caplog.text
    hanging.released.set()


def test_a_misconfigured_sensor_still_refuses_the_start():
    broken = Constructed(error=BadOptions("driver 'x'", ["pin = 99: there is none"]))
    broken.released.set()
    last = ready(2.0)
    with pytest.raises(BadOptions, match="there is none"):
        opening({"a": broken, "b": last}).open()
