"""The head of a codebook: one storage slot of PrototypeBuffer as a Python value.

Source: contracts/src/CodebookHead.sol. From the highest bit down: the first 25 bytes of the
codebook's keccak-256, 32 bits version, 12 bits count, 10 bits epoch, 2 bits status. A commit offers
the head that it leads to, an event carries the head that was written, and the state holds it: so
what a gateway has folded can be compared with the state in one comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

STATUSES = ("unknown", "active", "removed", "suspended")
HASH_BYTES = 25
_MOST = {"version": 2**32 - 1, "count": 2**12 - 1, "epoch": 2**10 - 1}


@dataclass(frozen=True, slots=True)
class Head:
    """How an owner's codebook stands.

    Attributes:
        state_hash: 25 bytes: the start of keccak-256 of all records sorted by id.
        version: commits and grants so far.
        count: records, at most 4095.
        epoch: grants so far, at most 1023; an owner that is granted again begins with an empty
            codebook.
        status: one of `STATUSES`; suspended is active while the contract is paused.

    >>> head = Head(bytes(25), version=7, count=11, epoch=1, status="active")
    >>> hex(head.word())
    '0x700b005'
    >>> Head.of(head.word()) == head
    True
    """

    state_hash: bytes
    version: int
    count: int
    epoch: int
    status: str

    def word(self) -> int:
        """Give the storage slot.

        Raises:
            ValueError: a field is out of range.
        """
        for name, most in _MOST.items():
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"a head's {name} is 0 to {most}, not {getattr(self, name)}")
        if len(self.state_hash) != HASH_BYTES:
            raise ValueError(f"a head's hash has {HASH_BYTES} bytes, not {len(self.state_hash)}")
        low = self.version << 24 | self.count << 12 | self.epoch << 2 | STATUSES.index(self.status)
        return int.from_bytes(self.state_hash) << 56 | low

    @classmethod
    def of(cls, word: int) -> Self:
        """Read a storage slot; every word below 2²⁵⁶ is one."""
        return cls(
            (word >> 56).to_bytes(HASH_BYTES),
            word >> 24 & 0xFFFFFFFF,
            word >> 12 & 0xFFF,
            word >> 2 & 0x3FF,
            STATUSES[word & 3],
        )

    @property
    def listed(self) -> bool:
        """Whether the owner may commit now, or will when the pause ends."""
        return self.status in {"active", "suspended"}

    def same_codebook(self, other: Head) -> bool:
        """Whether both stand for the same version of the same epoch, whatever the status."""
        return replace(self, status="") == replace(other, status="")
