"""`protoledger dashboard`: shows gateways as a page."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from protoledger.dashboard.server.login import write_password
from protoledger.dashboard.server.settings import MEMORY, Settings
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.exits import Exit
from protoledger.runtime.site import SiteConfig, load

app = typer.Typer(add_completion=False)


@app.command()
def dashboard(
    config: Annotated[
        list[Path] | None,
        typer.Option("--config", "-c", help="A gateway's file; may be repeated."),
    ] = None,
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="TCP port; 0: a free one.")] = 8765,
    certificate: Annotated[
        Path | None, typer.Option(help="Server certificate (PEM), for TLS.")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="Its private key.")] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="Ask for the password whose hash is in this file.")
    ] = None,
    new_password: Annotated[
        Path | None, typer.Option(help="Ask for a password, write this file, and end.")
    ] = None,
) -> None:
    """Show what gateways do and why, as a page in a browser; nothing can be changed there.

    Beyond this machine (--host) it is shown only with TLS and a login.
    """
    if new_password is not None:
        _write_password(new_password)
        return
    if not config:
        fail(Exit.USAGE, "name a gateway's file: --config gateway.yaml")
    try:
        settings = Settings(
            sites=tuple(site_of(path) for path in config or ()),
            host=host,
            port=port,
            certificate=None if certificate is None else str(certificate),
            key=None if key is None else str(key),
            password_file=None if password_file is None else str(password_file),
        )
    except ConfigurationError as error:
        fail(Exit.CONFIGURATION, str(error))
    except ValueError as error:
        fail(Exit.USAGE, str(error))
    # this process has loaded what reads configuration files; the page needs none of it
    command = [sys.executable, "-m", "protoledger.dashboard.server", settings.encode()]
    environment = {**os.environ, **MEMORY}
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own interpreter, no shell


def site_of(path: Path) -> tuple[str, str]:
    """Return the site and the store that a gateway's file names.

    Raises:
        ConfigurationError: the files are not right.
    """
    from protoledger.gateway.config import GatewayConfig  # noqa: PLC0415 - `--help` need not wait

    gateway = load(path, GatewayConfig)
    name = load(gateway.site_file, SiteConfig).site
    return name, str(gateway.store_file.absolute())


def _write_password(path: Path) -> None:
    password = typer.prompt("password", hide_input=True, confirmation_prompt=True)
    try:
        write_password(path, password)
    except ValueError as error:
        fail(Exit.USAGE, str(error))
    except OSError as error:
        fail(Exit.IO, f"{path}: {error.strerror}")
    typer.echo(f"written: {path}; start the page with --password-file {path}")


def fail(code: Exit, text: str, command: str = "dashboard") -> NoReturn:
    """End a command with one line that says why."""
    typer.echo(f"protoledger {command}: {text}", err=True)
    sys.exit(code)
