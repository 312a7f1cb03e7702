"""Process CPU time by name: what both sides of the aggregation benchmark are measured with.

CPU time and not wall time, as a machine that does other things besides must not count against
anybody. Standard library only: the other side runs in an environment of its own.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator
from statistics import median


class Stopwatch:
    """Adds up CPU seconds under names, each without what runs inside it under another.

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
        """The name that time goes to at this moment; empty if to none."""
        return self._running[-1] if self._running else ""

    @contextlib.contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Give what the block takes to a name."""
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
    """Return the median of each figure over rounds; one that is missing in a round counts zero."""
    names = dict.fromkeys(name for figures in rounds for name in figures)
    return {name: median(figures.get(name, 0.0) for figures in rounds) for name in names}
