"""A channel of an MCP3008, eight analogue inputs of 10 bits: soil moisture, light, gas, a knob.

Wiring: VDD and VREF to 3V3, AGND and DGND to GND, CLK to GPIO11, DOUT to GPIO9, DIN to GPIO10, CS
to GPIO8 (`device: 0`) or GPIO7 (`device: 1`). `sudo raspi-config nonint do_spi 0` turns SPI on. An
input must stay between 0 V and 3.3 V.
"""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from protoledger.sensors.base import DriverOptions, Reading, Resource
from protoledger.sensors.needs import SPI, Needs
from protoledger.sensors.pins.machine import HardwareSensor, Machine, close_device

_BUS = ("GPIO9", "GPIO10", "GPIO11")
_SELECT = ("GPIO8", "GPIO7")


class Mcp3008Options(DriverOptions):
    """Options of the driver `mcp3008`.

    The voltage is converted to the quantity by a straight line: 0 at `zero_v`, `full_value` at
    `full_v`, which may be below `zero_v`.
    """

    channel: int = Field(ge=0, le=7, description="The input, CH0 to CH7.")
    device: int = Field(0, ge=0, le=1, description="0: CS is on GPIO8 (CE0); 1: on GPIO7 (CE1).")
    reference_v: float = Field(3.3, gt=0, le=5.5, description="The voltage at VREF.")
    zero_v: float = Field(0.0, description="The voltage at which the reading is 0.")
    full_v: float = Field(3.3, description="The voltage at which the reading is `full_value`.")
    full_value: float = Field(3.3, description="The reading at `full_v`.")
    unit: str = Field("V", description="Unit of the readings.")
    samples: int = Field(8, ge=1, le=256, description="A reading is the mean of this many samples.")

    @model_validator(mode="after")
    def _a_line(self) -> Self:
        if self.zero_v == self.full_v:
            raise ValueError(f"zero_v and full_v are both {self.zero_v}: they must differ")
        return self


class Mcp3008Sensor(HardwareSensor):
    """An analogue input, in V or in the unit that its options convert to."""

    Options: ClassVar[type[DriverOptions]] = Mcp3008Options

    def __init__(self, options: Mcp3008Options, machine: Machine | None = None) -> None:
        super().__init__(options, machine)
        self._adc = options
        self.unit = options.unit
        self._device = self.machine.gpio(
            "MCP3008", channel=options.channel, port=0, device=options.device
        )

    @classmethod
    def resources(cls, options: DriverOptions, /) -> tuple[Resource, ...]:
        """The SPI bus, which chips share, the chip, which its inputs share, and the input."""
        assert isinstance(options, Mcp3008Options)  # noqa: S101 - the registry checked it
        chip = f"MCP3008 {options.device}"
        return (
            *(Resource(pin, "SPI 0") for pin in _BUS),
            Resource(_SELECT[options.device], chip),
            Resource(f"CH{options.channel} of {chip}"),
        )

    @classmethod
    def needs(cls, _options: DriverOptions, /) -> Needs:
        """The SPI bus, and a GPIO chip, which gpiozero opens as well."""
        return SPI

    def _measure(self) -> Reading:
        adc = self._adc
        level = sum(self._device.value for _ in range(adc.samples)) / adc.samples
        volts = level * adc.reference_v
        return Reading((volts - adc.zero_v) / (adc.full_v - adc.zero_v) * adc.full_value)

    def _release(self) -> None:
        close_device(self._device)
