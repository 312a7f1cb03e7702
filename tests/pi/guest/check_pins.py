"""Inside the guest: gpiozero, unmodified, on /dev/gpiochip0, and this project's drivers on it."""

import os
import time

import gpiozero
import pytest
from simulator import LABEL, Pin, wait_until

from protoledger.sensors import open_sensor
from protoledger.sensors.errors import PinInUse

EDGES = 20
LONGER_THAN_BOUNCE_S = 0.1


def release(wire, sensor):
    wire.high()
    assert wait_until(lambda: not sensor._device.is_active), "lost a release"
    time.sleep(LONGER_THAN_BOUNCE_S)  # a shorter one is chatter


def test_gpiozero_sees_a_pi_3b_and_chooses_lgpio():
    gpiozero.Device.ensure_pin_factory()
    factory = gpiozero.Device.pin_factory
    assert type(factory).__module__ == "gpiozero.pins.lgpio"
    assert (factory.board_info.model, factory.board_info.revision) == ("3B", "a02082")
    assert "GPIOZERO_PIN_FACTORY" not in os.environ


def test_lgpio_is_the_real_library_and_sees_the_chip():
    import lgpio

    handle = lgpio.gpiochip_open(0)
    error, lines, _name, label = lgpio.gpio_get_chip_info(handle)
    lgpio.gpiochip_close(handle)
    assert (error, lines, label) == (0, 54, LABEL)


def test_a_button_gets_every_edge():
    wire = Pin(17)
    with open_sensor("button", {"pin": 17}) as sensor:
        assert wire.value == 1, "the driver turned the pull-up resistor on"
        assert sensor.read().value == 0.0
        for edge in range(1, EDGES + 1):
            wire.low()
            assert wait_until(lambda edge=edge: sensor._edges == edge), f"lost press {edge}"
            release(wire, sensor)
        assert sensor.read().value == 1.0, "pressed since the last read"
        assert sensor.read().value == 0.0
        assert sensor._edges == EDGES


def test_a_button_that_is_held_stays_active():
    wire = Pin(17)
    with open_sensor("button", {"pin": 17, "active_value": 3.0}) as sensor:
        wire.low()
        assert wait_until(lambda: sensor.read().value == 3.0)
        assert sensor.read().value == 3.0
        wire.high()
        assert wait_until(lambda: sensor.read().value == 0.0)


def test_a_toggle_button_changes_with_every_press():
    wire = Pin(27)
    with open_sensor("button", {"pin": 27, "mode": "toggle"}) as sensor:
        for wanted in (1.0, 0.0, 1.0):
            wire.low()
            assert wait_until(lambda wanted=wanted: sensor.read().value == wanted)
            release(wire, sensor)


def test_chatter_of_contacts_is_no_presses():
    wire = Pin(17)
    with open_sensor("button", {"pin": 17, "bounce_s": 0.3}) as sensor:
        for _ in range(20):
            wire.low()
            wire.high()
        wire.low()
        assert wait_until(lambda: sensor._edges > 0)
        assert sensor._edges < 5, "the kernel tells of all, lgpio drops the short ones"


def test_a_motion_sensor_sees_every_movement():
    wire = Pin(23)
    wire.low()
    with open_sensor("motion", {"pin": 23}) as sensor:
        assert wait_until(lambda: sensor.read().value == 0.0)
        for movement in range(1, 6):
            wire.high()  # held: the driver looks at the pin ten times a second
            assert wait_until(lambda m=movement: sensor._edges == m), f"lost movement {movement}"
            assert sensor.read().value == 1.0
            wire.low()
            assert wait_until(lambda: sensor.read().value == 0.0)


@pytest.mark.parametrize(("driver", "pin"), [("button", 17), ("motion", 23), ("digital", 24)])
def test_a_closed_sensor_gives_its_pin_back(driver, pin):
    for _ in range(3):
        open_sensor(driver, {"pin": pin}).close()


def test_a_pin_that_the_kernel_uses_is_refused_by_name():
    with pytest.raises(PinInUse, match="22"):
        open_sensor("button", {"pin": 22})
