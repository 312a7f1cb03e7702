"""`protoledger bench sources`: how long an emulation's data take to make and to write.

A laptop should start rounds in seconds, and three houses are made and written before the first.
Each figure stands beside the least that anybody would need for as many numbers: numpy's generator
drawing them, and Python's csv module writing them as they are.
"""

import csv
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from protoledger.emulator.sources.dealing import deal
from protoledger.emulator.sources.house import HouseSource
from protoledger.emulator.sources.recordings import write_recordings

app = typer.Typer(add_completion=False)

SITES, AGENTS, TRIES = 3, 6, 3


@app.command()
def main(
    rounds: Annotated[int, typer.Option(min=1, help="Windows of each agent.")] = 2000,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file.")
    ] = None,
) -> None:
    """Measure CPU seconds for three houses of six agents; the best of three."""
    dealt = deal(HouseSource(), sites=SITES, agents=AGENTS, rounds=rounds)
    shape = (SITES * AGENTS * rounds, len(dealt.channels))
    with tempfile.TemporaryDirectory(prefix="protoledger-") as name:
        folder = Path(name)
        seconds = {
            "make": _cpu_s(lambda: deal(HouseSource(), sites=SITES, agents=AGENTS, rounds=rounds)),
            "numpy_draws": _cpu_s(lambda: np.random.default_rng(1).standard_normal(shape)),
            "write": _cpu_s(lambda: write_recordings(dealt, folder)),
            "csv_writes": _cpu_s(lambda: _write_plainly(dealt.observed, folder / "plain.csv")),
        }
    figures = {f"{name}_s": value for name, value in seconds.items()}
    figures["make_by_numpy"] = seconds["make"] / seconds["numpy_draws"]
    figures["write_by_csv"] = seconds["write"] / seconds["csv_writes"]
    for name, value in figures.items():
        typer.echo(f"{name:<16} {value:,.4f}")
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


def _cpu_s(work: Callable[[], object]) -> float:
    found = []
    for _ in range(TRIES):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def _write_plainly(observed: Sequence[np.ndarray], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        for site in observed:
            for agent in site:
                writer.writerows(agent.tolist())


if __name__ == "__main__":
    app()
