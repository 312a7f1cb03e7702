"""A sensor: how busy this computer is."""

from pathlib import Path

from pydantic import Field

from protoledger.sensors import DriverOptions, FilterOptions, ReadFailed, Reading, Sensor


class LoadAverageOptions(DriverOptions):
    """Which of the kernel's averages is read."""

    minutes: int = Field(1, description="Over how many minutes: 1, 5 or 15.")
    table: str = Field("/proc/loadavg", description="Where the kernel shows it.")


class LoadAverage(Sensor):
    """The number of processes that want the processor."""

    Options = LoadAverageOptions

    @classmethod
    def default_filters(cls, _options: LoadAverageOptions) -> FilterOptions:
        """No load is below 0."""
        return FilterOptions(low=0.0)

    def _measure(self) -> Reading:
        try:
            words = Path(self.options.table).read_text(encoding="ascii").split()
            return Reading(float(words[(1, 5, 15).index(self.options.minutes)]))
        except (OSError, ValueError, IndexError) as error:
            raise ReadFailed(f"{self.options.table} shows no such average") from error
