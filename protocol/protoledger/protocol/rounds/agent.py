"""The agent's side of a round, as a state machine without I/O (docs/protocol.md).

    Idle ── announce ──▶ Sharing ── include ──▶ Adding ── children's sums ──▶ Answered
      ▲                                                                          │
      └───────────────────── result, or the round's deadline ────────────────────┘

A message comes in with the time of a monotonic clock, messages to send go out. An agent answers
one set a round, only if it holds the shares of all of it and the set is large enough, and forgets
its randomness and all shares when the round ends. What does not fit raises a `ProtocolError` that
the caller logs; the state is then unchanged.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from protoledger.protocol.code import field as prime_field
from protoledger.protocol.code.field import Symbols
from protoledger.protocol.code.seats import Seating, seating
from protoledger.protocol.code.shares import Code
from protoledger.protocol.errors import ConfigurationError, LateError, ProtocolError, RefusedError
from protoledger.protocol.rounds.hash_chain import STATEMENTS, Course, Followed, Statement
from protoledger.protocol.rounds.states import Adding, Answered, Idle, Send, Sharing, State
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import (
    MARK_BYTES,
    Announce,
    Include,
    Kind,
    Octets,
    Payload,
    Result,
    Revealed,
    Sealed,
)
from protoledger.protocol.wire.schema import Window
from protoledger.protocol.wire.sealing import Session
from protoledger.protocol.wire.terms import Terms

EARLY = 4
"""Messages of a kind that are kept of one sender until their round is known."""


class AgentRounds:
    """All rounds of one agent, one after the other.

    Args:
        session: this process's keys.
        terms: what the site agreed on.
        contribute: gives the windows of an announced round; called once a round, must not block.
    """

    def __init__(
        self, session: Session, terms: Terms, contribute: Callable[[Announce], Window]
    ) -> None:
        self.state: State = Idle()
        self._session = session
        self._terms = terms
        self._contribute = contribute
        self._names = [member.id for member in session.roster.agents]
        self._numbers = session.roster.positions
        self._gateway = session.roster.gateway.id
        self._me = self._numbers[session.me]
        self._group = terms.plan.group_of(self._me)
        self._members = frozenset(terms.plan.members(self._group))
        # who may send what: nothing of others is kept, memory must not grow with other groups
        self._senders = {
            Kind.SHARE: self._names_of([self._group]),
            Kind.PARTIAL: self._names_of(terms.plan.children(self._group)),
        }
        # By session of the gateway: one that lost its store counts anew, a repeated hello of an
        # old one must not make us answer its rounds again.
        self._last_rounds: dict[bytes, int] = {}
        self._epoch = b""
        self._followed: Followed | None = None
        self._scratch = np.empty((0, 0), dtype=np.uint32)  # secrets only while shares are made
        self._left_out = False
        self._unheard = False
        self._early: dict[tuple[Kind, str], deque[Sealed]] = {}
        self._refused: list[ProtocolError] = []
        self._gone: set[int] = set()

    def _names_of(self, groups: list[int]) -> frozenset[str]:
        members = self._terms.plan.members
        return frozenset(self._names[number] for group in groups for number in members(group))

    @property
    def last_round(self) -> int:
        """The highest round taken part in, of the gateway's present session."""
        return self._last_rounds.get(self._epoch, 0)

    @property
    def deadline(self) -> float | None:
        """When `expire` is due, on the caller's monotonic clock."""
        match self.state:
            case Sharing(reported=False):
                return self.state.share_deadline
            case Sharing() | Adding() | Answered():
                return self.state.round_deadline
            case Idle():
                return None

    def handle(self, kind: Kind, sender: str, payload: Payload, now: float) -> list[Send]:
        """Take one message.

        Raises:
            LateError: if it is of a round that is over.
            ProtocolError: if it is malformed, forged, or not allowed now; nothing has changed.
        """
        match kind:
            case Kind.KEY:
                self._session.meet(sender, payload)
                return []
            case Kind.SHARE | Kind.PARTIAL:
                if len(payload) > self._terms.box_bytes:
                    raise RefusedError(f"at most {self._terms.box_bytes} bytes", str(len(payload)))
                return self._on_sealed(kind, messages.decode(payload, Sealed), sender)
            case Kind.ANNOUNCE | Kind.INCLUDE | Kind.RESULT if sender == self._gateway:
                if messages.is_revealed(payload):
                    return self._on_revealed(kind, messages.decode(payload, Revealed), now)
                body = self._session.check(payload, kind, sender)
                statement = messages.decode(body, STATEMENTS[kind])
                out = self._on_statement(statement, now)
                if isinstance(statement, Announce):
                    self._followed = Followed(Course(statement))
                return out
            case _:
                raise RefusedError("a message that agents read", f"{kind.name} from {sender}")

    def presence(self, peer: str, *, online: bool) -> list[Send]:
        """Take the broker's word on who is there: only a hint on whom to wait for."""
        number = self._numbers.get(peer)
        if number is None:
            return []
        if online:
            self._gone.discard(number)
            return []
        self._gone.add(number)
        if isinstance(self.state, Sharing):
            self.state.awaited.discard(number)
            return self._report_if_complete(self.state)
        return []

    def expire(self, now: float) -> list[Send]:
        """Act on a deadline that has passed: report what came, or give the round up."""
        state = self.state
        if isinstance(state, Idle) or (self.deadline or 0.0) > now:
            return []
        if isinstance(state, Sharing) and not state.reported:
            return self._report(state)
        self.state = Idle()
        return []

    def _on_revealed(self, kind: Kind, said: Revealed, now: float) -> list[Send]:
        followed = self._followed
        if followed is None or said.kind is not kind:
            raise RefusedError(
                f"{kind.name} of a course that is followed", f"{said.kind.name} of another"
            )
        out = self._on_statement(followed.check(said), now)
        followed.advance(said)
        return out

    def _on_statement(self, statement: Statement, now: float) -> list[Send]:
        match statement:
            case Announce():
                return self._on_announce(statement, now)
            case Include():
                return self._on_include(statement)
            case Result():
                return self._on_result(statement)

    # -- announce and shares ---------------------------------------------------------------------

    def _on_announce(self, announce: Announce, now: float) -> list[Send]:
        seats = self._check_announce(announce)
        if not self._is_meant(announce, seats.present):
            # a former process of ours may have shared in it; who sums two polynomials gets nonsense
            return [Send(Kind.KEY, self._session.hello())]
        digest = messages.digest(announce)
        # From here on the round is spent: whatever happens, its number is never answered again.
        self._epoch = announce.session
        self._last_rounds[announce.session] = announce.round_id
        self.state = Idle()
        vector = self._terms.schema.symbols(self._contribute(announce))
        if vector.size != self._terms.length:
            raise RefusedError(f"{self._terms.windows} windows", f"{vector.size} symbols")
        shares = self._encode(seats.code, vector)
        mine = seats.position(self._me)
        state = Sharing(
            announce=announce,
            digest=digest,
            seats=seats,
            share_deadline=now + self._terms.share_ms / 1000,
            round_deadline=now + self._terms.round_s,
            held={} if mine is None else {self._me: shares[mine].copy()},
            awaited=set() if mine is None else self._awaited(seats),
            reported=mine is None,
        )
        self.state = state
        out = self._seal_shares(state, shares)
        self._scratch.fill(0)
        out += self._take_early(Kind.SHARE)
        # An early share may have completed it already; if all others are gone, nothing else will.
        return out + (self._report_if_complete(state) if self.state is state else [])

    def _awaited(self, seats: Seating) -> set[int]:
        return {*(self._members & seats.present)} - self._gone - {self._me}

    def _encode(self, code: Code, vector: Symbols) -> Symbols:
        shape = code.scratch_shape(vector.size)
        if self._scratch.shape != shape:
            self._scratch = np.empty(shape, dtype=np.uint32)
        return code.encode(vector, self._scratch)

    def _check_announce(self, announce: Announce) -> Seating:
        last = self._last_rounds.get(announce.session, 0)
        if announce.session != self._session.session_of(self._gateway):
            raise RefusedError("the gateway's present session", "an announce of another one")
        if announce.round_id <= last:
            raise RefusedError(f"a round after {last}", f"round {announce.round_id}")
        if announce.roster != self._session.roster.digest or announce.terms != self._terms.digest:
            raise RefusedError("this site's roster and terms", "others: compare the files")
        present = messages.unpack_members(announce.present, self._terms.plan.agents)
        try:
            seats = seating(self._terms.plan, present)
        except ConfigurationError as error:
            raise RefusedError("enough agents for the plan", str(error)) from error
        if self._me not in present:
            raise RefusedError("a round with this agent", f"round {announce.round_id} without it")
        return seats

    def _is_meant(self, announce: Announce, present: frozenset[int]) -> bool:
        """Whether the gateway knew this process when it announced."""
        if len(announce.sessions) != MARK_BYTES * len(present):
            raise RefusedError(f"{len(present)} sessions' marks", f"{len(announce.sessions)} bytes")
        begin = MARK_BYTES * sum(number < self._me for number in present)
        return announce.sessions[begin : begin + MARK_BYTES] == self._session.nonce[:MARK_BYTES]

    def _seal_shares(self, state: Sharing, shares: Symbols) -> list[Send]:
        out = []
        for position in range(state.seats.code.positions):
            holder = state.seats.holder(self._group, position)
            if holder is None or holder == self._me or not self._session.knows(self._names[holder]):
                continue
            plain = prime_field.to_bytes(shares[position])
            out.append(self._sealed(Kind.SHARE, state, state.digest, self._names[holder], plain))
        return out

    def _sealed(self, kind: Kind, state: State, bound: bytes, receiver: str, plain: Octets) -> Send:
        if isinstance(state, Idle):
            raise RefusedError("a running round", "none")
        announce = state.announce
        payload = self._session.seal(
            receiver, kind, announce.round_id, epoch=announce.session, bound=bound, plain=plain
        )
        return Send(kind, payload, None if receiver == self._gateway else receiver)

    def _on_sealed(self, kind: Kind, sealed: Sealed, sender: str) -> list[Send]:
        if sealed.kind is not kind or sealed.sender != sender:
            raise RefusedError(f"{kind.name} by {sender}", f"{sealed.kind.name} by {sealed.sender}")
        if sender not in self._senders[kind]:
            raise RefusedError(f"{kind.name} of an agent that has one for us", f"one of {sender}")
        state = self.state
        running = not isinstance(state, Idle) and state.announce.round_id == sealed.round_id
        if not running and sealed.round_id <= self.last_round:
            same_epoch = self._session.session_of(self._gateway) == self._epoch
            if same_epoch:
                raise LateError(f"{kind.name} of round {sealed.round_id}, which is over")
        if not running or (kind is Kind.PARTIAL and isinstance(state, Sharing)):
            # The broker may hand it on before the announce or include. The last few of a sender
            # are kept, lest a forged one displaces the true one; their seals tell them apart.
            self._early.setdefault((kind, sender), deque(maxlen=EARLY)).append(sealed)
            return []
        return self._on_share(sealed) if kind is Kind.SHARE else self._on_partial(sealed)

    def _take_early(self, kind: Kind) -> list[Send]:
        """Look again at what came too early; what is of other rounds or forged is refused now."""
        out: list[Send] = []
        for key in [key for key in self._early if key[0] is kind]:
            for sealed in self._early.pop(key):
                try:
                    out += self._on_sealed(kind, sealed, key[1])
                except ProtocolError as error:
                    self._refused.append(error)
        return out

    def take_refused(self) -> list[ProtocolError]:
        """Return, once, why messages that had come too early were refused since the last call."""
        refused, self._refused = self._refused, []
        return refused

    def _on_share(self, sealed: Sealed) -> list[Send]:
        state = self.state
        if not isinstance(state, Sharing):
            raise LateError(f"a share of round {sealed.round_id} after its set was fixed")
        number = self._numbers[sealed.sender]
        if state.seats.position(self._me) is None:
            raise RefusedError("shares for holders of a position", f"one of {sealed.sender}")
        if number in state.held:
            raise RefusedError("one share a sender", f"another one from {sealed.sender}")
        if state.reported:
            raise LateError(f"a share of round {sealed.round_id} after the report")
        plain = self._session.open(sealed, epoch=state.announce.session, bound=state.digest)
        width = state.seats.code.share_length(self._terms.length)
        state.held[number] = prime_field.from_bytes(plain, width)
        state.awaited.discard(number)
        return self._report_if_complete(state)

    def _report_if_complete(self, state: Sharing) -> list[Send]:
        return [] if state.awaited or state.reported else self._report(state)

    def _report(self, state: Sharing) -> list[Send]:
        # whose share is missing may hold a former key of ours
        self._unheard = bool(state.awaited)
        members = messages.pack_members(set(state.held))
        self.state = replace(state, reported=True)
        return [self._sealed(Kind.RECEIVED, state, state.digest, self._gateway, members)]

    # -- include and sums ------------------------------------------------------------------------

    def _on_include(self, include: Include) -> list[Send]:
        state = self.state
        if not isinstance(state, Sharing) or include.round_id != state.announce.round_id:
            raise RefusedError("an include of a round that waits for it", f"{include.round_id}")
        if include.announce != state.digest:
            raise RefusedError("the set of the announced round", "the set of another announce")
        included = messages.unpack_members(include.members, self._terms.plan.agents)
        if len(included) < self._terms.minimum:
            expected = f"a set of at least {self._terms.minimum}"
            raise RefusedError(expected, f"one of {len(included)}")
        self._left_out = self._me not in included
        position = state.seats.position(self._me)
        if position is None:
            self.state = Answered(state.announce, state.digest, state.round_deadline)
            return []
        ours = included & self._members
        if missing := ours - state.held.keys():
            raise RefusedError("a set whose shares are here", f"without {sorted(missing)}")
        width = state.seats.code.share_length(self._terms.length)
        rows = [state.held[number] for number in ours]
        children = [
            state.seats.holder(child, position) for child in self._terms.plan.children(self._group)
        ]
        self.state = Adding(
            announce=state.announce,
            digest=state.digest,
            include_digest=messages.digest(include),
            seats=state.seats,
            position=position,
            round_deadline=state.round_deadline,
            total=prime_field.add(rows) if rows else np.zeros(width, dtype=np.uint32),
            # a position that nobody holds in a child group never gets its sum, and times out
            awaited={-1 if child is None else child for child in children},
        )
        out = self._take_early(Kind.PARTIAL)
        return out or self._answer_if_complete()

    def _on_partial(self, sealed: Sealed) -> list[Send]:
        state = self.state
        if not isinstance(state, Adding):
            raise LateError(f"a partial sum of round {sealed.round_id} after the answer")
        number = self._numbers[sealed.sender]
        if number not in state.awaited:
            raise RefusedError("a partial sum of a child group", f"one from {sealed.sender}")
        epoch = state.announce.session
        plain = self._session.open(sealed, epoch=epoch, bound=state.include_digest)
        partial = prime_field.from_bytes(plain, state.total.size)
        total = prime_field.add([state.total, partial])
        self.state = replace(state, total=total, awaited=state.awaited - {number})
        return self._answer_if_complete()

    def _answer_if_complete(self) -> list[Send]:
        state = self.state
        if not isinstance(state, Adding) or state.awaited:
            return []
        parent = self._terms.plan.parent(self._group)
        above = None if parent is None else state.seats.holder(parent, state.position)
        plain = prime_field.to_bytes(state.total)
        self.state = Answered(state.announce, state.digest, state.round_deadline)
        if parent is None:
            return [self._sealed(Kind.SUM, state, state.include_digest, self._gateway, plain)]
        if above is None:
            return []  # nobody holds this position there: it is lost, others make the quorum
        name = self._names[above]
        return [self._sealed(Kind.PARTIAL, state, state.include_digest, name, plain)]

    def _on_result(self, result: Result) -> list[Send]:
        state = self.state
        if isinstance(state, Idle) or result.announce != state.digest:
            raise LateError(f"the result of round {result.round_id}, which is not running")
        self.state = Idle()
        if result.reason or self._left_out or self._unheard:
            # A broker that repeated a former hello of ours makes peers seal for a session that is
            # gone; the present one once more mends that.
            return [Send(Kind.KEY, self._session.hello())]
        return []
