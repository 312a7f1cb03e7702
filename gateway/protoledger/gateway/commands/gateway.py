"""`protoledger gateway`: the commands that run, check and query a gateway."""

import contextlib
import csv
import json
import logging
import sqlite3
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protoledger.contracts.errors import KeyFileError
from protoledger.gateway.commands.carrying import carry_over
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.exits import Exit
from protoledger.runtime.site import SiteConfig, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from protoledger.gateway.config import GatewayConfig

app = typer.Typer(no_args_is_help=True, help="Run, check and query a site's gateway.")

Config = Annotated[Path, typer.Option("--config", "-c", help="The gateway's file.")]


app.command("carry-over")(carry_over)


@app.callback()
def _gateway() -> None:
    """Make typer keep the commands' names even if there is only one command."""


@app.command()
def run(
    config: Config,
    *,
    events: Annotated[
        bool, typer.Option("--events", help="Write events as JSON lines to standard output.")
    ] = False,
    event_sums: Annotated[
        bool, typer.Option(help="Add decoded sums to the events; the emulator verifies them.")
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
        if loaded.log_level != "info":
            logging.getLogger().setLevel(loaded.log_level.upper())
        reread = partial(_read_again, config)
        Service(loaded, stream, with_sums=event_sums, reread=reread).run()
    except (ConfigurationError, KeyFileError) as error:
        from protoledger.gateway.operations.gateway_files import read_gateway_files  # noqa: PLC0415 - needed only when something is wrong

        typer.echo(read_gateway_files(config).text or f"protoledger gateway: {error}", err=True)
        sys.exit(Exit.CONFIGURATION)
    except (sqlite3.OperationalError, OSError) as error:  # also in the middle of a round
        where, what = loaded.store_file, str(error)
        if isinstance(error, OSError):
            where, what = error.filename or where, error.strerror or what
        advice = "is the disk full or read-only, or another gateway running?"
        typer.echo(f"protoledger gateway: {where}: {what}; {advice}", err=True)
        sys.exit(Exit.IO)


def _read_again(path: Path) -> "GatewayConfig | None":
    """Read the gateway's file; logs every error in it."""
    from protoledger.gateway.operations.gateway_files import read_gateway_files  # noqa: PLC0415

    found = read_gateway_files(path)
    if found.text:
        logging.getLogger(__name__).error("not read again: %s", found.text)
        return None
    return found.config


@app.command()
def check(
    config: Config,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    broker: Annotated[bool, typer.Option(help="Connect to the broker.")] = True,
    chain: Annotated[bool, typer.Option(help="Ask the chain.")] = True,
    running: Annotated[
        bool, typer.Option("--running", help="Only check whether the gateway is running.")
    ] = False,
    wait: Annotated[
        float,
        typer.Option(min=0, help="Only wait up to so many seconds until a round has completed."),
    ] = 0.0,
) -> None:
    """Check everything that a gateway needs, and say how to correct what is wrong."""
    from protoledger.gateway.config import GatewayConfig  # noqa: PLC0415
    from protoledger.gateway.operations.report import check_gateway, check_progress  # noqa: PLC0415
    from protoledger.runtime.check.findings import print_report  # noqa: PLC0415

    logging.getLogger().addHandler(logging.NullHandler())  # the report shows every problem
    if not running and not wait:
        sys.exit(print_report(check_gateway(config, broker=broker, chain=chain), as_json=as_json))
    try:
        store_file = load(config, GatewayConfig).store_file
    except ConfigurationError as error:
        typer.echo(f"protoledger gateway: {error}", err=True)
        sys.exit(Exit.CONFIGURATION)
    sys.exit(print_report([check_progress(store_file, wait)], as_json=as_json))


@app.command()
def predict(
    config: Config,
    rows: Annotated[Path, typer.Argument(help="CSV with the site's channels as columns.")],
    *,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Print CSV: the label, and each label's.")
    ] = False,
) -> None:
    """Classify rows with the stored model; prints one label a row, empty if there is none."""
    from protoledger.gateway.config import GatewayConfig  # noqa: PLC0415
    from protoledger.gateway.predictor import Predictor  # noqa: PLC0415

    with _reported(rows):
        loaded = load(config, GatewayConfig)
        site = load(loaded.site_file, SiteConfig)
        predictor = Predictor(loaded, site)
        with rows.open(newline="", encoding="utf-8") as file:
            if probabilities:
                written = csv.writer(sys.stdout)
                written.writerow(["label", *site.labels])
                for label, likely in predictor.answer_rows(csv.DictReader(file)):
                    written.writerow([label, *(f"{p:.4f}" for p in likely)])
                return
            for label in predictor.label_rows(csv.DictReader(file)):
                typer.echo(label)


@contextlib.contextmanager
def _reported(source: Path) -> "Iterator[None]":
    """Say in one line what is wrong with a command's files, and exit with its code."""
    try:
        yield
    except (ConfigurationError, KeyFileError) as error:
        typer.echo(f"protoledger gateway: {error}", err=True)
        sys.exit(Exit.CONFIGURATION)
    except OSError as error:
        typer.echo(f"protoledger gateway: {error.filename or source}: {error.strerror}", err=True)
        sys.exit(Exit.IO)
    except ValueError as error:
        typer.echo(f"protoledger gateway: {source}: {error}", err=True)
        sys.exit(Exit.DATA)


@app.command()
def explain(
    config: Config,
    rows: Annotated[
        Path | None,
        typer.Argument(help="CSV with the site's channels; default: what the gateway predicted."),
    ] = None,
    *,
    sample: Annotated[
        int | None, typer.Option(help="Number of a prediction; default: the newest.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a line each.")] = False,
) -> None:
    """Say why: the nearest prototypes, whose they are, where they came from, what each added."""
    from protoledger.gateway.commands.explain import as_text, kept, of_rows  # noqa: PLC0415
    from protoledger.gateway.config import GatewayConfig  # noqa: PLC0415

    with _reported(rows or config):
        loaded = load(config, GatewayConfig)
        site = load(loaded.site_file, SiteConfig)
        found = [kept(loaded.store_file, sample)] if rows is None else of_rows(loaded, site, rows)
        for one in found:
            shown = [json.dumps(one)] if as_json else as_text(one, site.labels)
            typer.echo("\n".join(shown))


@app.command()
def evidence(
    file: Annotated[Path, typer.Argument(help="What an agent wrote: …evidence.json.")],
    roster: Annotated[Path, typer.Option("--roster", help="The site's roster.")],
    fleet_key: Annotated[str, typer.Option("--fleet-key", help="The fleet's public key.")],
) -> None:
    """Check what an agent keeps as proof that its gateway contradicted itself."""
    from protoledger.protocol.errors import ProtocolError  # noqa: PLC0415 - `--help` need not wait
    from protoledger.protocol.rounds.evidence import check_evidence  # noqa: PLC0415
    from protoledger.runtime.identity_files import load_roster  # noqa: PLC0415

    try:
        first, second = json.loads(file.read_text(encoding="ascii"))["signed"]
        known = load_roster(roster, bytes.fromhex(fleet_key))
        said = check_evidence(known, bytes.fromhex(first), bytes.fromhex(second))
    except (OSError, ValueError, KeyError, TypeError, ProtocolError) as error:
        typer.echo(f"protoledger gateway: {file} proves nothing: {error}", err=True)
        sys.exit(Exit.DATA)
    typer.echo(said)
