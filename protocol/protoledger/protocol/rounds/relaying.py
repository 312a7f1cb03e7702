"""Which hellos announces carry, so that nobody depends on what the broker brings in time.

A broker gives each agent the hellos of the others, but not at the same time: one may be under way
when an announce names it, dropped by who has taken too many of its sender, or withheld. A holder
that lacks one of those present can take no part, so that one agent whose hello only some have would
stop rounds. An announce therefore carries each hello that it names for the first time, and those
that agents have said they lack.
"""

import secrets
from collections.abc import Iterable, Mapping
from itertools import chain, zip_longest
from typing import TypeVar

from protoledger.protocol.rounds.states import Opening
from protoledger.protocol.wire.messages import MOST_RELAYED
from protoledger.protocol.wire.sealing import Session

_One = TypeVar("_One")


def take_relayed(session: Session, opening: Opening, me: int) -> frozenset[int]:
    """Take the hellos that an announce carries, and keep all that it names until the next.

    Returns:
        Whose are not here though this agent needs them: a holder opens boxes of all.
    """
    session.pin(opening.marks.values())
    names = session.roster.agents
    needed = opening.present if me in opening.seats else frozenset(opening.seats)
    for number, hello in opening.hellos.items():  # this agent may hold a position next time
        session.relayed(names[number].id, hello)
    return frozenset(
        number
        for number in needed - {me}
        if not session.knows(names[number].id, opening.marks[number])
    )


class Relays:
    """What announces have carried, and what is asked for.

    Doctest:

        >>> relays = Relays()
        >>> relays.wanted({0: b"a", 1: b"b"})
        [0, 1]
        >>> relays.sent({0: b"a", 1: b"b"}, [0, 1])
        >>> relays.lacks(1, {0})
        >>> relays.wanted({0: b"a", 1: b"c"})
        [1, 0]
    """

    def __init__(self) -> None:
        self._carried: dict[int, bytes] = {}
        self._lacking: dict[int, frozenset[int]] = {}

    def lacks(self, agent: int, numbers: frozenset[int]) -> None:
        """Note that an agent lacks the hellos of others."""
        self._lacking[agent] = numbers

    def wanted(self, marks: Mapping[int, bytes]) -> list[int]:
        """Choose whose hellos the next announce carries, from the marks that it names.

        New ones first: of these no agent can make more than its own. Then one for each agent that
        lacks any, another one for each, and so on while there is room: who says that it lacks all
        of them keeps nobody from the few that it needs.
        """
        new = [number for number, mark in marks.items() if self._carried.get(number) != mark]
        there = marks.keys() - set(new)
        rows = [_shuffled(numbers & there) for numbers in _shuffled(self._lacking.values())]
        turns = chain.from_iterable(zip_longest(*rows))
        lacking = dict.fromkeys(number for number in turns if number is not None)
        return [*new, *lacking][:MOST_RELAYED]

    def hellos(self, session: Session, marks: Mapping[int, bytes]) -> tuple[bytes, ...]:
        """Return the hellos themselves."""
        names = session.roster.agents
        return tuple(session.hello_of(names[n].id, marks[n]) for n in self.wanted(marks))

    def sent(self, marks: Mapping[int, bytes], carried: Iterable[int]) -> None:
        """Note that an announce has carried the hellos of these."""
        self._carried.update({number: marks[number] for number in carried})
        self._lacking.clear()


def _shuffled(found: Iterable[_One]) -> list[_One]:
    listed = list(found)
    secrets.SystemRandom().shuffle(listed)
    return listed
