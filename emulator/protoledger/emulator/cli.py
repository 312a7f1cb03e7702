"""`protoledger emulate`: a whole deployment on this machine, in one command."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from protoledger.contracts.errors import ChainUnreachableError, ContractsError
from protoledger.emulator.errors import (
    BrokerError,
    ChainError,
    DataSourceError,
    EmulatorError,
    ProgramMissingError,
)
from protoledger.emulator.options import Options, Test
from protoledger.emulator.processes.liars import ATTACKS
from protoledger.emulator.run import Emulation
from protoledger.emulator.sources.dealing import DEFAULT_NOISE
from protoledger.emulator.view import View, sites_table
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.exits import Exit

app = typer.Typer(add_completion=False)


def _rounds(text: str) -> int | None:
    if text == "all":
        return None
    try:
        return int(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is neither a number nor `all`") from error


def _partitions(text: str) -> int | str:
    if text == "all":
        return text
    try:
        return int(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is neither a number nor `all`") from error


def _option(text: str, *names: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(*names, help=text)
    return option


@app.command()
def emulate(
    sites: Annotated[int, _option("Sites, each with a gateway of its own.")] = 3,
    agents: Annotated[int, _option("Sensor agents of each site.")] = 6,
    rounds: Annotated[str, _option("Rounds of each site, or `all` rows of the source.")] = "200",
    batch: Annotated[int, _option("Windows that a round carries.")] = 1,
    source: Annotated[
        str,
        _option(
            "house, phishing, image-segments, bananas, one that a package adds, or the path of a "
            "CSV with a header."
        ),
    ] = "house",
    label: Annotated[str | None, _option("The CSV's label column; default: its last.")] = None,
    missing: Annotated[
        list[str] | None, _option("A value of the CSV that means: no reading, such as -200.")
    ] = None,
    ignore: Annotated[list[str] | None, _option("A column of the CSV to leave out.")] = None,
    noise: Annotated[
        float, _option("Each agent's own noise, in standard deviations of a channel.")
    ] = DEFAULT_NOISE,
    validity: Annotated[
        str, _option("Whether agents prove what they contribute: auto, proven or packed.")
    ] = "auto",
    collusion: Annotated[
        int | None, _option("T: agents that may pool what they see, or lie; default: by --agents.")
    ] = None,
    dropouts: Annotated[
        int | None,
        _option("D: agents that may vanish in a round at no cost; default: 1 if it can."),
    ] = None,
    partitions: Annotated[
        str, _option("K of the packed code: how many parts a vector has, or `all` that fit.")
    ] = "all",
    liars: Annotated[int, _option("Agents of each site that lie.")] = 0,
    attack: Annotated[str, _option(f"How: {', '.join(ATTACKS)}.")] = "beyond",
    drop_rate: Annotated[float, _option("How often an agent vanishes in a round, 0 to 1.")] = 0.0,
    round_seconds: Annotated[
        float, _option("Time limit of a round: half for shares, half for sums.")
    ] = 4.0,
    seed: Annotated[int, _option("Seed of all randomness in the emulation.")] = 0,
    learner: Annotated[
        str, _option("improved, reference (XuILVQ as published), or one that a package adds.")
    ] = "improved",
    test: Annotated[
        Test, _option("Test that decides which commits are significant; `always`: all are.")
    ] = "e-process",
    alpha: Annotated[float, _option("Significance level of the test.")] = 0.05,
    oracle: Annotated[
        int,
        _option(
            "Reporters that sign an outside site's samples and readings on the chain; 0: none."
        ),
    ] = 0,
    json_file: Annotated[Path | None, _option("Write the report to this file.", "--json")] = None,
    report_file: Annotated[
        Path | None,
        _option(
            "Write the charts to this HTML file; default: report.html in --keep or in the cache.",
            "--report",
        ),
    ] = None,
    virtual: Annotated[
        int | None,
        _option(
            "So many agents in all, in virtual time: state machines in one process instead of "
            "processes, without broker and chain."
        ),
    ] = None,
    network: Annotated[
        Path | None,
        _option("A file that says how links delay, lose, repeat and are cut."),
    ] = None,
    page: Annotated[bool, _option("Show it live in a browser, until Ctrl-C.", "--page")] = False,  # noqa: FBT002 - a flag on the command line
    keep: Annotated[
        Path | None, _option("Keep configuration, stores and logs in this folder.")
    ] = None,
    broker: Annotated[
        str | None,
        _option("mosquitto, embedded or HOST:PORT; default: mosquitto if it is installed."),
    ] = None,
    broker_ca: Annotated[
        Path | None,
        _option("For HOST:PORT: its certificate's authority (PEM); without it plain TCP."),
    ] = None,
    chain: Annotated[
        str,
        _option(
            "anvil, geth, clique or avalanche (the last two: a validator for each site, from "
            "`make validators`), or the URL of a node's JSON-RPC."
        ),
    ] = "anvil",
    chain_key: Annotated[
        Path | None, _option("For a URL: file with the key of the account that pays (mode 0600).")
    ] = None,
) -> None:
    """Run a broker, a chain, agents and gateways as processes of this machine.

    Agents secret-share readings over MQTT; gateways decode only sums, learn from them, and share
    significant prototypes through the chain.
    """
    console = Console(stderr=True)
    arguments = {
        **locals(),
        "rounds": _rounds(rounds),
        "partitions": _partitions(partitions),
        "missing": tuple(missing or ()),
        "ignore": tuple(ignore or ()),
    }
    for name in ("console", "json_file", "report_file"):
        arguments.pop(name)
    if virtual is not None:
        arguments["sites"] = -(-virtual // max(1, agents))
    try:
        options = Options(**arguments)
        _check_plan(options)
        _check_writable("--json", json_file)
        _check_writable("--report", report_file)
    except ValidationError as error:
        problems = (
            f"--{_flag(p['loc'])}: {p['msg']}, found {p['input']!r}" for p in error.errors()
        )
        _fail(Exit.USAGE, "; ".join(problems))
    except (ConfigurationError, OSError) as error:
        _fail(Exit.USAGE, str(error))
    try:
        if options.virtual is None:
            _run(options, console, json_file, report_file)
        else:
            _run_virtual(options, console, json_file)
    except DataSourceError as error:
        _fail(Exit.DATA, str(error))
    except (BrokerError, ChainError, ChainUnreachableError, ProgramMissingError) as error:
        _fail(Exit.UNAVAILABLE, str(error))
    except (EmulatorError, ContractsError, ConfigurationError) as error:
        _fail(Exit.FAILED, str(error))
    except KeyboardInterrupt:
        _fail(Exit.INTERRUPTED, "interrupted; everything is stopped")


def _run(
    options: Options, console: Console, json_file: Path | None, report_file: Path | None
) -> None:
    began = time.monotonic()
    with View(console) as view:
        try:
            emulation = Emulation(options, view.say)
        except ConfigurationError as error:  # of the network file
            _fail(Exit.CONFIGURATION, str(error))
        for notice in emulation.dealt.notices:
            view.say(notice)

        def done() -> None:
            view.stop()
            _tell(emulation, time.monotonic() - began, json_file, report_file)

        emulation.run(view.show, done)


def _run_virtual(options: Options, console: Console, json_file: Path | None) -> None:
    from protoledger.emulator.virtual.run import VirtualRun, summary  # noqa: PLC0415 - others do without

    def say(text: str) -> None:
        console.print(text, style="dim", highlight=False)

    say(f"making the keys of {options.sites} sites of {options.agents} agents")
    try:
        made = VirtualRun(options, say)
    except ConfigurationError as error:  # of the network file
        _fail(Exit.CONFIGURATION, str(error))
    report = made.run()
    Console().print(summary(report))
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _tell(
    emulation: Emulation, seconds: float, json_file: Path | None, report_file: Path | None
) -> None:
    """Print what came out, and write it down."""
    from protoledger.dashboard.report import write_report  # noqa: PLC0415 - not before the start
    from protoledger.emulator.report import make_report, summary_table  # noqa: PLC0415

    report = make_report(emulation)
    report["total_seconds"] = round(seconds, 3)
    out = Console()
    out.print(sites_table(emulation.progress))
    out.print(summary_table(report))
    if emulation.options.keep is not None:
        out.print(f"kept in {emulation.folder}", highlight=False)
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    path = report_file or _report_path(emulation)
    try:
        write_report(path, emulation.stores)
    except OSError as error:
        typer.echo(f"protoledger emulate: {path}: {error.strerror}: no charts", err=True)
    else:
        out.print(f"charts: {path}", highlight=False, soft_wrap=True)


def _report_path(emulation: Emulation) -> Path:
    if emulation.options.keep is not None:
        return emulation.folder / "report.html"
    cache = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(cache) if cache.startswith("/") else Path.home() / ".cache"
    return root / "protoledger" / "report.html"


def _check_plan(options: Options) -> None:
    """Find out before the run whether so many agents can bear what is asked of them."""
    _ = options.plan
    if options.liars > options.agents:
        raise ConfigurationError(f"--liars {options.liars} of --agents {options.agents}")
    if options.agents < options.minimum_contributors:
        raise ConfigurationError(
            f"--agents {options.agents}, collusion {options.plan.collusion}: a sum takes at least "
            f"{options.minimum_contributors} agents"
        )


def _check_writable(flag: str, path: Path | None) -> None:
    """Check before the run that a report can be written after it."""
    if path is not None and not path.parent.is_dir():
        raise FileNotFoundError(f"{flag} {path}: the folder {path.parent} does not exist")
    if path is not None and path.is_dir():
        raise IsADirectoryError(f"{flag} {path}: is a folder; name a file in it")


def _flag(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location).replace("_", "-")


def _fail(code: Exit, text: str) -> None:
    typer.echo(f"protoledger emulate: {text}", err=True)
    sys.exit(code)
