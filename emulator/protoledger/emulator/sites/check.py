"""`protoledger site check`: looks at all of a site, on the owner's machine.

It checks what the owner holds and hands out. A device that keeps its keys elsewhere is checked
there, by `edge check` and `gateway check`, which this uses for devices whose keys are here.
"""

import stat
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from protoledger.edge.check.agent_files import read_agent_files
from protoledger.edge.config import AgentConfig
from protoledger.emulator.sites.beginning import check_clock
from protoledger.emulator.sites.folder import SiteFolder
from protoledger.emulator.sites.publish import broker_files, stale_copies
from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.operations.chain import check_chain
from protoledger.gateway.operations.gateway_files import read_gateway_files
from protoledger.gateway.operations.report import check_broker_of, check_progress
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.check.broker import Client
from protoledger.runtime.check.findings import CheckResult, Item, failed, note, ok, skipped
from protoledger.runtime.identity_files import load_roster
from protoledger.runtime.pki.certificates import Authority, PkiError, days_left
from protoledger.runtime.pki.owner import signed_roster
from protoledger.runtime.site import CredentialsConfig, SiteConfig
from protoledger.runtime.yaml_files import read

RENEW = "run: protoledger site renew, and copy what it names to its device"
SOON_DAYS = 30
SYNTHETIC = {"replay", "mock"}
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check_site(path: Path, *, broker: bool, chain: bool, wait_s: float) -> Iterator[Item]:
    """Check a site's folder.

    Args:
        path: the folder.
        broker: whether to connect to the broker.
        chain: whether to ask the chain's node.
        wait_s: how long to wait until the gateway has completed a round; 0: do not look.
    """
    try:
        folder = SiteFolder.read(path)
    except ConfigurationError as error:
        yield failed("folder", str(error), "see docs/by-hand.md")
        return
    yield _secrets(folder)
    yield (authority := _authority(folder))
    site, problems = read(folder.site_file, SiteConfig)
    if site is None or problems:
        text = "\n".join([f"{folder.site_file}:", *problems])
        yield failed("site file", text, "correct these lines; each says how")
        return
    digest = site.as_schema().digest.hex()
    known = "" if site.schema_hash else "; not in the file: add `schema_hash`"
    yield ok("site file", f"{site.site}: {len(site.channels)} channels, schema 0x{digest}{known}")
    if authority.result is CheckResult.FAILED:
        yield skipped("all else", "the authority must be right first")
        return
    yield _roster(folder, site)
    for device in folder.plan.devices:
        yield _device(folder, device)
    if wait_s:  # first: once the gateway is connected, nothing else may connect in its name
        yield check_progress(_store(folder), wait_s)
    yield from _broker(folder, site, connect=broker)
    yield from _chain(folder, site, ask=chain)


def _store(folder: SiteFolder) -> Path:
    return folder.device(folder.plan.gateway) / "gateway.db"


def _secrets(folder: SiteFolder) -> Item:
    """Look for secrets that others can read, and for the owner's in folders that are handed out."""
    name = "secrets"
    private = [p for p in folder.path.rglob("*") if p.suffix == ".key" or p == folder.owner]
    opened = [p for p in [folder.path, *private] if stat.S_IMODE(p.stat().st_mode) & OTHERS]
    if opened:
        listed = ", ".join(str(p) for p in opened)
        return failed(name, f"others can read {listed}", "run: chmod -R go= " + str(folder.path))
    owned = [folder.owner / "pki" / "ca.key", folder.owner / "fleet.key"]
    owned.append(folder.owner / "chain" / "owner.key")
    secrets = {path.read_bytes().strip(): path for path in owned if path.exists()}
    for place in (folder.path / "devices", folder.broker):
        for file in place.rglob("*"):
            small = file.is_file() and file.stat().st_size < 10_000
            if small and file.read_bytes().strip() in secrets:
                return failed(
                    name,
                    f"{file} is the owner's secret {secrets[file.read_bytes().strip()]}",
                    "remove it; if the folder has left this machine, make a new site",
                )
    return ok(name, f"{len(private)} private files, readable by their owner only")


def _authority(folder: SiteFolder) -> Item:
    try:
        authority = Authority(folder.owner / "pki")
        revoked = len(authority.revoked())
    except (PkiError, ValueError) as error:
        return failed("authority", str(error), f"restore {folder.owner} from a backup")
    try:
        check_clock(authority)
    except ConfigurationError as error:
        return failed("authority", str(error), "until then no device is let in")
    left = days_left(authority.certificate)
    if left < 0:
        return failed("authority", f"ended {-left:.0f} days ago", "set the clock, or begin again")
    if left < SOON_DAYS:
        return note("authority", f"{left:.0f} days left", "begin a new site before that")
    return ok("authority", f"{left:.0f} days left, {revoked} certificates revoked")


def _roster(folder: SiteFolder, site: SiteConfig) -> Item:
    waiting = folder.waiting
    if not folder.roster_file.exists():
        return failed(
            "roster",
            f"there is none yet; it waits for {', '.join(waiting) or 'a valid site file'}",
            "on each device: protoledger site request; then here: protoledger site approve FILE",
        )
    try:
        roster = load_roster(folder.roster_file, bytes.fromhex(site.fleet_key))
        site.terms(roster)
        now = signed_roster(folder.owner, site, folder.plan.gateway, folder.approved)
    except ConfigurationError as error:
        return failed("roster", str(error), RENEW)
    if now != folder.roster_file.read_text():
        return failed("roster", "it is not the one that the approved devices have", RENEW)
    text = f"{len(roster.agents)} agents, signed; its hash begins with {roster.digest.hex()[:8]}"
    if waiting:
        return note("roster", f"{text}; not approved yet: {', '.join(waiting)}")
    return ok("roster", text)


