"""The gateway's side of a round, as a state machine without I/O (docs/protocol.md).

    Idle ── start ──▶ Collecting ── all reports, or deadline ──▶ Summing ── quorum ──▶ Idle

The set is chosen once: everyone whose share every chosen position of its group holds. Then any
K + T positions' sums, added up along the tree of groups, give the sum over exactly that set,
whoever else drops out.
"""

from dataclasses import dataclass, field

from protoledger.protocol.code import field as prime_field
from protoledger.protocol.code.field import Symbols
from protoledger.protocol.code.seats import Seating, seating
from protoledger.protocol.errors import (
    ConfigurationError,
    ContradictionError,
    LateError,
    RefusedError,
)
from protoledger.protocol.rounds.hash_chain import Led, Statement
from protoledger.protocol.rounds.states import Send
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import Announce, Include, Kind, Payload, Result, Sealed
from protoledger.protocol.wire.sealing import Session
from protoledger.protocol.wire.terms import Terms


@dataclass(frozen=True)
class Completed:
    """A decoded round: `sums` is uint32 of shape (B·L,), `included` the agents summed."""

    round_id: int
    sums: Symbols = field(repr=False)
    included: frozenset[int]
    milliseconds: float


@dataclass(frozen=True)
class Failed:
    """A lost round; nothing was decoded."""

    round_id: int
    reason: str
    milliseconds: float


Outcome = Completed | Failed


@dataclass(frozen=True)
class Step:
    """What a message led to: messages to send, and the round's outcome once it has one."""

    send: list[Send]
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Idle:
    """Between rounds."""


@dataclass(frozen=True)
class Collecting:
    """Announced; holders report whose shares they have. `awaited` have not yet."""

    announce: Announce
    digest: bytes
    seats: Seating
    started: float
    deadline: float
    reports: dict[int, frozenset[int]]
    awaited: set[int]


@dataclass(frozen=True)
class Summing:
    """The set is fixed; positions send their sums."""

    announce: Announce
    digest: bytes
    include_digest: bytes
    seats: Seating
    started: float
    deadline: float
    included: frozenset[int]
    sums: dict[int, Symbols] = field(repr=False)


State = Idle | Collecting | Summing


Reports = dict[int, frozenset[int]]


def choose_set(reports: Reports, seats: Seating) -> tuple[frozenset[int], frozenset[int]]:
    """Choose whose vectors are summed, and at which positions.

    A position counts if its holder in every group reported. Where some received less than others,
    positions are left out, the one that hinders most first, as long as a quorum remains; of the
    choices on that way the one with most vectors and positions together is taken.

    Args:
        reports: by agent's number, whose shares it holds.
        seats: of the round.

    Returns:
        (included agents, positions); fewer positions than a quorum if too few reported.

    >>> from protoledger.protocol.code.seats import Plan
    >>> everyone = frozenset({0, 1, 2, 3, 4})
    >>> seats = Seating(Plan(5, 1, 1), everyone)
    >>> reports = dict.fromkeys([0, 1, 2, 3], everyone) | {4: frozenset({4})}
    >>> choose_set(reports, seats)
    (frozenset({0, 1, 2, 3, 4}), frozenset({0, 1, 2, 3}))
    """
    groups = range(seats.plan.groups)
    positions = {
        j for j in seats.whole_positions if all(seats.holder(g, j) in reports for g in groups)
    }
    chosen = _included(reports, seats, positions), frozenset(positions)
    while len(positions) > seats.code.quorum and len(chosen[0]) < len(seats.present):
        trials = {j: _included(reports, seats, positions - {j}) for j in sorted(positions)}
        hindering = max(trials, key=lambda j: len(trials[j]))
        positions.discard(hindering)
        included = trials[hindering]
        if len(included) + len(positions) > len(chosen[0]) + len(chosen[1]):
            chosen = included, frozenset(positions)
    return chosen


def _included(reports: Reports, seats: Seating, positions: set[int]) -> frozenset[int]:
    """Return the agents whose shares all of these positions hold."""
    if not positions:
        return frozenset()
    held = []
    for group in range(seats.plan.groups):
        holders = [seats.holder(group, j) for j in positions]
        members = frozenset(seats.plan.members(group))
        held.append(members.intersection(*(reports[h] for h in holders if h is not None)))
    return frozenset().union(*held)


