"""Arithmetic in the prime field of p = 2³¹−1 on numpy arrays.

SwiftAgg+ (arXiv 2203.13060, section III) works in any field with enough points; this prime keeps a
symbol in 31 bits, so that sums of two fit 32 and products of a small and a centred symbol fit the
53 exact bits of a float64. That is where the speed comes from: one BLAS product and one fold
instead of modular steps.

Elements travel as uint32 below p. "Centred" means the representative in [−(p−1)/2, (p−1)/2].
"""

import secrets
from collections.abc import Sequence
from typing import cast

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

from protoledger.protocol.errors import DecodeError

P = 2**31 - 1
HALF = (P - 1) // 2

Symbols = NDArray[np.uint32]
Matrix = NDArray[np.int64]
Floats = NDArray[np.float64]
_Work = tuple[Floats, Floats, Floats, Symbols]

_EXACT = 2.0**53
_LIMB = 2**16
_RECIPROCAL = 1.0 / P
BLOCK_WORK = 2**18  # multiplications: up to here OpenBLAS stays in its caller's thread
_BLOCK_SIZE = 2**15  # numbers: what fits the cache
_FEW = 512  # symbols: up to here a key schedule costs more than the operating system's own bytes
_SMALL = 2048  # symbols of a product: up to here calls cost more than divisions
_WIDE = 2048  # symbols: from here memory counts and no longer calls
_ZEROS = bytes(2**16)


def uniform(count: int) -> Symbols:
    """Draw `count` independent uniform field elements that an adversary cannot predict.

    The stream is AES-256-CTR under a fresh key from the operating system: numpy's generators are
    not cryptographic, and `secrets.token_bytes` alone costs ten times as much where there is much
    to draw.

    Returns:
        uint32 array of shape (count,), below p.
    """
    drawn = np.empty(count, dtype=np.uint32)
    octets = drawn.view(np.uint8).data
    if count <= _FEW:
        octets[:] = secrets.token_bytes(4 * count)
    else:
        stream = Cipher(AES(secrets.token_bytes(32)), CTR(bytes(16))).encryptor()
        for begin in range(0, 4 * count, len(_ZEROS)):
            block = octets[begin : begin + len(_ZEROS)]
            stream.update_into(_ZEROS[: len(block)], block)
    drawn &= np.uint32(P)
    # 31 bits hit p itself once in 2³¹: draw those again, reducing them would favour 0
    while count and int(drawn.max()) == P:
        again = np.flatnonzero(drawn == P)
        drawn[again] = np.frombuffer(secrets.token_bytes(4 * again.size), np.uint32) & np.uint32(P)
    return drawn


