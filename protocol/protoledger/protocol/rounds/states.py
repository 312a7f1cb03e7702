"""The states of agent and gateway, and which event may lead from one to which.

The two state machines (`agent`, `gateway`) do no I/O: a message comes in with the time of a
monotonic clock, messages to send go out. States are frozen, and are replaced in one step at the end
of a transition: whatever raises leaves a machine as it was. What is secret does not print.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType

from protoledger.protocol.code.field import Symbols
from protoledger.protocol.code.layout import Flags
from protoledger.protocol.errors import ProtocolError
from protoledger.protocol.plans import Code
from protoledger.protocol.proofs.proven import Secret
from protoledger.protocol.wire.messages import Announce, Asked, Boxes, Kept, Kind, Payload


class Event(Enum):
    """What a machine reacts to."""

    START = auto()
    ANNOUNCE = auto()
    BOXES = auto()
    DELIVER = auto()
    ANSWER = auto()
    RESULT = auto()
    DEADLINE = auto()


@dataclass(frozen=True)
class Send:
    """A message to publish; `receiver` is set for what only one party reads."""

    kind: Kind
    payload: Payload = field(repr=False)
    receiver: str | None = None


# -- agent -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opening:
    """A round as its announce opens it, for one party.

    Attributes:
        announce: as signed.
        digest: of the announce.
        signed: the envelope, for evidence.
        present: numbers of the agents that may contribute.
        marks: of their hellos, by number.
        hellos: those that the announce carries, by number.
        seats: position by number.
        code: of the round.
        centre: around what values are clipped, by channel; empty where they are not.
    """

    announce: Announce
    digest: bytes
    signed: bytes = field(repr=False)
    present: frozenset[int]
    marks: Mapping[int, bytes] = field(repr=False)
    hellos: Mapping[int, bytes] = field(repr=False)
    seats: Mapping[int, int]
    code: Code
    centre: tuple[int, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Idle:
    """Between rounds."""


@dataclass(frozen=True)
class Shared:
    """The boxes are out; a holder waits for its delivery.

    Attributes:
        opening: the round.
        own: the share for the own position, as in a box; None without one.
        declared: what was declared, packed.
        deadline: when the round is given up.
    """

    opening: Opening
    own: bytes | None = field(repr=False)
    declared: bytes
    deadline: float


@dataclass(frozen=True)
class Answered:
    """The answer is out, and all shares are forgotten; a repeated delivery gets the same bytes.

    Attributes:
        opening: the round.
        delivered: digest of the set that was answered for.
        signed: the statement on the set with its signature, for evidence.
        answer: as it was sent.
        deadline: when the round is given up.
    """

    opening: Opening
    delivered: bytes
    signed: bytes = field(repr=False)
    answer: bytes = field(repr=False)
    deadline: float


AgentState = Idle | Shared | Answered

AGENT_TRANSITIONS: Mapping[tuple[type[AgentState], Event], tuple[type[AgentState], ...]]
AGENT_TRANSITIONS = MappingProxyType(
    {
        # a newer announce ends whatever round there was; it may not be for us, or we cannot share
        (Idle, Event.ANNOUNCE): (Idle, Shared),
        (Shared, Event.ANNOUNCE): (Idle, Shared),
        (Answered, Event.ANNOUNCE): (Idle, Shared),
        (Shared, Event.DELIVER): (Answered,),
        (Answered, Event.DELIVER): (Answered,),
        (Shared, Event.RESULT): (Idle,),
        (Answered, Event.RESULT): (Idle,),
        (Shared, Event.DEADLINE): (Idle,),
        (Answered, Event.DEADLINE): (Idle,),
    }
)


# -- gateway -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Waiting:
    """No round is under way."""


@dataclass(frozen=True)
class Collecting:
    """Announced; boxes come in. Nobody but this process knows ρ.

    Attributes:
        opening: the round.
        rho: ρ.
        started: when.
        deadline: when the set is what it is.
        boxes: by number, of those that are complete.
        awaited: numbers of those that may still come.
    """

    opening: Opening
    rho: bytes = field(repr=False)
    started: float
    deadline: float
    boxes: Mapping[int, Boxes] = field(repr=False)
    awaited: frozenset[int]


@dataclass(frozen=True)
class Given:
    """A holder's answer, decoded."""

    unopened: frozenset[int]
    reports: Symbols | None = field(repr=False)
    sums: Symbols | None = field(repr=False)


@dataclass(frozen=True)
class Opened:
    """The set is fixed and delivered with ρ; answers come in.

    Attributes:
        opening: the round.
        rho: ρ.
        delivered: digest of the set.
        members: of the set, ascending.
        declared: bool of shape (n, B, C + 1), a row each.
        symbols: of a holder's sums.
        started: when the round began.
        deadline: when it is over.
        answers: by position.
        awaited: positions that may still answer.
    """

    opening: Opening
    rho: bytes = field(repr=False)
    delivered: bytes
    members: tuple[int, ...]
    declared: Flags
    symbols: int
    started: float
    deadline: float
    answers: Mapping[int, Given] = field(repr=False)
    awaited: frozenset[int]


GatewayState = Waiting | Collecting | Opened

GATEWAY_TRANSITIONS: Mapping[tuple[type[GatewayState], Event], tuple[type[GatewayState], ...]]
GATEWAY_TRANSITIONS = MappingProxyType(
    {
        (Waiting, Event.START): (Collecting,),
        # the last boxes fix the set, or show that it is too small
        (Collecting, Event.BOXES): (Collecting, Opened, Waiting),
        (Collecting, Event.DEADLINE): (Opened, Waiting),
        # answers complete a round, or show that it cannot be completed any more
        (Opened, Event.ANSWER): (Opened, Waiting),
        (Opened, Event.DEADLINE): (Waiting,),
    }
)


@dataclass(frozen=True)
class Completed:
    """A decoded round.

    Attributes:
        round_id: its number.
        sums: uint32 of shape (B·L,), see `Schema.symbols`.
        included: the agents summed.
        milliseconds: from announce to sum.
        kept: which windows of an outage it carried; None for live ones.
    """

    round_id: int
    sums: Symbols = field(repr=False)
    included: frozenset[int]
    milliseconds: float
    kept: Kept | None = None


@dataclass(frozen=True)
class Failed:
    """A lost round; nothing was decoded."""

    round_id: int
    reason: str
    milliseconds: float
    kept: Kept | None = None


Outcome = Completed | Failed


@dataclass(frozen=True)
class Step:
    """What an event led to: messages to send, the round's outcome, and what was refused inside."""

    send: list[Send]
    outcome: Outcome | None = None
    refused: tuple[ProtocolError, ...] = ()


@dataclass(frozen=True)
class Memory:
    """What an agent keeps of its last contribution, to explain it if nobody could prove it."""

    opening: Opening
    secret: Secret = field(repr=False)


@dataclass(frozen=True)
class Debt:
    """A contribution that could not be proven, until its owner explains it.

    Attributes:
        asked: what the next announces carry.
        mark: of the hello by which it was made.
        digest: of the announce.
        holders: agent by position.
        code: of that round.
        reports: by position, on this contribution.
    """

    asked: Asked
    mark: bytes
    digest: bytes
    holders: Mapping[int, int]
    code: Code
    reports: Mapping[int, Symbols] = field(repr=False)
