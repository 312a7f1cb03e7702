"""Which rows of a recording have been contributed, in a file: no restart contributes one twice.

Two sums over the same row and different agents would differ by one agent's reading. So a row is
marked here before it is given, and what cannot be marked is not given.
"""

import logging
import os
from pathlib import Path
from typing import BinaryIO

from protoledger.protocol.errors import ConfigurationError

log = logging.getLogger(__name__)


class SpentRows:
    """The number of the first row that may still be contributed.

    Args:
        path: the file; None: in memory only, for tests and `--mock`.
        sync: whether to wait for the disk; without it a mark outlives the process, but not a power
            cut a moment later, and is written over the last one: digits of one number are replaced
            by as many in one system call, no kill comes in between.

    Raises:
        ConfigurationError: if the file holds anything else than a number.
    """

    def __init__(self, path: Path | None = None, *, sync: bool = True) -> None:
        self._path = path
        self._sync = sync
        self._logged = False
        self._file: BinaryIO | None = None
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
                if self._sync:
                    replace_file(self._path, f"{until}\n")
                else:
                    self._overwrite(self._path, until)
            except OSError as error:
                if not self._logged:
                    log.warning("%s: %s; rows are not contributed without it", self._path, error)
                self._logged = True
                return False
        self._next = until
        return True

    def _overwrite(self, path: Path, until: int) -> None:
        if self._file is None:
            replace_file(path, f"{self._next:020d}\n")  # what is overwritten has its full length
            self._file = path.open("r+b", buffering=0)
        os.pwrite(self._file.fileno(), b"%020d\n" % until, 0)

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None


def replace_file(path: Path, content: str) -> None:
    """Write a file and wait for the disk; a kill or a power cut leaves the old one or the new.

    Raises:
        OSError: if that failed; the new one may be there all the same.
    """
    draft = path.with_name(f"{path.name}.new")
    with draft.open("w", encoding="ascii") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
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
