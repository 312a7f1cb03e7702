"""Writes what follows from a site's file and its approved devices: roster, access list, copies.

Doing it twice changes nothing, and a run that was interrupted is completed by the next one.
"""

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from protoledger.emulator.sites.folder import SiteFolder
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.identity import Member, Roster
from protoledger.protocol.wire.terms import Terms
from protoledger.runtime.broker.access_list import acl_text
from protoledger.runtime.broker.limits import limits_of
from protoledger.runtime.broker.mosquitto import configuration
from protoledger.runtime.identity_files import load_identity, load_roster
from protoledger.runtime.key_files import write_secret
from protoledger.runtime.pki.certificates import Authority
from protoledger.runtime.pki.owner import FLEET_KEY, signed_roster
from protoledger.runtime.site import SiteConfig

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
BROKER = "broker"
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_LONGEST_HOST = 253
INSTALLED = "/etc/mosquitto/protoledger"
"""Where `service.conf` expects the broker's folder."""


def planned_terms(site: SiteConfig, gateway: str, kits: Sequence[Member]) -> Terms:
    """Derive the terms of rounds before there is a roster.

    Raises:
        ConfigurationError: names every setting that so many agents of such kits do not fit.
    """
    return site.terms(Roster(site.site, Member(gateway, "0" * 64), tuple(kits), bytes(32)))


def broker_names(host: str) -> list[str]:
    """Name what the broker's certificate must be valid for."""
    return list(LOOPBACK_NAMES) if host in LOOPBACK_NAMES else [host]


def host_problem(host: str) -> str:
    """Say why a broker cannot have this name; empty if it can.

    >>> host_problem("hub.local:8884")
    "'hub.local:8884' has a port, which is an option or a key of its own"
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        scoped = isinstance(address, ipaddress.IPv6Address) and address.scope_id
        fit = not scoped and not address.is_unspecified and not address.is_multicast
        return "" if fit else f"{host!r} is no address that a certificate can name"
    if host.count(":") == 1 and host.partition(":")[2].isdigit():
        return f"{host!r} has a port, which is an option or a key of its own"
    labels = host.split(".")
    if len(host) > _LONGEST_HOST or labels[-1].isdigit() or not all(map(_LABEL.fullmatch, labels)):
        return (
            f"{host[:60]!r} is no host name or address; a name has ASCII letters, digits, . and -"
        )
    return ""


def publish(folder: SiteFolder) -> list[str]:
    """Write what is missing or outdated; returns what was written, one line each.

    Raises:
        ConfigurationError: if devices would refuse what is signed here, because the site's file
            has another fleet key; nothing is written then.
    """
    site, told = folder.site, []
    own = load_identity(folder.owner / FLEET_KEY).public_key.hex()
    if site.fleet_key != own:
        raise ConfigurationError(
            f"{folder.site_file}: fleet_key is not that of {folder.owner / FLEET_KEY}, which signs "
            f"the roster; write fleet_key: '{own}'"
        )
    if folder.plan.gateway not in folder.waiting:
        try:
            text = signed_roster(folder.owner, site, folder.plan.gateway, folder.approved)
            if _put(folder.roster_file, text.encode()):
                told.append(f"signed the roster: {len(folder.approved)} agents")
        except ConfigurationError as error:
            told.append(f"no new roster yet: {error}")
    authority = Authority(folder.owner / "pki")
    for device in folder.plan.devices:
        changed = [name for name, data in _copies(folder, authority, device) if
                   _put(folder.device(device) / name, data)]  # fmt: skip
        if changed:
            told.append(f"{folder.device(device).relative_to(folder.path)}: {', '.join(changed)}")
    changed = [name for name, data in broker_files(folder, authority, site) if
               _put(folder.broker / name, data)]  # fmt: skip
    if changed:
        told.append(f"broker: {', '.join(changed)}")
    return told


def _copies(folder: SiteFolder, authority: Authority, device: str) -> list[tuple[str, bytes]]:
    """List a device's files that are copies or certificates; what does not exist is left out."""
    issued = authority.issued(device) if folder.public_half(device).exists() else None
    found = [("site.yaml", folder.site_file), ("roster.json", folder.roster_file)]
    files = [(name, path.read_bytes()) for name, path in found if path.exists()]
    files.append(("ca.crt", (authority.folder / "ca.crt").read_bytes()))
    if issued is not None:
        files.append(("tls.crt", issued.public_bytes(Encoding.PEM)))
    return files


def stale_copies(folder: SiteFolder, device: str) -> list[str]:
    """Name the copies in a device's folder that are missing or outdated."""
    wanted = _copies(folder, Authority(folder.owner / "pki"), device)
    return [name for name, data in wanted if not _is(folder.device(device) / name, data)]


def broker_files(
    folder: SiteFolder, authority: Authority, site: SiteConfig
) -> list[tuple[str, bytes]]:
    """List the broker's files that follow from others, by name, with their content."""
    plan = folder.plan
    files = [(name, (authority.folder / name).read_bytes()) for name in ("ca.crt", "crl.pem")]
    files.append(("acl", acl_text(site.site, plan.gateway, plan.agents).encode()))
    issued = authority.issued(BROKER)
    if issued is not None:
        files.append(("tls.crt", issued.public_bytes(Encoding.PEM)))
    if folder.roster_file.exists():
        terms = site.terms(load_roster(folder.roster_file, bytes.fromhex(site.fleet_key)))
        files += broker_configurations(plan.broker, plan.port, terms)
    return files


def broker_configurations(host: str, port: int, terms: Terms) -> list[tuple[str, bytes]]:
    """Write Mosquitto's configuration, to start it in the site's folder, and for its service."""
    listener = f"{port} localhost" if host in LOOPBACK_NAMES else str(port)

    def text(base: str, *, service: bool = False) -> bytes:
        return configuration(
            listener,
            limits_of(terms),
            authority=f"{base}/ca.crt",
            certificate=f"{base}/tls.crt",
            key=f"{base}/tls.key",
            acl=f"{base}/acl",
            revoked=f"{base}/crl.pem",
            service=service,
        ).encode()

    here = "# for `protoledger site broker`, which starts Mosquitto in the site's folder\n"
    service = f"# for /etc/mosquitto/conf.d/, with this folder copied to {INSTALLED}\n"
    return [
        ("mosquitto.conf", here.encode() + text("broker")),
        ("service.conf", service.encode() + text(INSTALLED, service=True)),
    ]


def _is(path: Path, data: bytes) -> bool:
    return path.exists() and path.read_bytes() == data


def _put(path: Path, data: bytes) -> bool:
    """Write a file unless it is there already; returns whether it was written."""
    if _is(path, data):
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_secret(path, data, replace=True)
    return True
