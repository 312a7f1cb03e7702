"""The history's file: SQLite, bounded in size, written in one transaction a second.

It has no readings: samples are here as labels, answers and how sure they were. Series that go on
for ever lose every second row of their older part when they are long, so that they always reach
back to their start. Another process may read the file at any time (write-ahead log).
"""

import contextlib
import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

VERSION: Final = 1
SAMPLES_KEPT: Final = 4000
EXPLANATIONS_KEPT: Final = 200
EVENTS_KEPT: Final = 2000
SERIES_KEPT: Final = 3000
PRUNE_EVERY: Final = 64
"""Writes between two looks at what is too much."""
NEW, UNKNOWN, DRIFTED = 1, 2, 4
"""Flags of a sample."""
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS documents (name TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS samples (
    n INTEGER PRIMARY KEY, at REAL NOT NULL, label INTEGER, answer INTEGER, alone INTEGER,
    anywhere INTEGER, repeated INTEGER, confidence REAL NOT NULL, flags INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS points (id INTEGER PRIMARY KEY, at REAL NOT NULL, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS gains (id INTEGER PRIMARY KEY, at REAL NOT NULL, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS explanations (
    n INTEGER PRIMARY KEY, at REAL NOT NULL, content TEXT NOT NULL);
"""

SampleRow = tuple[
    int, float, int | None, int | None, int | None, int | None, int | None, float, int
]
"""n, at (seconds since 1970), label, answer, alone, anywhere, the label before, confidence, flags.

Labels are class indices; n counts from 1 and never starts over while the file lives."""


def history_path(store_file: Path) -> Path:
    """Return the path of the history that belongs to a store."""
    return store_file.with_name(f"{store_file.name}.history")


class History:
    """Writes the file; for one thread. An error is logged once and costs the page, not the gateway.

    Args:
        path: the file; made with mode 0600 if missing, and again if it cannot be read.

    Attributes:
        last: the highest sample number so far.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failed = False
        self._writes = 0
        self.last = 0
        self._database: sqlite3.Connection | None = None
        try:
            self._database = self._open()
        except (sqlite3.Error, OSError):
            self._begin_again()

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(self._path, isolation_level=None, timeout=0.5)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version not in {0, VERSION}:
                raise sqlite3.DatabaseError(f"a history of version {version}")
            database.executescript(_TABLES)
            database.execute(f"PRAGMA user_version = {VERSION}")
            (self.last,) = database.execute("SELECT ifnull(max(n), 0) FROM samples").fetchone()
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _begin_again(self) -> None:
        """Replace a file that is damaged or of another version: nothing depends on it."""
        try:
            for suffix in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._database = self._open()
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        if not self._failed:
            log.warning("%s cannot be written: %s; a page will show less", self._path, error)
        self._failed = True

    def write(
        self,
        *,
        documents: Mapping[str, object],
        samples: Iterable[SampleRow] = (),
        events: Iterable[tuple[float, str, Mapping[str, object]]] = (),
        explanations: Iterable[tuple[int, float, Mapping[str, object]]] = (),
        series: Mapping[str, tuple[float, Mapping[str, object]]] | None = None,
    ) -> None:
        """Write what is new, all or nothing.

        Args:
            documents: by name; each takes the place of the last of that name.
            samples: rows of `samples`.
            events: time, kind, fields.
            explanations: sample number, time, content.
            series: for `points` or `gains`: time and content.
        """
        if self._database is None:
            return
        self._writes += 1
        try:
            with self._database as database:
                database.execute("BEGIN IMMEDIATE")
                database.executemany(
                    "INSERT OR REPLACE INTO documents VALUES (?, ?)",
                    [(name, _dumps(content)) for name, content in documents.items()],
                )
                database.executemany(
                    "INSERT OR REPLACE INTO samples VALUES (?,?,?,?,?,?,?,?,?)", samples
                )
                database.executemany(
                    "INSERT INTO events (at, kind, content) VALUES (?, ?, ?)",
                    [(at, kind, _dumps(fields)) for at, kind, fields in events],
                )
                database.executemany(
                    "INSERT OR REPLACE INTO explanations VALUES (?, ?, ?)",
                    [(n, at, _dumps(content)) for n, at, content in explanations],
                )
                for table, (at, content) in (series or {}).items():
                    database.execute(
                        f"INSERT INTO {table} (at, content) VALUES (?, ?)",  # noqa: S608 - our names
                        (at, _dumps(content)),
                    )
                if self._writes % PRUNE_EVERY == 1:
                    _prune(database)
        except sqlite3.Error as error:
            self._give_up(error)

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None


def _prune(database: sqlite3.Connection) -> None:
    for table, kept in (("samples", SAMPLES_KEPT), ("explanations", EXPLANATIONS_KEPT)):
        database.execute(
            f"DELETE FROM {table} WHERE n <= (SELECT max(n) FROM {table}) - ?",  # noqa: S608
            (kept,),
        )
    database.execute(
        "DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?", [EVENTS_KEPT]
    )
    for table in ("points", "gains"):
        (count,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
        if count > SERIES_KEPT:
            database.execute(
                f"DELETE FROM {table} WHERE id IN (SELECT id FROM ("  # noqa: S608
                f"SELECT id, row_number() OVER (ORDER BY id) AS place FROM {table}) "
                "WHERE place % 2 = 0 AND place < ?)",
                (count * 3 // 4,),
            )


def _dumps(content: object) -> str:
    return json.dumps(content, separators=(",", ":"), allow_nan=False)
