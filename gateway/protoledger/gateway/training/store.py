"""What a gateway keeps: one SQLite file, written so that a kill or a power cut loses little.

The number of a round is on disk before the round is announced, so that it is never used twice; the
model is stored with the counters that belong to it, in one transaction.
"""

import contextlib
import errno
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from protoledger.gateway.errors import StoreUnavailableError
from protoledger.protocol.errors import ConfigurationError


def _to_user_version(database: sqlite3.Connection) -> None:
    """Version 1 kept its number in a row of the table."""
    database.execute("DELETE FROM state WHERE name = 'version'")


MIGRATIONS: Final[Mapping[int, Callable[[sqlite3.Connection], None]]] = {1: _to_user_version}
"""What brings a file of each earlier version to the next one; run in one transaction."""
VERSION: Final = 2
"""Of the file, in SQLite's `user_version`. What it keeps of a model says its own version."""


class Store:
    """A gateway's memory; for one thread.

    Args:
        path: the SQLite file, made if missing.
        schema_hash: of the site; a file of another site's is refused.

    Raises:
        ConfigurationError: if the file is no store, of a later version, or of another schema.
        StoreUnavailableError: if it cannot be opened now, and a later attempt may succeed.
    """

    def __init__(self, path: Path, schema_hash: bytes) -> None:
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            # with a write-ahead log, NORMAL leaves a commit in memory until the next checkpoint
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value BLOB)"
            )
        except sqlite3.OperationalError as error:  # a file that is no database is another error
            raise StoreUnavailableError(errno.EIO, str(error), str(path)) from error
        except sqlite3.Error as error:
            raise ConfigurationError(f"{path} is no store of a gateway: {error}") from error
        try:
            self._migrate(path)
            self._check_schema(path, schema_hash)
        except ConfigurationError:
            self.close()
            raise
        kept = self._get("round")
        self._last_round = kept if isinstance(kept, int) else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; idempotent."""
        self._database.close()

    @property
    def last_round(self) -> int:
        """The highest round number that was ever announced; 0 for none."""
        return self._last_round

    def begin_round(self, round_id: int) -> None:
        """Write down a number before it is announced."""
        self._put(round=round_id)
        self._last_round = round_id

    @property
    def centre(self) -> tuple[int, ...]:
        """Around what privacy clipped values last; empty if it never did."""
        kept = self._get("centre")
        text = kept.decode() if isinstance(kept, bytes) else ""
        return tuple(int(one) for one in text.split())

    def keep_centre(self, centre: tuple[int, ...]) -> None:
        """Keep around what the next round clips."""
        if centre:
            self._put(centre=" ".join(map(str, centre)).encode())

    def save(self, model: bytes, counters: bytes) -> None:
        """Keep a model and the counters that belong to it."""
        self._put(model=model, counters=counters)

    def model(self) -> tuple[bytes, bytes] | None:
        """Return what `save` kept last."""
        model, counters = self._get("model"), self._get("counters")
        if isinstance(model, bytes) and isinstance(counters, bytes):
            return model, counters
        return None

    def _migrate(self, path: Path) -> None:
        """Bring the file to this version.

        Raises:
            ConfigurationError: It was written by a later version.
        """
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version == 0:  # a new file, or one of version 1
                version = 1 if self._get("version") is not None else VERSION
            if version > VERSION:
                raise ConfigurationError(
                    f"{path} is of version {version}, this program knows {VERSION} at most; "
                    "install the newer program again, or move the file away to start over"
                )
            for number in range(version, VERSION):
                MIGRATIONS[number](self._database)
            self._database.execute(f"PRAGMA user_version = {VERSION}")

    def _check_schema(self, path: Path, schema_hash: bytes) -> None:
        known = self._get("schema")
        if known is None:
            self._put(schema=schema_hash)
        elif known != schema_hash:
            raise ConfigurationError(
                f"{path} holds the model of other channels or labels; carry it over with "
                f"`protoledger gateway carry-over OLD_SITE_FILE`, or move it away to start over"
            )

    def _get(self, name: str) -> bytes | int | str | None:
        row = self._database.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def _put(self, **values: bytes | int) -> None:
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(
                "INSERT INTO state VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                list(values.items()),
            )


def change_schema(path: Path, old: bytes, new: bytes, change: Callable[[bytes], bytes]) -> None:
    """Rewrite the model in the store of a stopped gateway for another schema, whole or not at all.

    Args:
        path: the store.
        old: hash of the schema that it must be of.
        new: hash of the one that it is of afterwards.
        change: gives the model for the new schema.

    Raises:
        ConfigurationError: it is no store, or of another schema.
    """
    try:
        with contextlib.closing(Store(path, old)) as store:
            kept = store.model()
            values = {"schema": new} | ({"model": change(kept[0])} if kept else {})
            store._put(**values)  # noqa: SLF001 - the same module
    except ConfigurationError as error:
        raise ConfigurationError(
            f"{error}; the old site file must be the one that the model was learnt with"
        ) from error


def change_counters(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Rewrite the counters in the store of a stopped gateway, if it has kept any."""
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        tables = "SELECT count(*) FROM sqlite_master WHERE name = 'state'"
        if not database.execute(tables).fetchone()[0]:
            return
        found = database.execute("SELECT value FROM state WHERE name = 'counters'").fetchone()
        if found is not None:
            query = "UPDATE state SET value = ? WHERE name = 'counters'"
            database.execute(query, (change(found[0]),))
