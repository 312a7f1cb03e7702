"""Who contradicts whom, over the rounds: how liars are named without shutting out the honest.

A report that is not what a contributor explains itself by, or a box that a holder cannot open, is
an *edge* between the two: one of them lies, and nobody can tell which. But an honest agent
contradicts only liars, at most T of them. So an agent with more than T distinct neighbours is a
proven liar: it is excluded, its edges are deleted, and there is one liar less to come.

Below that, the holder loses its position, and from the second edge of the same pair on both do, for
a time that doubles each time; both go on contributing. To exclude the contributor instead would let
one lying holder put all honest ones out, one after the other.
"""

from collections.abc import Iterable

from protoledger.protocol.plans import Plan

FIRST_ROUNDS = 8
MOST_SILENT_ROUNDS = 64


class Blame:
    """The edges of a site, as its gateway knows them; forgotten with the process.

    Args:
        collusion: T.

    Doctest:

        >>> blame = Blame(collusion=1)
        >>> blame.edge(contributor=3, holder=0, round_id=1)
        >>> sorted(blame.unseated(2)), sorted(blame.excluded)
        ([0], [])
        >>> blame.edge(contributor=4, holder=0, round_id=10)
        >>> sorted(blame.unseated(11)), sorted(blame.excluded)
        ([], [0])
    """

    def __init__(self, collusion: int) -> None:
        self.excluded: set[int] = set()
        self._liars_left = collusion
        self._edges: set[tuple[int, int]] = set()
        self._times: dict[tuple[int, int], int] = {}
        self._until: dict[int, int] = {}
        self._rests: dict[int, int] = {}
        self._silent: dict[int, int] = {}
        self._excused: set[int] = set()
        self._pardoned: dict[int, int] = {}
        self._suspended: dict[int, int] = {}
        self._suspensions: dict[int, int] = {}

    def edge(self, contributor: int, holder: int, round_id: int) -> None:
        """Note that a contributor and a holder contradict each other in a round."""
        if self.excluded & {contributor, holder}:
            return
        pair = contributor, holder
        self._edges.add(pair)
        # once all T are found, an edge cannot be; one alone then shuts nobody out
        most = max(1, self._liars_left)
        proven = [a for a in pair if len(self._neighbours(a)) > most]
        if proven:
            # both can be beyond T only if both lie
            for agent in proven:
                self._exclude(agent)
            return
        self._times[pair] = self._times.get(pair, 0) + 1
        until = round_id + FIRST_ROUNDS * 2 ** (self._times[pair] - 1)
        # from the second time on both: else a lying contributor keeps its own, without its victim
        for agent in pair if self._times[pair] > 1 else (holder,):
            self._until[agent] = max(self._until.get(agent, 0), until)

    def _neighbours(self, agent: int) -> set[int]:
        return {other for pair in self._edges if agent in pair for other in pair if other != agent}

    def _exclude(self, agent: int) -> None:
        self.excluded.add(agent)
        self._liars_left = max(0, self._liars_left - 1)
        self._edges = {pair for pair in self._edges if agent not in pair}
        holders = {holder for _, holder in self._edges}
        kept = holders | self._silent.keys()
        self._until = {j: until for j, until in self._until.items() if j in kept}

    def lied(self, holder: int) -> None:
        """Exclude a holder whose sum was corrected away though all of its reports hold.

        Its reports show that its shares were right, and as many agree with the sum as T liars
        cannot mislead: no honest holder adds these up to anything else.
        """
        if holder not in self.excluded:
            self._exclude(holder)

    def rest(self, holders: Iterable[int], round_id: int) -> None:
        """Let one of these give its position up for a round: nobody can be named.

        The one that rested longest ago goes first, so that each liar's turn comes.
        """
        chosen = min(holders, key=lambda j: (self._rests.get(j, 0), j), default=None)
        if chosen is not None:
            self._rests[chosen] = round_id
            self._until[chosen] = max(self._until.get(chosen, 0), round_id + 1)

    def silent(self, holder: int, round_id: int) -> None:
        """Take the position of a holder whose boxes or answer a lost round was lacking.

        Whether it lies or is cut off nobody can tell; it keeps its place as a contributor.
        """
        # a liar that answers in between would else be pardoned in every second round
        pardoned = self._pardoned.get(holder, -MOST_SILENT_ROUNDS)
        if holder in self._excused and round_id >= pardoned + MOST_SILENT_ROUNDS:
            self._pardoned[holder] = round_id
            return
        times = self._silent[holder] = self._silent.get(holder, 0) + 1
        rounds = min(2**times, MOST_SILENT_ROUNDS)
        self._until[holder] = max(self._until.get(holder, 0), round_id + rounds)

    def excuse(self, holder: int) -> None:
        """Note that a holder lacks hellos: one lost round in 64 is then not its fault."""
        self._excused.add(holder)

    def answered(self, holder: int) -> None:
        """Note that a holder answers again."""
        self._silent.pop(holder, None)
        self._excused.discard(holder)

    def unseated(self, round_id: int) -> set[int]:
        """Return who holds no position in a round."""
        return {holder for holder, until in self._until.items() if until >= round_id}

    def until(self, holder: int) -> int:
        """Return the last round in which an agent holds no position; 0 if it may."""
        return self._until.get(holder, 0)

    def suspend(self, agent: int, round_id: int) -> None:
        """Leave an agent out that ended its session rather than explain its contribution."""
        times = self._suspensions[agent] = self._suspensions.get(agent, 0) + 1
        rounds = min(FIRST_ROUNDS * 2 ** (times - 1), MOST_SILENT_ROUNDS)
        self._suspended[agent] = round_id + rounds

    def suspended(self, round_id: int) -> list[int]:
        """Return who is suspended in a round, the one first that is so for the shortest time."""
        waiting = [a for a, until in self._suspended.items() if until >= round_id]
        return sorted(waiting, key=lambda agent: (self._suspended[agent], agent))

    def barred(self, round_id: int) -> set[int]:
        """Return who takes no part in a round: proven liars, and who is suspended."""
        return self.excluded.union(self.suspended(round_id))


def choose_holders(
    plan: Plan, blame: Blame, round_id: int, present: frozenset[int]
) -> tuple[int, ...]:
    """Choose who holds a position in a round: those that answer, in an order that rotates.

    Positions rotate with the rounds, so that a holder that answers wrongly only at some positions
    is found like any other.

    Args:
        plan: of the site.
        blame: who holds none for now.
        round_id: of the round.
        present: agents that may contribute.
    """
    unseated = blame.unseated(round_id)
    able = sorted(
        (n for n in present if n < plan.candidates),
        key=lambda n: (blame.until(n) if n in unseated else 0, n),
    )
    willing = [n for n in able if n not in unseated]
    chosen = sorted(willing[: plan.committee])
    if len(willing) < plan.least_positions:
        # those that get theirs back first: without a quorum there would never be another round
        chosen = sorted(able[: plan.least_positions])
    turn = round_id % max(1, len(chosen))
    return tuple(chosen[turn:] + chosen[:turn])
