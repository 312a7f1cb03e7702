"""Ansible filters that give playbooks access to functions of protoledger."""

import hashlib
import ipaddress
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError
from eth_hash.auto import keccak

from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.topics import ROOT
from protoledger.runtime.broker.access_list import NameRefusedError, acl_text
from protoledger.runtime.broker.limits import BrokerLimits, joined, limits_of
from protoledger.runtime.broker.mosquitto import configuration
from protoledger.runtime.site import SiteConfig
from protoledger.runtime.systemd.units import StateOfSystem, unit_text
from protoledger.sensors import Needs, SensorError
from protoledger.sensors.needs import join
from protoledger.sensors.registry import needs as needs_of


def chain_address(point: str) -> str:
    """Give the account of a public point (128 hexadecimal digits); empty for an empty point."""
    return "0x" + keccak(bytes.fromhex(point))[12:].hex() if point else ""


def access_list(sites: Mapping[str, Mapping[str, Any]], extra: str = "") -> str:
    """Write the broker's access list from `site → {gateway, agents}`, and `extra` lines.

    Extra lines must begin with a user's, or they would give rights to the user before them.
    """
    first = next((line for line in extra.splitlines() if line.strip()), "user -")
    if not first.startswith("user "):
        raise AnsibleFilterError(
            f"broker_extra_access: begins with {first!r}; its first line must be `user NAME`"
        )
    try:
        parts = [acl_text(site, d["gateway"], d["agents"]) for site, d in sorted(sites.items())]
    except NameRefusedError as error:
        raise AnsibleFilterError(str(error)) from error
    # for retire.yml, which clears a device's retained messages with a short-lived certificate
    administrator = ["user protoledger-administrator"]
    for kind in ("presence", "key"):
        administrator += [f"topic readwrite {ROOT}/{site}/{kind}/+" for site in sorted(sites)]
    return "\n".join([*parts, *administrator, "", *([extra.strip(), ""] if extra.strip() else [])])


def broker_limits(
    sites: Mapping[str, Mapping[str, Any]],
    members: Mapping[str, Mapping[str, Any]],
    channels: list[Mapping[str, Any]],
    labels: list[str],
) -> dict[str, int]:
    """Give what the broker allows each client: as much as the sites' rounds need, and no more.

    Args:
        sites: the inventory's `fleet_sites`.
        members: `site → {gateway, agents}`.
        channels: the inventory's `fleet_channels`.
        labels: the inventory's `fleet_labels`.
    """
    found = []
    for name, content in sorted(_plain(sites).items()):
        whole = {
            **content,
            "site": name,
            "fleet_key": "0" * 64,  # of no consequence for sizes, and perhaps not made yet
            "channels": _plain(channels),
            "labels": _plain(labels),
            "broker": {"ca_file": "ca.crt", **content.get("broker", {})},
        }
        try:
            site = SiteConfig.model_validate(whole)
            found.append(limits_of(site.terms_of(len(members[name]["agents"]))))
        except (ConfigurationError, ValueError) as error:
            raise AnsibleFilterError(f"fleet_sites.{name}: {error}") from error
    return asdict(joined(found))


def _plain(value: Any) -> Any:
    """Copy a variable of the inventory.

    Ansible hands out lists and dictionaries whose items are templated when they are looked at, and
    only from Python: pydantic's validators, which are not, see placeholders instead.
    """
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in value}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def broker_configuration(folder: str, port: int, limits: Mapping[str, int]) -> str:
    """Write the file that Mosquitto's service includes, as `protoledger site` does.

    Args:
        folder: with its key, certificates and access list.
        port: of its listener.
        limits: as `broker_limits` gives them.
    """
    return configuration(
        str(port),
        BrokerLimits(**{name: int(number) for name, number in limits.items()}),
        authority=f"{folder}/ca.crt",
        certificate=f"{folder}/tls.crt",
        key=f"{folder}/tls.key",
        acl=f"{folder}/acl",
        revoked=f"{folder}/crl.pem",
        service=True,
    )


def members(
    site: str, groups: Mapping[str, list[str]], hostvars: Mapping[str, Any], folder: str
) -> dict[str, Any]:
    """Name a site's gateway and agents, without those that were retired."""
    retired = {path.stem for path in (Path(folder).expanduser() / "retired").glob("*.json")}

    def of(group: str) -> list[str]:
        return [
            host
            for host in sorted(groups.get(group, []))
            if hostvars[host].get("fleet_site") == site and host not in retired
        ]

    gateways = of("gateways")
    if len(gateways) != 1:
        found = ", ".join(gateways) or "none"
        raise AnsibleFilterError(f"site {site} needs one host of the group gateways, has {found}")
    return {"gateway": gateways[0], "agents": of("agents")}


