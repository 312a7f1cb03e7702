"""Inside the guest: how far a DHT22 can be proven without one. A successful read cannot."""

import os

import pytest

from protoledger.sensors import open_sensor
from protoledger.sensors.errors import TransientSensorError


def test_blinka_sees_a_pi_3b():
    os.environ["BLINKA_SKIP_DEPENDENCY_CHECK"] = "1"  # as the driver does
    import board
    from adafruit_blinka.agnostic import board_id, chip_id

    assert board_id == "RASPBERRY_PI_3B"
    assert chip_id == "BCM2XXX"
    assert board.D4.id == 4


def test_the_driver_opens_its_pin_and_says_that_nobody_answers():
    with (
        open_sensor("dht22", {"pin": 4, "quantity": "temperature"}) as sensor,
        pytest.raises(TransientSensorError),
    ):
        sensor.read()


@pytest.mark.parametrize("channel", ["temp", "humidityrelative"])
def test_the_kernels_own_driver_is_read_and_says_that_nobody_answers(channel):
    with (
        open_sensor("iio", {"name": "dht11", "channel": channel}) as sensor,
        pytest.raises(TransientSensorError),
    ):
        sensor.read()
