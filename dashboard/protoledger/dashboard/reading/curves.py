"""What makes lists of numbers fit to be drawn: times that ascend, and few enough points."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final

EARLIEST: Final = 1_577_836_800.0
"""2020: a clock that says less was never set."""
AHEAD_S: Final = 3600.0
"""How far a time may lie ahead of now; more was written when the clock was wrong."""


def ascending(times: Sequence[Any], now: float) -> list[int]:
    """Return the places of the points to draw along a line of time.

    Clocks are set, and a Pi has none that runs without power, so times jump. Of points that were
    written one after the other this leaves out the fewest such that times ascend and end with the
    newest; times that cannot be are left out first.

    Args:
        times: seconds since 1970, or whatever a file says, in the order of writing.
        now: seconds since 1970.

    Source: the longest ascending subsequence, in O(n log n) (Fredman 1975).

    >>> ascending([1.8e9, 1.9e9, 1.8e9 + 1, float("nan"), 1.8e9 + 2], 1.8e9 + 3)
    [0, 2, 4]
    """
    ends: list[float] = []  # the least time at which a sequence of that length ends
    ends_at: list[int] = []
    before: dict[int, int | None] = {}
    newest = None
    for place, at in enumerate(times):
        if not _is_time(at, now):
            continue
        length = bisect_right(ends, at)
        before[place] = ends_at[length - 1] if length else None
        ends[length:] = [at, *ends[length + 1 :]]
        ends_at[length:] = [place, *ends_at[length + 1 :]]
        newest = place
    chain: list[int] = []
    while newest is not None:
        chain.append(newest)
        newest = before[newest]
    return chain[::-1]


def thinned(rows: Sequence[Any], most: int) -> list[Any]:
    """Return at most so many rows, evenly, the newest among them.

    >>> thinned(range(10), 4)
    [0, 3, 6, 9]
    """
    step = max(1, math.ceil(len(rows) / most))
    return list(rows[(len(rows) - 1) % step :: step]) if rows else []


def _is_time(at: object, now: float) -> bool:
    return isinstance(at, int | float) and EARLIEST <= at <= now + AHEAD_S
