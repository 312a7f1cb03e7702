"""A codebook as the ledger holds it: an immutable value, with its bytes, deltas and state hash.

The record format is described in `protoledger.gateway.codebook.format`, that of deltas in
`protoledger.gateway.codebook.delta`. Decoders are strict, because what they read was written by
somebody else: sorted, no id twice, no unknown class, no prototype without a feature, nothing
left over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from eth_hash.auto import keccak

from protoledger.gateway.codebook.delta import split_delta, write_delta
from protoledger.gateway.codebook.format import (
    MAX_STEPS,
    MISSING,
    STATE_HASH_BYTES,
    STEPS_PER_RANGE,
    RecordFormat,
)
from protoledger.gateway.errors import CodebookError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["MAX_STEPS", "STEPS_PER_RANGE", "Codebook", "RecordFormat"]


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
            features: shape (n, d), normalised by channel (low → 0, high → 1), finite; NaN for a
                feature that the prototype lacks.
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
        if np.isinf(wanted).any() or not (np.isfinite(heavy).all() and (heavy >= 0).all()):
            raise CodebookError("a prototype has a weight or feature that is not a number ≥ 0")
        if any(column.shape != (len(wanted),) for column in (*columns, heavy)):
            raise CodebookError(
                f"{len(wanted)} rows of features, but ids, classes and weights have shapes "
                f"{columns[0].shape}, {columns[1].shape} and {heavy.shape}",
            )
        records = np.empty(len(wanted), form.dtype)
        records["id"], records["class"] = columns
        records["weight"] = np.minimum(np.rint(heavy), 65_535)
        steps = np.clip(np.rint(wanted * STEPS_PER_RANGE), -MAX_STEPS, MAX_STEPS)
        records["q"] = np.where(np.isnan(wanted), MISSING, steps)
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
        if (records["q"] == MISSING).all(axis=1).any():
            raise CodebookError("a prototype lacks every feature")
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
        """Features as reconstructed, shape (n, d), in channel ranges; NaN where one is missing."""
        q = self.records["q"]
        return np.where(q == MISSING, np.nan, q / float(STEPS_PER_RANGE))

    def encode(self) -> bytes:
        """Write the snapshot."""
        return self.records.tobytes()

    @cached_property
    def _hash(self) -> bytes:
        return self.hash_of(self.encode())

    def state_hash(self) -> bytes:
        """Give what the contract keeps: the first 25 bytes of the snapshot's keccak-256."""
        return self._hash

    @staticmethod
    def hash_of(snapshot: bytes) -> bytes:
        """Give the state hash of a snapshot that is not decoded."""
        return keccak(snapshot)[:STATE_HASH_BYTES]

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
        return write_delta(
            self.records,
            new.records,
            self.form,
            tolerance=tolerance,
            weight_ratio=weight_ratio,
            most=most,
        )

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


def _whole(values: ArrayLike, name: str, largest: int) -> NDArray[np.int64]:
    found = np.asarray(values)
    if not found.size:
        return np.empty(0, np.int64)
    if found.dtype.kind not in "iu" or found.min() < 0 or found.max() > largest:
        raise CodebookError(f"{name} must be whole numbers from 0 to {largest}, not {found!r}")
    return found.astype(np.int64)
