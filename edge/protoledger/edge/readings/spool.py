"""Windows of an outage on disk: written in batches, only while it lasts, never a share or a key.

A card wears by being written to, so nothing is written while rounds go on, and the file is open
only for moments. Whatever is wrong with disk or file is told once; the agent goes on with what it
has in memory.
"""

import contextlib
import logging
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from protoledger.edge.readings.backlog import Anchor, Kept

log = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TABLES = """
CREATE TABLE IF NOT EXISTS anchor (
    id INTEGER PRIMARY KEY CHECK (id = 1), round INTEGER NOT NULL, at REAL NOT NULL,
    boot TEXT NOT NULL, schema BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS windows (
    number INTEGER PRIMARY KEY, label INTEGER NOT NULL, means BLOB NOT NULL);
"""


def waiting(path: Path) -> int:
    """Count the windows that a spool holds; changes nothing.

    Raises:
        sqlite3.Error: it is no spool, or damaged.
    """
    address = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=1.0)) as database:
        return int(database.execute("SELECT count(*) FROM windows").fetchone()[0])


class SqliteSpool:
    """A `Spool` in a SQLite file, made when it is needed.

    Args:
        path: the file.
        schema: the site's schema hash; windows of another are dropped.
        width: channels.
    """

    def __init__(self, path: Path, schema: bytes, width: int) -> None:
        self._path = path
        self._schema = schema
        self._width = width
        self._told = False
        try:
            self._boot = _BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            self._boot = ""  # then every start counts as a reboot

    def load(self) -> tuple[Anchor | None, dict[int, Kept]]:
        """Return what was kept before this process; the anchor's time is NaN after a reboot."""
        if not self._path.exists():
            return None, {}
        try:
            with self._open() as database:
                row = database.execute("SELECT round, at, boot, schema FROM anchor").fetchone()
                if row is None or row[3] != self._schema:
                    return None, {}
                rows = database.execute("SELECT number, label, means FROM windows").fetchall()
                windows = {number: (self._means(blob), label) for number, label, blob in rows}
        except sqlite3.DatabaseError as error:
            self._tell(error)
            if not isinstance(error, sqlite3.OperationalError):
                self._set_aside()
            return None, {}
        except ValueError as error:
            self._tell(error)
            self._set_aside()
            return None, {}
        same_boot = bool(self._boot) and row[2] == self._boot
        return Anchor(row[0], row[1] if same_boot else math.nan), windows

    def keep(self, anchor: Anchor, windows: dict[int, Kept]) -> None:
        """Add windows; those of another anchor go."""
        try:
            with self._open() as database, database:
                kept = database.execute("SELECT round, boot, schema FROM anchor").fetchone()
                if kept != (anchor.round_id, self._boot, self._schema):
                    database.execute("DELETE FROM windows")
                    database.execute(
                        "INSERT OR REPLACE INTO anchor VALUES (1, ?, ?, ?, ?)",
                        (anchor.round_id, anchor.at, self._boot, self._schema),
                    )
                database.executemany(
                    "INSERT OR REPLACE INTO windows VALUES (?, ?, ?)",
                    [
                        (number, label, np.array(means, dtype="<f4").tobytes())
                        for number, (means, label) in windows.items()
                    ],
                )
        except (sqlite3.Error, OSError) as error:
            self._tell(error)

    def clear(self) -> bool:
        """Forget all windows, on disk before this returns, so that none is handed in twice."""
        if not self._path.exists():
            return True
        try:
            with self._open() as database, database:
                database.execute("DELETE FROM windows")
                database.execute("DELETE FROM anchor")
        except (sqlite3.Error, OSError) as error:
            self._tell(error)
            with contextlib.suppress(OSError):
                self._path.unlink()
                return True
            return False
        return True

    def _means(self, blob: bytes) -> list[float]:
        values = np.frombuffer(blob, dtype="<f4")
        if values.size != self._width:
            raise ValueError(f"a window of {values.size} channels, not {self._width}")
        return [float(value) for value in values]

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with contextlib.closing(sqlite3.connect(self._path, timeout=1.0)) as database:
            database.execute("PRAGMA journal_mode = TRUNCATE")
            database.executescript(_TABLES)
            yield database

    def _set_aside(self) -> None:
        with contextlib.suppress(OSError):
            self._path.replace(self._path.with_name(f"{self._path.name}.damaged"))

    def _tell(self, error: Exception) -> None:
        if not self._told:
            log.warning("%s: %s; going on without it", self._path, error)
        self._told = True
