"""Numbers and keys that look random and never change, so that vectors are always the same bytes."""

import hashlib
from typing import Any

from protoledger.experiments.vectors.slow.algebra import P

Content = dict[str, Any]
"""An object of a vector file, as JSON has it: bytes are hexadecimal, symbols are numbers."""


def drawn(tag: str, count: int, below: int = P) -> list[int]:
    """Return numbers in [0, below)."""
    return [
        int.from_bytes(hashlib.sha256(f"{tag} {i}".encode()).digest(), "big") % below
        for i in range(count)
    ]


def seed(tag: str) -> bytes:
    """Return 32 bytes."""
    return hashlib.sha256(tag.encode()).digest()
