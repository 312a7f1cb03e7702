"""`protoledger site adopt`: a site of a kept emulation, continued as a site of one's own.

Taken along are the channels, the agents' identities, their recordings, the gateway's model, its
account, the contracts, and Anvil's chain. The authority of an emulation ends with it, so there is a
new one, and new keys for TLS. The emulation's folder is only read.
"""

import shutil
from pathlib import Path
from typing import Any

import yaml

from protoledger.emulator.sites.beginning import (
    AUTHORITY_DAYS,
    check_clock,
    dump,
    sign_broker,
)
from protoledger.emulator.sites.devices import approve, members_of, request_of
from protoledger.emulator.sites.folder import SiteFolder, SitePlan
from protoledger.emulator.sites.publish import broker_configurations, planned_terms
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.key_files import read_secret, write_secret
from protoledger.runtime.pki.certificates import Authority, fresh_key
from protoledger.runtime.pki.owner import FLEET_KEY
from protoledger.runtime.site import SiteConfig, load

_CREDENTIALS = {"certificate_file": "tls.crt", "key_file": "tls.key"}
_AGENT_HEAD = """\
# The sensors below replay a recording. For real ones put those of a kit in place of `sampling`,
# `sensors` and `label`; see "From recordings to sensors" in docs/by-hand.md.
"""
_OWN = {"site_file": "site.yaml", "roster_file": "roster.json", "identity_file": "identity.key"}


def sites_of(kept: Path) -> list[str]:
    """Name the sites of a kept emulation.

    Raises:
        ConfigurationError: the folder is none.
    """
    found = sorted(p.parent.name for p in kept.glob("*/gateway.yaml") if p.parent.name != "oracle")
    if not found or not (kept / FLEET_KEY).exists():
        raise ConfigurationError(
            f"{kept} is no kept emulation: no site is in it; `protoledger emulate --keep FOLDER` "
            f"leaves one"
        )
    return found


def adopt(kept: Path, name: str, parent: Path, broker: str, port: int) -> SiteFolder:
    """Make a site's folder from one site of a kept emulation; see `begin_site` for what remains.

    Args:
        kept: the emulation's folder.
        name: of one of its sites, and of the new folder.
        parent: where the new folder goes.
        broker: host name or address of the new broker.
        port: its TCP port.
    """
    check_clock()
    if name not in (known := sites_of(kept)):
        raise ConfigurationError(f"{kept} has no site {name!r}, but {', '.join(known)}")
    path, draft = parent / name, parent / f".{name}.new"
    if path.exists():
        raise ConfigurationError(f"{path} exists; change to another folder, or remove it")
    try:
        draft.mkdir(mode=0o700)
    except FileExistsError:
        raise ConfigurationError(
            f"{draft} is half of a site, from a run that was killed; remove it: rm -r {draft}"
        ) from None
    try:
        _write(draft, kept, name, broker, port)
        draft.rename(path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return SiteFolder.read(path)


def _write(path: Path, kept: Path, name: str, broker: str, port: int) -> None:
    source = kept / name
    gateway = _yaml(source / "gateway.yaml")
    agents = sorted(file.stem for file in source.glob("*.yaml")
                    if file.stem not in {"site", "gateway"})  # fmt: skip
    ledger = gateway.get("ledger") or {}
    plan = SitePlan(1, gateway["id"], tuple(agents), broker, port, str(ledger.get("rpc_url", "")))
    folder = SiteFolder(path, plan)
    for part in (folder.owner, folder.broker, folder.path / "devices"):
        part.mkdir(mode=0o700)
    folder.save()
    authority = Authority.create(folder.owner / "pki", f"protoledger {name}", AUTHORITY_DAYS)
    write_secret(folder.owner / FLEET_KEY, read_secret(kept / FLEET_KEY))
    _site_file(folder, source, broker, port)
    _take_chain(folder, kept)
    _take_gateway(folder, source, gateway)
    for agent in agents:
        _take_agent(folder, source, agent)
    write_secret(folder.broker / "tls.key", fresh_key("tls"))
    sign_broker(folder, authority)
    terms = planned_terms(folder.site, plan.gateway, members_of(folder))
    for file, data in broker_configurations(broker, port, terms):
        write_secret(folder.broker / file, data)
    approve(folder, [request_of(folder.device(device)) for device in plan.devices])


def _yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: has no keys and values")
    return content


def _site_file(folder: SiteFolder, source: Path, broker: str, port: int) -> None:
    content = _yaml(source / "site.yaml")
    digest = load(source / "site.yaml", SiteConfig).as_schema().digest.hex()
    content["broker"] = {"host": broker, "port": port, "ca_file": "ca.crt"}
    content["schema_hash"] = f"0x{digest}"
    # an emulation has no pause between rounds, and waits longer for its slow machine
    content["round"] = {**content.get("round", {}), "every_s": 1.0}
    write_secret(folder.site_file, dump(content).encode())


def _take_chain(folder: SiteFolder, kept: Path) -> None:
    owned = [(kept / "owner.key", "owner.key"), (kept / "chain/deployment.json", "deployment.json")]
    (folder.owner / "chain").mkdir(mode=0o700)
    for file, name in owned:
        if file.exists():
            write_secret(folder.owner / "chain" / name, file.read_bytes())
    state = kept / "chain" / "state.json"
    if state.exists():
        (folder.path / "chain").mkdir(mode=0o700)
        write_secret(folder.path / "chain" / "state.json", state.read_bytes())


def _take_gateway(folder: SiteFolder, source: Path, content: dict[str, Any]) -> None:
    device = folder.plan.gateway
    place = folder.device(device)
    place.mkdir(mode=0o700)
    for name in ("rounds", "wait_for_agents_s"):  # an emulation's end, and its hurry
        content.pop(name, None)
    content |= {**_OWN, "credentials": _CREDENTIALS, "store_file": "gateway.db"}
    write_secret(place / "identity.key", read_secret(source / f"{device}.identity"))
    if ledger := content.get("ledger"):
        write_secret(place / "chain.key", read_secret(source / "chain.key"))
        ledger["key_file"] = "chain.key"
    for part in ("gateway.db", "gateway.db-wal"):  # opening it there would write beside it
        if (source / part).exists():
            write_secret(place / part, (source / part).read_bytes())
    write_secret(folder.config(device), dump(content).encode())


def _take_agent(folder: SiteFolder, source: Path, agent: str) -> None:
    content = _yaml(source / f"{agent}.yaml")
    place = folder.device(agent)
    place.mkdir(mode=0o700)
    content |= {**_OWN, "credentials": _CREDENTIALS}
    for sensor in [
        *content.get("sensors", []),
        *([content["label"]] if "label" in content else []),
    ]:
        options = sensor.get("options", {})
        if "path" in options:
            recording = source / options["path"]
            copied = place / recording.name
            if not copied.exists():
                write_secret(copied, recording.read_bytes())
            # the emulation has used up its rows, so it begins again
            options |= {"path": recording.name, "loop": True}
    write_secret(place / "identity.key", read_secret(source / f"{agent}.identity"))
    write_secret(folder.config(agent), (_AGENT_HEAD + dump(content)).encode())
