"""The agent's side of a round, as a state machine without I/O.

    Idle ── announce ──▶ Shared ── deliver ──▶ Answered
      ▲                    │                      │
      └──────── result, or the round's deadline ──┘

`states.AGENT_TRANSITIONS` is the table. An agent contributes to a round once, whatever follows: its
windows are spent before its boxes leave. A holder answers for one set a round, only if that is
large enough, under the ρ that the announce committed to, and opens only what enough of it declared;
it depends on nobody's word on who is present.

What does not fit raises a `ProtocolError` that the caller logs; the state is then unchanged.
"""

from collections.abc import Callable
from dataclasses import replace

from protoledger.protocol.code import field
from protoledger.protocol.code.layout import Contribution
from protoledger.protocol.errors import (
    EquivocationError,
    LateError,
    RefusedError,
)
from protoledger.protocol.proofs.challenge import challenge, commitment
from protoledger.protocol.proofs.proven import ProvenCode
from protoledger.protocol.rounds.blinding import Charge, Purse, blinded, open_centre
from protoledger.protocol.rounds.opening import open_boxes, open_round
from protoledger.protocol.rounds.relaying import take_relayed
from protoledger.protocol.rounds.states import (
    AGENT_TRANSITIONS,
    AgentState,
    Answered,
    Event,
    Idle,
    Memory,
    Opening,
    Send,
    Shared,
)
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.identity import verify
from protoledger.protocol.wire.messages import (
    VERSION,
    Announce,
    Answer,
    Asked,
    Boxes,
    Delivered,
    Delivery,
    Explanation,
    Kept,
    Kind,
    Payload,
    Result,
    Sealed,
    Signed,
)
from protoledger.protocol.wire.schema import Window
from protoledger.protocol.wire.sealing import Session, signed_bytes
from protoledger.protocol.wire.terms import Terms

SESSIONS_KEPT = 8
"""Of a gateway, whose rounds' numbers are remembered; other keys protect what is older."""


