"""Parse a CSV recording once, for all sensors of a process that replay its columns.

A recording has one header line and one row per read. A cell is a finite decimal number, or empty if
the read gave no value. Columns are kept as packed doubles (8 bytes a cell). A column with other
text (a time stamp, a comment) is an error only if a sensor replays it.
"""

import csv
import math
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path

from protoledger.sensors.errors import BadRecording, SensorMissing

# This many rows are held as text at a time.
_CHUNK_ROWS = 1024
_CACHED_FILES = 4
_SHOWN = 20


@dataclass(slots=True)
class Problems:
    """The errors of one file: all are counted, the first few are kept."""

    count: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Count a problem; `text` begins with its line."""
        self.count += 1
        if len(self.shown) < _SHOWN:
            self.shown.append(text)

    def raise_for(self, path: Path) -> None:
        """Raise `BadRecording` if anything was added."""
        if self.count == 1:
            raise BadRecording(f"{path}, {self.shown[0]}")
        if self.count:
            more = f", the first {_SHOWN}" if self.count > _SHOWN else ""
            raise BadRecording(
                f"{path}: {self.count} problems{more}:\n  " + "\n  ".join(self.shown)
            )


@dataclass(frozen=True, slots=True)
class Column:
    """One column; NaN for an empty cell. A column with `problems` cannot be replayed."""

    values: "array[float]"
    problems: Problems


@dataclass(frozen=True, slots=True)
class Recording:
    """A parsed file; shared between sensors, so it must not be changed."""

    path: Path
    rows: int
    columns: dict[str, Column]

    def column(self, name: str) -> "array[float]":
        """The values of a column; NaN where the read gave no value.

        Raises:
            BadRecording: there is no such column, or it contains something other than numbers.
        """
        column = self.columns.get(name)
        if column is None:
            names = ", ".join(self.columns)
            raise BadRecording(f"{self.path} has no column {name!r}: it has {names}")
        column.problems.raise_for(self.path)
        return column.values


def load_recording(path: Path) -> Recording:
    """Parse a file, or return the copy parsed earlier if the file has not changed since.

    Raises:
        SensorMissing: there is no such file.
        BadRecording: it is not a UTF-8 CSV file with a header, at least one row and rows of equal
            length; the message names up to 20 lines.
    """
    try:
        status = path.stat()
        return _load(path.absolute(), status.st_mtime_ns, status.st_size, status.st_ino)
    except FileNotFoundError as error:
        raise SensorMissing(f"there is no recording {path}: check the option `path`") from error
    except UnicodeDecodeError as error:
        raise BadRecording(
            f"{path} is not UTF-8 text ({error.reason}): save it as UTF-8"
        ) from error
    except OSError as error:
        raise BadRecording(f"{path} cannot be read: {os.strerror(error.errno or 0)}") from error


@lru_cache(maxsize=_CACHED_FILES)
def _load(path: Path, _mtime_ns: int, _size: int, _inode: int) -> Recording:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return _parse(path, _numbered(path, file))


def _numbered(path: Path, file: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, each with the line that it starts on."""
    reader = csv.reader(file, strict=True, skipinitialspace=True)
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadRecording(f"{path}, line {reader.line_num}: {error}") from error


def _parse(path: Path, rows: Iterator[tuple[int, list[str]]]) -> Recording:
    names = [name.strip() for name in next(rows, (1, []))[1]]
    if not names:
        raise BadRecording(f"{path} is empty: a recording starts with a line of column names")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadRecording(f"{path}, line 1: column names are used twice: {', '.join(twice)}")
    columns = [Column(array("d"), Problems()) for _ in names]
    broken = Problems()
    count = 0
    while chunk := list(islice(rows, _CHUNK_ROWS)):
        count += len(chunk)
        for line, row in chunk:
            if len(row) != len(names):
                broken.add(f"line {line}: {len(row)} fields where the header has {len(names)}")
        if not broken.count:
            _extend(names, columns, chunk)
    broken.raise_for(path)
    if not count:
        raise BadRecording(f"{path} has a header but no rows: there is nothing to replay")
    return Recording(path, count, dict(zip(names, columns, strict=True)))


def _extend(
    names: Sequence[str], columns: Sequence[Column], chunk: Sequence[tuple[int, list[str]]]
) -> None:
    lines = [line for line, _ in chunk]
    by_column = zip(*(row for _, row in chunk), strict=True)
    for name, column, cells in zip(names, columns, by_column, strict=True):
        _append(name, column, lines, cells)


def _append(name: str, column: Column, lines: Sequence[int], cells: Sequence[str]) -> None:
    try:
        values = list(map(float, cells))
        plain = all(map(math.isfinite, values)) and "_" not in "".join(cells)
    except ValueError:
        plain = False
    if plain:
        column.values.extend(values)
        return
    for line, cell in zip(lines, cells, strict=True):
        text = cell.strip()
        try:
            value = float(text) if text else math.nan
            fine = not text or (math.isfinite(value) and "_" not in text)
        except ValueError:
            value, fine = math.nan, False
        column.values.append(value)
        if not fine:
            column.problems.add(
                f"line {line}, column {name!r}: {text[:40]!r} is not a finite number "
                "(leave the cell empty if the read gave no value)"
            )
