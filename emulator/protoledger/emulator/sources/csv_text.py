"""Split the bytes of a CSV file into a header and rows, as programs and loggers write them.

- Encoding: UTF-8 with or without a byte order mark, or UTF-16 with one.
- Delimiter: the one of `,` `;` tab `|` and blank that gives the rows the most equal lengths.
- Lines that begin with `#` are comments. If the first other line is data, the last comment line
  before it may be the header.
- R's `write.table` writes row names without a name in the header: that first column is left out.
- A delimiter at the end of each line makes no column. A header that is repeated (a logger started
  again) is skipped. A line with NUL bytes, or a last line without its end, was cut off by a power
  failure and is skipped. Each of these is reported in `Sheet.notices`.
- A first line that looks like data is refused: it would be lost as a header.

Lines are counted from 1 and include comments and blank lines.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from protoledger.emulator.errors import CsvError
from protoledger.emulator.sources.csv_numbers import is_number

SHOWN_PROBLEMS = 20
_DELIMITERS = (",", ";", "\t", "|", " ")
_SAMPLE_ROWS = 200

Row = tuple[int, list[str]]
"""A line number and the cells that begin on this line."""


@dataclass
class Findings:
    """The errors of one file: all are counted, those with the smallest lines are shown."""

    file: str
    total: int = 0
    _kept: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, text: str) -> None:
        """Add an error on a line; 0 means the whole file."""
        self.total += 1
        self._kept.append((line, f"line {line}{text}" if line else text))

    def stop(self) -> None:
        """Raise `CsvError` if there are errors."""
        if self.total:
            shown = sorted(self._kept, key=lambda kept: kept[0])[:SHOWN_PROBLEMS]
            raise CsvError(self.file, tuple(text for _, text in shown), self.total)


@dataclass
class Sheet:
    """The cells of a file.

    Attributes:
        names: of the columns; a column without a name is called `column_1` by its position.
        header_line: where the names are.
        rows: each as long as `names`.
        delimiter: between cells.
        notices: what was skipped, one sentence each.
    """

    names: list[str]
    header_line: int
    rows: list[Row]
    delimiter: str
    notices: list[str]


class _Lines:
    """The lines of a text for `csv.reader`, with comments and damaged lines blanked."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines(keepends=True) if "\r" in text else _split(text)
        self.comments: list[tuple[int, str]] = []
        self.damaged: list[int] = []

    def __iter__(self) -> Iterator[str]:
        inside_quotes = False
        self.comments, self.damaged = [], []
        for number, line in enumerate(self.lines, start=1):
            if not inside_quotes and line.startswith("#"):
                self.comments.append((number, line))
                yield "\n"
            elif "\0" in line:
                self.damaged.append(number)
                yield "\n"
            else:
                inside_quotes ^= line.count('"') % 2 == 1
                yield line


def _split(text: str) -> list[str]:
    # Unlike `splitlines`, this does not end a line at a form feed or a Unicode separator.
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def read_sheet(data: bytes, findings: Findings) -> Sheet:
    """Split a file into names and rows of equal length.

    Raises:
        CsvError: the text cannot be decoded, or there is no header. Rows of a wrong length are
            added to `findings` instead, so that they are reported with errors in cells.
    """
    lines = _Lines(_decode(data, findings))
    delimiter = _delimiter(lines)
    rows = list(_rows(lines, delimiter, findings))
    if not rows:
        findings.add(1, ": the file is empty: a header and rows are needed")
        findings.stop()
    sheet = Sheet([], rows[0][0], rows[1:], delimiter, [])
    header = _header(rows, lines, sheet, findings)
    _skip_damaged(lines, sheet)
    _skip_repeated(header, sheet)
    names = _fit(header, sheet, ends=lines.lines[-1].endswith(("\n", "\r")), findings=findings)
    sheet.names = _names(names, sheet, findings)
    return sheet


def _decode(data: bytes, findings: Findings) -> str:
    if not data.strip():
        findings.add(1, ": the file is empty: a header and rows are needed")
        findings.stop()
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{data[error.start]:02x}" if error.start < len(data) else "the end"
        findings.add(
            line,
            f": {found} is not {'UTF-16' if wide else 'UTF-8'}: save the file as UTF-8 text, for "
            "example with `iconv -f WINDOWS-1252 -t UTF-8`",
        )
    findings.stop()
    raise AssertionError  # stop() has raised


def _rows(lines: _Lines, delimiter: str, findings: Findings) -> Iterator[Row]:
    """Rows that are not blank, each with the line on which it starts."""
    reader = csv.reader(iter(lines), delimiter=delimiter, strict=True, skipinitialspace=True)
    line = 1
    try:
        for row in reader:
            if row and (len(row) > 1 or row[0].strip()):
                yield line, [cell.strip() for cell in row]
            line = reader.line_num + 1
    except csv.Error as error:
        # After a stray quote the limits of cells are unknown.
        findings.add(line, f": {error}; the rest of the file was not read")


def _delimiter(lines: _Lines) -> str:
    """The delimiter that gives the first rows the most equal lengths; the comma if none does."""
    best, chosen = 0.0, ","
    for delimiter in _DELIMITERS:
        counts = [
            len(row) for _, row in islice(_rows(lines, delimiter, Findings("")), _SAMPLE_ROWS)
        ]
        if not counts:
            continue
        header, rest = counts[0], counts[1:] or counts
        usual, times = Counter(rest).most_common(1)[0]
        if min(usual, header) > 1 and abs(usual - header) <= 1 and times / len(rest) > best:
            best, chosen = times / len(rest), delimiter
    return chosen


