"""Contributions that nobody could prove, until their owners explain them.

A gateway asks for an explanation in its announces; an agent's boxes count again with it. An agent
that has ended its process instead cannot explain any more, and sits out for a while (`blame`). A
new key alone is no sign of that: a broker can make an agent take one.
"""

import secrets
from collections.abc import Iterable, Mapping

from protoledger.protocol.code.field import Symbols
from protoledger.protocol.rounds.blame import Blame
from protoledger.protocol.rounds.collecting import settle
from protoledger.protocol.rounds.states import Debt, Opened, Opening
from protoledger.protocol.wire.messages import MOST_ASKED, Asked, Explanation


class Debts:
    """Who owes an explanation.

    Args:
        blame: what explanations show goes there.
    """

    def __init__(self, blame: Blame) -> None:
        self._blame = blame
        self._owed: dict[int, Debt] = {}

    def __bool__(self) -> bool:
        return bool(self._owed)

    @property
    def owners(self) -> frozenset[int]:
        """Numbers of the agents."""
        return frozenset(self._owed)

    def note(self, state: Opened, unproven: Mapping[int, Mapping[int, Symbols]]) -> None:
        """Take note of a round's unproven contributions: reports by position, by number.

        An announce has room for `MOST_ASKED`. Where lying holders spoil more, as many by chance
        are enough to name them; the others, and the oldest debts, are forgiven.
        """
        opening = state.opening
        holders = {position: number for number, position in opening.seats.items()}
        numbers = list(unproven)
        secrets.SystemRandom().shuffle(numbers)
        for number in numbers[:MOST_ASKED]:
            reports = unproven[number]
            asked = Asked(number, opening.announce.round_id, state.rho)
            mark, digest = opening.marks[number], opening.digest
            self._owed[number] = Debt(asked, mark, digest, holders, opening.code, reports)
        while len(self._owed) > MOST_ASKED:
            del self._owed[next(iter(self._owed))]

    def asked(self, present: Iterable[int]) -> tuple[Asked, ...]:
        """Return what an announce asks of those present."""
        return tuple(self._owed[n].asked for n in sorted(self._owed.keys() & set(present)))

    def take(self, number: int, given: Explanation | None, opening: Opening) -> bool:
        """Take what an agent's boxes explain; returns whether its boxes count.

        Raises:
            RefusedError: if it owes an explanation and gives none.
            DecodeError: if it is malformed.
        """
        debt = self._owed.get(number)
        if debt is None:
            return True
        if given is None and opening.marks[number] != debt.mark:
            # another process of it, or one that is asked under a key that it has not any more
            del self._owed[number]
            self._blame.suspend(number, opening.announce.round_id)
            return False
        off = settle(debt, given)
        del self._owed[number]
        for position in sorted(off):
            self._blame.edge(number, debt.holders[position], debt.asked.round_id)
        return number not in self._blame.excluded
