"""Arithmetic in the prime field of p = 2³¹−1 on numpy arrays.

SwiftAgg+ (arXiv 2203.13060, section III) works in any field with enough points; this prime keeps a
symbol in 31 bits, so that sums of two fit 32 and products of a small and a centred symbol fit the
53 exact bits of a float64. That is where the speed comes from: one BLAS product and one fold
instead of modular steps.

Elements travel as uint32 below p. "Centred" means the representative in [−(p−1)/2, (p−1)/2].
"""

import os

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

from protocol.errors import DecodeError

P = 2**31 - 1
HALF = (P - 1) // 2

Symbols = NDArray[np.uint32]
Matrix = NDArray[np.int64]

_EXACT = 2.0**53
_LIMB = 2.0**16


def uniform(count: int) -> Symbols:
    """Draw `count` independent uniform field elements that an adversary cannot predict.

    The stream is AES-256-CTR under a fresh key from the operating system: numpy's generators are
    not cryptographic, and `os.urandom` alone costs ten times as much.

    Returns:
        uint32 array of shape (count,), below p.
    """
    stream = Cipher(AES(os.urandom(32)), CTR(bytes(16))).encryptor()
    words = np.frombuffer(stream.update(bytes(4 * count)), dtype="<u4") & np.uint32(P)
    drawn: Symbols = words.astype(np.uint32)
    # 31 bits hit p itself once in 2³¹: draw those again, reducing them would favour 0
    while (again := np.flatnonzero(drawn == P)).size:
        fresh = np.frombuffer(stream.update(bytes(4 * again.size)), dtype="<u4")
        drawn[again] = fresh & np.uint32(P)
    return drawn


def fold(values: NDArray[np.float64]) -> Symbols:
    """Reduce exact integers held in float64, |value| < 2⁵³, to field elements.

    `values` is overwritten.
    """
    values -= np.rint(values / P) * P
    remainder = values.astype(np.int32).view(np.uint32)
    # a negative remainder r is 2³²+r as uint32; adding p wraps it to r+p, the smaller of the two
    smaller: Symbols = np.minimum(remainder, remainder + np.uint32(P))
    return smaller


def centred(symbols: Symbols) -> NDArray[np.float64]:
    """Return the centred representatives as float64."""
    values = symbols.astype(np.float64)
    values[symbols > HALF] -= P
    return values


def matmul(matrix: Matrix, symbols: Symbols) -> Symbols:
    """Multiply a small matrix by rows of symbols, modulo p.

    Args:
        matrix: int64 of shape (r, d) with centred entries; d at most 127.
        symbols: uint32 of shape (d, columns).

    Returns:
        uint32 of shape (r, columns).

    Doctest:

        >>> a = np.array([[1, -1]]); b = np.array([[3], [5]], dtype=np.uint32)
        >>> int(matmul(a, b)[0, 0]) == P - 2
        True
    """
    if matrix.shape[1] > 127:
        raise ValueError(f"the exact product holds to 127 rows, found {matrix.shape[1]}")
    left = matrix.astype(np.float64)
    right = centred(symbols)
    largest_sum = float(np.abs(left).sum(axis=1).max(initial=0.0))
    if largest_sum * HALF < _EXACT:
        return fold(left @ right)
    # Beyond 53 bits: cut the symbols in two 16-bit limbs, each product is exact again.
    high = np.rint(right / _LIMB)
    right -= high * _LIMB
    upper = centred(fold(left @ high)) * _LIMB
    upper += left @ right
    return fold(upper)


def add(rows: Symbols) -> Symbols:
    """Add the rows of a (n, columns) array of symbols modulo p; n at most 2³²."""
    total: NDArray[np.uint64] = rows.sum(axis=0, dtype=np.uint64) % np.uint64(P)
    return total.astype(np.uint32)


def inverse(matrix: Matrix) -> Matrix:
    """Invert a small square matrix modulo p by Gauss-Jordan elimination.

    Returns:
        int64 of the same shape, centred entries.

    Raises:
        ZeroDivisionError: if it is singular.
    """
    size = matrix.shape[0]
    # entries stay below p, so that a product is below 2⁶² and fits int64
    rows = np.concatenate([matrix % P, np.eye(size, dtype=np.int64)], axis=1)
    for column in range(size):
        candidates = np.flatnonzero(rows[column:, column])
        if not candidates.size:
            raise ZeroDivisionError("the matrix is singular modulo p")
        pivot = column + int(candidates[0])
        rows[[column, pivot]] = rows[[pivot, column]]
        rows[column] = rows[column] * pow(int(rows[column, column]), -1, P) % P
        factors = rows[:, column].copy()
        factors[column] = 0
        rows = (rows - factors[:, None] * rows[column]) % P
    inverted: Matrix = rows[:, size:]
    inverted[inverted > HALF] -= P
    return inverted


def to_bytes(symbols: Symbols) -> bytes:
    """Encode symbols as uint32 little-endian."""
    return symbols.astype("<u4").tobytes()


def from_bytes(data: bytes, count: int) -> Symbols:
    """Decode exactly `count` symbols.

    Raises:
        DecodeError: on another length or a symbol that is not below p.
    """
    if len(data) != 4 * count:
        raise DecodeError(f"expected {count} symbols in {4 * count} bytes, found {len(data)} bytes")
    symbols: Symbols = np.frombuffer(data, dtype="<u4").astype(np.uint32)
    if symbols.size and int(symbols.max()) >= P:
        raise DecodeError(f"symbol {int(symbols.max())} is not below p = {P}")
    return symbols
