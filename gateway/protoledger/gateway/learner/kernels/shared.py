"""Distances, the nearest few, and their vote: what both learners and the union need."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.learner.base import LARGEST, Floats
from protoledger.gateway.learner.kernels.kernel import kernel
from protoledger.gateway.learner.vote import SOFTENING

Ints = NDArray[np.int64]

BLOCK: Final = 512
"""Rows measured at once: their sums stay in the first cache."""


@kernel("b1(f8[::1])")
def usable(x: Floats) -> bool:
    """Return whether all features are finite and within ±1e100."""
    good = True
    for value in x:
        good &= abs(value) <= LARGEST  # false for NaN, too
    return good


@kernel("f8(f8[:,::1], f8[::1], i8, f8[::1])")
def measure_incomplete(features: Floats, metric: Floats, column: int, x: Floats) -> float:
    """Return the squared distance to a column where one of the two lacks a feature."""
    average, total = 1 / len(x), 0.0
    for j in range(len(x)):
        off = features[j, column] - x[j]
        part = off * off * metric[j]
        if np.isnan(part):
            part = average if metric[j] > 0 else 0.0
        total += part
    return total


@kernel("void(f8[:,::1], f8[::1], i8, f8[::1], f8[::1])")
def measure(features: Floats, metric: Floats, n: int, x: Floats, squares: Floats) -> None:
    """Write the squared distances of x to the first n columns, as `vote.measure` does.

    Summed feature by feature, for many columns at once; a sum that a missing feature made NaN is
    done again by itself.
    """
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        sums = squares[start:stop]
        sums[:] = 0.0
        for j in range(len(x)):
            row, at, weight = features[j, start:stop], x[j], metric[j]
            if weight == 0.0:  # adds nothing, missing or not
                continue
            for r in range(stop - start):
                off = row[r] - at
                sums[r] += off * off * weight
    complete = True
    for r in range(n):
        complete &= squares[r] >= 0  # false for NaN
    if not complete:
        for r in range(n):
            if not squares[r] >= 0:
                squares[r] = measure_incomplete(features, metric, r, x)


@kernel("i8(f8[::1], i8, i8[::1])")
def nearest(squares: Floats, n: int, rows: Ints) -> int:
    """Write the nearest of the first n rows, nearest first, older first among equals.

    Returns:
        How many were written, at most `len(rows)`; infinite ones never are.
    """
    most, found, worst = len(rows), 0, np.inf
    for r in range(n):
        square = squares[r]
        if not square < worst:
            continue
        at = found if found < most else most - 1
        while at > 0 and square < squares[rows[at - 1]]:
            rows[at] = rows[at - 1]
            at -= 1
        rows[at] = r
        if found < most:
            found += 1
        if found == most:
            worst = squares[rows[most - 1]]
    return found


@kernel("i8(f8[::1], f8)")
def normalise(shares: Floats, total: float) -> int:
    """Divide votes by their total; return the first class with the most, −1 if nobody voted."""
    if not total > 0:
        return -1
    best = 0
    for c in range(len(shares)):
        shares[c] /= total
        if shares[c] > shares[best]:
            best = c
    return best


@kernel("i8(f8[::1], i8[::1], f8[::1], i8, f8[::1], i8[::1])")
def vote(squares: Floats, classes: Ints, wins: Floats, n: int, shares: Floats, rows: Ints) -> int:
    """Write each class's share of the vote of the nearest, as `vote.vote` does.

    Args:
        squares: (≥ n,) squared distances; infinite for a prototype that must not vote.
        classes: (≥ n,) class indices.
        wins: (≥ n,) samples that each prototype stands for.
        n: Number of prototypes.
        shares: Where the shares go, sum 1; all 0 where nobody votes.
        rows: Room for the rows of the voters.

    Returns:
        The class with the largest share, −1 where nobody votes.
    """
    shares[:] = 0.0
    total = 0.0
    for k in range(nearest(squares, n, rows)):
        row = rows[k]
        strength = np.sqrt(max(wins[row], 1.0)) / (squares[row] + SOFTENING)
        shares[classes[row]] += strength
        total += strength
    return normalise(shares, total)
