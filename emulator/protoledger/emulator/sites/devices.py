"""Devices of a site: their requests, their approval, and what may happen to them afterwards."""

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import yaml

from protoledger.edge.config import AgentConfig
from protoledger.emulator.sites.beginning import (
    DEVICE_DAYS,
    check_clock,
    check_names,
    dump,
    gateway_content,
    sign_broker,
)
from protoledger.emulator.sites.folder import SiteFolder
from protoledger.emulator.sites.kits import open_kit
from protoledger.emulator.sites.publish import BROKER, broker_names, host_problem, publish
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.identity import Member
from protoledger.runtime.key_files import write_secret
from protoledger.runtime.pki.certificates import Authority, why_sign
from protoledger.runtime.pki.owner import signed_roster
from protoledger.runtime.pki.requests import DeviceRequest, make_request, read_request
from protoledger.runtime.yaml_files import read

RENEW_DAYS = 30.0


def request_of(folder: Path) -> DeviceRequest:
    """Make the keys and the request of the device whose folder this is.

    Raises:
        ConfigurationError: if it is not the folder of a device.
    """
    files = [folder / name for name in ("agent.yaml", "gateway.yaml") if (folder / name).exists()]
    if len(files) != 1:
        raise ConfigurationError(
            f"{folder} is not a device's folder: it holds {len(files)} of agent.yaml and "
            f"gateway.yaml; copy the device's folder here and name it"
        )
    try:
        content = yaml.safe_load(files[0].read_text(encoding="utf-8"))
        device = content["id"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{files[0]}: no id can be read: {error}") from error
    if problems := check_names([str(device)]):
        raise ConfigurationError(f"{files[0]}: {problems[0]}")
    return make_request(folder, str(device), account=files[0].name == "gateway.yaml")


def check_request(folder: SiteFolder, path: Path) -> tuple[DeviceRequest, str]:
    """Read a request and compare it with the site; returns it, and what it is, for a person.

    Raises:
        ConfigurationError: if the site has no such device, or has its keys already.
    """
    request = read_request(path)
    plan = folder.plan
    if request.id not in plan.devices:
        raise ConfigurationError(
            f"{path}: {request.id!r} is no device of this site, which has "
            f"{', '.join(plan.devices)}; `protoledger site add {request.id}` makes it one"
        )
    is_gateway = request.id == plan.gateway
    if bool(request.chain) != is_gateway:
        has = "has" if request.chain else "lacks"
        raise ConfigurationError(f"{path}: {has} a chain account, unlike the device {request.id}")
    if clash := _clash(folder, request):
        raise ConfigurationError(f"{path}: {clash}")
    return request, f"{request.id}: {'the gateway' if is_gateway else 'an agent'}"


def _clash(folder: SiteFolder, request: DeviceRequest) -> str:
    """Say why a request contradicts one that was approved before; empty if it does not."""
    kept = folder.handed_in(request.id)
    if kept.exists() and (before := read_request(kept).fingerprint) != request.fingerprint:
        return (
            f"{request.id} has other keys already (fingerprint {before}, this one "
            f"{request.fingerprint}); if its card was lost: protoledger site replace {request.id}"
        )
    if twin := _same_identity(folder, request):
        return (
            f"{request.id} has the identity of {twin}: its card was copied; remove its *.key "
            f"files and make a request again"
        )
    if lost := _lost_keys(folder, request):
        return (
            f"{request.id} has keys of {lost}, which was replaced or retired: anyone with the lost "
            f"card has them too; remove its *.key files and make a request again"
        )
    return ""


def _lost_keys(folder: SiteFolder, request: DeviceRequest) -> str:
    """Name the device that was replaced or retired and had one of these keys; empty for none."""
    keys = request.keys
    for kept in sorted((folder.owner / "replaced").glob("*/request.json")):
        if keys & (before := read_request(kept)).keys:
            return before.id
    return ""


def _same_identity(folder: SiteFolder, request: DeviceRequest) -> str:
    for other in folder.plan.devices:
        kept = folder.handed_in(other)
        if other == request.id or not kept.exists():
            continue
        if read_request(kept).identity == request.identity:
            return other
    return ""


def approve(folder: SiteFolder, requests: Sequence[DeviceRequest]) -> list[str]:
    """Sign certificates for requests that the owner has compared, and hand out what follows."""
    authority = Authority(folder.owner / "pki")
    check_clock(authority)
    for request in requests:
        if clash := _clash(folder, request):  # with another of these requests
            raise ConfigurationError(f"{clash}; the requests before it are approved")
        asked = request.certificate_request.encode()
        if why_sign(authority, request.id, asked, [], RENEW_DAYS):
            authority.issue(request.id, asked, "client", [], DEVICE_DAYS)
        kept = folder.handed_in(request.id)
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        write_secret(kept, msgspec.json.encode(request) + b"\n", replace=True)
        _record(folder, request)
    return publish(folder)


def _record(folder: SiteFolder, request: DeviceRequest) -> None:
    """Write a device's public half; an agent's channels are those of its file."""
    channels: list[str] = []
    votes = False
    if request.id != folder.plan.gateway:
        config, problems = read(folder.config(request.id), AgentConfig)
        if config is None or problems:
            listed = [f"{folder.config(request.id)}: {len(problems)} problem(s)", *problems]
            raise ConfigurationError("\n  ".join(listed))
        channels = [sensor.channel for sensor in config.sensors]
        votes = config.label is not None
    told = {
        "id": request.id,
        "public_key": request.identity,
        "chain": account_of(request),
        "channels": channels,
        "votes": votes,
    }
    path = folder.public_half(request.id)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_secret(path, json.dumps(told, indent=2).encode() + b"\n", replace=True)


def account_of(request: DeviceRequest) -> str:
    """Give the chain account of a request's public point; empty for an agent's."""
    if not request.chain:
        return ""
    from eth_hash.auto import keccak  # noqa: PLC0415 - an owner of agents only need not have it

    return "0x" + keccak(bytes.fromhex(request.chain))[12:].hex()


def add(folder: SiteFolder, agents: Sequence[str], kit: str) -> list[str]:
    """Make folders for further agents; they join the roster when their requests are approved.

    Raises:
        ConfigurationError: if a name cannot be used, was retired, or a kit does not fit the site.
    """
    problems = check_names(agents)
    retired = [one for one in agents if (folder.owner / "retired" / f"{one}.json").exists()]
    problems += [
        f"{one!r} is a device of this site" for one in agents if one in folder.plan.devices
    ]
    problems += [f"{one!r} was retired; choose another name" for one in retired]
    chosen = open_kit(kit)
    problems += chosen.problems_with(folder.site)
    if problems:
        raise ConfigurationError("\n  ".join(["cannot add:", *problems]))
    for agent in agents:
        folder.device(agent).mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(folder.config(agent), chosen.agent_text(agent).encode(), replace=True)
    return publish(folder.with_agents((*folder.plan.agents, *agents)))


def replace(folder: SiteFolder, device: str) -> list[str]:
    """Revoke a device's keys, and make a folder for the machine that takes its place.

    The site's old roster stays until the new request is approved.
    """
    _known(folder, device)
    _revoke(folder, device)
    text = _configuration(folder, device)
    _put_away(folder, device)
    folder.device(device).mkdir(mode=0o700, parents=True)
    write_secret(folder.config(device), text)
    return publish(folder)


def retire(folder: SiteFolder, device: str) -> list[str]:
    """Remove an agent for good: its certificate is revoked, the roster is signed without it.

    Raises:
        ConfigurationError: if the site could not run without it; nothing is changed then.
    """
    _known(folder, device)
    if device == folder.plan.gateway:
        raise ConfigurationError(f"{device} is the gateway: a site has one; replace it instead")
    others = tuple(agent for agent in folder.plan.agents if agent != device)
    if folder.roster_file.exists():
        left = [agent for agent in folder.approved if agent != device]
        signed_roster(folder.owner, folder.site, folder.plan.gateway, left)
    elif len(others) < 3:
        raise ConfigurationError(f"without {device} {len(others)} agents are left: 3 are needed")
    _revoke(folder, device)
    bar = folder.owner / "retired" / f"{device}.json"
    bar.parent.mkdir(mode=0o700, exist_ok=True)
    half = folder.public_half(device)
    write_secret(bar, half.read_bytes() if half.exists() else b"{}\n", replace=True)
    changed = folder.with_agents(others)
    _put_away(folder, device)
    return publish(changed)


def renew(folder: SiteFolder, devices: Sequence[str]) -> list[str]:
    """Sign certificates that end soon, or those of `devices`, and hand out all that has changed."""
    authority, told = Authority(folder.owner / "pki"), []
    check_clock(authority)
    for device in devices:
        _known(folder, device)
    folder = _where_the_broker_is(folder)
    names = broker_names(folder.plan.broker)
    kept = folder.handed_in(BROKER).with_suffix(".pem")
    if reason := why_sign(authority, BROKER, kept.read_bytes(), names, RENEW_DAYS):
        sign_broker(folder, authority)
        told.append(f"signed the broker's certificate: {reason}")
    for device in folder.plan.devices:
        if not folder.public_half(device).exists():
            continue
        request = read_request(folder.handed_in(device))
        asked = request.certificate_request.encode()
        reason = why_sign(authority, device, asked, [], RENEW_DAYS)
        if reason or device in devices:
            authority.issue(device, asked, "client", [], DEVICE_DAYS)
            told.append(f"signed the certificate of {device}: {reason or 'as asked'}")
        _record(folder, request)
    return told + publish(folder)


def _where_the_broker_is(folder: SiteFolder) -> SiteFolder:
    """Remember the broker's address as the site's file has it now."""
    broker = folder.site.broker
    if (broker.host, broker.port) == (folder.plan.broker, folder.plan.port):
        return folder
    if problem := host_problem(broker.host):
        raise ConfigurationError(f"{folder.site_file}: broker.host {problem}")
    return folder.with_plan(broker=broker.host, port=broker.port)


def _known(folder: SiteFolder, device: str) -> None:
    if device not in folder.plan.devices:
        raise ConfigurationError(
            f"{device[:40]!r} is no device of this site; it has {', '.join(folder.plan.devices)}"
        )


def _revoke(folder: SiteFolder, device: str) -> None:
    authority = Authority(folder.owner / "pki")
    issued = authority.issued(device)
    if issued is not None:
        authority.revoke([issued.serial_number])


def _configuration(folder: SiteFolder, device: str) -> bytes:
    """Read a device's own file, from where an interrupted replacement has put it if need be."""
    config = folder.config(device)
    kept = (folder.owner / "replaced").glob(f"{device}.*/device/{config.name}")
    found = [path for path in (config, *sorted(kept, reverse=True)) if path.exists()]
    if found:
        return found[0].read_bytes()
    if device == folder.plan.gateway:
        return dump(gateway_content(device)).encode()
    raise ConfigurationError(f"{config} is missing: restore it, then replace {device} again")


def _put_away(folder: SiteFolder, device: str) -> None:
    """Move what belonged to a device to the owner's folder; nothing is deleted."""
    place = folder.owner / "replaced"
    place.mkdir(mode=0o700, exist_ok=True)
    number = 1 + sum(1 for _ in place.glob(f"{device}.*"))
    kept = place / f"{device}.{number}"
    kept.mkdir(mode=0o700)
    moved = [
        (folder.public_half(device), "public_half.json"),
        (folder.handed_in(device), "request.json"),
        (folder.device(device), "device"),
    ]
    for path, name in moved:
        if path.exists():
            path.rename(kept / name)


def members_of(folder: SiteFolder) -> list[Member]:
    """The roster's entries as the agents' files say them, for agents that are not approved too."""
    found = []
    for agent in folder.plan.agents:
        config, _ = read(folder.config(agent), AgentConfig)
        if config is not None:
            channels = tuple(sensor.channel for sensor in config.sensors)
            found.append(Member(agent, "0" * 64, channels, config.label is not None))
    return found
