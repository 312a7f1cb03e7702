"""A DS18B20 thermometer (or DS18S20, DS1822) on the kernel's 1-wire bus.

Wiring: red to 3V3, black to GND, yellow to GPIO4, and 4.7 kΩ between yellow and 3V3; any number of
them on the same three wires. In /boot/firmware/config.txt: `dtoverlay=w1-gpio` (another pin:
`dtoverlay=w1-gpio,gpiopin=17`). A read takes 0.75 s.
"""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from protoledger.sensors.base import DriverOptions, Reading, Resource
from protoledger.sensors.drivers.kernel.kernel_files import read_text
from protoledger.sensors.errors import DeviceGone, ReadFailed
from protoledger.sensors.filters import FilterOptions
from protoledger.sensors.needs import Needs
from protoledger.sensors.pins.machine import HardwareSensor, Pin

_FAMILIES = "10", "22", "28", "3b", "42"
# The chip's register from power-up until the first conversion, in thousandths of °C.
_POWER_ON = 85_000


class Ds18b20Options(DriverOptions):
    """Options of the driver `ds18b20`."""

    id: str | None = Field(
        None,
        pattern=r"^(10|22|28|3b|42)-[0-9a-f]{12}$",
        description="Its folder in /sys/bus/w1/devices, such as 28-0316a2794bff; not needed while "
        "it is the only one.",
    )
    pin: Pin = Field(
        4, description="The overlay's GPIO; here only so that no other sensor is put on it."
    )


class Ds18b20Sensor(HardwareSensor):
    """A temperature in °C, in steps of 1/16 °C."""

    Options: ClassVar[type[DriverOptions]] = Ds18b20Options
    unit = "°C"

    @classmethod
    def resources(cls, options: DriverOptions, /) -> tuple[Resource, ...]:
        """The bus, which other DS18B20 may share, and the chip, which they may not."""
        assert isinstance(options, Ds18b20Options)  # noqa: S101 - the registry checked it
        chip = options.id or "the only thermometer on the 1-wire bus"
        return (Resource(f"GPIO{options.pin}", "1-wire"), Resource(chip))

    @classmethod
    def needs(cls, options: DriverOptions, /) -> Needs:
        """The kernel's 1-wire bus on its pin; its files need no rights."""
        assert isinstance(options, Ds18b20Options)  # noqa: S101 - as above
        return Needs(config=(f"dtoverlay=w1-gpio,gpiopin={options.pin}",))

    @classmethod
    def default_filters(cls, _options: DriverOptions, /) -> FilterOptions:
        """The chip's range; the value is stuck if it has not changed by 1/16 °C in half a day."""
        return FilterOptions(low=-55.0, high=125.0, stuck_after_s=43_200.0)

    def _measure(self) -> Reading:
        assert isinstance(self.options, Ds18b20Options)  # noqa: S101 - as above
        devices = self.machine.w1_devices(self.options.id or "28-000000000000")
        # Looked up at every read, so that a chip that is replaced or connected later is read too.
        name = self.options.id or _only_one(devices)
        return Reading(_temperature(read_text(devices / name / "w1_slave")))


def _only_one(devices: Path) -> str:
    found = sorted(path.name for path in devices.glob("*-*") if path.name[:2] in _FAMILIES)
    if not found:
        raise DeviceGone(
            f"no thermometer in {devices}: check its wires, the 4.7 kΩ and dtoverlay=w1-gpio"
        )
    if len(found) > 1:
        raise ReadFailed(f"there are {len(found)} thermometers: set `id` to {' or '.join(found)}")
    return found[0]


def _temperature(text: str) -> float:
    r"""Parse the two lines that the kernel's w1_therm writes, to °C.

    >>> bits = "a3 01 4b 46 7f ff 0d 10 ce"
    >>> _temperature(f"{bits} : crc=ce YES\n{bits} t=26187")
    26.187
    """
    bits, _, value = text.partition("\n")
    if not bits.endswith(" YES"):
        raise ReadFailed("the checksum of the 1-wire thermometer is wrong: check wires and 4.7 kΩ")
    # The checksum of nine zeros is zero: a line that is shorted to GND looks right.
    if not set(bits.partition(":")[0]) - set("0 "):
        raise ReadFailed("the 1-wire thermometer sends zeros only: is its data line shorted?")
    digits = value.rpartition("t=")[2]
    if not digits.removeprefix("-").isdecimal():
        raise ReadFailed("the 1-wire thermometer's file holds no temperature")
    if int(digits) == _POWER_ON:
        raise ReadFailed(
            "the 1-wire thermometer gave 85 °C, which it does after power-up without measuring: "
            "is its supply steady?"
        )
    return int(digits) / 1000
