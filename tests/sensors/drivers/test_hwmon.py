"""Hardware monitors of the kernel: found at every read, told apart, and broken in known ways."""

import pytest

from protoledger import sensors
from protoledger.sensors import errors, open_sensor


def hwmon(root, number=0, home="1-0044", **files):
    """Write a device as the kernel shows it: a link in class/hwmon to its folder in devices."""
    device = root / "devices" / home / "hwmon" / f"hwmon{number}"
    device.mkdir(parents=True)
    for name, content in files.items():
        (device / name).write_text(f"{content}\n")
    links = root / "class" / "hwmon"
    links.mkdir(parents=True, exist_ok=True)
    (links / f"hwmon{number}").symlink_to(device)
    return device


def read(root, **options):
    machine = sensors.Machine(root)
    with open_sensor("hwmon", {"name": "sht4x", "channel": "temp1", **options}, machine) as sensor:
        return sensor.read().value, sensor.unit


@pytest.mark.parametrize(
    ("channel", "raw", "value"),
    [
        ("temp1", 21460, (21.46, "°C")), ("humidity1", 46670, (46.67, "%")),
        ("in0", 3300, (3.3, "V")), ("curr1", 120, (0.12, "A")),
        ("power1", 2_500_000, (2.5, "W")), ("fan1", 1200, (1200.0, "rpm")),
    ],
)  # fmt: skip
def test_units_are_those_of_the_kernels_interface(tmp_path, channel, raw, value):
    hwmon(tmp_path, name="sht4x", **{f"{channel}_input": raw})
    found, unit = read(tmp_path, channel=channel)
    assert (found, unit) == (pytest.approx(value[0]), value[1])


def test_two_devices_of_a_name_must_be_told_apart(tmp_path):
    hwmon(tmp_path, 0, "1-0044", name="sht4x", temp1_input=20000)
    hwmon(tmp_path, 1, "1-0045", name="sht4x", temp1_input=30000)
    with pytest.raises(errors.ReadFailed, match="set `at` to 1-0044 or 1-0045"):
        read(tmp_path)
    assert read(tmp_path, at="1-0045")[0] == 30.0


def test_a_device_that_is_absent_or_lacks_the_channel_is_named(tmp_path):
    with pytest.raises(errors.DeviceGone, match="There are: none"):
        read(tmp_path)
    device = hwmon(tmp_path, name="lm75", temp1_input=1)
    with pytest.raises(errors.DeviceGone, match=r"'sht4x'.*There are: lm75"):
        read(tmp_path)
    with pytest.raises(errors.ReadFailed, match="no channel 'humidity1', but temp1"):
        read(tmp_path, name="lm75", channel="humidity1")
    (device / "temp1_fault").write_text("1\n")
    with pytest.raises(errors.ReadFailed, match="broken or missing probe"):
        read(tmp_path, name="lm75")
    (device / "temp1_fault").unlink()
    (device / "temp1_input").write_text("nonsense\n")
    with pytest.raises(errors.ReadFailed, match="not a number"):
        read(tmp_path, name="lm75")
    (device / "temp1_input").unlink()
    with pytest.raises(errors.DeviceGone, match="removed or added"):
        read(tmp_path, name="lm75")


def test_the_plants_bus_may_be_shared_and_a_channel_not():
    wanted = [
        sensors.WantedSensor("a", "hwmon", {"name": "sht4x", "channel": "temp1", "pins": [2, 3]}),
        sensors.WantedSensor(
            "b", "iio", {"name": "bh1750", "channel": "illuminance", "pins": [2, 3]}
        ),
    ]
    assert sensors.find_problems(wanted) == []
    [problem] = sensors.find_problems([*wanted, sensors.WantedSensor("c", *_again(wanted[0]))])
    assert "sht4x, temp1 is used twice" in problem


def _again(wanted):
    return wanted.driver, wanted.options
