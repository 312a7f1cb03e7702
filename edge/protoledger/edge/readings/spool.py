"""Windows of an outage on disk, so that they survive a restart; no share or key is ever written.

Writing wears an SD card. So the agent writes only while an outage lasts, in batches, and keeps the
file closed in between. The first error of disk or file is logged; the agent then continues with the
windows that it has in memory.
"""

import contextlib
import logging
import math
import os
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
    """Count the windows in a spool without changing it.

    Raises:
        sqlite3.Error: if the file is not a spool, or is damaged.
    """
    address = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=1.0)) as database:
        return int(database.execute("SELECT count(*) FROM windows").fetchone()[0])


class SqliteSpool:
    """A `Spool` in a SQLite file, which is created by the first outage.

    Args:
        path: the file.
        schema: the site's schema hash; windows that were kept under another schema are dropped.
        width: number of channels.
    """

    def __init__(self, path: Path, schema: bytes, width: int) -> None:
        self._path = path
        self._schema = schema
        self._width = width
        self._logged = False
        try:
            self._boot = _BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            self._boot = ""  # every start then counts as a reboot

    def load(self) -> tuple[Anchor | None, dict[int, Kept]]:
        """Return what an earlier process kept; the anchor's time is NaN after a reboot."""
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
            self._log_once(error)
            if not isinstance(error, sqlite3.OperationalError):
                self._set_aside()
            return None, {}
        except ValueError as error:
            self._log_once(error)
            self._set_aside()
            return None, {}
        same_boot = bool(self._boot) and row[2] == self._boot
        return Anchor(row[0], row[1] if same_boot else math.nan), windows

    def keep(self, anchor: Anchor, windows: dict[int, Kept]) -> None:
        """Add windows of an outage, and delete those of any earlier one."""
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
            self._log_once(error)

    def clear(self) -> bool:
        """Delete all windows from disk before any is contributed, so that none is sent twice."""
        if not self._path.exists():
            return True
        try:
            with self._open() as database, database:
                database.execute("DELETE FROM windows")
                database.execute("DELETE FROM anchor")
        except (sqlite3.Error, OSError) as error:
            self._log_once(error)
            return self._remove()
        return True

    def _remove(self) -> bool:
        """Delete the file so that no power cut brings it back; returns whether that worked."""
        try:
            self._path.unlink(missing_ok=True)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            self._log_once(error)
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
            database.execute("PRAGMA synchronous = FULL")  # a commit is on disk when it returns
            database.executescript(_TABLES)
            yield database

    def _set_aside(self) -> None:
        with contextlib.suppress(OSError):
            self._path.replace(self._path.with_name(f"{self._path.name}.damaged"))

    def _log_once(self, error: Exception) -> None:
        if not self._logged:
            log.warning("%s: %s; continuing without it", self._path, error)
        self._logged = True
