"""A sensor with its filters, as an agent reads it: a read never raises.

Any exception of a driver, also of a third party's, becomes a missing reading with a reason, so that
a broken sensor affects its own channel only. A sensor that was unplugged answers again when it is
back, because drivers look for their device at every read.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from protoledger.sensors.base import Quality, Reading, SeekableSensor, Sensor
from protoledger.sensors.calibration import Calibration
from protoledger.sensors.errors import BadOptions
from protoledger.sensors.filters import FilterOptions, FilterState
from protoledger.sensors.pins.machine import Machine
from protoledger.sensors.registry import describe, explain, open_sensor

Tuning = tuple[FilterOptions, Calibration]


class Probe:
    """A sensor with its filters; owns and closes the sensor.

    Args:
        sensor: open.
        filters: which readings are suspect.
        calibration: is applied before the filters.
        clock: monotonic seconds.

    Attributes:
        sensor: the sensor.
        counts: readings so far, by quality.

    >>> from protoledger.sensors.synthetic.mock import MockOptions, MockSensor
    >>> ramp = MockSensor(MockOptions(waveform="ramp", amplitude=5, period_reads=5))
    >>> with Probe(ramp, FilterOptions(low=-3.0)) as probe:
    ...     [probe.read().reason for _ in range(2)], probe.counts[Quality.SUSPECT]
    (['below -3', ''], 1)
    """

    def __init__(
        self,
        sensor: Sensor,
        filters: FilterOptions,
        clock: Callable[[], float] = time.monotonic,
        calibration: Calibration | None = None,
    ) -> None:
        self.sensor = sensor
        self.counts: Counter[Quality] = Counter()
        self._tuning = (calibration or Calibration(), FilterState(filters))
        self._clock = clock

    @property
    def calibration(self) -> Calibration:
        """What is applied before the filters."""
        return self._tuning[0]

    def retune(self, filters: FilterOptions, calibration: Calibration) -> None:
        """Judge later readings by other filters and calibration; from any thread."""
        self._tuning = (calibration, FilterState(filters))  # one assignment: a read has both

    @property
    def unit(self) -> str:
        """Of the values; empty for a quantity without a unit."""
        unit = self.calibration.unit
        return self.sensor.unit if unit is None else unit

    def read(self) -> Reading:
        """Take one reading; may block for as long as the device does, and raises nothing."""
        try:
            reading = self.sensor.read()
            calibration, filters = self._tuning
            calibrated = calibration.apply(reading.value)
        except Exception as error:  # noqa: BLE001 - a third party's driver may raise anything
            reading = Reading(math.nan, Quality.MISSING, str(error) or type(error).__name__)
        else:
            reading = Reading(calibrated, reading.quality, reading.reason)
            value, reason = filters.judge(calibrated, self._clock())
            if reason:
                reading = Reading(value, Quality.SUSPECT, reason)
            elif not math.isfinite(calibrated):
                reading = Reading(math.nan, Quality.MISSING, "the calibration gives no number")
            elif reading.quality is Quality.GOOD:
                reading = Reading(value)
        self.counts[reading.quality] += 1
        return reading

    def rows(self, first: int, count: int) -> Sequence[float] | None:
        """The values of rows of a recording, NaN for each that `read` has to say something about.

        None: `read` would not give them as they are.
        """
        calibration, filters = self._tuning
        if not (isinstance(self.sensor, SeekableSensor) and calibration.idle and filters.idle):
            return None
        try:
            values = self.sensor.rows(first, count)
        except Exception:  # noqa: BLE001 - as in `read`, which then says what is wrong
            return None
        if values is not None:
            self.counts[Quality.GOOD] += sum(map(math.isfinite, values))
        return values

    def close(self) -> None:
        """Release the sensor; a second call does nothing."""
        self.sensor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def check_filters(driver: str, wanted: Mapping[str, object]) -> FilterOptions:
    """Check filters alone, without those of the driver.

    Raises:
        BadOptions: names every filter that is wrong, its value and the way out.
    """
    try:
        return FilterOptions.model_validate(dict(wanted))
    except ValidationError as error:
        told = explain(error, FilterOptions, wanted, "filters")
        raise BadOptions(f"driver {driver!r}", told) from None


def check_calibration(driver: str, wanted: Mapping[str, object]) -> Calibration:
    """Check a calibration.

    Raises:
        BadOptions: names every key that is wrong, its value and what to do.
    """
    try:
        return Calibration.model_validate(dict(wanted))
    except ValidationError as error:
        lines = explain(error, Calibration, wanted, "calibration")
        raise BadOptions(f"driver {driver!r}", lines) from None


def filters_for(
    driver: str,
    options: Mapping[str, object],
    wanted: Mapping[str, object],
    calibration: Calibration | None = None,
) -> FilterOptions:
    """Combine the configured filters with the driver's own; the configured ones win.

    The driver's own are in its unit and are converted by the calibration.

    Raises:
        BadOptions: names every filter that is wrong, its value and the way out.
        SensorError: see `describe`.
    """
    _, default = describe(driver, options)
    if calibration is not None:
        default = calibration.convert(default)
    checked = check_filters(driver, wanted)
    try:
        return default.overridden_by(checked)
    except ValidationError as error:
        told = explain(error, FilterOptions, wanted, "filters")
        raise BadOptions(f"driver {driver!r}", told) from None


def tuning_for(
    driver: str,
    options: Mapping[str, object],
    filters: Mapping[str, object],
    calibration: Mapping[str, object],
) -> Tuning:
    """Check a sensor's filters and calibration; raises as `open_probe` does."""
    calibrated = check_calibration(driver, calibration)
    return filters_for(driver, options, filters, calibrated), calibrated


def open_probe(
    driver: str,
    options: Mapping[str, object],
    filters: Mapping[str, object] | None = None,
    machine: Machine | None = None,
    calibration: Mapping[str, object] | None = None,
) -> Probe:
    """Open a sensor with its filters; the caller closes it.

    Args:
        driver: its name.
        options: the driver's.
        filters: what differs from the driver's own filters; see `FilterOptions`.
        machine: see `open_sensor`.
        calibration: see `Calibration`.

    Raises:
        SensorError: as `open_sensor`, `check_calibration` and `filters_for`.
    """
    chosen, calibrated = tuning_for(driver, options, filters or {}, calibration or {})
    return Probe(open_sensor(driver, options, machine), chosen, calibration=calibrated)
