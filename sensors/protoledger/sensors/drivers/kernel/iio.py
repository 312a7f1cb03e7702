"""Any sensor that the kernel shows as an industrial I/O (IIO) device: BME280, BH1750, ADS1015, DHT.

Its overlay in /boot/firmware/config.txt creates the files: `dtoverlay=dht11,gpiopin=4`,
`dtoverlay=i2c-sensor,bme280,addr=0x76`, `dtoverlay=i2c-sensor,bh1750`, `dtoverlay=ads1015`. A
channel is one file, `in_<channel>_input`, or a raw value with an offset and a scale:
(raw + offset) × scale. An ADS1015 measures up to ±2.048 V by default, and above that it gives its
largest value: such readings are suspect. For up to 3.3 V: `dtoverlay=ads1015,cha_enable,cha_gain=1`
(±4.096 V; the same for chb, chc, chd). The units are those of the kernel's ABI (sysfs-bus-iio).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from protoledger.sensors.base import DriverOptions, Quality, Reading
from protoledger.sensors.drivers.kernel.channel import (
    I2C_ON,
    ChannelOptions,
    ChannelSensor,
    Quantity,
)
from protoledger.sensors.drivers.kernel.kernel_files import read_number
from protoledger.sensors.errors import DeviceGone, ReadFailed
from protoledger.sensors.needs import Needs

_QUANTITIES: dict[str, Quantity] = {
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
# Devices that the overlay `i2c-sensor` knows by the name that they have here.
_I2C_SENSORS = frozenset(
    {"bh1750", "bme280", "bme680", "bmp180", "bmp280", "ccs811", "htu21", "si7020", "tsl4531"}
    | {"veml6070"}
)
# Millivolts a step of an ADS1015 (12 bits) and an ADS1115 (16 bits) at their gains. At 0.125 the
# chip is taken for an ADS1115: an ADS1015 has that scale for 0.256 V only.
_SCALES_12_BIT = frozenset((3.0, 2.0, 1.0, 0.5, 0.25))
_SCALES_16_BIT = frozenset((0.1875, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125))


class IioOptions(ChannelOptions):
    """Options of the driver `iio`."""

    channel: str = Field(
        pattern=r"^[a-z0-9_-]+$",
        description="The quantity: temp, humidityrelative, pressure, illuminance, voltage0.",
    )


class IioSensor(ChannelSensor):
    """A channel of an IIO device in °C, %, hPa, lx, V, A, Ω or m; other kinds have no unit."""

    Options: ClassVar[type[DriverOptions]] = IioOptions
    QUANTITIES: ClassVar[Mapping[str, Quantity]] = _QUANTITIES
    DEVICES: ClassVar[str] = "iio:device*"
    CALLED: ClassVar[str] = "IIO device"

    @classmethod
    def kind(cls, channel: str) -> str:
        """The kind of a channel, without number and modifier.

        >>> IioSensor.kind("voltage0-voltage1"), IioSensor.kind("concentration_co2")
        ('voltage', 'concentration')
        """
        return channel.partition("_")[0].partition("-")[0].rstrip("0123456789")

    @classmethod
    def needs(cls, options: DriverOptions, /) -> Needs:
        """The overlay that makes the device, if its name is known; its files need no rights."""
        assert isinstance(options, IioOptions)  # noqa: S101 - the registry checked it
        return Needs(config=_config_lines(options))

    def _measure(self) -> Reading:
        device = self.find(self.machine.iio_devices(self._channel.name))
        value = _value(device, self._channel.channel) * self._factor
        if limit := _saturated(device, self._channel.channel):
            return Reading(value, Quality.SUSPECT, limit)
        return Reading(value)


def _config_lines(options: IioOptions) -> tuple[str, ...]:
    """The lines of config.txt for a device of a known name.

    >>> _config_lines(IioOptions(name="bme280", channel="temp", at="1-0077"))
    ('dtparam=i2c_arm=on', 'dtoverlay=i2c-sensor,bme280,addr=0x77')
    >>> _config_lines(IioOptions(name="dht11", channel="temp", pins=[17]))
    ('dtoverlay=dht11,gpiopin=17',)
    """
    if options.name == "dht11":
        return (f"dtoverlay=dht11,gpiopin={options.pins[0] if options.pins else 4}",)
    address = options.overlay_address
    if options.name in _I2C_SENSORS:
        return (I2C_ON, f"dtoverlay=i2c-sensor,{options.name}{address}")
    if options.name == "ads1015":
        return (I2C_ON, f"dtoverlay=ads1015{address}")
    return ()


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
    if IioSensor.kind(channel) != "voltage" or not raw.exists():
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
    for owner in (channel, _differential(channel), IioSensor.kind(channel)):
        path = device / f"in_{owner}_{what}"
        if path.exists():
            return read_number(path)
    return without


def _differential(channel: str) -> str:
    """The name under which all differences share an attribute: voltage-voltage."""
    return "-".join(IioSensor.kind(side) for side in channel.split("-"))
