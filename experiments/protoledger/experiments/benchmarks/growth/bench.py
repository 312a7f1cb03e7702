"""`protoledger bench growth`: measures at growing sizes, and fits a power to each cost.

A cost that grows as sizeᵏ is a straight line in logarithms; k is its slope by least squares over
all repeats, with the 95 % interval of Student's t. Only sizes from `FROM` on are fitted: below,
what every call costs hides what grows.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from scipy.special import stdtrit

from protoledger.contracts.tools.local_node import LocalNode
from protoledger.experiments.benchmarks.growth.agents import of_agents
from protoledger.experiments.benchmarks.growth.following import of_following
from protoledger.experiments.benchmarks.growth.owners import of_index, of_owners
from protoledger.gateway.learner.compilation import compiled

app = typer.Typer(add_completion=False)

OWNERS: Final = (10, 30, 100, 300, 1000)
AGENTS: Final = (10, 30, 100, 300)
INDEXED: Final = (256, 1024, 4096, 16384)
FROM: Final = 30
NOT_FITTED: Final = {"right", "voting", "gas"}
PARTS: Final = ("owners", "unbound", "index", "ledger", "agents")
Rows = list[dict[str, float]]


@app.command()
def main(
    part: Annotated[
        list[str] | None, typer.Option(help=f"Only {', '.join(PARTS)}; may be repeated.")
    ] = None,
    size: Annotated[
        list[int] | None, typer.Option(min=3, help="Instead of the sizes; may be repeated.")
    ] = None,
    prototypes: Annotated[int, typer.Option(min=1, max=255, help="Of each owner.")] = 20,
    features: Annotated[int, typer.Option(min=1, max=64, help="Of each prototype.")] = 9,
    repeats: Annotated[int, typer.Option(min=1, help="Of each measurement.")] = 3,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file.")
    ] = None,
) -> None:
    """Measure what grows with owners and agents, and fit a power of their number to it."""
    if unknown := set(part or ()) - set(PARTS):
        raise typer.BadParameter(f"no part {unknown.pop()!r}: there are {', '.join(PARTS)}")
    compiled.load()
    measures = _measures(prototypes, features)
    report: dict[str, Any] = {"prototypes": prototypes, "features": features}
    for name in part or PARTS:
        sizes, measure = measures[name]
        rows = _measured(name, size or sizes, repeats, measure)
        report[name] = {"rows": rows, "exponents": exponents(rows)}
        _show(name, rows, report[name]["exponents"])
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _measures(
    prototypes: int, features: int
) -> dict[str, tuple[Sequence[int], Callable[[int, int], dict[str, float]]]]:
    """Return each part's sizes, and what measures at a size with a seed."""

    def ledger(owners: int, _: int) -> dict[str, float]:
        with LocalNode("anvil") as chain:
            return of_following(chain, owners, prototypes, features)

    return {
        "owners": (OWNERS, lambda n, seed: of_owners(n, prototypes, features, seed)),
        "unbound": (OWNERS, lambda n, seed: of_owners(n, prototypes, features, seed, bound=False)),
        "index": (INDEXED, lambda n, seed: of_index(n, features, seed)),
        "ledger": (OWNERS, ledger),
        "agents": (AGENTS, lambda n, _: of_agents(n)),
    }


def _measured(
    name: str, sizes: Sequence[int], repeats: int, measure: Callable[[int, int], dict[str, float]]
) -> Rows:
    rows = []
    for size in sizes:
        for seed in range(1, repeats + 1):
            typer.echo(f"{name} {size}: {seed} of {repeats}", err=True)
            rows.append({"size": float(size), **measure(size, seed)})
    return rows


def exponents(rows: Rows) -> dict[str, tuple[float, float]]:
    """Return how each cost grows with the size: the exponent, and half of its 95 % interval.

    The half is infinite where there are too few measurements to tell.

    >>> rows = [{"size": n, "ms": 3 * n**2} for n in (100.0, 200.0, 400.0, 1000.0)]
    >>> exponent, half = exponents(rows)["ms"]
    >>> round(exponent, 6), round(half, 6)
    (2.0, 0.0)
    """
    found = {}
    rows = [row for row in rows if row["size"] >= FROM]
    for name in rows[0] if rows else ():
        points = [(row["size"], row[name]) for row in rows if row[name] > 0]
        if name == "size" or name in NOT_FITTED or len({size for size, _ in points}) < 2:
            continue
        found[name] = _slope(*np.log(np.array(points).T))
    return found


def _slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    away = x - x.mean()
    spread = float(away @ away)
    slope = float(away @ y) / spread
    free = len(x) - 2
    if free < 1:
        return slope, math.inf
    rest = y - y.mean() - slope * away
    error = math.sqrt(float(rest @ rest) / free / spread)
    return slope, float(stdtrit(free, 0.975)) * error


def _show(name: str, rows: Rows, fitted: dict[str, tuple[float, float]]) -> None:
    """Print the median at each size and the exponents, as a table in Markdown."""
    columns = [column for column in rows[0] if column != "size"]
    typer.echo(f"\n| {name} | " + " | ".join(columns) + " |")
    typer.echo("|" + "--:|" * (len(columns) + 1))
    for size in dict.fromkeys(row["size"] for row in rows):
        same = [row for row in rows if row["size"] == size]
        cells = [f"{np.median([row[column] for row in same]):,.4g}" for column in columns]
        typer.echo(f"| {size:,.0f} | " + " | ".join(cells) + " |")
    powers = [
        f"{fitted[column][0]:.2f} ± {fitted[column][1]:.2f}" if column in fitted else ""
        for column in columns
    ]
    typer.echo("| exponent | " + " | ".join(powers) + " |")
