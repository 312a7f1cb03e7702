"""Read a CSV file with a header as labelled rows, or report all that is wrong with it at once.

`csv_text` splits the file into cells; here its columns are interpreted:

- The label column is the one that is asked for, otherwise the last one with any values. Its texts,
  without surrounding blanks, are the labels; each row needs one.
- A column of booleans (true/false, on/off, yes/no) is a channel of 1 and 0.
- A column of which at least half of the cells are numbers is a channel. Empty cells, words for "no
  value" (NA, NaN, null, unavailable, …) and the values of `missing` are missing readings, NaN here.
  Any other cell that is not a finite number is an error.
- Row numbers, time stamps and all other columns are left out, with the reason in `notices`.

A file with one row per reading of one of several series, as Home Assistant and InfluxDB export, is
refused: what happened at the same moment has to be in one row.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protoledger.emulator.errors import DataSourceError
from protoledger.emulator.sources.csv_numbers import (
    BOOLEANS,
    MISSING_WORDS,
    ambiguous_comma,
    has_decimal_commas,
    index_or_time,
    is_decimal,
    is_missing,
    number,
    only_rises,
    sentinel,
)
from protoledger.emulator.sources.csv_text import Findings, Sheet, read_sheet

MOST_LABELS = 255
# More fractional labels than this are readings, and so are more numbers than this of which most
# occur once or twice.
_MOST_FRACTIONAL_LABELS = 20
_MOST_NUMBERED_LABELS = 10
_FEW_LABELS = 10
_SERIES_NAMES = frozenset(("entity_id", "_field", "metric", "variable", "topic", "series"))
_SERIES_VALUES = frozenset(("state", "_value", "value", "payload"))


@dataclass(frozen=True)
class CsvTable:
    """Labelled rows.

    Attributes:
        channels: names, one per column of `values`.
        labels: names of the classes; sorted, as numbers if all are numbers.
        values: float64 of shape (rows, channels), finite, or NaN for a missing reading.
        classes: int64 of shape (rows,), indices into `labels`.
        left_out: columns that are neither channel nor label.
        notices: what a person should know, one sentence each.
    """

    channels: tuple[str, ...]
    labels: tuple[str, ...]
    values: NDArray[np.float64]
    classes: NDArray[np.int64]
    left_out: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def read_csv(
    path: Path,
    label: str | None = None,
    *,
    missing: Collection[str] = (),
    ignore: Collection[str] = (),
) -> CsvTable:
    """Read and check a file; see `parse_csv` for the arguments.

    Raises:
        CsvError: names every line and column that is wrong (the first 20, and how many there are).
        DataSourceError: there is no such file, or it cannot be read.
    """
    if path.is_dir():
        raise DataSourceError(f"{path} is a directory: name a CSV file in it")
    if not path.is_file():
        raise DataSourceError(f"there is no file {path}: check the path")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataSourceError(f"{path} cannot be read: {error.strerror}") from error
    return parse_csv(data, str(path), label, missing=missing, ignore=ignore)


def parse_csv(
    data: bytes,
    file: str,
    label: str | None = None,
    *,
    missing: Collection[str] = (),
    ignore: Collection[str] = (),
) -> CsvTable:
    """Check and convert the bytes of a CSV file.

    Args:
        data: the file.
        file: its name, for errors.
        label: name of the label column; by default the last one that has values.
        missing: values that mean that there was no reading, such as -200.
        ignore: names of columns to leave out.

    Raises:
        CsvError: see `read_csv`.
    """
    findings = Findings(file)
    sheet = read_sheet(data, findings)
    _refuse_series(sheet, findings)
    if not sheet.rows:
        if not findings.total:
            findings.add(1, ": a header but no rows: there is nothing to learn from")
        findings.stop()
    _check_names(sheet.names, "--ignore", ignore, findings)
    wanted = _label(sheet, label, ignore, findings)
    columns = _Columns([line for line, _ in sheet.rows], sheet.delimiter, missing, findings)
    by_name = dict(zip(sheet.names, zip(*(row for _, row in sheet.rows), strict=True), strict=True))
    for name, cells in by_name.items():
        if name in ignore and name != wanted:
            columns.leave_out(name, "as asked")
        elif name != wanted:
            columns.add(name, cells)
    labels, classes = _classes(wanted, columns.lines, by_name[wanted], findings)
    if not columns.numbers:
        findings.add(
            sheet.header_line,
            f": no column but the label {wanted!r} has numbers: name another file",
        )
    findings.stop()
    by_default = () if label else (f"the label column is {wanted!r}, the last one",)
    return CsvTable(
        channels=tuple(columns.numbers),
        labels=labels,
        values=np.array(list(columns.numbers.values()), dtype=np.float64).T.copy(),
        classes=classes,
        left_out=tuple(columns.left_out),
        notices=(*sheet.notices, *columns.notices, *by_default),
    )


class _Columns:
    """Interprets the columns other than the label; collects channels and notices."""

    def __init__(
        self, lines: Sequence[int], delimiter: str, missing: Collection[str], findings: Findings
    ) -> None:
        self.lines = lines
        self._delimiter = delimiter
        self._words = frozenset(text.strip().lower() for text in missing)
        given = (number(text.strip(), comma=True) for text in missing)
        self._values = frozenset(value for value in given if value is not None)
        self._findings = findings
        self.numbers: dict[str, list[float]] = {}
        self.left_out: list[str] = []
        self.notices: list[str] = []

    def leave_out(self, name: str, why: str) -> None:
        self.left_out.append(name)
        self.notices.append(f"column {name!r} is left out: {why}")

    def add(self, name: str, cells: Sequence[str]) -> None:
        """Interpret a column."""
        gaps = [is_missing(cell, self._words, self._values) for cell in cells]
        filled = [cell for cell, gap in zip(cells, gaps, strict=True) if not gap]
        if 2 * len(filled) < len(cells):
            share = 100 * (1 - len(filled) / len(cells))
            self.leave_out(name, f"{share:.0f} % of its cells have no value")
        elif filled and all(cell.lower() in BOOLEANS for cell in filled):
            self.numbers[name] = [
                math.nan if gap else BOOLEANS[cell.lower()]
                for cell, gap in zip(cells, gaps, strict=True)
            ]
        else:
            self._add_numbers(name, cells, gaps, filled)

    def _add_numbers(
        self, name: str, cells: Sequence[str], gaps: Sequence[bool], filled: Sequence[str]
    ) -> None:
        comma = has_decimal_commas(filled)
        values = [
            math.nan if gap else number(cell, comma=comma)
            for cell, gap in zip(cells, gaps, strict=True)
        ]
        found = [
            value for value, gap in zip(values, gaps, strict=True) if value is not None and not gap
        ]
        if 2 * len(found) < len(filled):
            self.leave_out(name, "it is not numeric")
            return
        if why := index_or_time(name, found):
            self.leave_out(name, f"it looks like {why}")
            return
        if comma and self._delimiter == "," and (seen := ambiguous_comma(filled)):
            self._findings.add(
                0, f"column {name!r}: {seen!r} may have a decimal comma or a comma between "
                "thousands: write decimal points"
            )  # fmt: skip
        self._check(name, cells, gaps, values)
        self._notice(name, found)
        self.numbers[name] = [math.nan if value is None else value for value in values]

    def _check(
        self,
        name: str,
        cells: Sequence[str],
        gaps: Sequence[bool],
        values: Sequence[float | None],
    ) -> None:
        for line, cell, gap, value in zip(self.lines, cells, gaps, values, strict=True):
            if not gap and (value is None or not math.isfinite(value)):
                self._findings.add(
                    line,
                    f", column {name!r}: {cell[:40]!r} is not a finite number: correct it, remove "
                    f"the row, or say --missing {cell[:40]!r} if it means that there was no "
                    "reading",
                )

    def _notice(self, name: str, found: Sequence[float]) -> None:
        if (value := sentinel(found)) is not None:
            self.notices.append(
                f"column {name!r}: {value:g} occurs {found.count(value)} times, far from all other "
                f"values: if it means that there was no reading, say --missing {value:g}"
            )
        if only_rises(found):
            self.notices.append(
                f"column {name!r} never falls: if it is a counter and not a reading, say "
                f"--ignore {name}"
            )


def _refuse_series(sheet: Sheet, findings: Findings) -> None:
    """Refuse a file with one row per reading of one series."""
    names = {name.lower(): name for name in sheet.names}
    series, values = _SERIES_NAMES & set(names), _SERIES_VALUES & set(names)
    if not (series and values):
        return
    key, value = names[min(series)], names[min(values)]
    if len(sheet.names) == 2 or "_field" not in series:
        time = next((n for n in sheet.names if n not in {key, value}), "time")
    else:
        time = names.get("_time", "time")
    findings.add(
        sheet.header_line,
        f": each row is one reading of one of several series (column {key!r}); the readings of one "
        "moment have to be in one row, in a column each: with pandas, "
        f"df.pivot_table(index={time!r}, columns={key!r}, values={value!r}, aggfunc='first')"
        ".ffill(), then add a label column",
    )
    findings.stop()


def _check_names(
    names: Sequence[str], option: str, given: Collection[str], findings: Findings
) -> None:
    for name in given:
        if name not in names:
            close = get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            findings.add(1, f": {option} {name}: {hint}there are {', '.join(names)}")
    if not set(given) <= set(names):
        findings.stop()


def _label(sheet: Sheet, label: str | None, ignore: Collection[str], findings: Findings) -> str:
    if label is not None:
        _check_names(sheet.names, "--label", [label.strip()], findings)
        return label.strip()
    chosen = sheet.names[-1]
    for index in reversed(range(len(sheet.names))):
        cells = [row[index] for _, row in sheet.rows]
        if sheet.names[index] not in ignore and any(c.lower() not in MISSING_WORDS for c in cells):
            chosen = sheet.names[index]
            if any(is_decimal(cell) for cell in cells):
                _refuse_readings(sheet, chosen, findings)
            break
    return chosen


def _refuse_readings(sheet: Sheet, chosen: str, findings: Findings) -> None:
    """Refuse the last column as labels, and name columns that could be labels."""
    candidates = []
    for index, name in enumerate(sheet.names):
        cells = {row[index] for _, row in sheet.rows}
        few = 2 <= len(cells) <= _FEW_LABELS and 2 * len(cells) <= len(sheet.rows)
        if few and "" not in cells and not any(map(is_decimal, cells)):
            candidates.append(name)
    hint = f", perhaps {' or '.join(candidates)}" if candidates else ": add one if there is none"
    findings.add(
        sheet.header_line,
        f": the last column, {chosen!r}, looks like readings, not like labels: name the label "
        f"column with --label{hint}",
    )


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
    looks = _look_like_readings(labels, len(cells))
    if looks or len(labels) > MOST_LABELS:
        findings.add(
            0,
            f"column {name!r}: {len(labels)} different labels{looks}; at most {MOST_LABELS} "
            "classes can be learnt: name the label column with --label",
        )
    elif len(labels) == 1:
        findings.add(0, f"column {name!r}: every row is {labels[0]!r}: two classes are needed")
    index = {text: position for position, text in enumerate(labels)}
    return tuple(labels), np.array([index.get(cell, 0) for cell in cells], dtype=np.int64)


def _look_like_readings(labels: Sequence[str], rows: int) -> str:
    values = [number(cell, comma=True) for cell in labels]
    if any(value is None for value in values):
        return ""
    fractional = any(value and value % 1 for value in values)
    many = fractional and len(labels) > _MOST_FRACTIONAL_LABELS
    mostly_different = len(labels) > _MOST_NUMBERED_LABELS and 2 * len(labels) > rows
    return "; they look like readings" if many or mostly_different else ""


def _label_order(numbers: dict[str, float | None]) -> Callable[[str], tuple[float, str]]:
    if any(value is None or math.isnan(value) for value in numbers.values()):
        return lambda text: (0.0, text)
    return lambda text: (numbers[text] or 0.0, text)
