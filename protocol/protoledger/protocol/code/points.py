"""Evaluation points and exact products that shares, checks and their decoders have in common.

Position j of a round has the point 1, −1, 2, −2, … Small points keep powers small, so that products
stay exact in float64 (`field.Multiplier`). Zero is none of them: a polynomial's value there is what
is being shared.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np

from protoledger.protocol.code.field import BLOCK_WORK, HALF, Floats, Matrix, P, Symbols

_LIMB_BITS = 11
_SHIFTS = np.array([2 * _LIMB_BITS, _LIMB_BITS, 0], dtype=np.uint32)[:, None, None]
_EXACT = 2**11
"""Products of 31 and 11 bits that a float64 adds exactly."""


def points(count: int) -> list[int]:
    """Return the points of positions 0 … count − 1.

    >>> points(5)
    [1, -1, 2, -2, 3]
    """
    return [(j // 2 + 1) * (1 if j % 2 == 0 else -1) for j in range(count)]


def centred(rows: Sequence[Sequence[int]]) -> Matrix:
    """Reduce rows of integers to their representatives in [−(p−1)/2, (p−1)/2], as int64."""
    reduced = [[(value + HALF) % P - HALF for value in row] for row in rows]
    return np.array(reduced, dtype=np.int64).reshape(len(rows), -1)


def powers(at: Iterable[int], exponents: Iterable[int]) -> Matrix:
    """Return one row a point, one column an exponent; int64, centred."""
    wanted = list(exponents)
    return centred([[pow(a, e, P) for e in wanted] for a in at])


def product(factors: Iterable[int]) -> int:
    """Multiply modulo p; 1 for none."""
    total = 1
    for factor in factors:
        total = total * factor % P
    return total


def limbs(coefficients: Symbols) -> Floats:
    """Split (r, L) coefficients into three limbs of 11 bits, for `times`: shape (3, r, L)."""
    return (coefficients >> _SHIFTS & np.uint32(2**_LIMB_BITS - 1)).astype(np.float64)


def times(*pairs: tuple[Floats, Floats]) -> Matrix:
    """Multiply (n, L) vectors below p by `limbs` (3, r, L), modulo p; L may differ by pair.

    Returns:
        int64 below p, the products of the pairs side by side: shape (n, pairs · r).
    """
    sums = [_exact_sums(vectors, parted) for vectors, parted in pairs]
    high, middle, low = (np.concatenate(sums, axis=2) % P).swapaxes(0, 1)
    found: Matrix = (high << 2 * _LIMB_BITS) + (middle << _LIMB_BITS) + low
    return found % P


def _exact_sums(vectors: Floats, parted: Floats) -> Matrix:
    """Return the products with each limb, congruent modulo p: int64 of shape (n, 3, r).

    A product of 31 and 11 bits has 42, and 2,048 of them fit the 53 exact bits of a float64: one
    BLAS product for each 2,048 columns, in blocks of rows that keep it in its caller's thread.
    """
    (count, length), rows = vectors.shape, parted.shape[1]
    right = parted.reshape(3 * rows, length)
    step = max(1, BLOCK_WORK // (3 * rows * min(length, _EXACT) + 1))
    if length <= _EXACT and count <= step:
        return (vectors @ right.T).astype(np.int64).reshape(count, 3, rows)
    total = np.zeros((count, 3 * rows), dtype=np.int64)
    for low in range(0, length, _EXACT):
        columns = slice(low, low + _EXACT)
        for first in range(0, count, step):
            block = slice(first, first + step)
            product = vectors[block, columns] @ right[:, columns].T
            total[block] += product.astype(np.int64)
        total %= P
    return total.reshape(count, 3, rows)


def dot(coefficients: Symbols, vectors: Symbols) -> Symbols:
    """Multiply (n, L) vectors by (r, L) coefficients, modulo p: uint32 of shape (n, r)."""
    return times((vectors.astype(np.float64), limbs(coefficients))).astype(np.uint32)


def plus(*terms: Symbols) -> Symbols:
    """Add arrays of one shape modulo p; fewer than 2³² of them."""
    total = terms[0].astype(np.uint64)
    for term in terms[1:]:
        total += term
    return (total % np.uint64(P)).astype(np.uint32)


def sum_rows(rows: Symbols) -> Symbols:
    """Add the rows of uint32 (n, L) modulo p; zeros for none."""
    total = rows.sum(axis=0, dtype=np.uint64) % np.uint64(P)
    return cast("Symbols", total.astype(np.uint32))


def solve(rows: Sequence[Sequence[int]]) -> list[int] | None:
    """Solve a linear system modulo p by Gauss-Jordan elimination.

    Args:
        rows: of the matrix, each with its right-hand side at the end.

    Returns:
        One solution, free unknowns zero; None if there is none.
    """
    table = np.array(rows, dtype=object).astype(np.int64) % P
    pivots: list[int] = []
    for column in range(table.shape[1] - 1):
        done = len(pivots)
        candidates = np.flatnonzero(table[done:, column])
        if not candidates.size:
            continue
        chosen = done + int(candidates[0])
        table[[done, chosen]] = table[[chosen, done]]
        table[done] = table[done] * pow(int(table[done, column]), -1, P) % P
        factors = table[:, column].copy()
        factors[done] = 0
        table = (table - factors[:, None] * table[done] % P) % P
        pivots.append(column)
        if len(pivots) == len(table):
            break
    if table[len(pivots) :, -1].any():
        return None
    solution = [0] * (table.shape[1] - 1)
    for row, column in enumerate(pivots):
        solution[column] = int(table[row, -1])
    return solution
