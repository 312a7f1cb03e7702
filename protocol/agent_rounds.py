"""The agent's side of a round, as a state machine without I/O (DESIGN section 4).

    Idle ── announce ──▶ Sharing ── include ──▶ Answered ── result, deadline ──▶ Idle

A message comes in with the time of a monotonic clock, messages to send go out. An agent answers
one set a round, only if it holds the shares of all of it and the set is large enough, and forgets
its randomness and all shares when the round ends. What does not fit raises a `ProtocolError` that
the caller logs; the state is then unchanged.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from protocol import field as prime_field
from protocol import messages
from protocol.errors import ProtocolError, RefusedError
from protocol.field import Symbols
from protocol.messages import Announce, Include, Kind, Result, Sealed
from protocol.schema import Schema, Window
from protocol.sealing import Session
from protocol.swiftagg import Plan


@dataclass(frozen=True)
class Send:
    """A message to publish; `receiver` is set for a share alone."""

    kind: Kind
    payload: bytes = field(repr=False)
    receiver: str | None = None


@dataclass(frozen=True)
class Idle:
    """Between rounds."""


@dataclass(frozen=True)
class Sharing:
    """Shares are out; those of the others come in.

    `held` maps positions to shares, `awaited` are positions still missing.
    """

    announce: Announce
    digest: bytes
    length: int
    share_deadline: float
    round_deadline: float
    held: dict[int, Symbols] = field(repr=False)
    awaited: set[int]
    reported: bool = False


@dataclass(frozen=True)
class Answered:
    """The sum is out, and everything that could tell more is gone."""

    announce: Announce
    digest: bytes
    round_deadline: float


State = Idle | Sharing | Answered


class AgentRounds:
    """All rounds of one agent, one after the other.

    Args:
        session: this process's keys.
        schema: the site's channels and labels.
        plan: N, T and D.
        minimum_contributors: the smallest set that is answered.
        contribute: gives the windows of an announced round; called once a round, must not block.
    """

    def __init__(
        self,
        session: Session,
        schema: Schema,
        plan: Plan,
        minimum_contributors: int,
        contribute: Callable[[Announce], Window],
    ) -> None:
        self.state: State = Idle()
        self.last_round = 0
        self._session = session
        self._schema = schema
        self._plan = plan
        self._minimum = minimum_contributors
        self._contribute = contribute
        self._gateway = session.roster.gateway.id
        self._position = session.roster.positions[session.me]
        self._early: dict[str, Sealed] = {}
        self._gone: set[int] = set()

    @property
    def deadline(self) -> float | None:
        """When `expire` is due, on the caller's monotonic clock."""
        match self.state:
            case Sharing(reported=False):
                return self.state.share_deadline
            case Sharing() | Answered():
                return self.state.round_deadline
            case Idle():
                return None

    def handle(self, kind: Kind, sender: str, payload: bytes, now: float) -> list[Send]:
        """Take one message.

        Raises:
            ProtocolError: if it is malformed, forged, or not allowed now; nothing has changed.
        """
        match kind:
            case Kind.KEY:
                self._session.meet(sender, payload)
                return []
            case Kind.SHARE:
                return self._on_share(messages.decode(payload, Sealed), sender)
            case Kind.ANNOUNCE | Kind.INCLUDE | Kind.RESULT if sender == self._gateway:
                body = self._session.check(payload, kind, sender)
                if kind is Kind.ANNOUNCE:
                    return self._on_announce(body, now)
                if kind is Kind.INCLUDE:
                    return self._on_include(messages.decode(body, Include), body)
                return self._on_result(messages.decode(body, Result))
            case _:
                raise RefusedError("a message that agents read", f"{kind.name} from {sender}")

    def presence(self, peer: str, *, online: bool) -> list[Send]:
        """Take the broker's word on who is there: only a hint on whom to wait for."""
        position = self._session.roster.positions.get(peer)
        if position is None:
            return []
        if online:
            self._gone.discard(position)
            return []
        self._gone.add(position)
        if isinstance(self.state, Sharing):
            self.state.awaited.discard(position)
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

    def _on_announce(self, body: bytes, now: float) -> list[Send]:
        announce = messages.decode(body, Announce)
        self._check_announce(announce)
        digest = hashlib.sha256(body).digest()
        present = messages.unpack_members(announce.present, self._plan.agents)
        # From here on the round is spent: whatever happens, its number is never answered again.
        self.last_round = announce.round_id
        vector = self._schema.symbols(self._contribute(announce))
        if vector.size != announce.windows * self._schema.length:
            raise RefusedError(f"{announce.windows} windows", f"{vector.size} symbols")
        shares = self._plan.encode(vector)
        state = Sharing(
            announce=announce,
            digest=digest,
            length=vector.size,
            share_deadline=now + announce.share_ms / 1000,
            round_deadline=now + (announce.share_ms + announce.sum_ms) / 1000,
            held={self._position: shares[self._position]},
            awaited=set(present) - self._gone - {self._position},
        )
        self.state = state
        out = self._seal_shares(state, shares)
        early, self._early = self._early, {}
        for sealed in early.values():
            try:
                out += self._on_share(sealed, sealed.sender)
            except ProtocolError:
                continue  # of another round, or forged before we could tell: not worth the round
        # An early share may have completed it already; if all others are gone, nothing else will.
        return out + (self._report_if_complete(self.state) if self.state is state else [])

    def _check_announce(self, announce: Announce) -> None:
        roster = self._session.roster
        if announce.round_id <= self.last_round:
            raise RefusedError(f"a round after {self.last_round}", f"round {announce.round_id}")
        if announce.session != self._session.session_of(self._gateway):
            raise RefusedError("the gateway's present session", "an announce of another one")
        if announce.roster != roster.digest or announce.schema != self._schema.digest:
            raise RefusedError("this site's roster and schema", "others: update the files")

    def _seal_shares(self, state: Sharing, shares: Symbols) -> list[Send]:
        round_id = state.announce.round_id
        return [
            Send(
                Kind.SHARE,
                self._session.seal(
                    peer, Kind.SHARE, round_id, state.digest, prime_field.to_bytes(shares[position])
                ),
                receiver=peer,
            )
            for peer, position in self._session.roster.positions.items()
            if position != self._position and self._session.knows(peer)
        ]

    def _on_share(self, sealed: Sealed, sender: str) -> list[Send]:
        position = self._session.roster.positions.get(sender)
        if sealed.kind is not Kind.SHARE or sealed.sender != sender or position is None:
            raise RefusedError(f"a share by {sender}", f"{sealed.kind.name} by {sealed.sender}")
        if sealed.round_id > self.last_round:
            # The broker may hand on a share before the announce; one a sender is kept.
            self._early[sender] = sealed
            return []
        state = self.state
        if not isinstance(state, Sharing) or sealed.round_id != state.announce.round_id:
            raise RefusedError("a share of the running round", f"round {sealed.round_id}")
        if position in state.held:
            raise RefusedError("one share a sender", f"another one from {sender}")
        if state.reported:
            raise RefusedError("shares before the report", f"a late one from {sender}")
        plain = self._session.open(sealed, state.digest)
        share = prime_field.from_bytes(plain, self._plan.share_length(state.length))
        state.held[position] = share
        state.awaited.discard(position)
        return self._report_if_complete(state)

    def _report_if_complete(self, state: Sharing) -> list[Send]:
        return [] if state.awaited or state.reported else self._report(state)

    def _report(self, state: Sharing) -> list[Send]:
        members = messages.pack_members(set(state.held))
        round_id = state.announce.round_id
        self.state = Sharing(**{**vars(state), "reported": True})
        sealed = self._session.seal(self._gateway, Kind.RECEIVED, round_id, state.digest, members)
        return [Send(Kind.RECEIVED, sealed)]

    def _on_include(self, include: Include, body: bytes) -> list[Send]:
        state = self.state
        if not isinstance(state, Sharing) or include.round_id != state.announce.round_id:
            raise RefusedError("an include of a round that waits for it", f"{include.round_id}")
        if include.announce != state.digest:
            raise RefusedError("the set of the announced round", "the set of another announce")
        members = messages.unpack_members(include.members, self._plan.agents)
        if len(members) < self._minimum:
            raise RefusedError(f"a set of at least {self._minimum}", f"one of {len(members)}")
        if missing := members - set(state.held):
            raise RefusedError("a set whose shares are here", f"without {sorted(missing)}")
        total = prime_field.add(np.stack([state.held[position] for position in sorted(members)]))
        digest = hashlib.sha256(body).digest()
        self.state = Answered(state.announce, state.digest, state.round_deadline)
        plain = prime_field.to_bytes(total)
        sealed = self._session.seal(self._gateway, Kind.SUM, include.round_id, digest, plain)
        return [Send(Kind.SUM, sealed)]

    def _on_result(self, result: Result) -> list[Send]:
        state = self.state
        if isinstance(state, Idle) or result.announce != state.digest:
            raise RefusedError("the result of the running round", f"round {result.round_id}")
        self.state = Idle()
        return []
