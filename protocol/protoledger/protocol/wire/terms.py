"""What gateway and agents of a site must agree on, word for word, before they share anything.

All of it goes into one hash that every announce carries. An agent takes windows and deadlines from
its own file, never from a message: a gateway that asked for other windows could have the same
readings summed twice, over sets of its choice.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import msgspec

from protoledger.protocol.code.seats import Plan
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.messages import MAX_BYTES
from protoledger.protocol.wire.schema import Schema

REPORT_SLACK = 1.5
"""Agents report when their share deadline passes; the report has half as long again."""
_BOX_SLACK = 1024


@dataclass(frozen=True)
class Terms:
    """A site's terms.

    Args:
        schema: channels and labels.
        plan: N, T, D and K.
        minimum: the smallest set whose sum may be decoded, at least T + 2: with fewer, T colluders
            subtract themselves and are left with one agent's reading.
        windows: B, windows in a round.
        share_ms: time for shares.
        sum_ms: time for sums.

    Raises:
        ConfigurationError: naming every knob that does not fit.
    """

    schema: Schema
    plan: Plan
    minimum: int
    windows: int
    share_ms: int
    sum_ms: int

    def __post_init__(self) -> None:
        """Refuse what cannot work, all at once."""
        problems = []
        if self.minimum < self.plan.collusion + 2:
            problems.append(
                f"minimum_contributors {self.minimum} with collusion {self.plan.collusion}: "
                f"colluders could subtract themselves; it must be at least collusion + 2"
            )
        if self.minimum > self.plan.agents:
            problems.append(
                f"minimum_contributors {self.minimum} exceeds the {self.plan.agents} agents of the "
                f"roster"
            )
        if self.box_bytes > MAX_BYTES:
            problems.append(
                f"a share may take {self.box_bytes:,} bytes, messages end at {MAX_BYTES:,}; "
                f"lower round.windows ({self.windows}) or the number of channels"
            )
        if problems:
            raise ConfigurationError(*problems)

    @cached_property
    def length(self) -> int:
        """Symbols of a round's vector."""
        return self.windows * self.schema.length

    @cached_property
    def box_bytes(self) -> int:
        """The largest sealed message that a peer may send, whatever K a round has."""
        return 4 * self.length + _BOX_SLACK

    @property
    def report_s(self) -> float:
        """Seconds that the gateway waits for reports."""
        return REPORT_SLACK * self.share_ms / 1000

    @property
    def round_s(self) -> float:
        """Seconds after which everybody has given a round up, and its messages expire."""
        return 1.1 * (self.report_s + self.sum_ms / 1000)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over the canonical encoding of all terms."""
        plan = self.plan
        numbers = [plan.agents, plan.collusion, plan.dropouts, plan.partitions, self.minimum]
        numbers += [self.windows, self.share_ms, self.sum_ms]
        private = [channel.private for channel in self.schema.channels]
        canonical = msgspec.msgpack.encode([self.schema.digest, numbers, private])
        return hashlib.sha256(b"protoledger terms v1" + canonical).digest()
