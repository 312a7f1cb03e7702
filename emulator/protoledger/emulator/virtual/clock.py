"""Virtual time: what is to happen, in order; what happens at the same time, in the order asked."""

import heapq
from collections.abc import Callable
from typing import Final

Action = Callable[[], None]


class Clock:
    """A queue of actions by time.

    Attributes:
        now: seconds since the beginning.

    >>> clock, told = Clock(), []
    >>> clock.after(2.0, lambda: told.append(clock.now))
    >>> clock.after(1.0, lambda: clock.after(0.5, lambda: told.append(clock.now)))
    >>> while clock.advance():
    ...     pass
    >>> told
    [1.5, 2.0]
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._due: Final[list[tuple[float, int, Action]]] = []
        self._asked = 0

    def at(self, when: float, action: Action) -> None:
        """Let something happen at a time, or now if that has passed."""
        self._asked += 1
        heapq.heappush(self._due, (max(when, self.now), self._asked, action))

    def after(self, seconds: float, action: Action) -> None:
        """Let something happen in so many seconds."""
        self.at(self.now + seconds, action)

    def advance(self) -> bool:
        """Let the next thing happen; False if there is none."""
        if not self._due:
            return False
        self.now, _, action = heapq.heappop(self._due)
        action()
        return True
