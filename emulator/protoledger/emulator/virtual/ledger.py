"""A chain in virtual time: what it holds and when who sees it; deltas and records are real ones.

Blocks come at a fixed interval, and a commit lands in the next one. Gas, fees, reorganisations and
nodes that err are for a real chain: `protoledger.experiments.on_chain` and the ledger's tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from protoledger.gateway.codebook.codebook import Codebook

if TYPE_CHECKING:
    from collections.abc import Callable

    from protoledger.emulator.virtual.clock import Clock
    from protoledger.emulator.virtual.links import Links
    from protoledger.gateway.codebook.codebook import RecordFormat
    from protoledger.gateway.training.commits import Omissions

RETRY_S: Final = 5.0
CALL_BYTES: Final = 400
"""Of a transaction and of a block's answer beside the delta: only what links carry is counted."""

Told: TypeAlias = "Callable[[str, Codebook, int], None]"
"""Takes an owner, its codebook and the version."""


@dataclass
class Book:
    """What the chain holds of one owner."""

    codebook: Codebook
    version: int = 0
    sent_bytes: int = 0


@dataclass
class VirtualLedger:
    """All owners' codebooks.

    Attributes:
        clock: of the run.
        links: gateways reach a node over the same links as the broker.
        form: of a record.
        omissions: what a commit leaves out.
        block_s: seconds between blocks.
        books: by owner.
    """

    clock: Clock
    links: Links
    form: RecordFormat
    omissions: Omissions
    block_s: float
    books: dict[str, Book] = field(default_factory=dict)
    _told: dict[str, Told] = field(default_factory=dict)

    def join(self, owner: str, told: Told) -> None:
        """Add an owner; it hears of every owner's commits, its own among them."""
        self.books[owner] = Book(Codebook.empty(self.form))
        self._told[owner] = told

    def submit(self, owner: str, wanted: Codebook) -> bool:
        """Commit what has changed; False if nothing has."""
        book = self.books[owner]
        delta = book.codebook.delta_to(
            wanted,
            tolerance=self.omissions.tolerance,
            weight_ratio=self.omissions.weight_ratio,
            most=self.omissions.owed,
        )
        if not delta:
            return False
        self._send(owner, delta)
        return True

    def _send(self, owner: str, delta: bytes) -> None:
        """Try until the owner's link carries it; the gateway's outbox does the same."""
        if not self.links.reaches(owner):
            self.clock.after(RETRY_S, lambda: self._send(owner, delta))
            return
        block = self.block_s * (math.floor(self.clock.now / self.block_s) + 1)
        self.clock.at(block, lambda: self._land(owner, delta))

    def _land(self, owner: str, delta: bytes) -> None:
        book = self.books[owner]
        book.codebook = book.codebook.apply(delta)
        book.version += 1
        book.sent_bytes += len(delta)
        for reader in self._told:
            self._tell(reader, owner, len(delta) + CALL_BYTES)

    def _tell(self, reader: str, owner: str, size: int) -> None:
        """Let a reader see the newest state, again and again until its link carries it."""
        if not self.links.reaches(reader):
            self.clock.after(RETRY_S, lambda: self._tell(reader, owner, size))
            return
        book = self.books[owner]
        self.links.carried += size
        self._told[reader](owner, book.codebook, book.version)
