"""`protoledger bench ledger`: the gas of operations and of whole runs, and the speed of commits.

It measures the gas of each operation and size, compares whole runs with the paper authors' own
contracts, and measures commits per second and the time from `submit` until another gateway has
merged the commit. It runs on Anvil, and measures speed on Geth as well if that is installed (`make
geth`). Gas is taken from the transactions' receipts.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated, Self

import typer
from rich.console import Console
from rich.table import Table

from protoledger.contracts.client.account import Account
from protoledger.contracts.errors import ContractsError
from protoledger.contracts.tools.local_node import LocalNode, available
from protoledger.experiments.benchmarks.ledger.operations import Operation, Speed, operations, speed
from protoledger.experiments.benchmarks.ledger.replay import KEYS, Mode, Run, replay
from protoledger.runtime.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(add_completion=False)

_WIDTH = 150


@dataclass(frozen=True, slots=True)
class Theirs:
    """The paper authors' implementation on the same stream, with 1, 2, 3 and 4 nodes.

    Attributes:
        total_mgas: million gas of a run; the lower end where a range is published.
        median_kgas: thousand gas of the median commit; the lower end where a range is published.
        accuracy: accuracy of the last model on the stream that it has learnt.
    """

    total_mgas: tuple[float, float, float, float]
    median_kgas: tuple[float, float, float, float]
    accuracy: tuple[float, float, float, float]


# Their implementation stores base64 pickles in a string; replayed with Anvil 1.7.1, solc 0.8.37.
THEIRS: dict[tuple[str, Mode], Theirs] = {
    ("phishing", "limited"): Theirs(
        (3.9, 5.3, 4.6, 7.1), (402, 405, 718, 531), (0.874, 0.878, 0.891, 0.900)
    ),
    ("phishing", "unlimited"): Theirs((33, 43, 84, 103), (374,) * 4, (0.861, 0.841, 0.877, 0.893)),
    ("image-segments", "limited"): Theirs(
        (345, 621, 579, 555), (10_969,) * 4, (0.918, 0.934, 0.933, 0.938)
    ),
    ("image-segments", "unlimited"): Theirs(
        (943, 2200, 1680, 1450), (5_800,) * 4, (0.840, 0.916, 0.893, 0.887)
    ),
    ("bananas", "limited"): Theirs(
        (4.5, 16.7, 12.6, 8.8), (181,) * 4, (0.752, 0.851, 0.843, 0.874)
    ),
    ("bananas", "unlimited"): Theirs((86,) * 4, (229,) * 4, (0.782, 0.600, 0.749, 0.784)),
}


@app.command()
def ledger(
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures there.")
    ] = None,
    quick: Annotated[  # noqa: FBT002 - a flag on the command line
        bool, typer.Option("--quick", help="Limited runs of two gateways only.")
    ] = False,
) -> None:
    """Measure the ledger: gas by operation, whole runs, speed."""
    console = Console()
    console.width = max(console.width, _WIDTH)  # a pipe has none, and a cut figure is no figure
    if json_file is not None and not json_file.parent.is_dir():
        typer.echo(f"error: --json {json_file}: there is no folder {json_file.parent}", err=True)
        raise typer.Exit(Exit.USAGE)
    try:
        report = _measure(console, quick=quick)
    except (ContractsError, TimeoutError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(Exit.UNAVAILABLE) from error
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _measure(console: Console, *, quick: bool) -> dict[str, object]:
    with _funded("anvil") as anvil:
        costs = operations(anvil)
        console.print(_operations_table(costs))
        runs: list[Run] = []
        for data, mode in THEIRS:
            if quick and mode == "unlimited":
                continue
            for gateways in (2,) if quick else (1, 2, 3, 4):
                with console.status(f"replaying {data}, {mode}, {gateways} gateways"):
                    runs.append(replay(anvil, data, mode, gateways))
        console.print(_runs_table(runs))
        speeds = [speed(anvil), speed(anvil, hinted=True)]
    if "geth" in available():
        with _funded("geth") as geth:
            speeds += [speed(geth), speed(geth, hinted=True)]
    else:
        console.print("Geth is not installed, so it is not measured: `make geth` builds it")
    console.print(_speeds_table(speeds))
    return {
        "operations": [asdict(cost) for cost in costs],
        "replay": [_compared(run) for run in runs],
        "speed": [asdict(each) for each in speeds],
    }


def _funded(kind: str) -> _Funded:
    return _Funded("geth" if kind == "geth" else "anvil")


class _Funded(LocalNode):
    """A node on which the accounts of the benchmark's keys have ether."""

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self.fund(*(Account(key).address for key in KEYS))
        except BaseException:
            self.__exit__(None, None, None)  # `with` does not, when entering fails
            raise
        return self


def _compared(run: Run) -> dict[str, object]:
    theirs, at = THEIRS[run.data, run.mode], run.gateways - 1
    return asdict(run) | {
        "authors_total_gas": round(theirs.total_mgas[at] * 1e6),
        "authors_median_commit_gas": round(theirs.median_kgas[at] * 1e3),
        "authors_accuracy": theirs.accuracy[at],
        "times_less_gas": round(theirs.total_mgas[at] * 1e6 / max(1, run.total_gas), 1),
    }


def _table(title: str, *columns: str, left: int) -> tuple[Table, Callable[..., None]]:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < left else "right")
    return table, lambda *cells: table.add_row(*map(str, cells))


def _operations_table(costs: list[Operation]) -> Table:
    sizes = sorted({(cost.prototypes, cost.features) for cost in costs})
    heads = [f"{prototypes} × {features}" for prototypes, features in sizes]
    table, add = _table("Gas of whole transactions", "operation", *heads, left=1)
    for name in dict.fromkeys(cost.name for cost in costs):
        found = {(c.prototypes, c.features): c.gas for c in costs if c.name == name}
        add(name, *(f"{found[size]:,}" for size in sizes))
    return table


def _runs_table(runs: list[Run]) -> Table:
    columns = ("data", "mode", "gateways", "commits", "median gas", "bytes", "total gas")
    theirs = ("theirs, M", "times less", "accuracy", "theirs", "prequential")
    table, add = _table("Whole runs, beside the authors' own contracts", *columns, *theirs, left=2)
    for run in runs:
        authors, at = THEIRS[run.data, run.mode], run.gateways - 1
        total = authors.total_mgas[at]
        add(
            run.data,
            run.mode,
            run.gateways,
            run.commits,
            f"{run.median_commit_gas:,}",
            run.median_bytes,
            f"{run.total_gas:,}",
            f"{total:,g}",
            f"{total * 1e6 / max(1, run.total_gas):.0f}×",
            f"{run.accuracy:.3f}",
            f"{authors.accuracy[at]:.3f}",
            f"{run.prequential_accuracy:.3f}",
        )
    return table


def _speeds_table(speeds: list[Speed]) -> Table:
    columns = ("chain", "commits/s", "submit → merged, ms", "95 %")
    table, add = _table("Speed of the client, two gateways", *columns, left=1)
    for each in speeds:
        rate, low, high = each.commits_per_second, each.merged_ms, each.merged_p95_ms
        name = f"{each.chain}, {'WebSocket' if each.hinted else 'polling'}"
        add(name, f"{rate:.1f}", f"{low:.0f}", f"{high:.0f}")
    return table
