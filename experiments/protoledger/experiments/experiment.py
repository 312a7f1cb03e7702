"""Runs an experiment: its jobs over seeds, a table with confidence intervals, and files.

An experiment is a module that defines one `Experiment`. Its jobs are small frozen values. `run`
turns a job into rows, in another process. Rows with equal **keys** make one point; its **measures**
are averaged over seeds, with a 95 % interval (Student's t) if there are three seeds or more.
"""

import csv
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Final

from matplotlib.figure import Figure
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from scipy.special import stdtrit

from protoledger.experiments.running.cluster import Cluster, ClusterError, run_there
from protoledger.experiments.running.journal import Journal
from protoledger.experiments.running.pool import cores, run_here
from protoledger.experiments.running.records import (
    FORMAT,
    DoneJob,
    Record,
    code_here,
    machine_here,
    without_nan,
    write_record,
)

Value = str | int | float
Row = dict[str, Value]
LEAST_RUNS: Final = 3
"""Of which an interval is shown: that of two runs, 12.7 standard errors, tells nothing."""


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
    """A mean over seeds, and half the width of its 95 % interval (NaN below `LEAST_RUNS`)."""

    mean: float
    half: float
    runs: int


class Table:
    """All rows of an experiment, grouped.

    >>> table = Table(("n",), ("a",), [{"n": 1, "a": value} for value in (2.0, 3.0, 4.0)])
    >>> point = table.points[(1,)]["a"]
    >>> point.mean, round(point.half, 2)
    (3.0, 2.48)
    """

    def __init__(
        self,
        keys: Sequence[str],
        measures: Sequence[str],
        rows: Sequence[Row],
        record: Record | None = None,
    ) -> None:
        self.record = record
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
    if n < LEAST_RUNS:
        return Point(fmean(values), math.nan, n)
    half = float(stdtrit(n - 1, 0.975)) * stdev(values) / math.sqrt(n)
    return Point(fmean(values), half, n)


def carry_out(
    experiment: Experiment,
    seeds: Sequence[int],
    *,
    quick: bool,
    cluster: Cluster | None = None,
    journal: Journal | None = None,
) -> Table:
    """Run all jobs in parallel, with a progress bar, and keep a record of it.

    Args:
        experiment: What to run.
        seeds: Its seeds.
        quick: Whether to run the small version.
        cluster: Where; None: here.
        journal: What has ended already, and where to write down what ends.

    Raises:
        ClusterError: the cluster cannot be used.
    """
    jobs = [job for seed in seeds for job in experiment.jobs(seed, quick)]
    code = code_here()  # before the run: files may change meanwhile
    begun = time.monotonic() - (0.0 if journal is None else journal.seconds)
    found = run_jobs(experiment, jobs, cluster, journal)
    record = Record(
        format=FORMAT,
        experiment=experiment.name,
        quick=quick,
        seeds=list(seeds),
        keys=list(experiment.keys),
        measures=list(experiment.measures),
        jobs=[
            DoneJob(job=str(job), rows=without_nan(rows))
            for job, rows in zip(jobs, found, strict=True)
        ],
        code=code,
        machine=machine_here(),
        seconds=round(time.monotonic() - begun, 1),
    )
    rows = [row for part in found for row in part]
    return Table(experiment.keys, tuple(experiment.measures), rows, record)


def run_jobs(
    experiment: Experiment,
    jobs: Sequence[Any],
    cluster: Cluster | None = None,
    journal: Journal | None = None,
) -> list[list[Row]]:
    """Return each job's rows, in the order of the jobs; see `carry_out`."""
    ended = [None if journal is None else journal.rows(job) for job in jobs]
    found: list[list[Row]] = [rows or [] for rows in ended]
    left = [at for at, rows in enumerate(ended) if rows is None]
    with _progress() as bar:
        task = bar.add_task(experiment.name, total=len(jobs), completed=len(jobs) - len(left))
        running = _running(experiment, [jobs[at] for at in left], cluster) if left else iter(())
        for at, rows in running:
            found[left[at]] = rows
            if journal is not None:
                journal.keep(jobs[left[at]], rows)
            bar.advance(task)
    return found


def _running(
    experiment: Experiment, jobs: Sequence[Any], cluster: Cluster | None
) -> Iterator[tuple[int, list[Row]]]:
    if cluster is None:
        processes = 1 if experiment.alone else min(cores(), max(1, len(jobs)))
        return run_here(experiment.run, jobs, chain=experiment.chain, processes=processes)
    if experiment.alone:
        raise ClusterError(f"{experiment.name} takes times, so its jobs need a machine alone")
    return run_there(experiment.run, jobs, chain=experiment.chain, cluster=cluster)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed} of {task.total} runs"),
        TimeRemainingColumn(),
    )


def write(experiment: Experiment, table: Table, folder: Path) -> list[Path]:
    """Write the points as CSV and Markdown, the picture and the record; returns their paths."""
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
    if table.record is not None:
        paths.append(folder / f"{experiment.name}.json")
        write_record(table.record, paths[-1])
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
