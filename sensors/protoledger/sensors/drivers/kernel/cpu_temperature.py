"""The temperature of the Pi's own processor: no wiring; shows when a cupboard is too hot."""

from typing import ClassVar

from protoledger.sensors.base import DriverOptions, Reading
from protoledger.sensors.drivers.kernel.kernel_files import read_number
from protoledger.sensors.filters import FilterOptions
from protoledger.sensors.pins.machine import HardwareSensor


class CpuTemperatureOptions(DriverOptions):
    """The driver `cpu_temperature` has no options."""


class CpuTemperatureSensor(HardwareSensor):
    """The processor's temperature in °C, about 10 °C to 30 °C above that of the air."""

    Options: ClassVar[type[DriverOptions]] = CpuTemperatureOptions
    unit = "°C"

    @classmethod
    def default_filters(cls, _options: DriverOptions, /) -> FilterOptions:
        """The range in which a processor can run."""
        return FilterOptions(low=-40.0, high=125.0)

    def _measure(self) -> Reading:
        return Reading(read_number(self.machine.cpu_temperature()) / 1000)
