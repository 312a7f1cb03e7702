"""Which code a round has, how many must answer, and how small a set may be.

A site fixes a `Plan`; a round has its code by how many hold a position in it (ν). Not everyone
needs to: all agents contribute, and a *committee* of them holds positions, so that what a
contributor sends does not grow with the site. Any T agents may collude, so that
no committee has more than T of them.

A site of few agents has them all in its committee. This is where we leave the paper's groups: a
committee takes one step instead of a tree's, and the same rules for all.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from protoledger.protocol.code.layout import Layout
from protoledger.protocol.code.packed import PackedCode, masks
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.proofs.proven import ProvenCode, quorum

MAX_AGENTS = 1000
MAX_HOLDERS = 64
"""Positions of a committee at most; exact products hold to 127 rows."""
CANDIDATES = 128
"""Agents of a large roster that may hold a position: all others need no other agent's key."""
USUAL_COMMITTEE = 10

Validity = Literal["proven", "packed"]
Code = ProvenCode | PackedCode


def fewest(positions: int, collusion: int, present: int, depth: int) -> int:
    """Return the smallest set that a holder may answer for.

    Smaller sets are safe one at a time, but a gateway could tell each holder another one. With
    h = ν − T honest holders, d = q − T (packed: M + 1 − T) and sets that all have
    |S| − T > (present − T)·(1 − d/2h), no combination of answers tells anything beyond one set's
    sum; with 3d > 2h sets of any size do.

    Args:
        positions: ν.
        collusion: T.
        present: agents that the announce names.
        depth: d.

    >>> fewest(6, 1, 6, 3), fewest(10, 1, 10, 5), fewest(5, 1, 5, 3)
    (5, 8, 3)
    """
    honest = positions - collusion
    if 3 * depth > 2 * honest:
        return collusion + 2
    share = (present - collusion) * (2 * honest - depth) // (2 * honest)
    return max(collusion + 2, collusion + share + 1)


@dataclass(frozen=True)
class Plan:
    """What a site fixes for all rounds.

    Args:
        agents: N, the roster's length, 3 to 1000.
        collusion: T ≥ 1.
        dropouts: D ≥ 0, answers that may be missing; what the proven code really bears follows
            from ν.
        validity: which code.
        committee: most that hold a position.
        partitions: K of the packed code; None: what D and the masks leave.

    Raises:
        ConfigurationError: if they do not fit; the message names the knobs.

    >>> plan = Plan(agents=10, collusion=1, dropouts=1, validity="proven", committee=10)
    >>> plan.needed(10), plan.missing(10), plan.fewest(10, 10)
    (7, 3, 8)
    """

    agents: int
    collusion: int
    dropouts: int
    validity: Validity
    committee: int
    partitions: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the knobs."""
        if not 3 <= self.agents <= MAX_AGENTS:
            raise ConfigurationError(f"a site has 3 to {MAX_AGENTS} agents, found {self.agents}")
        if self.collusion < 1:
            raise ConfigurationError(f"collusion must be at least 1, found {self.collusion}")
        if self.dropouts < 0:
            raise ConfigurationError(f"dropouts must be at least 0, found {self.dropouts}")
        if not 3 <= self.committee <= min(self.agents, MAX_HOLDERS):
            raise ConfigurationError(
                f"a committee has 3 to {min(self.agents, MAX_HOLDERS)} positions, "
                f"found {self.committee}"
            )
        self.check(self.committee)

    def check(self, positions: int) -> None:
        """Refuse so many positions if they cannot bear the plan.

        Raises:
            ConfigurationError: naming the knobs.
        """
        if positions < self.least_positions:
            raise ConfigurationError(
                f"{positions} agents cannot bear collusion {self.collusion} with validity: "
                f"{self.validity}"
                + (f", partitions {self.partitions}" if self.partitions else "")
                + f": {self.least_positions} are needed"
            )

    @cached_property
    def least_positions(self) -> int:
        """The fewest positions of a round, none of which may be missing then."""
        if self.validity == "proven":
            return 3 * self.collusion + 1
        parts, positions = self.partitions or 1, self.collusion + 2
        while positions - self.masks(positions) < parts:
            positions += 1
        return positions

    @property
    def candidates(self) -> int:
        """The first agents of the roster, who may hold positions."""
        return min(self.agents, CANDIDATES)

    def masks(self, positions: int) -> int:
        """Return M of the packed code: enough, and one may be missing before sharing if it can."""
        count = masks(positions, self.collusion)
        while count < positions - 1 and not self._spare(positions, count):
            count += 1
        return count

    def _spare(self, positions: int, count: int) -> bool:
        depth = count + 1 - self.collusion
        return fewest(positions, self.collusion, positions, depth) < positions

    def parts(self, positions: int) -> int:
        """Return K of the packed code: at least 1, whatever D; then fewer may be missing."""
        most = positions - self.masks(positions)
        return self.partitions or max(1, most - self.dropouts)

    def quorum(self, positions: int) -> int:
        """Return the answers that open a sum: q, or K + M."""
        if self.validity == "proven":
            return quorum(positions, self.collusion)
        return self.parts(positions) + self.masks(positions)

    def needed(self, positions: int) -> int:
        """Return the answers that the gateway waits for: T liars must not make up a sum."""
        return self.quorum(positions) + (self.collusion if self.validity == "proven" else 0)

    def missing(self, positions: int) -> int:
        """Return how many answers may really be missing."""
        return positions - self.needed(positions)

    def corrects(self, positions: int) -> bool:
        """Whether T liars are outvoted and named with `dropouts` missing: ν ≥ 5T + 1 + 2D."""
        spare = positions - self.quorum(positions) - self.dropouts
        return self.validity == "proven" and spare >= 2 * self.collusion

    def fewest(self, positions: int, present: int) -> int:
        """Return the smallest set that a holder may answer for; see `fewest`."""
        if self.validity == "proven":
            depth = quorum(positions, self.collusion) - self.collusion
        else:
            depth = self.masks(positions) + 1 - self.collusion
        return fewest(positions, self.collusion, present, depth)

    def code(self, layout: Layout, positions: int) -> Code:
        """Return the code of a round with so many positions.

        Raises:
            ConfigurationError: if these are too few.
        """
        self.check(positions)
        if self.validity == "proven":
            return ProvenCode(layout, positions, self.collusion)
        return PackedCode(layout, positions, self.parts(positions), self.masks(positions))


def default_collusion(agents: int) -> int:
    """Return T for a site that does not say: what a site of this size can bear and correct.

    >>> [default_collusion(n) for n in (3, 10, 20, 100)]
    [1, 1, 2, 3]
    """
    return 1 + (agents >= 20) + (agents >= 50)


def choose_validity(agents: int, collusion: int, dropouts: int) -> Validity:
    """Return the proven code where it bears T liars and D missing: N ≥ 3T + 1 + 2D.

    >>> choose_validity(5, 1, 1), choose_validity(6, 1, 1)
    ('packed', 'proven')
    """
    return "proven" if agents >= 3 * collusion + 1 + 2 * dropouts else "packed"


def choose_committee(agents: int, collusion: int, dropouts: int, validity: Validity) -> int:
    """Return how many hold positions: enough to outvote T liars; all for the packed code."""
    if validity == "packed":
        return min(agents, MAX_HOLDERS)
    wanted = max(USUAL_COMMITTEE, 5 * collusion + 1 + 2 * dropouts)
    return min(agents, wanted, MAX_HOLDERS)
