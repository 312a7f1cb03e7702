"""The outbox: the codebook that the learner wants on the chain, and the transaction on its way.

At most one of each. The transaction is stored signed before it is sent: whatever instruction a
SIGKILL hits, the same bytes are sent again. Every attempt is remembered, also those given up,
because a node may have taken what it answered with an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from protoledger.contracts.client.heads import Head

if TYPE_CHECKING:
    import sqlite3
    from threading import RLock

_PENDING = "nonce, raw, tx_hash, head, delta, snapshot, note, oracle_round"
_KEPT_ATTEMPTS = 256  # given up: each may still be mined


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
        head: the head that it leads to.
        delta: the delta.
        snapshot: the codebook that was wanted.
        note: what `submit` was given.
        oracle_round: newest oracle round used; 0 if none.
    """

    nonce: int
    raw: bytes = field(repr=False)
    tx_hash: str
    head: Head
    delta: bytes = field(repr=False)
    snapshot: bytes = field(repr=False)
    note: str
    oracle_round: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed transaction of this gateway: what it would bring, for when it is mined late."""

    tx_hash: str
    records: int
    payload_bytes: int
    note: str


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


class Outbox:
    """Tables of the ledger's store; see there.

    Args:
        db: the store's connection.
        lock: guards it.
    """

    def __init__(self, db: sqlite3.Connection, lock: RLock) -> None:
        self._db, self._lock = db, lock

    def want(self, snapshot: bytes, note: str, oracle_round: int) -> None:
        """Replace the wanted codebook by a newer one."""
        with self._lock, self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO ledger_wanted SELECT 1, ?, ?, ?, "
                "1 + coalesce((SELECT serial FROM ledger_wanted), 0)",
                (snapshot, note, oracle_round),
            )

    def want_again(self, snapshot: bytes, note: str) -> None:
        """Want an older codebook, unless there is one that is wanted or on its way."""
        if snapshot:
            with self._lock, self._db:
                self._db.execute(
                    "INSERT OR IGNORE INTO ledger_wanted SELECT 1, ?, ?, 0, 1 "
                    "WHERE NOT EXISTS (SELECT 1 FROM ledger_pending)",
                    (snapshot, note),
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
            row = self._db.execute(f"SELECT {_PENDING} FROM ledger_pending").fetchone()  # noqa: S608
        if row is None:
            return None
        nonce, raw, tx_hash, head, delta, snapshot, note, oracle_round = row
        head = Head.of(int(head, 16))
        return Pending(nonce, raw, tx_hash, head, delta, snapshot, note, oracle_round)

    def begin(self, pending: Pending, wanted: Wanted, fees: Fees, records: int) -> None:
        """Turn a wanted codebook into a transaction on its way, in one step."""
        values = (
            pending.nonce,
            pending.raw,
            pending.tx_hash,
            hex(pending.head.word()),
            pending.delta,
            pending.snapshot,
            pending.note,
            pending.oracle_round,
        )
        with self._lock, self._db:
            self._db.execute(
                f"INSERT INTO ledger_pending (id, {_PENDING}) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                values,
            )
            self._db.execute("DELETE FROM ledger_wanted WHERE serial = ?", (wanted.serial,))
            self._attempt(pending, fees, records)
            self._db.execute(
                "DELETE FROM ledger_attempts WHERE rowid <= "
                "(SELECT max(rowid) FROM ledger_attempts) - ?",
                (_KEPT_ATTEMPTS,),
            )

    def replace(self, pending: Pending, fees: Fees, records: int) -> None:
        """Put another signature for the same number and content in the place of the last one."""
        with self._lock, self._db:
            self._db.execute(
                "UPDATE ledger_pending SET raw = ?, tx_hash = ?", (pending.raw, pending.tx_hash)
            )
            self._attempt(pending, fees, records)

    def _attempt(self, pending: Pending, fees: Fees, records: int) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO ledger_attempts VALUES (?, ?, ?, ?, 'current', ?, ?, ?)",
            (
                pending.tx_hash,
                pending.nonce,
                f"{fees.maximum:032x}",  # text, because SQLite's numbers end at 2⁶³; it sorts
                f"{fees.tip:032x}",
                records,
                len(pending.delta),
                pending.note,
            ),
        )

    def refused(self, tx_hash: str) -> None:
        """Note that no pool holds this attempt: what it offered need not be outbid."""
        with self._lock, self._db:
            self._db.execute(
                "UPDATE ledger_attempts SET max_fee = ?, tip = ? WHERE tx_hash = ?",
                (f"{0:032x}", f"{0:032x}", tx_hash),
            )

    def attempts(self) -> list[str]:
        """Give the hashes of all transactions that may bring the pending commit, newest first."""
        with self._lock:
            query = (
                "SELECT tx_hash FROM ledger_attempts WHERE state = 'current' ORDER BY rowid DESC"
            )
            return [str(row[0]) for row in self._db.execute(query)]

    def late(self, own: str) -> list[tuple[int, Attempt]]:
        """Give attempts that were given up and are folded after all, with what they became."""
        with self._lock:
            query = (
                "SELECT v.version, a.tx_hash, a.records, a.bytes, a.note FROM ledger_attempts AS a "
                "JOIN ledger_versions AS v ON v.tx_hash = a.tx_hash AND v.owner = ? "
                "WHERE a.state = 'given up' ORDER BY v.version"
            )
            return [(int(row[0]), Attempt(*row[1:])) for row in self._db.execute(query, (own,))]

    def reported(self, tx_hash: str) -> None:
        """Note that an attempt's landing was reported."""
        with self._lock, self._db:
            query = "UPDATE ledger_attempts SET state = 'reported' WHERE tx_hash = ?"
            self._db.execute(query, (tx_hash,))

    def is_own(self, tx_hash: str) -> bool:
        """Whether this gateway signed a transaction, as far as it remembers."""
        with self._lock:
            query = "SELECT count(*) FROM ledger_attempts WHERE tx_hash = ?"
            return bool(self._db.execute(query, (tx_hash,)).fetchone()[0])

    def offered(self, nonce: int) -> Fees | None:
        """Give the most that may be in a pool for a transaction number; None if nothing is."""
        with self._lock:
            query = "SELECT max(max_fee), max(tip) FROM ledger_attempts WHERE nonce = ?"
            maximum, tip = self._db.execute(query, (nonce,)).fetchone()
        if maximum is None or not int(maximum, 16):
            return None
        return Fees(int(maximum, 16), int(tip, 16))

    def finish(self, state: Literal["reported", "given up"], *, again: bool) -> None:
        """Forget the transaction on its way.

        Args:
            state: what is to be remembered of its attempts.
            again: its codebook is wanted still, unless there is a newer one.
        """
        with self._lock, self._db:
            if again:
                self._db.execute(
                    "INSERT OR IGNORE INTO ledger_wanted "
                    "SELECT 1, snapshot, note, oracle_round, 1 FROM ledger_pending",
                )
            self._db.execute("DELETE FROM ledger_pending")
            self._db.execute(
                "UPDATE ledger_attempts SET state = ? WHERE state = 'current'", (state,)
            )

    @property
    def idle(self) -> bool:
        """Nothing is wanted and nothing on its way."""
        with self._lock:
            query = "SELECT (SELECT count(*) FROM ledger_wanted) + count(*) FROM ledger_pending"
            return not self._db.execute(query).fetchone()[0]
