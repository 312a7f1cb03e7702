"""The gateway's side of a round, as a state machine without I/O.

    Waiting ── start ──▶ Collecting ── all boxes, or deadline ──▶ Opened ── answers ──▶ Waiting

`states.GATEWAY_TRANSITIONS` is the table. Whose boxes are complete when collecting closes is the
set; only then does ρ leave this process. `closing` decides what answers amount to.
"""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from protoledger.protocol.errors import FloodError, LateError, RefusedError
from protoledger.protocol.proofs.challenge import RHO_BYTES, commitment
from protoledger.protocol.rounds.blame import Blame, choose_holders
from protoledger.protocol.rounds.blinding import first_centre, next_centre, with_centres
from protoledger.protocol.rounds.closing import Closing, close, read_answer, summed
from protoledger.protocol.rounds.collecting import check_boxes, read_lacking
from protoledger.protocol.rounds.debts import Debts
from protoledger.protocol.rounds.delivering import Deliveries
from protoledger.protocol.rounds.opening import open_round
from protoledger.protocol.rounds.relaying import Relays
from protoledger.protocol.rounds.states import (
    GATEWAY_TRANSITIONS,
    Collecting,
    Completed,
    Event,
    Failed,
    GatewayState,
    Given,
    Opened,
    Opening,
    Outcome,
    Send,
    Step,
    Waiting,
)
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import (
    Announce,
    Answer,
    Boxes,
    Kept,
    Kind,
    Payload,
    Result,
    Sealed,
)
from protoledger.protocol.wire.sealing import Session
from protoledger.protocol.wire.terms import Terms

MESSAGES_A_ROUND = 8
"""An honest agent sends two; more than so many are dropped unread."""


