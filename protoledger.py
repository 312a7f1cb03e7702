"""The command `protoledger`: one word per part, each loaded only when it is asked for.

An agent on a Pi has the `edge` extra alone, so the command must not import what stands beside it.
"""

import importlib
import sys
from importlib.metadata import version

import click
import typer
from typer.core import TyperGroup

# name → (module that holds a Typer `app`, the line that --help shows)
PARTS = {
    "emulate": ("emulator.cli", "A whole deployment on this machine: broker, agents, gateways, chain."),
    "edge": ("edge.cli", "The agent on a Pi: run, check, read."),
    "gateway": ("gateway.cli", "A site's gateway: run, check, predict."),
    "contracts": ("contracts.cli", "The contracts on the chain: deploy, grant, revoke, show."),
    "keys": ("protocol.cli", "Identities and the signed roster."),
}


class _LazyGroup(TyperGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *PARTS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in PARTS:
            return super().get_command(ctx, cmd_name)
        module, summary = PARTS[cmd_name]
        if {"--help", "-h"} & set(sys.argv[1:2]):
            return click.Command(cmd_name, help=summary)  # listing the parts must not load them
        try:
            part = importlib.import_module(module)
        except ModuleNotFoundError as error:
            extra = module.partition(".")[0]
            raise click.ClickException(
                f"`{cmd_name}` needs the Python package {error.name!r}, which is not installed; "
                f"install protoledger[{extra}]",
            ) from error
        return typer.main.get_command(part.app)


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
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


def main() -> None:
    """Run the command line."""
    app()
