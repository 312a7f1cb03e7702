"""The command `protoledger`: its first word names a part, and only that part is imported.

An agent on a Pi has only the `edge` extra installed, so importing the other parts would fail there.
"""

import importlib
import importlib.util
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from protoledger.runtime.exits import Exit

# word → (module with a Typer `app`, the line that --help shows)
PARTS = {
    "emulate": (
        "protoledger.emulator.cli",
        "Run a whole deployment on this machine: broker, agents, gateways, chain.",
    ),
    "site": (
        "protoledger.emulator.sites.cli",
        "Set up and keep a site of one's own: keys, roster, broker, contracts.",
    ),
    "service": (
        "protoledger.emulator.sites.services",
        "Run an agent or a gateway as a systemd service.",
    ),
    "edge": ("protoledger.edge.cli", "Run and check the agent on a Pi."),
    "gateway": ("protoledger.gateway.commands.gateway", "Run, check and query a site's gateway."),
    "dashboard": (
        "protoledger.dashboard.cli",
        "Show what gateways do and why, as a page in a browser.",
    ),
    "report": (
        "protoledger.dashboard.report_cli",
        "Write the same as one HTML file, to send to somebody.",
    ),
    "contracts": (
        "protoledger.gateway.commands.contracts",
        "Deploy, inspect and administer the contracts on the chain.",
    ),
    "oracle": (
        "protoledger.gateway.commands.oracle",
        "Bring outside data onto the chain: the reporter, and its owner's commands.",
    ),
    "experiment": (
        "protoledger.experiments.cli",
        "Measure what collaboration is worth: the papers' tables, and further studies.",
    ),
    "verify-claim": (
        "protoledger.experiments.running.claim",
        "Run a recorded experiment again, and compare every number.",
    ),
    "bench": (
        "protoledger.experiments.benchmarks.cli",
        "Measure speed, traffic and gas, and compare them with other projects.",
    ),
    "vectors": (
        "protoledger.experiments.vectors.cli",
        "Make test vectors of the wire format, and check a client's against them.",
    ),
    "keys": ("protoledger.runtime.keys", "Create identities and sign the roster."),
}

_TYPER_USAGE = 2  # typer's own exit code for a wrong option; ours is Exit.USAGE

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with a flag's value
    if wanted:
        typer.echo(version("protoledger"))
        raise typer.Exit


@app.callback()
def _root(
    _version: bool = typer.Option(  # noqa: FBT001 - a flag on the command line
        False, "--version", callback=_show_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Raspberry Pis learn together: readings stay private, the model belongs to nobody."""


# name → (module, model) of a configuration file
FILES = {
    "site": ("protoledger.runtime.site", "SiteConfig"),
    "agent": ("protoledger.edge.config", "AgentConfig"),
    "gateway": ("protoledger.gateway.config", "GatewayConfig"),
}


@app.command()
def schema(
    file: Annotated[str, typer.Argument(help=f"{', '.join(FILES)}; or the path of a site's file.")],
) -> None:
    """Print the JSON Schema of a kind of file, for an editor; or the schema hash of a site's file.

    The hash is that of channels and labels, to which contracts are bound (`--schema-hash`).
    """
    if Path(file).suffix in {".yaml", ".yml"}:
        _print_schema_hash(Path(file))
        return
    if file not in FILES:
        raise typer.BadParameter(
            f"{file!r} is unknown; choose one of {', '.join(FILES)}, or name a site's file.yaml"
        )
    module, name = FILES[file]
    model = getattr(importlib.import_module(module), name)
    typer.echo(json.dumps(model.model_json_schema(), indent=2))


def _print_schema_hash(path: Path) -> None:
    from protoledger.runtime.site import SiteConfig  # noqa: PLC0415 - `--help` need not wait
    from protoledger.runtime.yaml_files import read  # noqa: PLC0415

    site, problems = read(path, SiteConfig, without=("schema_hash",))
    if site is None or problems:
        typer.echo("\n  ".join([f"{path}: {len(problems)} problem(s)", *problems]), err=True)
        sys.exit(Exit.CONFIGURATION)
    typer.echo(f"0x{site.as_schema().digest.hex()}")


def _load(word: str) -> typer.Typer:
    module = PARTS[word][0]
    try:
        part = importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "?").partition(".")[0]
        if importlib.util.find_spec(missing) is not None:
            raise  # an error of ours: no extra would install the missing module
        typer.echo(
            f"protoledger: `{word}` needs the Python package {missing!r}, which is not installed; "
            f"install protoledger[{module.split('.')[1]}]",
            err=True,
        )
        sys.exit(Exit.UNAVAILABLE)
    loaded = part.app
    if not isinstance(loaded, typer.Typer):
        raise TypeError(f"{module}.app is not a Typer application")
    return loaded


def main() -> None:
    """Run the command line."""
    word, *rest = sys.argv[1:] or [""]
    try:
        if word in PARTS:
            _load(word)(args=rest, prog_name=f"protoledger {word}")
            return
        for part, (_, summary) in PARTS.items():
            app.command(part, help=summary)(lambda: None)
        app()
    except KeyboardInterrupt:  # while a part is imported, which takes a second
        sys.exit(Exit.INTERRUPTED)
    except SystemExit as ended:
        if ended.code == _TYPER_USAGE:
            sys.exit(Exit.USAGE)
        raise


if __name__ == "__main__":
    main()
