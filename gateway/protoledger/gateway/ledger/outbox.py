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
NOT_BY_DELTA = "0x"  # in place of a transaction: a version from a checkpoint, or begun anew

_OF_THE_CHAIN = ("pin", "pending", "attempts", "samples", "scanned", "gateways", "versions")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS ledger_pin (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_wanted (
    id INTEGER PRIMARY KEY CHECK (id = 1), snapshot BLOB NOT NULL, note TEXT NOT NULL,
    oracle_round INTEGER NOT NULL, serial INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_pending (
    id INTEGER PRIMARY KEY CHECK (id = 1), nonce INTEGER NOT NULL, raw BLOB NOT NULL,
    tx_hash TEXT NOT NULL, base INTEGER NOT NULL, delta BLOB NOT NULL, snapshot BLOB NOT NULL,
    note TEXT NOT NULL, oracle_round INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_attempts (
    tx_hash TEXT PRIMARY KEY, nonce INTEGER NOT NULL, max_fee INTEGER NOT NULL,
    tip INTEGER NOT NULL, current INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS ledger_samples (
    oracle TEXT PRIMARY KEY, next_block INTEGER NOT NULL, round INTEGER NOT NULL);
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
class Fees:
    """What a transaction offers, in wei per gas: at most `maximum`, of which `tip` to the proposer.

    >>> Fees(100, 8).raised()
    Fees(maximum=113, tip=10)
    """

    maximum: int
    tip: int

    def raised(self) -> Fees:
        """An eighth more: nodes take another transaction of the same number from a tenth on."""
        return Fees(self.maximum + self.maximum // 8 + 1, self.tip + self.tip // 8 + 1)

    def at_least(self, other: Fees) -> Fees:
        """The higher of each."""
        return Fees(max(self.maximum, other.maximum), max(self.tip, other.tip))


@dataclass(frozen=True, slots=True)
class Version:
    """One folded version of an owner; `lie` says why it is not believed, if so."""

    owner: str
    version: int
    block: int
    tx_hash: str
    snapshot: bytes = field(repr=False)
    lie: str


def objection(newest: Version | None, *, active: bool) -> str:
    """Say why an owner's codebook does not count; empty if it does.

    Args:
        newest: its newest version; None if there is none.
        active: whether the owner may write.
    """
    if newest is None:
        return "its commits are gone: the chain was reorganised"
    if newest.lie:
        return f"it lied: {newest.lie}"
    return "" if active else "the contract's owner removed it"


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

    def remember_account(self, address: str) -> None:
        """Keep whose outbox this is: what `forget` needs to know."""
        with self._lock, self._db:
            self._db.execute("INSERT OR REPLACE INTO ledger_pin VALUES ('account', ?)", (address,))

    def forget(self) -> bool:
        """Forget the chain, for one that was reset; the gateway must not run.

        The gateway's own newest codebook is wanted again, so that it lands on the new chain.

        Returns:
            Whether there was one.
        """
        with self._lock, self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO ledger_wanted SELECT 1, snapshot, note, 0, 1 "
                "FROM ledger_pending"
            )
            self._db.execute(
                "INSERT OR IGNORE INTO ledger_wanted "
                "SELECT 1, snapshot, 'lost with the chain', 0, 1 FROM ledger_versions "
                "WHERE owner = (SELECT value FROM ledger_pin WHERE name = 'account') "
                "AND lie = '' ORDER BY version DESC LIMIT 1"
            )
            self._db.execute("UPDATE ledger_wanted SET oracle_round = 0")
            for name in _OF_THE_CHAIN:
                self._db.execute(f"DELETE FROM ledger_{name}")  # noqa: S608 - our own names
            return bool(self._db.execute("SELECT count(*) FROM ledger_wanted").fetchone()[0])

    def samples_place(self, oracle: str) -> tuple[int, int] | None:
        """Tell how far an oracle's samples were read: the next block, and the last round."""
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

    def cite_nothing(self, wanted: Wanted) -> None:
        """Let it name no round of the oracle, unless a newer one has come."""
        with self._lock, self._db:
            query = "UPDATE ledger_wanted SET oracle_round = 0 WHERE serial = ?"
            self._db.execute(query, (wanted.serial,))

    def pending(self) -> Pending | None:
        """Give the transaction on its way."""
        with self._lock:
            row = self._db.execute(
                "SELECT nonce, raw, tx_hash, base, delta, snapshot, note, oracle_round "
                "FROM ledger_pending",
            ).fetchone()
        return Pending(*row) if row else None

    def begin(self, pending: Pending, wanted: Wanted, fees: Fees) -> None:
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
            self._db.execute("DELETE FROM ledger_attempts WHERE nonce < ?", (pending.nonce,))
            self._attempt(pending, fees)

    def replace(self, pending: Pending, fees: Fees) -> None:
        """Put another signature for the same number and content in the place of the last one."""
        with self._lock, self._db:
            self._db.execute(
                "UPDATE ledger_pending SET raw = ?, tx_hash = ?", (pending.raw, pending.tx_hash)
            )
            self._attempt(pending, fees)

    def _attempt(self, pending: Pending, fees: Fees) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO ledger_attempts VALUES (?, ?, ?, ?, 1)",
            (pending.tx_hash, pending.nonce, fees.maximum, fees.tip),
        )

    def attempts(self, pending: Pending) -> list[str]:
        """Give the hashes of all transactions that may bring the pending commit, newest first."""
        with self._lock:
            query = "SELECT tx_hash FROM ledger_attempts WHERE current ORDER BY max_fee DESC"
            found = [str(row[0]) for row in self._db.execute(query)]
        return found or [pending.tx_hash]

    def offered(self, nonce: int) -> Fees | None:
        """Give the most that was ever offered for a transaction number; None if nothing was."""
        with self._lock:
            query = "SELECT max(max_fee), max(tip) FROM ledger_attempts WHERE nonce = ?"
            maximum, tip = self._db.execute(query, (nonce,)).fetchone()
        return None if maximum is None else Fees(maximum, tip)

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
            self._db.execute("UPDATE ledger_attempts SET current = 0")

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
            # A version that no delta made stands in the place of one that was folded before it.
            cut = self._db.execute(
                "SELECT (SELECT count(*) FROM ledger_versions WHERE block > ?1 AND tx_hash = ?2) "
                "+ count(*) FROM (SELECT owner FROM ledger_versions GROUP BY owner "
                "HAVING min(block) > ?1 AND min(version) > 1)",
                (block, NOT_BY_DELTA),
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

    def counting(self) -> dict[str, Version]:
        """Give the newest version of every owner whose codebook counts."""
        active = self.gateways()
        return {
            owner: newest
            for owner, newest in self.newest().items()
            if not objection(newest, active=active.get(owner, False))
        }

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
