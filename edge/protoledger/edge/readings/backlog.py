"""Windows that an agent keeps through an outage, so that all agents can contribute them aligned.

A sum makes sense only over windows of the same moment, and no agent knows the time of day. What a
site's agents have in common is the last announce that reached them: the anchor, at time 0. From the
anchor on, each agent numbers its windows 1, 2, 3 … on its own monotonic clock. The same number then
means the same moment at every agent, up to network latency and clock drift (parts per million).

The first announce after an outage carries live windows as ever. What was kept until then becomes
the backlog; the agent says in its boxes which anchor it has and how many windows. Once enough
agents have the same anchor, the gateway announces rounds that ask for them by anchor and number,
signed like all that it announces. An agent with another anchor gives nothing to such a round:
others summed those moments without it.

Each window is handed out once or never, whatever happens: it is struck off, on disk too, before it
is given.
"""

import logging
import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from protoledger.edge.readings.averages import means, most_frequent
from protoledger.protocol.wire.messages import Kept as Asked
from protoledger.protocol.wire.schema import NO_LABEL, Window

log = logging.getLogger(__name__)

OUTAGE = 3
"""An announce that is so many times the usual late ends an outage."""


@dataclass(frozen=True)
class Anchor:
    """The last announce before an outage: the round's number, and its monotonic time in seconds."""

    round_id: int
    at: float


Kept = tuple[list[float], int]
"""Means by channel, NaN where nothing was read, and the most frequent label."""


class Spool(Protocol):
    """Keeps windows while the agent may be restarted; see `protoledger.edge.readings.spool`."""

    def load(self) -> tuple[Anchor | None, dict[int, Kept]]:
        """Return what was kept; the anchor's time is NaN if the machine was rebooted since."""

    def keep(self, anchor: Anchor, windows: dict[int, Kept]) -> None:
        """Add windows of an outage."""

    def clear(self) -> bool:
        """Delete all windows; False if they may still be there after a restart."""


@dataclass
class _Giving:
    """The backlog while it is handed in: the anchor's round, and windows by number."""

    anchor: int
    windows: dict[int, Kept] = field(repr=False)


class Backlog:
    """Windows of an outage by number; the caller holds a lock, as methods are not thread-safe.

    Args:
        window_s: length of a window.
        count: B, windows in a round.
        width: channels.
        most: windows that are kept, the first ones: where to start must not depend on how long an
            outage was, on which agents could differ by one.
        spool: keeps them on disk; None: in memory only.
        flush_s: so long are they gathered before they go there.
    """

    def __init__(
        self,
        *,
        window_s: float,
        count: int,
        width: int,
        most: int,
        spool: Spool | None = None,
        flush_s: float = 900.0,
    ) -> None:
        self._window_s, self._count, self._width, self._most = window_s, count, width, most
        self._spool = spool
        self._flush_s = flush_s
        self._spacing_s = count * window_s
        self._number = 0
        self._readings: list[Kept] = []
        self._giving: _Giving | None = None
        self._anchor: Anchor | None = None
        self._kept: dict[int, Kept] = {}
        self._fresh: dict[int, Kept] = {}
        if spool is not None:
            self._anchor, self._kept = spool.load()
        self._flushed_at = self._anchor.at if self._anchor else 0.0

    def __len__(self) -> int:
        """Return how many windows are kept."""
        return len(self._kept) + len(self._fresh)

    def add(self, now: float, values: list[float], label: int) -> None:
        """Add a reading: values by channel at the monotonic time `now`, and a label."""
        anchor = self._anchor
        if anchor is None or math.isnan(anchor.at):
            return
        number = int((now - anchor.at) / self._window_s) + 1
        if number != self._number:
            self._close_window()
            self._number = number
            if now - max(anchor.at, self._flushed_at) >= self._flush_s:
                self._flush(anchor, now)
        if number <= self._most:
            self._readings.append((values, label))

    @property
    def waiting(self) -> Asked | None:
        """The anchor and the highest number of the windows that wait for rounds."""
        giving = self._giving
        if giving is None or not giving.windows:
            return None
        return Asked(giving.anchor, max(giving.windows))

    def live(self, round_id: int, now: float) -> None:
        """Take note of a round for live windows: it ends an outage, if there was one."""
        self._giving = self._after_outage(now) or self._giving
        self._anchor = Anchor(round_id, now)
        self._number, self._readings, self._fresh = 0, [], {}

    def give(self, asked: Asked) -> Window:
        """Return the windows of the group that is asked for, and forget them."""
        giving = self._giving
        rows: list[Kept | None] = [None] * self._count
        if giving is not None and giving.anchor == asked.anchor:
            first = (asked.number - 1) * self._count + 1
            rows = [giving.windows.pop(first + i, None) for i in range(self._count)]
        return self._window(rows)

    def _after_outage(self, now: float) -> _Giving | None:
        """Make the backlog of what was kept since the anchor, and strike it off."""
        anchor, length_s = self._anchor, self._count * self._window_s
        self._close_window()
        kept, self._kept = self._kept, {}
        if self._spool is not None and anchor is not None and self._on_disk(anchor):
            kept = kept if self._spool.clear() else {}
        windows = {**kept, **self._fresh}
        if anchor is None or not windows:
            return None
        away_s = now - anchor.at  # NaN after a reboot, which was an outage
        if away_s < OUTAGE * max(length_s, self._spacing_s):
            self._spacing_s = away_s
            return None
        # the newest ones are in the live windows of this very round
        last = math.inf if math.isnan(anchor.at) else (now - length_s - anchor.at) / self._window_s
        windows = {number: kept for number, kept in windows.items() if number <= last}
        log.info("%d windows of the outage wait for rounds that ask for them", len(windows))
        return _Giving(anchor.round_id, windows)

    def _on_disk(self, anchor: Anchor) -> bool:
        return math.isnan(anchor.at) or self._flushed_at >= anchor.at

    def _window(self, rows: list[Kept | None]) -> Window:
        values = np.full((self._count, self._width), np.nan)
        labels = np.full(self._count, NO_LABEL, dtype=np.int64)
        for place, row in enumerate(rows):
            if row is not None:
                values[place], labels[place] = row
        return Window(values, labels)

    def _close_window(self) -> None:
        if self._readings:
            values = means(np.array([values for values, _ in self._readings]))
            label = most_frequent([label for _, label in self._readings])
            self._fresh[self._number] = (values, label)
        self._readings = []

    def _flush(self, anchor: Anchor, now: float) -> None:
        self._flushed_at = now
        if self._spool is not None and self._fresh:
            self._spool.keep(anchor, self._fresh)
        self._kept.update(self._fresh)
        self._fresh = {}
