"""One suite that every driver passes, the mock's faults, and how drivers are found."""

import subprocess
import sys
import threading
import time
from importlib.metadata import EntryPoint, EntryPoints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import model_validator

from protoledger import plugins, sensors
from protoledger.edge.readings.kit import Kit
from protoledger.edge.readings.slots import Slot
from protoledger.protocol.wire.schema import Channel, Schema
from protoledger.sensors import errors, registry
from protoledger.sensors.base import DriverOptions, Quality, Reading, SeekableSensor, Sensor
from protoledger.sensors.drivers import dht
from protoledger.sensors.synthetic.mock import MockOptions, MockSensor

ROWS = 40


RECORDED = ["mock", "mock-faulty", "replay", "replay-sought", "replay-loop"]
COMPUTED = {"derived": {"expression": "(inside - outside) / 2", "unit": "K"}}
HARDWARE = {
    "am2302": {"pin": 4, "quantity": "humidity"},
    "button": {"pin": 5},
    "button-toggle": {"pin": 5, "mode": "toggle", "active_value": 2, "idle_value": -1},
    "cpu_temperature": {},
    "dht11": {"pin": 17, "quantity": "humidity"},
    "dht22": {"pin": 17, "quantity": "temperature"},
    "digital": {"pin": 6, "pull": "none", "active": "low"},
    "distance": {"echo": 24, "trigger": 23},
    "ds18b20": {},
    "ds18b20-named": {"id": "28-0316a2794bff"},
    "circuitpython": {
        "chip": "adafruit_scd4x.SCD4X",
        "quantity": "CO2",
        "ready": "data_ready",
        "start": "start_periodic_measurement",
        "unit": "ppm",
    },
    "http": {"url": "http://192.0.2.1/rpc/Temperature.GetStatus?id=100", "json_path": "tC"},
    "http-label": {
        "url": "https://[2001:db8::1]:8123/api/states/x.y",
        "json_path": ["attributes", "0"],
        "values": {"open": 1, "closed": 0},
    },
    "hwmon-sht4x": {"name": "sht4x", "channel": "humidity1", "pins": [2, 3]},
    "hwmon-lm75": {"name": "lm75", "channel": "temp1"},
    "mqtt": {
        "host": "broker.home",
        "topic": "zigbee2mqtt/room",
        "json_path": "temperature",
        "availability_topic": "zigbee2mqtt/room/availability",
    },
    "mqtt-plain": {"host": "broker.home", "topic": "esp/sensor/co2/state", "tls": False},
    "iio-dht11": {"name": "dht11", "channel": "temp"},
    "iio-bme280": {"name": "bme280", "channel": "pressure", "pins": [2, 3]},
    "iio-bh1750": {"name": "bh1750", "channel": "illuminance"},
    "iio-ads1015": {"name": "ads1015", "channel": "voltage3"},
    "light": {"pin": 19},
    "mcp3008": {"channel": 7, "device": 1},
    "motion": {"pin": 13, "sample_hz": 100},
}


@pytest.fixture
def pi():
    with sensors.SimulatedMachine() as machine:
        yield machine


@pytest.fixture(params=RECORDED)
def case(request, tmp_path):
    """Return a driver's name and options; each can be read at least ROWS times."""
    return recorded(request.param, tmp_path)


@pytest.fixture(params=[*RECORDED, *COMPUTED, *HARDWARE])
def any_case(request, tmp_path, monkeypatch, pi):
    """Return a driver's name, its options and the machine that it is on."""
    monkeypatch.setattr(dht, "_REST_S", 0.01)
    if request.param in RECORDED:
        return *recorded(request.param, tmp_path), None
    if request.param in COMPUTED:
        return request.param, COMPUTED[request.param], None
    return request.param.partition("-")[0], HARDWARE[request.param], pi


def recorded(name, tmp_path):
    recording = tmp_path / "agent.csv"
    recording.write_text(
        "t,x\n" + "".join(f"{i},{'' if i % 7 == 3 else i / 8}\n" for i in range(ROWS))
    )
    return {
        "mock": ("mock", {"waveform": "sine", "noise": 0.2, "unit": "lx"}),
        "mock-faulty": (
            "mock",
            {"missing_rate": 0.3, "spike_rate": 0.2, "slow_rate": 0.2, "slow_s": 0.001,
             "timeout_s": 0.0005, "stuck_rate": 0.3, "noise": 1.0, "seed": 4},
        ),
        "replay": ("replay", {"path": str(recording), "column": "x", "unit": "lx"}),
        "replay-sought": ("replay", {"path": str(recording), "column": "x", "pace": "seek"}),
        "replay-loop": ("replay", {"path": str(recording), "column": "x", "loop": True}),
    }[name]  # fmt: skip