def _header(rows: list[Row], lines: _Lines, sheet: Sheet, findings: Findings) -> list[str]:
    """The names: of the first row, or of the comment before it if the first row is data."""
    first_line, first = rows[0]
    if not _looks_like_data(first, [row for _, row in rows[1 : _SAMPLE_ROWS + 1]]):
        return first
    before = [comment for comment in lines.comments if comment[0] < first_line]
    if before:
        line, text = before[-1]
        reader = csv.reader([text.lstrip("#")], delimiter=sheet.delimiter, skipinitialspace=True)
        names = [name.strip() for name in next(reader, [])]
        if len(names) == len(first) and len(names) > 1:
            sheet.header_line, sheet.rows = line, rows
            sheet.notices.append(
                f"the names of the columns are those of the comment in line {line}"
            )
            return names
    named = sheet.delimiter.join(f"x{number}" for number in range(1, len(first)))
    findings.add(
        first_line,
        f" looks like data, not like a header ({', '.join(first[:4])[:60]}): add a line with the "
        f"names of the columns above it, such as {named}{sheet.delimiter}label",
    )
    findings.stop()
    raise AssertionError  # stop() has raised


def _looks_like_data(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether every cell could be one of its column, and some column has numbers."""
    if not rows or any(len(row) != len(first) for row in rows):
        return False
    numeric = False
    for cell, column in zip(first, zip(*rows, strict=True), strict=True):
        filled = [text for text in column if text]
        if filled and 2 * sum(map(is_number, filled)) > len(filled):
            if not is_number(cell) and cell:
                return False
            numeric = numeric or bool(cell)
        elif filled and len(set(filled)) < len(filled) and cell and cell not in filled:
            return False  # a text that never occurs again in a column of repeated texts
    return numeric


def _skip_damaged(lines: _Lines, sheet: Sheet) -> None:
    if damaged := lines.damaged:
        listed = ", ".join(map(str, damaged[:5])) + (", …" if len(damaged) > 5 else "")
        sheet.notices.append(f"skipped as damaged (NUL bytes, as a power failure leaves): {listed}")


def _skip_repeated(header: Sequence[str], sheet: Sheet) -> None:
    kept = [(line, row) for line, row in sheet.rows if row != list(header)]
    if len(kept) < len(sheet.rows):
        times = len(sheet.rows) - len(kept)
        sheet.notices.append(f"skipped: the header, which is repeated in {times} of the rows")
        sheet.rows = kept


def _fit(header: list[str], sheet: Sheet, *, ends: bool, findings: Findings) -> list[str]:
    """Make names and rows equally long where the difference has a known cause."""
    names = list(header)
    if sheet.rows:
        usual, times = Counter(len(row) for _, row in sheet.rows).most_common(1)[0]
        wide = [(line, row) for line, row in sheet.rows if len(row) == usual]
        at_end = not any(row[-1] for _, row in wide)
        # R's row names are unique: other files of this shape lack the name of an unknown column.
        named_rows = len({row[0] for _, row in wide}) == times > 1
        most = 10 * times >= 9 * len(sheet.rows)
        if usual == len(names) + 1 and most and (at_end or named_rows):
            sheet.rows = [
                (line, (row[:-1] if at_end else row[1:]) if len(row) == usual else row)
                for line, row in sheet.rows
            ]
            if not at_end:
                sheet.notices.append("left out: the first column, which has no name (row names)")
        elif usual == len(names) - 1 and not names[-1]:
            names.pop()
    last = sheet.rows[-1] if sheet.rows else (0, names)
    if not ends and len(sheet.rows) > 1 and len(last[1]) < len(names):
        sheet.rows.pop()
        sheet.notices.append(f"skipped: the last line, {last[0]}, which was cut off")
    _equal_lengths(names, sheet, findings)
    return names


def _equal_lengths(names: Sequence[str], sheet: Sheet, findings: Findings) -> None:
    wrong = [(line, len(row)) for line, row in sheet.rows if len(row) != len(names)]
    if len(wrong) == len(sheet.rows) > 1 and len({length for _, length in wrong}) == 1:
        findings.add(
            sheet.header_line,
            f": {len(names)} names, but all {len(wrong)} rows have {wrong[0][1]} fields: name each "
            f"column, and put cells that contain {sheet.delimiter!r} (a decimal comma?) in quotes",
        )
        wrong = []
    for line, length in wrong:
        findings.add(line, f": {length} fields where the header has {len(names)}")
    sheet.rows = [(line, row) for line, row in sheet.rows if len(row) == len(names)]


def _names(header: list[str], sheet: Sheet, findings: Findings) -> list[str]:
    """Check the names; columns with neither a name nor a value at the end are left out."""
    while len(header) > 1 and not header[-1] and not any(row[-1] for _, row in sheet.rows):
        header.pop()
        for _, row in sheet.rows:
            row.pop()
    line = sheet.header_line
    names = [name or f"column_{number}" for number, name in enumerate(header, start=1)]
    for name in sorted(set(names)):
        where = [str(number) for number, other in enumerate(names, start=1) if other == name]
        if len(where) > 1:
            findings.add(line, f": columns {', '.join(where)} are all called {name!r}: rename them")
        if not name.isprintable():
            findings.add(line, f", column {where[0]}: the name {name!r} has control characters")
    if len(names) == 1 and not findings.total:
        findings.add(line, f": only one column, {names[0]!r}: a channel and a label are needed")
    return names
