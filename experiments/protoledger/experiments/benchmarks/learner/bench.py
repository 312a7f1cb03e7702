"""`protoledger bench learner`: how well and how fast XuILVQ learns, beside river's classifiers.

The streams are river's, as it ships them. `--picture FILE` draws the prototypes on bananas that
docs/xuilvq.md shows, in place of measuring.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from protoledger.experiments.benchmarks.learner.measures import (
    RIVER,
    STREAMS,
    LearnerRow,
    Stream,
    measure,
    measure_many,
    measure_river,
)
from protoledger.gateway.learner import MODES, load_kernels
from protoledger.runtime.exits import Exit

app = typer.Typer(add_completion=False)

_SIZES = (1000, 10_000)
_MODES = tuple(reversed(MODES))


@app.command()
def main(
    *,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the rows there.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw the prototypes on bananas there (PNG or SVG), no more."
        ),
    ] = None,
    river: Annotated[bool, typer.Option(help="Measure river's classifiers as well.")] = True,
    slow: Annotated[bool, typer.Option(help="Measure XuILVQ in plain Python as well.")] = True,
    shuffles: Annotated[int, typer.Option(min=0, help="Other orders of each stream.")] = 10,
) -> None:
    """Measure the learner: accuracy, prototypes, microseconds a sample, beside river's."""
    console = Console()
    for file in (json_file, picture):
        if file is not None and not file.parent.is_dir():  # said before minutes of work, not after
            console.print(f"protoledger bench learner: {file.parent} is no folder", style="red")
            raise typer.Exit(Exit.IO)
    if not load_kernels():
        console.print("There are no compiled kernels: all of this is numpy's time.")
    try:
        if picture is not None:
            from protoledger.experiments.benchmarks.learner.picture import draw  # noqa: PLC0415 - loads matplotlib

            draw(picture)
            console.print(f"{picture} written")
            return
        rows = _measure_all(console, list(_work(river=river)), shuffles=shuffles, slow=slow)
        console.print(_table(rows))
        if json_file is not None:
            json_file.write_text(json.dumps({"rows": [asdict(row) for row in rows]}, indent=1))
            console.print(f"{json_file} written")
    except OSError as error:
        console.print(f"protoledger bench learner: {error}", style="red")
        raise typer.Exit(Exit.IO) from error


def _measure_all(
    console: Console, work: list[tuple[str, str]], *, shuffles: int, slow: bool
) -> list[LearnerRow]:
    rows = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("", total=len(work))
        for data, mode in work:
            progress.update(task, description=f"{data}, {mode}")
            rows.append(_measure(data, mode, shuffles=shuffles, slow=slow))
            progress.advance(task)
    return rows


def _work(*, river: bool) -> Iterator[tuple[str, str]]:
    yield from product(STREAMS, _MODES)
    yield from product((f"synthetic-{size}" for size in _SIZES), _MODES)
    if river:
        yield from product(STREAMS, RIVER)


def _measure(data: str, mode: str, *, shuffles: int, slow: bool) -> LearnerRow:
    if mode in RIVER:
        return measure_river(Stream.packaged(data), mode)
    ours = next(known for known in MODES if known == mode)
    if data in STREAMS:
        return measure(Stream.packaged(data), ours, shuffles=shuffles, slow=slow)
    return measure_many(ours, int(data.rpartition("-")[2]))


def _table(rows: list[LearnerRow]) -> Table:
    table = Table(title="Learners, each sample predicted before it is learnt", title_justify="left")
    for name in ("data", "mode"):
        table.add_column(name)
    figures = ["accuracy", "shuffled", "prototypes", "µs a sample", "one by one"]
    for name in (*figures, "numpy", "÷", "Python", "÷"):
        table.add_column(name, justify="right")
    for row in rows:
        shuffled = f"{row.shuffled[0]:.4f} ± {row.shuffled[1]:.4f}" if row.shuffled else ""
        table.add_row(
            row.data,
            row.mode,
            f"{row.accuracy:.4f}",
            shuffled,
            f"{row.prototypes:,}" if row.prototypes is not None else "",
            f"{row.us_per_sample:,.2f}",
            *(_cell(us) for us in (row.us_one_by_one, row.us_numpy, row.ratio_to_numpy)),
            *(_cell(us) for us in (row.us_python, row.ratio_to_python)),
        )
    return table


def _cell(figure: float | None) -> str:
    return "" if figure is None else f"{figure:,.1f}"
