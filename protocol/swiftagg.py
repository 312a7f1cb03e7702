"""SwiftAgg+: secure aggregation by Shamir sharing and MDS coding (arXiv 2203.13060, section IV).

Letters, as in the paper: N agents, of whom any T may collude with each other and the gateway
without learning more than the sum, and any D may drop out; a vector is cut in K parts; a group has
ν = K + T + D members. Agent n hides its parts W_{n,1..K} behind uniform Z_{n,1..T} in

    F_n(α) = Σ_k W_{n,k} α^{k−1} + Σ_t Z_{n,t} α^{K+t−1}

and gives F_n(α_j) to member j. Members add up what they got; the sum of the F_n is a polynomial of
the same degree whose first K coefficients are the wanted sums, and any K + T of its values give it.

We differ in two things. The points are ±1, ±2, … so that powers stay small enough for exact float64
products; zero is none of them, as F_n(0) is a part of the secret itself. And K + T > D is demanded:
then two quorums always share a member, who answers only one set, so that no two different sets of
one round can both be decoded.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from protocol import field
from protocol.errors import ConfigurationError, QuorumError
from protocol.field import Matrix, Symbols


@dataclass(frozen=True)
class Plan:
    """The parameters that all parties of a site share.

    Args:
        agents: N ≥ 2; this version has one group, so ν = N.
        collusion: T ≥ 1.
        dropouts: D ≥ 0.

    Raises:
        ConfigurationError: if they do not fit; the message names the knobs.

    Doctest:

        >>> plan = Plan(agents=5, collusion=1, dropouts=1)
        >>> x = np.arange(4, dtype=np.uint32)
        >>> held = [plan.encode(x) for _ in range(5)]       # five agents, the same vector
        >>> sums = {j: field.add(np.stack([h[j] for h in held])) for j in (0, 1, 3, 4)}
        >>> plan.decode(sums, length=4)
        array([ 0,  5, 10, 15], dtype=uint32)
    """

    agents: int
    collusion: int
    dropouts: int

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the knobs."""
        problems = []
        if self.collusion < 1:
            problems.append(f"collusion must be at least 1, found {self.collusion}")
        if self.dropouts < 0:
            problems.append(f"dropouts must be at least 0, found {self.dropouts}")
        if self.partitions < 1:
            problems.append(
                f"{self.agents} agents cannot bear collusion {self.collusion} and dropouts "
                f"{self.dropouts}: agents − collusion − dropouts must be at least 1"
            )
        elif self.quorum <= self.dropouts:
            problems.append(
                f"dropouts {self.dropouts} of {self.agents} agents leave two sets that could both "
                f"be decoded: agents − dropouts must exceed dropouts"
            )
        elif self.quorum > 127:
            problems.append(f"one group holds up to 127 answers, {self.quorum} are needed")
        if problems:
            raise ConfigurationError("; ".join(problems))

    @property
    def partitions(self) -> int:
        """K, the parts of a vector."""
        return self.agents - self.collusion - self.dropouts

    @property
    def quorum(self) -> int:
        """K + T, how many summed positions the gateway needs."""
        return self.partitions + self.collusion

    def share_length(self, length: int) -> int:
        """How many symbols one share of a vector of `length` symbols has: ⌈length / K⌉."""
        return -(-length // self.partitions)

    @cached_property
    def _powers(self) -> Matrix:
        """Row j holds α_j⁰ … α_j^{K+T−1}, centred, for α = 1, −1, 2, −2 and so on."""
        points = [(j // 2 + 1) * (1 if j % 2 == 0 else -1) for j in range(self.agents)]
        rows = [[pow(a, e, field.P) for e in range(self.quorum)] for a in points]
        powers = np.array(rows, dtype=np.int64)
        powers[powers > field.HALF] -= field.P
        return powers

    @cached_property
    def _inverses(self) -> dict[tuple[int, ...], Matrix]:
        return {}

    def encode(self, vector: Symbols) -> Symbols:
        """Share a vector with fresh randomness.

        Args:
            vector: uint32 of shape (L,), below p.

        Returns:
            uint32 of shape (N, ⌈L/K⌉): row j is for the member at position j.
        """
        width = self.share_length(vector.size)
        parts = np.zeros((self.quorum, width), dtype=np.uint32)
        parts[: self.partitions].reshape(-1)[: vector.size] = vector
        parts[self.partitions :] = field.uniform(self.collusion * width).reshape(-1, width)
        return field.matmul(self._powers, parts)

    def decode(self, sums: dict[int, Symbols], length: int) -> Symbols:
        """Interpolate the sum of the vectors from what positions report.

        Args:
            sums: by position, uint32 of shape (⌈length/K⌉,); more than a quorum is allowed.
            length: L.

        Returns:
            uint32 of shape (L,).

        Raises:
            QuorumError: if there are fewer than K + T positions.
        """
        if len(sums) < self.quorum:
            raise QuorumError(f"{len(sums)} of {self.quorum} needed positions answered")
        positions = tuple(sorted(sums)[: self.quorum])
        solver = self._inverses.get(positions)
        if solver is None:
            solver = field.inverse(self._powers[list(positions)])[: self.partitions]
            if len(self._inverses) < 256:  # which members answer is the network's choice: bounded
                self._inverses[positions] = solver
        parts = field.matmul(solver, np.stack([sums[j] for j in positions]))
        return parts.reshape(-1)[:length]
