"""Which rows of a recording have been contributed, in a file: no restart contributes one twice.

Two sums over the same row and different agents would differ by one agent's reading. So a row is
marked here before it is given, and what cannot be marked is not given.
"""

import logging
import os
from pathlib import Path

from protoledger.protocol.errors import ConfigurationError

log = logging.getLogger(__name__)


class SpentRows:
    """The number of the first row that may still be contributed.

    Args:
        path: the file; None: in memory only, for tests and `--mock`.
        sync: whether to wait for the disk; without it a mark outlives the process, but not a power
            cut a moment later.

    Raises:
        ConfigurationError: if the file holds anything else than a number.
    """

    def __init__(self, path: Path | None = None, *, sync: bool = True) -> None:
        self._path = path
        self._sync = sync
        self._logged = False
        self._next = 0 if path is None else _read(path)

    @property
    def next_row(self) -> int:
        """The first row that may still be contributed."""
        return self._next

    def spend(self, until: int) -> bool:
        """Mark all rows below `until`; False if that failed, and they must not be given."""
        if until <= self._next:
            return False
        if self._path is not None:
            try:
                self._write(self._path, until)
            except OSError as error:
                if not self._logged:
                    log.warning("%s: %s; rows are not contributed without it", self._path, error)
                self._logged = True
                return False
        self._next = until
        return True

    def _write(self, path: Path, until: int) -> None:
        draft = path.with_name(f"{path.name}.new")
        with draft.open("w", encoding="ascii") as file:
            file.write(f"{until}\n")
            file.flush()
            if self._sync:
                os.fsync(file.fileno())
        draft.replace(path)
        if self._sync:
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)  # the new name too
            finally:
                os.close(folder)


def _read(path: Path) -> int:
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return 0
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    if not (text.isdecimal() and len(text) <= 20):
        raise ConfigurationError(
            f"{path} should hold the number of the first row to contribute, found {text[:20]!r}; "
            f"write one that is beyond all rows that were contributed"
        )
    return int(text)
