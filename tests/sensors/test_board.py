"""What a board does not allow is refused before anything is opened, or said with the reading."""

import pytest

from protoledger import sensors
from protoledger.sensors import Quality, errors, open_probe, open_sensor
from tests.sensors.drivers.test_kernel import iio


@pytest.mark.parametrize("pin", [2, 3])
@pytest.mark.parametrize(
    ("driver", "options", "remedy"),
    [
        ("button", {"pull_up": False}, "connect the button to GND"),
        ("digital", {}, "pull: up"),
        ("digital", {"pull": "none", "active": "high"}, "pull: up"),
        ("motion", {}, "another pin"),
        ("light", {}, "another pin"),
    ],
)
def test_a_pull_that_the_board_does_not_allow_is_a_configuration_error(
    driver, options, remedy, pin
):
    with pytest.raises(errors.BadOptions, match=rf"(?s)GPIO2 and GPIO3 up.*{remedy}"):
        open_sensor(driver, {"pin": pin, **options})
    [problem] = sensors.find_problems(
        [sensors.WantedSensor("label", driver, {"pin": pin, **options})]
    )
    assert "GPIO3 up" in problem


def test_an_echo_on_a_pin_that_is_pulled_up_is_refused():
    with pytest.raises(errors.BadOptions, match="for ECHO"):
        open_sensor("distance", {"echo": 3, "trigger": 23})


@pytest.mark.parametrize(("driver", "options"), [("button", {}), ("digital", {"pull": "up"})])
def test_what_pulls_a_pin_down_works_on_the_pins_that_are_pulled_up(driver, options):
    with sensors.SimulatedMachine() as pi, open_sensor(driver, {"pin": 2, **options}, pi) as sensor:
        assert sensor.read().value in {0.0, 1.0}


@pytest.mark.parametrize(
    ("scale", "raw", "limit"),
    [
        (1, 2047, "2.048 V"), (1, -2048, "2.048 V"), (2, 2047, "4.096 V"), (3, 2047, "6.144 V"),
        (0.0625, 32767, "2.048 V"), (0.125, 32767, "4.096 V"),
        (1, 2046, ""), (0.125, 2047, ""), (0.1, 2047, ""), (2, 1600, ""),
    ],
)  # fmt: skip
def test_a_voltage_at_the_end_of_the_converters_range_is_suspect(tmp_path, scale, raw, limit):
    machine = sensors.Machine(tmp_path)
    iio(tmp_path, name="ads1015", in_voltage0_raw=raw, in_voltage0_scale=scale)
    with open_probe("iio", {"name": "ads1015", "channel": "voltage0"}, machine=machine) as probe:
        reading = probe.read()
    assert reading.value == pytest.approx(raw * scale / 1000)
    assert (reading.quality is Quality.SUSPECT) == bool(limit)
    assert limit in reading.reason
    assert not limit or "cha_gain" in reading.reason


def test_a_motion_sensor_with_many_samples_does_not_block_its_first_read(monkeypatch):
    monkeypatch.setattr("protoledger.sensors.drivers.switches.motion._WAIT_S", 0.01)
    with (
        sensors.SimulatedMachine() as pi,
        open_sensor("motion", {"pin": 13, "samples": 100, "sample_hz": 1.0}, pi) as sensor,
        pytest.raises(errors.MissingValue, match=r"of its first 100 samples: wait for \d+ s"),
    ):
        sensor.read()
