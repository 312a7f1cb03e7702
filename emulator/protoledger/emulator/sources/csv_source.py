"""Read a CSV file with a header as labelled rows, and tell all that is wrong with it at once.

What counts as what:

- The label column is the one that is asked for, else the last. Its texts, without surrounding
  blanks, are the labels.
- Any other column of which at least half of the cells are numbers is a channel, and then each of
  its cells has to be a finite number: an empty cell, a NaN or a text is an error. The words of
  infinity and NaN are numbers here, so that a column of them is refused instead of dropped.
- Any other column, such as a time stamp or a comment, is left out and named in `left_out`.

Blank lines are skipped. A column without a name, as the index that pandas writes, is called
`column_1` by its position. Lines are counted from 1, the header's included.
"""

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protoledger.emulator.errors import CsvError, SourceError

MOST_LABELS = 255
SHOWN_PROBLEMS = 20
# More fractional labels than this are readings, not classes.
_MOST_FRACTIONAL_LABELS = 100


@dataclass(frozen=True)
class Table:
    """Labelled rows.

    Attributes:
        channels: names, one a column of `values`.
        labels: names of the classes; sorted, as numbers where all are.
        values: float64 of shape (rows, channels), finite.
        classes: int64 of shape (rows,), indices into `labels`.
        left_out: columns that are not numeric.
    """

    channels: tuple[str, ...]
    labels: tuple[str, ...]
    values: NDArray[np.float64]
    classes: NDArray[np.int64]
    left_out: tuple[str, ...] = ()


@dataclass
class Findings:
    """What is wrong with one file: all counted, kept with the line to tell the first ones."""

    file: str
    total: int = 0
    _kept: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, text: str) -> None:
        """Note a problem on a line; 0 means the whole file."""
        self.total += 1
        self._kept.append((line, f"line {line}{text}" if line else text))

    def stop(self) -> None:
        """Raise `CsvError` if anything was found."""
        if self.total:
            shown = sorted(self._kept, key=lambda kept: kept[0])[:SHOWN_PROBLEMS]
            raise CsvError(self.file, tuple(text for _, text in shown), self.total)


def read_csv(path: Path, label: str | None = None) -> Table:
    """Read and check a file.

    Args:
        path: a regular file, UTF-8 with or without a byte order mark.
        label: name of the label column; the last column without it.

    Raises:
        CsvError: names every line and column that is wrong (the first 20, and how many there are).
        SourceError: there is no such file, or it cannot be read.
    """
    if path.is_dir():
        raise SourceError(f"{path} is a directory: name a CSV file in it")
    if not path.is_file():
        raise SourceError(f"there is no file {path}: check the path")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    return parse_csv(data, str(path), label)


def parse_csv(data: bytes, file: str, label: str | None = None) -> Table:
    """Check and convert the bytes of a CSV file; `file` names it in errors, see `read_csv`."""
    findings = Findings(file)
    rows = _rows(_decode(data, findings), findings)
    _, header = next(rows, (1, []))
    names = _names(header, findings)
    wanted = names.index(_label(names, label, findings))
    good: list[tuple[int, list[str]]] = []
    for line, row in rows:
        if len(row) == len(names):
            good.append((line, row))
        else:
            findings.add(line, f": {len(row)} fields where the header has {len(names)}")
    if not good:
        if not findings.total:
            findings.add(1, ": a header but no rows: there is nothing to learn from")
        findings.stop()
    lines = [line for line, _ in good]
    columns = list(zip(*(row for _, row in good), strict=True))
    channels, left_out, numbers = [], [], []
    for index, (name, cells) in enumerate(zip(names, columns, strict=True)):
        if index == wanted:
            continue
        values = _channel(name, lines, cells, findings)
        if values is None:
            left_out.append(name)
        else:
            channels.append(name)
            numbers.append(values)
    labels, classes = _classes(names[wanted], lines, columns[wanted], findings)
    if not channels:
        findings.add(
            1, f": no column but the label {names[wanted]!r} is numeric: name another file"
        )
    findings.stop()
    matrix = np.ascontiguousarray(np.array(numbers, dtype=np.float64).T)
    return Table(tuple(channels), labels, matrix, classes, tuple(left_out))


