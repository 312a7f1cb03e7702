"""What the ledger client must not forget, in SQLite: commits on their way, and the folded chain.

Two halves. The **outbox** holds the newest codebook that the learner wants on the chain, and at
most one signed transaction, stored before it is sent: whatever instruction a SIGKILL hits, the same
bytes are sent again. The **copy** holds the folded codebooks of all owners with the block that each
came from; it is a cache of the chain and can be thrown away at any time.

One connection under a lock: `want` is called by the learner's thread, all else by the ledger's.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

KEPT_VERSIONS = 32  # a reorg deeper than these reads the chain from its start
KEPT_SCANS = 256

_SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger_pin (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_wanted (
    id INTEGER PRIMARY KEY CHECK (id = 1), snapshot BLOB NOT NULL, note TEXT NOT NULL,
    oracle_round INTEGER NOT NULL, serial INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_pending (
    id INTEGER PRIMARY KEY CHECK (id = 1), nonce INTEGER NOT NULL, raw BLOB NOT NULL,
    tx_hash TEXT NOT NULL, base INTEGER NOT NULL, delta BLOB NOT NULL, snapshot BLOB NOT NULL,
    note TEXT NOT NULL, oracle_round INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_scanned (block INTEGER PRIMARY KEY, hash TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_gateways (
    block INTEGER NOT NULL, log_index INTEGER NOT NULL, owner TEXT NOT NULL,
    added INTEGER NOT NULL, PRIMARY KEY (block, log_index));
CREATE TABLE IF NOT EXISTS ledger_versions (
    owner TEXT NOT NULL, version INTEGER NOT NULL, block INTEGER NOT NULL, tx_hash TEXT NOT NULL,
    snapshot BLOB NOT NULL, lie TEXT NOT NULL, PRIMARY KEY (owner, version));
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A codebook that the learner wants on the chain; `serial` tells it from a newer one."""

    snapshot: bytes = field(repr=False)
    note: str
    oracle_round: int
    serial: int


@dataclass(frozen=True, slots=True)
class Pending:
    """A signed commit that may or may not have reached the chain.

    Attributes:
        nonce: its transaction's number.
        raw: the signed transaction.
        tx_hash: its hash, 0x-hex.
        base: version that the delta starts from.
        delta: the delta.
        snapshot: where the delta leads.
        note: what `submit` was given.
        oracle_round: newest oracle round used; 0 if none.
    """

    nonce: int
    raw: bytes = field(repr=False)
    tx_hash: str
    base: int
    delta: bytes = field(repr=False)
    snapshot: bytes = field(repr=False)
    note: str
    oracle_round: int


@dataclass(frozen=True, slots=True)
class Version:
    """One folded version of an owner; `lie` says why it is not believed, if so."""

    owner: str
    version: int
    block: int
    tx_hash: str
    snapshot: bytes = field(repr=False)
    lie: str


