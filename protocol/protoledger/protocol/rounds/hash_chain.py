"""What a gateway foresees, signed once: a hash chain instead of a signature for each statement.

In a quiet site the gateway says the same three things round after round: this round opens with the
same agents, all of them are included, it completed. One signed announce commits to all of these by
the end of a chain of SHA-256 preimages (as in S/KEY and TESLA). To say the next thing is to reveal
the preimage one step back; to check it is to hash. Whoever has the announce can prove what was
said, as with a signature, for nobody but the gateway knew the preimage.

Only foreseen statements can be made so. Whatever else there is to say (other agents, a smaller set,
a failure) is signed, and ends the course: nothing more of it is ever revealed, and the next
announce begins a new one. Revealing a step reveals all before it; they were said already, as the
steps are in the order of the rounds.
"""

import hashlib
import secrets
from dataclasses import dataclass
from functools import cached_property

import msgspec

from protoledger.protocol.errors import AuthenticationError, RefusedError
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import VERSION, Announce, Include, Kind, Result, Revealed

ROUNDS = 32
"""Rounds that one signature may open: what it costs is then little beside them."""
STEPS = 3 * ROUNDS - 1
_DOMAIN = b"protoledger course v1\0"
_PLACES = {Kind.ANNOUNCE: 0, Kind.INCLUDE: 1, Kind.RESULT: 2}

Statement = Announce | Include | Result
STATEMENTS: dict[Kind, type[Statement]] = {
    Kind.ANNOUNCE: Announce,
    Kind.INCLUDE: Include,
    Kind.RESULT: Result,
}


@dataclass(frozen=True)
class Course:
    """The statements that follow from one signed announce, by their steps.

    Step 1 includes everyone in its round, 2 is its result, 3 opens the next round, and so on.

    Attributes:
        first: that announce.
    """

    first: Announce

    def step(self, kind: Kind, round_id: int) -> int:
        """Return the step of a statement; below 1 or above `STEPS` it is none of the course."""
        return 3 * (round_id - self.first.round_id) + _PLACES[kind]

    def statement(self, kind: Kind, round_id: int) -> Statement:
        """Return what is foreseen for a round."""
        first = self.first
        announce = msgspec.structs.replace(first, round_id=round_id)
        if kind is Kind.ANNOUNCE:
            return announce
        digest = messages.digest(announce)
        if kind is Kind.INCLUDE:
            return Include(round_id, digest, first.present)
        everyone = int.from_bytes(first.present, "little").bit_count()
        return Result(round_id, digest, everyone, "")

    @cached_property
    def _context(self) -> bytes:
        return _DOMAIN + self.first.session + self.first.round_id.to_bytes(8, "big")

    def before(self, step: int, preimage: bytes) -> bytes:
        """Hash the preimage of a step to that of the step before it; that of 0 is public."""
        return hashlib.sha256(self._context + step.to_bytes(4, "big") + preimage).digest()


class Followed:
    """A course as an agent follows it.

    Args:
        course: of an announce whose signature holds.
    """

    def __init__(self, course: Course) -> None:
        self.course = course
        self._step = 0
        self._preimage = course.first.course

    def check(self, said: Revealed) -> Statement:
        """Return what a preimage says; `advance` once it has been acted upon.

        Raises:
            RefusedError: if it is not ahead, or beyond the end.
            AuthenticationError: if it does not lead back to the signed end of the chain.
        """
        step = self.course.step(said.kind, said.round_id)
        if not self._step < step <= STEPS:
            raise RefusedError(
                f"a step of the course from {self._step + 1} to {STEPS}",
                f"step {step}, {said.kind.name} of round {said.round_id}",
            )
        preimage = said.preimage
        for number in range(step, self._step, -1):
            preimage = self.course.before(number, preimage)
        if preimage != self._preimage:
            raise AuthenticationError(
                f"{said.kind.name} of round {said.round_id}: the preimage is not the gateway's"
            )
        return self.course.statement(said.kind, said.round_id)

    def advance(self, said: Revealed) -> None:
        """Refuse what is not after this from now on."""
        self._step = self.course.step(said.kind, said.round_id)
        self._preimage = said.preimage


class Led:
    """A course as the gateway leads it; it knows all preimages, and never prints them.

    Args:
        first: the announce to sign; its `course` is replaced by the end of a new chain.
    """

    def __init__(self, first: Announce) -> None:
        course = Course(first)
        chain = [secrets.token_bytes(32)]
        for step in range(STEPS, 0, -1):
            chain.append(course.before(step, chain[-1]))
        self._preimages = chain[::-1]
        self.course = Course(msgspec.structs.replace(first, course=chain[-1]))

    def foresees(self, kind: Kind, statement: Statement) -> bool:
        """Whether a statement can be made by revealing a preimage."""
        round_id = statement.round_id
        step = self.course.step(kind, round_id)
        return 0 < step <= STEPS and self.course.statement(kind, round_id) == statement

    def reveal(self, kind: Kind, round_id: int) -> bytes:
        """Return the message that says what is foreseen."""
        preimage = self._preimages[self.course.step(kind, round_id)]
        return messages.encode(Revealed(VERSION, kind, round_id, preimage))
