"""One gateway's files, opened read-only and again whenever they were replaced.

A gateway may not have started yet, may stop, be killed, and come back with other files; none of
that is an error here, it is a `State`.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from protoledger.gateway.training.history.tables import history_path

State = Literal["absent", "unreadable", "starting", "running", "stale", "stopped"]
STALE_S: Final = 30.0
"""A status that old is of a gateway that hangs; see `gateway.operations.health`."""
BUSY_S: Final = 0.2

Row = tuple[Any, ...]


@dataclass
class ReadOnlyFile:
    """A SQLite file that another process writes, and may replace.

    Args:
        path: the file; need not exist.
    """

    path: Path
    _database: sqlite3.Connection | None = field(default=None, repr=False)
    _inode: tuple[int, int] = (0, 0)

    def rows(self, query: str, values: Iterable[object] = ()) -> list[Row]:
        """Return the rows of a query; none if the file or table is missing, damaged or busy."""
        database = self._open()
        if database is None:
            return []
        try:
            return database.execute(query, tuple(values)).fetchall()
        except sqlite3.Error:
            self.close()
            return []

    def version(self) -> tuple[int, ...]:
        """Return something that changes whenever the content has changed."""
        database = self._open()
        if database is None:
            return (0,)
        try:
            (number,) = database.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            self.close()
            return (0,)
        return (*self._inode, number)

    def close(self) -> None:
        """Close the file; the next query opens it again."""
        if self._database is not None:
            self._database.close()
        self._database = None

    def _open(self) -> sqlite3.Connection | None:
        try:
            found = self.path.stat()
        except OSError:
            self.close()
            return None
        if self._database is not None and self._inode == (found.st_dev, found.st_ino):
            return self._database
        self.close()
        self._inode = (found.st_dev, found.st_ino)
        uri = self.path.absolute().as_uri()
        for mode in ("mode=ro", "mode=ro&immutable=1"):  # the latter: no log, folder not writable
            if "immutable" in mode and _is_there(self.path.with_name(f"{self.path.name}-wal")):
                break
            try:
                database = sqlite3.connect(
                    f"{uri}?{mode}", uri=True, timeout=BUSY_S, check_same_thread=False
                )
                database.execute("SELECT count(*) FROM sqlite_master")
            except sqlite3.Error:
                continue
            self._database = database
            break
        return self._database


class GatewayFiles:
    """What one gateway has written.

    Args:
        name: what the page calls it until the gateway has said its name.
        store_file: the gateway's store.
        clock: seconds since 1970.
    """

    def __init__(self, name: str, store_file: Path, clock: Callable[[], float] = time.time) -> None:
        self.name, self.store_file, self.clock = name, store_file, clock
        self.history = ReadOnlyFile(history_path(store_file))
        self.store = ReadOnlyFile(store_file)

    def version(self) -> tuple[object, ...]:
        """Return something that changes whenever a view could change."""
        status = self.status()
        return (self.state(status), status.get("written_at"), *self.history.version())

    def status(self) -> dict[str, Any]:
        """Return the status file's content, empty without one."""
        path = self.store_file.with_name(f"{self.store_file.name}.status.json")
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def state(self, status: dict[str, Any] | None = None) -> State:
        """Return how the gateway is."""
        status = self.status() if status is None else status
        if self._is_closed():
            return "unreadable"
        if not status:
            return "stopped" if _is_there(self.history.path) else "absent"
        if _has_ended(status.get("pid")):
            return "stopped"
        written = status.get("written_at")
        if isinstance(written, int | float) and self.clock() - written > STALE_S:
            return "stale"
        return "running" if self.rows("SELECT 1 FROM samples LIMIT 1") else "starting"

    def _is_closed(self) -> bool:
        """Whether the files are there, and this process may not read them."""
        for path, how in (
            (self.store_file.parent, os.R_OK | os.X_OK),
            (self.history.path, os.R_OK),
        ):
            if not os.access(path, how):
                return _is_there(path)
        return False

    def document(self, name: str) -> dict[str, Any]:
        """Return a document of the history, empty without it."""
        found = self.rows("SELECT content FROM documents WHERE name = ?", [name])
        return content(found[0][0]) if found else {}

    def rows(self, query: str, values: Iterable[object] = ()) -> list[Row]:
        """Query the history."""
        return self.history.rows(query, values)

    def events(self, condition: str, most: int) -> list[dict[str, Any]]:
        """Return the newest events.

        Args:
            condition: which, in SQL of ours; on the columns at, kind and content.
            most: how many at most.
        """
        query = f"SELECT at, kind, content FROM events WHERE {condition} ORDER BY id DESC LIMIT ?"  # noqa: S608
        return [
            {"at": at, "kind": kind, **content(text)} for at, kind, text in self.rows(query, [most])
        ]

    def header(self) -> dict[str, Any]:
        """Return what every tab shows of a site: its name, and how its gateway is."""
        status, about = self.status(), self.document("about")
        state = self.state(status)
        last = self.document("now").get("at")
        return {
            "name": about.get("site") or self.name,
            "gateway": about.get("gateway", ""),
            "state": state,
            "seen_at": status.get("written_at") or last,
            "started_at": status.get("started_at"),
            "labels": about.get("labels", []),
            "account": (about.get("ledger") or {}).get("account"),
        }

    def close(self) -> None:
        """Close the files."""
        self.history.close()
        self.store.close()


def _is_there(path: Path) -> bool:
    """Whether a path names something, also where it may not be looked into."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def content(text: object) -> dict[str, Any]:
    """Decode a JSON object that a gateway wrote; empty if it is none."""
    try:
        found = json.loads(str(text))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _has_ended(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # it runs, as another user
    return False
