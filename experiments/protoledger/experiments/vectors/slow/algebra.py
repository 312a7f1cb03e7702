"""Shares, reports and sums of both codes, one symbol at a time (docs/protocol.md, "Two codes").

A vector is a list of integers in [0, p). galois takes seconds to load, so only functions import it.
"""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

P = 2**31 - 1
ROWS = 4
"""Independent rows of the challenge."""

Vector = Sequence[int]
Coefficients = tuple[list[list[int]], list[list[int]], list[list[int]]]
"""S, Q and U of a challenge, a row each."""


@functools.cache
def _field() -> Any:
    import galois  # noqa: PLC0415 - seconds

    return galois.GF(P)


def _polynomial(ascending: Vector) -> Any:
    import galois  # noqa: PLC0415 - seconds

    return galois.Poly(list(ascending), field=_field(), order="asc")


def _through(values: Mapping[int, int]) -> Any:
    """Return the polynomial of the lowest degree through values by position."""
    import galois  # noqa: PLC0415 - seconds

    positions = sorted(values)
    at = points(max(positions) + 1)
    field = _field()
    return galois.lagrange_poly(field([at[j] for j in positions]),
                                field([values[j] for j in positions]))  # fmt: skip


def points(count: int) -> list[int]:
    """Return 1, −1, 2, −2, … as field elements."""
    return [(j // 2 + 1) % P if j % 2 == 0 else P - (j // 2 + 1) for j in range(count)]


def dot(left: Vector, right: Vector) -> int:
    """Return Σ left · right modulo p."""
    return sum(a * b for a, b in zip(left, right, strict=True)) % P


def matmul(left: Sequence[Vector], right: Sequence[Vector]) -> list[list[int]]:
    """Return a matrix product modulo p; entries of `left` may be negative."""
    field = _field()
    product = field([[v % P for v in row] for row in left]) @ field([list(row) for row in right])
    return [[int(v) for v in row] for row in product]


def evaluated(rows: Sequence[Vector], positions: int) -> list[list[int]]:
    """Evaluate polynomials with ascending coefficients `rows[k][column]` at every position."""
    at = _field()(points(positions))
    columns = [_polynomial([row[c] for row in rows])(at) for c in range(len(rows[0]))]
    return [[int(column[j]) for column in columns] for j in range(positions)]


def at_zero(values: Mapping[int, int]) -> int:
    """Return the value at zero of the polynomial through values by position."""
    return int(_through(values)(0))


# -- the packed code -----------------------------------------------------------------------------


def encode(vector: Vector, masks: Sequence[Vector], parts: int, positions: int) -> list[list[int]]:
    """Return a vector's shares: the paper's F_n at each position, ⌈L/K⌉ symbols each."""
    width = -(-len(vector) // parts)
    padded = list(vector) + [0] * (parts * width - len(vector))
    rows: list[Vector] = [padded[k * width : (k + 1) * width] for k in range(parts)]
    return evaluated([*rows, *masks], positions)


def decode(sums: Mapping[int, Vector], parts: int, length: int) -> list[int]:
    """Return the first K coefficients through every given position's values, cut to `length`."""
    width = len(next(iter(sums.values())))
    parted = [[0] * width for _ in range(parts)]
    for c in range(width):
        found = _through({j: row[c] for j, row in sums.items()})
        ascending = [int(v) for v in found.coeffs[::-1]]
        for k in range(parts):
            parted[k][c] = ascending[k] if k < len(ascending) else 0
    return [symbol for row in parted for symbol in row][:length]


# -- the proven code -----------------------------------------------------------------------------


def bits_of(value: int, steps: int) -> tuple[list[int], list[int]]:
    """Return the bits of a value in 0 … steps, and their weights."""
    count = steps.bit_length()
    weights = [2**i for i in range(count - 1)] + [steps - 2 ** (count - 1) + 1]
    top = value > 2 ** (count - 1) - 1
    rest = value - (weights[-1] if top else 0)
    return [rest >> i & 1 for i in range(count - 1)] + [int(top)], weights


def challenge(sizes: tuple[int, int, int], announce_digest: bytes, rho: bytes) -> Coefficients:
    """Return four rows of coefficients for bits, conditions and masks."""
    width = sum(sizes)
    over = b"protoledger challenge v3\0" + announce_digest + rho
    data = hashlib.shake_128(over).digest(4 * ROWS * width)
    flat = [int.from_bytes(data[i : i + 4], "little") % 2**31 % P for i in range(0, len(data), 4)]
    rows = [flat[r * width : (r + 1) * width] for r in range(ROWS)]
    a, b = sizes[0], sizes[0] + sizes[1]
    return [r[:a] for r in rows], [r[a:b] for r in rows], [r[b:] for r in rows]


def report(
    share: Vector,
    declared: Sequence[Sequence[bool]],
    widths: Sequence[int],
    labels: int,
    asked: Coefficients,
) -> tuple[list[int], list[int], list[int]]:
    """Report on one contributor.

    Args:
        share: what the holder got.
        declared: a row of flags a window, the vote's last.
        widths: bits of each channel.
        labels: how many.
        asked: the challenge.

    Returns:
        R and Z, four symbols each; the bits' shares that count; the shares of g.
    """
    per_window = sum(widths) + labels
    bits = len(declared) * per_window
    used: list[int] = []
    for w, flags in enumerate(declared):
        spread = [f for f, n in zip(flags, [*widths, labels], strict=True) for _ in range(n)]
        row = share[w * per_window : (w + 1) * per_window]
        used += [x if f else 0 for x, f in zip(row, spread, strict=True)]
    coordinates = len(declared) * (len(widths) + labels)
    m, g = share[bits : bits + ROWS], list(share[bits + ROWS : bits + ROWS + coordinates])
    w_masks = share[bits + ROWS + coordinates :]
    conditions = [(x * x - x) % P for x in used]
    for w, flags in enumerate(declared):
        votes = used[(w + 1) * per_window - labels : (w + 1) * per_window] if labels else []
        conditions.append((sum(votes) - int(flags[-1])) % P)
    s, q, u = asked
    r = [(dot(s[i], used) + m[i]) % P for i in range(ROWS)]
    z = [(dot(q[i], conditions) + dot(u[i], g) + w_masks[i]) % P for i in range(ROWS)]
    return r + z, used, g


def worth(used: Vector, steps: Vector, labels: int, windows: int) -> list[int]:
    """Return coordinates from bits: values by their weights, votes as they are."""
    out: list[int] = []
    at = 0
    for _ in range(windows):
        for top in steps:
            _, weights = bits_of(0, top)
            out.append(dot(weights, used[at : at + len(weights)]))
            at += len(weights)
        out += used[at : at + labels]
        at += labels
    return out
