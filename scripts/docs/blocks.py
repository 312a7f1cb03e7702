"""Puts recorded results into the documentation, between markers, so that nobody types a figure.

    <!-- figures: NAME -->
    …
    <!-- /figures -->

What stands between is what `BLOCKS[NAME]` makes of the files in docs/results. `make figures` writes
it again after each run; a test compares. A cell that a recorded run lacks is a dash.
"""

import csv
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs/results"
MARKED = re.compile(
    r"(?P<begin>^<!-- figures: (?P<name>[\w-]+) -->\n)(?P<old>.*?)(?P<end>^<!-- /figures -->$)",
    re.MULTILINE | re.DOTALL,
)
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


def recorded(name: str, folder: Path = RESULTS) -> list[Recorded]:
    """Return an experiment's points, of the CSV that it wrote."""
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
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


def gas() -> str:
    """Return gas and commits of one gateway and of four."""
    one, four = {"gateways": "1"}, {"gateways": "4"}
    columns = [
        Column("gas, 1 gateway", thousands("gas_k"), one),
        Column("4 gateways", thousands("gas_k"), four),
        Column("commits, 1", number("commits"), one),
        Column("4", number("commits"), four),
        Column("gas a commit", thousands("gas_a_commit_k", 1), four),
    ]
    return table(recorded("gas"), ("data", "transactions"), columns)


def threshold() -> str:
    """Return accuracy, gas and commits of each commit test."""
    accuracy, spent, commits = share("accuracy"), thousands("gas_k"), number("commits")
    columns = [
        Column(
            test if test == "always" else f"{test}, α = {alpha}",
            lambda p: f"{accuracy(p)}, {spent(p)}, {commits(p)}",
            {"test": test} if test == "always" else {"test": test, "alpha": alpha},
        )
        for test, alpha in [
            *(("e-process", alpha) for alpha in ("0.001", "0.05", "0.5")),
            *(("mcnemar", "0.05"), ("interval", "0.05"), ("always", "")),
        ]
    ]
    return table(recorded("threshold"), ("data",), columns)


def difference() -> str:
    """Return what sites that differ have alone and with others."""
    columns = [
        Column("alone", number("alone")),
        Column("here", number("here")),
        Column("worst site", number("worst")),
        Column("worst with 30 rows", number("worst_known")),
        Column("standard error", number("error")),
        Column("anywhere alone", number("anywhere_alone")),
        Column("anywhere", number("anywhere")),
        Column("kappa-temporal alone", number("kappa_alone", 2)),
        Column("with others", number("kappa", 2)),
    ]
    return table(recorded("difference"), ("data", "difference"), columns)


AIMS = {
    ("image-segments", "iid", "10"): ".955",
    ("phishing", "iid", "10"): ".905",
    ("bananas", "iid", "10"): ".882",
    ("image-segments", "Dirichlet 0.3", "4"): ".955",
    ("phishing", "Dirichlet 0.3", "4"): ".900",
    ("bananas", "Dirichlet 0.3", "4"): ".880",
}
"""Accuracies that `scale` is to reach, by data, dealt and gateways."""


def scale() -> str:
    """Return accuracies of the ways to merge, by the number of gateways."""

    def aim(point: Recorded) -> str:
        return AIMS.get((point.keys["data"], point.keys["dealt"], point.keys["gateways"]), "")

    union = {"way": "union"}
    columns = [
        Column("aim", aim),
        Column("union", number("accuracy", 3, half=True), union),
        Column("commits", number("commits"), union),
        Column("alone", share("alone"), union),
        Column("replace", share("accuracy"), {"way": "replace"}),
        Column("learn", share("accuracy"), {"way": "learn"}),
    ]
    rows = ("data", "dealt", "gateways")
    return table(recorded("scale"), rows, columns, order=("dealt", "gateways", "data"))


def _poison(begins: str, *, honest: bool) -> list[Recorded]:
    return [
        point
        for point in recorded("poison")
        if point.keys["begins"] == begins and (point.keys["attack"] == "honest") == honest
    ]


def _defences(measure: str, words: str) -> list[Column]:
    return [
        Column(f"{words}: {how}", number(measure, half=True), {"defence": how})
        for how in ("off", "on")
    ]