def addresses(names: list[str]) -> list[str]:
    """Resolve host names here, on the controller; sorted addresses and networks, each once.

    >>> addresses(["192.0.2.7", "10.0.0.0/8", "192.0.2.7"])
    ['10.0.0.0/8', '192.0.2.7']
    """
    found: set[str] = set()
    for name in names:
        try:
            found.add(str(ipaddress.ip_network(name, strict=False) if "/" in name
                          else ipaddress.ip_address(name)))  # fmt: skip
            continue
        except ValueError:
            pass
        try:
            found |= {str(info[4][0]) for info in socket.getaddrinfo(name, None)}
        except OSError as error:
            raise AnsibleFilterError(
                f"{name!r} cannot be resolved ({error}), and the firewall needs its address; "
                f"set ansible_host to it"
            ) from error
    return sorted(found)


def accounts(gateways: list[str], folder: str) -> list[str]:
    """Give the known chain accounts of the gateways, without retired ones."""
    base = Path(folder).expanduser()
    files = [base / "devices" / f"{gateway}.json" for gateway in gateways]
    told = [json.loads(file.read_text()) for file in files if file.exists()]
    return [
        device["chain"]
        for device in told
        if not (base / "retired" / f"{device['id']}.json").exists()
    ]


def known(agents: list[str], folder: str) -> list[str]:
    """Leave out agents whose public keys the controller has not received yet."""
    devices = Path(folder).expanduser() / "devices"
    return [agent for agent in agents if (devices / f"{agent}.json").exists()]


def needs(
    sensors: list[Mapping[str, Any]], extra: Mapping[str, list[str]] | None = None
) -> dict[str, list[str]]:
    """Give what the drivers of an agent's sensors declare to need of the Pi, and `extra`.

    >>> needs([{"driver": "mcp3008", "options": {"channel": 0}}])["devices"]
    ['char-gpiochip', 'char-spi']
    """
    known = [field.name for field in fields(Needs)]
    if unknown := sorted(set(extra or {}) - set(known)):
        raise AnsibleFilterError(
            f"fleet_extra_needs.{unknown[0]}: unknown key; there are {', '.join(known)}"
        )
    try:
        declared = [needs_of(one["driver"], _plain(one.get("options") or {})) for one in sensors]
    except SensorError as error:
        raise AnsibleFilterError(
            f"{error}; a driver of another package must be installed on the controller too"
        ) from error
    added = Needs(**{key: tuple(entries) for key, entries in (extra or {}).items()})
    joined = join([*declared, added])
    return {name: list(getattr(joined, name)) for name in known}


def service_unit(
    kind: str,
    device: str,
    options: Mapping[str, Any],
) -> str:
    """Write the systemd unit of an agent (`edge`) or a gateway, as `protoledger service` does.

    Args:
        kind: edge or gateway.
        device: its id.
        options: `opt`, `etc` and `private` folders, `file`, `keys`, `needs`, `watchdog_s`.
    """
    declared = options.get("needs") or {}
    keys = {name: f"{options['private']}/{name}" for name in options["keys"]}
    try:
        return unit_text(
            "edge" if kind == "edge" else "gateway",
            device,
            StateOfSystem(keys),
            command=f"{options['opt']}/current/bin/protoledger",
            config=f"{options['etc']}/{options['file']}",
            devices=declared.get("devices", []),
            groups=declared.get("groups", []),
            watchdog_s=int(options["watchdog_s"]),
        )
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


def service_files(value: Any, names: list[str], folder: str) -> Any:
    """Let options that name a file (`…_file`) name it where the service finds its credentials.

    >>> service_files({"password_file": "home-password"}, ["home-password"], "/run/x")
    {'password_file': '/run/x/home-password'}
    """
    if strange := [name for name in names if "/" in name or name in {"identity.key", "tls.key"}]:
        raise AnsibleFilterError(f"edge_files: {strange[0]!r} cannot be a file's name there")
    if isinstance(value, list):
        return [service_files(item, names, folder) for item in value]
    if not isinstance(value, Mapping):
        return value
    changed = {}
    for key, item in value.items():
        if not str(key).endswith("_file") or not isinstance(item, str) or item.startswith("/"):
            changed[key] = service_files(item, names, folder)
        elif item in names:
            changed[key] = f"{folder}/{item}"
        else:
            raise AnsibleFilterError(
                f"{key}: {item}: no such file is handed out; add its content to edge_files, "
                f"from a vault if it is secret"
            )
    return changed


def wifi_key(passphrase: str, ssid: str) -> str:
    """Derive WPA's 256-bit key, in 64 hexadecimal digits, from a passphrase.

    >>> wifi_key("password", "IEEE")[:16]  # a vector of IEEE 802.11, annex J
    'f42c6fc52df0ebef'
    """
    return hashlib.pbkdf2_hmac("sha1", passphrase.encode(), ssid.encode(), 4096, 32).hex()


class FilterModule:
    """The filters, as Ansible looks for them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give each by its name."""
        return {
            "chain_address": chain_address,
            "access_list": access_list,
            "broker_configuration": broker_configuration,
            "broker_limits": broker_limits,
            "fleet_members": members,
            "fleet_accounts": accounts,
            "fleet_addresses": addresses,
            "fleet_known": known,
            "fleet_needs": needs,
            "service_files": service_files,
            "service_unit": service_unit,
            "wifi_key": wifi_key,
        }