def outcome(sensor):
    try:
        return sensor.read()
    except errors.TransientSensorError as error:
        return type(error)


def test_every_driver_is_in_the_suite():
    assert {name.partition("-")[0] for name in (*RECORDED, *COMPUTED, *HARDWARE)} == set(
        registry._BUILT_IN
    )


def test_a_read_is_a_reading_or_an_error_of_the_tree(any_case):
    with sensors.open_sensor(*any_case) as sensor:
        for _ in range(5 if any_case[2] else ROWS):
            result = outcome(sensor)
            if any_case[2]:
                assert result.quality is Quality.GOOD, "nothing is wrong with a simulated Pi"
            if isinstance(result, Reading):
                assert isinstance(result.value, float)
                assert isinstance(result.quality, Quality)


def test_a_probe_always_answers_and_its_filters_trust_a_sound_sensor(any_case):
    driver, options, machine = any_case
    with sensors.open_probe(driver, options, machine=machine) as probe:
        got = [probe.read() for _ in range(3)]
        assert probe.counts.total() == 3
        assert isinstance(probe.unit, str)
    if machine:
        assert {reading.reason for reading in got} == {""}
    again = probe.read()
    assert again.quality is Quality.MISSING
    assert "close" in again.reason


def test_what_a_driver_occupies_is_named_and_free_again_after_close(any_case):
    driver, options, machine = any_case
    found, checked = registry.check_options(driver, options)
    assert all(resource.name for resource in found.resources(checked))
    for _ in range(3):
        with sensors.open_sensor(driver, options, machine) as sensor:
            sensor.read() if machine else outcome(sensor)


class Hanging:
    """A read that waits in the driver until it is let go."""

    def __init__(self, sensor, monkeypatch, read):
        self.let_go, inside = threading.Event(), threading.Event()
        measure = sensor._measure

        def hang():
            inside.set()
            assert self.let_go.wait(20)
            return measure()

        monkeypatch.setattr(sensor, "_measure", hang)
        self.got = []
        self.thread = threading.Thread(target=lambda: self.got.append(read()))
        self.thread.start()
        assert inside.wait(20)

    def end(self):
        self.let_go.set()
        self.thread.join(20)
        assert not self.thread.is_alive()
        return self.got


def eventually(condition):
    """Whether a condition comes true before long, on any machine."""
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_a_driver_closed_while_it_hangs_in_a_read_gives_everything_back(any_case, monkeypatch):
    driver, options, machine = any_case
    sensor = sensors.open_sensor(driver, options, machine)
    read = Hanging(sensor, monkeypatch, lambda: outcome(sensor))
    sensor.close()
    assert read.end(), "it ends with a reading, or an error that passes"
    sensors.open_sensor(driver, options, machine).close()


def test_an_agent_leaves_while_any_driver_hangs_in_a_read(any_case, monkeypatch):
    driver, options, machine = any_case
    schema = Schema((Channel("x", "", 0.0, 1.0, 1.0),), ("a", "b"))
    slot = Slot("x", lambda: sensors.open_probe(driver, options, machine=machine))
    other = Slot("label", lambda: sensors.open_probe("mock", {}))
    kit = Kit(schema, [slot], other)
    kit.open()
    sensor, beside = slot.probe.sensor, other.probe.sensor
    read = Hanging(sensor, monkeypatch, kit.read)
    kit.close()
    assert read.thread.is_alive(), "nobody waits for it"
    assert eventually(lambda: beside.closed)
    read.end()
    slot.close()
    assert sensor.closed
    sensors.open_sensor(driver, options, machine).close()


def test_drivers_say_how_to_wire_them(any_case):
    module = sys.modules[registry.find_driver(any_case[0]).__module__]
    told = {
        "cpu_temperature": "no wiring",
        "iio": "dtoverlay",
        "mock": "",
        "replay": "",
        "derived": "",
    }
    assert told.get(any_case[0], "Wiring:") in module.__doc__
    for name, option in registry.find_driver(any_case[0]).Options.model_fields.items():
        assert option.description, f"{any_case[0]} does not explain {name}"


