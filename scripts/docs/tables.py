"""Tables of what was recorded: points of experiments, results of benchmarks, and their cells."""

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs/results"
MEASURED = RESULTS / "measured"
"""Where records of benchmarks and emulations are."""
DASH = "–"


@dataclass(frozen=True)
class Recorded:
    """A point of an experiment: the values of its keys, and each measure's mean and half width."""

    keys: Mapping[str, str]
    mean: Mapping[str, float]
    half: Mapping[str, float]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its head.
        show: makes the cell of a point.
        where: which of a row's points it shows, by their keys.
    """

    title: str
    show: Callable[[Recorded], str]
    where: Mapping[str, str] = field(default_factory=dict)


def recorded(name: str, folder: Path | None = None) -> list[Recorded]:
    """Return an experiment's points, of the CSV that it wrote.

    Raises:
        FileNotFoundError: it was not recorded.
    """
    with ((folder or RESULTS) / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for row in rows:
        halves = {n.removesuffix("_half_width") for n in row if n.endswith("_half_width")}
        keys = {n: v for n, v in row.items() if not n.endswith("_half_width") and n not in halves}
        mean = {n: float(row[n]) for n in halves}
        found.append(Recorded(keys, mean, {n: float(row[f"{n}_half_width"]) for n in halves}))
    return found


def table(
    points: Sequence[Recorded],
    rows: Sequence[str],
    columns: Sequence[Column],
    order: Sequence[str] = (),
) -> str:
    """Return a Markdown table with a row for each combination of some keys.

    Args:
        points: the points; a row's come in their order.
        rows: the keys that make a row, in the order of their columns.
        columns: the others.
        order: keys by which rows are sorted, as values first occur; by default as they come.
    """
    grouped: dict[tuple[str, ...], list[Recorded]] = {}
    for point in points:
        grouped.setdefault(tuple(point.keys[key] for key in rows), []).append(point)
    seen = {key: list(dict.fromkeys(p.keys[key] for p in points)) for key in order}

    def place(row: tuple[str, ...]) -> list[int]:
        return [seen[key].index(row[list(rows).index(key)]) for key in order]

    lines = [[*rows, *(column.title for column in columns)], ["---"] * (len(rows) + len(columns))]
    lines += [
        [*row, *(_cell(column, grouped[row]) for column in columns)]
        for row in sorted(grouped, key=place)
    ]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines).replace("| --- ", "|---")


def _cell(column: Column, points: Sequence[Recorded]) -> str:
    for point in points:
        if all(point.keys[key] == value for key, value in column.where.items()):
            return column.show(point)
    return DASH


def number(measure: str, digits: int = 1, *, half: bool = False) -> Callable[[Recorded], str]:
    """Return what shows a measure, with a true minus, and with half its interval's width."""

    def show(point: Recorded) -> str:
        if math.isnan(point.mean[measure]):
            return DASH
        text = f"{point.mean[measure]:,.{digits}f}".replace("-", "−")
        width = point.half[measure]
        return text if not half or math.isnan(width) else f"{text} ± {width:,.{digits}f}"

    return show


def thousands(measure: str, digits: int = 0) -> Callable[[Recorded], str]:
    """Return what shows a measure that is in thousands."""
    shown = number(measure, digits)
    return lambda point: f"{shown(point)} k"


def share(measure: str) -> Callable[[Recorded], str]:
    """Return what shows an accuracy as .957."""
    shown = number(measure, 3)
    return lambda point: shown(point).removeprefix("0")


# -- benchmarks ----------------------------------------------------------------------------------


def measured(name: str, folder: Path | None = None) -> Any:
    """Return what a benchmark or an emulation wrote.

    Raises:
        FileNotFoundError: it was not recorded.
    """
    file = (folder or MEASURED) / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8"))["result"]


def plain_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 0) -> str:
    """Return a Markdown table of cells that are texts already.

    Args:
        heads: of the columns.
        rows: cells.
        left: how many columns begin at the left, the others end at the right; 0: all do as pages
            do by default.
    """
    rules = ["---"] * left + ["--:"] * (len(heads) - left) if left else ["---"] * len(heads)
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join(rules)}|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def figure(value: float | None) -> str:
    """Return a figure with what digits tell something; a dash for None.

    >>> [figure(x) for x in (0.0481, 1.376, 14.96, 533.2, 1110.4, None)]
    ['0.05', '1.38', '15.0', '533', '1,110', '–']
    """
    if value is None or math.isnan(value):
        return DASH
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{digits}f}"


def whole(value: float | None) -> str:
    """Return a whole number with commas; a dash for None.

    >>> whole(6388.4), whole(None)
    ('6,388', '–')
    """
    return DASH if value is None or math.isnan(value) else f"{value:,.0f}"


def part(value: float | None, digits: int = 3) -> str:
    """Return an accuracy as .957; a dash for None.

    >>> part(0.95712), part(0.95712, 4), part(1.0)
    ('.957', '.9571', '1.000')
    """
    if value is None or math.isnan(value):
        return DASH
    return f"{value:.{digits}f}".removeprefix("0")
