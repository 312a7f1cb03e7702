"""A codebook as the ledger holds it: its record format, deltas and state hash.

Source: the design's section 6; the format is also told in `contracts/src/interfaces`.

A **record** is, big-endian, `id u16 | class u8 | weight u16 | features × i16`: that is
5 + 2·features bytes. A feature x is normalised by its channel (low → 0, high → 1) and written as
q = round(12000·x), clamped to ±32767, so that ±2.73 ranges fit; half a step is 0.004 % of a range.
A **snapshot** is all records sorted by id; the **state hash** is its keccak-256.
A **delta** is a row of entries sorted by id: a record inserts or replaces, and the three bytes
`id u16 | 0xff` remove. So class 255 is no label. With at most 127 labels a record may also be
**narrow**, marked by the class's high bit: `id u16 | class + 0x80 | weight u16 | features × u8`,
where b stands for b/255 of the range. Most bytes that a commit pays for are features, so that is
worth up to a third of its gas. The contract does not look into deltas.

Decoders are strict, because what they read was written by somebody else: sorted, no id twice, no
unknown class, no feature below −32767, nothing left over. An entry that changes nothing is allowed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from eth_hash.auto import keccak

from gateway.errors import CodebookError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

STEPS_PER_RANGE = 12_000
MAX_STEPS = 32_767
REMOVED_CLASS = 0xFF
NARROW = 0x80
HEADER_BYTES = 5
REMOVAL_BYTES = 3
SNAPSHOT_BYTES = 24_575  # what the code of one data contract holds, as the contract checks it


@dataclass(frozen=True, slots=True)
class RecordFormat:
    """How many features and labels the records of one ledger have.

    Attributes:
        features: features of a prototype, 1–255.
        labels: classes are below this, 1–255.

    Raises:
        CodebookError: out of range.
    """

    features: int
    labels: int

    def __post_init__(self) -> None:
        if not (1 <= self.features <= 255 and 1 <= self.labels <= 255):
            raise CodebookError(
                f"a record has 1–255 features and 1–255 labels, not {self.features} and "
                f"{self.labels}",
            )

    @property
    def record_bytes(self) -> int:
        """Bytes of one record."""
        return HEADER_BYTES + 2 * self.features

    @property
    def narrow_bytes(self) -> int:
        """Bytes of one narrow record in a delta."""
        return HEADER_BYTES + self.features

    def is_narrow(self, class_byte: int) -> bool:
        """Whether this class byte of a delta's entry marks a narrow record."""
        return self.labels < NARROW <= class_byte < REMOVED_CLASS

    @property
    def max_records(self) -> int:
        """Most records of a codebook: the contract refuses more."""
        return SNAPSHOT_BYTES // self.record_bytes

    @property
    def dtype(self) -> np.dtype[np.void]:
        """A record as a packed numpy structure, so that arrays of it are the encoding."""
        return np.dtype(
            [("id", ">u2"), ("class", "u1"), ("weight", ">u2"), ("q", ">i2", (self.features,))],
        )


