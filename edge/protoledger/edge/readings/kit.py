"""An agent's sensors by channel, and its label source.

`sample` reads all of them at the same time and returns even if a driver hangs; `read` reads them
one after the other in the caller's thread, for recordings and for commands. Either way a computed
sensor is read last, with the good readings of the others.
"""

import logging
import math
import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from protoledger.edge.config import InputConfig, LabelConfig, SensorConfig
from protoledger.edge.readings.buses import HANGS_AFTER_S, buses, close
from protoledger.edge.readings.slots import Slot, SlotState
from protoledger.protocol.wire.schema import NO_LABEL, Schema
from protoledger.sensors import SensorError

log = logging.getLogger(__name__)


class Kit:
    """All sensors of an agent.

    Args:
        schema: schema of the site.
        slots: slots of the channels, each named like its channel.
        label: slot of the sensor that reads a label's number; None if the agent does not vote.
        inputs: slots of sensors that fill no channel; computed ones use their readings.
    """

    def __init__(
        self,
        schema: Schema,
        slots: list[Slot],
        label: Slot | None = None,
        inputs: Sequence[Slot] = (),
    ) -> None:
        self.labels = len(schema.labels)
        self.width = len(schema.channels)
        self.label = label
        names = [channel.name for channel in schema.channels]
        self.columns = [(names.index(slot.name), slot) for slot in slots]
        self.inputs = list(inputs)
        self._computed = [slot for slot in self.slots if slot.inputs]
        self._measured = [slot for slot in self.slots if not slot.inputs]
        self._buses = buses(self._measured)
        self._reading: Slot | None = None

    @property
    def slots(self) -> list[Slot]:
        """All slots: the inputs, the channels, the label."""
        channels = [slot for _, slot in self.columns]
        return [*self.inputs, *channels] + ([self.label] if self.label else [])

    def states(self) -> list[SlotState]:
        """Return the state of every slot; from any thread."""
        by_name = {state.name: state for bus in self._buses for state in bus.states()}
        by_name |= {slot.name: slot.state for slot in self._computed}
        return [by_name[slot.name] for slot in self.slots]

    @property
    def hangs(self) -> bool:
        """Whether no sensor can be read any more, because the drivers of all hang."""
        return bool(self._buses) and all(bus.hangs for bus in self._buses)

    def open(self) -> None:
        """Open all sensors, one bus after the other; one whose constructor hangs is left behind.

        Raises:
            SensorError: one is misconfigured; those already open are closed.
        """
        try:
            for bus in self._buses:
                # not at the same time: libraries make what they share, such as the pins' factory,
                # when it is first used
                if (failure := bus.open(HANGS_AFTER_S)) is not None:
                    raise failure
            for slot in self._computed:
                slot.open()
        except SensorError:
            self.close()
            raise

    def retune(self, wanted: Mapping[str, SensorConfig | InputConfig | LabelConfig]) -> None:
        """Give each slot its filters and calibration, by name; see `Slot.retune`."""
        for slot in self.slots:
            slot.retune(wanted[slot.name])

    def read(self) -> tuple[list[float], int]:
        """Read all sensors once.

        Returns:
            Values by channel, NaN where there is no good reading; and the label's number or
            `NO_LABEL`.
        """
        values = {}
        for slot in self._measured:
            self._reading = slot
            values[slot.name] = slot.read()
        self._reading = None
        return self._by_channel(values | self._compute(values))

    def rows(self, first: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Read rows of recordings, at least one; no sensor may be computed.

        Returns:
            As `read` does, a row each: float64 (count, width) and int64 (count,).
        """
        values = np.full((count, self.width), np.nan)
        labels = np.full(count, NO_LABEL, dtype=np.int64)
        for slot in self.inputs:
            slot.rows(first, count)
        for column, slot in self.columns:
            values[:, column] = slot.rows(first, count)
        if self.label is not None:
            for row, label in enumerate(self.label.rows(first, count)):
                if label in range(self.labels):
                    labels[row] = int(label)
        return values, labels

    def sample(self) -> tuple[list[float], int]:
        """Read everything once, as `read`, but all buses at the same time.

        A bus whose driver hangs is waited for once, `HANGS_AFTER_S`; after that it counts as
        missing without any wait, until its driver returns.
        """
        asked = [bus for bus in self._buses if bus.ask()]
        deadline = time.monotonic() + HANGS_AFTER_S
        values: dict[str, float] = {}
        for bus in asked:
            values |= bus.answer(max(0.0, deadline - time.monotonic()))
        return self._by_channel(values | self._compute(values))

    def _compute(self, values: dict[str, float]) -> dict[str, float]:
        good = {name: value for name, value in values.items() if math.isfinite(value)}
        for slot in self._computed:
            slot.supply(good)
        return {slot.name: slot.read() for slot in self._computed}

    def close(self) -> None:
        """Release all sensors except one that hangs in a read; the kernel frees that at exit."""
        if self._reading is not None:  # `read` hangs in another thread
            threading.Thread(target=self._close_others, args=(self._reading,), daemon=True).start()
            stuck = [self._reading.name]
        else:
            stuck = close(self._buses)
            for slot in self._computed:
                slot.close()
        if stuck:
            log.warning(
                "%s: cannot be closed; the kernel releases it when the process ends",
                ", ".join(stuck),
            )

    def _close_others(self, hanging: Slot) -> None:
        for slot in self.slots:
            if slot is not hanging:
                slot.close()

    def _by_channel(self, values: dict[str, float]) -> tuple[list[float], int]:
        row = [math.nan] * self.width
        for column, slot in self.columns:
            row[column] = values.get(slot.name, math.nan)
        label = math.nan if self.label is None else values.get(self.label.name, math.nan)
        return row, int(label) if label in range(self.labels) else NO_LABEL
