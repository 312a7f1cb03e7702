"""Sensors that the kernel reads: 1-wire, industrial I/O and the processor, on temporary folders."""

import errno
import os
import shutil
from pathlib import Path

import psutil
import pytest

from protoledger.sensors import Machine, errors, open_probe, open_sensor
from protoledger.sensors.drivers.kernel import kernel_files

BITS = "a3 01 4b 46 7f ff 0d 10 ce"
GOOD = f"{BITS} : crc=ce YES\n{BITS} t=26187\n"


@pytest.fixture
def pi(tmp_path):
    return Machine(tmp_path)


def thermometer(root, text=GOOD, name="28-0316a2794bff"):
    folder = root / "bus/w1/devices" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "w1_slave").write_text(text)
    return folder


def iio(root, number=0, at="1-0076", **files):
    """Make a device as the kernel does: a link in the class folder to where it hangs."""
    home = root / "devices/platform" / at / f"iio:device{number}"
    home.mkdir(parents=True)
    for name, content in files.items():
        (home / name).write_text(f"{content}\n")
    link = root / "bus/iio/devices" / home.name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(home)
    return link


def unplug(link):
    shutil.rmtree(link.resolve())
    link.unlink()


def read(driver, options, pi):
    with open_sensor(driver, options, pi) as sensor:
        return sensor.read().value


@pytest.mark.parametrize(("written", "value"), [("26187", 26.187), ("-1062", -1.062), ("0", 0.0)])
def test_a_thermometer_reads_thousandths(pi, tmp_path, written, value):
    thermometer(tmp_path, GOOD.replace("26187", written))
    with open_sensor("ds18b20", {}, pi) as sensor:
        assert sensor.read().value == pytest.approx(value)
        assert sensor.unit == "°C"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("YES", "NO"), "checksum"),
        (GOOD.replace("26187", "85000"), "85 °C"),
        (f"{'00 ' * 9}: crc=00 YES\n{'00 ' * 9}t=0\n", "shorted"),
        (GOOD.replace("26187", ""), "no temperature"),
        (GOOD.replace("26187", "2_6"), "no temperature"),
        (GOOD.replace("26187", "²"), "not text"),
        (GOOD.splitlines()[0], "no temperature"),
        ("", "checksum"),
        ("\n" * 50, "checksum"),
        ("YES YES YES", "no temperature"),
        ("x" * 100_000, "longer than 4096"),
    ],
)
def test_a_thermometer_that_answers_wrongly_fails_for_now(pi, tmp_path, text, said):
    thermometer(tmp_path, text)
    with open_sensor("ds18b20", {}, pi) as sensor:
        with pytest.raises(errors.ReadFailed, match=said):
            sensor.read()
        thermometer(tmp_path)
        assert sensor.read().value == 26.187, "the next read may succeed"


def test_a_thermometer_comes_and_goes(pi, tmp_path):
    with open_sensor("ds18b20", {}, pi) as sensor:
        with pytest.raises(errors.DeviceGone, match=r"4\.7 kΩ"):
            sensor.read()
        folder = thermometer(tmp_path)
        (tmp_path / "bus/w1/devices/w1_bus_master1").mkdir()
        assert sensor.read().value == 26.187
        shutil.rmtree(folder)
        with pytest.raises(errors.DeviceGone):
            sensor.read()
        thermometer(tmp_path, name="28-000000000001")  # the replacement has another number
        assert sensor.read().value == 26.187


def test_two_thermometers_must_be_told_apart(pi, tmp_path):
    thermometer(tmp_path)
    thermometer(tmp_path, GOOD.replace("26187", "5000"), name="28-000000000001")
    with pytest.raises(errors.ReadFailed, match="set `id` to 28-000000000001 or 28-0316a2794bff"):
        read("ds18b20", {}, pi)
    assert read("ds18b20", {"id": "28-000000000001"}, pi) == 5.0
    with pytest.raises(errors.DeviceGone, match="28-000000000002"):
        read("ds18b20", {"id": "28-000000000002"}, pi)


