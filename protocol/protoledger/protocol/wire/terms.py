"""What gateway and agents of a site must agree on, word for word, before they share anything.

All of it goes into one hash that every announce carries. An agent takes windows, their length and
deadlines from its own file, never from a message: a gateway that asked for other windows could have
the same readings summed twice, over sets of its choice.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import msgspec

from protoledger.protocol.code.layout import Layout
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.noise.mechanism import Noise, Privacy
from protoledger.protocol.plans import Code, Plan
from protoledger.protocol.wire.messages import (
    MARK_BYTES,
    MAX_BYTES,
    MOST_RELAYED,
    RELAYED_BYTES,
    TAG_BYTES,
    Announce,
    CentredAnnounce,
)
from protoledger.protocol.wire.schema import Schema

ROUND_SLACK = 1.1
"""Everybody has given a round up after so many times its deadlines."""
_MESSAGE_SLACK = 1024
_BOX_SLACK = TAG_BYTES + 5


@dataclass(frozen=True)
class Terms:
    """A site's terms.

    Args:
        schema: channels and labels.
        plan: N, T, D, the code and its committee.
        minimum: the smallest set whose sum may be opened, and the fewest that must declare a
            coordinate; at least T + 2: with fewer, T colluders subtract themselves and are left
            with one agent's reading.
        windows: B, windows in a round.
        window_ms: length of a window.
        share_ms: time for boxes.
        answer_ms: time for answers.
        privacy: differential privacy of the sums; None: they are exact.

    Raises:
        ConfigurationError: naming every knob that does not fit.
    """

    schema: Schema
    plan: Plan
    minimum: int
    windows: int
    window_ms: int
    share_ms: int
    answer_ms: int
    privacy: Privacy | None = None

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
        if self.noise is not None:
            problems += self.noise.problems(self.window_ms, self.plan.validity)
        if not problems and self.message_bytes > MAX_BYTES:
            problems.append(
                f"a message may take {self.message_bytes:,} bytes, messages end at {MAX_BYTES:,}; "
                f"lower round.windows ({self.windows}) or the number of channels"
            )
        if problems:
            raise ConfigurationError(*problems)

    @cached_property
    def noise(self) -> Noise | None:
        """What agents add to their contributions; None for nothing."""
        if self.privacy is None:
            return None
        plain, plan = self.schema.layout(self.windows), self.plan
        return Noise(self.privacy, plain, plan.agents, plan.collusion, self.minimum)

    @cached_property
    def layout(self) -> Layout:
        """The numbers behind a round."""
        return self.schema.layout(self.windows) if self.noise is None else self.noise.layout

    @cached_property
    def _codes(self) -> dict[int, Code]:
        return {}

    def code(self, positions: int) -> Code:
        """Return the code of a round with so many positions; kept, as it has tables.

        Raises:
            ConfigurationError: if these are too few.
        """
        if positions not in self._codes:
            self._codes[positions] = self.plan.code(self.layout, positions)
        return self._codes[positions]

    def fewest(self, positions: int, present: int) -> int:
        """Return the smallest set that a holder answers for in such a round."""
        return max(self.minimum, self.plan.fewest(positions, present))

    @cached_property
    def box_bytes(self) -> int:
        """The largest sealed share, whatever committee a round has."""
        sizes = range(self.plan.least_positions, self.plan.committee + 1)
        return 4 * max(self.code(size).share_length for size in sizes) + _BOX_SLACK

    @cached_property
    def message_bytes(self) -> int:
        """The largest message of a round: boxes, delivery, answer or announce."""
        plan = self.plan
        boxes = plan.committee * self.box_bytes + self.layout.declared_bytes
        delivery = plan.agents * (self.box_bytes + self.layout.declared_bytes)
        answer = 4 * self.layout.length + 32 * plan.agents
        hellos = min(plan.agents, MOST_RELAYED) * (RELAYED_BYTES + 4)
        announce = MARK_BYTES * plan.agents + 64 * 64 + hellos
        if self.noise is not None and self.noise.first_centre:
            announce += plan.agents * (4 * len(self.noise.first_centre) + TAG_BYTES + 3)
        return max(boxes, delivery, answer, announce) + _MESSAGE_SLACK

    @property
    def announce_shape(self) -> type[Announce]:
        """What this site's announces are decoded as."""
        clips = self.noise is not None and self.noise.first_centre
        return CentredAnnounce if clips else Announce

    @property
    def round_s(self) -> float:
        """Seconds after which everybody has given a round up, and its messages expire."""
        return ROUND_SLACK * (self.share_ms + self.answer_ms) / 1000

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over the canonical encoding of all terms."""
        plan = self.plan
        numbers = [plan.agents, plan.collusion, plan.dropouts, plan.committee, plan.partitions]
        numbers += [self.minimum, self.windows, self.window_ms, self.share_ms, self.answer_ms]
        private = [channel.private for channel in self.schema.channels]
        agreed: list[object] = [self.schema.digest, plan.validity, numbers, private]
        if self.privacy is not None:
            agreed.append(self.privacy.exact)
        canonical = msgspec.msgpack.encode(agreed)
        return hashlib.sha256(b"protoledger terms v3" + canonical).digest()
