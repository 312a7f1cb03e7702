"""Runs an experiment: its jobs over seeds, a table with confidence intervals, and files.

An experiment is a module that defines one `Experiment`. Its jobs are small frozen values. `run`
turns a job into rows, in another process. Rows with equal **keys** make one point; its **measures**
are averaged over seeds, with a 95 % interval (Student's t).
"""

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

from matplotlib.figure import Figure
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from scipy.special import stdtrit

from protoledger.contracts.client.account import Account
from protoledger.contracts.tools.local_node import LocalNode
from protoledger.experiments import on_chain
from protoledger.gateway.learner.compilation import compiled

Value = str | int | float
Row = dict[str, Value]
PROCESSES: Final = 2


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment.

    Attributes:
        name: its name on the command line.
        summary: one line for the list of experiments.
        keys: columns that determine the point to which a row belongs.
        measures: columns that are averaged, with their titles in the table.
        seeds: number of seeds without `--seeds`.
        jobs: returns the jobs of a seed; those of the small version if the second argument is true.
        run: runs one job; called in another process.
        draw: draws the points.
        chain: whether the jobs need a node.
        alone: whether a job needs the machine for itself, because it takes times.
    """

    name: str
    summary: str
    keys: tuple[str, ...]
    measures: dict[str, str]
    jobs: Callable[[int, bool], Iterable[Any]]
    run: Callable[[Any], list[Row]]
    draw: Callable[["Table"], Figure]
    seeds: int = 10
    chain: bool = False
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """A mean over seeds, and half the width of its 95 % interval (NaN with a single seed)."""

    mean: float
    half: float
    runs: int


class Table:
    """All rows of an experiment, grouped.

    >>> table = Table(("n",), ("a",), [{"n": 1, "a": 2.0}, {"n": 1, "a": 4.0}])
    >>> point = table.points[(1,)]["a"]
    >>> point.mean, round(point.half, 2)
    (3.0, 12.71)
    """

    def __init__(self, keys: Sequence[str], measures: Sequence[str], rows: Sequence[Row]) -> None:
        self.keys, self.measures, self.rows = tuple(keys), tuple(measures), rows
        groups: dict[tuple[Value, ...], list[Row]] = {}
        for row in rows:
            groups.setdefault(tuple(row[key] for key in keys), []).append(row)
        self.points = {
            group: {name: _point([float(row[name]) for row in found]) for name in measures}
            for group, found in groups.items()
        }

    def where(self, **wanted: Value) -> list[tuple[dict[str, Value], dict[str, Point]]]:
        """Return the points whose keys have these values, in the order of the jobs."""
        found = []
        for group, point in self.points.items():
            named = dict(zip(self.keys, group, strict=True))
            if all(named[key] == value for key, value in wanted.items()):
                found.append((named, point))
        return found

    def values(self, key: str) -> list[Value]:
        """Return the different values of a key, in the order of the jobs."""
        at = self.keys.index(key)
        return list(dict.fromkeys(group[at] for group in self.points))


def _point(values: list[float]) -> Point:
    n = len(values)
    half = float(stdtrit(n - 1, 0.975)) * stdev(values) / math.sqrt(n) if n > 1 else math.nan
    return Point(fmean(values), half, n)


def carry_out(experiment: Experiment, seeds: Sequence[int], *, quick: bool) -> Table:
    """Run all jobs in parallel, with a progress bar; Ctrl-C ends all of them."""
    jobs = [job for seed in seeds for job in experiment.jobs(seed, quick)]
    compiled.load()  # children inherit it
    found: list[list[Row]] = [[] for _ in jobs]
    with ExitStack() as stack:
        nodes = _nodes(stack) if experiment.chain else []
        context = get_context("fork")
        urls = context.SimpleQueue()
        for node in nodes:
            urls.put(node.url)
        processes = 1 if experiment.alone else PROCESSES
        pool = ProcessPoolExecutor(
            processes, context, initializer=_begin, initargs=(urls if nodes else None,)
        )
        stack.callback(pool.shutdown, cancel_futures=True)
        bar = stack.enter_context(_progress())
        task = bar.add_task(experiment.name, total=len(jobs))
        waiting = {pool.submit(experiment.run, job): at for at, job in enumerate(jobs)}
        for done in as_completed(waiting):
            found[waiting[done]] = done.result()
            bar.advance(task)
    rows = [row for part in found for row in part]
    return Table(experiment.keys, tuple(experiment.measures), rows)


def _nodes(stack: ExitStack) -> list[LocalNode]:
    nodes = [stack.enter_context(LocalNode("anvil")) for _ in range(PROCESSES)]
    for node in nodes:
        node.fund(*(Account(key).address for key in on_chain.KEYS))
    return nodes


def _begin(urls: Any) -> None:
    if urls is not None:
        on_chain.use(urls.get())


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total} runs"),
        TimeRemainingColumn(),
    )


def write(experiment: Experiment, table: Table, folder: Path) -> list[Path]:
    """Write the points as CSV and Markdown, and the picture; returns the files' paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{experiment.name}.{kind}" for kind in ("csv", "md", "png")]
    with paths[0].open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        measures = [part for name in table.measures for part in (name, f"{name}_half_width")]
        writer.writerow([*table.keys, "runs", *measures])
        for group, points in table.points.items():
            numbers = [f"{n:.6g}" for p in points.values() for n in (p.mean, p.half)]
            writer.writerow([*group, next(iter(points.values())).runs, *numbers])
    paths[1].write_text(markdown(experiment, table), encoding="utf-8")
    experiment.draw(table).savefig(paths[2], dpi=110)
    return paths


def markdown(experiment: Experiment, table: Table) -> str:
    """Format the points as a Markdown table: mean ± half the width of the 95 % interval."""
    lines = [
        "| " + " | ".join([*table.keys, *experiment.measures.values()]) + " |",
        "|" + "---|" * (len(table.keys) + len(table.measures)),
    ]
    for group, points in table.points.items():
        cells = [*map(str, group), *(shown(point) for point in points.values())]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def shown(point: Point) -> str:
    """Format a point with a number of digits that fits its size; a dash where nothing is measured.

    >>> shown(Point(0.95713, 0.00312, 10)), shown(Point(127833.0, 2100.0, 10))
    ('0.957 ± 0.003', '127,833 ± 2,100')
    """
    if math.isnan(point.mean):
        return "–"
    digits = 0 if abs(point.mean) >= 1000 else 1 if abs(point.mean) >= 20 else 3
    half = "" if math.isnan(point.half) else f" ± {point.half:,.{digits}f}"
    return f"{point.mean:,.{digits}f}{half}"
