"""The phases of an agent's round, and what it sends.

`protoledger.protocol.rounds.agent` moves between them.

What is secret never prints.
"""

from dataclasses import dataclass, field

from protoledger.protocol.code.field import Symbols
from protoledger.protocol.code.seats import Seating
from protoledger.protocol.wire.messages import Announce, Kind, Payload


@dataclass(frozen=True)
class Send:
    """A message to publish; `receiver` is set for what only one peer reads."""

    kind: Kind
    payload: Payload = field(repr=False)
    receiver: str | None = None


@dataclass(frozen=True)
class Idle:
    """Between rounds."""


@dataclass(frozen=True)
class Sharing:
    """Shares are out; those of the others come in.

    `held` maps agents' numbers to shares, `awaited` are numbers still missing. A member without a
    position holds nothing and reports nothing.
    """

    announce: Announce
    digest: bytes
    seats: Seating
    share_deadline: float
    round_deadline: float
    held: dict[int, Symbols] = field(repr=False)
    awaited: set[int]
    reported: bool = False


@dataclass(frozen=True)
class Adding:
    """The set is fixed and this group's shares are added; partial sums of child groups come in."""

    announce: Announce
    digest: bytes
    include_digest: bytes
    seats: Seating
    position: int
    round_deadline: float
    total: Symbols = field(repr=False)
    awaited: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Answered:
    """The sum is out, and everything that could tell more is gone."""

    announce: Announce
    digest: bytes
    round_deadline: float


State = Idle | Sharing | Adding | Answered
