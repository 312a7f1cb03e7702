"""The packed code: SwiftAgg+ as published, for long vectors and small sites (arXiv 2203.13060, IV).

Letters, as in the paper but for M: a vector is cut in K parts, hidden behind M uniform masks, and
shared with ν positions; any K + M answers open a sum, so that D = ν − K − M may be missing. Agent n
gives to position j

    F_n(a_j) = Σ_k W_{n,k} a_j^(k−1) + Σ_m Z_{n,m} a_j^(K+m−1)

Positions add up what they got; the sum of the F_n is a polynomial of the same degree whose first K
coefficients are the wanted sums.

We differ in the number of masks. The paper takes M = T, enough if everybody is given the same set.
A gateway that tells two sets and pools with T agents then reads one agent's symbols; even M = T + D
is not enough. 2(M + 1) > ν + T is, together with the smallest set of `plans.fewest`. Nothing is
proven here: an agent can share what it likes, and bend the sum.

Where one declared coordinate must be withheld, so must all that share its symbol of every share.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from protoledger.protocol.code import field
from protoledger.protocol.code.field import Matrix, Multiplier, Symbols
from protoledger.protocol.code.layout import Contribution, Flags, Layout
from protoledger.protocol.code.points import points, powers, sum_rows
from protoledger.protocol.errors import QuorumError


def masks(positions: int, collusion: int) -> int:
    """Return the fewest masks M with 2(M + 1) > ν + T.

    >>> [masks(n, 1) for n in (3, 5, 6, 10)]
    [2, 3, 3, 5]
    """
    return (positions + collusion) // 2


@dataclass(frozen=True)
class PackedCode:
    """The code for ν positions.

    Args:
        layout: of the contributions.
        positions: ν.
        parts: K ≥ 1.
        masks: M.

    Doctest:

        >>> layout = Layout(windows=1, steps=(6, 6), labels=0, private=(True, True))
        >>> code = PackedCode(layout, positions=5, parts=1, masks=3)
        >>> given = Contribution(np.array([[5, 2]]), np.array([-1]))
        >>> held = np.array([code.shares(given) for _ in range(3)])  # three agents
        >>> declared = np.array([given.declared] * 3)
        >>> answers = {j: code.answer(held[:, j], declared, minimum=3) for j in (0, 1, 2, 4)}
        >>> code.open(answers, declared, minimum=3)
        array([15,  6], dtype=uint32)
    """

    layout: Layout
    positions: int
    parts: int
    masks: int

    @property
    def quorum(self) -> int:
        """K + M, the answers that open a sum."""
        return self.parts + self.masks

    @cached_property
    def share_length(self) -> int:
        """Symbols of a share: ⌈L / K⌉."""
        return -(-self.layout.length // self.parts)

    @cached_property
    def _powers(self) -> Matrix:
        return powers(points(self.positions), range(self.quorum))

    @cached_property
    def _encoder(self) -> Multiplier:
        return Multiplier(self._powers)

    @cached_property
    def _solvers(self) -> dict[tuple[int, ...], Multiplier]:
        return {}

    def shares(self, given: Contribution) -> Symbols:
        """Share a contribution with fresh randomness: uint32 of shape (ν, share_length).

        Raises:
            ValueError: if `Layout.check` refuses it.
        """
        self.layout.check(given)
        width = self.share_length
        rows = np.zeros((self.quorum, width), dtype=np.uint32)
        rows[: self.parts].reshape(-1)[: self.layout.length] = self.layout.coordinates(given)
        rows[self.parts :] = field.uniform(self.masks * width).reshape(-1, width)
        return self._encoder(rows)

    def opened_symbols(self, declared: Flags, minimum: int) -> Flags:
        """Say which symbols of a share may be opened: bool of shape (share_length,).

        A coordinate that nobody declared is zero, and withholds nothing.
        """
        allowed = self.layout.openable(declared, minimum) | (self.layout.counts(declared) == 0)
        padded = np.ones(self.parts * self.share_length, dtype=bool)
        padded[: allowed.size] = allowed
        return np.asarray(padded.reshape(self.parts, -1).all(axis=0), dtype=np.bool_)

    def openable(self, declared: Flags, minimum: int) -> Flags:
        """Say which coordinates are opened of a set: bool of shape (length,)."""
        symbols = self.opened_symbols(declared, minimum)
        coordinates = np.tile(symbols, self.parts)[: self.layout.length]
        coordinates[~self.layout.openable(declared, minimum)] = False
        return coordinates

    def answer(self, shares: Symbols, declared: Flags, minimum: int) -> Symbols:
        """Add what a set shared, for the symbols that may be opened.

        Args:
            shares: of the whole set, a row each.
            declared: bool of shape (n, B, C + 1), of the whole set.
            minimum: of the site.
        """
        return sum_rows(shares)[self.opened_symbols(declared, minimum)]

    def open(self, answers: dict[int, Symbols], declared: Flags, minimum: int) -> Symbols:
        """Interpolate the sum of a set.

        Returns:
            uint32, a symbol for each coordinate that `openable` lets through.

        Raises:
            QuorumError: if fewer than K + M positions answered.
        """
        if len(answers) < self.quorum:
            raise QuorumError(f"{len(answers)} of {self.quorum} needed positions answered")
        positions = tuple(sorted(answers)[: self.quorum])
        symbols = self.opened_symbols(declared, minimum)
        parted = np.zeros((self.parts, self.share_length), dtype=np.uint32)
        parted[:, symbols] = self._solver(positions)(np.array([answers[j] for j in positions]))
        return parted.reshape(-1)[: self.layout.length][self.openable(declared, minimum)]

    def _solver(self, positions: tuple[int, ...]) -> Multiplier:
        solver = self._solvers.get(positions)
        if solver is None:
            inverse = field.inverse(self._powers[list(positions)])
            solver = Multiplier(inverse[: self.parts])
            if len(self._solvers) < 256:  # which positions answer is the network's choice: bounded
                self._solvers[positions] = solver
        return solver
