"""Play back one column of a CSV recording as if it were a sensor.

With `pace: call` each read returns the next row. With `pace: seek` a read returns the row of the
last `seek`, however often it is read, so that all agents of an emulated site observe the same
moment.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from protoledger.sensors.base import DriverOptions, Reading, SeekableSensor
from protoledger.sensors.errors import EndOfRecording, MissingValue
from protoledger.sensors.synthetic.recording import load_recording


class ReplayOptions(DriverOptions):
    """Options of the driver `replay`."""

    path: str = Field(min_length=1, description="The CSV file: a header, then one row per read.")
    column: str = Field(min_length=1, description="The column to play back.")
    unit: str = Field("", description="Unit of the values.")
    pace: Literal["call", "seek"] = Field(
        "call", description="Advance to the next row at each read (`call`), or only by `seek`."
    )
    loop: bool = Field(default=False, description="Start again at the end.")


class ReplaySensor(SeekableSensor):
    """A column of a recording; an empty cell is a read that failed."""

    Options: ClassVar[type[DriverOptions]] = ReplayOptions

    def __init__(self, options: ReplayOptions) -> None:
        """Load the file, or share it with the other sensors that replay it.

        Raises:
            SensorMissing: the file does not exist.
            BadRecording: the file or the column cannot be replayed; names lines and columns.
        """
        super().__init__(options)
        self.unit = options.unit
        self._replay = options
        self._values = load_recording(Path(options.path)).column(options.column)

    def __len__(self) -> int:
        """How many rows the recording has."""
        return len(self._values)

    def rows(self, first: int, count: int) -> Sequence[float] | None:
        """The values of consecutive rows, NaN for an empty cell; None if not all are there."""
        plain = self._replay.pace == "seek" and not self._replay.loop and not self.closed
        values = self._values[first : first + count] if plain else ()
        return values if len(values) == count else None

    def _measure(self) -> Reading:
        row = self._row % len(self._values) if self._replay.loop else self._row
        where = f"{self._replay.path}, column {self._replay.column!r}"
        if row >= len(self._values):
            raise EndOfRecording(f"{where} ends after {len(self._values)} rows; row {row} was read")
        if self._replay.pace == "call":
            self._row += 1
        value = self._values[row]
        if math.isnan(value):
            raise MissingValue(f"{where}: row {row} is empty; the next may not be")
        return Reading(value)
