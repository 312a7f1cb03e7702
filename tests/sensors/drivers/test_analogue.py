"""The converter on SPI, the light sensor and the distance sensor, on gpiozero's mock pins."""

import threading
import time

import pytest
from gpiozero import Device
from gpiozero.pins import mock
from gpiozero.threads import GPIOThread

from protoledger.sensors import errors, open_probe, open_sensor


@pytest.fixture(autouse=True)
def pins(monkeypatch):
    """Give gpiozero mock pins, and tell what is still reserved at the end."""
    header = mock.MockFactory()
    monkeypatch.setattr(Device, "pin_factory", header)
    yield header
    held = [holder() for held in header._reservations.values() for holder in held]
    assert not any(held), "a pin is still held"
    header.close()
    assert not [t for t in threading.enumerate() if isinstance(t, GPIOThread)]


class Converter(mock.MockSPIDevice):
    """An MCP3008 with given counts at its inputs; remembers what it was asked."""

    counts = (0,) * 8
    asked = ()

    def on_bit(self):
        if self.rx_bit == 12:
            start, single, channel = (
                self.rx_word() >> 4,
                self.rx_word() >> 3 & 1,
                self.rx_word() & 7,
            )
            self.asked = (*self.asked, (start, single, channel))
            self.tx_word(self.counts[channel], 12)


@pytest.fixture
def converter(pins):
    with Converter(11, 10, 9, 8, pin_factory=pins) as chip:
        yield chip


@pytest.mark.parametrize("channel", range(8))
def test_each_input_is_asked_for_by_its_number(converter, channel):
    converter.counts = tuple(range(0, 1024, 128))
    with open_sensor("mcp3008", {"channel": channel, "samples": 3}) as sensor:
        assert sensor.read().value == pytest.approx(3.3 * channel * 128 / 1023, abs=0.004)
        assert sensor.unit == "V"
    assert converter.asked == ((1, 1, channel),) * 3


@pytest.mark.parametrize(("count", "volts"), [(0, 0.0), (512, 1.65), (1023, 3.3)])
def test_the_scale_ends_at_the_reference(converter, count, volts):
    converter.counts = (count,) * 8
    with open_sensor("mcp3008", {"channel": 0}) as sensor:
        assert sensor.read().value == pytest.approx(volts, abs=0.004)
    with open_sensor("mcp3008", {"channel": 0, "reference_v": 5.0}) as sensor:
        assert sensor.read().value == pytest.approx(volts / 3.3 * 5.0, abs=0.006)


def test_a_falling_line_turns_volts_into_moisture(converter):
    options = {"channel": 0, "zero_v": 2.6, "full_v": 1.2, "full_value": 100, "unit": "%"}
    with open_sensor("mcp3008", options) as sensor:
        for volts, moisture in ((2.6, 0), (1.9, 50), (1.2, 100)):
            converter.counts = (round(volts / 3.3 * 1023),) * 8
            assert sensor.read().value == pytest.approx(moisture, abs=0.5)


def test_an_unplugged_probe_is_suspect_and_comes_back(converter):
    options = {"channel": 0, "zero_v": 2.6, "full_v": 1.2, "full_value": 100, "unit": "%"}
    with open_probe("mcp3008", options, {"low": -5.0, "high": 105.0}) as probe:
        seen = []
        for count in (500, 0, 1023, 505):
            converter.counts = (count,) * 8
            seen.append(probe.read().reason)
    assert seen == ["", "above 105", "below -5", ""]


def test_inputs_of_a_chip_share_it_and_the_last_one_frees_the_pins(converter):
    converter.counts = tuple(range(0, 1024, 128))
    one, two = (open_sensor("mcp3008", {"channel": number}) for number in (1, 2))
    one.close()
    assert two.read().value > 0.8
    with pytest.raises(errors.PinInUse):
        open_sensor("button", {"pin": 8})
    two.close()
    open_sensor("button", {"pin": 8}).close()