@dataclass(frozen=True, eq=False)
class Codebook:
    """Prototypes as the ledger holds them: an immutable value, sorted by id.

    Use the constructors `empty`, `from_prototypes` and `decode`; they check everything.

    Attributes:
        form: the record format.
        records: read-only structured array, shape (n,), dtype `form.dtype`, ids rising.

    >>> old = Codebook.from_prototypes([7, 3], [0, 1], [5, 9], [[0.5, 0.25], [0.0, 1.0]], labels=2)
    >>> old.ids.tolist(), old.features().tolist()
    ([3, 7], [[0.0, 1.0], [0.5, 0.25]])
    >>> new = Codebook.from_prototypes([7], [0], [6], [[0.5, 0.25]], labels=2)
    >>> delta = old.delta_to(new)
    >>> delta.hex()  # 3 is removed, 7 has another weight
    '0003ff000700000617700bb8'
    >>> old.apply(delta) == new
    True
    >>> Codebook.decode(new.encode(), new.form) == new
    True
    >>> new.state_hash().hex()[:16]
    '291139af0de39e2a'
    """

    form: RecordFormat
    records: NDArray[np.void] = field(repr=False)

    @classmethod
    def empty(cls, form: RecordFormat) -> Codebook:
        """Give the codebook before the first commit."""
        return cls._checked(form, np.empty(0, form.dtype))

    @classmethod
    def from_prototypes(
        cls,
        ids: ArrayLike,
        classes: ArrayLike,
        weights: ArrayLike,
        features: ArrayLike,
        *,
        labels: int,
    ) -> Codebook:
        """Quantise prototypes, in any order.

        Args:
            ids: shape (n,), 0–65535, each once; an id that stays keeps a delta small.
            classes: shape (n,), below `labels`.
            weights: shape (n,), not negative; rounded, and 65535 stands for anything above.
            features: shape (n, d), normalised by channel (low → 0, high → 1), finite.
            labels: labels of the ledger.

        Raises:
            CodebookError: something is out of range, or there are more prototypes than fit.
        """
        wanted = np.asarray(features, np.float64)
        if wanted.ndim != 2:
            raise CodebookError(f"features have shape {wanted.shape}; expected (n, d)")
        form = RecordFormat(wanted.shape[1], labels)
        columns = [_whole(ids, "ids", 65_535), _whole(classes, "classes", labels - 1)]
        heavy = np.asarray(weights, np.float64)
        if not (np.isfinite(wanted).all() and np.isfinite(heavy).all() and (heavy >= 0).all()):
            raise CodebookError("a prototype has a weight or feature that is not a number ≥ 0")
        if any(column.shape != (len(wanted),) for column in (*columns, heavy)):
            raise CodebookError(
                f"{len(wanted)} rows of features, but ids, classes and weights have shapes "
                f"{columns[0].shape}, {columns[1].shape} and {heavy.shape}",
            )
        records = np.empty(len(wanted), form.dtype)
        records["id"], records["class"] = columns
        records["weight"] = np.minimum(np.rint(heavy), 65_535)
        records["q"] = np.clip(np.rint(wanted * STEPS_PER_RANGE), -MAX_STEPS, MAX_STEPS)
        return cls._checked(form, records[np.argsort(columns[0], kind="stable")])

    @classmethod
    def decode(cls, snapshot: bytes, form: RecordFormat) -> Codebook:
        """Read a snapshot.

        Raises:
            CodebookError: it is not what `encode` writes.
        """
        if len(snapshot) % form.record_bytes:
            raise CodebookError(
                f"a snapshot of {len(snapshot)} bytes is no row of {form.record_bytes}-byte "
                "records",
            )
        return cls._checked(form, np.frombuffer(snapshot, form.dtype))

    @classmethod
    def _checked(cls, form: RecordFormat, records: NDArray[np.void]) -> Codebook:
        if len(records) > form.max_records:
            raise CodebookError(f"{len(records)} records; the ledger holds {form.max_records}")
        ids = records["id"].astype(np.int64)
        if (np.diff(ids) <= 0).any():
            raise CodebookError("ids must rise: one is out of order or comes twice")
        if (records["class"] >= form.labels).any():
            raise CodebookError(f"class {records['class'].max()}; there are {form.labels} labels")
        if (records["q"] < -MAX_STEPS).any():
            raise CodebookError(f"a feature of {-MAX_STEPS - 1} steps is not in the format")
        records.setflags(write=False)
        return cls(form, records)

    @property
    def ids(self) -> NDArray[np.int64]:
        """Ids, shape (n,), rising."""
        return self.records["id"].astype(np.int64)

    @property
    def classes(self) -> NDArray[np.int64]:
        """Class of each prototype, shape (n,)."""
        return self.records["class"].astype(np.int64)

    @property
    def weights(self) -> NDArray[np.int64]:
        """How much each prototype has learnt from, shape (n,), saturated at 65535."""
        return self.records["weight"].astype(np.int64)

    def features(self) -> NDArray[np.float64]:
        """Features as reconstructed, shape (n, d), in channel ranges."""
        return self.records["q"] / float(STEPS_PER_RANGE)

    def encode(self) -> bytes:
        """Write the snapshot."""
        return self.records.tobytes()

    @cached_property
    def _hash(self) -> bytes:
        return keccak(self.encode())

    def state_hash(self) -> bytes:
        """Give the 32 bytes that the contract keeps: keccak-256 of the snapshot."""
        return self._hash

    def delta_to(
        self,
        new: Codebook,
        *,
        tolerance: float = 0.0,
        weight_ratio: float = 1.0,
        most: int | None = None,
    ) -> bytes:
        """Write what must change to reach `new`, possibly leaving small changes out.

        What is then committed is `apply(delta)`, which equals `new` if nothing is left out. A
        prototype that is left out keeps its old record, and is compared with that again the next
        time, so errors do not add up.

        Args:
            new: where to go; its format must be the same.
            tolerance: features that all moved by at most this share of the range are left out, and
                a record is written narrow if that moves none of its features by more.
            weight_ratio: a weight that grew or shrank by at most this factor is left out; ≥ 1.
            most: records to write at most; those that change most go first, the others wait for
                the next delta. Removals are always written.

        Returns:
            The delta; empty if there is nothing to say.

        Raises:
            CodebookError: the formats differ.
        """
        if new.form != self.form:
            raise CodebookError(f"a delta from {self.form} to {new.form}")
        old_rows = {int(number): row for row, number in enumerate(self.ids)}
        steps = tolerance * STEPS_PER_RANGE
        changed: list[tuple[float, int, bytes]] = []
        for row, number in enumerate(new.ids.tolist()):
            after = new.records[row]
            at = old_rows.get(number)
            change = _change(None if at is None else self.records[at], after, steps, weight_ratio)
            if change:
                changed.append((-change, number, _entry(after, self.form, steps)))
        entries = {number: entry for _, number, entry in sorted(changed)[:most]}
        for number in old_rows.keys() - set(new.ids.tolist()):
            entries[number] = number.to_bytes(2) + bytes([REMOVED_CLASS])
        return b"".join(entries[number] for number in sorted(entries))

    def apply(self, delta: bytes) -> Codebook:
        """Follow a delta that was written for exactly this codebook.

        Raises:
            CodebookError: the delta is malformed, or removes what is not there.
        """
        written, removed = split_delta(delta, self.form)
        rows = {int(record["id"]): record.tobytes() for record in self.records}
        for number in removed:
            if rows.pop(number, None) is None:
                raise CodebookError(f"a delta removes prototype {number}, which does not exist")
        rows.update(written)
        return Codebook.decode(b"".join(rows[number] for number in sorted(rows)), self.form)

    def __len__(self) -> int:
        return len(self.records)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Codebook):
            return NotImplemented
        return self.form == other.form and self.encode() == other.encode()

    def __hash__(self) -> int:
        return hash((self.form, self._hash))


