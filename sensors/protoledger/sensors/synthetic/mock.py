"""A sensor without hardware: a seeded waveform, to which faults of real sensors can be added.

A reading depends only on the seed and its row, so that a test can seek, repeat and compare. The
faults are those of cheap chips: reads without a value, a value that sticks, single spikes, a drift,
and reads that take too long.
"""

import math
import random
import time
from collections.abc import Callable
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from protoledger.sensors.base import DriverOptions, Quality, Reading, SeekableSensor
from protoledger.sensors.errors import MissingValue, ReadTimeout


class MockOptions(DriverOptions):
    """Options of the driver `mock`; rates are probabilities per read."""

    unit: str = Field("", description="Unit of the values.")
    seed: int = Field(0, ge=0, description="Same seed, same readings.")
    waveform: Literal["constant", "sine", "square", "ramp"] = Field(
        "constant", description="Shape of the undisturbed signal around `level`."
    )
    level: float = Field(0.0, description="Middle of the signal, in `unit`.")
    amplitude: float = Field(1.0, ge=0, description="Largest distance from `level`, in `unit`.")
    period_reads: int = Field(60, ge=2, description="Reads in one period of the waveform.")
    noise: float = Field(0.0, ge=0, description="Standard deviation of the noise, in `unit`.")
    low: float | None = Field(None, description="Readings below it are marked suspect.")
    high: float | None = Field(None, description="Readings above it are marked suspect.")
    missing_rate: float = Field(0.0, ge=0, le=1, description="How often a read gives no value.")
    stuck_rate: float = Field(0.0, ge=0, le=1, description="Share of spells with a stuck value.")
    stuck_reads: int = Field(20, ge=1, description="Length of a spell, in reads.")
    spike_rate: float = Field(0.0, ge=0, le=1, description="How often a read is a spike.")
    spike_size: float = Field(10.0, ge=0, description="Height of a spike, up or down, in `unit`.")
    drift_per_read: float = Field(0.0, description="Added once for every read, in `unit`.")
    slow_rate: float = Field(0.0, ge=0, le=1, description="How often a read is slow.")
    slow_s: float = Field(0.5, ge=0, description="How long a slow read takes, in seconds.")
    timeout_s: float = Field(2.0, gt=0, description="A slower read fails after this time.")

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low = {self.low} is not below high = {self.high}: swap them")
        return self


class MockSensor(SeekableSensor):
    """Readings computed from a seed.

    >>> sensor = MockSensor(MockOptions(waveform="ramp", level=10, amplitude=5, period_reads=5))
    >>> [sensor.read().value for _ in range(6)]
    [5.0, 7.5, 10.0, 12.5, 15.0, 5.0]
    """

    Options: ClassVar[type[DriverOptions]] = MockOptions

    def __init__(self, options: MockOptions, sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(options)
        self.unit = options.unit
        self._mock = options
        self._sleep = sleep

    def _measure(self) -> Reading:
        row, mock = self._row, self._mock
        self._row += 1
        if self._chance(row, "slow") < mock.slow_rate:
            self._sleep(min(mock.slow_s, mock.timeout_s))
            if mock.slow_s > mock.timeout_s:
                raise ReadTimeout(
                    f"no answer from the mock sensor in {mock.timeout_s} s: try again"
                )
        if self._chance(row, "missing") < mock.missing_rate:
            raise MissingValue(f"the mock sensor missed read {row}: try again")
        value = self._value(self._held(row))
        plausible = (mock.low is None or value >= mock.low) and (
            mock.high is None or value <= mock.high
        )
        return Reading(value, Quality.GOOD if plausible else Quality.SUSPECT)

    def _held(self, row: int) -> int:
        """The row whose value is returned: while the value is stuck, the first row of the spell."""
        spell = row - row % self._mock.stuck_reads
        return spell if self._chance(spell, "stuck") < self._mock.stuck_rate else row

    def _value(self, row: int) -> float:
        mock = self._mock
        value = mock.level + mock.amplitude * self._shape(row) + mock.drift_per_read * row
        if mock.noise:
            value += self._random(row, "noise").gauss(0.0, mock.noise)
        spike = self._chance(row, "spike")
        if spike < mock.spike_rate:
            value += mock.spike_size if spike < mock.spike_rate / 2 else -mock.spike_size
        return value

    def _shape(self, row: int) -> float:
        period = self._mock.period_reads
        phase = row % period
        match self._mock.waveform:
            case "constant":
                return 0.0
            case "sine":
                return math.sin(math.tau * phase / period)
            case "square":
                return 1.0 if 2 * phase < period else -1.0
            case "ramp":
                return 2.0 * phase / (period - 1) - 1.0

    def _chance(self, row: int, purpose: str) -> float:
        return self._random(row, purpose).random()

    def _random(self, row: int, purpose: str) -> random.Random:
        # One generator per row and purpose keeps a reading independent of what was read before.
        return random.Random(f"{self._mock.seed}/{purpose}/{row}")  # noqa: S311 - no secret
