"""What the ledger client must not forget, in SQLite: the outbox, and a copy of the chain.

Three parts. The **pins** say which chain and contract the rest is about. The **outbox** (in
`ledger.sending`) holds what this gateway wants on the chain. The **copy** (in `ledger.following`)
holds all owners' folded codebooks; it is a cache of the chain and can be thrown away at any time.

One connection under a lock: `Outbox.want` is called by the learner's thread, all else by the
ledger's. The file may be shared with other parts of the gateway, so the version of these tables is
a pin and not SQLite's `user_version`, of which a file has only one.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING

from protoledger.gateway.ledger.following.copy import ChainCopy
from protoledger.gateway.ledger.sending.outbox import Outbox

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA_VERSION = 2
_OF_THE_CHAIN = ("pending", "attempts", "samples", "scanned", "status", "versions")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger_pin (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_wanted (
    id INTEGER PRIMARY KEY CHECK (id = 1), snapshot BLOB NOT NULL, note TEXT NOT NULL,
    oracle_round INTEGER NOT NULL, serial INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_pending (
    id INTEGER PRIMARY KEY CHECK (id = 1), nonce INTEGER NOT NULL, raw BLOB NOT NULL,
    tx_hash TEXT NOT NULL, head TEXT NOT NULL, delta BLOB NOT NULL, snapshot BLOB NOT NULL,
    note TEXT NOT NULL, oracle_round INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_attempts (
    tx_hash TEXT PRIMARY KEY, nonce INTEGER NOT NULL, max_fee TEXT NOT NULL, tip TEXT NOT NULL,
    state TEXT NOT NULL, records INTEGER NOT NULL, bytes INTEGER NOT NULL, note TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_samples (
    oracle TEXT PRIMARY KEY, next_block INTEGER NOT NULL, round INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_scanned (block INTEGER PRIMARY KEY, hash TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_status (owner TEXT PRIMARY KEY, status TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_versions (
    owner TEXT NOT NULL, version INTEGER NOT NULL, block INTEGER NOT NULL, tx_hash TEXT NOT NULL,
    snapshot BLOB NOT NULL, head TEXT NOT NULL, lie TEXT NOT NULL, PRIMARY KEY (owner, version));
"""


