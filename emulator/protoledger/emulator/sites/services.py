"""`protoledger service`: lets systemd run an agent or a gateway from a device's folder."""

import pwd
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.exits import Exit
from protoledger.runtime.site import load
from protoledger.runtime.systemd.units import Kind, StateInFolder, unit_text

app = typer.Typer(no_args_is_help=True, help="Run an agent or a gateway as a systemd service.")
UNITS = Path("/etc/systemd/system")
_HOMES = ("/home/", "/root/", "/run/user/")


@app.callback()
def _service() -> None:
    """Make typer keep the command's name although there is only one."""


@app.command()
def install(
    kind: Annotated[str, typer.Argument(help="edge or gateway.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="The device's file.")],
    *,
    show: Annotated[
        bool, typer.Option("--print", help="Print the unit and change nothing.")
    ] = False,
) -> None:
    """Write the unit, enable it and start it; it runs as the owner of the device's folder."""
    if kind not in {"edge", "gateway"}:
        raise typer.BadParameter(f"{kind!r} is unknown; choose edge or gateway")
    try:
        text = unit_for("edge" if kind == "edge" else "gateway", config)
        if show:
            typer.echo(text, nl=False)
            return
        _install(f"protoledger-{kind}.service", text)
    except (ConfigurationError, ValueError) as error:
        _fail(error, Exit.CONFIGURATION)
    except PermissionError as error:
        _fail(f"{error.filename}: {error.strerror}; run it with sudo, or --print", Exit.IO)
    except FileNotFoundError as error:
        _fail(f"{error.filename} is missing: is this a system with systemd?", Exit.UNAVAILABLE)
    except OSError as error:
        _fail(error, Exit.IO)
    except subprocess.CalledProcessError as error:
        _fail(f"`{' '.join(error.cmd)}` failed, see above", Exit.UNAVAILABLE)


def _fail(error: object, code: Exit) -> None:
    typer.echo(f"protoledger service: {error}", err=True)
    sys.exit(code)


def unit_for(kind: Kind, config: Path) -> str:
    """Write the unit of a device whose folder holds `config`.

    Raises:
        ConfigurationError: the device's file is wrong; names every error.
        ValueError: a path cannot stand in a unit.
    """
    devices: list[str] = []
    groups: list[str] = []
    if kind == "edge":
        from protoledger.edge.config import AgentConfig  # noqa: PLC0415 - a gateway has no sensors
        from protoledger.sensors.needs import join  # noqa: PLC0415
        from protoledger.sensors.registry import needs  # noqa: PLC0415

        agent = load(config, AgentConfig)
        device = agent.id
        wanted = [(each.driver, each.options) for each in agent.sensors]
        wanted += [(each.driver, each.options) for each in agent.inputs]
        if agent.label is not None:
            wanted.append((agent.label.driver, agent.label.options))
        joined = join([needs(*each) for each in wanted])
        devices, groups = list(joined.devices), list(joined.groups)
    else:
        from protoledger.gateway.config import GatewayConfig  # noqa: PLC0415 - not on an agent's Pi

        device = load(config, GatewayConfig).id
    folder = config.absolute().parent.resolve()
    command = Path(sys.executable).parent / "protoledger"
    prefixes = _outermost({sys.prefix, sys.base_prefix, *_code()})
    state = StateInFolder(
        pwd.getpwuid(folder.stat().st_uid).pw_name,
        str(folder),
        [path for path in prefixes if path.startswith(_HOMES)],
    )
    return unit_text(
        kind,
        device,
        state,
        command=str(command),
        config=str(folder / config.name),
        devices=devices,
        groups=groups,
    )


def _code() -> set[str]:
    """Name the folders of this program, which an editable installation has elsewhere."""
    return {str(Path(entry).resolve()) for entry in sys.path if entry and Path(entry).is_dir()}


def _outermost(paths: set[str]) -> list[str]:
    """Leave out folders that lie in others."""
    return [one for one in sorted(paths) if not any(one.startswith(p + "/") for p in paths)]


def _install(name: str, text: str) -> None:
    path, draft = UNITS / name, UNITS / f".{name}.new"
    if not UNITS.is_dir():
        raise FileNotFoundError(2, "there is no such folder", str(UNITS))
    draft.write_text(text, encoding="utf-8")
    draft.chmod(0o644)
    draft.replace(path)
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "enable", name], check=True)
    subprocess.run(["systemctl", "restart", name], check=True)  # a running one takes up the unit
    typer.echo(f"{path}: installed, enabled and started; see `systemctl status {name}`")
