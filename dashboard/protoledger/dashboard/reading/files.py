"""One gateway's files, opened read-only and again whenever they were replaced.

A gateway may not have started yet, may stop, be killed, and come back with other files; none of
that is an error here, it is a `State`.
"""

import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self

from protoledger.gateway.training.history.tables import EVENTS_KEPT, history_path

log = logging.getLogger(__name__)

State = Literal["absent", "unreadable", "damaged", "starting", "running", "stale", "stopped"]
STALE_S: Final = 30.0
"""A status that old is of a gateway that hangs; see `gateway.operations.health`. One that is as far
ahead was written before the clock was set back."""
BUSY_S: Final = 0.2
CACHE_KIB: Final = 256
"""Of each file; SQLite's own would be 2 MiB each."""
STATUS_BYTES: Final = 65_536
DOCUMENT_CHARACTERS: Final = 4_000_000
EVENT_CHARACTERS: Final = 20_000
RECENT_EVENTS: Final = 2 * EVENTS_KEPT
"""Events that are looked through at most, the newest."""
DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

Row = tuple[Any, ...]


@dataclass
class ReadOnlyFile:
    """A SQLite file that another process writes, and may replace.

    Args:
        path: the file; need not exist.

    Attributes:
        damaged: whether what is there is no database, or one whose pages contradict each other.
        busy: whether another process has locked it; nothing is asked again until this is cleared.
    """

    path: Path
    damaged: bool = False
    busy: bool = False
    _database: sqlite3.Connection | None = field(default=None, repr=False)
    _inode: tuple[int, int] = (0, 0)

    def rows(self, query: str, values: Iterable[object] = ()) -> list[Row]:
        """Return the rows of a query; none if the file or table is missing, damaged or busy."""
        database = None if self.busy else self._open()
        if database is None:
            return []
        try:
            return database.execute(query, tuple(values)).fetchall()
        except (sqlite3.Error, OverflowError) as error:
            self._failed(error)
            return []

    def _failed(self, error: Exception) -> None:
        code = getattr(error, "sqlite_errorcode", None) or 0
        if code & 0xFF == sqlite3.SQLITE_BUSY:
            self.busy = True
            return
        if code & 0xFF in DAMAGED:
            self.damaged = True
        self.close()

    def version(self) -> tuple[int, ...]:
        """Return something that changes whenever the content has changed."""
        database = self._open()
        if database is None:
            return (0,)
        try:
            (number,) = database.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error as error:
            self._failed(error)
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
        self._inode, self.damaged = (found.st_dev, found.st_ino), False
        uri = self.path.absolute().as_uri()
        for mode in ("mode=ro", "mode=ro&immutable=1"):  # the latter: no log, folder not writable
            if "immutable" in mode and _is_there(self.path.with_name(f"{self.path.name}-wal")):
                break
            try:
                database = sqlite3.connect(
                    f"{uri}?{mode}", uri=True, timeout=BUSY_S, check_same_thread=False
                )
                database.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
                database.execute("SELECT count(*) FROM sqlite_master")
            except sqlite3.Error as error:
                self._failed(error)
                if self.busy:  # the next mode would look past the lock
                    break
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
        self._status: dict[str, Any] = {}
        self._complaint = ""

    @property
    def busy(self) -> bool:
        """Whether a file was locked since `begin`, so that less was read than is there."""
        return self.history.busy or self.store.busy

    def begin(self) -> None:
        """Begin to read for one view."""
        self.history.busy = self.store.busy = False

    def version(self) -> tuple[object, ...]:
        """Return something that changes whenever a view could change."""
        status = self.status()
        return (self.state(status), status.get("written_at"), *self.history.version())

    def status(self) -> dict[str, Any]:
        """Return the status file's content; empty without one.

        A file that is there and holds nothing that can be read is being written: then it is what
        it was.
        """
        path = self.store_file.with_name(f"{self.store_file.name}.status.json")
        try:
            with path.open("rb") as file:
                found = content(file.read(STATUS_BYTES).decode())
        except FileNotFoundError:
            found = self._status = {}
        except (OSError, ValueError):
            found = {}
        self._status = found or self._status
        return self._status

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
        if not isinstance(written, int | float) or abs(self.clock() - written) > STALE_S:
            return "stale"
        if self.rows("SELECT 1 FROM samples LIMIT 1"):
            return "running"
        return "damaged" if self.history.damaged else "starting"

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
        found = self.rows(
            "SELECT content FROM documents WHERE name = ? AND length(content) < ?",
            [name, DOCUMENT_CHARACTERS],
        )
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
        query = (
            f"SELECT at, kind, content FROM events WHERE ({condition}) "  # noqa: S608
            "AND id > (SELECT max(id) FROM events) - ? AND length(content) < ? "
            "ORDER BY id DESC LIMIT ?"
        )
        found = self.rows(query, [RECENT_EVENTS, EVENT_CHARACTERS, most])
        return [{"at": at, "kind": kind, **content(text)} for at, kind, text in found]

    def header(self) -> dict[str, Any]:
        """Return what every tab shows of a site: its name, and how its gateway is."""
        status, about = self.status(), self.document("about")
        state = self.state(status)
        last = self.document("now").get("at")
        return {
            "name": about.get("site") or self.name,
            "gateway": about.get("gateway", ""),
            "state": state,
            "was_stopped": state == "stopped" and not status,
            "seen_at": status.get("written_at") or last,
            "started_at": status.get("started_at"),
            "labels": about.get("labels", []),
            "account": (about.get("ledger") or {}).get("account"),
        }

    def shown(self, make: Callable[[Self], dict[str, Any]]) -> dict[str, Any]:
        """Return what a tab shows of this site, under its header.

        Whatever is wrong in its files shows as the state "damaged": it costs no other site.
        """
        try:
            return {**self.header(), **make(self)}
        except Exception as error:  # noqa: BLE001 - a file may hold anything
            if self._complaint != repr(error):
                self._complaint = repr(error)
                log.warning("%s: what is there makes no sense: %s", self.history.path, error)
            return {"name": self.name, "state": "damaged", "labels": [], "account": None}

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
    except (ValueError, RecursionError):
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