class LedgerStore:
    """The ledger client's tables in a SQLite file.

    Args:
        path: the file; made if it does not exist, and brought up to this version if it does.

    Attributes:
        outbox: what this gateway wants on the chain.
        copy: the folded codebooks of all owners.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")  # a commit decided on survives a power cut
        with self._lock, self._db:
            _migrate(self._db)
            self._db.executescript(_SCHEMA)
        self._keep("schema", str(SCHEMA_VERSION))
        self.outbox = Outbox(self._db, self._lock)
        self.copy = ChainCopy(self._db, self._lock)

    def close(self) -> None:
        """Close the file; idempotent."""
        with self._lock:
            self._db.close()

    def pin(self, name: str, value: str) -> str:
        """Keep `value` under `name` unless there is one already; return what is kept."""
        with self._lock, self._db:
            self._db.execute("INSERT OR IGNORE INTO ledger_pin VALUES (?, ?)", (name, value))
            row = self._db.execute("SELECT value FROM ledger_pin WHERE name = ?", (name,))
            return str(row.fetchone()[0])

    def pinned(self, name: str) -> str | None:
        """Give what is kept under `name`."""
        with self._lock:
            query = "SELECT value FROM ledger_pin WHERE name = ?"
            row = self._db.execute(query, (name,)).fetchone()
        return str(row[0]) if row else None

    def remember_account(self, address: str) -> None:
        """Keep whose outbox this is: what `forget` needs to know."""
        self._keep("account", address)

    def _keep(self, name: str, value: str) -> None:
        with self._lock, self._db:
            self._db.execute("INSERT OR REPLACE INTO ledger_pin VALUES (?, ?)", (name, value))

    def forget(self) -> bool:
        """Forget the chain, for one that was reset; the gateway must not run.

        The gateway's own newest codebook is wanted again, so that it lands on the new chain.

        Returns:
            Whether there was one.
        """
        return self._forget("lost with the chain", ("genesis", "contract", "code", "terms"))

    def move(self, contract: str, predecessors: str) -> None:
        """Leave the contract for its successor on the same chain; what was committed is wanted.

        Args:
            contract: the successor's address.
            predecessors: all that a gateway's file may still name instead of it.
        """
        with self._lock:
            self._keep("predecessor", predecessors)  # a kill after this leaves the old contract
            self._forget("moved to the contract's successor", ("contract", "code", "terms"))
            self._keep("contract", contract)

    def begin_again(self, snapshot: bytes, note: str) -> None:
        """Forget the contract for one with another record format; the gateway must not run.

        Args:
            snapshot: what is wanted on the next one, in its format; empty for nothing.
            note: comes back with `Committed`.
        """
        self._forget(note, ("contract", "predecessor", "code", "terms"))
        with self._lock, self._db:
            self._db.execute("DELETE FROM ledger_wanted")
        if snapshot:
            self.outbox.want(snapshot, note, 0)

    def _forget(self, note: str, pins: tuple[str, ...]) -> bool:
        with self._lock, self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO ledger_wanted SELECT 1, snapshot, note, 0, 1 "
                "FROM ledger_pending"
            )
            self._db.execute(
                "INSERT OR IGNORE INTO ledger_wanted "
                "SELECT 1, snapshot, ?, 0, 1 FROM ledger_versions "
                "WHERE owner = (SELECT value FROM ledger_pin WHERE name = 'account') "
                "AND lie = '' AND snapshot <> x'' ORDER BY version DESC LIMIT 1",
                (note,),
            )
            self._db.execute("UPDATE ledger_wanted SET oracle_round = 0")
            for name in _OF_THE_CHAIN:
                self._db.execute(f"DELETE FROM ledger_{name}")  # noqa: S608 - our own names
            for pin in pins:
                self._db.execute("DELETE FROM ledger_pin WHERE name = ?", (pin,))
            return bool(self._db.execute("SELECT count(*) FROM ledger_wanted").fetchone()[0])

    def samples_place(self, oracle: str) -> tuple[int, int] | None:
        """Give how far an oracle's samples were read: the next block, and the last round."""
        with self._lock:
            query = "SELECT next_block, round FROM ledger_samples WHERE oracle = ?"
            row = self._db.execute(query, (oracle,)).fetchone()
        return (int(row[0]), int(row[1])) if row else None

    def keep_samples_place(self, oracle: str, next_block: int, round_: int) -> None:
        """Keep how far an oracle's samples were read."""
        with self._lock, self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO ledger_samples VALUES (?, ?, ?)",
                (oracle, next_block, round_),
            )


def _migrate(db: sqlite3.Connection) -> None:
    """Bring tables of version 1 up to date, in one transaction.

    Version 1 is of contracts with another interface. The copy of the chain is thrown away, and what
    was on its way is wanted again: it is signed again for the contract of the gateway's file.
    """
    names = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "ledger_pin" not in names:
        return
    found = db.execute("SELECT value FROM ledger_pin WHERE name = 'schema'").fetchone()
    if found is not None:
        if int(found[0]) > SCHEMA_VERSION:
            raise sqlite3.DatabaseError(
                f"the ledger's tables are of version {found[0]}, this program knows "
                f"{SCHEMA_VERSION}: install the newer release, or delete the gateway's store"
            )
        return
    db.execute(
        "INSERT OR IGNORE INTO ledger_wanted SELECT 1, snapshot, note, 0, 1 FROM ledger_pending"
    )
    db.execute(
        "INSERT OR IGNORE INTO ledger_wanted "
        "SELECT 1, snapshot, 'committed before an upgrade', 0, 1 FROM ledger_versions "
        "WHERE owner = (SELECT value FROM ledger_pin WHERE name = 'account') AND lie = '' "
        "ORDER BY version DESC LIMIT 1"
    )
    db.execute("UPDATE ledger_wanted SET oracle_round = 0")
    for name in ("pending", "attempts", "gateways", "versions", "scanned", "samples"):
        db.execute(f"DROP TABLE IF EXISTS ledger_{name}")
    db.execute("DELETE FROM ledger_pin WHERE name IN ('contract', 'code')")
