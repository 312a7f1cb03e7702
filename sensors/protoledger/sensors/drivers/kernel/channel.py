"""What the kernel's devices with one file a channel have in common: how one of several is found.

Both subsystems, industrial I/O and hardware monitors, number their devices as they come, so that a
device is found by its name, and by a folder of its path where two have the same one.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from protoledger.sensors.base import DriverOptions, Resource
from protoledger.sensors.drivers.kernel.kernel_files import read_text
from protoledger.sensors.errors import DeviceGone, ReadFailed, SensorError
from protoledger.sensors.filters import FilterOptions
from protoledger.sensors.pins.machine import HardwareSensor, Machine, Pin

I2C_ON = "dtparam=i2c_arm=on"
_I2C_ADDRESS = re.compile(r"\d+-00([0-9a-f]{2})")

Quantity = tuple[str, float, float | None, float | None]
"""The unit here, the factor from the kernel's unit, the lowest and the highest value; None: any."""


class ChannelOptions(DriverOptions):
    """Options of every driver that reads a channel of a device of the kernel."""

    name: str = Field(
        min_length=1,
        pattern="^[^/]+$",
        description="The text in the device's file `name`, without an address: sht3x, bme280.",
    )
    channel: str = Field(pattern=r"^[a-z0-9_-]+$", description="The quantity.")
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

    @property
    def overlay_address(self) -> str:
        """The parameter of an overlay for the I2C address in `at`; empty if there is none."""
        found = _I2C_ADDRESS.fullmatch(self.at or "")
        return f",addr=0x{found[1]}" if found else ""


class ChannelSensor(HardwareSensor):
    """A channel of a device of the kernel; a subclass says of which subsystem.

    Attributes:
        QUANTITIES: by the kind of a channel.
        DEVICES: the pattern of the subsystem's folders.
        CALLED: what a device of the subsystem is called in messages.
    """

    QUANTITIES: ClassVar[Mapping[str, Quantity]]
    DEVICES: ClassVar[str]
    CALLED: ClassVar[str]

    def __init__(self, options: ChannelOptions, machine: Machine | None = None) -> None:
        super().__init__(options, machine)
        self._channel = options
        self.unit, self._factor, _, _ = self.quantity(options.channel)

    @classmethod
    def kind(cls, channel: str) -> str:
        """The kind of a channel, without its number."""
        return channel.rstrip("0123456789")

    @classmethod
    def quantity(cls, channel: str) -> Quantity:
        """What a channel measures; the kernel's own unit for a kind that is not known."""
        return cls.QUANTITIES.get(cls.kind(channel), ("", 1.0, None, None))

    @classmethod
    def resources(cls, options: DriverOptions, /) -> tuple[Resource, ...]:
        """Its pins, which other devices of the kernel may share, and the channel."""
        assert isinstance(options, ChannelOptions)  # noqa: S101 - the registry checked it
        channel = f"{options.name}{f' at {options.at}' if options.at else ''}, {options.channel}"
        return (*(Resource(f"GPIO{pin}", "kernel") for pin in options.pins), Resource(channel))

    @classmethod
    def default_filters(cls, options: DriverOptions, /) -> FilterOptions:
        """The range of the quantity in air, or of a chip."""
        assert isinstance(options, ChannelOptions)  # noqa: S101 - as above
        _, _, low, high = cls.quantity(options.channel)
        return FilterOptions(low=low, high=high)

    def find(self, devices: Path) -> Path:
        """Find the device, at every read: numbers change when one is unplugged.

        Args:
            devices: the subsystem's folder.

        Raises:
            DeviceGone: if there is none.
            ReadFailed: if there are several.
        """
        wanted = self._channel
        found = [path for path in sorted(devices.glob(self.DEVICES)) if self._is_meant(path)]
        where = f" at {wanted.at}" if wanted.at else ""
        if not found:
            raise DeviceGone(
                f"no {self.CALLED} {wanted.name!r}{where} in {devices}: is it wired, its overlay "
                f"on? There are: {', '.join(self._names(devices)) or 'none'}"
            )
        if len(found) > 1:
            homes = " or ".join(self._home(path) for path in found)
            raise ReadFailed(f"{len(found)} devices are {wanted.name!r}: set `at` to {homes}")
        return found[0]

    def _is_meant(self, device: Path) -> bool:
        try:
            name = read_text(device / "name")
        except SensorError:
            return False  # it is being removed or added
        # an IIO device from the device tree is called by its node: dht11@4
        called = self._channel.name in {name, name.partition("@")[0]}
        at = self._channel.at
        return called and (at is None or at in device.resolve().parts)

    def _names(self, devices: Path) -> list[str]:
        names = []
        for file in sorted(devices.glob(f"{self.DEVICES}/name")):
            try:
                names.append(read_text(file))
            except SensorError:
                continue
        return names

    @staticmethod
    def _home(device: Path) -> str:
        """The folder in /sys/devices that tells a device from others of its name."""
        home = device.resolve().parent
        return (home.parent if home.name == "hwmon" else home).name