class GatewayRounds:
    """All rounds of one gateway, one after the other.

    Args:
        session: this process's keys.
        terms: what the site agreed on.
    """

    def __init__(self, session: Session, terms: Terms) -> None:
        self.state: State = Idle()
        self.online: set[int] = set()
        self._ended = 0
        self._decoded: Summing | None = None  # the last completed round, to compare late sums with
        self._compared: set[int] = set()
        self._led: Led | None = None
        self._session = session
        self._terms = terms
        self._numbers = session.roster.positions

    @property
    def deadline(self) -> float | None:
        """When `expire` is due, on the caller's monotonic clock."""
        return None if isinstance(self.state, Idle) else self.state.deadline

    @property
    def reachable(self) -> frozenset[int]:
        """Numbers of the agents that are online and whose session key is here."""
        agents = self._session.roster.agents
        return frozenset(n for n in self.online if self._session.knows(agents[n].id))

    @property
    def ready(self) -> bool:
        """Whether enough agents are reachable for a round to succeed."""
        present = self.reachable
        if len(present) < self._terms.minimum:
            return False
        try:
            return seating(self._terms.plan, present).sufficient
        except ConfigurationError:
            return False

    def start(self, round_id: int, now: float) -> list[Send]:
        """Open a round with everyone who is reachable.

        Raises:
            RefusedError: if one is under way.
            ConfigurationError: if too few are reachable; ask `ready` first.
        """
        if not isinstance(self.state, Idle):
            raise RefusedError("no round under way", f"round {self.state.announce.round_id}")
        present = self.reachable
        seats = seating(self._terms.plan, present)
        announce = self._announce(round_id, present)
        digest = messages.digest(announce)
        deadline = now + self._terms.report_s
        self.state = Collecting(announce, digest, seats, now, deadline, {}, set(seats.holders))
        return [self._say(Kind.ANNOUNCE, announce)]

    def _announce(self, round_id: int, present: frozenset[int]) -> Announce:
        """Go on with the course, or begin another."""
        agents = self._session.roster.agents
        announce = Announce(
            round_id=round_id,
            session=self._session.nonce,
            roster=self._session.roster.digest,
            terms=self._terms.digest,
            present=messages.pack_members(present),
            sessions=self._session.marks(agents[n].id for n in sorted(present)),
            course=bytes(32) if self._led is None else self._led.course.first.course,
        )
        led = self._led
        if led and round_id == self._ended + 1 and led.foresees(Kind.ANNOUNCE, announce):
            return announce
        self._led = Led(announce)
        return self._led.course.first

    def _say(self, kind: Kind, statement: Statement) -> Send:
        """Reveal what was foreseen; sign what was not, and reveal nothing more of that course."""
        if self._led is not None:
            if self._led.foresees(kind, statement):
                return Send(kind, self._led.reveal(kind, statement.round_id))
            if statement is not self._led.course.first:
                self._led = None
        return Send(kind, self._session.sign(kind, statement))

    def handle(self, kind: Kind, sender: str, payload: Payload, now: float) -> Step:
        """Take one message.

        Raises:
            LateError: if it is of a round that is over.
            ProtocolError: if it is malformed, forged, or not allowed now; nothing has changed.
        """
        if kind is Kind.KEY:
            if self._session.meet(sender, payload):
                self._led = None  # a new session of an agent does not know the course
            return Step([])
        if len(payload) > self._terms.box_bytes:
            raise RefusedError(f"at most {self._terms.box_bytes} bytes", str(len(payload)))
        sealed = messages.decode(payload, Sealed)
        number = self._numbers.get(sender)
        if number is None or sealed.sender != sender or sealed.kind is not kind:
            raise RefusedError(f"{kind.name} by {sender}", f"{sealed.kind.name} by {sealed.sender}")
        if sealed.round_id <= self._ended:
            self._compare(kind, number, sealed)
            raise LateError(f"{kind.name} of round {sealed.round_id}, which is over")
        match self.state, kind:
            case Collecting() as state, Kind.RECEIVED if number in state.seats.holders:
                self._check_round(state, sealed)
                if number in state.reports:
                    raise RefusedError("one report an agent", f"another one from {sender}")
                plain = self._session.open(sealed, epoch=self._session.nonce, bound=state.digest)
                state.reports[number] = messages.unpack_members(plain, self._terms.plan.agents)
                state.awaited.discard(number)
                return self._close_collection(state, now) if not state.awaited else Step([])
            case Summing(), Kind.RECEIVED:
                raise LateError(f"a report of round {sealed.round_id} after its set was fixed")
            case Summing() as state, Kind.SUM:
                self._check_round(state, sealed)
                return self._on_sum(state, number, sealed, now)
            case _:
                raise RefusedError(f"what {type(self.state).__name__} takes", kind.name)

    def presence(self, peer: str, *, online: bool, now: float) -> Step:
        """Take the broker's word on who is there: only a hint on whom to wait for."""
        number = self._numbers.get(peer)
        if number is None:
            return Step([])
        if online:
            self.online.add(number)
            return Step([])
        self.online.discard(number)
        if isinstance(self.state, Collecting):
            self.state.awaited.discard(number)
            if not self.state.awaited:
                return self._close_collection(self.state, now)
        return Step([])

    def expire(self, now: float) -> Step:
        """Act on a deadline that has passed."""
        state = self.state
        if isinstance(state, Idle) or state.deadline > now:
            return Step([])
        if isinstance(state, Collecting):
            return self._close_collection(state, now)
        reason = f"{len(state.sums)} of {state.seats.code.quorum} needed positions sent their sum"
        return self._fail(state, reason, now)

    def _check_round(self, state: Collecting | Summing, sealed: Sealed) -> None:
        if sealed.round_id != state.announce.round_id:
            raise RefusedError(f"round {state.announce.round_id}", f"round {sealed.round_id}")

    def _close_collection(self, state: Collecting, now: float) -> Step:
        included, positions = choose_set(state.reports, state.seats)
        quorum, minimum = state.seats.code.quorum, self._terms.minimum
        if len(positions) < quorum:
            reason = f"{len(positions)} of {quorum} needed positions reported in every group"
            return self._fail(state, reason, now)
        if len(included) < minimum:
            reason = f"{len(included)} agents shared with all, {minimum} are the minimum"
            return self._fail(state, reason, now)
        announce = state.announce
        include = Include(announce.round_id, state.digest, messages.pack_members(included))
        self.state = Summing(
            announce=announce,
            digest=state.digest,
            include_digest=messages.digest(include),
            seats=state.seats,
            started=state.started,
            deadline=now + self._terms.sum_ms / 1000,
            included=included,
            sums={},
        )
        return Step([self._say(Kind.INCLUDE, include)])

    def _on_sum(self, state: Summing, number: int, sealed: Sealed, now: float) -> Step:
        position = state.seats.position(number)
        if position is None or self._terms.plan.group_of(number) != 0:
            raise RefusedError("a sum from the root group's holders", f"one from {sealed.sender}")
        if position in state.sums:
            raise RefusedError("one sum a position", f"another one from {sealed.sender}")
        code, length = state.seats.code, self._terms.length
        plain = self._session.open(sealed, epoch=self._session.nonce, bound=state.include_digest)
        state.sums[position] = prime_field.from_bytes(plain, code.share_length(length))
        if len(state.sums) < code.quorum:
            return Step([])
        sums = code.decode(state.sums, length)
        self._decoded, self._compared = state, set()
        outcome = Completed(
            state.announce.round_id, sums, state.included, 1000 * (now - state.started)
        )
        return self._end(state, len(state.included), "", outcome)

    def _compare(self, kind: Kind, number: int, sealed: Sealed) -> None:
        """Check a sum that came after the quorum against what was decoded; each position once.

        Raises:
            ContradictionError: if it does not fit.
            ProtocolError: if it is malformed or forged.
        """
        last = self._decoded
        if last is None or kind is not Kind.SUM or sealed.round_id != last.announce.round_id:
            return
        position = last.seats.position(number)
        in_root = self._terms.plan.group_of(number) == 0
        if position is None or not in_root or position in last.sums.keys() | self._compared:
            return
        plain = self._session.open(sealed, epoch=self._session.nonce, bound=last.include_digest)
        code = last.seats.code
        found = prime_field.from_bytes(plain, code.share_length(self._terms.length))
        self._compared.add(position)
        if not code.explains(last.sums, position, found):
            raise ContradictionError(
                f"round {sealed.round_id}: the sum of {sealed.sender} contradicts those of the "
                f"quorum; an agent gave wrong shares or added wrongly, do not trust this sum"
            )

    def _fail(self, state: Collecting | Summing, reason: str, now: float) -> Step:
        outcome = Failed(state.announce.round_id, reason, 1000 * (now - state.started))
        return self._end(state, 0, reason, outcome)

    def _end(
        self, state: Collecting | Summing, included: int, reason: str, outcome: Outcome
    ) -> Step:
        self.state = Idle()
        self._ended = state.announce.round_id
        result = Result(state.announce.round_id, state.digest, included, reason)
        send = [self._say(Kind.RESULT, result)]
        present = messages.unpack_members(state.announce.present, self._terms.plan.agents)
        if included < len(present):
            # To whom a broker repeated a former hello of ours, we would be refused for ever.
            send.insert(0, Send(Kind.KEY, self._session.hello()))
        return Step(send, outcome)
