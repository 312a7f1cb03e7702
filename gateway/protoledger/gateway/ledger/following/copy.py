"""The copy of the chain: every owner's folded codebooks, with the block that each came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from protoledger.contracts.client.heads import Head

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from threading import RLock

KEPT_VERSIONS = 32  # a reorg deeper than these reads the chain from its start
KEPT_SCANS = 256
BY_CHECKPOINT = "0x"  # in place of a transaction: what was before is not known
BY_GRANT = "0x0"  # the empty codebook that an epoch begins with

_VERSION = "owner, version, block, tx_hash, snapshot, head, lie"


@dataclass(frozen=True, slots=True)
class Version:
    """One folded version of an owner.

    Attributes:
        owner: address, 0x-hex in lower case.
        block: where it came from.
        tx_hash: the transaction that made it, `BY_CHECKPOINT` or `BY_GRANT`.
        snapshot: its records; the last ones that were believed if it is a lie.
        head: what the owner claims, and the state holds.
        lie: why it is not believed; empty if it is.
    """

    owner: str
    block: int
    tx_hash: str
    snapshot: bytes = field(repr=False)
    head: Head
    lie: str

    @property
    def version(self) -> int:
        """Its number."""
        return self.head.version


def objection(newest: Version | None, *, active: bool) -> str:
    """Say why an owner's codebook does not count; empty if it does.

    Args:
        newest: its newest version; None if there is none.
        active: whether the owner may write.
    """
    if newest is None:
        return "its commits were undone: the chain was reorganised"
    if newest.lie:
        return f"it is not believed: {newest.lie}"
    return "" if active else "the contract's owner removed it"


class ChainCopy:
    """Tables of the ledger's store; see there.

    Args:
        db: the store's connection.
        lock: guards it.
    """

    def __init__(self, db: sqlite3.Connection, lock: RLock) -> None:
        self._db, self._lock = db, lock

    def scans(self) -> list[tuple[int, str]]:
        """Blocks up to which the copy was complete, with their hashes, newest first."""
        with self._lock:
            query = "SELECT block, hash FROM ledger_scanned ORDER BY block DESC"
            return [(int(block), str(hash_)) for block, hash_ in self._db.execute(query)]

    def fold(
        self,
        scanned: tuple[int, str] | None,
        versions: Sequence[Version],
        statuses: Mapping[str, str] | None = None,
    ) -> None:
        """Store what a scan found, all or nothing.

        Args:
            scanned: the last block of the scan, and its hash; None leaves the place as it is.
            versions: new versions.
            statuses: every owner's status as the state has it; None leaves them as they are.
        """
        with self._lock, self._db:
            self._db.executemany(
                f"INSERT OR REPLACE INTO ledger_versions ({_VERSION}) VALUES (?,?,?,?,?,?,?)",  # noqa: S608
                [
                    (v.owner, v.version, v.block, v.tx_hash, v.snapshot, hex(v.head.word()), v.lie)
                    for v in versions
                ],
            )
            if statuses is not None:
                self._db.execute("DELETE FROM ledger_status")
                self._db.executemany(
                    "INSERT INTO ledger_status VALUES (?, ?)", list(statuses.items())
                )
            if scanned is not None:
                self._db.execute("INSERT OR REPLACE INTO ledger_scanned VALUES (?, ?)", scanned)
            self._db.execute(
                "DELETE FROM ledger_scanned WHERE block NOT IN "
                "(SELECT block FROM ledger_scanned ORDER BY block DESC LIMIT ?)",
                (KEPT_SCANS,),
            )
            self._db.executemany(
                "DELETE FROM ledger_versions WHERE owner = ? AND version <= ?",
                [(v.owner, v.version - KEPT_VERSIONS) for v in versions],
            )

    def scan_again_from(self, block: int) -> None:
        """Look at the blocks from `block` on once more; what was folded stays."""
        with self._lock, self._db:
            self._db.execute("DELETE FROM ledger_scanned WHERE block >= ?", (block,))
            self._db.execute("INSERT OR IGNORE INTO ledger_scanned VALUES (?, '')", (block - 1,))

    def rollback(self, block: int, own: str) -> bool:
        """Forget everything after `block`; what this gateway lost is wanted again.

        Args:
            block: the newest block that still stands; −1 forgets the whole copy.
            own: this gateway's address.

        Returns:
            Whether what is left is complete. If not, roll back to −1.
        """
        with self._lock, self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO ledger_wanted SELECT 1, snapshot, 'lost in a reorg', 0, 1 "
                "FROM ledger_versions WHERE owner = ? AND block > ? AND lie = '' "
                "AND tx_hash NOT IN (?, ?) AND NOT EXISTS (SELECT 1 FROM ledger_pending) "
                "ORDER BY version DESC LIMIT 1",
                (own, block, BY_CHECKPOINT, BY_GRANT),
            )
            # A checkpoint stands in the place of versions that were never folded, and a version
            # that was dropped for its age is missing before the oldest that is left.
            cut = self._db.execute(
                "SELECT (SELECT count(*) FROM ledger_versions WHERE block > ?1 AND tx_hash = ?2) "
                "+ count(*) FROM (SELECT owner FROM ledger_versions GROUP BY owner "
                "HAVING min(block) > ?1 AND min(version) > 1)",
                (block, BY_CHECKPOINT),
            ).fetchone()[0]
            self._db.execute("DELETE FROM ledger_versions WHERE block > ?", (block,))
            self._db.execute("DELETE FROM ledger_scanned WHERE block > ?", (block,))
            return block < 0 or not cut

    def newest(self) -> dict[str, Version]:
        """Give every owner's newest version."""
        with self._lock:
            rows = self._db.execute(
                "SELECT owner, block, tx_hash, snapshot, head, lie FROM ledger_versions AS v "
                "WHERE version = (SELECT max(version) FROM ledger_versions WHERE owner = v.owner)",
            ).fetchall()
        return {
            owner: Version(owner, block, tx_hash, snapshot, Head.of(int(head, 16)), lie)
            for owner, block, tx_hash, snapshot, head, lie in rows
        }

    def counting(self) -> dict[str, Version]:
        """Give the newest version of every owner whose codebook counts."""
        active = self.gateways()
        return {
            owner: newest
            for owner, newest in self.newest().items()
            if not objection(newest, active=active.get(owner, False))
        }

    def transaction_of(self, owner: str, version: int) -> str | None:
        """Give the transaction that made a version; None if the version is not folded."""
        with self._lock:
            row = self._db.execute(
                "SELECT tx_hash FROM ledger_versions WHERE owner = ? AND version = ?",
                (owner, version),
            ).fetchone()
        return str(row[0]) if row else None

    def gateways(self) -> dict[str, bool]:
        """Give who was ever a gateway, and whether it is one now."""
        with self._lock:
            rows = self._db.execute("SELECT owner, status FROM ledger_status").fetchall()
        return {str(owner): status in {"active", "suspended"} for owner, status in rows}
