"""Any sensor that the kernel shows as a hardware monitor (hwmon): SHT3x, SHT4x, AHT10, LM75.

Wiring: SDA to GPIO2, SCL to GPIO3, VCC to 3V3, GND to GND. Its overlay in
/boot/firmware/config.txt creates the files: `dtoverlay=i2c-sensor,sht3x`, `i2c-sensor,sht4x`,
`i2c-sensor,aht10`, `i2c-sensor,lm75`. A channel is one file, `<channel>_input`; the units are those
of the kernel's hwmon ABI.
"""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from protoledger.sensors.base import DriverOptions, Reading
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
    "humidity": ("%", 1e-3, 0.0, 100.0),
    "in": ("V", 1e-3, None, None),
    "curr": ("A", 1e-3, None, None),
    "power": ("W", 1e-6, None, None),
    "energy": ("J", 1e-6, None, None),
    "fan": ("rpm", 1.0, 0.0, None),
}

# Devices that the overlay `i2c-sensor` knows by the name that they have here.
_I2C_SENSORS = frozenset(("aht10", "jc42", "lm75", "sht3x", "sht4x", "tmp102"))


class HwmonOptions(ChannelOptions):
    """Options of the driver `hwmon`."""

    channel: str = Field(
        pattern=r"^(temp|humidity|in|curr|power|energy|fan)[0-9]{1,2}$",
        description="The quantity with its number: temp1, humidity1, in0 (V), curr1 (A), power1 "
        "(W), energy1 (J), fan1 (rpm).",
    )


class HwmonSensor(ChannelSensor):
    """A channel of a hardware monitor in °C, %, V, A, W, J or rpm."""

    Options: ClassVar[type[DriverOptions]] = HwmonOptions
    QUANTITIES: ClassVar[Mapping[str, Quantity]] = _QUANTITIES
    DEVICES: ClassVar[str] = "hwmon*"
    CALLED: ClassVar[str] = "hardware monitor"

    @classmethod
    def needs(cls, options: DriverOptions, /) -> Needs:
        """The overlay that makes the device, if its name is known; its files need no rights."""
        assert isinstance(options, HwmonOptions)  # noqa: S101 - the registry checked it
        if options.name not in _I2C_SENSORS:
            return Needs()
        overlay = f"dtoverlay=i2c-sensor,{options.name}{options.overlay_address}"
        return Needs(config=(I2C_ON, overlay))

    def _measure(self) -> Reading:
        device = self.find(self.machine.hwmon_devices(self._channel.name))
        fault = device / f"{self._channel.channel}_fault"
        if fault.exists() and read_number(fault):
            raise ReadFailed(f"{fault} reports a broken or missing probe: check its wires")
        file = device / f"{self._channel.channel}_input"
        if not file.exists():
            known = sorted(path.name.removesuffix("_input") for path in device.glob("*_input"))
            if not known:
                raise DeviceGone(f"{device} has no channels: it is being removed or added")
            raise ReadFailed(
                f"{device} has no channel {self._channel.channel!r}, but {', '.join(known)}"
            )
        return Reading(read_number(file) * self._factor)
