"""`protoledger bench aggregation`: what a round costs, beside Flower's SecAgg+ and Prio3.

Ours is the real thing but for the network: state machines, seals and signatures of a whole site in
this process (`protoledger.experiments.benchmarks.aggregation.own_round`). Flower's is its own
workflow and client mod on a grid in memory
(`protoledger.experiments.benchmarks.aggregation.flower_round`), in an environment of its own,
`.venv-bench`, that is made when it is first needed; where that fails ours is measured alone.

Flower makes new keys every round and signs nothing: it trusts its server. So ours is given four
times: with a session's keys (our way) and with new keys every round (theirs, with a signed hello
from every peer), and each of them without Ed25519, for which Flower has no counterpart. The ratios
named `client_ratio`, `client_ratio_rekeyed` and `gateway_ratio` count all that we do.

Prio3 stands in a table of its own (`protoledger.experiments.benchmarks.aggregation.prio_round`), as
its clients and servers do other work than ours; where cargo is missing it is left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from protoledger.experiments.benchmarks.aggregation.own_round import (
    WINDOW,
    Site,
    Size,
    Validity,
    measure,
)
from protoledger.experiments.benchmarks.aggregation.prio_round import (
    find_prio,
    prio_rows,
    prio_table,
)
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.plans import default_collusion
from protoledger.runtime.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Iterable

app = typer.Typer(add_completion=False)

_ROOT = Path(__file__).resolve().parents[5]
_WIDTH = 150
_AGENTS = (5, 10, 50)
_LENGTHS = (20, 1000, 100_000)
_KNOBS = {5: (1, 1), 10: (2, 1), 50: (2, 1)}  # T and D
_SHORT, _LONG = 20, 1000
_FLOWER_REPEATS = {5: 9, 10: 5, 50: 1}
_PARTS = ("quantise", "encode", "keys", "seal", "open", "read", "report", "sum", "signatures")


@dataclass(frozen=True, slots=True)
class AggregationRow:
    """One size, ours and theirs; milliseconds of CPU, bytes up, ratios theirs over ours.

    `client_…` is of one that stays, `…_unsigned` leaves Ed25519 out, `…_rekeyed` has new keys in
    every round. What Flower did not give is None.
    """

    agents: int
    length: int
    dropouts: int
    collusion: int
    tolerance: int
    code: str
    client_ms: float
    client_unsigned_ms: float
    client_rekeyed_ms: float
    client_rekeyed_unsigned_ms: float
    gateway_ms: float
    gateway_rekeyed_ms: float
    client_bytes: float
    gateway_bytes: float
    client_parts_ms: dict[str, float]
    flower_client_ms: float | None = None
    flower_gateway_ms: float | None = None
    flower_client_bytes: float | None = None
    flower_gateway_bytes: float | None = None
    client_ratio: float | None = None
    client_ratio_unsigned: float | None = None
    client_ratio_rekeyed: float | None = None
    client_ratio_rekeyed_unsigned: float | None = None
    gateway_ratio: float | None = None
    gateway_ratio_rekeyed: float | None = None


@app.command()
def aggregation(
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures there.")
    ] = None,
    agents: Annotated[
        list[int] | None, typer.Option(min=3, max=1000, help="N, several times; 5, 10 and 50.")
    ] = None,
    length: Annotated[
        list[int] | None,
        typer.Option(min=WINDOW, help="L, several times, multiples of 20; 20, 1000, 100000."),
    ] = None,
    collusion: Annotated[
        int | None, typer.Option(min=1, help="T; 1, 2 or 3 by N if left out.")
    ] = None,
    dropouts: Annotated[int | None, typer.Option(min=0, help="D; 1 if left out.")] = None,
    validity: Annotated[
        str | None, typer.Option(help="auto, proven or packed; by default packed from 1,000 on.")
    ] = None,
    flower: Annotated[  # noqa: FBT002 - a flag on the command line
        bool, typer.Option(help="Measure Flower's SecAgg+ as well.")
    ] = True,
    prio: Annotated[bool, typer.Option(help="Measure Prio3 as well.")] = True,  # noqa: FBT002
) -> None:
    """Measure a round's computation, ours, Flower's and Prio3's."""
    console = Console()
    console.width = max(console.width, _WIDTH)  # a pipe has none, and a cut figure is no figure
    if json_file is not None and not json_file.parent.is_dir():
        typer.echo(f"error: --json {json_file}: there is no folder {json_file.parent}", err=True)
        raise typer.Exit(Exit.USAGE)
    sizes = [
        Size(n, symbols, 0, *_knobs(n, collusion, dropouts), _validity(validity, symbols))
        for n in agents or _AGENTS
        for symbols in length or _LENGTHS
    ]
    if agents is None and collusion is None and _SHORT in (length or _LENGTHS):
        sizes.append(Size(10, _SHORT, 0, 5, 1, "packed"))  # Flower's own threshold: half of N
    try:
        report = _compare(console, sizes, flower=flower)
        if prio:
            report["prio"] = _beside_prio(console, sizes)
    except (ConfigurationError, RuntimeError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(Exit.USAGE) from error
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _knobs(agents: int, collusion: int | None, dropouts: int | None) -> tuple[int, int]:
    found = _KNOBS.get(agents, (default_collusion(agents), 1))
    return collusion or found[0], found[1] if dropouts is None else dropouts


def _validity(wanted: str | None, length: int) -> Validity:
    match wanted or ("packed" if length >= _LONG else "auto"):
        case "auto" | "proven" | "packed" as found:
            return found
        case other:
            raise typer.BadParameter(f"--validity {other}: auto, proven or packed")


# -- ours and theirs -----------------------------------------------------------------------------


def _compare(console: Console, sizes: list[Size], *, flower: bool) -> dict[str, object]:
    grid = [
        replace(size, dropouts=gone)
        for size in sizes
        for gone in sorted({0, min(size.tolerance, max(1, size.agents // 10))})
    ]
    python = _flower_python(console) if flower else None
    rows = []
    with console.status("measuring") as status, ThreadPoolExecutor(2) as pool:
        # Theirs, the long ones first, beside ours: both find the machine equally busy.
        slots = threading.Semaphore(1)
        order = sorted(grid, key=lambda size: -size.agents)
        theirs = (
            {} if python is None else {s: pool.submit(_flower, s, python, slots) for s in order}
        )
        try:
            for size in grid:
                status.update(f"ours: {size.agents} agents, {size.length:,} symbols")
                rows.append(_own(size))
            slots.release()  # no more of ours: two of theirs at once
            status.update("Flower's; a round of 50 takes half a minute")
            if python is not None:
                rows = [
                    _joined(row, theirs[size].result())
                    for row, size in zip(rows, grid, strict=True)
                ]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    console.print(_figures(rows, "CPU milliseconds and bytes up"))
    console.print(_parts_table([row for row in rows if not row.dropouts]))
    if python is not None:
        console.print(_ratios(rows))
    return {"rows": [asdict(row) for row in rows]}


def _beside_prio(console: Console, sizes: list[Size]) -> list[dict[str, float]]:
    program, reason = find_prio()
    if program is None:
        console.print(f"Prio3 could not be built, so it is left out: {reason}")
        return []
    with console.status("measuring Prio3"):
        rows = prio_rows(sizes, program)
    console.print(prio_table(rows))
    return [asdict(row) for row in rows]


def _code(size: Size) -> str:
    """Name the code and how many must answer, as "proven 9/10" or "packed 4 × 9/10"."""
    plan = Site(size).terms.plan
    answers = f"{plan.needed(plan.committee)}/{plan.committee}"
    if plan.validity == "proven":
        return f"proven {answers}"
    return f"packed {plan.parts(plan.committee)} × {answers}"


def _own(size: Size) -> AggregationRow:
    repeats = 5 if size.length * size.agents > 200_000 else max(7, 200 // size.agents)
    cached = measure(size, repeats, rekey=False)
    rekeyed = measure(size, max(3, repeats // 3), rekey=True)
    # what the time goes to is the same with dropouts: not measured again
    parts = (
        measure(size, max(3, repeats // 3), rekey=False, parts=True) if not size.dropouts else {}
    )
    named = {part: round(parts.get(f"client.{part}", 0.0), 4) for part in _PARTS}
    return AggregationRow(
        agents=size.agents,
        length=size.length,
        dropouts=size.dropouts,
        collusion=size.collusion,
        tolerance=size.tolerance,
        code=_code(size),
        client_ms=round(cached["client_ms"], 4),
        client_unsigned_ms=round(cached["client_unsigned_ms"], 4),
        client_rekeyed_ms=round(rekeyed["client_ms"], 4),
        client_rekeyed_unsigned_ms=round(rekeyed["client_unsigned_ms"], 4),
        gateway_ms=round(cached["gateway_ms"], 4),
        gateway_rekeyed_ms=round(rekeyed["gateway_ms"], 4),
        client_bytes=round(cached["client_bytes"], 1),
        gateway_bytes=round(cached["gateway_bytes"], 1),
        client_parts_ms={**named, "rest": round(parts.get("client", 0.0), 4)},
    )


def _flower_python(console: Console) -> Path | None:
    """Find the interpreter that has Flower; make its environment the first time."""
    python = _ROOT / ".venv-bench" / "bin" / "python"
    script = _ROOT / "scripts" / "setup.sh"
    bash = shutil.which("bash")
    if bash is not None and script.is_file():
        done = subprocess.run([bash, script, "bench"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return python
        reason = (done.stderr.strip().splitlines() or ["setup.sh failed"])[-1]
    else:
        reason = "there is no scripts/setup.sh here"
    console.print(f"Flower could not be installed, so ours stands alone: {reason}")
    return None


def _flower(size: Size, python: Path, slots: threading.Semaphore) -> dict[str, float]:
    repeats = _FLOWER_REPEATS.get(size.agents, 1)
    numbers = [str(number) for number in (size.agents, size.length, size.dropouts, repeats)]
    with slots:
        done = subprocess.run(
            [python, Path(__file__).with_name("flower_round.py"), *numbers],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "FLWR_TELEMETRY_ENABLED": "0"},
        )
    if done.returncode != 0:
        raise RuntimeError(f"Flower's round failed: {(done.stderr.splitlines() or ['?'])[-1]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _joined(row: AggregationRow, theirs: dict[str, float]) -> AggregationRow:
    def times(name: str, ours: float) -> float:
        return round(theirs[name] / ours, 1)

    return replace(
        row,
        flower_client_ms=round(theirs["client_ms"], 2),
        flower_gateway_ms=round(theirs["gateway_ms"], 2),
        flower_client_bytes=round(theirs["client_bytes"], 1),
        flower_gateway_bytes=round(theirs["gateway_bytes"], 1),
        client_ratio=times("client_ms", row.client_ms),
        client_ratio_unsigned=times("client_ms", row.client_unsigned_ms),
        client_ratio_rekeyed=times("client_ms", row.client_rekeyed_ms),
        client_ratio_rekeyed_unsigned=times("client_ms", row.client_rekeyed_unsigned_ms),
        gateway_ratio=times("gateway_ms", row.gateway_ms),
        gateway_ratio_rekeyed=times("gateway_ms", row.gateway_rekeyed_ms),
    )


# -- tables --------------------------------------------------------------------------------------


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in ("N", "L", "gone", *columns):
        table.add_column(column, justify="right")
    return table


def _size(row: AggregationRow) -> list[str]:
    return [str(row.agents), f"{row.length:,}", str(row.dropouts)]


def _figures(rows: list[AggregationRow], title: str) -> Table:
    columns = [
        "code",
        "client",
        "unsigned",
        "rekeyed",
        "unsigned",
        "gateway",
        "rekeyed",
        "up/client",
    ]
    theirs = any(row.flower_client_ms is not None for row in rows)
    if theirs:
        columns += ["Flower: client", "gateway", "up/client"]
    table = _table(title, *columns)
    for row in rows:
        ours = [row.client_ms, row.client_unsigned_ms, row.client_rekeyed_ms]
        ours += [row.client_rekeyed_unsigned_ms, row.gateway_ms, row.gateway_rekeyed_ms]
        cells = [*_size(row), row.code, *(f"{ms:.3g}" for ms in ours)]
        cells.append(f"{row.client_bytes:,.0f}")
        if row.flower_client_ms is not None and row.flower_gateway_ms is not None:
            cells += [f"{row.flower_client_ms:.3g}", f"{row.flower_gateway_ms:,.0f}"]
            cells.append(f"{row.flower_client_bytes or 0:,.0f}")
        table.add_row(*cells)
    return table


def _ratios(rows: list[AggregationRow]) -> Table:
    columns = ("client", "unsigned", "rekeyed", "unsigned", "gateway", "rekeyed", "bytes up")
    table = _table("Flower over ours", *columns)
    for row in rows:
        ratios: Iterable[float | None] = (
            row.client_ratio,
            row.client_ratio_unsigned,
            row.client_ratio_rekeyed,
            row.client_ratio_rekeyed_unsigned,
            row.gateway_ratio,
            row.gateway_ratio_rekeyed,
            (row.flower_client_bytes or 0.0) / row.client_bytes,
        )
        table.add_row(*_size(row), *(f"{ratio or 0:,.3g}×" for ratio in ratios))
    return table


def _parts_table(rows: list[AggregationRow]) -> Table:
    table = _table("What a client's milliseconds are, in per cent", *_PARTS, "rest")
    for row in rows:
        total = sum(row.client_parts_ms.values()) or 1.0
        shares = (f"{100 * part / total:.0f}" for part in row.client_parts_ms.values())
        table.add_row(*_size(row), *shares)
    return table
