"""The interface that every driver implements, and what a read hands back.

A driver is a subclass of `Sensor` with an `Options` model, a constructor that takes such options
and acquires the device, `_measure`, and `_release` if there is something to release. The base class
does what all drivers have in common: it is a context manager, `close()` can be called twice, a read
after `close()` raises, and a value that is not a finite number is refused.
"""

import enum
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict

from protoledger.sensors.errors import BadRow, ReadFailed, SensorClosed
from protoledger.sensors.filters import FilterOptions
from protoledger.sensors.needs import NOTHING, Needs


class Quality(enum.Enum):
    """Whether a reading can be used."""

    GOOD = "good"
    SUSPECT = "suspect"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Reading:
    """One value as the sensor gave it.

    Attributes:
        value: in the sensor's `unit`; finite, or NaN if it is missing. Only a `Probe` returns a
            missing reading; a `Sensor` raises instead.
        quality: `SUSPECT` if there is a reason to doubt the value; such a value is shown to people
            but is not contributed to a round.
        reason: why the quality is not `GOOD`; empty for a good reading.
    """

    value: float
    quality: Quality = Quality.GOOD
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """Something of the machine that a sensor occupies, such as a pin.

    Attributes:
        name: what people call it, such as "GPIO4".
        share: two sensors may use the same resource if both give the same `share`; if it is empty,
            only one sensor may use it.
    """

    name: str
    share: str = ""

    @property
    def is_pin(self) -> bool:
        """Whether this is a pin of the header."""
        return self.name.startswith("GPIO")


class DriverOptions(BaseModel):
    """Base of every driver's options: frozen, strict about types, unknown keys refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class Sensor(ABC):
    """A source of readings of one quantity.

    Not safe for use by two threads at once. Use it as a context manager, or call `close()`.

    Attributes:
        Options: the model that the driver's options are checked against.
        unit: of the values, such as "°C"; empty for a quantity without one.
    """

    Options: ClassVar[type[DriverOptions]]
    unit: str = ""

    @classmethod
    def resources(cls, _options: DriverOptions, /) -> tuple[Resource, ...]:
        """The pins and chips that such a sensor occupies; clashes are found before opening."""
        return ()

    @classmethod
    def needs(cls, _options: DriverOptions, /) -> Needs:
        """Devices, packages and settings that a sensor with these options needs of the system."""
        return NOTHING

    @classmethod
    def default_filters(cls, _options: DriverOptions, /) -> FilterOptions:
        """The filters that suit a sensor with these options; configuration overrides them."""
        return FilterOptions()

    @classmethod
    def inputs(cls, _options: DriverOptions, /) -> frozenset[str]:
        """Names of other readings of the agent from which this one is computed; mostly none.

        Such a sensor is a `ComputedSensor`.
        """
        return frozenset()

    @classmethod
    def states(cls, _options: DriverOptions, /) -> Mapping[str, float]:
        """The values that a sensor with only a few of them can give, by the option that sets them.

        Empty for a sensor that measures. The values of a label source are compared with the site's
        labels before the agent starts.
        """
        return {}

    def __init__(self, options: DriverOptions) -> None:
        self.options = options
        self._closed = False

    def read(self) -> Reading:
        """Take one reading; may block for as long as the device does.

        Raises:
            TransientSensorError: this read failed; the next one may succeed.
            PermanentSensorError: no read will succeed until a person changes something.
        """
        if self._closed:
            raise SensorClosed(f"{type(self).__name__} was read after close(): open it again")
        reading = self._measure()
        if not math.isfinite(reading.value):
            raise ReadFailed(
                f"{type(self).__name__} gave {reading.value}, which is not a finite number"
            )
        return reading

    def close(self) -> None:
        """Release the device; a second call does nothing."""
        # If the constructor failed early there is no `_closed`, and nothing to release.
        if not getattr(self, "_closed", True):
            self._closed = True
            self._release()

    @property
    def closed(self) -> bool:
        """Whether `close()` was called."""
        return self._closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def _measure(self) -> Reading:
        """Read the device once."""

    def _release(self) -> None:  # noqa: B027 - most drivers hold nothing
        """Give back pins, files and buses; called at most once."""


class ComputedSensor(Sensor):
    """A sensor whose value is computed from other readings; see `Sensor.inputs`."""

    @abstractmethod
    def supply(self, readings: Mapping[str, float]) -> None:
        """Take the good readings of this moment, by name."""


class SeekableSensor(Sensor):
    """A sensor whose readings are numbered, so that several agents can be kept in step."""

    def seek(self, row: int) -> None:
        """Make the next `read()` return the value of `row`, counted from 0.

        A row after the last one is not an error here; the read raises `EndOfRecording`.

        Raises:
            BadRow: `row` is negative.
            SensorClosed: the sensor is closed.
        """
        if self._closed:
            raise SensorClosed(
                f"{type(self).__name__} was asked to seek after close(): open it again"
            )
        if row < 0:
            raise BadRow(f"row {row} does not exist: rows are counted from 0")
        self._row = row

    def __init__(self, options: DriverOptions) -> None:
        super().__init__(options)
        self._row = 0

    @property
    def row(self) -> int:
        """The row that the next `read()` returns."""
        return self._row

    def rows(self, _first: int, _count: int) -> Sequence[float] | None:
        """The values of consecutive rows, as so many seeks and reads give them; NaN for an error.

        None: they have to be read one by one, as always for drivers that do not say otherwise.
        """
        return None
