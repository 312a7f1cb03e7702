"""Cuts readings into the windows of a round, in two ways behind one interface.

`LiveWindows` is for sensors. It reads in its own thread, so that no reading waits for the network
and no round waits for a sensor. The windows of a round end when the announce arrives, and are
counted back on the monotonic clock; so the agents of a site are aligned although none knows the
time. Each reading is contributed at most once: the difference of two sums that contain the same
readings but different agents would reveal single readings.

`RoundWindows` is for recordings: a window is the row with its number.
"""

import collections
import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from protoledger.edge.config import AgentConfig, InputConfig, LabelConfig, SensorConfig
from protoledger.edge.readings.averages import means, most_frequent
from protoledger.edge.readings.backlog import Backlog
from protoledger.edge.readings.kit import Kit
from protoledger.edge.readings.slots import SlotState, slot_for
from protoledger.edge.readings.spent import SpentRows
from protoledger.edge.readings.spool import SqliteSpool
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.messages import Announce, Kept
from protoledger.protocol.wire.schema import NO_LABEL, Schema, Window
from protoledger.runtime.site import RoundConfig
from protoledger.sensors import Machine, SeekableSensor

STALLED_S = 30.0
"""If reading all sensors takes longer than this, a driver hangs."""
JOIN_S = 0.3


Tunings = Mapping[str, SensorConfig | InputConfig | LabelConfig]


class Windows(Protocol):
    """Source of an agent's contributions."""

    def take(self, announce: Announce, /) -> Window:
        """Return the windows of a round, and forget them for good; does not block."""

    def kept(self) -> Kept | None:
        """Say which windows of an outage wait for rounds."""

    def healthy(self, now: float, /) -> bool:
        """Return whether readings are still being taken."""

    def states(self) -> list[SlotState]:
        """Return the state of every sensor; from any thread."""

    def retune(self, wanted: Tunings, /) -> None:
        """Take up filters and calibrations, by the names of the slots."""

    def close(self) -> None:
        """Release the sensors; idempotent."""


WindowsOpener = Callable[[AgentConfig, Schema, RoundConfig], Windows]


class RoundWindows:
    """Windows of recordings, by the round's number; no row is contributed twice.

    Args:
        kit: recordings, which can seek.
        count: B, windows in a round.
        spent: which rows were contributed; None: since the process began.

    Raises:
        TypeError: if a sensor of the kit is not a recording.
    """

    def __init__(self, kit: Kit, count: int, spent: SpentRows | None = None) -> None:
        self._kit = kit
        self._count = count
        self._spent = spent or SpentRows()
        for slot in kit.slots:
            sensor = None if slot.probe is None else slot.probe.sensor
            if not isinstance(sensor, SeekableSensor):
                found = slot.state.problem if sensor is None else type(sensor).__name__
                raise TypeError(f"sampling.by_round needs recordings, {slot.name} is none: {found}")

    def take(self, announce: Announce) -> Window:
        """Read the rows (round − 1)·B … round·B − 1."""
        first = (announce.round_id - 1) * self._count
        fresh = announce.kept is None and first >= self._spent.next_row
        if fresh and self._spent.spend(first + self._count):
            return Window(*self._kit.rows(first, self._count))
        values = np.full((self._count, self._kit.width), np.nan)
        return Window(values, np.full(self._count, NO_LABEL, dtype=np.int64))

    def kept(self) -> None:
        """Recordings have no outages."""

    def healthy(self, _now: float) -> bool:
        """Return True: rows are read on demand, so nothing can stall."""
        return True

    def states(self) -> list[SlotState]:
        """Return the state of every sensor."""
        return self._kit.states()

    def retune(self, wanted: Tunings) -> None:
        """Take up filters and calibrations."""
        self._kit.retune(wanted)

    def close(self) -> None:
        """Release the sensors."""
        self._kit.close()
        self._spent.close()


