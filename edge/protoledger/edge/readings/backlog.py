"""Windows that an agent keeps through an outage, so that all agents can contribute them aligned.

A sum makes sense only over windows of the same moment, and no agent knows the time of day. What a
site's agents have in common is the last announce that reached them: the anchor, at time 0. From the
anchor on, each agent numbers its windows 1, 2, 3 … on its own monotonic clock. The same number then
means the same moment at every agent, up to network latency and clock drift (parts per million).

The first announce after an outage carries live windows as usual. The agent then compares the
rounds' numbers before and after. If fewer than half of the rounds that fit in the outage were
announced, the outage concerned the whole site (a gateway may announce a few rounds to nobody before
it notices), and the kept windows become the backlog. Otherwise the other agents have summed those
moments without this agent, and it discards its windows.

A round that is announced *early*, before half the length of its windows has passed, cannot be meant
for live windows. The early rounds r + 2, r + 3 … after the outage's end carry the backlog by
number, oldest first. The round's number alone determines which windows it carries, so an agent that
misses a round stays aligned. An agent without a backlog contributes nothing to early rounds: what
it read since the last round would be summed with other moments of the other agents, or alone.

Each window is contributed at most once: it is removed from the backlog before it is returned.
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
"""A gap between announces of this many times a round's windows is an outage."""
EARLY = 0.5
"""An announce is early if less than this share of a round's windows has passed."""
LOST = 0.5
"""The largest share of an outage's rounds that may have been announced to nobody."""


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
    """The backlog while it is contributed; `first` is the round that ended the outage."""

    first: int
    windows: dict[int, Kept] = field(repr=False)


class Backlog:
    """Windows of an outage by number; the caller holds a lock, as methods are not thread-safe.

    Args:
        window_s: length of a window.
        count: B, windows in a round.
        width: channels.
        most: number of windows that are kept. The first ones of an outage are kept: keeping the
            last ones would let agents start at different numbers, as they may differ by one in
            the outage's length.
        every_s: pause between rounds. If it is too short to tell early rounds from others, a round
            carries live windows unless there is a backlog.
        spool: keeps windows on disk; None: in memory only.
        flush_s: seconds for which windows are gathered before they are written to the spool.
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

    def announced(self, round_id: int, now: float) -> Window | None:
        """Return the windows of the backlog that a round carries; None if it takes live windows."""
        anchor, length_s = self._anchor, self._count * self._window_s
        early = anchor is not None and now - anchor.at < EARLY * length_s  # false for NaN
        if not early:  # the windows that a failed round carried are lost
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
        """Turn what was kept since the anchor into a backlog, and delete it from the spool."""
        anchor, length_s = self._anchor, self._count * self._window_s
        self._close_window()
        kept, self._kept = self._kept, {}
        if self._spool is not None and anchor is not None and self._on_disk(anchor):
            kept = kept if self._spool.clear() else {}
        windows = {**kept, **self._fresh}
        if anchor is None or not windows:
            return None
        away_s = now - anchor.at  # NaN after a reboot, which counts as an outage
        if away_s < OUTAGE * length_s:
            self._spacing_s = away_s
            return None
        between = round_id - anchor.round_id
        if between != 1 and not 0 < between * self._spacing_s <= LOST * away_s:
            log.info("%d windows are discarded: rounds went on without this agent", len(windows))
            return None
        # this round's live windows contain the newest ones
        last = math.inf if math.isnan(anchor.at) else (now - length_s - anchor.at) / self._window_s
        windows = {number: kept for number, kept in windows.items() if number <= last}
        log.info("%d windows of the outage are kept for the rounds that ask for them", len(windows))
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
