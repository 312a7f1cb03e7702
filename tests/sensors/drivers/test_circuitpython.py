"""The driver `circuitpython`: Adafruit's own SHT4x driver on an I2C bus that a test simulates."""

import sys
import types

import pytest

from protoledger import sensors
from protoledger.sensors import errors, open_sensor
from protoledger.sensors.drivers.circuitpython import CircuitPythonOptions
from tests.support.i2c_bus import Bench, Bus

pytest.importorskip("adafruit_sht4x", reason="Adafruit's drivers are for Linux")
SHT4X = {"chip": "adafruit_sht4x.SHT4x", "quantity": "temperature", "unit": "°C"}


@pytest.fixture
def bus():
    return Bus()


@pytest.fixture
def bench(bus):
    return Bench(bus)


def test_two_channels_share_one_chip_and_each_reads_its_quantity(bus, bench):
    with (
        open_sensor("circuitpython", SHT4X, bench) as one,
        open_sensor("circuitpython", {**SHT4X, "quantity": "relative_humidity"}, bench) as two,
    ):
        assert one._chip.shared is two._chip.shared
        assert one.read().value == pytest.approx(25.0, abs=0.01)
        assert two.read().value == pytest.approx(50.0, abs=0.01)
        bus.celsius = -10.0
        assert one.read().value == pytest.approx(-10.0, abs=0.01)
    assert not bus.locked


def test_a_chip_that_is_unplugged_or_damaged_fails_for_now_and_comes_back(bus, bench):
    with open_sensor("circuitpython", SHT4X, bench) as sensor:
        for fault in ("there", "damaged"):
            setattr(bus, fault, fault == "damaged")
            with pytest.raises(errors.ReadFailed):
                sensor.read()
            setattr(bus, fault, fault == "there")
            assert sensor.read().value == pytest.approx(25.0, abs=0.01)


def test_a_chip_that_is_absent_at_the_start_is_looked_for_later(bus, bench):
    bus.there = False
    with pytest.raises(errors.DeviceGone, match=r"SHT4x on I2C does not answer.*i2cdetect"):
        open_sensor("circuitpython", SHT4X, bench)
    bus.there = True
    open_sensor("circuitpython", SHT4X, bench).close()


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"chip": "os.system"}, errors.BadOptions, "options.chip"),
        ({"chip": "adafruit_sht4x.SHT5x"}, errors.BadOptions, "no class 'SHT5x'"),
        ({"chip": "adafruit_sht4x.calculate"}, errors.BadOptions, "no class|not a class"),
        (
            {"chip": "adafruit_no_such.X"},
            errors.HardwareUnavailable,
            "adafruit-circuitpython-no-such",
        ),
        ({"arguments": {"speed": 3}}, errors.BadOptions, "speed.*arguments"),
        ({"start": "begin"}, errors.BadOptions, "no method 'begin'"),
        ({"quantity": "__class__"}, errors.BadOptions, "quantity"),
        ({"address": 0x80}, errors.BadOptions, "address"),
    ],
)
def test_what_is_misconfigured_is_told(bench, change, error, said):
    with pytest.raises(error, match=said):
        open_sensor("circuitpython", {**SHT4X, **change}, bench)


def test_a_property_that_the_chip_has_not_is_told_with_those_that_it_has(bench):
    with (
        open_sensor("circuitpython", {**SHT4X, "quantity": "pressure"}, bench) as sensor,
        pytest.raises(errors.ReadFailed, match=r"measurements.*relative_humidity.*temperature"),
    ):
        sensor.read()


def test_several_numbers_need_an_index(bench):
    both = {**SHT4X, "quantity": "measurements"}
    with (
        open_sensor("circuitpython", both, bench) as sensor,
        pytest.raises(errors.ReadFailed, match="2 numbers: set `index`"),
    ):
        sensor.read()
    with open_sensor("circuitpython", {**both, "index": 1}, bench) as sensor:
        assert sensor.read().value == pytest.approx(50.0, abs=0.01)


def test_a_chip_is_started_once_and_read_only_when_it_is_ready(bench, monkeypatch):
    class Slow:
        started = 0
        data_ready = False
        co2 = None

        def __init__(self, _bus):
            pass

        def begin(self):
            type(self).started += 1

    module = types.ModuleType("adafruit_slow")
    module.Slow = Slow
    monkeypatch.setitem(sys.modules, "adafruit_slow", module)
    options = {
        "chip": "adafruit_slow.Slow", "quantity": "co2", "start": "begin", "ready": "data_ready",
    }  # fmt: skip
    with open_sensor("circuitpython", options, bench) as sensor:
        with pytest.raises(errors.MissingValue, match="no new value yet"):
            sensor.read()
        Slow.data_ready = True
        with pytest.raises(errors.MissingValue, match="no value yet"):
            sensor.read()
        Slow.co2 = "612"
        assert sensor.read().value == 612.0
        Slow.co2 = float("nan")
        with pytest.raises(errors.ReadFailed, match="not a finite number"):
            sensor.read()
    assert Slow.started == 1


def test_a_property_is_one_sensors_and_the_bus_is_every_chips():
    wanted = [sensors.WantedSensor(name, "circuitpython", SHT4X) for name in ("a", "b")]
    [problem] = sensors.find_problems(wanted)
    assert "temperature of SHT4x on I2C is used twice" in problem
    assert CircuitPythonOptions(**SHT4X, address=0x45).device == "SHT4x at 0x45 on I2C"
