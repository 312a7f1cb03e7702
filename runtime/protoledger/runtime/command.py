"""The command `protoledger`: one word per part, each loaded only when it is asked for.

An agent on a Pi has the `edge` extra alone, so the command must not import what stands beside it.
"""

import importlib
import importlib.util
import json
import sys
from importlib.metadata import version
from typing import Annotated

import typer

# word → (module with a Typer `app`, the line that --help shows)
PARTS = {
    "emulate": (
        "protoledger.emulator.cli",
        "A whole deployment on this machine: broker, agents, gateways, chain.",
    ),
    "edge": ("protoledger.edge.cli", "The agent on a Pi."),
    "gateway": ("protoledger.gateway.commands.gateway", "A site's gateway."),
    "contracts": ("protoledger.gateway.commands.contracts", "The contracts on the chain."),
    "oracle": (
        "protoledger.gateway.commands.oracle",
        "Outside data on the chain: the reporter, and its owner.",
    ),
    "experiment": (
        "protoledger.experiments.cli",
        "What collaboration is worth: the papers' tables and beyond.",
    ),
    "bench": (
        "protoledger.experiments.benchmarks.cli",
        "Measurements, and comparisons with what others reach.",
    ),
    "keys": ("protoledger.runtime.keys", "Identities and the signed roster."),
}

_TYPERS_USAGE, _USAGE = 2, 64  # what typer ends with for a wrong option, and what we do

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
    file: Annotated[str, typer.Argument(help=f"Which file: {', '.join(FILES)}.")],
) -> None:
    """Print the JSON Schema of a configuration file, for an editor to check and complete it."""
    if file not in FILES:
        raise typer.BadParameter(f"{file!r} is none of {', '.join(FILES)}")
    module, name = FILES[file]
    model = getattr(importlib.import_module(module), name)
    typer.echo(json.dumps(model.model_json_schema(), indent=2))


def _load(word: str) -> typer.Typer:
    module = PARTS[word][0]
    try:
        part = importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "?").partition(".")[0]
        if importlib.util.find_spec(missing) is not None:
            raise  # ours and broken, not a library that an extra would bring
        sys.exit(
            f"protoledger: `{word}` needs the Python package {missing!r}, which is not installed; "
            f"install protoledger[{module.split('.')[1]}]"
        )
    loaded = part.app
    if not isinstance(loaded, typer.Typer):
        raise TypeError(f"{module}.app is no Typer application")
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
    except SystemExit as ended:
        if ended.code == _TYPERS_USAGE:
            sys.exit(_USAGE)
        raise


if __name__ == "__main__":
    main()