class GatewayRounds:
    """All rounds of one gateway, one after the other.

    Args:
        session: this process's keys.
        terms: what the site agreed on.
        centre: what values are clipped around first, where privacy clips them.
    """

    def __init__(self, session: Session, terms: Terms, centre: tuple[int, ...] = ()) -> None:
        self.state: GatewayState = Waiting()
        self.online: set[int] = set()
        self.kept: dict[int, Kept] = {}
        self.blame = Blame(terms.plan.collusion)
        self._ended = 0
        self._session = session
        self._terms = terms
        self._numbers = session.roster.positions
        self._names = [member.id for member in session.roster.agents]
        self._debts = Debts(self.blame)
        self._relays = Relays()
        self._counts: dict[int, int] = {}
        self.centre = first_centre(terms, centre)

    @property
    def deadline(self) -> float | None:
        """When `expire` is due, on the caller's monotonic clock."""
        return None if isinstance(self.state, Waiting) else self.state.deadline

    @property
    def reachable(self) -> frozenset[int]:
        """Numbers of the agents that are online, have said hello and may take part."""
        there = {n for n in self.online if self._session.newest(self._names[n]) is not None}
        able = frozenset(there - self.blame.barred(self._ended + 1))
        # a suspension is counted in rounds: where it leaves too few for one, it would never end
        for number in self.blame.suspended(self._ended + 1):
            if self._suffice(able):
                break
            able |= {number} & there - self.blame.excluded
        return able

    @property
    def ready(self) -> bool:
        """Whether enough agents are reachable for a round to succeed."""
        return self._suffice(self.reachable)

    def _suffice(self, present: frozenset[int]) -> bool:
        holders = self._committee(self._ended + 1, present)
        if len(holders) < self._terms.plan.least_positions:
            return False
        return len(present) >= self._terms.fewest(len(holders), len(present))

    # -- opening a round -------------------------------------------------------------------------

    def start(self, round_id: int, now: float, kept: Kept | None = None) -> Step:
        """Open a round with everyone who is reachable.

        Args:
            round_id: greater than any before.
            now: monotonic.
            kept: which windows of an outage it is for; None for live ones.

        Raises:
            RefusedError: if one is under way, or too few are reachable; ask `ready` first.
        """
        if not isinstance(self.state, Waiting) or round_id <= self._ended:
            raise RefusedError("no round under way, and a higher number", f"round {round_id}")
        self._session.epoch = self._session.mark
        newest = {n: self._session.newest(self._names[n]) for n in sorted(self.reachable)}
        marks = {n: mark for n, mark in newest.items() if mark is not None}
        present = frozenset(marks)
        rho = secrets.token_bytes(RHO_BYTES)
        announce = Announce(
            round_id=round_id,
            session=self._session.mark,
            roster=self._session.roster.digest,
            terms=self._terms.digest,
            present=messages.pack_members(present),
            marks=b"".join(marks.values()),
            holders=self._committee(round_id, present),
            commitment=commitment(rho),
            kept=kept,
            asked=self._debts.asked(present),
            hellos=self._relays.hellos(self._session, marks),
        )
        announce = with_centres(self._session, announce, marks, self.centre)
        signed = self._session.sign(Kind.ANNOUNCE, announce)
        opening = open_round(announce, present, signed, self._terms, self.centre)
        least = self._terms.fewest(len(opening.seats), len(present))
        if len(present) < least:
            raise RefusedError(f"{least} agents", f"{len(present)}")
        self._relays.sent(opening.marks, opening.hellos)
        self._session.pin(opening.marks.values())
        deadline = now + self._terms.share_ms / 1000
        self._counts, self.kept = {}, {}
        empty: Mapping[int, Boxes] = MappingProxyType({})
        self._move(Event.START, Collecting(opening, rho, now, deadline, empty, present))
        return Step([Send(Kind.ANNOUNCE, signed)])

    def _committee(self, round_id: int, present: frozenset[int]) -> tuple[int, ...]:
        return choose_holders(self._terms.plan, self.blame, round_id, present)

    def _move(self, event: Event, state: GatewayState) -> None:
        allowed = GATEWAY_TRANSITIONS[type(self.state), event]
        if not isinstance(state, allowed):  # pragma: no cover - the table is the specification
            raise TypeError(f"{event.name} leads from {self.state} to {state}")
        self.state = state

    # -- events ----------------------------------------------------------------------------------

    def handle(self, kind: Kind, sender: str, payload: Payload, now: float) -> Step:
        """Take one message.

        Raises:
            LateError: if it is of a round that is over.
            FloodError: if its sender has sent too many.
            ProtocolError: if it is malformed, forged, or not allowed now; nothing has changed.
        """
        number = self._numbers.get(sender)
        if number is None:
            raise RefusedError("a message of an agent of the roster", f"one from {sender}")
        if kind is Kind.KEY:
            self._session.heard(sender, payload, now)
            return Step([])
        self._count(number, sender)
        if len(payload) > self._terms.message_bytes:
            raise RefusedError(f"at most {self._terms.message_bytes} bytes", str(len(payload)))
        sealed = messages.decode(payload, Sealed)
        if sealed.sender != sender or sealed.kind is not kind:
            raise RefusedError(f"{kind.name} by {sender}", f"{sealed.kind.name} by {sealed.sender}")
        if sealed.round_id <= self._ended:
            raise LateError(f"{kind.name} of round {sealed.round_id}, which is over")
        match self.state, kind:
            case Collecting() as state, Kind.BOXES:
                self._check_round(state.opening, sealed)
                return self._on_boxes(state, number, sealed, now)
            case Opened(), Kind.BOXES:
                raise LateError(f"boxes of round {sealed.round_id} after its set was fixed")
            case Opened() as state, Kind.ANSWER:
                self._check_round(state.opening, sealed)
                return self._on_answer(state, number, sealed, now)
            case _:
                raise RefusedError(f"what {type(self.state).__name__} takes", kind.name)

    def _count(self, number: int, sender: str) -> None:
        self._counts[number] = self._counts.get(number, 0) + 1
        if self._counts[number] > MESSAGES_A_ROUND:
            raise FloodError(f"{sender} sends more than a round needs", sender)

    def presence(self, peer: str, *, online: bool, now: float) -> Step:
        """Take the broker's word on who is there: only a hint on whom to wait for."""
        number = self._numbers.get(peer)
        if number is None:
            return Step([])
        if online:
            self.online.add(number)
            return Step([])
        self.online.discard(number)
        if isinstance(state := self.state, Collecting) and number in state.awaited:
            return self._collected(state, state.boxes, {number}, now)
        position = state.opening.seats.get(number) if isinstance(state, Opened) else None
        if isinstance(state, Opened) and position in state.awaited:
            return self._answered(state, state.answers, state.awaited - {position}, now)
        return Step([])

    def expire(self, now: float) -> Step:
        """Act on a deadline that has passed."""
        state = self.state
        if isinstance(state, Waiting) or state.deadline > now:
            return Step([])
        if isinstance(state, Collecting):
            return self._deliver(state, Event.DEADLINE, now)
        return self._conclude(state, Event.DEADLINE, close(self._terms, state), now)

    def _check_round(self, opening: Opening, sealed: Sealed) -> None:
        if sealed.round_id != opening.announce.round_id:
            raise RefusedError(f"round {opening.announce.round_id}", f"round {sealed.round_id}")

    # -- boxes -----------------------------------------------------------------------------------

    def _on_boxes(self, state: Collecting, number: int, sealed: Sealed, now: float) -> Step:
        opening = state.opening
        if number not in opening.present:
            raise RefusedError("boxes of those present", f"some of {sealed.sender}")
        if number in state.boxes:
            raise RefusedError("boxes once a round", f"more from {sealed.sender}")
        epoch = opening.announce.session
        plain = self._session.open(sealed, opening.marks[number], epoch=epoch, bound=opening.digest)
        boxes = messages.decode(plain, Boxes)
        if boxes.lacking:
            return self._on_lacking(state, number, boxes, now)
        check_boxes(self._terms, opening, number, boxes)
        counts = self._debts.take(number, boxes.explanation, opening)
        if boxes.kept is not None:
            self.kept[number] = boxes.kept
        if not counts:
            return self._collected(state, state.boxes, {number}, now)
        everything = MappingProxyType({**state.boxes, number: boxes})
        return self._collected(state, everything, {number}, now)

    def _on_lacking(self, state: Collecting, number: int, boxes: Boxes, now: float) -> Step:
        """Take note of whose hellos an agent lacks: the next announce carries them."""
        lacking = read_lacking(self._terms, state.opening, number, boxes)
        self._debts.take(number, boxes.explanation, state.opening)
        self._relays.lacks(number, lacking)
        self.blame.excuse(number)
        if boxes.kept is not None:
            self.kept[number] = boxes.kept
        return self._collected(state, state.boxes, {number}, now)

    def _collected(
        self, state: Collecting, boxes: Mapping[int, Boxes], heard: set[int], now: float
    ) -> Step:
        awaited = state.awaited - heard
        opening, rho, started, deadline = state.opening, state.rho, state.started, state.deadline
        fuller = Collecting(opening, rho, started, deadline, boxes, awaited)
        if not awaited:
            return self._deliver(fuller, Event.BOXES, now)
        self._move(Event.BOXES, fuller)
        return Step([])

    def _deliver(self, state: Collecting, event: Event, now: float) -> Step:
        """Fix the set, and tell its holders ρ: from here on no boxes are taken."""
        opening = state.opening
        least = self._terms.fewest(len(opening.seats), len(opening.present))
        if len(state.boxes) < least:
            reason = f"{len(state.boxes)} agents shared, {least} are needed"
            return self._fail(state, event, reason, now)
        there = frozenset(seat for number, seat in opening.seats.items() if number in state.boxes)
        needed = self._terms.plan.needed(len(opening.seats))
        absent = opening.seats.keys() - state.boxes.keys()
        if len(there) >= needed:
            absent &= self._debts.owners  # it costs the round nothing yet, but an answer
        for number in absent if there else ():  # else it is the broker, or this gateway
            self.blame.silent(number, opening.announce.round_id)
        if len(there) < needed:
            reason = f"{len(there)} holders of positions shared, {needed} must answer"
            return self._fail(state, event, reason, now)
        out = Deliveries(self._session, opening, state.rho, state.boxes)
        sends = list(out.sends(there))
        declared = self._terms.layout.unpack_all_declared(out.declared, len(out.members))
        opened = Opened(
            opening=opening,
            rho=state.rho,
            delivered=out.digest,
            members=out.members,
            declared=declared,
            symbols=summed(self._terms, opening.code, declared),
            started=state.started,
            deadline=now + self._terms.answer_ms / 1000,
            answers=MappingProxyType({}),
            awaited=there,
        )
        self._move(event, opened)
        return Step(sends)

    # -- answers ---------------------------------------------------------------------------------

    def _on_answer(self, state: Opened, number: int, sealed: Sealed, now: float) -> Step:
        opening = state.opening
        position = opening.seats.get(number)
        if position is None or number not in state.members:
            raise RefusedError("an answer of a holder in the set", f"one of {sealed.sender}")
        if position in state.answers:
            raise LateError(f"a repeated answer of {sealed.sender}")
        mark, epoch = opening.marks[number], opening.announce.session
        plain = self._session.open(sealed, mark, epoch=epoch, bound=state.delivered)
        given = read_answer(self._terms, state, messages.decode(plain, Answer), number)
        answers = MappingProxyType({**state.answers, position: given})
        return self._answered(state, answers, state.awaited - {position}, now)

    def _answered(
        self, state: Opened, answers: Mapping[int, Given], awaited: frozenset[int], now: float
    ) -> Step:
        fuller = replace(state, answers=answers, awaited=awaited)
        needed = self._terms.plan.needed(len(state.opening.seats))
        if not awaited or len(answers) + len(awaited) < needed:
            return self._conclude(fuller, Event.ANSWER, close(self._terms, fuller), now)
        if len(answers) == needed:  # what contradicts itself now does so with more answers, too
            closing = close(self._terms, fuller)
            if closing.clean:
                return self._conclude(fuller, Event.ANSWER, closing, now)
        self._move(Event.ANSWER, fuller)
        return Step([])

    def _conclude(self, state: Opened, event: Event, closing: Closing, now: float) -> Step:
        opening, round_id = state.opening, state.opening.announce.round_id
        holders = {position: number for number, position in opening.seats.items()}
        for number, position in closing.edges:
            self.blame.edge(number, holders[position], round_id)
        for position in closing.lied:
            self.blame.lied(holders[position])
        if closing.rest:
            self.blame.rest(sorted(opening.seats), round_id)
        self._debts.note(state, closing.unproven)
        for number, position in opening.seats.items():
            if position in state.answers:
                self.blame.answered(number)
            elif closing.lacking and state.answers:
                self.blame.silent(number, round_id)
        if closing.sums is None:
            return self._fail(state, event, closing.reason, now)
        self.centre = next_centre(self._terms, self.centre, closing.sums)
        members = frozenset(state.members)
        passed = 1000 * (now - state.started)
        outcome = Completed(round_id, closing.sums, members, passed, opening.announce.kept)
        return self._end(state, event, len(members), "", outcome)

    # -- the end ---------------------------------------------------------------------------------

    def _fail(self, state: Collecting | Opened, event: Event, reason: str, now: float) -> Step:
        announce = state.opening.announce
        passed = 1000 * (now - state.started)
        outcome = Failed(announce.round_id, reason, passed, announce.kept)
        return self._end(state, event, 0, reason, outcome)

    def _end(
        self,
        state: Collecting | Opened,
        event: Event,
        included: int,
        reason: str,
        outcome: Outcome,
    ) -> Step:
        self._move(event, Waiting())
        self._ended = state.opening.announce.round_id
        excluded = messages.pack_members(self.blame.excluded)
        result = Result(self._ended, state.opening.digest, included, excluded, reason[:256])
        send = [Send(Kind.RESULT, self._session.sign(Kind.RESULT, result))]
        if included < len(state.opening.present):
            # To whom a broker repeated a former hello of ours, we would be refused for ever.
            send.insert(0, Send(Kind.KEY, self._session.hello))
        return Step(send, outcome)
