"""`protoledger site init`: a site's folder from nothing, whole or not at all."""

import datetime as dt
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from cryptography.hazmat.primitives.serialization import Encoding

from protoledger.edge.check.report import BUILT
from protoledger.emulator.sites.folder import SiteFolder, SitePlan
from protoledger.emulator.sites.kits import KitFile, OwnSchema, channels_and_labels, open_kit
from protoledger.emulator.sites.publish import (
    BROKER,
    broker_configurations,
    broker_names,
    host_problem,
    planned_terms,
    publish,
)
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.identity import Member
from protoledger.protocol.wire.topics import is_name
from protoledger.runtime.identity_files import create_identity
from protoledger.runtime.key_files import write_secret
from protoledger.runtime.pki.certificates import Authority, fresh_key, public_half
from protoledger.runtime.pki.owner import FLEET_KEY
from protoledger.runtime.site import SiteConfig
from protoledger.runtime.yaml_files import fit

AUTHORITY_DAYS = 3650
DEVICE_DAYS = 397
_SITE_HEAD = """\
# The site's file, of which every device holds a copy. After a change: `protoledger site renew`.
# Channels and labels are fixed once contracts are deployed: schema_hash says for which they are.
"""
_GATEWAY_HEAD = "# The gateway's file; `protoledger schema gateway` describes all keys.\n"


@dataclass(frozen=True)
class Wish:
    """What `site init` is asked for.

    Attributes:
        name: the site's name, and its folder's.
        broker: host name or address of the broker.
        port: its TCP port.
        kits: names or paths of kits; dealt to the agents in turn.
        agents: the agents' ids.
        gateway: the gateway's id.
        chain: the node's URL, or empty.
        window_s: length of a window and time between rounds.
        schema: channels and labels of the owner's own.
    """

    name: str
    broker: str
    port: int
    kits: Sequence[str]
    agents: Sequence[str]
    gateway: str
    chain: str
    window_s: float
    schema: OwnSchema = field(default_factory=lambda: OwnSchema({}))


def begin_site(parent: Path, wish: Wish) -> SiteFolder:
    """Make the folder of a site.

    Everything is written to a folder beside it, which gets its name at the end: an interrupted run
    leaves nothing, and one that was killed leaves that folder, which the next run names.

    Raises:
        ConfigurationError: names everything that is wrong with the wish; nothing is written.
        OSError: the disk is full or not writable; nothing remains.
    """
    kits = _checked(wish)
    path, draft = parent / wish.name, parent / f".{wish.name}.new"
    if path.exists():
        raise ConfigurationError(
            f"{path} exists; choose another name, or continue there: `protoledger site check`"
        )
    try:
        draft.mkdir(mode=0o700)
    except FileExistsError:
        raise ConfigurationError(
            f"{draft} is half of a site, from a run that is still at work or was killed; if none "
            f"is at work, remove it: rm -r {draft}"
        ) from None
    try:
        _write(draft, wish, kits)
        draft.rename(path)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return SiteFolder.read(path)


def check_names(names: Sequence[str]) -> list[str]:
    """List what is wrong with the ids of devices."""
    problems = [
        f"{name[:40]!r} cannot be a name: use 1 to 64 lower-case letters, digits, '.', '_' and "
        f"'-', beginning and ending with a letter or digit"
        for name in names
        if not is_name(name)
    ]
    problems += [f"{name!r} is named twice" for name in sorted(set(names)) if names.count(name) > 1]
    if BROKER in names:
        problems.append(f"{BROKER!r} is the broker's own name: choose another for the device")
    return problems


def check_clock(authority: Authority | None = None) -> None:
    """Refuse to sign certificates with a clock that is certainly wrong.

    Raises:
        ConfigurationError: if this program, or the site's authority, is newer than the clock says.
    """
    now = dt.datetime.now(dt.UTC)
    if authority is not None and now < authority.certificate.not_valid_before_utc:
        raise ConfigurationError(
            f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, but the site's authority is "
            f"valid only from {authority.certificate.not_valid_before_utc:%Y-%m-%d %H:%M} on: one "
            f"of the two clocks was wrong; set this one, or begin the site again"
        )
    if now < BUILT:
        raise ConfigurationError(
            f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, which is in the past: "
            f"certificates would be invalid; set the clock (timedatectl set-ntp true)"
        )


def _checked(wish: Wish) -> list[KitFile]:
    """Find everything that is wrong before anything is written; returns a kit for each agent."""
    check_clock()
    problems = check_names([wish.name]) + check_names([wish.gateway, *wish.agents])
    if problem := host_problem(wish.broker):
        problems.append(f"--broker {problem}")
    if wish.chain and (problem := _url_problem(wish.chain)):
        problems.append(f"--chain {problem}; give http://HOST:PORT")
    kits: list[KitFile] = []
    for name in wish.kits:
        try:
            kits.append(open_kit(name))
        except ConfigurationError as error:
            problems += error.problems
    _refuse(problems)
    dealt = [kit for kit, _ in zip(cycle(kits), wish.agents, strict=False)]
    site = _site(wish, dealt, "0" * 64)
    _refuse(
        [
            line
            for kit in {kit.name: kit for kit in dealt}.values()
            for line in kit.problems_with(site)
        ]
    )
    try:
        planned_terms(site, wish.gateway, members(dealt, wish.agents))
    except ConfigurationError as error:
        _refuse(error.problems)
    return dealt


