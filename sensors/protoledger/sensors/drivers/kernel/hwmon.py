"""Any sensor that the kernel shows as a hardware monitor (hwmon): SHT3x, SHT4x, AHT10, LM75.

Wiring: SDA to GPIO2, SCL to GPIO3, VCC to 3V3, GND to GND. Its overlay in
/boot/firmware/config.txt creates the files: `dtoverlay=i2c-sensor,sht3x`, `i2c-sensor,sht4x`,
`i2c-sensor,aht10`, `i2c-sensor,lm75`. A channel is one file, `<channel>_input`; the units are those
of the kernel's hwmon ABI.
"""

import re
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from protoledger.sensors.base import DriverOptions, Reading, Resource
from protoledger.sensors.drivers.kernel.kernel_files import read_number, read_text
from protoledger.sensors.errors import DeviceGone, ReadFailed, SensorError
from protoledger.sensors.filters import FilterOptions
from protoledger.sensors.needs import Needs
from protoledger.sensors.pins.machine import HardwareSensor, Machine, Pin

# By kind of channel: unit here, factor from the kernel's unit, low, high (None: any).
_KINDS: dict[str, tuple[str, float, float | None, float | None]] = {
    "temp": ("°C", 1e-3, -60.0, 150.0),
    "humidity": ("%", 1e-3, 0.0, 100.0),
    "in": ("V", 1e-3, None, None),
    "curr": ("A", 1e-3, None, None),
    "power": ("W", 1e-6, None, None),
    "energy": ("J", 1e-6, None, None),
    "fan": ("rpm", 1.0, 0.0, None),
}

# Devices that the overlay `i2c-sensor` knows by the name that they have here.
_I2C_SENSORS = frozenset(("aht10", "jc42", "lm75", "sht3x", "sht4x", "tmp102"))
_I2C_ADDRESS = re.compile(r"\d+-00([0-9a-f]{2})")


class HwmonOptions(DriverOptions):
    """Options of the driver `hwmon`."""

    name: str = Field(
        min_length=1,
        pattern="^[^/]+$",
        description="The text in the device's file `name`: sht3x, sht4x, aht10, lm75.",
    )
    channel: str = Field(
        pattern=r"^(temp|humidity|in|curr|power|energy|fan)[0-9]{1,2}$",
        description="The quantity with its number: temp1, humidity1, in0 (V), curr1 (A), power1 "
        "(W), energy1 (J), fan1 (rpm).",
    )
    at: str | None = Field(
        None,
        pattern="^[^/]+$",
        description="Which one, if there are two of that name: a folder of its path in "
        "/sys/devices, such as 1-0044.",
    )
    pins: list[Pin] = Field(
        default_factory=list,
        description="The GPIOs that it uses (I2C: 2, 3); given only so that no other sensor is "
        "configured on them.",
    )


class HwmonSensor(HardwareSensor):
    """A channel of a hardware monitor in °C, %, V, A, W, J or rpm."""

    Options: ClassVar[type[DriverOptions]] = HwmonOptions

    def __init__(self, options: HwmonOptions, machine: Machine | None = None) -> None:
        super().__init__(options, machine)
        self._hwmon = options
        self.unit, self._factor, _, _ = _KINDS[_kind(options.channel)]

    @classmethod
    def resources(cls, options: DriverOptions, /) -> tuple[Resource, ...]:
        """Its pins, which other devices of the kernel may share, and the channel."""
        assert isinstance(options, HwmonOptions)  # noqa: S101 - the registry checked it
        channel = f"{options.name}{f' at {options.at}' if options.at else ''}, {options.channel}"
        # "iio": the same I2C bus, and the same kernel, as that of the driver `iio`.
        return (*(Resource(f"GPIO{pin}", "iio") for pin in options.pins), Resource(channel))

    @classmethod
    def needs(cls, options: DriverOptions, /) -> Needs:
        """The overlay that makes the device, if its name is known; its files need no rights."""
        assert isinstance(options, HwmonOptions)  # noqa: S101 - as above
        if options.name not in _I2C_SENSORS:
            return Needs()
        found = _I2C_ADDRESS.fullmatch(options.at or "")
        address = f",addr=0x{found[1]}" if found else ""
        overlay = f"dtoverlay=i2c-sensor,{options.name}{address}"
        return Needs(config=("dtparam=i2c_arm=on", overlay))

    @classmethod
    def default_filters(cls, options: DriverOptions, /) -> FilterOptions:
        """The range of the quantity in air, or of a chip."""
        assert isinstance(options, HwmonOptions)  # noqa: S101 - as above
        _, _, low, high = _KINDS[_kind(options.channel)]
        return FilterOptions(low=low, high=high)

    def _measure(self) -> Reading:
        # Looked up at every read: device numbers change when one is unplugged.
        device = self._find(self.machine.hwmon_devices(self._hwmon.name))
        fault = device / f"{self._hwmon.channel}_fault"
        if fault.exists() and read_number(fault):
            raise ReadFailed(f"{fault} reports a broken or missing probe: check its wires")
        file = device / f"{self._hwmon.channel}_input"
        if not file.exists():
            known = sorted(path.name.removesuffix("_input") for path in device.glob("*_input"))
            if not known:
                raise DeviceGone(f"{device} has no channels: it is being removed or added")
            raise ReadFailed(
                f"{device} has no channel {self._hwmon.channel!r}, but {', '.join(known)}"
            )
        return Reading(read_number(file) * self._factor)

    def _find(self, devices: Path) -> Path:
        found = [path for path in sorted(devices.glob("hwmon*")) if self._is_meant(path)]
        where = f" at {self._hwmon.at}" if self._hwmon.at else ""
        if not found:
            raise DeviceGone(
                f"no hardware monitor {self._hwmon.name!r}{where} in {devices}: is it wired, its "
                f"overlay on? There are: {_names(devices) or 'none'}"
            )
        if len(found) > 1:
            homes = " or ".join(path.resolve().parent.parent.name for path in found)
            raise ReadFailed(f"{len(found)} devices are {self._hwmon.name!r}: set `at` to {homes}")
        return found[0]

    def _is_meant(self, device: Path) -> bool:
        try:
            name = read_text(device / "name")
        except SensorError:
            return False  # it is being removed or added
        at = self._hwmon.at
        return name == self._hwmon.name and (at is None or at in device.resolve().parts)


def _names(devices: Path) -> str:
    names = []
    for file in sorted(devices.glob("hwmon*/name")):
        try:
            names.append(read_text(file))
        except SensorError:
            continue
    return ", ".join(names)


def _kind(channel: str) -> str:
    """The kind of a channel, without its number.

    >>> _kind("temp1"), _kind("in0")
    ('temp', 'in')
    """
    return channel.rstrip("0123456789")