@pytest.mark.parametrize("name", ["../../etc", "28-0316a2794bff/../x", "28-xyz", "29-0316a2794bff"])
def test_an_id_cannot_lead_elsewhere(pi, name):
    with pytest.raises(errors.BadOptions, match="id"):
        open_sensor("ds18b20", {"id": name}, pi)


def test_a_thermometer_beyond_its_range_is_suspect(pi, tmp_path):
    thermometer(tmp_path, GOOD.replace("26187", "127937"))
    with open_probe("ds18b20", {}, machine=pi) as probe:
        assert probe.read().reason == "above 125"


@pytest.mark.parametrize(
    ("channel", "files", "value", "unit"),
    [
        ("temp", {"in_temp_input": 21437}, 21.437, "°C"),
        ("humidityrelative", {"in_humidityrelative_input": "41234"}, 41.234, "%"),
        ("pressure", {"in_pressure_input": "100.987000000"}, 1009.87, "hPa"),
        ("illuminance", {"in_illuminance_raw": 120, "in_illuminance_scale": 0.833333}, 100.0, "lx"),
        ("voltage0", {"in_voltage0_raw": 1000, "in_voltage0_scale": 2}, 2.0, "V"),
        ("voltage3", {"in_voltage3_raw": 500, "in_voltage_scale": 3}, 1.5, "V"),
        (
            "voltage0-voltage1",
            {"in_voltage0-voltage1_raw": -100, "in_voltage-voltage_scale": 2},
            -0.2,
            "V",
        ),
        ("temp", {"in_temp_raw": 100, "in_temp_offset": -50, "in_temp_scale": 200}, 10.0, "°C"),
        ("concentration_co2", {"in_concentration_co2_raw": 0.05}, 0.05, "%"),
        ("intensity_both", {"in_intensity_both_raw": 77}, 77.0, ""),
        ("temp", {"in_temp_input": 20000, "in_temp_raw": 9}, 20.0, "°C"),
    ],
)
def test_an_iio_channel_has_its_unit(pi, tmp_path, channel, files, value, unit):
    iio(tmp_path, name="chip", **files)
    with open_sensor("iio", {"name": "chip", "channel": channel}, pi) as sensor:
        assert sensor.read().value == pytest.approx(value, rel=1e-6)
        assert sensor.unit == unit


def test_a_device_of_the_device_tree_is_found_by_its_plain_name(pi, tmp_path):
    iio(tmp_path, at="dht11@4", name="dht11@4", in_temp_input=19000)
    assert read("iio", {"name": "dht11", "channel": "temp"}, pi) == 19.0
    assert read("iio", {"name": "dht11@4", "channel": "temp"}, pi) == 19.0


def test_an_iio_device_that_is_unplugged_comes_back_under_another_number(pi, tmp_path):
    link = iio(tmp_path, name="bme280", in_temp_input=19000)
    with open_sensor("iio", {"name": "bme280", "channel": "temp"}, pi) as sensor:
        assert sensor.read().value == 19.0
        unplug(link)
        with pytest.raises(errors.DeviceGone, match="bme280"):
            sensor.read()
        iio(tmp_path, number=1, name="ads1015", in_voltage0_raw=1)
        with pytest.raises(errors.DeviceGone, match="There are: ads1015"):
            sensor.read()
        iio(tmp_path, number=7, name="bme280", in_temp_input=23000)
        assert sensor.read().value == 23.0


def test_two_devices_of_a_name_must_be_told_apart(pi, tmp_path):
    iio(tmp_path, name="bme280", in_temp_input=1000)
    iio(tmp_path, number=1, at="1-0077", name="bme280", in_temp_input=2000)
    options = {"name": "bme280", "channel": "temp"}
    with pytest.raises(errors.ReadFailed, match="set `at` to 1-0076 or 1-0077"):
        read("iio", options, pi)
    assert read("iio", {**options, "at": "1-0077"}, pi) == 2.0
    with pytest.raises(errors.DeviceGone, match="at 1-0078"):
        read("iio", {**options, "at": "1-0078"}, pi)


