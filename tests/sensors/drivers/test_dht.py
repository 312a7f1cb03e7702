"""The DHT driver on the true library and a stub of the wire, with the faults that DHTs have."""

import gc
import os
import subprocess
import sys

import pytest

from protoledger.sensors import (
    PermanentSensorError,
    Probe,
    Quality,
    SimulatedMachine,
    errors,
    open_sensor,
)
from protoledger.sensors.drivers.dht import Dht11Sensor, Dht22Sensor, DhtOptions, _Chip
from tests.support import dht_stub


@pytest.fixture(autouse=True)
def nothing_is_held():
    yield
    gc.collect()
    assert not _Chip.shared, "a chip was not released"


@pytest.fixture
def wire(monkeypatch):
    return dht_stub.install(monkeypatch)


def sensor(clock, quantity="temperature", pin=4, kind=Dht22Sensor):
    options = DhtOptions(pin=pin, quantity=quantity)
    return kind(options, clock=clock.monotonic, sleep=clock.sleep)


def test_both_quantities_come_from_one_answer(wire):
    clock, chips = wire
    with sensor(clock) as temperature, sensor(clock, "humidity") as humidity:
        assert (temperature.unit, humidity.unit) == ("°C", "%")
        chips[4].answers = [(-12.3, 48.2, ""), (80.0, 99.9, "")]
        assert [temperature.read().value, humidity.read().value] == [-12.3, 48.2]
        assert len(chips[4].asked_at) == 1
        assert [humidity.read().value, temperature.read().value] == [99.9, 80.0]
        assert len(chips[4].asked_at) == 2


@pytest.mark.parametrize("answer", [(0.0, 5.0), (24.6, 60.0), (55.0, 95.0)])
def test_a_dht11_speaks_another_dialect(monkeypatch, answer):
    clock, chips = dht_stub.install(monkeypatch, dht11=True)
    chips[4].answers = [(*answer, "")]
    with (
        sensor(clock, kind=Dht11Sensor) as temperature,
        sensor(clock, "humidity", kind=Dht11Sensor) as humidity,
    ):
        assert (temperature.read().value, humidity.read().value) == answer


def test_a_chip_is_asked_every_two_seconds_at_most(wire):
    clock, chips = wire
    with sensor(clock) as temperature, sensor(clock, "humidity") as humidity:
        for _ in range(5):
            temperature.read()
            humidity.read()
            temperature.read()
            clock.now += 0.3
    gaps = [b - a for a, b in zip(chips[4].asked_at, chips[4].asked_at[1:], strict=False)]
    assert len(gaps) > 5
    assert min(gaps) > 2.0


def test_a_slow_reader_gets_a_fresh_value_and_does_not_wait(wire):
    clock, chips = wire
    chips[4].answers = [(20.0, 40.0, ""), (21.0, 41.0, "")]
    with sensor(clock) as temperature, sensor(clock, "humidity") as humidity:
        assert temperature.read().value == 20.0
        clock.now += 60.0
        assert humidity.read().value == 41.0, "40 was of a minute ago"
        assert not [s for s in clock.slept if s > 1]


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        ("checksum", errors.ReadFailed),
        ("short", errors.ReadFailed),
        ("dead", errors.DeviceGone),
    ],
)
def test_a_failed_answer_fails_for_both_quantities_and_the_next_is_fresh(wire, fault, raised):
    clock, chips = wire
    chips[4].answers = [(20.0, 40.0, ""), (21.0, 41.0, fault), (22.0, 42.0, "")]
    with sensor(clock) as temperature, sensor(clock, "humidity") as humidity:
        assert (temperature.read().value, humidity.read().value) == (20.0, 40.0)
        with pytest.raises(raised, match="DHT22"):
            temperature.read()
        with pytest.raises(raised):
            humidity.read()  # the library alone would say 40 again
        assert (temperature.read().value, humidity.read().value) == (22.0, 42.0)
    assert len(chips[4].asked_at) == 3


def test_the_library_has_the_fault_that_the_driver_guards_against(wire):
    _, chips = wire
    import adafruit_dht

    chips[4].answers = [(20.0, 40.0, ""), (21.0, 41.0, "checksum")]
    library = adafruit_dht.DHT22(chips[4], use_pulseio=False)
    assert library.humidity == 40.0
    chips[4].clock.now += 3.0
    with pytest.raises(RuntimeError, match="Checksum"):
        _ = library.temperature
    assert library.humidity == 40.0, "stale, without an error"


def test_a_busy_pi_does_not_make_stale_values_fresh(wire, monkeypatch):
    clock, chips = wire
    chips[4].answers = [(20.0, 40.0, ""), (21.0, 41.0, "checksum"), (22.0, 42.0, "")]
    ask, delays = _Chip._ask, iter([0.0, 0.5, 0.0])

    def late(chip):
        clock.now += next(delays)  # another process runs before the library looks at its clock
        return ask(chip)

    monkeypatch.setattr(_Chip, "_ask", late)
    with sensor(clock, "humidity") as humidity:
        assert humidity.read().value == 40.0
        with pytest.raises(errors.ReadFailed):
            humidity.read()
        assert humidity.read().value == 42.0, "40 is what the library remembers"


