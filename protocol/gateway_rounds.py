"""The gateway's side of a round, as a state machine without I/O (DESIGN section 4).

    Idle ── start ──▶ Collecting ── all reports, or deadline ──▶ Summing ── quorum ──▶ Idle

The set is chosen once: everyone whose share every chosen position holds. Then any K + T positions'
sums give the sum over exactly that set, whoever else drops out.
"""

import hashlib
from dataclasses import dataclass, field

from protocol import field as prime_field
from protocol import messages
from protocol.agent_rounds import Send
from protocol.errors import LateError, RefusedError
from protocol.field import Symbols
from protocol.messages import Announce, Include, Kind, Result, Sealed
from protocol.schema import Schema
from protocol.sealing import Session
from protocol.swiftagg import Plan


@dataclass(frozen=True)
class Completed:
    """A decoded round: `sums` is uint32 of shape (B·L,), `included` the positions summed."""

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
    """Announced; agents report whose shares they hold. `awaited` positions have not yet."""

    announce: Announce
    digest: bytes
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
    started: float
    deadline: float
    included: frozenset[int]
    positions: frozenset[int]
    sums: dict[int, Symbols] = field(repr=False)


State = Idle | Collecting | Summing


def choose_set(
    reports: dict[int, frozenset[int]], quorum: int
) -> tuple[frozenset[int], frozenset[int]]:
    """Choose whose vectors are summed, and who sums.

    All reporting positions are kept, unless leaving one out that received little lets more
    vectors in than it takes positions away.

    Args:
        reports: by position, whose shares it holds.
        quorum: positions that must remain.

    Returns:
        (included, positions).

    >>> everyone = frozenset({0, 1, 2, 3})
    >>> choose_set({0: everyone, 1: everyone, 2: everyone, 3: frozenset({3})}, quorum=3)
    (frozenset({0, 1, 2, 3}), frozenset({0, 1, 2}))
    """
    positions = set(reports)

    def common(of: set[int]) -> frozenset[int]:
        return frozenset.intersection(*(reports[p] for p in of)) if of else frozenset()

    included = common(positions)
    while len(positions) > quorum:
        poorest = max(sorted(positions), key=lambda p: len(common(positions - {p})))
        better = common(positions - {poorest})
        if len(better) <= len(included) + 1:
            break
        positions.discard(poorest)
        included = better
    return included, frozenset(positions)


