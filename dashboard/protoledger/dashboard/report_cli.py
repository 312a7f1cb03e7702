"""`protoledger report`: the page of gateways as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from protoledger.dashboard.cli import fail, site_of
from protoledger.dashboard.report import write_report
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.exits import Exit

app = typer.Typer(add_completion=False)


@app.command()
def report(
    run: Annotated[
        Path | None, typer.Argument(help="Folder of `emulate --keep`: all its gateways.")
    ] = None,
    *,
    config: Annotated[
        list[Path] | None,
        typer.Option("--config", "-c", help="A gateway's file; may be repeated."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")] = Path(
        "report.html"
    ),
    days: Annotated[
        float | None, typer.Option(min=0, help="How far back; default: all that is kept.")
    ] = None,
) -> None:
    """Write what the page shows of gateways as one HTML file that needs nothing else."""
    files = [*(config or ()), *(() if run is None else sorted(run.glob("*/gateway.yaml")))]
    if not files:
        where = "" if run is None else f"; {run} has none"
        fail(Exit.USAGE, f"name a gateway's file: --config gateway.yaml{where}", "report")
    try:
        stores = [(name, Path(store)) for name, store in map(site_of, files)]
        write_report(output, stores, days)
    except ConfigurationError as error:
        fail(Exit.CONFIGURATION, str(error), "report")
    except OSError as error:
        fail(Exit.IO, f"{output}: {error.strerror}", "report")
    typer.echo(f"written: {output}, {output.stat().st_size / 1e3:,.0f} kB")
