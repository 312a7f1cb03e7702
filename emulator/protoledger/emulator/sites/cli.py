"""`protoledger site`: a site of one's own in a folder, without Ansible; see docs/by-hand.md."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from protoledger.contracts.errors import ChainUnreachableError, ContractsError, ToolMissingError
from protoledger.emulator.errors import ProgramMissingError
from protoledger.emulator.sites import devices as on_devices
from protoledger.emulator.sites.beginning import Wish, begin_site
from protoledger.emulator.sites.folder import SiteFolder
from protoledger.emulator.sites.kits import (
    OwnSchema,
    kit_names,
    open_schema,
    own_schema,
    parse_channel,
)
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.exits import Exit
from protoledger.runtime.pki.certificates import PkiError
from protoledger.runtime.pki.requests import DeviceRequest

app = typer.Typer(no_args_is_help=True, help="Set up and keep a site of one's own, in a folder.")

Site = Annotated[Path, typer.Option("--site", "-s", help="The site's folder.")]
_HERE = Path()


@contextlib.contextmanager
def _reported() -> Iterator[None]:
    """End with a line on stderr and the exit code that fits the error."""
    os.umask(0o077)
    try:
        yield
    except (ChainUnreachableError, ToolMissingError, ProgramMissingError) as error:
        _fail(error, Exit.UNAVAILABLE)
    except (ConfigurationError, PkiError, ContractsError) as error:
        _fail(error, Exit.CONFIGURATION)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}; nothing is half written", Exit.IO)
    except KeyboardInterrupt:
        _fail("interrupted; run it again to complete it", Exit.INTERRUPTED)


def _fail(error: object, code: Exit) -> None:
    typer.echo(f"protoledger site: {error}", err=True)
    sys.exit(code)


def _tell(lines: list[str]) -> None:
    for line in lines or ["nothing to do"]:
        typer.echo(line)


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="The site's name, and its folder's.")],
    *,
    broker: Annotated[str, typer.Option(help="Host name or address of the broker.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="The broker's port.")] = 8883,
    kit: Annotated[
        list[str], typer.Option(help=f"{', '.join(kit_names())}, or a file; repeat it.")
    ],
    agents: Annotated[int, typer.Option(min=3, max=1000, help="How many agents.")] = 3,
    agent: Annotated[
        list[str] | None, typer.Option(help="An agent's name, instead of numbers; repeat it.")
    ] = None,
    gateway: Annotated[str | None, typer.Option(help="The gateway's name.")] = None,
    chain: Annotated[str, typer.Option(help="The URL of a node's JSON-RPC.")] = "",
    window: Annotated[float, typer.Option(min=0.1, help="Seconds of a window and a round.")] = 10,
    channel: Annotated[
        list[str] | None,
        typer.Option(help="What a kit of yours measures: name:unit:low:high:step; repeat it."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="A class, in the order of its number; repeat it.")
    ] = None,
    schema: Annotated[
        Path | None,
        typer.Option(help="A file with all channels and labels, such as another site.yaml."),
    ] = None,
) -> None:
    """Write the folder of a new site: authority, broker, site file, and a folder per device."""
    names = agent or [f"{name}-{number}" for number in range(1, agents + 1)]
    with _reported():
        own = _own_schema(channel or [], label or [], schema)
        gateway = gateway or f"{name}-gateway"
        folder = begin_site(
            Path(), Wish(name, broker, port, kit, names, gateway, chain, window, own)
        )
        digest = folder.site.as_schema().digest.hex()
    typer.echo(f"{folder.path}: {len(names)} agents, a gateway, a broker; schema 0x{digest}")
    typer.echo(
        f"next, in {folder.path}:\n"
        "  protoledger site request devices/ID     on each device, in its copy of the folder\n"
        "  protoledger site approve FILE …         here, with each device's request.json\n"
        + ("  protoledger site deploy                 the contracts\n" if chain else "")
        + "  protoledger site check                  says what is missing"
    )


def _own_schema(channels: list[str], labels: list[str], file: Path | None) -> OwnSchema:
    if file is None:
        return own_schema([parse_channel(text) for text in channels], labels)
    if channels or labels:
        raise typer.BadParameter("a schema file has all channels and labels: leave the others out")
    return open_schema(file)


@app.command("adopt")
def adopt_emulation(
    kept: Annotated[Path, typer.Argument(help="The folder that `emulate --keep` left.")],
    *,
    name: Annotated[str, typer.Option(help="Which of its sites; the new folder's name.")] = (
        "site-1"
    ),
    broker: Annotated[str, typer.Option(help="Host name or address of the broker.")] = "localhost",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The broker's port.")] = 8883,
) -> None:
    """Continue a site of a kept emulation as a site of one's own."""
    from protoledger.emulator.sites.adopting import adopt  # noqa: PLC0415

    with _reported():
        folder = adopt(kept, name, Path(), broker, port)
        typer.echo(f"{folder.path}: {len(folder.plan.agents)} agents, a gateway, a broker")
        if folder.plan.chain:
            typer.echo(f"its chain is {folder.plan.chain}: `protoledger site chain` runs it again")
        typer.echo("its agents replay recordings until you give them sensors: docs/by-hand.md")


@app.command()
def request(
    folders: Annotated[list[Path], typer.Argument(help="A device's folder.")],
) -> None:
    """On a device: make its keys and the request to hand to the owner."""
    with _reported():
        for folder in folders:
            made = on_devices.request_of(folder)
            typer.echo(f"{folder / 'request.json'}: {made.id}, fingerprint {made.fingerprint}")


