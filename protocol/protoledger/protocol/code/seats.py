"""Who holds which position: groups, and the tree that joins them (arXiv 2203.13060, section IV).

The paper puts N agents in groups of exactly ν and hands partial sums from group to group, position
by position, in a chain. We differ in three things, none of which touches what a view contains,
namely values at the holder's own point and nowhere else:

- Groups are joined in a binary tree, so that the way to the gateway has ⌈log₂ groups⌉ steps.
- No group is short. With more than one group each has at least ν + D members; those beyond the ν
  that hold positions share like all others, hold nothing, and cost nothing when they drop out.
- A round's positions go to the members that the announce calls present, in the roster's order. So
  an agent that is away for a week takes no position with it; D counts those who vanish while a
  round runs. In a site of one group K follows from how many are present, as N − T − D.

Everything here is a function of the announce, which every share and sum is bound to: parties that
were told different ones cannot read each other.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

from protoledger.protocol.code.shares import Code
from protoledger.protocol.errors import ConfigurationError

MAX_AGENTS = 1000


@dataclass(frozen=True)
class Plan:
    """What a site fixes for all rounds.

    Args:
        agents: N, the roster's length, 2 to 1000.
        collusion: T ≥ 1.
        dropouts: D ≥ 0.
        partitions: K ≥ 1; None for one group of all.

    Raises:
        ConfigurationError: if they do not fit; the message names the knobs.

    >>> plan = Plan(agents=20, collusion=1, dropouts=1, partitions=3)
    >>> plan.groups, [len(plan.members(group)) for group in range(plan.groups)]
    (3, [7, 7, 6])
    """

    agents: int
    collusion: int
    dropouts: int
    partitions: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the knobs."""
        if not 2 <= self.agents <= MAX_AGENTS:
            raise ConfigurationError(f"a site has 2 to {MAX_AGENTS} agents, found {self.agents}")
        self.code(self.agents)

    def code(self, present: int) -> Code:
        """Return the code of a round with so many agents present.

        Raises:
            ConfigurationError: if these are too few.
        """
        least = self.partitions or self.dropouts + 1
        fewest = least + self.collusion + self.dropouts
        if present < fewest:
            raise ConfigurationError(
                f"{present} agents cannot bear collusion {self.collusion}, dropouts "
                f"{self.dropouts} and {least} partition(s): {fewest} are needed"
            )
        parts = self.partitions or present - self.collusion - self.dropouts
        return Code(parts, self.collusion, self.dropouts)

    @property
    def groups(self) -> int:
        """How many groups the roster makes."""
        if self.partitions is None:
            return 1
        positions = self.partitions + self.collusion + self.dropouts
        return max(1, self.agents // (positions + self.dropouts))

    def group_of(self, agent: int) -> int:
        """Return the group of the agent with this number in the roster."""
        return agent % self.groups

    def members(self, group: int) -> range:
        """Return the numbers of a group's agents."""
        return range(group, self.agents, self.groups)

    def parent(self, group: int) -> int | None:
        """Return the group that takes this one's partial sums; None: the gateway does."""
        return (group - 1) // 2 if group else None

    def children(self, group: int) -> list[int]:
        """Return the groups whose partial sums this one takes."""
        return [child for child in (2 * group + 1, 2 * group + 2) if child < self.groups]

    def neighbours(self, agent: int) -> list[int]:
        """Return whose keys an agent may need: its group's, its parent's and its children's."""
        group = self.group_of(agent)
        near = [group, *self.children(group)]
        if (parent := self.parent(group)) is not None:
            near.append(parent)
        return sorted(member for one in near for member in self.members(one) if member != agent)


@dataclass(frozen=True)
class Seating:
    """The positions of one round.

    Args:
        plan: of the site.
        present: numbers of the agents that the announce calls present.

    Raises:
        ConfigurationError: if these are too few for the plan.

    >>> seats = Seating(Plan(5, 1, 1), frozenset({0, 2, 3, 4}))
    >>> seats.position(3), seats.holder(0, 0), seats.position(1)
    (2, 0, None)
    """

    plan: Plan
    present: frozenset[int]

    def __post_init__(self) -> None:
        """Refuse too few."""
        _ = self.code

    @cached_property
    def code(self) -> Code:
        """The code that follows from how many are present."""
        return self.plan.code(len(self.present))

    @cached_property
    def _holders(self) -> list[list[int]]:
        return [
            [member for member in self.plan.members(group) if member in self.present][
                : self.code.positions
            ]
            for group in range(self.plan.groups)
        ]

    @cached_property
    def _positions(self) -> dict[int, int]:
        return {agent: j for holders in self._holders for j, agent in enumerate(holders)}

    def position(self, agent: int) -> int | None:
        """Return the position that an agent holds in its group, if any."""
        return self._positions.get(agent)

    def holder(self, group: int, position: int) -> int | None:
        """Return who holds a position of a group, if anybody."""
        holders = self._holders[group]
        return holders[position] if position < len(holders) else None

    @cached_property
    def holders(self) -> frozenset[int]:
        """Everyone who holds a position."""
        return frozenset(self._positions)

    @cached_property
    def whole_positions(self) -> frozenset[int]:
        """Positions that are held in every group: the only ones whose sum can reach the gateway."""
        return frozenset(range(min(len(holders) for holders in self._holders)))

    @property
    def sufficient(self) -> bool:
        """Whether as many positions are held in every group as a quorum needs."""
        return len(self.whole_positions) >= self.code.quorum


@lru_cache(maxsize=64)
def seating(plan: Plan, present: frozenset[int]) -> Seating:
    """Return the seating, made once while the same agents are present.

    Raises:
        ConfigurationError: if these are too few for the plan.
    """
    return Seating(plan, present)