def test_humidity_beyond_100_is_a_failed_answer(wire):
    clock, chips = wire
    chips[4].answers = [(20.0, 230.0, "")]
    with sensor(clock) as temperature, pytest.raises(errors.ReadFailed, match="unplausible"):
        temperature.read()


def test_a_jump_that_passes_the_checksum_is_suspect_and_does_not_stay(wire):
    clock, chips = wire
    chips[4].answers = [(20.0, 40.0, ""), (20.1, 40.0, "jump"), (20.2, 40.0, "")]
    options = DhtOptions(pin=4, quantity="temperature")
    filters = Dht22Sensor.default_filters(options)
    with Probe(sensor(clock), filters, clock.monotonic) as probe:
        got = [probe.read() for _ in range(3)]
    assert [reading.quality for reading in got] == [Quality.GOOD, Quality.SUSPECT, Quality.GOOD]
    assert got[1].value > 80
    assert got[2].value == 20.2


def test_the_default_filters_know_what_air_can_do():
    for kind in (Dht11Sensor, Dht22Sensor):
        air = kind.default_filters(DhtOptions(pin=4, quantity="temperature"))
        assert (air.low, air.high) in {(0.0, 60.0), (-40.0, 80.0)}
        air = kind.default_filters(DhtOptions(pin=4, quantity="humidity"))
        assert (air.low, air.high) == (1.0, 100.0)


def test_unplugged_and_plugged_in_again_it_comes_back(wire):
    clock, chips = wire
    chips[4].answers = [(20.0, 40.0, "dead")]
    with sensor(clock) as temperature:
        for _ in range(20):
            with pytest.raises(errors.DeviceGone, match="wires"):
                temperature.read()
        chips[4].answers = [(25.0, 50.0, "")]
        assert temperature.read().value == 25.0
    assert chips[4].open == 0


def test_two_pins_are_two_chips_and_one_pin_cannot_be_two_models(wire):
    clock, chips = wire
    chips[17].answers = [(5.0, 60.0, "")]
    with sensor(clock) as one, sensor(clock, pin=17) as other:
        assert (one.read().value, other.read().value) == (21.5, 5.0)
        with pytest.raises(errors.PinInUse, match="GPIO4 is a DHT22 already"):
            sensor(clock, kind=Dht11Sensor)


def test_the_last_user_releases_the_chip(wire):
    clock, _ = wire
    one, two = sensor(clock), sensor(clock, "humidity")
    one.close()
    assert two.read().value == 48.2
    two.close()
    two.close()
    assert not _Chip.shared
    with sensor(clock) as again:
        assert again.read().value == 21.5


def test_what_else_the_pin_library_raises_is_a_failed_read(wire, monkeypatch):
    clock, chips = wire
    monkeypatch.setattr(chips[4], "answer", lambda: (_ for _ in ()).throw(OSError(16, "busy")))
    with sensor(clock) as temperature, pytest.raises(errors.ReadFailed, match="busy"):
        temperature.read()


@pytest.mark.usefixtures("wire")
def test_a_missing_library_is_told_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "board", None)
    with pytest.raises(errors.HardwareUnavailable, match=r"protoledger\[edge\]"):
        open_sensor("dht22", {"pin": 4, "quantity": "humidity"})


@pytest.mark.usefixtures("wire")
def test_a_pin_that_the_board_has_not_is_told():
    with pytest.raises(PermanentSensorError, match="D5"):
        open_sensor("dht22", {"pin": 5, "quantity": "humidity"})


def test_a_simulated_machine_shares_a_chip_like_a_real_one():
    with SimulatedMachine() as pi, SimulatedMachine() as other:
        one = open_sensor("dht22", {"pin": 4, "quantity": "humidity"}, pi)
        two = open_sensor("dht11", {"pin": 4, "quantity": "humidity"}, other)
        assert 30 < one.read().value < 70
        assert 30 < two.read().value < 70
        one.close()
        two.close()


def test_the_true_libraries_load_as_on_a_pi_and_fail_for_want_of_a_header():
    """No stub here: adafruit's board files, digitalio and gpiod, told that this is a Pi."""
    program = (
        "from protoledger.sensors import open_sensor\n"
        "sensor = open_sensor('dht22', {'pin': 4, 'quantity': 'temperature'})\n"
        "try:\n    sensor.read()\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    told = {"BLINKA_FORCEBOARD": "RASPBERRY_PI_4B", "BLINKA_FORCECHIP": "BCM2XXX"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
        env=os.environ | told,
    )  # fmt: skip
    assert done.stdout.startswith("ReadFailed DHT22: "), done.stdout + done.stderr