def _decode(data: bytes, findings: Findings) -> str:
    if not data.strip():
        findings.add(1, ": the file is empty: a header and rows are needed")
        findings.stop()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = data[error.start]
        findings.add(line, f": byte 0x{byte:02x} is not UTF-8: save the file as UTF-8 text")
    findings.stop()
    raise AssertionError  # stop() has raised


def _rows(text: str, findings: Findings) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, each with the line on which it starts."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    line = 1
    try:
        for row in reader:
            if row and (len(row) > 1 or row[0].strip()):
                yield line, [cell.strip() for cell in row]
            line = reader.line_num + 1
    except csv.Error as error:
        # Nothing behind a stray quote can be trusted to be where it seems.
        findings.add(line, f": {error}; what follows was not read")


def _names(header: Sequence[str], findings: Findings) -> list[str]:
    names = [name or f"column_{number}" for number, name in enumerate(header, start=1)]
    for name in sorted(set(names)):
        where = [str(number) for number, other in enumerate(names, start=1) if other == name]
        if len(where) > 1:
            findings.add(1, f": columns {', '.join(where)} are all called {name!r}: rename them")
        if not name.isprintable():
            findings.add(1, f", column {where[0]}: the name {name!r} has control characters")
    if not names and not findings.total:
        findings.add(1, ": the file is empty: a header and rows are needed")
    if len(names) == 1 and not findings.total:
        other = next((sign for sign in (";", "\t", "|") if sign in names[0]), None)
        hint = f"; it seems to be cut by {other!r}: commas are needed" if other else ""
        findings.add(1, f": only one column, {names[0]!r}: a channel and a label are needed{hint}")
    findings.stop()
    return names


def _label(names: Sequence[str], label: str | None, findings: Findings) -> str:
    if label is None:
        return names[-1]
    if label.strip() in names:
        return label.strip()
    close = get_close_matches(label, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    findings.add(1, f": there is no label column {label!r}: {hint}there are {', '.join(names)}")
    findings.stop()
    raise AssertionError  # stop() has raised


def number(text: str) -> float | None:
    """The value of a decimal number, of "nan" or "inf"; none for any other text."""
    try:
        value = float(text)
    except ValueError:
        return None
    return None if "_" in text else value


def _channel(
    name: str, lines: Sequence[int], cells: Sequence[str], findings: Findings
) -> list[float] | None:
    values = [number(cell) for cell in cells]
    if 2 * sum(value is not None for value in values) < len(values):
        return None
    for line, cell, value in zip(lines, cells, values, strict=True):
        if value is None or not math.isfinite(value):
            what = f"{cell[:40]!r} is not a finite number" if cell else "the cell is empty"
            findings.add(line, f", column {name!r}: {what}: mend it or remove the row")
    return [math.nan if value is None else value for value in values]


def _classes(
    name: str, lines: Sequence[int], cells: Sequence[str], findings: Findings
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    for line, cell in zip(lines, cells, strict=True):
        if not cell:
            findings.add(line, f", column {name!r}: the label is empty: fill it or remove the row")
        elif not cell.isprintable():
            findings.add(line, f", column {name!r}: the label has control characters")
    numbers = {cell: number(cell) for cell in set(cells) if cell}
    labels = sorted(numbers, key=_label_order(numbers))
    fractional = any(value is not None and value % 1 != 0 for value in numbers.values())
    if len(labels) > (_MOST_FRACTIONAL_LABELS if fractional else MOST_LABELS):
        looks = "; they look like readings" if fractional else ""
        findings.add(
            0,
            f"column {name!r}: {len(labels)} different labels{looks}; at most {MOST_LABELS} "
            "classes can be learnt: name the label column with --label",
        )
    elif len(labels) == 1:
        findings.add(0, f"column {name!r}: every row is {labels[0]!r}: two classes are needed")
    index = {text: position for position, text in enumerate(labels)}
    return tuple(labels), np.array([index.get(cell, 0) for cell in cells], dtype=np.int64)


def _label_order(numbers: dict[str, float | None]) -> Callable[[str], tuple[float, str]]:
    if any(value is None or math.isnan(value) for value in numbers.values()):
        return lambda text: (0.0, text)
    return lambda text: (numbers[text] or 0.0, text)
