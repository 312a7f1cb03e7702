"""What a round's vector consists of, as numbers: coordinates, declared bits, and a value's bits.

A contribution has, for each of B windows, a value in steps for each of C channels and a one-hot
vote over the labels. Which channels it fills and whether it votes is *declared*, in public: C + 1
bits a window. What is opened of a round are the sums of the B·(C + labels) *coordinates*, each only
where enough contributors declared it.

For proofs a value v in 0 … steps is written with b = bit length of steps bits of the weights 1, 2,
4, …, 2^(b−2) and steps − 2^(b−1) + 1: every choice of bits is then a value in that range, and every
value has such a choice. The *bits* of a window are those of its channels, then the votes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from protoledger.protocol.code.field import Matrix, P, Symbols
from protoledger.protocol.code.points import sum_rows
from protoledger.protocol.errors import DecodeError

Flags = NDArray[np.bool_]
_UNPACKED, _SHORT = 64, 2**12
"""How many decoded declarations are kept, and how many bytes each may have."""


def weights(steps: int) -> list[int]:
    """Return the weights of the bits of a value in 0 … steps, steps ≥ 1.

    >>> weights(6), weights(7), weights(1)
    ([1, 2, 3], [1, 2, 4], [1])
    """
    bits = steps.bit_length()
    return [1 << i for i in range(bits - 1)] + [steps - (1 << (bits - 1)) + 1]


@dataclass(frozen=True)
class Contribution:
    """What one agent gives to a round.

    Args:
        values: int64 of shape (B, C), in steps; −1 where the channel is not declared.
        votes: int64 of shape (B,), a label's number; −1 where there is no vote.
    """

    values: NDArray[np.int64] = field(repr=False)
    votes: NDArray[np.int64] = field(repr=False)

    @cached_property
    def declared(self) -> Flags:
        """Which channels and votes are declared: shape (B, C + 1), the vote last."""
        return np.concatenate([self.values >= 0, self.votes[:, None] >= 0], axis=1)


@dataclass(frozen=True)
class Layout:
    """The shape of every contribution of a site.

    Args:
        windows: B.
        steps: the largest value of each channel, each at least 1.
        labels: how many there are.
        private: by channel, whether the minimum protects it.

    Doctest:

        >>> layout = Layout(windows=1, steps=(6,), labels=2, private=(True,))
        >>> given = Contribution(np.array([[5]]), np.array([1]))
        >>> layout.coordinates(given), layout.bits(given)
        (array([5, 0, 1], dtype=uint32), array([0, 1, 1, 0, 1], dtype=uint32))
        >>> layout.worth(layout.bits(given))
        array([5, 0, 1], dtype=uint32)
    """

    windows: int
    steps: tuple[int, ...]
    labels: int
    private: tuple[bool, ...]

    @cached_property
    def width(self) -> int:
        """Coordinates of a window: C + labels."""
        return len(self.steps) + self.labels

    @property
    def length(self) -> int:
        """Coordinates of a round."""
        return self.windows * self.width

    @cached_property
    def declared_bytes(self) -> int:
        """Bytes of one contribution's declared bits."""
        return -(-self.windows * (len(self.steps) + 1) // 8)

    @cached_property
    def _bit_counts(self) -> list[int]:
        return [steps.bit_length() for steps in self.steps]

    @cached_property
    def window_bits(self) -> int:
        """Bits and votes of a window."""
        return sum(self._bit_counts) + self.labels

    @property
    def bit_length(self) -> int:
        """Bits and votes of a round."""
        return self.windows * self.window_bits

    @cached_property
    def _weights(self) -> NDArray[np.uint64]:
        row = [weight for steps in self.steps for weight in weights(steps)] + [1] * self.labels
        return np.array(row, dtype=np.uint64)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Where each coordinate's bits begin in a window."""
        sizes = [*self._bit_counts, *[1] * self.labels]
        return np.cumsum([0, *sizes[:-1]])

    @cached_property
    def _labels(self) -> NDArray[np.int64]:
        return np.arange(self.labels)

    @cached_property
    def _largest(self) -> NDArray[np.int64]:
        return np.array(self.steps, dtype=np.int64)

    # -- one contribution ------------------------------------------------------------------------

    def check(self, given: Contribution) -> None:
        """Refuse what an honest agent must not share.

        Raises:
            ValueError: on another shape, or a value or vote out of range.
        """
        shape = self.windows, len(self.steps)
        if given.values.shape != shape or given.votes.shape != (self.windows,):
            raise ValueError(f"expected values of shape {shape}, found {given.values.shape}")
        if ((given.values < -1) | (given.values > self._largest)).any():
            raise ValueError("a value is beyond its channel's range")
        if ((given.votes < -1) | (given.votes >= self.labels)).any():
            raise ValueError("a vote is for no label of the site")

    def coordinates(self, given: Contribution) -> Symbols:
        """Return the coordinates of a contribution; what is not declared is zero."""
        rows = np.zeros((self.windows, self.width), dtype=np.uint32)
        rows[:, : len(self.steps)] = np.maximum(given.values, 0)
        voted = np.flatnonzero(given.votes >= 0)
        rows[voted, len(self.steps) + given.votes[voted]] = 1
        return rows.reshape(-1)

    @cached_property
    def _bit_places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """By bit of a window: its channel, and how far to shift; the last bit of each by 62."""
        channels = np.repeat(np.arange(len(self.steps)), self._bit_counts)
        shifts = [i if i < count - 1 else 62 for count in self._bit_counts for i in range(count)]
        return channels, np.array(shifts, dtype=np.int64)

    @cached_property
    def _last_bits(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """By channel: the largest value without the last bit, and the last bit's weight."""
        below = [(1 << (count - 1)) - 1 for count in self._bit_counts]
        last = [weights(steps)[-1] for steps in self.steps]
        return np.array(below, dtype=np.int64), np.array(last, dtype=np.int64)

    def bits(self, given: Contribution) -> Symbols:
        """Return the bits and votes of a contribution."""
        channels, shifts = self._bit_places
        below, last = self._last_bits
        rows = np.empty((self.windows, self.window_bits), dtype=np.uint32)
        values = np.maximum(given.values, 0)
        top = (values > below).astype(np.int64)
        # the last bit rides at 62, above all that a rest can have
        packed = (values - top * last) | top << 62
        rows[:, : channels.size] = packed.take(channels, axis=1) >> shifts & 1
        rows[:, channels.size :] = given.votes[:, None] == self._labels
        return rows.reshape(-1)

    def worth(self, bits: Symbols) -> Symbols:
        """Return the coordinates that bits (or any linear combination of some) stand for."""
        # the weights of a value add up to its steps, below 2³¹: so its sum stays below 2⁶²
        rows = bits.reshape(self.windows, self.window_bits) * self._weights
        worth = np.add.reduceat(rows, self._starts, axis=1) % np.uint64(P)
        return worth.astype(np.uint32).reshape(-1)

    # -- what is declared ------------------------------------------------------------------------

    def pack_declared(self, declared: Flags) -> bytes:
        """Encode the declared bits of one contribution, lowest bit first."""
        return np.packbits(declared.reshape(-1), bitorder="little").tobytes()

    def unpack_declared(self, data: bytes) -> Flags:
        """Decode the declared bits of one contribution: bool of shape (B, C + 1).

        Raises:
            DecodeError: on another length, or a bit beyond the last.
        """
        flags: Flags = self.unpack_all_declared(data, 1)[0]
        return flags

    def unpack_all_declared(self, data: bytes, count: int) -> Flags:
        """Decode those of so many contributions, one after the other: bool (count, B, C + 1).

        Raises:
            DecodeError: on another length, or a bit beyond a contribution's last.
        """
        flags = self._unpacked.get((data, count))
        if flags is None:
            flags = self._unpack(data, count)
            flags.setflags(write=False)
            if len(data) <= _SHORT:
                while len(self._unpacked) >= _UNPACKED:
                    del self._unpacked[next(iter(self._unpacked))]
                self._unpacked[data, count] = flags
        return flags

    @cached_property
    def _unpacked(self) -> dict[tuple[bytes, int], Flags]:
        """What was decoded last: most agents declare the same, round after round."""
        return {}

    def _unpack(self, data: bytes, count: int) -> Flags:
        used_bits = self.windows * (len(self.steps) + 1)
        if len(data) != self.declared_bytes * count:
            raise DecodeError(f"declared bits of {count} contributions, found {len(data)} bytes")
        octets = np.frombuffer(data, dtype=np.uint8).reshape(count, self.declared_bytes)
        bits = np.unpackbits(octets, axis=1, bitorder="little")
        if bits[:, used_bits:].any():
            raise DecodeError(
                f"declared bits {data.hex()[:40]} do not fit {used_bits} channels and votes"
            )
        flags: Flags = bits[:, :used_bits].astype(bool).reshape(count, self.windows, -1)
        if not self.labels and flags[:, :, -1].any():
            raise DecodeError("a vote is declared, and the site has no labels")
        return flags

    @cached_property
    def _bit_sizes(self) -> list[int]:
        return [*self._bit_counts, self.labels]

    def declared_bits(self, declared: Flags) -> Flags:
        """Spread the declared bits of contributions (n, B, C + 1) over their bits (n, bits)."""
        return np.repeat(declared, self._bit_sizes, axis=2).reshape(len(declared), -1)

    @cached_property
    def _least(self) -> NDArray[np.int64]:
        return np.array([not private for private in self.private] + [False], dtype=np.int64)

    def openable(self, declared: Flags, minimum: int) -> Flags:
        """Say which coordinates may be opened for contributions that declare so.

        Args:
            declared: bool of shape (n, B, C + 1), of the whole set.
            minimum: what a private channel or a vote needs; others need one contributor.

        Returns:
            bool of shape (length,).
        """
        needed = np.where(self._least, 1, minimum)
        enough = declared.sum(axis=0) >= needed
        return np.repeat(enough, [*[1] * len(self.steps), self.labels], axis=1).reshape(-1)

    def counts(self, declared: Flags) -> NDArray[np.int64]:
        """Return by coordinate how many declared it: int64 of shape (length,)."""
        found = declared.sum(axis=0)
        sizes = [*[1] * len(self.steps), self.labels]
        return np.repeat(found, sizes, axis=1).reshape(-1).astype(np.int64)


def used(bits: Symbols, declared: Flags) -> Symbols:
    """Make zero what contributors (n, bits) did not declare, whatever they sent."""
    return bits * declared.astype(np.uint32)


def weight_matrix(layout: Layout) -> Matrix:
    """Return the map from bits to coordinates as a matrix, for tests and the specification."""
    rows = [layout.worth(unit) for unit in np.eye(layout.bit_length, dtype=np.uint32)]
    return np.array(rows, dtype=np.int64).T


def total(rows: Sequence[Symbols]) -> Symbols:
    """Add rows modulo p."""
    return sum_rows(np.array(rows, dtype=np.uint32))