def test_a_channel_that_a_device_has_not_is_told_with_those_that_it_has(pi, tmp_path):
    iio(tmp_path, name="bme280", in_temp_input=1, in_pressure_input=2, in_temp_scale=3)
    with pytest.raises(errors.ReadFailed, match=r"no channel 'voltage0', but pressure, temp$"):
        read("iio", {"name": "bme280", "channel": "voltage0"}, pi)


def test_a_device_that_is_half_gone_is_gone(pi, tmp_path):
    link = iio(tmp_path, name="bme280", in_temp_input=1000)
    (link / "in_temp_input").unlink()
    with pytest.raises(errors.DeviceGone, match="removed or added"):
        read("iio", {"name": "bme280", "channel": "temp"}, pi)
    (link / "name").unlink()
    with pytest.raises(errors.DeviceGone):
        read("iio", {"name": "bme280", "channel": "temp"}, pi)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"name": "../../x", "channel": "temp"}, "name"),
        ({"name": "a", "channel": "../temp"}, "channel"),
        ({"name": "a", "channel": "temp", "at": "../.."}, "at"),
        ({"name": "", "channel": "temp"}, "name"),
        ({"name": "a", "channel": "temp", "pins": [2, 99]}, "pins.1"),
    ],
)
def test_options_cannot_lead_out_of_the_folder(pi, options, key):
    with pytest.raises(errors.BadOptions, match=key):
        open_sensor("iio", options, pi)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"abc", b"nan", b"inf", b"-inf", b"1_000", b"\xff\xfe", b"1 2", b"0x10",
                b"1" * 5000, b"\0" * 100]
)  # fmt: skip
def test_garbage_is_a_failed_read(pi, tmp_path, content):
    link = iio(tmp_path, name="bme280")
    (link / "in_temp_input").write_bytes(content)
    with open_sensor("iio", {"name": "bme280", "channel": "temp"}, pi) as sensor:
        with pytest.raises(errors.ReadFailed) as caught:
            sensor.read()
        assert "abc" not in str(caught.value), "an error may be logged, what was read may not"
        (link / "in_temp_input").write_text("21000\n")
        assert sensor.read().value == 21.0


def test_a_huge_file_is_not_read_whole(pi, tmp_path):
    link = iio(tmp_path, name="bme280")
    with (link / "in_temp_input").open("wb") as file:
        file.truncate(1 << 40)  # a terabyte, of holes
    with pytest.raises(errors.ReadFailed, match="longer than 4096"):
        read("iio", {"name": "bme280", "channel": "temp"}, pi)


@pytest.mark.parametrize(
    ("number", "raised"),
    [
        (errno.ETIMEDOUT, errors.ReadTimeout),
        (errno.EIO, errors.ReadFailed),
        (errno.EBADMSG, errors.ReadFailed),
        (errno.EACCES, errors.ReadFailed),
        (errno.ENODEV, errors.DeviceGone),
        (errno.EREMOTEIO, errors.DeviceGone),
        (errno.ENXIO, errors.DeviceGone),
    ],
)
def test_what_the_kernel_says_decides_the_error(monkeypatch, number, raised):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(raised, match=os.strerror(number)):
        kernel_files.read_text(Path("in_temp_input"))


def test_a_folder_in_the_place_of_a_file_is_a_failed_read(tmp_path):
    with pytest.raises(errors.ReadFailed):
        kernel_files.read_text(tmp_path)


def test_the_processor_is_read(pi, tmp_path):
    file = tmp_path / "class/thermal/thermal_zone0/temp"
    with open_probe("cpu_temperature", {}, machine=pi) as probe:
        assert "No such file" in probe.read().reason
        file.parent.mkdir(parents=True)
        file.write_text("48312\n")
        assert (probe.read().value, probe.unit) == (48.312, "°C")


def test_no_file_stays_open(pi, tmp_path):
    thermometer(tmp_path)
    process = psutil.Process()
    before = process.num_fds()
    with open_sensor("ds18b20", {}, pi) as sensor:
        for _ in range(20):
            sensor.read()
        assert process.num_fds() == before
