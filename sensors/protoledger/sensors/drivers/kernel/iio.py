"""Any sensor that the kernel shows as an industrial I/O (IIO) device: BME280, BH1750, ADS1015, DHT.

Its overlay in /boot/firmware/config.txt creates the files: `dtoverlay=dht11,gpiopin=4`,
`dtoverlay=i2c-sensor,bme280,addr=0x76`, `dtoverlay=i2c-sensor,bh1750`, `dtoverlay=ads1015`. A
channel is one file, `in_<channel>_input`, or a raw value with an offset and a scale:
(raw + offset) × scale. An ADS1015 measures up to ±2.048 V by default, and above that it gives its
largest value: such readings are suspect. For up to 3.3 V: `dtoverlay=ads1015,cha_enable,cha_gain=1`
(±4.096 V; the same for chb, chc, chd). The units are those of the kernel's ABI (sysfs-bus-iio).
"""

import re
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from protoledger.sensors.base import DriverOptions, Quality, Reading, Resource
from protoledger.sensors.drivers.kernel.kernel_files import read_number, read_text
from protoledger.sensors.errors import DeviceGone, ReadFailed, SensorError
from protoledger.sensors.filters import FilterOptions
from protoledger.sensors.needs import Needs
from protoledger.sensors.pins.machine import HardwareSensor, Machine, Pin

# By kind of channel: unit here, factor from the kernel's unit, low, high (None: any).
_KINDS: dict[str, tuple[str, float, float | None, float | None]] = {
    "temp": ("°C", 1e-3, -60.0, 150.0),
    "humidityrelative": ("%", 1e-3, 0.0, 100.0),
    "pressure": ("hPa", 10.0, 300.0, 1100.0),
    "illuminance": ("lx", 1.0, 0.0, None),
    "voltage": ("V", 1e-3, None, None),
    "current": ("A", 1e-3, None, None),
    "resistance": ("Ω", 1.0, 0.0, None),
    "concentration": ("%", 1.0, 0.0, 100.0),
    "distance": ("m", 1.0, 0.0, None),
}
_ANY = ("", 1.0, None, None)
# Devices that the overlay `i2c-sensor` knows by the name that they have here.
_I2C_SENSORS = frozenset(
    {"bh1750", "bme280", "bme680", "bmp180", "bmp280", "ccs811", "htu21", "si7020", "tsl4531"}
    | {"veml6070"}
)
_I2C_ADDRESS = re.compile(r"\d+-00([0-9a-f]{2})")
# Millivolts a step of an ADS1015 (12 bits) and an ADS1115 (16 bits) at their gains. At 0.125 the
# chip is taken for an ADS1115: an ADS1015 has that scale for 0.256 V only.
_SCALES_12_BIT = frozenset((3.0, 2.0, 1.0, 0.5, 0.25))
_SCALES_16_BIT = frozenset((0.1875, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125))


class IioOptions(DriverOptions):
    """Options of the driver `iio`."""

    name: str = Field(
        min_length=1,
        pattern="^[^/]+$",
        description="The text in the device's file `name`, without an address: bme280, dht11.",
    )
    channel: str = Field(
        pattern=r"^[a-z0-9_-]+$",
        description="The quantity: temp, humidityrelative, pressure, illuminance, voltage0.",
    )
    at: str | None = Field(
        None,
        pattern="^[^/]+$",
        description="Which one, if there are two of that name: a folder of its path in "
        "/sys/devices, such as 1-0076.",
    )
    pins: list[Pin] = Field(
        default_factory=list,
        description="The GPIOs that it uses (I2C: 2, 3); given only so that no other sensor is "
        "configured on them.",
    )


