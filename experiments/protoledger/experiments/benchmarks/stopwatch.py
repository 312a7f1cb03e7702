"""Measures a process's CPU time by name, for both sides of the aggregation benchmark.

It measures CPU time instead of wall time, so that other processes on the machine do not count. It
uses the standard library only, because Flower's side runs in another environment.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from statistics import median


class Stopwatch:
    """Adds up CPU seconds by name; a nested block counts for its own name only.

    >>> watch = Stopwatch()
    >>> with watch.on("gateway"), watch.on("client"):
    ...     _ = sum(range(100_000))
    >>> watch.seconds["client"] > watch.seconds["gateway"]
    True
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.bytes: defaultdict[str, int] = defaultdict(int)
        self._running: list[str] = []
        self._since = 0.0

    @property
    def innermost(self) -> str:
        """The name for which time counts at this moment; empty if there is none."""
        return self._running[-1] if self._running else ""

    @contextlib.contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Count the time of the block for a name."""
        self._turn(push=name)
        try:
            yield
        finally:
            self._turn(push=None)

    def _turn(self, push: str | None) -> None:
        now = time.process_time()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        if push is None:
            self._running.pop()
        else:
            self._running.append(push)
        self._since = now


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure over rounds; a missing figure counts as zero."""
    names = dict.fromkeys(name for figures in rounds for name in figures)
    return {name: median(figures.get(name, 0.0) for figures in rounds) for name in names}
