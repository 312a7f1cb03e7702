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
_LIMB = 2**16
_RECIPROCAL = 1.0 / P
_BLOCK_WORK = 2**18  # multiplications: up to here OpenBLAS stays in its caller's thread
_BLOCK_SIZE = 2**15  # numbers: what is larger the allocator maps anew every time


def uniform(count: int) -> Symbols:
    """Draw `count` independent uniform field elements that an adversary cannot predict.

    The stream is AES-256-CTR under a fresh key from the operating system: numpy's generators are
    not cryptographic, and `os.urandom` alone costs ten times as much.

    Returns:
        uint32 array of shape (count,), below p.
    """
    stream = Cipher(AES(os.urandom(32)), CTR(bytes(16))).encryptor()
    words = np.frombuffer(stream.update(bytes(4 * count)), dtype="<u4")
    drawn: Symbols = (words & np.uint32(P)).astype(np.uint32, copy=False)
    # 31 bits hit p itself once in 2³¹: draw those again, reducing them would favour 0
    while count and int(drawn.max()) == P:
        again = np.flatnonzero(drawn == P)
        fresh = np.frombuffer(stream.update(bytes(4 * again.size)), dtype="<u4")
        drawn[again] = fresh & np.uint32(P)
    return drawn


def fold(values: NDArray[np.float64]) -> Symbols:
    """Reduce exact integers held in float64, |value| < 2⁵³, to field elements.

    `values` is overwritten.
    """
    # the reciprocal may miss the nearest multiple by one where two are as near: no harm is done
    multiples = values * _RECIPROCAL
    np.rint(multiples, out=multiples)
    multiples *= P
    values -= multiples
    remainder = values.astype(np.int32).view(np.uint32)
    # a negative remainder r is 2³²+r as uint32; adding p wraps it to r+p, the smaller of the two
    smaller: Symbols = remainder + np.uint32(P)
    return np.minimum(remainder, smaller, out=smaller)


class Multiplier:
    """A small matrix, made ready to multiply rows of symbols modulo p.

    It works in blocks of columns. They stay in the cache, and are too small for a BLAS to wake its
    threads, which would cost many times what they bring.

    Args:
        matrix: int64 of shape (r, d) with centred entries; d at most 127.

    Raises:
        ValueError: if it has more columns than that.

    Doctest:

        >>> times = Multiplier(np.array([[1, -1]]))
        >>> int(times(np.array([[3], [5]], dtype=np.uint32))[0, 0]) == P - 2
        True
    """

    def __init__(self, matrix: Matrix) -> None:
        if matrix.shape[1] > 127:
            raise ValueError(f"the exact product holds to 127 rows, found {matrix.shape[1]}")
        self._left = matrix.astype(np.float64)
        largest_sum = float(np.abs(self._left).sum(axis=1).max(initial=0.0))
        self._exact = largest_sum * P < _EXACT
        rows, inner = matrix.shape
        self._block = max(1, _BLOCK_WORK // max(1, rows * inner))
        self._block = min(self._block, max(1, _BLOCK_SIZE // max(1, rows, inner)))

    def __call__(self, symbols: Symbols) -> Symbols:
        """Multiply uint32 of shape (d, columns); returns uint32 of shape (r, columns)."""
        multiply = self._single if self._exact else self._in_limbs
        columns = symbols.shape[1]
        if columns <= self._block:
            return multiply(symbols)
        product = np.empty((self._left.shape[0], columns), dtype=np.uint32)
        for begin in range(0, columns, self._block):
            block = slice(begin, begin + self._block)
            product[:, block] = multiply(symbols[:, block])
        return product

    def _single(self, symbols: Symbols) -> Symbols:
        return fold(self._left @ symbols.astype(np.float64))

    def _in_limbs(self, symbols: Symbols) -> Symbols:
        # Beyond 53 bits: two limbs of at most 2¹⁵ in absolute value, each product is exact again.
        high = (symbols + np.uint32(_LIMB // 2)) >> np.uint32(16)
        low = (symbols - (high << np.uint32(16))).view(np.int32)
        upper = fold(self._left @ high.astype(np.float64)).astype(np.float64)
        upper *= _LIMB
        upper += self._left @ low.astype(np.float64)
        return fold(upper)


def matmul(matrix: Matrix, symbols: Symbols) -> Symbols:
    """Multiply a small matrix by rows of symbols, modulo p; see `Multiplier`."""
    return Multiplier(matrix)(symbols)


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
    return symbols.astype("<u4", copy=False).tobytes()


def from_bytes(data: bytes, count: int) -> Symbols:
    """Decode exactly `count` symbols, as a view of `data` that cannot be written to.

    Raises:
        DecodeError: on another length or a symbol that is not below p.
    """
    if len(data) != 4 * count:
        raise DecodeError(f"expected {count} symbols in {4 * count} bytes, found {len(data)} bytes")
    symbols: Symbols = np.frombuffer(data, dtype="<u4").astype(np.uint32, copy=False)
    if symbols.size and int(symbols.max()) >= P:
        raise DecodeError(f"symbol {int(symbols.max())} is not below p = {P}")
    return symbols