def split_delta(delta: bytes, form: RecordFormat) -> tuple[dict[int, bytes], Sequence[int]]:
    """Take a delta apart.

    Returns:
        Records that it writes, by id, and ids that it removes.

    Raises:
        CodebookError: it is cut, or its ids do not rise. Classes are checked by `apply`.
    """
    written: dict[int, bytes] = {}
    removed: list[int] = []
    at, previous = 0, -1
    while at < len(delta):
        class_byte = delta[at + 2] if at + 2 < len(delta) else 0
        size = form.record_bytes
        if class_byte == REMOVED_CLASS:
            size = REMOVAL_BYTES
        elif form.is_narrow(class_byte):
            size = form.narrow_bytes
        if at + size > len(delta):
            raise CodebookError(f"a delta of {len(delta)} bytes ends within the entry at {at}")
        number = int.from_bytes(delta[at : at + 2])
        if number <= previous:
            raise CodebookError(f"a delta names prototype {number} after {previous}")
        entry = delta[at : at + size]
        if class_byte == REMOVED_CLASS:
            removed.append(number)
        else:
            written[number] = _widened(entry) if form.is_narrow(class_byte) else entry
        at, previous = at + size, number
    return written, removed


def _widened(entry: bytes) -> bytes:
    """Give the record that a narrow entry stands for."""
    narrow = np.frombuffer(entry, np.uint8, offset=HEADER_BYTES).astype(np.int64)
    header = entry[:2] + bytes([entry[2] - NARROW]) + entry[3:HEADER_BYTES]
    features: bytes = _from_narrow(narrow).astype(">i2").tobytes()
    return header + features


def _from_narrow(narrow: NDArray[np.int64]) -> NDArray[np.int64]:
    # Whole numbers, so that every machine that folds a delta finds the same hash.
    return (2 * narrow * STEPS_PER_RANGE + 255) // 510


def _entry(record: np.void, form: RecordFormat, steps: float) -> bytes:
    """Write a record, narrow if that moves no feature by more than `steps`."""
    wide: bytes = record.tobytes()
    q = record["q"].astype(np.int64)
    if not form.labels < NARROW or q.min() < 0 or q.max() > STEPS_PER_RANGE:
        return wide
    narrow = (2 * q * 255 + STEPS_PER_RANGE) // (2 * STEPS_PER_RANGE)
    if np.abs(_from_narrow(narrow) - q).max() > steps:
        return wide
    header = wide[:2] + bytes([wide[2] + NARROW]) + wide[3:HEADER_BYTES]
    features: bytes = narrow.astype(np.uint8).tobytes()
    return header + features


def _whole(values: ArrayLike, name: str, largest: int) -> NDArray[np.int64]:
    found = np.asarray(values)
    if not found.size:
        return np.empty(0, np.int64)
    if found.dtype.kind not in "iu" or found.min() < 0 or found.max() > largest:
        raise CodebookError(f"{name} must be whole numbers from 0 to {largest}, not {found!r}")
    return found.astype(np.int64)


def _change(old: np.void | None, new: np.void, steps: float, weight_ratio: float) -> float:
    """Say how much a record changed, as far as it matters; 0 if it may be left out."""
    importance = math.sqrt(int(new["weight"]) + 1)
    if old is None or old["class"] != new["class"]:
        return (1 + STEPS_PER_RANGE) * importance
    moved = int(np.abs(old["q"].astype(np.int64) - new["q"].astype(np.int64)).max())
    light, heavy = sorted((int(old["weight"]), int(new["weight"])))
    small = moved <= steps and heavy <= light * weight_ratio
    return 0.0 if small else (1 + moved) * importance
