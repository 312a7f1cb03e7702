"""An agent's sensors: each in a slot, which opens it, reads it and opens it again when needed.

A sensor that is unplugged affects its own channel only, and answers again once it is connected.
Most drivers look for their device at each read; a slot opens a sensor again if its device was
absent at the start or has not answered for a long time.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from protoledger.edge.config import LabelConfig, SensorConfig
from protoledger.protocol.wire.schema import NO_LABEL, Schema
from protoledger.sensors import (
    Machine,
    Probe,
    Quality,
    Reading,
    SeekableSensor,
    SensorError,
    open_probe,
)
from protoledger.sensors.errors import BadOptions, BadRecording, DriverBroken, UnknownDriver

log = logging.getLogger(__name__)

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
GIVE_UP_S = 120.0
"""After this long without an answer the sensor is closed and opened again."""
MISCONFIGURED = (BadOptions, BadRecording, DriverBroken, UnknownDriver)
"""Errors of configuration: waiting does not help, the agent does not start."""
CLOSING_S = 0.5

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
    reading: Reading
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

    Attributes:
        probe: the open sensor, or None.
        opened: whether it was opened at least once, so that its pins exist and were free.
        state: snapshot for other threads.
    """

    def __init__(
        self, name: str, opener: Opener, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.probe: Probe | None = None
        self.opened = False
        self.state = missing_state(name, "not read yet")
        self._opener = opener
        self._clock = clock
        self._silent_since = clock()
        self._retry_at = 0.0
        self._retry_s = FIRST_RETRY_S
        self._reported = False

    def open(self) -> None:
        """Open the sensor; if its device is absent, later reads try again.

        Raises:
            SensorError: options, driver or recording are wrong, so that waiting does not help.
        """
        try:
            self.probe = self._opener()
            self.opened = True
        except MISCONFIGURED:
            raise
        except Exception as error:  # noqa: BLE001 - a driver's constructor can raise anything
            self._show(_missing(str(error) or type(error).__name__))
            self._back_off()

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

    def close(self) -> None:
        """Release the sensor and do not open it again; idempotent."""
        self._retry_at = math.inf
        self._release()

    def _show(self, reading: Reading) -> None:
        """Publish a reading in `state`; log changes of state, not every attempt."""
        unit = self.state.unit if self.probe is None else self.probe.unit
        if reading.quality is Quality.MISSING:
            if not self._reported:
                log.warning("%s: no reading: %s", self.name, reading.reason)
            self._reported = True
            self.state = SlotState(self.name, unit, reading, self.state.read_at)
            return
        if self._reported:
            log.info("%s: the sensor answers again", self.name)
        self._reported = False
        self._silent_since = self._clock()
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


def slot_for(name: str, wanted: SensorConfig | LabelConfig, machine: Machine | None = None) -> Slot:
    """Create the slot of a configured sensor, not open yet."""
    return Slot(name, lambda: open_probe(wanted.driver, wanted.options, wanted.filters, machine))


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


def _missing(reason: str) -> Reading:
    return Reading(math.nan, Quality.MISSING, reason)


class Kit:
    """An agent's sensors by channel, and its label source; one thread at a time may read it.

    Args:
        schema: schema of the site.
        slots: slots of the channels, each named like its channel.
        label: slot of the sensor that reads a label's number; None if the agent does not vote.
    """

    def __init__(self, schema: Schema, slots: list[Slot], label: Slot | None = None) -> None:
        self.labels = len(schema.labels)
        self.width = len(schema.channels)
        self.label = label
        names = [channel.name for channel in schema.channels]
        self.columns = [(names.index(slot.name), slot) for slot in slots]
        self._reading: Slot | None = None

    @property
    def slots(self) -> list[Slot]:
        """All slots, the label's last."""
        return [slot for _, slot in self.columns] + ([self.label] if self.label else [])

    def states(self) -> list[SlotState]:
        """Return the state of every slot; from any thread."""
        return [slot.state for slot in self.slots]

    def open(self) -> None:
        """Open all sensors.

        Raises:
            SensorError: one is misconfigured; those already open are closed.
        """
        try:
            for slot in self.slots:
                slot.open()
        except SensorError:
            self.close()
            raise

    def read(self) -> tuple[list[float], int]:
        """Read all sensors once.

        Returns:
            Values by channel, NaN where there is no good reading; and the label's number or
            `NO_LABEL`.
        """
        values = [math.nan] * self.width
        for column, slot in self.columns:
            self._reading = slot
            values[column] = slot.read()
        self._reading = self.label
        label = math.nan if self.label is None else self.label.read()
        self._reading = None
        return values, int(label) if label in range(self.labels) else NO_LABEL

    def close(self) -> None:
        """Release all sensors except one that hangs in a read; the kernel frees that at exit."""
        hanging = self._reading

        def close_all() -> None:
            for slot in self.slots:
                if slot is not hanging:
                    slot.close()

        closer = threading.Thread(target=close_all, daemon=True)
        closer.start()
        closer.join(CLOSING_S)
        if closer.is_alive() or hanging is not None:
            log.warning("a sensor cannot be closed; the kernel releases it when the process ends")