def test_two_sensors_with_the_same_options_read_the_same(case):
    with sensors.open_sensor(*case) as one, sensors.open_sensor(*case) as two:
        assert [outcome(one) for _ in range(ROWS)] == [outcome(two) for _ in range(ROWS)]


def test_seeking_in_any_order_gives_what_reading_in_order_gives(case):
    with sensors.open_sensor(*case) as sensor:
        assert isinstance(sensor, SeekableSensor)
        forward = []
        for row in range(ROWS):
            sensor.seek(row)
            forward.append(outcome(sensor))
        for row in reversed(range(ROWS)):
            sensor.seek(row)
            assert outcome(sensor) == forward[row]
        with pytest.raises(errors.BadRow):
            sensor.seek(-1)


def test_close_is_idempotent_and_ends_the_sensor(any_case):
    sensor = sensors.open_sensor(*any_case)
    with sensor:
        assert not sensor.closed
    sensor.close()
    sensor.close()
    assert sensor.closed
    with pytest.raises(errors.SensorClosed):
        sensor.read()
    if isinstance(sensor, SeekableSensor):
        with pytest.raises(errors.SensorClosed):
            sensor.seek(0)


def test_options_are_frozen_and_unknown_keys_are_refused_with_a_suggestion(any_case):
    driver, options, machine = any_case
    fields = sorted(registry.find_driver(driver).Options.model_fields)
    with sensors.open_sensor(driver, options, machine) as sensor:
        with pytest.raises(ValueError, match=r"frozen|no field"):
            setattr(sensor.options, (fields or ["pin"])[0], 1)
        assert repr(sensor.options) == repr(sensor.options.model_copy())
    wrong = {f"{name}x": 1 for name in fields[:2]} | {"zzz": 1}
    with pytest.raises(errors.BadOptions) as caught:
        sensors.open_sensor(driver, {**options, **wrong}, machine)
    said = str(caught.value)
    assert all(f"{key} = 1: unknown" in said for key in wrong), "all errors are told at once"
    assert all(f"did you mean {name!r}" in said for name in fields[:2])


def test_every_error_is_in_the_tree_and_a_builtin():
    classes = [c for c in vars(errors).values() if isinstance(c, type)]
    leaves = [c for c in classes if not c.__subclasses__()]
    assert len(leaves) > 8
    for leaf in leaves:
        assert issubclass(leaf, errors.TransientSensorError) != issubclass(
            leaf, errors.PermanentSensorError
        )
        assert any(
            base.__module__ == "builtins" and base is not Exception for base in leaf.__bases__
        )
        assert str(leaf("why it failed")) == "why it failed"


def reads(count, sleep=lambda _: None, **options):
    sensor = MockSensor(MockOptions(**options), sleep)
    return [outcome(sensor) for _ in range(count)]


def values(count, **options):
    return [reading.value for reading in reads(count, **options)]


def test_mock_misses_reads():
    got = reads(2000, missing_rate=0.1)
    assert 150 < got.count(errors.MissingValue) < 250
    assert reads(3, missing_rate=1.0) == [errors.MissingValue] * 3


def test_mock_sticks_for_a_spell():
    got = values(400, noise=1.0, stuck_rate=0.5, stuck_reads=10)
    spells = [got[i : i + 10] for i in range(0, 400, 10)]
    stuck = [len(set(spell)) == 1 for spell in spells]
    assert any(stuck)
    assert not all(stuck)
    assert all(len(set(spell)) in {1, 10} for spell in spells)


def test_mock_spikes_both_ways_and_comes_back():
    got = values(2000, spike_rate=0.05, spike_size=50.0)
    assert set(got) == {-50.0, 0.0, 50.0}
    assert 60 < sum(value != 0 for value in got) < 140


def test_mock_drifts():
    assert values(4, level=1.0, drift_per_read=0.5) == [1.0, 1.5, 2.0, 2.5]


def test_mock_is_slow_and_gives_up_in_time():
    slept = []
    assert reads(2, slept.append, slow_rate=1.0, slow_s=0.5) == [Reading(0.0)] * 2
    assert slept == [0.5, 0.5]
    slept.clear()
    assert reads(1, slept.append, slow_rate=1.0, slow_s=9.0, timeout_s=2.0) == [errors.ReadTimeout]
    assert slept == [2.0]


