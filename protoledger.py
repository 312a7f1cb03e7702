"""The command `protoledger`: one word per part, each loaded only when it is asked for.

An agent on a Pi has the `edge` extra alone, so the command must not import what stands beside it.
"""

import importlib
import importlib.util
import sys
from importlib.metadata import version

import typer

# word → (module with a Typer `app`, the line that --help shows)
PARTS = {
    "emulate": (
        "emulator.cli",
        "A whole deployment on this machine: broker, agents, gateways, chain.",
    ),
    "edge": ("edge.cli", "The agent on a Pi."),
    "gateway": ("gateway.cli", "A site's gateway."),
    "contracts": ("contracts.cli", "The contracts on the chain."),
    "keys": ("protocol.cli", "Identities and the signed roster."),
}

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
            f"install protoledger[{module.partition('.')[0]}]"
        )
    loaded = part.app
    if not isinstance(loaded, typer.Typer):
        raise TypeError(f"{module}.app is no Typer application")
    return loaded


def main() -> None:
    """Run the command line."""
    word, *rest = sys.argv[1:] or [""]
    if word in PARTS:
        _load(word)(args=rest, prog_name=f"protoledger {word}")
        return
    for part, (_, summary) in PARTS.items():
        app.command(part, help=summary)(lambda: None)
    app()


if __name__ == "__main__":
    main()
