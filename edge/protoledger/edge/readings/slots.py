"""The place of one sensor: a slot opens it, reads it and opens it again when needed.

A sensor that is unplugged affects its own channel only, and answers again once it is connected.
Most drivers look for their device at each read; a slot opens a sensor again if its device was
absent at the start or has not answered for a long time.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from protoledger.edge.config import InputConfig, LabelConfig, SensorConfig
from protoledger.edge.readings.gaps import GapLog
from protoledger.sensors import (
    ComputedSensor,
    Machine,
    Probe,
    Quality,
    Reading,
    SeekableSensor,
    SensorError,
    open_probe,
)
from protoledger.sensors.errors import BadOptions, BadRecording, DriverBroken, UnknownDriver
from protoledger.sensors.probe import Tuning, tuning_for
from protoledger.sensors.registry import describe, inputs

log = logging.getLogger(__name__)

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
GIVE_UP_S = 120.0
"""After this long without an answer the sensor is closed and opened again."""
MISCONFIGURED = (BadOptions, BadRecording, DriverBroken, UnknownDriver)
"""Errors of configuration: waiting does not help, the agent does not start."""

Opener = Callable[[], Probe]


@dataclass(frozen=True)
class SlotState:
    """A snapshot of a slot for other threads.

    Attributes:
        name: the channel, or `label`.
        unit: of the value.
        reading: the last one; before the first it is missing. It has a reason unless it is good.
        read_at: monotonic time of the last reading with a value; 0.0 for never.
    """

    name: str
    unit: str
    reading: Reading = field(repr=False)
    read_at: float

    @property
    def problem(self) -> str:
        """Why there is no value now; empty if there is one, good or suspect."""
        return self.reading.reason if self.reading.quality is Quality.MISSING else ""


class Slot:
    """The place of one sensor: opens, reads and closes it.

    Args:
        name: of the channel, or `label`.
        opener: opens the sensor.
        clock: monotonic seconds.
        shares: names of what it has in common with other sensors, such as a chip's pin or a bus.
        inputs: names of readings that it is computed from.

    Attributes:
        probe: the open sensor, or None.
        opened: whether it was opened at least once, so that its pins exist and were free.
        state: snapshot for other threads.
    """

    def __init__(
        self,
        name: str,
        opener: Opener,
        clock: Callable[[], float] = time.monotonic,
        shares: Iterable[str] = (),
        inputs: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.shares = frozenset(shares)
        self.inputs = frozenset(inputs)
        self.probe: Probe | None = None
        self.opened = False
        self.state = missing_state(name, "not read yet")
        self._opener = opener
        self._clock = clock
        self._silent_since = clock()
        self._retry_at = 0.0
        self._retry_s = FIRST_RETRY_S
        self._gaps = GapLog(name)
        self._tuning: Tuning | None = None

    def open(self) -> None:
        """Open the sensor; if its device is absent, later reads try again.

        Raises:
            SensorError: options, driver or recording are wrong, so that waiting does not help.
        """
        try:
            self.probe = self._opener()
            if self._tuning is not None:
                self.probe.retune(*self._tuning)
            self.opened = True
        except MISCONFIGURED:
            raise
        except Exception as error:  # noqa: BLE001 - a driver's constructor can raise anything
            self._show(_missing(str(error) or type(error).__name__))
            self._back_off()

    def try_open(self) -> SensorError | None:
        """Open the sensor; returns the error that `open` would raise, which later reads show."""
        try:
            self.open()
        except SensorError as error:
            self._show(_missing(str(error)))
            self._back_off()
            return error
        return None

    def read(self) -> float:
        """Read once; NaN unless the reading is good."""
        now = self._clock()
        if self.probe is None and now >= self._retry_at:
            self._reopen()
        if self.probe is None:
            return math.nan
        reading = self.probe.read()
        self._show(reading)
        if reading.quality is Quality.GOOD:
            return reading.value
        # a recording that is opened again would start at its first row, and give rows twice
        seekable = isinstance(self.probe.sensor, SeekableSensor)
        if self.state.problem and not seekable and now - self._silent_since > GIVE_UP_S:
            self._release()
            self._back_off()
        return math.nan

    def rows(self, first: int, count: int) -> Sequence[float]:
        """Read rows of a recording; NaN for each whose reading is not good."""
        probe = self.probe
        found = None if probe is None else probe.rows(first, count)
        if found is None:
            return [self._row(first + i) for i in range(count)]
        values, shown = list(found), math.nan
        for i, value in enumerate(found):
            if not math.isfinite(value):
                if math.isfinite(shown):
                    self._show(Reading(shown))  # a gap before this one has an end
                values[i] = self._row(first + i)
            shown = value
        if math.isfinite(shown):
            self._show(Reading(shown))
        return values

    def _row(self, row: int) -> float:
        if self.probe is not None and isinstance(self.probe.sensor, SeekableSensor):
            self.probe.sensor.seek(row)
        return self.read()

    def retune(self, wanted: SensorConfig | InputConfig | LabelConfig) -> None:
        """Take up other filters and calibration, now and when the sensor is opened again.

        Raises:
            SensorError: they do not fit the driver; nothing is changed.
        """
        calibration = {} if isinstance(wanted, LabelConfig) else wanted.calibration
        tuning = tuning_for(wanted.driver, wanted.options, wanted.filters, calibration)
        self._tuning = tuning  # before `probe` is looked at: `open` may run in another thread
        if (probe := self.probe) is not None:
            probe.retune(*tuning)

    def supply(self, readings: Mapping[str, float]) -> None:
        """Give a computed sensor the good readings of this moment, by name."""
        if self.probe is not None and isinstance(self.probe.sensor, ComputedSensor):
            needed = self.inputs & readings.keys()
            self.probe.sensor.supply({name: readings[name] for name in needed})

    def close(self) -> None:
        """Release the sensor and do not open it again; idempotent."""
        self._retry_at = math.inf
        self._release()

    def _show(self, reading: Reading) -> None:
        """Publish a reading in `state`; log changes of state, not every attempt."""
        unit = self.state.unit if self.probe is None else self.probe.unit
        if reading.quality is Quality.MISSING:
            self._gaps.missing(reading.reason, self._clock())
            self.state = SlotState(self.name, unit, reading, self.state.read_at)
            return
        self._silent_since = self._clock()
        self._gaps.answers(self._silent_since)
        self._retry_s = FIRST_RETRY_S
        self.state = SlotState(self.name, unit, reading, self._silent_since)

    def _release(self) -> None:
        probe, self.probe = self.probe, None
        if probe is not None:
            try:
                probe.close()
            except Exception:
                log.warning("%s: the sensor's driver failed to close", self.name, exc_info=True)

    def _back_off(self) -> None:
        self._silent_since = self._clock()
        self._retry_at = self._silent_since + self._retry_s
        self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)

    def _reopen(self) -> None:
        try:
            self.open()
        except MISCONFIGURED as error:
            self._show(_missing(str(error)))
            self._back_off()


def slot_for(
    name: str,
    wanted: SensorConfig | InputConfig | LabelConfig,
    machine: Machine | None = None,
) -> Slot:
    """Create the slot of a configured sensor, not open yet."""
    shares: list[str] = []
    needed: frozenset[str] = frozenset()
    with suppress(SensorError):  # reported when it is opened
        resources, _ = describe(wanted.driver, wanted.options)
        shares = [resource.name for resource in resources if resource.share]
        needed = inputs(wanted.driver, wanted.options)
    calibration = {} if isinstance(wanted, LabelConfig) else wanted.calibration

    def opener() -> Probe:
        return open_probe(wanted.driver, wanted.options, wanted.filters, machine, calibration)

    return Slot(name, opener, shares=shares, inputs=needed)


@contextmanager
def machine_for(*, mock: bool) -> Iterator[Machine | None]:
    """The machine whose pins are read: None for this one, or a simulated one."""
    if not mock:
        yield None
        return
    from protoledger.sensors.pins.simulation import SimulatedMachine  # noqa: PLC0415 - never needed in the field

    with SimulatedMachine() as machine:
        yield machine


def missing_state(name: str, reason: str) -> SlotState:
    """Create the state of a slot without a value."""
    return SlotState(name, "", _missing(reason), 0.0)


def state_without_value(state: SlotState, reason: str) -> SlotState:
    """Replace what a slot shows by a missing reading."""
    return SlotState(state.name, state.unit, _missing(reason), state.read_at)


def _missing(reason: str) -> Reading:
    return Reading(math.nan, Quality.MISSING, reason)