def test_zero_and_full_must_differ():
    with pytest.raises(errors.BadOptions, match="zero_v and full_v are both 1"):
        open_sensor("mcp3008", {"channel": 0, "zero_v": 1.0, "full_v": 1.0})


def capacitor(pins, number, charge_s):
    return pins.pin(number, pin_class=mock.MockChargingPin, charge_time=charge_s)


def test_the_faster_the_capacitor_fills_the_brighter(pins):
    pin = capacitor(pins, 19, 0.02)
    with open_sensor("light", {"pin": 19, "charge_s": 0.5}) as sensor:
        bright = sensor.read().value
        pin.charge_time = 0.2
        dim = sensor.read().value
        pin.charge_time = 5.0
        assert sensor.read().value == 0.0, "dark: it does not fill in time"
        pin.charge_time = 0.02
        assert 0.0 < dim < bright <= 1.0
        assert sensor.read().value > dim, "after dark it is read again"
    pin._charge_stop.set()


class EchoPin(mock.MockPin):
    """An ECHO whose edges bear the times that it is told."""

    tick = 0.0

    def _call_when_changed(self):
        mock.PiPin._call_when_changed(self, self.tick, self._state)


class Trigger(mock.MockPin):
    """A TRIG that is answered on ECHO at once, as from a distance, or not at all."""

    metres = None

    def _set_state(self, value):
        super()._set_state(value)
        if value and self.metres is not None:
            self.echo.tick = 1.0
            self.echo.drive_high()
            self.echo.tick += 2 * self.metres / 343.26
            self.echo.drive_low()


@pytest.fixture
def sonar(pins):
    pin = pins.pin(23, pin_class=Trigger)
    pin.echo = pins.pin(24, pin_class=EchoPin)
    return pin


PINS = {"echo": 24, "trigger": 23}


def test_a_distance_is_half_the_way_of_the_sound(sonar):
    sonar.metres = 0.8
    with open_sensor("distance", {**PINS, "samples": 3}) as sensor:
        assert sensor.read().value == pytest.approx(0.8)
        assert sensor.unit == "m"


def test_what_is_too_far_reads_as_the_maximum(sonar):
    sonar.metres = 1.0
    with open_sensor("distance", {**PINS, "samples": 1, "max_m": 0.5}) as sensor:
        assert sensor.read().value == 0.5


def test_without_an_echo_a_read_fails_in_time_and_works_when_there_is_one(sonar):
    with open_sensor("distance", {**PINS, "samples": 1}) as sensor:
        with pytest.raises(errors.ReadTimeout, match="no echo for 1 s"):
            sensor.read()  # gpiozero alone would wait for ever
        sonar.metres = 0.5
        assert sensor.read().value == pytest.approx(0.5)


def test_when_the_echoes_stop_the_last_distance_is_not_repeated(sonar):
    sonar.metres = 0.5
    with open_sensor("distance", {**PINS, "samples": 1}) as sensor:
        sensor.read()
        sonar.metres = None
        heard = sensor._heard_at
        sensor._clock = lambda: heard + 1.5
        time.sleep(0.25)  # two pings without an echo
        sensor._heard_at = heard
        with pytest.raises(errors.ReadTimeout):
            sensor.read()


def test_echo_and_trigger_must_differ():
    with pytest.raises(errors.BadOptions, match="both GPIO24"):
        open_sensor("distance", {"echo": 24, "trigger": 24})


@pytest.mark.parametrize(
    ("driver", "options"),
    [("mcp3008", {"channel": 0}), ("light", {"pin": 19}), ("distance", PINS)],
)
def test_a_device_that_fails_to_open_leaves_no_pin_behind(pins, driver, options):
    number = {"mcp3008": 11, "light": 19, "distance": 24}[driver]
    with open_sensor("button", {"pin": number}), pytest.raises(errors.PinInUse):
        open_sensor(driver, options)
    capacitor(pins, 19, 0.001)
    open_sensor(driver, options).close()