def _device(folder: SiteFolder, device: str) -> Item:
    if not folder.public_half(device).exists():
        how = f"there: protoledger site request; here: protoledger site approve {device}'s file"
        return note(device, "has not been approved", how)
    if not (kept := folder.handed_in(device)).exists():
        how = f"restore it from a backup, or run: protoledger site replace {device}"
        return failed(device, f"{kept}, from which its certificate is renewed, is missing", how)
    problems = [f"{name} is missing or outdated" for name in stale_copies(folder, device)]
    authority = Authority(folder.owner / "pki")
    issued = authority.issued(device)
    if issued is None:
        problems.append("there is no certificate")
        return failed(device, "\n".join(problems), RENEW)
    problems += _certificate_problems(authority, issued)
    if problems:
        return failed(device, "\n".join(problems), RENEW)
    left = f"certificate has {days_left(issued):.0f} days left"
    if not (folder.device(device) / "identity.key").exists():
        return ok(device, f"{left}; its keys are on the device, check it there")
    return _device_files(
        folder.config(device), device, left, is_gateway=device == folder.plan.gateway
    )


def _device_files(path: Path, device: str, left: str, *, is_gateway: bool) -> Item:
    text = read_gateway_files(path).text if is_gateway else read_agent_files(path).text
    if text:
        return failed(device, text, "correct these lines; each says how")
    if not is_gateway and (made_up := _made_up(path)):
        found = f"{left}, files are up to date\nno real sensor gives {', '.join(made_up)}"
        return note(
            device, found, f"give {path} sensors: docs/by-hand.md, From recordings to sensors"
        )
    return ok(device, f"{left}, files are up to date")


def _made_up(path: Path) -> list[str]:
    """Name what an agent reads from recordings, as adopted ones do, or makes up."""
    config, _ = read(path, AgentConfig)
    if config is None:
        return []
    found = [sensor.channel for sensor in config.sensors if sensor.driver in SYNTHETIC]
    label = config.label is not None and config.label.driver in SYNTHETIC
    return [*found, "the label"] if label else found


def _certificate_problems(authority: Authority, issued: x509.Certificate) -> Iterator[str]:
    left = days_left(issued)
    if issued.serial_number in authority.revoked():
        yield "its certificate is revoked"
    if left < SOON_DAYS:
        yield f"its certificate has {left:.0f} days left"
    try:
        issued.verify_directly_issued_by(authority.certificate)
    except Exception as error:  # noqa: BLE001 - cryptography raises several kinds
        yield f"its certificate is not of this authority: {type(error).__name__}"


def _broker(folder: SiteFolder, site: SiteConfig, *, connect: bool) -> Iterator[Item]:
    authority = Authority(folder.owner / "pki")
    try:
        wanted = broker_files(folder, authority, site)
    except ConfigurationError as error:
        yield failed("broker's files", str(error), RENEW)
        return
    stale = [
        name
        for name, data in wanted
        if not (folder.broker / name).exists() or (folder.broker / name).read_bytes() != data
    ]
    issued = authority.issued("broker")
    problems = [f"{name} is missing or outdated" for name in stale]
    problems += ["there is no certificate"] if issued is None else []
    problems += list(_certificate_problems(authority, issued)) if issued is not None else []
    if (site.broker.host, site.broker.port) != (folder.plan.broker, folder.plan.port):
        problems.append(
            f"site.yaml names {site.broker.host}:{site.broker.port}, the certificate is for "
            f"{folder.plan.broker}:{folder.plan.port}"
        )
    if problems:
        yield failed("broker's files", "\n".join(problems), RENEW)
    else:
        assert issued is not None  # noqa: S101 - otherwise there is a problem
        yield ok("broker's files", f"certificate has {days_left(issued):.0f} days left")
    device = folder.device(folder.plan.gateway)
    keys = [device / "tls.key", device / "tls.crt"]
    if not connect or not all(key.exists() for key in keys):
        yield skipped("broker", "not asked for" if not connect else "the gateway's key is not here")
        return
    agents = folder.plan.agents
    mine, _ = read(device / "site.yaml", SiteConfig)  # its paths lead to files beside it
    if mine is None:
        yield skipped("broker", "the gateway's copy of the site file must be right first")
        return
    me = Client(site.site, folder.plan.gateway, agents[0] if agents else "x", is_agent=False)
    shown = CredentialsConfig(certificate_file=keys[1], key_file=keys[0])
    yield from check_broker_of(_store(folder), mine.broker, shown, me)


def _chain(folder: SiteFolder, site: SiteConfig, *, ask: bool) -> Iterator[Item]:
    path = folder.config(folder.plan.gateway)
    config, problems = read(path, GatewayConfig)
    if config is None or problems:
        yield failed("chain", "\n".join([f"{path}:", *problems]), "correct these lines")
    elif config.ledger is None and folder.plan.chain:
        yield failed("chain", "no contracts are deployed yet", "run: protoledger site deploy")
    elif config.ledger is None:
        yield ok("chain", "none is configured: the site learns on its own")
    elif not ask or not config.ledger.key_file.exists():
        yield skipped("chain", "not asked for" if not ask else "the gateway's key is not here")
    else:
        yield from check_chain(config.ledger, config.store_file, site.as_schema())
