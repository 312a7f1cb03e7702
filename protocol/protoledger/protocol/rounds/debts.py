"""Contributions that nobody could prove, until their owners explain them.

A gateway asks for an explanation in its announces; an agent's boxes count again with it. An agent
that ends its session instead cannot explain any more, and sits out for a while (`blame`).
"""

from collections.abc import Iterable, Mapping

from protoledger.protocol.code.field import Symbols
from protoledger.protocol.rounds.blame import Blame
from protoledger.protocol.rounds.collecting import settle
from protoledger.protocol.rounds.states import Debt, Opened
from protoledger.protocol.wire.messages import Asked, Explanation


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
        """Take note of a round's unproven contributions: reports by position, by number."""
        opening = state.opening
        holders = {position: number for number, position in opening.seats.items()}
        for number, reports in unproven.items():
            asked = Asked(number, opening.announce.round_id, state.rho)
            mark, digest = opening.marks[number], opening.digest
            self._owed[number] = Debt(asked, mark, digest, holders, opening.code, reports)

    def suspend_ended(self, round_id: int, marks: Mapping[int, bytes | None]) -> None:
        """Let those sit out whose session has ended: they cannot explain themselves now."""
        for number, debt in list(self._owed.items()):
            if number in marks and marks[number] != debt.mark:
                del self._owed[number]
                self._blame.suspend(number, round_id)

    def asked(self, present: Iterable[int]) -> tuple[Asked, ...]:
        """Return what an announce asks of those present."""
        return tuple(self._owed[n].asked for n in sorted(self._owed.keys() & set(present)))

    def take(self, number: int, given: Explanation | None) -> None:
        """Take what an agent's boxes explain.

        Raises:
            RefusedError: if it owes an explanation and gives none; its boxes do not count.
            DecodeError: if it is malformed.
        """
        debt = self._owed.get(number)
        if debt is None:
            return
        off = settle(debt, given)
        del self._owed[number]
        for position in sorted(off):
            self._blame.edge(number, debt.holders[position], debt.asked.round_id)
