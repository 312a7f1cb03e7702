"""Sensors read at the same time, each bus in a thread of its own.

Sensors on one bus or chip are read one after the other, because their libraries share its state;
all others are read in parallel. Nothing can interrupt a driver that does not return, be it from a
read or from its constructor. It blocks its own bus only: the sensors on it count as missing, with a
reason that names the one that hangs, until the driver returns. An answer that comes too late is
dropped, as it is of another time.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from protoledger.edge.readings.slots import Slot, SlotState, state_without_value
from protoledger.sensors import SensorError

log = logging.getLogger(__name__)

HANGS_AFTER_S = 10.0
"""A read that takes longer than this hangs: no supported sensor needs more than 3 s."""
CLOSING_S = 0.5


class _Order(Enum):
    """What a bus's thread is asked to do."""

    OPEN = 1
    READ = 2
    STOP = 3


@dataclass(frozen=True, slots=True)
class Read:
    """A read, or an opening, under way: of which slot, and when it began (monotonic)."""

    slot: Slot
    began_at: float


class Bus:
    """Reads its slots one after the other, in a thread that the first `ask` starts.

    Args:
        slots: at least one; the bus closes them.
        clock: monotonic seconds.

    Attributes:
        slots: what was given.
    """

    def __init__(self, slots: Sequence[Slot], clock: Callable[[], float] = time.monotonic) -> None:
        self.slots = tuple(slots)
        self._clock = clock
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()
        self._failure: SensorError | None = None
        self._idle = threading.Event()
        self._idle.set()
        self._values: dict[str, float] = {}
        self._read: Read | None = None
        self._reported = False
        self._thread: threading.Thread | None = None

    def ask(self) -> bool:
        """Start to read all slots; False if the previous read has not ended yet."""
        if not self._idle.is_set():
            return False
        if self._reported:
            log.info("%s: the driver returned", ", ".join(slot.name for slot in self.slots))
            self._reported = False
        self._give(_Order.READ)
        return True

    def open(self, timeout_s: float) -> SensorError | None:
        """Open all slots; returns the error of one that is misconfigured.

        A driver whose constructor does not return in time goes on in this bus's thread: its sensors
        are missing until it returns.
        """
        self._give(_Order.OPEN)
        self.answer(timeout_s)
        return self._failure

    def _give(self, order: "_Order") -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="bus", daemon=True)
            self._thread.start()
        if order is not _Order.STOP:
            self._idle.clear()
        self._orders.put(order)

    def answer(self, timeout_s: float) -> dict[str, float]:
        """Wait for the values by slot, NaN for a missing one; empty if they come too late."""
        if self._idle.wait(timeout_s):
            return self._values
        read = self._read
        if read is not None and not self._reported:
            log.warning(
                "%s: the driver hangs: no answer for %.0f s; other buses are still read",
                read.slot.name,
                self._clock() - read.began_at,
            )
            self._reported = True
        return {}

    @property
    def hangs(self) -> bool:
        """Whether a read has been going on for too long."""
        read = self._read
        return read is not None and self._clock() - read.began_at >= HANGS_AFTER_S

    def states(self) -> list[SlotState]:
        """What the slots show; while a driver hangs, that it does, and for how long."""
        read = self._read
        if read is None or not self.hangs:
            return [slot.state for slot in self.slots]
        hanging = f"hangs for {self._clock() - read.began_at:.0f} s in its driver"
        waiting = f"waits for {read.slot.name}, which {hanging}"
        return [
            state_without_value(slot.state, hanging if slot is read.slot else waiting)
            for slot in self.slots
        ]

    def stop(self) -> None:
        """Make the thread close the slots and end, once the driver returns."""
        self._give(_Order.STOP)

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; False if a driver still hangs."""
        if self._thread is not None:
            self._thread.join(timeout_s)
            return not self._thread.is_alive()
        return True

    def _serve(self) -> None:
        while (order := self._orders.get()) is not _Order.STOP:
            values = {}
            for slot in self.slots:
                self._read = Read(slot, self._clock())
                if order is _Order.READ:
                    values[slot.name] = slot.read()
                elif (failure := slot.try_open()) is not None:
                    self._failure = self._failure or failure
            self._read = None
            self._values = values
            self._idle.set()
        for slot in self.slots:
            slot.close()


def buses(slots: Iterable[Slot]) -> list[Bus]:
    """Put slots that share something, directly or through others, on one bus."""
    groups: list[tuple[set[str], list[Slot]]] = []
    for slot in slots:
        shares, members = set(slot.shares), [slot]
        apart = []
        for known, others in groups:
            if shares & known:
                shares |= known
                members = others + members
            else:
                apart.append((known, others))
        groups = [*apart, (shares, members)]
    return [Bus(members) for _, members in groups]


def close(all_buses: Iterable[Bus]) -> list[str]:
    """Stop all buses and wait a moment; gives the sensors that a driver does not release."""
    stopped = list(all_buses)
    for bus in stopped:
        bus.stop()
    deadline = time.monotonic() + CLOSING_S
    stuck = [bus for bus in stopped if not bus.join(max(0.0, deadline - time.monotonic()))]
    return [slot.name for bus in stuck for slot in bus.slots]
