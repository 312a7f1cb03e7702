"""The interface that every driver implements, and what a read hands back.

A driver is a subclass of `Sensor` with an `Options` model, a constructor that takes such options
and acquires the device, `_measure` and, where there is something to give back, `_release`. The base
class sees to what all drivers must share: context manager, idempotent close, no read after close,
and no value that is not a finite number.
"""

import enum
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict

from protoledger.sensors.errors import BadRow, ReadFailed, SensorClosed
from protoledger.sensors.filters import FilterOptions


class Quality(enum.Enum):
    """How far a reading can be believed."""

    GOOD = "good"
    SUSPECT = "suspect"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Reading:
    """One value as the sensor gave it.

    Attributes:
        value: in the sensor's `unit`; finite, but NaN where it is missing (a `Sensor` raises then,
            a `Probe` hands this out).
        quality: `SUSPECT` where there is a reason to doubt the value, which is still handed on: to
            be shown, not to be contributed.
        reason: why it is not good, in plain words; empty for a good one.
    """

    value: float
    quality: Quality = Quality.GOOD
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """Something of the machine that a sensor occupies, such as a pin.

    Attributes:
        name: as a person knows it, such as "GPIO4".
        share: two sensors may have a resource in common if both name the same `share`; empty: it
            is the sensor's alone.
    """

    name: str
    share: str = ""

    @property
    def is_pin(self) -> bool:
        """Whether it is a pin, and not something behind one."""
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
        """What a sensor with these options occupies, so that clashes are found before opening."""
        return ()

    @classmethod
    def default_filters(cls, _options: DriverOptions, /) -> FilterOptions:
        """The filters that suit a sensor with these options; configuration overrides them."""
        return FilterOptions()

    @classmethod
    def states(cls, _options: DriverOptions, /) -> Mapping[str, float]:
        """What a sensor that knows only a few values reads, by the option that says so.

        Empty for one that measures. A label source's values are compared with the site's labels.
        """
        return {}

    def __init__(self, options: DriverOptions) -> None:
        self.options = options
        self._closed = False

    def read(self) -> Reading:
        """Take one reading; may block for as long as the device does.

        Raises:
            TransientSensorError: this read failed; the next may not.
            PermanentSensorError: no read will succeed any more.
        """
        if self._closed:
            raise SensorClosed(f"{type(self).__name__} was read after close(): open it again")
        reading = self._measure()
        if not math.isfinite(reading.value):
            raise ReadFailed(f"{type(self).__name__} gave {reading.value}: that is no number")
        return reading

    def close(self) -> None:
        """Release the device; a second call does nothing."""
        # A constructor that failed half way leaves no `_closed`: there is nothing to release then.
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


class SeekableSensor(Sensor):
    """A sensor whose readings are numbered, so that several agents can be kept in step."""

    def seek(self, row: int) -> None:
        """Make the next `read()` return the value of `row`, counted from 0.

        A row behind the end is no error here: the read raises then.

        Raises:
            BadRow: `row` is negative.
            SensorClosed: the sensor is closed.
        """
        if self._closed:
            raise SensorClosed(f"{type(self).__name__} was moved after close(): open it again")
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
