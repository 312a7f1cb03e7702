"""Leaves out for a while what an agent sends that sends far too much."""

import logging
import math
from collections import Counter

from protoledger.protocol.wire import topics
from protoledger.runtime.mqtt.client import Link

log = logging.getLogger(__name__)

FLOOD_WINDOW_S = 1.0
FLOOD_MESSAGES = 500
"""More than an honest agent sends in that time at a thousand rounds a minute."""
FLOOD_QUIET_S = 10.0
LONGEST_QUIET_S = 3600.0


class Flood:
    """Leaves out for a while what an agent sends that sends far too much.

    Reading a message costs more than refusing it, so that only not reading helps.

    Args:
        link: of the gateway.
        site: its name.
    """

    def __init__(self, link: Link, site: str) -> None:
        self.offenders: Counter[str] = Counter()
        self._link = link
        self._site = site
        self._since: dict[str, float] = {}
        self._counts: Counter[str] = Counter()
        self._until: dict[str, float] = {}

    @property
    def quiet(self) -> frozenset[str]:
        """Who is left out for now."""
        return frozenset(self._until)

    def count(self, sender: str, now: float) -> None:
        """Take note of a message; leave the sender out if there were too many in a second."""
        if now - self._since.get(sender, -math.inf) > FLOOD_WINDOW_S:
            self._since[sender], self._counts[sender] = now, 0
        self._counts[sender] += 1
        if self._counts[sender] <= FLOOD_MESSAGES or sender in self._until:
            return
        self.offenders[sender] += 1
        quiet_s = min(FLOOD_QUIET_S * 2 ** (self.offenders[sender] - 1), LONGEST_QUIET_S)
        self._until[sender] = now + quiet_s
        self._link.read_no_more(topics.agent_topics(self._site, sender))
        log.error(
            "%s floods the broker: more than %d messages in %g s; it is not read for %g s",
            sender,
            FLOOD_MESSAGES,
            FLOOD_WINDOW_S,
            quiet_s,
        )

    def forgive(self, now: float) -> None:
        """Read those again whose time is over."""
        for sender in [sender for sender, until in self._until.items() if until <= now]:
            del self._until[sender]
            self._link.read_again(topics.agent_topics(self._site, sender))
