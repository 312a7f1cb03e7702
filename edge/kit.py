"""An agent's sensors: each in a slot that opens it, reads it, and opens it again when it is gone.

A sensor that is unplugged costs its channel and nothing else; plugged in again it comes back by
itself. A driver may raise anything: one dead sensor must not take the others with it.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from protocol.schema import NO_LABEL, Schema
from sensors import Sensor, SensorError
from sensors.base import Quality, Reading
from sensors.errors import (
    BadOptions,
    BadRecording,
    BadRow,
    DriverBroken,
    EndOfRecording,
    TransientSensorError,
    UnknownDriver,
)

log = logging.getLogger(__name__)

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
GIVE_UP_S = 120.0
"""After so long without an answer the device is closed and opened anew."""
MISCONFIGURED = (BadOptions, BadRecording, DriverBroken, UnknownDriver)
"""What no waiting mends: the agent does not start with it."""
_FINAL = (*MISCONFIGURED, BadRow, EndOfRecording)  # opening again would begin a recording anew
CLOSING_S = 0.5

Opener = Callable[[], Sensor]


@dataclass(frozen=True)
class SlotState:
    """What a slot shows to others: a snapshot.

    Attributes:
        name: the channel, or `label`.
        unit: of the value.
        value: the last good one; NaN if there is none.
        quality: of that value.
        read_at: when it was read, monotonic; 0.0 for never.
        problem: why there is none now; empty if all is well.
    """

    name: str
    unit: str
    value: float
    quality: Quality
    read_at: float
    problem: str


class Slot:
    """Where one sensor belongs.

    Args:
        name: of the channel, or `label`.
        opener: opens the sensor.
        clock: monotonic seconds.
    """

    def __init__(
        self, name: str, opener: Opener, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.sensor: Sensor | None = None
        self.state = SlotState(name, "", math.nan, Quality.GOOD, 0.0, "not open yet")
        self._opener = opener
        self._clock = clock
        self._answered_at = clock()
        self._retry_at = 0.0
        self._retry_s = FIRST_RETRY_S
        self._told = False

    def open(self) -> None:
        """Open the sensor; one that is not there is looked for again at later reads.

        Raises:
            SensorError: if no waiting helps: options, driver or recording are wrong.
        """
        try:
            self.sensor = self._opener()
        except MISCONFIGURED:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a driver's constructor meets
            self._fail(error)
            self._back_off()

    def read(self) -> float:
        """Read once; NaN if there is nothing to be had."""
        now = self._clock()
        if self.sensor is None:
            if now < self._retry_at:
                return math.nan
            self._reopen()
            if self.sensor is None:
                return math.nan
        try:
            reading = self.sensor.read()
        except _FINAL as error:
            self._fail(error)
        except TransientSensorError as error:
            self._fail(error)
            if now - self._answered_at > GIVE_UP_S:
                self._release()
        except Exception as error:  # noqa: BLE001 - see the module's text
            self._fail(error)
            self._release()
        else:
            self._answered(reading)
            # what is doubtful is shown, and not contributed
            return reading.value if reading.quality is Quality.GOOD else math.nan
        return math.nan

    def close(self) -> None:
        """Release the sensor, also if that fails; idempotent."""
        sensor, self.sensor = self.sensor, None
        self._retry_at = math.inf
        if sensor is not None:
            try:
                sensor.close()
            except Exception:
                log.warning("the sensor of %s did not close", self.name, exc_info=True)

    def _answered(self, reading: Reading) -> None:
        if self._told:
            log.info("%s: the sensor answers again", self.name)
        self._told = False
        self._retry_s = FIRST_RETRY_S
        self._answered_at = self._clock()
        unit = self.sensor.unit if self.sensor is not None else ""
        self.state = SlotState(
            self.name, unit, reading.value, reading.quality, self._answered_at, ""
        )

    def _fail(self, error: Exception) -> None:
        if not self._told:  # a state that changed, not every attempt
            log.warning("%s: no reading: %s: %s", self.name, type(error).__name__, error)
        self._told = True
        state = self.state
        self.state = SlotState(
            state.name, state.unit, state.value, state.quality, state.read_at, str(error)
        )

    def _release(self) -> None:
        self.close()
        self._back_off()

    def _back_off(self) -> None:
        self._answered_at = self._clock()
        self._retry_at = self._answered_at + self._retry_s
        self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)

    def _reopen(self) -> None:
        try:
            self.open()
        except SensorError as error:
            self._fail(error)
            self._back_off()


class Kit:
    """An agent's sensors by channel, and its label source; for one thread.

    Args:
        schema: of the site.
        slots: one a channel, named like it.
        label: its sensor reads a label's number; None if there is none.
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
        """All of them, the label's last."""
        return [slot for _, slot in self.columns] + ([self.label] if self.label else [])

    def states(self) -> list[SlotState]:
        """What every slot shows; from any thread."""
        return [slot.state for slot in self.slots]

    def open(self) -> None:
        """Open all sensors.

        Raises:
            SensorError: if one is misconfigured; those already open are closed.
        """
        try:
            for slot in self.slots:
                slot.open()
        except SensorError:
            self.close()
            raise

    def read(self) -> tuple[list[float], int]:
        """Read everything once: values by channel, NaN where it failed, and the label."""
        values = [math.nan] * self.width
        for column, slot in self.columns:
            self._reading = slot
            values[column] = slot.read()
        self._reading = self.label
        label = math.nan if self.label is None else self.label.read()
        self._reading = None
        return values, int(label) if label in range(self.labels) else NO_LABEL

    def close(self) -> None:
        """Release all sensors but one that hangs in a read: the kernel frees that at the end."""
        hanging = self._reading

        def close_all() -> None:
            for slot in self.slots:
                if slot is not hanging:
                    slot.close()

        closer = threading.Thread(target=close_all, daemon=True)
        closer.start()
        closer.join(CLOSING_S)
        if closer.is_alive() or hanging is not None:
            log.warning("a sensor does not let itself be closed; leaving it to the kernel")
