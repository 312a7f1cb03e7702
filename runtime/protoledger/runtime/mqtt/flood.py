"""Leaves out for a while what somebody sends that sends far too much.

Reading a message costs more than refusing it, so that only not reading helps.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from protoledger.runtime.mqtt.client import Link

log = logging.getLogger(__name__)

WINDOW_S = 1.0
QUIET_S = 10.0
LONGEST_QUIET_S = 3600.0


@dataclass(frozen=True)
class FloodLimits:
    """More than an honest sender sends in a second.

    Attributes:
        messages: of any size.
        size: of all of them, in bytes.
    """

    messages: int
    size: int


class FloodGuard:
    """Counts by sender what a link reads, and does not read who floods.

    Args:
        link: subscribed to the topics.
        topics: names what is left out for a sender; senders may share topics.
        limits: for each sender.
    """

    def __init__(self, link: Link, topics: Callable[[str], list[str]], limits: FloodLimits) -> None:
        self._link = link
        self._topics = topics
        self._limits = limits
        self._since: dict[str, float] = {}
        self._messages: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._offences: Counter[str] = Counter()
        self._until: dict[str, float] = {}

    @property
    def quiet(self) -> frozenset[str]:
        """Who is left out for now."""
        return frozenset(self._until)

    @property
    def due(self) -> float:
        """When `forgive` has something to do, monotonic; infinity for never."""
        return min(self._until.values(), default=math.inf)

    def count(self, sender: str, size: int, now: float) -> bool:
        """Count a message of so many bytes; returns whether its sender is left out.

        Messages that were under way are counted as well, so that nothing is to be read of them.
        """
        if sender in self._until:
            return True
        if now - self._since.get(sender, -math.inf) > WINDOW_S:
            self._since[sender] = now
            self._messages[sender] = self._bytes[sender] = 0
        self._messages[sender] += 1
        self._bytes[sender] += size
        limits = self._limits
        if self._messages[sender] <= limits.messages and self._bytes[sender] <= limits.size:
            return False
        self._offences[sender] += 1
        quiet_s = min(QUIET_S * 2.0 ** (self._offences[sender] - 1), LONGEST_QUIET_S)
        self._until[sender] = now + quiet_s
        self._link.read_no_more(self._topics(sender))
        log.error(
            "%s floods the broker: more than %d messages or %d bytes in a second; it is not read "
            "for %g s",
            sender,
            limits.messages,
            limits.size,
            quiet_s,
        )
        return True

    def forgive(self, now: float) -> None:
        """Read those again whose time is over, unless a topic is also another's."""
        over = [sender for sender, until in self._until.items() if until <= now]
        for sender in over:
            del self._until[sender]
        closed = {topic for sender in self._until for topic in self._topics(sender)}
        again = dict.fromkeys(topic for sender in over for topic in self._topics(sender))
        if found := [topic for topic in again if topic not in closed]:
            self._link.read_again(found)
