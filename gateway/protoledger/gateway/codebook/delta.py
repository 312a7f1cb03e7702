"""What a commit writes: the difference of two codebooks, in as few bytes as matter.

Source: docs/chain.md. A **delta** is a row of entries sorted by id: a record inserts or
replaces, and the three bytes `id u16 | 0xff` remove. So class 255 is no label. With at most 127
labels a record may also be **narrow**, marked by the class's high bit:
`id u16 | class + 0x80 | weight u16 | features × u8`, where b stands for b/255 of the range. Most
bytes that a commit pays for are features, so that is worth up to a third of its gas. The contract
does not look into deltas.

The decoder is strict, because what it reads was written by somebody else: sorted, no id twice,
nothing left over. An entry that changes nothing is allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from protoledger.gateway.codebook.format import (
    HEADER_BYTES,
    NARROW,
    REMOVAL_BYTES,
    REMOVED_CLASS,
    STEPS_PER_RANGE,
)
from protoledger.gateway.errors import CodebookError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from protoledger.gateway.codebook.codebook import Codebook
    from protoledger.gateway.codebook.format import RecordFormat


def write_delta(
    old: NDArray[np.void],
    new: NDArray[np.void],
    form: RecordFormat,
    *,
    tolerance: float,
    weight_ratio: float,
    most: int | None,
) -> bytes:
    """Write what leads from the records `old` to `new`; see `Codebook.delta_to`.

    Both are sorted by id.
    """
    steps = tolerance * STEPS_PER_RANGE
    changes = _changes(old, new, steps, weight_ratio)
    rows = np.flatnonzero(changes)
    rows = rows[np.argsort(-changes[rows], kind="stable")][:most]
    entries = {int(record["id"]): _entry(record, form, steps) for record in new[rows]}
    for number in np.setdiff1d(old["id"], new["id"]).tolist():
        entries[number] = number.to_bytes(2) + bytes([REMOVED_CLASS])
    return b"".join(entries[number] for number in sorted(entries))


def entries_in(delta: bytes, form: RecordFormat) -> int:
    """Count the records that a delta writes and removes.

    Raises:
        CodebookError: see `split_delta`.
    """
    written, removed = split_delta(delta, form)
    return len(written) + len(removed)


def worth_it(delta: bytes, target: Codebook, least: int) -> bool:
    """Whether a delta writes enough to be committed.

    Args:
        delta: what would be committed.
        target: what is wanted.
        least: entries that are enough; half of the wanted codebook always is.
    """
    enough = min(least, -(-len(target) // 2))
    return bool(delta) and entries_in(delta, target.form) >= enough


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


def _changes(
    old: NDArray[np.void], new: NDArray[np.void], steps: float, weight_ratio: float
) -> NDArray[np.float64]:
    """Say how much each record of `new` changed, as far as it matters; 0 if it may be left out."""
    _, before, after = np.intersect1d(old["id"], new["id"], assume_unique=True, return_indices=True)
    moved = np.full(len(new), float(STEPS_PER_RANGE))
    off = old["q"][before].astype(np.int64) - new["q"][after]
    moved[after] = np.abs(off).max(axis=1)
    light, heavy = np.sort([old["weight"][before], new["weight"][after]], axis=0).astype(np.int64)
    same = old["class"][before] == new["class"][after]
    small = np.zeros(len(new), np.bool_)
    small[after] = same & (moved[after] <= steps) & (heavy <= light * weight_ratio)
    moved[after[~same]] = STEPS_PER_RANGE
    return np.where(small, 0.0, (1 + moved) * np.sqrt(new["weight"] + 1.0))
