"""The proven code: a contributor's shares, a holder's reports and answer, and what explains them.

Letters: ν positions, T of whose holders may collude, answers of q positions open a sum. For each
position j, with the point a_j, a contributor's share has four parts:

    x(a_j)  bits and votes                       degree T, at zero the contribution
    m(a_j)  ROWS masks of the check R            degree T, at zero uniform
    g(a_j)  a mask of each coordinate            degree q − 1, zero at zero
    w(a_j)  ROWS masks of the check Z            degree q − 1, zero at zero

A holder reports on each contributor but itself, under the challenge (S, Q, U):

    R = S·x + m                        on a polynomial of degree T
    Z = Q·c(x) + U·g + w               on one of degree q − 1 that is zero at zero

where c(x) is x² − x for each bit and Σ votes − (declared ? 1 : 0) for each window: zero at zero
just for valid contributions. It opens, for a set, the sum of A·x + g, A being the bits' weights: a
value of a polynomial of degree q − 1 whose value at zero is the wanted sum.

q = max(⌈(ν + T + 1)/2⌉, 2T + 1): two sets can then never both be opened (each needs q answers, T
colluders answer twice, 2q > ν + T), and Z bears c(x), of degree 2T. Fewer than q values of g hide
all of A·x.

The idea of proving ranges by shared bits and random linear checks is Prio's (Corrigan-Gibbs and
Boneh, NSDI 2017); checks and masks here are for Shamir shares among the contributors themselves.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from protoledger.protocol.code import field
from protoledger.protocol.code.field import Floats, Matrix, Multiplier, Symbols
from protoledger.protocol.code.layout import Contribution, Flags, Layout, used
from protoledger.protocol.code.points import dot, plus, points, powers, sum_rows, times
from protoledger.protocol.proofs.challenge import ROWS, Challenge


def quorum(positions: int, collusion: int) -> int:
    """Return q.

    >>> [quorum(n, 1) for n in (4, 5, 6, 10)], quorum(10, 2)
    ([3, 4, 4, 6], 7)
    """
    return max((positions + collusion + 2) // 2, 2 * collusion + 1)


@dataclass(frozen=True)
class Secret:
    """The polynomials of one contribution; never sent, never printed.

    Attributes:
        low: coefficients of x and m, shape (T + 1, bits + ROWS).
        high: coefficients of g and w from degree 1, shape (q − 1, coordinates + ROWS).
        declared: bool of shape (B, C + 1).
    """

    low: Symbols
    high: Symbols
    declared: Flags

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass(frozen=True)
class ProvenCode:
    """The code for ν positions.

    Args:
        layout: of the contributions.
        positions: ν.
        collusion: T.

    Doctest:

        >>> layout = Layout(windows=1, steps=(6,), labels=2, private=(True,))
        >>> code = ProvenCode(layout, positions=4, collusion=1)
        >>> secret = code.secret(Contribution(np.array([[5]]), np.array([1])))
        >>> code.shares(secret).shape == (4, code.share_length)
        True
    """

    layout: Layout
    positions: int
    collusion: int

    @cached_property
    def quorum(self) -> int:
        """The answers that open a sum, if none is off."""
        return quorum(self.positions, self.collusion)

    @cached_property
    def _ends(self) -> tuple[int, int, int]:
        bits, coordinates = self.layout.bit_length, self.layout.length
        return bits, bits + ROWS, bits + ROWS + coordinates

    @property
    def share_length(self) -> int:
        """Symbols of a share."""
        return self._ends[2] + ROWS

    @property
    def report_length(self) -> int:
        """Symbols of a report on one contributor: R, then Z."""
        return 2 * ROWS

    @property
    def explanation_length(self) -> int:
        """Symbols of the coefficients of R (T + 1 rows) and Z (q − 1 rows)."""
        return ROWS * (self.collusion + self.quorum)

    @cached_property
    def _low(self) -> Multiplier:
        return Multiplier(powers(points(self.positions), range(self.collusion + 1)))

    @cached_property
    def _high(self) -> Multiplier:
        return Multiplier(powers(points(self.positions), range(1, self.quorum)))

    # -- contributor -----------------------------------------------------------------------------

    def secret(self, given: Contribution) -> Secret:
        """Draw the polynomials of a contribution that `Layout.check` lets through.

        Raises:
            ValueError: if it does not.
        """
        self.layout.check(given)
        bits = self.layout.bits(given)
        width = bits.size + ROWS
        size = (self.collusion + 1) * width
        drawn = field.uniform(size + (self.quorum - 1) * (self.layout.length + ROWS))
        low = drawn[:size].reshape(-1, width)
        low[0, : bits.size] = bits
        return Secret(low, drawn[size:].reshape(self.quorum - 1, -1), given.declared)

    def shares(self, secret: Secret) -> Symbols:
        """Return what each position gets: uint32 of shape (ν, share_length)."""
        _, second, _ = self._ends
        shares = np.empty((self.positions, self.share_length), dtype=np.uint32)
        self._low(secret.low, shares[:, :second])
        self._high(secret.high, shares[:, second:])
        return shares

    def explain(self, secret: Secret, asked: Challenge) -> Symbols:
        """Return the coefficients of this contribution's R and Z, flat.

        They tell nothing that q holders' reports do not tell: R is masked by m, Z by w.
        """
        bits, _, _ = self._ends
        # as holders do: shares of what is not declared count as zero, not only the value
        x = used(secret.low[:, :bits], self.layout.declared_bits(secret.declared[None]))
        m = secret.low[:, bits:]
        g, w = secret.high[:, : self.layout.length], secret.high[:, self.layout.length :]
        r = plus(dot(asked.bits, x), m)
        z = plus(dot(asked.conditions, self._condition_coefficients(x, secret.declared)), w)
        return np.concatenate([r.reshape(-1), plus(z, dot(asked.masks, g)).reshape(-1)])

    def _condition_coefficients(self, x: Symbols, declared: Flags) -> Symbols:
        """Return c(x) as polynomials: coefficients of degree 1 … q − 1, a row each."""
        wide = x.astype(np.uint64)
        rows = np.zeros((self.quorum, x.shape[1] + self.layout.windows), dtype=np.uint64)
        for i in range(len(x)):
            for k in range(len(x)):
                rows[i + k, : x.shape[1]] += wide[i] * wide[k] % np.uint64(field.P)
            rows[i, : x.shape[1]] += np.uint64(field.P) - wide[i]
            rows[i, x.shape[1] :] += self._votes(x[i][None])[0].astype(np.uint64)
        rows[0, x.shape[1] :] += (field.P - declared[:, -1].astype(np.int64)).astype(np.uint64)
        return (rows[1:] % np.uint64(field.P)).astype(np.uint32)

    def _votes(self, x: Symbols) -> Matrix:
        """Return the sum of each window's votes, not reduced: (n, bits) to (n, B)."""
        layout = self.layout
        windows = x.reshape(len(x), layout.windows, layout.window_bits)
        votes = windows[:, :, layout.window_bits - layout.labels :]
        total: Matrix = votes.sum(axis=2, dtype=np.int64)
        return total

    # -- holder ----------------------------------------------------------------------------------

    def counted(self, shares: Symbols, declared: Flags) -> Symbols:
        """Return shares as they count: bits of what is not declared are zero, whatever was sent.

        Args:
            shares: one row each, uint32 of shape (n, share_length).
            declared: bool of shape (n, B, C + 1).
        """
        if declared.all():
            return shares
        bits = self._ends[0]
        found = shares.copy()
        found[:, :bits] = used(shares[:, :bits], self.layout.declared_bits(declared))
        return found

    def reports(self, shares: Symbols, declared: Flags, asked: Challenge) -> Symbols:
        """Report on contributors.

        Args:
            shares: what `counted` returns.
            declared: bool of shape (n, B, C + 1).
            asked: the round's challenge.

        Returns:
            uint32 of shape (n, 2·ROWS): R, then Z.
        """
        bits, second, third = self._ends
        x = shares[:, :bits]
        # columns as the challenge has them: the bits, their conditions, the coordinates' masks
        values = np.empty((len(x), asked.parted.shape[2]))
        values[:, :bits] = x
        self._conditions(x, declared, values[:, bits:])
        values[:, second - third :] = shares[:, second:third]
        found = times(
            (values[:, :bits], asked.parted[:, :, :bits]),
            (values[:, bits:], asked.parted[:, :, bits:]),
        )
        found[:, :ROWS] += shares[:, bits:second]
        found[:, ROWS:] += shares[:, third:]
        reports: Symbols = (found % field.P).astype(np.uint32)
        return reports

    def _conditions(self, x: Symbols, declared: Flags, out: Floats) -> None:
        """Write c(x): what is zero at zero just for a valid contribution, below p."""
        bits = x.shape[1]
        wide = x.astype(np.uint64)
        out[:, :bits] = wide * (wide + np.uint64(field.P - 1)) % np.uint64(field.P)
        votes = self._votes(x) - declared[:, :, -1]
        out[:, bits : bits + self.layout.windows] = votes % field.P

    def answer(self, shares: Symbols, declared: Flags, minimum: int) -> Symbols:
        """Add what a set shared, for the coordinates that at least `minimum` of it declared.

        Args:
            shares: of the whole set, as `counted` returns them.
            declared: of the whole set.
            minimum: of the site.

        Returns:
            uint32, one symbol for each coordinate that `Layout.openable` lets through.
        """
        bits, second, third = self._ends
        total = sum_rows(shares)
        opened = plus(self.layout.worth(total[:bits]), total[second:third])
        return opened[self.layout.openable(declared, minimum)]
