"""What a gateway keeps: one SQLite file, written so that a kill at any moment loses little.

The number of a round is stored before the round is announced, so that it is never used twice; the
model is stored with the counters that belong to it, in one transaction.
"""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from protoledger.protocol.errors import ConfigurationError

VERSION = 1


class Store:
    """A gateway's memory; for one thread.

    Args:
        path: the SQLite file, made if missing.
        schema_hash: of the site; a file of another site's is refused.

    Raises:
        ConfigurationError: if the file is no store, of another version, or of another schema.
    """

    def __init__(self, path: Path, schema_hash: bytes) -> None:
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value BLOB)"
            )
        except sqlite3.Error as error:
            raise ConfigurationError(f"{path} is no store of a gateway: {error}") from error
        found = self._get("version"), self._get("schema")
        if found == (None, None):
            self._put(version=VERSION, schema=schema_hash)
        elif found != (VERSION, schema_hash):
            self.close()
            raise ConfigurationError(
                f"{path} holds the model of other channels or labels, or of another version; "
                f"move it away to start anew"
            )

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

    def save(self, model: bytes, counters: bytes) -> None:
        """Keep a model and the counters that belong to it."""
        self._put(model=model, counters=counters)

    def model(self) -> tuple[bytes, bytes] | None:
        """Return what `save` kept last."""
        model, counters = self._get("model"), self._get("counters")
        if isinstance(model, bytes) and isinstance(counters, bytes):
            return model, counters
        return None

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
