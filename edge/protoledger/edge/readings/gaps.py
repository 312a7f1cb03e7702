"""Logs when a sensor stops to answer and when it answers again: states, not attempts.

A cheap sensor misses a read now and then (a DHT22 one in twenty), and does so for years. After
three short gaps within an hour a sensor is said to miss reads, once; then only gaps of a minute and
more are logged, until it has not missed one for an hour.
"""

import logging
from collections import deque

log = logging.getLogger(__name__)

LONG_S = 60.0
OFTEN, WITHIN_S = 3, 3600.0


class GapLog:
    """The log of one sensor.

    Args:
        name: of its slot.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._since: float | None = None
        self._told = self._often = False
        self._short: deque[float] = deque(maxlen=OFTEN)

    def missing(self, reason: str, now: float) -> None:
        """Take a read without a value, at the monotonic time `now`."""
        if self._since is None:
            self._since = now
            if self._short and now - self._short[-1] >= WITHIN_S:
                self._short.clear()
                self._often = False
        if not self._told and (not self._often or now - self._since >= LONG_S):
            log.warning("%s: no reading: %s", self._name, reason)
            self._told = True

    def answers(self, now: float) -> None:
        """Take a read with a value."""
        if self._since is None:
            return
        length_s, self._since = now - self._since, None
        if self._told:
            log.info("%s: the sensor answers again", self._name)
            self._told = False
        if length_s >= LONG_S:
            return
        self._short.append(now)
        if not self._often and len(self._short) == OFTEN and now - self._short[0] < WITHIN_S:
            log.info(
                "%s: the sensor misses reads now and then; only gaps of %.0f s and more are logged "
                "from here on",
                self._name,
                LONG_S,
            )
            self._often = True