class IioSensor(HardwareSensor):
    """A channel of an IIO device in °C, %, hPa, lx, V, A, Ω or m; other kinds have no unit."""

    Options: ClassVar[type[DriverOptions]] = IioOptions

    def __init__(self, options: IioOptions, machine: Machine | None = None) -> None:
        super().__init__(options, machine)
        self._iio = options
        self.unit, self._factor, _, _ = _KINDS.get(_kind(options.channel), _ANY)

    @classmethod
    def resources(cls, options: DriverOptions, /) -> tuple[Resource, ...]:
        """Its pins, which other devices of the kernel may share, and the channel."""
        assert isinstance(options, IioOptions)  # noqa: S101 - the registry checked it
        channel = f"{options.name}{f' at {options.at}' if options.at else ''}, {options.channel}"
        return (*(Resource(f"GPIO{pin}", "iio") for pin in options.pins), Resource(channel))

    @classmethod
    def needs(cls, options: DriverOptions, /) -> Needs:
        """The overlay that makes the device, if its name is known; its files need no rights."""
        assert isinstance(options, IioOptions)  # noqa: S101 - as above
        return Needs(config=_config_lines(options))

    @classmethod
    def default_filters(cls, options: DriverOptions, /) -> FilterOptions:
        """The range of the quantity in air, or of a chip."""
        assert isinstance(options, IioOptions)  # noqa: S101 - as above
        _, _, low, high = _KINDS.get(_kind(options.channel), _ANY)
        return FilterOptions(low=low, high=high)

    def _measure(self) -> Reading:
        # Looked up at every read: device numbers change when one is unplugged.
        device = self._find(self.machine.iio_devices(self._iio.name))
        value = _value(device, self._iio.channel) * self._factor
        if limit := _saturated(device, self._iio.channel):
            return Reading(value, Quality.SUSPECT, limit)
        return Reading(value)

    def _find(self, devices: Path) -> Path:
        found = [path for path in sorted(devices.glob("iio:device*")) if self._is_meant(path)]
        where = f" at {self._iio.at}" if self._iio.at else ""
        if not found:
            raise DeviceGone(
                f"no IIO device {self._iio.name!r}{where} in {devices}: is it wired, its overlay "
                f"on? There are: {_names(devices) or 'none'}"
            )
        if len(found) > 1:
            homes = " or ".join(path.resolve().parent.name for path in found)
            raise ReadFailed(f"{len(found)} devices are {self._iio.name!r}: set `at` to {homes}")
        return found[0]

    def _is_meant(self, device: Path) -> bool:
        try:
            name = read_text(device / "name")
        except SensorError:
            return False  # it is being removed or added
        # A device from the device tree is called by its node: dht11@4.
        called = self._iio.name in {name, name.partition("@")[0]}
        return called and (self._iio.at is None or self._iio.at in device.resolve().parts)


def _config_lines(options: IioOptions) -> tuple[str, ...]:
    """The lines of config.txt for a device of a known name.

    >>> _config_lines(IioOptions(name="bme280", channel="temp", at="1-0077"))
    ('dtparam=i2c_arm=on', 'dtoverlay=i2c-sensor,bme280,addr=0x77')
    >>> _config_lines(IioOptions(name="dht11", channel="temp", pins=[17]))
    ('dtoverlay=dht11,gpiopin=17',)
    """
    if options.name == "dht11":
        return (f"dtoverlay=dht11,gpiopin={options.pins[0] if options.pins else 4}",)
    found = _I2C_ADDRESS.fullmatch(options.at or "")
    address = f",addr=0x{found[1]}" if found else ""
    if options.name in _I2C_SENSORS:
        return ("dtparam=i2c_arm=on", f"dtoverlay=i2c-sensor,{options.name}{address}")
    if options.name == "ads1015":
        return ("dtparam=i2c_arm=on", f"dtoverlay=ads1015{address}")
    return ()


def _names(devices: Path) -> str:
    names = []
    for file in sorted(devices.glob("iio:device*/name")):
        try:
            names.append(read_text(file))
        except SensorError:
            continue
    return ", ".join(names)


def _kind(channel: str) -> str:
    """The kind of a channel, without number and modifier.

    >>> _kind("voltage0-voltage1"), _kind("temp"), _kind("concentration_co2")
    ('voltage', 'temp', 'concentration')
    """
    return channel.partition("_")[0].partition("-")[0].rstrip("0123456789")


def _value(device: Path, channel: str) -> float:
    """The channel in the kernel's unit."""
    ready = device / f"in_{channel}_input"
    if ready.exists():
        return read_number(ready)
    raw = device / f"in_{channel}_raw"
    if not raw.exists():
        known = sorted(
            path.name.removeprefix("in_").rpartition("_")[0]
            for path in device.glob("in_*")
            if path.name.endswith(("_input", "_raw"))
        )
        if not known:
            raise DeviceGone(f"{device} has no channels: it is being removed or added")
        raise ReadFailed(f"{device} has no channel {channel!r}, but {', '.join(known)}")
    return (read_number(raw) + _shared(device, channel, "offset", 0.0)) * _shared(
        device, channel, "scale", 1.0
    )


def _saturated(device: Path, channel: str) -> str:
    """Why a voltage may be larger than it reads: the converter is at the end of its range."""
    raw = device / f"in_{channel}_raw"
    if _kind(channel) != "voltage" or not raw.exists():
        return ""
    scale, code = _shared(device, channel, "scale", 0.0), read_number(raw)
    steps = 2048 if scale in _SCALES_12_BIT else 32_768
    if scale not in _SCALES_16_BIT | _SCALES_12_BIT or not (code >= steps - 1 or code <= -steps):
        return ""
    return (
        f"at the end of the converter's range of {scale * steps / 1000:g} V: set a lower gain in "
        f"its overlay (such as cha_gain=1 for 4.096 V), or divide the voltage"
    )


def _shared(device: Path, channel: str, what: str, without: float) -> float:
    """An attribute of the channel, or of all channels of its kind."""
    for owner in (channel, _differential(channel), _kind(channel)):
        path = device / f"in_{owner}_{what}"
        if path.exists():
            return read_number(path)
    return without


def _differential(channel: str) -> str:
    """The name under which all differences share an attribute: voltage-voltage."""
    return "-".join(_kind(side) for side in channel.split("-"))
