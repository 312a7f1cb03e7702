"""The temperature of the Pi's own processor: no wiring, and it tells when a cupboard is too hot."""

from typing import ClassVar

from protoledger.sensors.base import DriverOptions, Reading
from protoledger.sensors.filters import FilterOptions
from protoledger.sensors.pins.kernel_files import read_number
from protoledger.sensors.pins.machine import HardwareSensor


class CpuTemperatureOptions(DriverOptions):
    """The driver `cpu_temperature` has no options."""


class CpuTemperatureSensor(HardwareSensor):
    """The processor's temperature in °C, some 10 °C to 30 °C above the air around it."""

    Options: ClassVar[type[DriverOptions]] = CpuTemperatureOptions
    unit = "°C"

    @classmethod
    def default_filters(cls, _options: DriverOptions, /) -> FilterOptions:
        """What a processor that runs can have."""
        return FilterOptions(low=-40.0, high=125.0)

    def _measure(self) -> Reading:
        return Reading(read_number(self.machine.cpu_temperature()) / 1000)