class GatewayRounds:
    """All rounds of one gateway, one after the other.

    Args:
        session: this process's keys.
        schema: the site's channels and labels.
        plan: N, T and D.
        minimum_contributors: the smallest set that may be summed.
    """

    def __init__(
        self, session: Session, schema: Schema, plan: Plan, minimum_contributors: int
    ) -> None:
        self.state: State = Idle()
        self.online: set[int] = set()
        self._ended = 0
        self._session = session
        self._schema = schema
        self._plan = plan
        self._minimum = minimum_contributors

    @property
    def deadline(self) -> float | None:
        """When `expire` is due, on the caller's monotonic clock."""
        return None if isinstance(self.state, Idle) else self.state.deadline

    @property
    def reachable(self) -> frozenset[int]:
        """Positions that are online and whose session key is here."""
        roster = self._session.roster
        return frozenset(p for p in self.online if self._session.knows(roster.agents[p].id))

    def start(
        self, round_id: int, windows: int, share_ms: int, sum_ms: int, now: float
    ) -> list[Send]:
        """Open a round with everyone who is reachable.

        Raises:
            RefusedError: if one is under way.
        """
        if not isinstance(self.state, Idle):
            raise RefusedError("no round under way", f"round {self.state.announce.round_id}")
        present = self.reachable
        announce = Announce(
            round_id=round_id,
            session=self._session.nonce,
            roster=self._session.roster.digest,
            schema=self._schema.digest,
            windows=windows,
            share_ms=share_ms,
            sum_ms=sum_ms,
            present=messages.pack_members(present),
        )
        digest = hashlib.sha256(messages.encode(announce)).digest()
        # Agents report when their own share deadline passes: leave the report half as long again.
        deadline = now + share_ms * 1.5 / 1000
        self.state = Collecting(announce, digest, now, deadline, {}, set(present))
        return [Send(Kind.ANNOUNCE, self._session.sign(Kind.ANNOUNCE, announce))]

    def handle(self, kind: Kind, sender: str, payload: bytes, now: float) -> Step:
        """Take one message.

        Raises:
            LateError: if it is of a round that is over.
            ProtocolError: if it is malformed, forged, or not allowed now; nothing has changed.
        """
        if kind is Kind.KEY:
            self._session.meet(sender, payload)
            return Step([])
        sealed = messages.decode(payload, Sealed)
        position = self._session.roster.positions.get(sender)
        if position is None or sealed.sender != sender or sealed.kind is not kind:
            raise RefusedError(f"{kind.name} by {sender}", f"{sealed.kind.name} by {sealed.sender}")
        if sealed.round_id <= self._ended:
            raise LateError(f"{kind.name} of round {sealed.round_id}, which is over")
        match self.state, kind:
            case Collecting() as state, Kind.RECEIVED:
                self._check_round(state, sealed)
                members = messages.unpack_members(
                    self._session.open(sealed, state.digest), self._plan.agents
                )
                state.reports[position] = members
                state.awaited.discard(position)
                return self._close_collection(state, now) if not state.awaited else Step([])
            case Summing() as state, Kind.SUM:
                self._check_round(state, sealed)
                return self._on_sum(state, position, sealed, now)
            case _:
                raise RefusedError(f"what {type(self.state).__name__} takes", kind.name)

    def presence(self, peer: str, *, online: bool, now: float) -> Step:
        """Take the broker's word on who is there: only a hint on whom to wait for."""
        position = self._session.roster.positions.get(peer)
        if position is None:
            return Step([])
        if online:
            self.online.add(position)
            return Step([])
        self.online.discard(position)
        if isinstance(self.state, Collecting):
            self.state.awaited.discard(position)
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
        reason = f"{len(state.sums)} of {self._plan.quorum} needed agents sent their sum"
        return self._fail(state, reason, now)

    def _check_round(self, state: Collecting | Summing, sealed: Sealed) -> None:
        if sealed.round_id != state.announce.round_id:
            raise RefusedError(f"round {state.announce.round_id}", f"round {sealed.round_id}")

    def _close_collection(self, state: Collecting, now: float) -> Step:
        included, positions = choose_set(state.reports, self._plan.quorum)
        if len(positions) < self._plan.quorum:
            reason = f"{len(positions)} of {self._plan.quorum} needed agents reported"
            return self._fail(state, reason, now)
        if len(included) < self._minimum:
            reason = f"{len(included)} agents shared with all, {self._minimum} are the minimum"
            return self._fail(state, reason, now)
        announce = state.announce
        include = Include(announce.round_id, state.digest, messages.pack_members(included))
        self.state = Summing(
            announce=announce,
            digest=state.digest,
            include_digest=hashlib.sha256(messages.encode(include)).digest(),
            started=state.started,
            deadline=now + announce.sum_ms / 1000,
            included=included,
            positions=positions,
            sums={},
        )
        return Step([Send(Kind.INCLUDE, self._session.sign(Kind.INCLUDE, include))])

    def _on_sum(self, state: Summing, position: int, sealed: Sealed, now: float) -> Step:
        if position in state.sums:
            raise RefusedError("one sum an agent", f"another one from {sealed.sender}")
        length = state.announce.windows * self._schema.length
        plain = self._session.open(sealed, state.include_digest)
        state.sums[position] = prime_field.from_bytes(plain, self._plan.share_length(length))
        if len(state.sums) < self._plan.quorum:
            return Step([])
        sums = self._plan.decode(state.sums, length)
        outcome = Completed(
            state.announce.round_id, sums, state.included, 1000 * (now - state.started)
        )
        return self._end(state, len(state.included), "", outcome)

    def _fail(self, state: Collecting | Summing, reason: str, now: float) -> Step:
        outcome = Failed(state.announce.round_id, reason, 1000 * (now - state.started))
        return self._end(state, 0, reason, outcome)

    def _end(
        self, state: Collecting | Summing, included: int, reason: str, outcome: Outcome
    ) -> Step:
        self.state = Idle()
        self._ended = state.announce.round_id
        result = Result(state.announce.round_id, state.digest, included, reason)
        return Step([Send(Kind.RESULT, self._session.sign(Kind.RESULT, result))], outcome)
