"""The record format of one ledger: what its bytes mean.

Source: docs/chain.md; the format is also described in `contracts/src/interfaces`.

A **record** is, big-endian, `id u16 | class u8 | weight u16 | features × i16`: that is
5 + 2·features bytes. A feature x is normalised by its channel (low → 0, high → 1) and written as
q = round(12000·x), clamped to ±32767, so that ±2.73 ranges fit; −32768 stands for a
feature that the prototype lacks; half a step is 0.004 % of a range.
A **snapshot** is all records sorted by id; the **state hash** is the first 25 bytes of its
keccak-256: 2²⁰⁰ tries for a second codebook of the same hash, 2¹⁰⁰ for any two.
A **delta** is described in `protoledger.gateway.codebook.delta`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protoledger.gateway.errors import CodebookError

STEPS_PER_RANGE = 12_000
MAX_STEPS = 32_767
MISSING = -32_768
"""In place of a feature: the prototype lacks it, because its owner never saw that channel there."""
REMOVED_CLASS = 0xFF
NARROW = 0x80
HEADER_BYTES = 5
REMOVAL_BYTES = 3
STATE_HASH_BYTES = 25  # of keccak-256: what one storage slot has room for beside the rest
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