class LedgerStore:
    """The ledger client's tables in a SQLite file, which other parts may share.

    Args:
        path: the file; made if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")  # a commit decided on survives a power cut
        with self._lock, self._db:
            self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file; idempotent."""
        with self._lock:
            self._db.close()

    # -- which chain -------------------------------------------------------------------------

    def pin(self, name: str, value: str) -> str:
        """Keep `value` under `name` unless there is one already; return what is kept."""
        with self._lock, self._db:
            self._db.execute("INSERT OR IGNORE INTO ledger_pin VALUES (?, ?)", (name, value))
            row = self._db.execute("SELECT value FROM ledger_pin WHERE name = ?", (name,))
            return str(row.fetchone()[0])

    # -- outbox ------------------------------------------------------------------------------

    def want(self, snapshot: bytes, note: str, oracle_round: int) -> None:
        """Replace the wanted codebook by a newer one."""
        with self._lock, self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO ledger_wanted SELECT 1, ?, ?, ?, "
                "1 + coalesce((SELECT serial FROM ledger_wanted), 0)",
                (snapshot, note, oracle_round),
            )

    def wanted(self) -> Wanted | None:
        """Give the codebook that is not on its way yet."""
        with self._lock:
            row = self._db.execute(
                "SELECT snapshot, note, oracle_round, serial FROM ledger_wanted",
            ).fetchone()
        return Wanted(*row) if row else None

    def drop_wanted(self, wanted: Wanted) -> None:
        """Forget it, unless a newer one has come."""
        with self._lock, self._db:
            self._db.execute("DELETE FROM ledger_wanted WHERE serial = ?", (wanted.serial,))

    def pending(self) -> Pending | None:
        """Give the transaction on its way."""
        with self._lock:
            row = self._db.execute(
                "SELECT nonce, raw, tx_hash, base, delta, snapshot, note, oracle_round "
                "FROM ledger_pending",
            ).fetchone()
        return Pending(*row) if row else None

    def begin(self, pending: Pending, wanted: Wanted) -> None:
        """Turn a wanted codebook into a transaction on its way, in one step."""
        values = (
            pending.nonce,
            pending.raw,
            pending.tx_hash,
            pending.base,
            pending.delta,
            pending.snapshot,
            pending.note,
            pending.oracle_round,
        )
        with self._lock, self._db:
            self._db.execute(
                "INSERT INTO ledger_pending VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)", values
            )
            self._db.execute("DELETE FROM ledger_wanted WHERE serial = ?", (wanted.serial,))

    def finish(self, *, again: bool) -> None:
        """Forget the transaction on its way.

        Args:
            again: its codebook is wanted still, unless there is a newer one.
        """
        with self._lock, self._db:
            if again:
                self._db.execute(
                    "INSERT OR IGNORE INTO ledger_wanted "
                    "SELECT 1, snapshot, note, oracle_round, 1 FROM ledger_pending",
                )
            self._db.execute("DELETE FROM ledger_pending")

    @property
    def idle(self) -> bool:
        """Nothing is wanted and nothing on its way."""
        with self._lock:
            query = "SELECT (SELECT count(*) FROM ledger_wanted) + count(*) FROM ledger_pending"
            return not self._db.execute(query).fetchone()[0]

    # -- the copy of the chain -----------------------------------------------------------------

    def scans(self) -> list[tuple[int, str]]:
        """Blocks up to which the copy was complete, with their hashes, newest first."""
        with self._lock:
            query = "SELECT block, hash FROM ledger_scanned ORDER BY block DESC"
            return [(int(block), str(hash_)) for block, hash_ in self._db.execute(query)]

    def fold(
        self,
        scanned: tuple[int, str],
        versions: list[Version],
        gateways: list[tuple[int, int, str, bool]],
    ) -> None:
        """Store what a scan found, all or nothing.

        Args:
            scanned: the last block of the scan, and its hash.
            versions: new versions.
            gateways: (block, log index, owner, added) of changes to the whitelist.
        """
        with self._lock, self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO ledger_versions VALUES (?, ?, ?, ?, ?, ?)",
                [(v.owner, v.version, v.block, v.tx_hash, v.snapshot, v.lie) for v in versions],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO ledger_gateways VALUES (?,?,?,?)", gateways
            )
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
                "AND NOT EXISTS (SELECT 1 FROM ledger_pending) "
                "ORDER BY version DESC LIMIT 1",
                (own, block),
            )
            cut = self._db.execute(
                "SELECT count(*) FROM (SELECT owner FROM ledger_versions GROUP BY owner "
                "HAVING min(block) > ? AND min(version) > 1)",
                (block,),
            ).fetchone()[0]
            self._db.execute("DELETE FROM ledger_versions WHERE block > ?", (block,))
            self._db.execute("DELETE FROM ledger_gateways WHERE block > ?", (block,))
            self._db.execute("DELETE FROM ledger_scanned WHERE block > ?", (block,))
            return block < 0 or not cut

    def newest(self) -> dict[str, Version]:
        """Give every owner's newest version."""
        with self._lock:
            rows = self._db.execute(
                "SELECT owner, version, block, tx_hash, snapshot, lie FROM ledger_versions AS v "
                "WHERE version = (SELECT max(version) FROM ledger_versions WHERE owner = v.owner)",
            ).fetchall()
        return {row[0]: Version(*row) for row in rows}

    def transaction_of(self, owner: str, version: int) -> str | None:
        """Tell which transaction made a version; None if the version is not folded."""
        with self._lock:
            row = self._db.execute(
                "SELECT tx_hash FROM ledger_versions WHERE owner = ? AND version = ?",
                (owner, version),
            ).fetchone()
        return str(row[0]) if row else None

    def gateways(self) -> dict[str, bool]:
        """Tell who was ever a gateway, and whether it is one now."""
        with self._lock:
            query = "SELECT owner, added FROM ledger_gateways ORDER BY block, log_index"
            return {str(owner): bool(added) for owner, added in self._db.execute(query)}
