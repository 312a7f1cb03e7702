"""Buttons, motion sensors and other switches on gpiozero's mock pins."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from gpiozero import Device
from gpiozero.pins.mock import MockFactory

from protoledger import sensors
from protoledger.sensors import errors

PIN = 17


@pytest.fixture(autouse=True)
def pins():
    """Give gpiozero mock pins, and tell what is still reserved at the end."""
    before, Device.pin_factory = Device.pin_factory, MockFactory()
    yield Device.pin_factory
    held = [holder() for held in Device.pin_factory._reservations.values() for holder in held]
    assert not any(held), "a pin is still held"
    Device.pin_factory.reset()
    Device.pin_factory = before


@pytest.fixture
def pin(pins):
    return pins.pin(PIN)


def until(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.005)
    pytest.fail("it never happened")


def value(sensor):
    return sensor.read().value


@pytest.mark.parametrize(
    ("driver", "options", "active"),
    [
        ("button", {}, "low"),
        ("button", {"pull_up": False}, "high"),
        ("digital", {}, "high"),
        ("digital", {"pull": "up"}, "low"),
        ("digital", {"pull": "none", "active": "low"}, "low"),
        ("digital", {"pull": "none", "active": "high"}, "high"),
    ],
)
def test_a_switch_follows_its_pin(pin, driver, options, active):
    drive = {"low": pin.drive_low, "high": pin.drive_high}
    idle = {"low": "high", "high": "low"}[active]
    drive[idle]()
    with sensors.open_sensor(driver, {"pin": PIN, **options}) as sensor:
        assert value(sensor) == 0
        drive[active]()
        assert [value(sensor), value(sensor)] == [1, 1]
        drive[idle]()
        assert value(sensor) == 0


def test_a_press_between_two_reads_is_not_lost(pin):
    with sensors.open_sensor("button", {"pin": PIN}) as sensor:
        pin.drive_low()
        pin.drive_high()
        assert [value(sensor), value(sensor)] == [1, 0]


def test_a_press_from_another_thread_while_reading_is_counted_once_at_least(pin):
    presses = 300
    with sensors.open_sensor("button", {"pin": PIN}) as sensor:

        def press():
            for _ in range(presses):
                pin.drive_low()
                pin.drive_high()

        thread = threading.Thread(target=press)
        thread.start()
        thread.join()
        assert sensor._edges == presses
        assert [value(sensor), value(sensor)] == [1, 0]


def test_a_press_counts_for_as_long_as_asked(pin, monkeypatch):
    now = [0.0]
    with sensors.open_sensor("button", {"pin": PIN, "hold_s": 5}) as sensor:
        monkeypatch.setattr(sensor, "_clock", lambda: now[0])
        pin.drive_low()
        pin.drive_high()
        seen = []
        for now[0] in (1.0, 2.0, 5.9, 6.0, 7.0):
            seen.append(value(sensor))
        assert seen == [1, 1, 1, 0, 0]


def test_a_toggle_button_votes_for_one_label_or_the_other(pin):
    options = {"pin": PIN, "mode": "toggle", "active_value": 2, "idle_value": -1}
    with sensors.open_sensor("button", options) as sensor:
        seen = [value(sensor)]
        for _ in range(3):
            pin.drive_low()
            seen.append(value(sensor))
            pin.drive_high()
            seen.append(value(sensor))
        assert seen == [-1, 2, 2, -1, -1, 2, 2]


def test_motion_is_seen_after_it_ended_and_ends(pin):
    with sensors.open_sensor("motion", {"pin": PIN, "sample_hz": 100}) as sensor:
        assert value(sensor) == 0
        pin.drive_high()
        until(lambda: sensor._edges == 1)
        pin.drive_low()
        until(lambda: not sensor._device.is_active)
        assert [value(sensor), value(sensor)] == [1, 0]


def test_a_twitching_motion_sensor_needs_more_than_half_of_its_samples(pin):
    with sensors.open_sensor("motion", {"pin": PIN, "sample_hz": 100, "samples": 9}) as sensor:
        assert value(sensor) == 0
        pin.drive_high()
        until(lambda: value(sensor) == 1)


def test_a_sample_that_comes_in_the_middle_of_a_read_costs_no_reading(pin):
    with sensors.open_sensor("motion", {"pin": PIN, "sample_hz": 100}) as sensor:
        pin.drive_high()
        until(lambda: value(sensor) == 1.0)
        queue = sensor._device._queue
        plain, refusals = queue.average, []

        def average(samples):
            if threading.current_thread() is threading.main_thread() and len(refusals) < 3:
                refusals.append("what Python says when gpiozero's thread adds to them meanwhile")
                raise RuntimeError("deque mutated during iteration")
            return plain(samples)

        queue.average = average
        assert value(sensor) == 1.0
        assert len(refusals) == 3


@pytest.mark.parametrize("driver", ["button", "motion"])
def test_a_pin_that_lgpio_is_slow_to_let_go_is_released_all_the_same(pin, driver, monkeypatch):
    refusals = []
    plain = pin.close

    def close():
        if len(refusals) < 2:
            refusals.append("what lgpio says while its thread looks at the pin")
            raise RuntimeError("GPIO busy")
        plain()

    sensor = sensors.open_sensor(driver, {"pin": PIN})
    monkeypatch.setattr(pin, "close", close)
    sensor.close()
    assert len(refusals) == 2
    sensors.open_sensor(driver, {"pin": PIN}).close()


@pytest.mark.parametrize("driver", ["button", "digital", "motion"])
def test_a_pin_is_held_until_close_and_free_after_it(driver):
    first = sensors.open_sensor(driver, {"pin": PIN})
    with pytest.raises(errors.PinInUse, match=f"GPIO{PIN}"):
        sensors.open_sensor("button", {"pin": PIN})
    first.close()
    with sensors.open_sensor(driver, {"pin": PIN}) as second:
        assert value(second) == 0


def test_what_gpiozero_raises_is_a_failed_read(monkeypatch):
    with sensors.open_sensor("button", {"pin": PIN}) as sensor:
        monkeypatch.setattr(sensor._device.pin, "_get_state", lambda: 1 / 0)
        with pytest.raises(errors.ReadFailed, match="ZeroDivisionError"):
            sensor.read()


def test_a_line_that_the_kernel_holds_is_named(monkeypatch):
    class Error(Exception):
        pass

    def busy(*_):
        raise Error("'GPIO busy'")

    monkeypatch.setattr(Device.pin_factory, "pin", busy)
    with pytest.raises(errors.PinInUse, match=f"pin {PIN}.*GPIO busy"):
        sensors.open_sensor("button", {"pin": PIN})


@pytest.mark.parametrize(
    ("driver", "options", "said"),
    [
        ("button", {}, "pin: is missing"),
        ("button", {"pin": 28}, "pin = 28"),
        ("button", {"pin": "17"}, "pin = '17'"),
        ("button", {"pin": 17, "bounce": 0.1}, "did you mean 'bounce_s'"),
        ("button", {"pin": 17, "mode": "tog"}, "mode = 'tog'"),
        ("digital", {"pin": 17, "pull": "none"}, "say `active`"),
        ("digital", {"pin": 17, "active": "low"}, "say `active`"),
        ("motion", {"pin": 17, "hold_s": -1}, "hold_s = -1"),
    ],
)
def test_options_that_mean_nothing_are_refused_before_a_pin_is_touched(driver, options, said):
    with pytest.raises(errors.BadOptions, match=said):
        sensors.open_sensor(driver, options)


def outside(program, **environment):
    """Run a program where gpiozero must find its pins by itself; returns what it printed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GPIOZERO", "LG_"))}
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=kept | environment,
    ).stdout


OPEN = (
    "import glob, os\nfrom protoledger import sensors\n"
    "try:\n    sensors.open_sensor('button', {'pin': 4})\n"
    "except sensors.PermanentSensorError as error:\n    print(type(error).__name__, error)\n"
)


def test_a_machine_without_pins_says_so_and_leaves_no_litter(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = outside(OPEN + "print(os.environ['LG_WD'])", PYTHONPATH=os.pathsep.join(sys.path))
    assert said.startswith("HardwareUnavailable the pins of this machine cannot be reached")
    assert not Path(said.splitlines()[-1]).exists()
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_gpiozero_says_so():
    said = outside("import sys; sys.modules['gpiozero'] = None\n" + OPEN)
    assert "HardwareUnavailable" in said
    assert "protoledger[edge]" in said


def test_the_environment_can_name_the_pins():
    program = "from protoledger import sensors\n"
    program += "print(sensors.open_sensor('button', {'pin': 4}).read().value)"
    assert outside(program, GPIOZERO_PIN_FACTORY="mock").strip() == "0.0"