def _url_problem(url: str) -> str:
    """Say what is wrong with a node's address, of which the path may be a rented node's key."""
    try:
        parts = urlsplit(url)
        shown = f"{parts.scheme}://{parts.hostname or ''}" if "://" in url else parts.path[:40]
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError as error:
        return f"is no node's address: {error}"
    return "" if good else f"{shown!r} is no node's address"


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise ConfigurationError("\n  ".join(["cannot begin a site:", *problems]))


def members(kits: Sequence[KitFile], agents: Sequence[str]) -> list[Member]:
    """Make the roster's entries of agents whose keys are not known yet."""
    pairs = zip(agents, kits, strict=True)
    return [Member(agent, "0" * 64, kit.channels, kit.votes) for agent, kit in pairs]


def _content(wish: Wish, kits: Sequence[KitFile], fleet_key: str) -> dict[str, object]:
    try:
        channels, labels = channels_and_labels(kits, wish.schema)
    except ConfigurationError as error:
        raise ConfigurationError("\n  ".join(["cannot begin a site:", *error.problems])) from error
    if wish.chain and not labels:
        raise ConfigurationError(
            "a site without labels has nothing for a ledger: leave --chain out, or add a kit with "
            "a label source"
        )
    return {
        "site": wish.name,
        "fleet_key": fleet_key,
        "channels": [channel.model_dump(exclude_defaults=True) for channel in channels],
        "labels": labels,
        "round": {"window_s": wish.window_s, "every_s": wish.window_s},
        "broker": {"host": wish.broker, "port": wish.port, "ca_file": "ca.crt"},
    }


def _site(wish: Wish, kits: Sequence[KitFile], fleet_key: str) -> SiteConfig:
    site, problems = fit(_content(wish, kits, fleet_key), SiteConfig)
    _refuse(problems)
    assert site is not None  # noqa: S101 - it has no problems
    return site


def _write(path: Path, wish: Wish, kits: list[KitFile]) -> None:
    plan = SitePlan(1, wish.gateway, tuple(wish.agents), wish.broker, wish.port, wish.chain)
    folder = SiteFolder(path, plan)
    for part in (folder.owner, folder.broker, folder.path / "devices"):
        part.mkdir(mode=0o700)
    folder.save()
    authority = Authority.create(
        folder.owner / "pki", f"protoledger {wish.name}"[:64], AUTHORITY_DAYS
    )
    fleet = create_identity(folder.owner / FLEET_KEY)
    site = _site(wish, kits, fleet.public_key.hex())
    content = _content(wish, kits, fleet.public_key.hex())
    content["schema_hash"] = "0x" + site.as_schema().digest.hex()
    _put(folder.site_file, _SITE_HEAD + dump(content))
    for agent, kit in zip(wish.agents, kits, strict=True):
        _put(folder.config(agent), kit.agent_text(agent))
    _put(folder.config(wish.gateway), _GATEWAY_HEAD + dump(gateway_content(wish.gateway)))
    write_secret(folder.broker / "tls.key", fresh_key("tls"))
    sign_broker(folder, authority)
    terms = planned_terms(site, wish.gateway, members(kits, wish.agents))
    for name, data in broker_configurations(wish.broker, wish.port, terms):
        write_secret(folder.broker / name, data)
    publish(folder)


def gateway_content(gateway: str) -> dict[str, object]:
    """Write the beginning of a gateway's file."""
    return {
        "id": gateway,
        "site_file": "site.yaml",
        "roster_file": "roster.json",
        "identity_file": "identity.key",
        "credentials": {"certificate_file": "tls.crt", "key_file": "tls.key"},
        "store_file": "gateway.db",
    }


def sign_broker(folder: SiteFolder, authority: Authority) -> None:
    """Sign the broker's certificate with its own key; the request is kept for later ones."""
    kept = folder.handed_in(BROKER).with_suffix(".pem")
    if not kept.exists():
        data = (folder.broker / "tls.key").read_bytes()
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        write_secret(kept, public_half("tls", data, BROKER).encode())
    names = broker_names(folder.plan.broker)
    issued = authority.issue(BROKER, kept.read_bytes(), "server", names, DEVICE_DAYS)
    write_secret(folder.broker / "tls.crt", issued.public_bytes(Encoding.PEM), replace=True)


def dump(content: object) -> str:
    """Write YAML as a person would, in the order of the keys."""
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return text


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_secret(path, text.encode())