class LiveWindows:
    """Windows of live sensors; a thread reads them from construction to `close`.

    Args:
        kit: the sensors.
        window_s: length of a window.
        read_every_s: time between readings.
        count: B, windows in a round; older readings are discarded.
        clock: monotonic seconds.
        backlog: keeps the windows of an outage; None: they are lost.
    """

    def __init__(
        self,
        kit: Kit,
        window_s: float,
        read_every_s: float,
        count: int,
        clock: Callable[[], float] = time.monotonic,
        backlog: Backlog | None = None,
    ) -> None:
        self._kit = kit
        self._backlog = backlog
        self._window_s = window_s
        self._read_every_s = read_every_s
        self._clock = clock
        self._count = count
        most = math.ceil(count * window_s / read_every_s) + 1
        self._readings: collections.deque[tuple[float, list[float], int]]
        self._readings = collections.deque(maxlen=most)
        self._lock = threading.Lock()
        self._read_at = clock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="sampler", daemon=True)
        self._thread.start()

    def take(self, announce: Announce) -> Window:
        """Cut the readings since the last round into B windows that end now.

        A round that asks for windows of an outage carries those, and leaves the live ones alone.
        """
        now = self._clock()
        with self._lock:
            if announce.kept is not None:
                # `is None`: a backlog has a length, which is 0 while its windows are handed in
                backlog = self._backlog
                return self._nothing() if backlog is None else backlog.give(announce.kept)
            if self._backlog is not None:
                self._backlog.live(announce.round_id, now)
            readings = list(self._readings)
            self._readings.clear()  # each reading is contributed at most once
        count = self._count
        values = np.full((count, self._kit.width), np.nan)
        labels = np.full(count, NO_LABEL, dtype=np.int64)
        for window in range(count):
            begin = now - (count - window) * self._window_s
            inside = [r for r in readings if begin <= r[0] < begin + self._window_s]
            if inside:
                values[window] = means(np.array([r[1] for r in inside]))
                labels[window] = most_frequent([r[2] for r in inside])
        return Window(values, labels)

    def _nothing(self) -> Window:
        values = np.full((self._count, self._kit.width), np.nan)
        return Window(values, np.full(self._count, NO_LABEL, dtype=np.int64))

    def kept(self) -> Kept | None:
        """Say which windows of an outage wait for rounds."""
        with self._lock:
            return None if self._backlog is None else self._backlog.waiting

    def healthy(self, now: float) -> bool:
        """Return whether sensors were read lately; False if the drivers of all of them hang."""
        longest = max(STALLED_S, 3 * self._read_every_s)
        return self._thread.is_alive() and now - self._read_at < longest

    def states(self) -> list[SlotState]:
        """Return the state of every sensor; from any thread."""
        return self._kit.states()

    def retune(self, wanted: Tunings) -> None:
        """Take up filters and calibrations."""
        self._kit.retune(wanted)

    def close(self) -> None:
        """Stop reading and release the sensors; returns soon even if a driver hangs."""
        self._stop.set()
        self._thread.join(timeout=JOIN_S)
        self._kit.close()

    def _sample(self) -> None:
        due = self._clock()
        while not self._stop.wait(max(0.0, due - self._clock())):
            values, label = self._kit.sample()
            now = self._clock()
            if not self._kit.hangs:
                self._read_at = now
            with self._lock:
                self._readings.append((now, values, label))
                if self._backlog is not None:
                    self._backlog.add(now, values, label)
            # a slow sensor delays the next reading; readings do not pile up
            due = max(due + self._read_every_s, self._clock())


def open_windows(
    config: AgentConfig, schema: Schema, rounds: RoundConfig, machine: Machine | None = None
) -> Windows:
    """Open an agent's sensors.

    Raises:
        ConfigurationError: if `sampling.by_round` is set and a sensor is not a recording.
        SensorError: if a sensor is misconfigured; the others are closed again. A sensor that only
            does not answer is tried again at later reads.
    """
    kit = open_kit(config, schema, machine)
    sampling = config.sampling
    try:
        if sampling.by_round:
            # rounds without a pause are an emulation's: to wait for a disk in each would stall it
            spent = SpentRows(
                config.identity_file.with_name(f"{config.id}.spent"), sync=rounds.every_s > 0
            )
            return RoundWindows(kit, rounds.windows, spent)
        backlog = Backlog(
            window_s=rounds.window_s,
            count=rounds.windows,
            width=kit.width,
            most=sampling.keep_windows,
            spool=None
            if config.spool_file is None
            else SqliteSpool(config.spool_file, schema.digest, kit.width),
        )
        return LiveWindows(
            kit, rounds.window_s, sampling.read_every_s, rounds.windows, backlog=backlog
        )
    except (TypeError, ConfigurationError) as error:
        kit.close()
        raise ConfigurationError(f"{config.id}: {error}") from error


def open_kit(config: AgentConfig, schema: Schema, machine: Machine | None = None) -> Kit:
    """Open an agent's sensors; raises `SensorError` as `open_windows` does."""
    slots = [slot_for(sensor.channel, sensor, machine) for sensor in config.sensors]
    label = None if config.label is None else slot_for("label", config.label, machine)
    inputs = [slot_for(sensor.name, sensor, machine) for sensor in config.inputs]
    kit = Kit(schema, slots, label, inputs)
    kit.open()
    return kit
