"""What an agent saw while no round was announced, kept so that all agents can hand it in aligned.

A sum over different moments would be worth nothing, and no agent knows the time. What a site's
agents have in common is the last announce that they heard: it is the anchor, at 0. From there each
counts its windows on its own monotonic clock, 1, 2, 3 …; the same number is the same moment at all
of them, but for the network's latency and some parts per million.

The first announce after an outage carries live windows as ever. If the rounds' numbers went on by
less than half of what would have been held in that time, the outage was everybody's (a gateway may
announce a few to nobody before it notices), and what was kept becomes the backlog; if not, others
have summed those moments without this agent, and it is forgotten.

A round that is announced *early*, within half the time that its windows take, cannot be meant for
live windows: the rounds r + 2, r + 3 … that follow each other so fast carry the backlog, oldest
first, by number. Which windows these are follows from the round's number alone, so an agent that
misses one stays aligned. Who kept nothing gives nothing then: what it read in the moment since the
last round would be summed with others' other moments, or alone.

Each window is handed out once or never, whatever happens: it is struck off before it is given.
"""

import logging
import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from protoledger.edge.readings.averages import means, most_frequent
from protoledger.protocol.wire.schema import NO_LABEL, Window

log = logging.getLogger(__name__)

OUTAGE = 3
"""An announce that is so many times its windows' length late ends an outage."""
EARLY = 0.5
LOST = 0.5
"""Of the rounds that an outage had time for, so many may have been announced to nobody."""


@dataclass(frozen=True)
class Anchor:
    """The last announce before an outage: its round's number, and when, monotonic."""

    round_id: int
    at: float


Kept = tuple[list[float], int]
"""Means by channel, NaN where nothing was read, and the label that was seen most."""


class Spool(Protocol):
    """Keeps windows while the agent may be restarted; see `protoledger.edge.readings.spool`."""

    def load(self) -> tuple[Anchor | None, dict[int, Kept]]:
        """Return what was kept; the anchor's time is None's if the machine was rebooted since."""

    def keep(self, anchor: Anchor, windows: dict[int, Kept]) -> None:
        """Add windows of an outage."""

    def clear(self) -> bool:
        """Forget all of them for good; False if they may still be there after a restart."""


@dataclass
class _Giving:
    """The backlog while it is handed in: `first` is the round that ended the outage."""

    first: int
    windows: dict[int, Kept] = field(repr=False)


class Backlog:
    """Windows of an outage, by number; the caller sees to it that one thread at a time is in here.

    Args:
        window_s: length of a window.
        count: B, windows in a round.
        width: channels.
        most: windows that are kept, the first ones: where to start must not depend on how long an
            outage was, on which agents could differ by one.
        every_s: what a gateway waits between rounds. If that is less than makes a round early,
            any round may be for live windows, and is for them unless there is a backlog.
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
        every_s: float = 0.0,
        spool: Spool | None = None,
        flush_s: float = 900.0,
    ) -> None:
        self._window_s, self._count, self._width, self._most = window_s, count, width, most
        self._spool = spool
        self._flush_s = flush_s
        self._spacing_s = count * window_s
        self._early_is_asking = every_s >= EARLY * count * window_s
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
        """How many windows are kept."""
        return len(self._kept) + len(self._fresh)

    def add(self, now: float, values: list[float], label: int) -> None:
        """Take a reading."""
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

    def announced(self, round_id: int, now: float) -> Window | None:
        """Return what a round carries of the backlog, or None if it is for live windows."""
        anchor, length_s = self._anchor, self._count * self._window_s
        early = anchor is not None and now - anchor.at < EARLY * length_s  # false for NaN
        if not early:  # a failed round in between costs the windows it would have carried
            self._giving = self._after_outage(round_id, now) or self._giving
        self._anchor = Anchor(round_id, now)
        self._number, self._readings, self._fresh = 0, [], {}
        giving = self._giving
        if not early or (giving is None and not self._early_is_asking):
            return None
        if giving is None:
            return self._window([None] * self._count)
        first = (round_id - giving.first - 1) * self._count + 1
        rows = [giving.windows.pop(first + i, None) for i in range(self._count)]
        return self._window(rows)

    def _after_outage(self, round_id: int, now: float) -> _Giving | None:
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
        if away_s < OUTAGE * length_s:
            self._spacing_s = away_s
            return None
        between = round_id - anchor.round_id
        if between != 1 and not 0 < between * self._spacing_s <= LOST * away_s:
            log.info("%d windows are forgotten: rounds went on without them", len(windows))
            return None
        # the newest ones are in the live windows of this very round
        last = math.inf if math.isnan(anchor.at) else (now - length_s - anchor.at) / self._window_s
        windows = {number: kept for number, kept in windows.items() if number <= last}
        log.info("%d windows of the outage wait for rounds that ask for them", len(windows))
        return _Giving(round_id, windows)

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