class AgentRounds:
    """All rounds of one agent, one after the other.

    Args:
        session: this process's keys.
        terms: what the site agreed on.
        contribute: gives the windows of an announced round and forgets them, for good, before it
            returns; called once a round, must not block.
        kept: says what is kept of an outage.
        charge: pays for a contribution where the site has privacy, for good, before it returns;
            without it nothing is contributed there.
    """

    def __init__(
        self,
        session: Session,
        terms: Terms,
        contribute: Callable[[Announce], Window],
        kept: Callable[[], Kept | None] = lambda: None,
        charge: Charge = lambda _units: False,
    ) -> None:
        self.state: AgentState = Idle()
        self.excluded = False
        self._session = session
        self._terms = terms
        self._contribute = contribute
        self._kept = kept
        self._purse = Purse(charge)
        self._names = [member.id for member in session.roster.agents]
        self._gateway = session.roster.gateway.id
        self._me = session.roster.positions[session.me]
        self._last_rounds: dict[bytes, int] = {}
        self._last: tuple[Announce, bytes] | None = None
        self._memory: Memory | None = None
        self._explained: tuple[Asked, Explanation] | None = None

    def change_terms(self, change: Callable[[Terms], Terms]) -> None:
        """Follow other terms from the next round on; for tests and emulations of liars."""
        self._terms = change(self._terms)

    @property
    def last_round(self) -> int:
        """The highest round spent, of the gateway's present session."""
        return self._last_rounds.get(self._session.epoch or b"", 0)

    @property
    def deadline(self) -> float | None:
        """When `expire` is due, on the caller's monotonic clock."""
        return None if isinstance(self.state, Idle) else self.state.deadline

    def handle(self, kind: Kind, sender: str, payload: Payload, now: float) -> list[Send]:
        """Take one message.

        Raises:
            LateError: if it is of a round that is over.
            EquivocationError: if the gateway contradicts itself; nothing has changed.
            ProtocolError: if it is malformed, forged, or not allowed now; nothing has changed.
        """
        if len(payload) > self._terms.message_bytes:
            raise RefusedError(f"at most {self._terms.message_bytes} bytes", f"{len(payload)}")
        match kind:
            case Kind.KEY:
                self._session.heard(sender, payload, now)
                return []
            case Kind.ANNOUNCE if sender == self._gateway:
                body = self._session.check(payload, kind, sender)
                announce = messages.decode(body, self._terms.announce_shape)
                return self._on_announce(announce, bytes(payload), now)
            case Kind.DELIVER if sender == self._gateway:
                return self._on_deliver(messages.decode(payload, Sealed))
            case Kind.RESULT if sender == self._gateway:
                body = self._session.check(payload, kind, sender)
                return self._on_result(messages.decode(body, Result))
            case _:
                raise RefusedError("a message that agents read", f"{kind.name} from {sender}")

    def expire(self, now: float) -> list[Send]:
        """Give a round up whose deadline has passed."""
        if self.deadline is not None and self.deadline <= now:
            self._move(Event.DEADLINE, Idle())
        return []

    def _move(self, event: Event, state: AgentState) -> None:
        allowed = AGENT_TRANSITIONS[type(self.state), event]
        if not isinstance(state, allowed):  # pragma: no cover - the table is the specification
            raise TypeError(f"{event.name} leads from {self.state} to {state}")
        self.state = state

    # -- announce and boxes ----------------------------------------------------------------------

    def _on_announce(self, announce: Announce, signed: bytes, now: float) -> list[Send]:
        self._check_fresh(announce, signed)
        opening = self._open(announce, signed)
        epoch = self._session.epoch
        if epoch is not None and epoch != announce.session:
            # another session of the gateway may repeat round numbers: never the same keys in both
            self._spend(announce)  # nor another key for the same announce once more
            self._session.renew()
            return [Send(Kind.KEY, self._session.hello)]
        if opening.marks[self._me] != self._session.mark:
            # a former process of ours is meant, which may have shared in this round
            return [Send(Kind.KEY, self._session.hello)]
        if lacking := take_relayed(self._session, opening, self._me):
            return self._lack(opening, lacking)
        if centre := open_centre(self._session, opening, self._me, self._terms.noise):
            opening = replace(opening, centre=centre)
        explanation = self._explain(announce)
        # From here on the round is spent: whatever happens, its number is never shared in again.
        self._spend(announce)
        self._last = announce, signed
        read = self._terms.schema.contribution(self._contribute(announce))
        given = blinded(self._terms, read, opening, self._purse, now)
        return self._share(opening, given, explanation, now)

    def _spend(self, announce: Announce) -> None:
        self._last_rounds.pop(announce.session, None)
        self._last_rounds[announce.session] = announce.round_id
        while len(self._last_rounds) > SESSIONS_KEPT:
            del self._last_rounds[next(iter(self._last_rounds))]

    def _check_fresh(self, announce: Announce, signed: bytes) -> None:
        if not self._session.knows(self._gateway, announce.session):
            raise RefusedError("the gateway's present hello", "an announce of another one")
        last = self._last_rounds.get(announce.session, 0)
        if announce.round_id > last:
            return
        if self._last is not None:
            before, evidence = self._last
            same = (before.session, before.round_id) == (announce.session, announce.round_id)
            if same and before != announce:
                raise EquivocationError(
                    f"the gateway announced round {last} twice, differently", (evidence, signed)
                )
        raise RefusedError(f"a round after {last}", f"round {announce.round_id}")

    def _open(self, announce: Announce, signed: bytes) -> Opening:
        terms, plan = self._terms, self._terms.plan
        if announce.roster != self._session.roster.digest or announce.terms != terms.digest:
            raise RefusedError("this site's roster and terms", "others: compare the files")
        present = messages.unpack_members(announce.present, plan.agents)
        if self._me not in present:
            raise RefusedError("a round with this agent", f"round {announce.round_id} without it")
        opening = open_round(announce, present, signed, terms)
        if len(present) < terms.fewest(len(opening.seats), len(present)):
            raise RefusedError("enough agents for the plan", f"{len(present)}")
        return opening

    def _lack(self, opening: Opening, lacking: frozenset[int]) -> list[Send]:
        """Say whose hellos are not here: the next announce carries them. No window is spent."""
        announce = opening.announce
        explanation = self._explain(announce)
        self._spend(announce)
        body = Boxes(b"", self._kept(), explanation, messages.pack_members(lacking), ())
        payload = self._sealed(Kind.BOXES, opening, opening.digest, messages.encode(body))
        self._move(Event.ANNOUNCE, Idle())
        return [Send(Kind.BOXES, payload)]

    def _share(
        self, opening: Opening, given: Contribution, explanation: Explanation | None, now: float
    ) -> list[Send]:
        code, announce = opening.code, opening.announce
        self._memory = None
        try:
            if isinstance(code, ProvenCode):
                secret = code.secret(given)
                self._memory = Memory(opening, secret)
                shares = code.shares(secret)
            else:
                shares = code.shares(given)
        except ValueError as error:
            raise RefusedError("a contribution that fits the site", str(error)) from error
        declared = self._terms.layout.pack_declared(given.declared)
        plain, size = field.to_bytes(shares.reshape(-1)), 4 * code.share_length
        parts = (
            (self._names[number], opening.marks[number], plain[at * size : (at + 1) * size])
            for number, at in opening.seats.items()
            if number != self._me
        )
        boxes = self._session.seal_boxes(
            parts, announce.round_id, epoch=announce.session, bound=opening.digest + declared
        )
        seat, own = opening.seats.get(self._me), None
        if seat is not None:
            boxes.insert(seat, b"")
            own = plain[seat * size : (seat + 1) * size].tobytes()
        body = Boxes(declared, self._kept(), explanation, b"", tuple(boxes))
        payload = self._sealed(Kind.BOXES, opening, opening.digest, messages.encode(body))
        deadline = now + self._terms.round_s
        self._move(Event.ANNOUNCE, Shared(opening, own, declared, deadline))
        return [Send(Kind.BOXES, payload)]

    def _sealed(self, kind: Kind, opening: Opening, bound: bytes, plain: bytes) -> bytes:
        announce = opening.announce
        return bytes(
            self._session.seal(
                self._gateway,
                announce.session,
                kind,
                announce.round_id,
                epoch=announce.session,
                bound=bound,
                plain=plain,
            )
        )

    def _explain(self, announce: Announce) -> Explanation | None:
        """Explain the last contribution, if the announce asks for it under its own ρ."""
        asked = next((one for one in announce.asked if one.agent == self._me), None)
        if asked is None:
            return None
        if self._explained is not None and self._explained[0] == asked:
            return self._explained[1]
        memory = self._memory
        if memory is None or not isinstance(memory.opening.code, ProvenCode):
            return None
        opening, code = memory.opening, memory.opening.code
        # by whatever key the gateway speaks now: only ρ tells which contribution is meant
        of = opening.announce
        if (of.round_id, of.commitment) != (asked.round_id, commitment(asked.rho)):
            return None
        under = challenge(self._terms.layout, opening.digest, asked.rho)
        coefficients = field.to_bytes(code.explain(memory.secret, under)).tobytes()
        explanation = Explanation(asked.round_id, coefficients)
        self._explained = asked, explanation
        return explanation

    # -- deliver and answer ----------------------------------------------------------------------

    def _on_deliver(self, sealed: Sealed) -> list[Send]:
        state = self.state
        if (sealed.kind, sealed.sender) != (Kind.DELIVER, self._gateway):
            raise RefusedError(f"DELIVER by {self._gateway}", f"{sealed.kind.name}")
        if isinstance(state, Idle) or sealed.round_id != state.opening.announce.round_id:
            raise LateError(f"a delivery of round {sealed.round_id}, which is not running")
        opening = state.opening
        if self._me not in opening.seats:
            raise RefusedError("a delivery for holders", "one for us")
        session = opening.announce.session
        plain = self._session.open(sealed, session, epoch=session, bound=opening.digest)
        delivery = messages.decode(plain, Delivery)
        said = Delivered(sealed.round_id, opening.digest, delivery.members, delivery.declared)
        signed = self._verified(said, delivery.signature)
        delivered = messages.digest(said)
        if isinstance(state, Answered):
            if delivered != state.delivered:
                raise EquivocationError(
                    f"the gateway delivered two sets for round {sealed.round_id}",
                    (state.signed, signed),
                )
            return [Send(Kind.ANSWER, state.answer)]
        answer = self._answer(state, delivery)
        payload = self._sealed(Kind.ANSWER, opening, delivered, messages.encode(answer))
        answered = Answered(opening, delivered, signed, payload, state.deadline)
        self._move(Event.DELIVER, answered)
        return [Send(Kind.ANSWER, payload)]

    def _verified(self, said: Delivered, signature: bytes) -> bytes:
        """Check the gateway's signature on a set; return both in an envelope, for evidence."""
        body, roster = messages.encode(said), self._session.roster
        over = signed_bytes(roster.site, Kind.DELIVER, self._gateway, body)
        verify(roster.public_keys[self._gateway], over, signature)
        return messages.encode(Signed(VERSION, Kind.DELIVER, self._gateway, body, signature))

    def _answer(self, state: Shared, delivery: Delivery) -> Answer:
        opening, terms = state.opening, self._terms
        members = sorted(messages.unpack_members(delivery.members, terms.plan.agents))
        if not opening.present.issuperset(members) or self._me not in members:
            raise RefusedError("a set of those present, with this agent", f"{members}")
        least = terms.fewest(len(opening.seats), len(opening.present))
        if len(members) < least:
            raise RefusedError(f"a set of at least {least}", f"one of {len(members)}")
        if commitment(delivery.rho) != opening.announce.commitment:
            raise RefusedError("the ρ of the announce", "another one")
        declared = terms.layout.unpack_all_declared(delivery.declared, len(members))
        begin = members.index(self._me) * len(state.declared)
        if not delivery.declared.startswith(state.declared, begin):
            raise RefusedError("what this agent declared", "something else")
        if len(delivery.boxes) != len(members) or state.own is None:
            raise RefusedError(f"{len(members)} boxes", f"{len(delivery.boxes)}")
        boxes = dict(zip(members, delivery.boxes, strict=True))
        said = delivery.declared
        shares, unopened = open_boxes(self._session, opening, boxes, said, {self._me: state.own})
        code, reports, sums = opening.code, b"", b""
        if isinstance(code, ProvenCode):
            shares = code.counted(shares, declared)
            under = challenge(terms.layout, opening.digest, delivery.rho)
            table = code.reports(shares, declared, under)
            table[[members.index(n) for n in {self._me, *unopened}]] = 0
            reports = field.to_bytes(table.reshape(-1)).tobytes()
        if not unopened:
            opened = code.answer(shares, declared, terms.minimum)
            sums = field.to_bytes(opened).tobytes()
        return Answer(messages.pack_members(unopened), reports, sums)

    # -- result ----------------------------------------------------------------------------------

    def _on_result(self, result: Result) -> list[Send]:
        state = self.state
        if isinstance(state, Idle) or result.announce != state.opening.digest:
            raise LateError(f"the result of round {result.round_id}, which is not running")
        excluded = messages.unpack_members(result.excluded, self._terms.plan.agents)
        unheard = isinstance(state, Shared) and self._me in state.opening.seats
        self.excluded = self._me in excluded
        if not result.reason:
            self._memory = None  # nothing is left to explain
        self._move(Event.RESULT, Idle())
        if result.reason or unheard:
            # A broker that repeated a former hello of ours makes others seal for a session that
            # has ended; the present one once more ends that.
            return [Send(Kind.KEY, self._session.hello)]
        return []