def test_mock_marks_implausible_values():
    got = reads(100, waveform="sine", amplitude=10.0, low=-5.0, high=5.0)
    assert {r.quality for r in got} == {Quality.GOOD, Quality.SUSPECT}
    assert all((r.quality is Quality.GOOD) == (-5 <= r.value <= 5) for r in got)


@given(
    st.sampled_from(["constant", "sine", "square", "ramp"]),
    st.floats(-1e6, 1e6),
    st.floats(0, 1e6),
    st.integers(2, 100),
)
def test_mock_waveforms_stay_within_their_amplitude(waveform, level, amplitude, period):
    got = values(150, waveform=waveform, level=level, amplitude=amplitude, period_reads=period)
    assert all(abs(value - level) <= amplitude * (1 + 1e-9) + 1e-9 for value in got)
    assert got[:20] == got[:20] if period > 100 else got[0] == got[period]


@pytest.mark.parametrize(
    "options",
    [
        {"low": 2.0, "high": 1.0},
        {"missing_rate": 1.5},
        {"noise": float("nan")},
        {"period_reads": 0},
        {"waveform": "saw"},
        {"seed": "3"},
    ],
)
def test_mock_refuses_options_that_mean_nothing(options):
    with pytest.raises(errors.BadOptions, match=next(iter(options))):
        sensors.open_sensor("mock", options)


class Broken(Sensor):
    """A driver that gives no number, and counts what it releases."""

    Options = DriverOptions
    released = 0

    def _measure(self):
        return Reading(float("nan"))

    def _release(self):
        self.released += 1


def test_the_base_refuses_a_value_that_is_no_number_and_releases_once():
    sensor = Broken(DriverOptions())
    with sensor, pytest.raises(errors.ReadFailed, match="nan"):
        sensor.read()
    sensor.close()
    assert sensor.released == 1


def offer(monkeypatch, **targets):
    offers = EntryPoints(
        EntryPoint(name=name, value=value, group=registry.DRIVERS.group)
        for name, value in targets.items()
    )
    monkeypatch.setattr(plugins, "entry_points", offers.select)


def test_a_third_party_adds_a_driver_by_an_entry_point(monkeypatch):
    offer(monkeypatch, thermo=f"{__name__}:Broken", mock=f"{__name__}:Broken")
    assert set(sensors.driver_names()) == {*registry._BUILT_IN, "thermo"}
    with sensors.open_sensor("thermo", {}) as sensor:
        assert type(sensor).__name__ == "Broken"
    with sensors.open_sensor("mock", {}) as sensor:
        assert isinstance(sensor, MockSensor), "a built-in name cannot be taken over"


@pytest.mark.parametrize(
    "target", ["no_such_module:X", "math:no_such", "math:pi", "protoledger.sensors.base:Sensor"]
)
def test_a_broken_third_party_driver_is_named(monkeypatch, target):
    offer(monkeypatch, thermo=target)
    with pytest.raises(errors.DriverBroken, match="thermo"):
        sensors.open_sensor("thermo", {})


class Options(DriverOptions):
    """Options that break in the check if asked to."""

    when: str = ""

    @model_validator(mode="after")
    def _check(self):
        return {}["checked"] if self.when == "checked" else self


class Faulty(Broken):
    """A driver whose author did not expect what happens."""

    Options = Options

    def __init__(self, options):
        super().__init__(options)
        assert options.when != "opened"

    @classmethod
    def resources(cls, options):
        return {}["returned"] if options.when == "returned" else ()


@pytest.mark.parametrize("when", ["checked", "returned", "opened"])
def test_a_third_party_driver_that_fails_in_its_own_way_is_named(monkeypatch, when):
    offer(monkeypatch, thermo=f"{__name__}:Faulty")
    with pytest.raises(errors.DriverBroken, match=f"'thermo' raised .*Error when it {when}"):
        sensors.open_probe("thermo", {"when": when})
    problems = sensors.find_problems([sensors.WantedSensor("s", "thermo", {"when": when})])
    assert len(problems) == (when != "opened")


def test_an_unknown_driver_is_named_with_a_suggestion():
    with pytest.raises(errors.UnknownDriver, match="did you mean 'replay'"):
        sensors.open_sensor("repaly", {})


def test_sensors_load_nothing_heavy():
    program = (
        "import sys; from protoledger import sensors; sensors.open_sensor('mock', {}).read();"
        "heavy = {'numpy', 'gpiozero', 'board', 'adafruit_dht', 'web3', 'edge', 'protocol'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
