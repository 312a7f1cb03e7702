"""`protoledger gateway`: the gateway's commands."""

import csv
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from protoledger.contracts.errors import KeyFileError
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.exits import Exit
from protoledger.runtime.site import SiteConfig, load

app = typer.Typer(no_args_is_help=True, help="A site's gateway.")

Config = Annotated[Path, typer.Option("--config", "-c", help="The gateway's file.")]


@app.callback()
def _gateway() -> None:
    """Keep the commands words of their own."""


@app.command()
def run(
    config: Config,
    *,
    events: Annotated[
        bool, typer.Option("--events", help="Tell what happens as JSON lines on standard output.")
    ] = False,
    event_sums: Annotated[
        bool, typer.Option(help="Tell decoded sums as well; for an emulator that knows the truth.")
    ] = False,
) -> None:
    """Run rounds, learn, and share what is significant, until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    from protoledger.gateway.config import GatewayConfig  # noqa: PLC0415 - `--help` need not wait for these
    from protoledger.gateway.operations.events import EventStream  # noqa: PLC0415
    from protoledger.gateway.service import Service  # noqa: PLC0415

    # The ledger's thread loads web3 for seconds: rounds must not wait 5 ms for each turn.
    sys.setswitchinterval(0.0005)
    try:
        loaded = load(config, GatewayConfig)
        stream = EventStream.to_stdout() if events else EventStream(None)
        code = Service(loaded, stream, with_sums=event_sums).run()
    except (ConfigurationError, KeyFileError) as error:
        from protoledger.gateway.operations.examine import examine  # noqa: PLC0415 - needed only when something is wrong

        typer.echo(examine(config).text or f"protoledger gateway: {error}", err=True)
        sys.exit(Exit.CONFIGURATION)
    sys.exit(code)


@app.command()
def check(
    config: Config,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Tell it to a program.")] = False,
    broker: Annotated[bool, typer.Option(help="Connect to the broker.")] = True,
    chain: Annotated[bool, typer.Option(help="Ask the chain.")] = True,
    running: Annotated[
        bool, typer.Option("--running", help="Only ask whether a running gateway is alive.")
    ] = False,
    wait: Annotated[
        float,
        typer.Option(
            min=0, help="Only ask, and wait up to so many seconds for a round to complete."
        ),
    ] = 0.0,
) -> None:
    """Try everything that a gateway needs, and say what to do where something is wrong."""
    from protoledger.gateway.config import GatewayConfig  # noqa: PLC0415
    from protoledger.gateway.operations import check as checks  # noqa: PLC0415
    from protoledger.runtime.check.findings import report  # noqa: PLC0415

    logging.getLogger().addHandler(logging.NullHandler())  # the report says it better
    if not running and not wait:
        sys.exit(report(checks.check(config, broker=broker, chain=chain), as_json=as_json))
    try:
        store_file = load(config, GatewayConfig).store_file
    except ConfigurationError as error:
        typer.echo(f"protoledger gateway: {error}", err=True)
        sys.exit(Exit.CONFIGURATION)
    sys.exit(report([checks.progress(store_file, wait)], as_json=as_json))


@app.command()
def predict(
    config: Config,
    rows: Annotated[Path, typer.Argument(help="CSV with the site's channels as columns.")],
) -> None:
    """Classify rows with the stored model; prints one label a row, empty where it cannot tell."""
    from protoledger.gateway.config import GatewayConfig  # noqa: PLC0415
    from protoledger.gateway.predictor import Predictor  # noqa: PLC0415

    try:
        loaded = load(config, GatewayConfig)
        site = load(loaded.site_file, SiteConfig)
        predictor = Predictor(loaded, site)
        with rows.open(newline="", encoding="utf-8") as file:
            for label in predictor.label_rows(csv.DictReader(file)):
                typer.echo(label)
    except (ConfigurationError, KeyFileError) as error:
        typer.echo(f"protoledger gateway: {error}", err=True)
        sys.exit(Exit.CONFIGURATION)
    except OSError as error:
        typer.echo(f"protoledger gateway: {rows}: {error.strerror}", err=True)
        sys.exit(Exit.IO)
    except ValueError as error:
        typer.echo(f"protoledger gateway: {rows}: {error}", err=True)
        sys.exit(Exit.DATA)
