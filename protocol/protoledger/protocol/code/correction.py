"""Errors in values of a polynomial: found by parity checks, located by Berlekamp and Welch.

Holders' answers are a generalised Reed-Solomon codeword: values, at the points of those that
answered, of polynomials of degree below k (L. R. Welch and E. R. Berlekamp, US patent 4,633,470).
"Zero at zero" means that all these polynomials are multiples of α, which leaves k − 1 coefficients;
it is written as values of a polynomial of degree below k − 1 times α.

Everything here is cached by the positions that answered. Which ones do is the network's choice, so
that the caches are bounded.
"""

from functools import lru_cache

import numpy as np

from protoledger.protocol.code.field import Multiplier, P, Symbols
from protoledger.protocol.code.points import centred, points, product, solve

Positions = tuple[int, ...]


@lru_cache(maxsize=512)
def parity(positions: Positions, free: int, *, zero: bool) -> Multiplier | None:
    """Return rows that give zero on values of polynomials with `free` coefficients; None: no row.

    Row e is Σ d_j a_j^e v_j with the dual multipliers d_j; with `zero` the polynomials are
    multiples of α.
    """
    at = [points(1 + max(positions))[j] for j in positions]
    rows = len(at) - free
    if rows <= 0:
        return None
    dual = [pow(product(x - y for y in at if y != x) * (x if zero else 1) % P, -1, P) for x in at]
    table = [[d * pow(x, e, P) % P for d, x in zip(dual, at, strict=True)] for e in range(rows)]
    return Multiplier(centred(table))


def fits(positions: Positions, values: Symbols, free: int, *, zero: bool = False) -> bool:
    """Whether values (positions, columns) lie on polynomials with so many coefficients."""
    check = parity(positions, free, zero=zero)
    return check is None or not check(np.ascontiguousarray(values)).any()


def locate(
    positions: Positions, values: Symbols, free: int, most: int, *, zero: bool = False
) -> frozenset[int] | None:
    """Find the positions whose values are off, in any column.

    Args:
        positions: ascending.
        values: uint32 of shape (positions, columns).
        free: coefficients of the polynomials.
        most: positions that may be off in all columns together; correct is what this says only if
            `len(positions) >= free + 2 * most`, the caller's business.
        zero: whether the polynomials are multiples of α.

    Returns:
        The positions that are off, or None if no so small set explains the values.
    """
    found: set[int] = set()
    left = positions
    for number in range(values.shape[1]):
        rows = [positions.index(j) for j in left]
        column = values[rows, number]
        if fits(left, column[:, None], free, zero=zero):
            continue
        off = _locate_in(left, column, free, most - len(found), zero=zero)
        if off is None:
            return None
        found |= off
        left = tuple(j for j in positions if j not in found)
    rows = [positions.index(j) for j in left]
    good = len(left) >= free and fits(left, values[rows], free, zero=zero)
    return frozenset(found) if good else None


def _locate_in(
    positions: Positions, column: Symbols, free: int, most: int, *, zero: bool
) -> set[int] | None:
    """Berlekamp and Welch for one column: N(a) = v·E(a), E monic of degree e, N below free + e."""
    at = [points(1 + max(positions))[j] for j in positions]
    given = [int(v) * (pow(x, -1, P) if zero else 1) % P for x, v in zip(at, column, strict=True)]
    for errors in range(1, most + 1):
        if len(at) < free + 2 * errors:
            return None
        rows = [
            [pow(x, i, P) for i in range(free + errors)]
            + [-v * pow(x, i, P) % P for i in range(errors)]
            + [v * pow(x, errors, P) % P]
            for x, v in zip(at, given, strict=True)
        ]
        solution = solve(rows)
        if solution is None:
            continue
        locator = [*solution[free + errors :], 1]
        off = {j for j, x in zip(positions, at, strict=True) if not _value(locator, x)}
        kept = tuple(j for j in positions if j not in off)
        rest = np.array([column[positions.index(j)] for j in kept], dtype=np.uint32)
        if len(kept) >= free and fits(kept, rest[:, None], free, zero=zero):
            return off
    return None


def _value(coefficients: list[int], at: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * at + coefficient) % P
    return value


@lru_cache(maxsize=512)
def at_zero(positions: Positions) -> Multiplier:
    """Return what interpolates the value at zero from values at exactly these positions."""
    at = [points(1 + max(positions))[j] for j in positions]
    weights = [
        product(-y for y in at if y != x) * pow(product(x - y for y in at if y != x), -1, P) % P
        for x in at
    ]
    return Multiplier(centred([weights]))
