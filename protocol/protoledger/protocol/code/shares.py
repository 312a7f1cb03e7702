"""SwiftAgg+: the code that shares a vector and decodes a sum (arXiv 2203.13060, section IV).

Letters, as in the paper: any T agents may collude with each other and the gateway without learning
more than the sum, any D may drop out; a vector is cut in K parts; a group has ν = K + T + D
positions. Agent n hides its parts W_{n,1..K} behind uniform Z_{n,1..T} in

    F_n(α) = Σ_k W_{n,k} α^{k−1} + Σ_t Z_{n,t} α^{K+t−1}

and gives F_n(α_j) to position j of its group. Positions add up what they got; the sum of the F_n is
a polynomial of the same degree whose first K coefficients are the wanted sums, and any K + T of its
values give it.

We differ in two things. The points are ±1, ±2, … so that powers stay small enough for exact float64
products; zero is none of them, as F_n(0) is a part of the secret itself. And K > D is demanded: two
different sets can both be decoded only if K + T positions answer for each; if T colluders answer
for both, that still takes 2K of the K + D honest ones, who answer one set a round. (K + T > D, as
one would ask for without colluders, is not enough.) Who holds which position is
`protoledger.protocol.code.seats`'s.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from protoledger.protocol.code import field
from protoledger.protocol.code.field import Matrix, Multiplier, Symbols
from protoledger.protocol.errors import ConfigurationError, QuorumError


@dataclass(frozen=True)
class Code:
    """K, T and D, and the arithmetic that follows from them.

    Args:
        parts: K ≥ 1.
        collusion: T ≥ 1.
        dropouts: D ≥ 0.

    Raises:
        ConfigurationError: if they do not fit; the message names the knobs.

    Doctest:

        >>> code = Code(parts=3, collusion=1, dropouts=1)
        >>> x = np.arange(4, dtype=np.uint32)
        >>> held = [code.encode(x) for _ in range(5)]       # five agents, the same vector
        >>> sums = {j: field.add(np.stack([h[j] for h in held])) for j in (0, 1, 3, 4)}
        >>> code.decode(sums, length=4)
        array([ 0,  5, 10, 15], dtype=uint32)
    """

    parts: int
    collusion: int
    dropouts: int

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the knobs."""
        problems = []
        if self.parts < 1:
            problems.append(f"partitions must be at least 1, found {self.parts}")
        if self.collusion < 1:
            problems.append(f"collusion must be at least 1, found {self.collusion}")
        if self.dropouts < 0:
            problems.append(f"dropouts must be at least 0, found {self.dropouts}")
        if not problems and self.parts <= self.dropouts:
            problems.append(
                f"dropouts {self.dropouts} with {self.parts} partition(s) would let colluders have "
                f"two sets decoded: agents − collusion − dropouts must exceed dropouts"
            )
        if self.quorum > 127:
            problems.append(f"a group holds up to 127 answers, {self.quorum} are needed")
        if problems:
            raise ConfigurationError("; ".join(problems))

    @property
    def quorum(self) -> int:
        """K + T, how many summed positions the gateway needs."""
        return self.parts + self.collusion

    @property
    def positions(self) -> int:
        """ν, the positions of a group."""
        return self.quorum + self.dropouts

    def share_length(self, length: int) -> int:
        """How many symbols one share of a vector of `length` symbols has: ⌈length / K⌉."""
        return -(-length // self.parts)

    @cached_property
    def _powers(self) -> Matrix:
        """Row j holds α_j⁰ … α_j^{K+T−1}, centred, for α = 1, −1, 2, −2 and so on."""
        points = [(j // 2 + 1) * (1 if j % 2 == 0 else -1) for j in range(self.positions)]
        rows = [[pow(a, e, field.P) for e in range(self.quorum)] for a in points]
        powers = np.array(rows, dtype=np.int64)
        powers[powers > field.HALF] -= field.P
        return powers

    @cached_property
    def _encoder(self) -> Multiplier:
        return Multiplier(self._powers)

    @cached_property
    def _solvers(self) -> dict[tuple[tuple[int, ...], int | None], Multiplier]:
        return {}

    def scratch_shape(self, length: int) -> tuple[int, int]:
        """Return the shape of what `encode` works in: the parts, and the shares after them."""
        return self.quorum + self.positions, self.share_length(length)

    def encode(self, vector: Symbols, scratch: Symbols | None = None) -> Symbols:
        """Share a vector with fresh randomness.

        Args:
            vector: uint32 of shape (L,), below p.
            scratch: uint32 of `scratch_shape(L)` to work in; the result is a part of it. Fresh
                memory is dear where vectors are long: the system maps and clears it by pages.

        Returns:
            uint32 of shape (ν, ⌈L/K⌉): row j is for the holder of position j.
        """
        if scratch is None:
            scratch = np.empty(self.scratch_shape(vector.size), dtype=np.uint32)
        width = scratch.shape[1]
        parts, shares = scratch[: self.quorum], scratch[self.quorum :]
        whole = parts[: self.parts].reshape(-1)
        whole[: vector.size] = vector
        whole[vector.size :] = 0
        parts[self.parts :] = field.uniform(self.collusion * width).reshape(-1, width)
        return self._encoder(parts, shares)

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
        parts = self._solver(positions)(np.array([sums[j] for j in positions]))
        return parts.reshape(-1)[:length]

    def explains(self, sums: dict[int, Symbols], position: int, found: Symbols) -> bool:
        """Whether a further position's sum lies on the polynomial through a quorum's sums."""
        positions = tuple(sorted(sums)[: self.quorum])
        predicted = self._solver(positions, position)(np.array([sums[j] for j in positions]))
        return np.array_equal(predicted[0], found)

    def _solver(self, positions: tuple[int, ...], at: int | None = None) -> Multiplier:
        """Return what gives the K coefficients from a quorum's sums, or the sum at a position."""
        solver = self._solvers.get((positions, at))
        if solver is None:
            inverse = field.inverse(self._powers[list(positions)])
            wanted = inverse[: self.parts] if at is None else self._row(at, inverse)
            solver = Multiplier(wanted)
            if len(self._solvers) < 256:  # which positions answer is the network's choice: bounded
                self._solvers[positions, at] = solver
        return solver

    def _row(self, position: int, inverse: Matrix) -> Matrix:
        # object: a product of two 31-bit numbers is exact in Python's integers, whatever the sum
        product = self._powers[[position]].astype(object) @ inverse.astype(object) % field.P
        row: Matrix = product.astype(np.int64)
        row[row > field.HALF] -= field.P
        return row
