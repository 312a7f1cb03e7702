"""`protoledger keys`: creates the devices' identities, and signs rosters with the fleet's key."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.identity import Member
from protoledger.runtime.exits import Exit
from protoledger.runtime.identity_files import create_identity, load_identity, write_roster

app = typer.Typer(no_args_is_help=True, help="Create identities and sign the roster.")


def _fail(error: Exception, code: Exit) -> None:
    typer.echo(f"protoledger keys: {error}", err=True)
    sys.exit(code)


@app.command()
def create(path: Annotated[Path, typer.Argument(help="New key file, of mode 0600.")]) -> None:
    """Generate a signing key (of a device or of the fleet) and print its public half."""
    try:
        typer.echo(create_identity(path).public_key.hex())
    except OSError as error:
        _fail(error, Exit.IO)


@app.command()
def show(path: Annotated[Path, typer.Argument(help="A key file.")]) -> None:
    """Print the public half of a key."""
    try:
        typer.echo(load_identity(path).public_key.hex())
    except ConfigurationError as error:
        _fail(error, Exit.CONFIGURATION)


def _member(text: str) -> Member:
    name, _, rest = text.partition("=")
    key, _, channels = rest.partition(":")
    return Member(name, key, tuple(channels.split(",")) if channels else ())


@app.command()
def roster(
    path: Annotated[Path, typer.Argument(help="The roster file to write.")],
    fleet_key: Annotated[Path, typer.Option(help="The fleet's signing key.")],
    site: Annotated[str, typer.Option(help="Name of the site.")],
    gateway: Annotated[str, typer.Option(help="ID=PUBLIC_KEY of the site's gateway.")],
    agent: Annotated[
        list[str], typer.Option(help="ID=PUBLIC_KEY:CHANNEL,CHANNEL of an agent; repeat it.")
    ],
) -> None:
    """Sign the list of a site's devices."""
    try:
        members = tuple(_member(text) for text in agent)
        write_roster(path, site, _member(gateway), members, load_identity(fleet_key))
    except ConfigurationError as error:
        _fail(error, Exit.CONFIGURATION)
    except OSError as error:
        _fail(error, Exit.IO)
    typer.echo(f"{path}: {len(members)} agents of site {site}")