@app.command()
def approve(
    files: Annotated[list[Path], typer.Argument(help="A device's request.")],
    *,
    site: Site = _HERE,
    fingerprint: Annotated[
        list[str] | None, typer.Option(help="As the device shows it; approves only these.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask: the files never left this machine.")
    ] = False,
) -> None:
    """Compare fingerprints of requests, and sign the devices' certificates and the roster."""
    with _reported(), SiteFolder.locked(site) as folder:
        checked: list[tuple[DeviceRequest, str]] = []
        problems: list[str] = []
        for file in files:
            try:
                checked.append(on_devices.check_request(folder, file))
            except ConfigurationError as error:
                problems += error.problems
        if problems:
            raise ConfigurationError("\n  ".join(["nothing is approved:", *problems]))
        wanted = [
            asked
            for asked, text in checked
            if _is_wanted(asked, text, _fingerprints(fingerprint), yes=yes)
        ]
        _tell(on_devices.approve(folder, wanted))
        if waiting := folder.waiting:
            typer.echo(f"not approved yet: {', '.join(waiting)}")


def _fingerprints(typed: list[str] | None) -> set[str] | None:
    """Read fingerprints as people type them."""
    return None if typed is None else {text.strip().lower().replace(" ", "-") for text in typed}


def _is_wanted(asked: DeviceRequest, text: str, only: set[str] | None, *, yes: bool) -> bool:
    typer.echo(f"{text}, fingerprint {asked.fingerprint}")
    if only is not None:
        if asked.fingerprint not in only:
            raise ConfigurationError(
                f"{asked.id} has fingerprint {asked.fingerprint}, which is none of those given: "
                f"nothing is approved; was the request changed on its way?"
            )
        return True
    return yes or typer.confirm("  does the device show the same?")


@app.command()
def deploy(
    *,
    site: Site = _HERE,
    chain: Annotated[str, typer.Option(help="The node's URL, if it is another now.")] = "",
    fund: Annotated[float, typer.Option(min=0, help="Ether for the gateway, if it has less.")] = (
        0.05
    ),
) -> None:
    """Put the contracts on the chain, or admit this site's gateway to them."""
    from protoledger.emulator.sites.ledger import deploy as put  # noqa: PLC0415 - loads web3

    with _reported(), SiteFolder.locked(site) as folder:
        _tell(put(folder, chain, fund))


@app.command()
def chain(*, site: Site = _HERE) -> None:
    """Run Anvil at the site's chain address, with its state in the site's folder, until Ctrl-C."""
    from protoledger.emulator.sites.ledger import run_chain  # noqa: PLC0415

    with _reported():
        run_chain(SiteFolder.read(site))


@app.command()
def broker(*, site: Site = _HERE) -> None:
    """Run Mosquitto with the site's certificates and access list, until Ctrl-C."""
    from protoledger.emulator.sites.ledger import run_broker  # noqa: PLC0415

    with _reported():
        run_broker(SiteFolder.read(site))


@app.command()
def check(
    *,
    site: Site = _HERE,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    broker: Annotated[bool, typer.Option(help="Connect to the broker.")] = True,
    chain: Annotated[bool, typer.Option(help="Ask the chain.")] = True,
    wait: Annotated[
        float, typer.Option(min=0, help="Wait so many seconds until a round has completed.")
    ] = 0.0,
) -> None:
    """Look at all of a site, and say what is missing or outdated."""
    from protoledger.emulator.sites.check import check_site  # noqa: PLC0415
    from protoledger.runtime.check.findings import print_report  # noqa: PLC0415

    logging.getLogger().addHandler(logging.NullHandler())  # the report shows every problem
    with _reported():
        items = check_site(site, broker=broker, chain=chain, wait_s=wait)
        code = print_report(items, as_json=as_json)
    sys.exit(code)


@app.command()
def add(
    agents: Annotated[list[str], typer.Argument(help="Name of a new agent.")],
    *,
    kit: Annotated[str, typer.Option(help="Its kit.")],
    site: Site = _HERE,
) -> None:
    """Make folders for further agents."""
    with _reported(), SiteFolder.locked(site) as folder:
        _tell(on_devices.add(folder, agents, kit))
        typer.echo("next: `protoledger site request` on them, `protoledger site approve` here")


@app.command()
def replace(
    device: Annotated[str, typer.Argument(help="The device whose machine or card is lost.")],
    *,
    site: Site = _HERE,
) -> None:
    """Revoke a device's keys and make its folder for another machine."""
    with _reported(), SiteFolder.locked(site) as folder:
        _tell(on_devices.replace(folder, device))
        typer.echo("next: `protoledger site request` on it, `protoledger site approve` here")


@app.command()
def retire(
    device: Annotated[str, typer.Argument(help="The agent.")], *, site: Site = _HERE
) -> None:
    """Remove an agent for good."""
    with _reported(), SiteFolder.locked(site) as folder:
        _tell(on_devices.retire(folder, device))


@app.command()
def renew(
    devices: Annotated[
        list[str] | None, typer.Argument(help="Sign these again in any case.")
    ] = None,
    *,
    site: Site = _HERE,
) -> None:
    """Sign certificates that end soon, and hand out all that has changed."""
    with _reported(), SiteFolder.locked(site) as folder:
        _tell(on_devices.renew(folder, devices or []))