class Multiplier:
    """A small matrix, made ready to multiply rows of symbols modulo p.

    It works in blocks of columns and in the same few buffers. They stay in the cache, and are too
    small for a BLAS to wake its threads, which would cost many times what they bring.

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
        self._block = max(1, BLOCK_WORK // max(1, rows * inner))
        self._block = min(self._block, max(1, _BLOCK_SIZE // max(1, rows, inner)))

    def __call__(self, symbols: Symbols, product: Symbols | None = None) -> Symbols:
        """Multiply uint32 of shape (d, columns); returns uint32 of shape (r, columns).

        The product is written to `product`, if that is given.
        """
        rows, inner = self._left.shape
        columns = symbols.shape[1]
        if product is None:
            product = np.empty((rows, columns), dtype=np.uint32)
        if rows * columns <= _SMALL:
            product[:] = self._small(symbols)
            return product
        width = min(columns, self._block)
        # made for each product: a site's code is shared by its agents' threads in tests
        factor, sums = np.empty((inner, width)), np.empty((rows, width))
        multiples, spare = np.empty((rows, width)), np.empty((rows, width), dtype=np.uint32)
        for begin in range(0, columns, max(1, width)):
            block, out = symbols[:, begin : begin + width], product[:, begin : begin + width]
            count = block.shape[1]
            work = factor[:, :count], sums[:, :count], multiples[:, :count], spare[:, :count]
            (self._single if self._exact else self._in_limbs)(block, out, work)
        return product

    def _small(self, symbols: Symbols) -> Matrix:
        if self._exact:
            return (self._left @ symbols).astype(np.int64) % P
        high = (symbols + np.uint32(_LIMB // 2)) >> np.uint32(16)
        low = (symbols - (high << np.uint32(16))).view(np.int32)
        upper = (self._left @ high).astype(np.int64) % P
        return ((upper << 16) + (self._left @ low).astype(np.int64)) % P

    def _single(self, symbols: Symbols, out: Symbols, work: _Work) -> None:
        factor, sums, multiples, spare = work
        factor[:] = symbols
        np.matmul(self._left, factor, out=sums)
        _fold(sums, out, multiples, spare)

    def _in_limbs(self, symbols: Symbols, out: Symbols, work: _Work) -> None:
        # Beyond 53 bits: two limbs of at most 2¹⁵ in absolute value, each product is exact again.
        factor, sums, multiples, spare = work
        high = (symbols + np.uint32(_LIMB // 2)) >> np.uint32(16)
        factor[:] = high
        np.matmul(self._left, factor, out=sums)
        _fold(sums, out, multiples, spare)
        factor[:] = (symbols - (high << np.uint32(16))).view(np.int32)
        np.matmul(self._left, factor, out=sums)
        np.multiply(out, float(_LIMB), out=multiples)
        sums += multiples
        _fold(sums, out, multiples, spare)


def _fold(values: Floats, out: Symbols, multiples: Floats, spare: Symbols) -> None:
    """Reduce exact integers held in float64, |value| < 2⁵³, to field elements.

    All arrays have one shape; `values`, `multiples` and `spare` are overwritten.
    """
    # the reciprocal may miss the nearest multiple by one where two are as near: no harm is done
    np.multiply(values, _RECIPROCAL, out=multiples)
    np.rint(multiples, out=multiples)
    multiples *= P
    values -= multiples
    out.view(np.int32)[:] = values
    # a negative remainder r is 2³²+r as uint32; adding p wraps it to r+p, the smaller of the two
    np.add(out, np.uint32(P), out=spare)
    np.minimum(out, spare, out=out)


def matmul(matrix: Matrix, symbols: Symbols) -> Symbols:
    """Multiply a small matrix by rows of symbols, modulo p; see `Multiplier`."""
    return Multiplier(matrix)(symbols)


def add(rows: Sequence[Symbols]) -> Symbols:
    """Add rows of symbols modulo p, one at least and at most 2³²."""
    if rows[0].size < _WIDE:
        total = np.array(rows).sum(axis=0, dtype=np.uint64) % np.uint64(P)
        return cast("Symbols", total.astype(np.uint32))
    # one after the other they fit 32 bits, and no wider copy of all is made
    result, reduced = rows[0].copy(), np.empty_like(rows[0])
    for row in rows[1:]:
        result += row
        np.subtract(result, np.uint32(P), out=reduced)  # wraps to a large number if it was below
        np.minimum(result, reduced, out=result)
    return result


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


def to_bytes(symbols: Symbols) -> memoryview:
    """Encode symbols as uint32 little-endian: their own memory, where it is so already."""
    return np.ascontiguousarray(symbols, dtype="<u4").view(np.uint8).data


def words(data: bytes) -> Symbols:
    """Read four bytes each as an integer that may be p or above; a view that is not writable."""
    found: Symbols = np.frombuffer(data, dtype="<u4").astype(np.uint32, copy=False)
    return found


def from_bytes(data: bytes, count: int) -> Symbols:
    """Decode exactly `count` symbols, as a view of `data` that cannot be written to.

    Raises:
        DecodeError: on another length or a symbol that is not below p.
    """
    if len(data) != 4 * count:
        raise DecodeError(f"expected {count} symbols in {4 * count} bytes, found {len(data)} bytes")
    symbols = words(data)
    if symbols.size and int(symbols.max()) >= P:
        raise DecodeError(f"symbol {int(symbols.max())} is not below p = {P}")
    return symbols