def poison_turns() -> str:
    """Return what a gateway that turns costs the others."""
    columns = [*_defences("at_once", "at once"), *_defences("after_10", "after 10 rounds"),
               _defences("rounds", "rounds to within a point")[1]]  # fmt: skip
    return table(_poison("turns", honest=False), ("data", "dealt", "attack"), columns)


def poison_start() -> str:
    """Return what a gateway costs that is bad from the start."""
    columns = [*_defences("after_10", "after 10 rounds"),
               _defences("rounds", "rounds to within a point")[1]]  # fmt: skip
    return table(_poison("from the start", honest=False), ("data", "dealt", "attack"), columns)


def poison_honest() -> str:
    """Return what the defence costs without an attack."""
    columns = [
        Column(f"defence {how}", number("reference", half=True), {"defence": how})
        for how in ("off", "on")
    ]
    return table(_poison("turns", honest=True), ("data", "dealt"), columns)


MEASURED = RESULTS / "measured"
"""Where records of benchmarks and emulations are."""

EMULATIONS = ("house", "phishing", "image-segments", "bananas")


def measured(name: str, folder: Path = MEASURED) -> Any:
    """Return what a benchmark or an emulation wrote."""
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["result"]


def emulations() -> str:
    """Return what emulations of each source came to."""
    heads = (
        "source", "samples", "accuracy, 3 sites", "on a site's held-out rows", "anywhere, on all",
        "commits, of these used elsewhere before the last round", "rounds failed", "gas",
    )  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---|---|---|---|---|---|---|---|"]
    for source in EMULATIONS:
        said = measured(f"emulate-{source}")
        lines.append(
            f"| {source} | {said['samples']:,} | {100 * said['accuracy']:.1f} | "
            f"{100 * said['holdout_accuracy']:.1f} | "
            f"{100 * said['holdout_accuracy_anywhere']:.1f} | {said['commits']}, "
            f"{said['commits_used']} | {said['rounds_failed']} | {said['gas_used']:,} |"
        )
    return "\n".join(lines) + "\n"


def streams() -> str:
    """Return the learners' accuracies on streams that nothing was tuned on, and their means."""
    ours = ("same label", "reference", "prototypes", "improved")
    found = measured("streams")["streams"]
    lines = [f"| stream | {' | '.join(ours)} | kappa-temporal |", "|---|---|---|---|---|---|"]
    for stream, said in found.items():
        cells = [f"{said[name]:.3f}".removeprefix("0") for name in ours]
        kappa = f"{said['kappa-temporal']:.3f}".replace("-", "−").replace("0.", ".", 1)
        lines.append(f"| {stream} | {' | '.join(cells)} | {kappa} |")
    means = [sum(said[name] for said in found.values()) / len(found) for name in ours]
    cells = [f"**{mean:.3f}**".replace("0.", ".") for mean in means]
    return "\n".join([*lines, f"| **mean of {len(found)}** | {' | '.join(cells)} | |"]) + "\n"


BLOCKS: dict[str, Callable[[], str]] = {
    "gas": gas,
    "threshold": threshold,
    "difference": difference,
    "scale": scale,
    "poison-turns": poison_turns,
    "poison-start": poison_start,
    "poison-honest": poison_honest,
    "emulations": emulations,
    "streams": streams,
}


def filled(text: str, *, lenient: bool = False) -> str:
    """Return a page with the recorded figures between its markers.

    Args:
        text: the page.
        lenient: leave as it is what has no record yet.

    Raises:
        KeyError: a marker has a name that `BLOCKS` lacks.
        FileNotFoundError: something was not recorded.
    """

    def block(match: re.Match[str]) -> str:
        try:
            return f"{match['begin']}\n{BLOCKS[match['name']]()}\n{match['end']}"
        except FileNotFoundError:
            if not lenient:
                raise
            return match[0]

    return MARKED.sub(block, text)


def pages() -> list[Path]:
    """Return the pages that have markers."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [path for path in sorted(found) if MARKED.search(path.read_text(encoding="utf-8"))]


def write() -> list[Path]:
    """Fill all pages with what is recorded; return those that changed."""
    changed = []
    for path in pages():
        text = path.read_text(encoding="utf-8")
        if (new := filled(text, lenient=True)) != text:
            path.write_text(new, encoding="utf-8")
            changed.append(path)
    return changed
