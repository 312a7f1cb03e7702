"""`protoledger report`: the page of gateways as one HTML file."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from protoledger.dashboard.cli import site_of
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
        _fail(Exit.USAGE, f"name a gateway's file: --config gateway.yaml{where}")
    try:
        stores = [(name, Path(store)) for name, store in map(site_of, files)]
        write_report(output, stores, days)
    except ConfigurationError as error:
        _fail(Exit.CONFIGURATION, str(error))
    except OSError as error:
        _fail(Exit.IO, f"{output}: {error.strerror}")
    typer.echo(f"written: {output}, {output.stat().st_size / 1e3:,.0f} kB")


def _fail(code: Exit, text: str) -> None:
    typer.echo(f"protoledger report: {text}", err=True)
    sys.exit(code)
