"""The files of an emulated deployment, the same ones that Ansible installs on real hosts.

Every agent and gateway reads only its own configuration, identity and certificate, its site's file
and roster. So the processes run as they would on separate machines, and the folder that `--keep`
leaves is a complete deployment.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from protoledger.emulator.options import Options
from protoledger.emulator.processes.broker import BrokerAddress
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.emulator.processes.relay import LOOPBACK
from protoledger.emulator.sources.dealing import Dealt
from protoledger.emulator.sources.recordings import (
    agent_ids,
    label_column,
    site_ids,
    write_recordings,
)
from protoledger.protocol.wire.identity import Identity, Member
from protoledger.runtime.identity_files import create_identity, write_roster
from protoledger.runtime.key_files import write_secret

LEAST_RECORDS = 13  # in a commit, where no test selects the records that are worth their gas


@dataclass(frozen=True)
class SiteFiles:
    """The paths of one site's files, and the ids of its devices.

    Attributes:
        name: name of the site.
        folder: folder of its files.
        gateway: id of its gateway.
        agents: ids of its agents, in the order of their positions and recordings.
        rounds: number of rounds that its recordings hold.
    """

    name: str
    folder: Path
    gateway: str
    agents: tuple[str, ...]
    rounds: int

    @property
    def gateway_file(self) -> Path:
        """The gateway's configuration."""
        return self.folder / "gateway.yaml"

    @property
    def chain_key_file(self) -> Path:
        """The private key of the gateway's account on the chain."""
        return self.folder / "chain.key"

    def agent_file(self, agent: str) -> Path:
        """Return the path of an agent's configuration."""
        return self.folder / f"{agent}.yaml"

    def own_site_file(self, device: str) -> Path:
        """Return the path of a device's own site file, which there is with a relay."""
        return self.folder / f"{device}.site.yaml"


def plan_sites(folder: Path, dealt: Dealt) -> list[SiteFiles]:
    """Name the sites and their devices; writes nothing."""
    names = site_ids(dealt.plan.sites)
    short = agent_ids(dealt.plan.agents)
    return [
        SiteFiles(
            name,
            folder / name,
            f"{name}.gateway",
            tuple(f"{name}.{agent}" for agent in short),
            rounds,
        )
        for name, rounds in zip(names, dealt.rounds, strict=True)
    ]


def write_sites(
    sites: list[SiteFiles],
    dealt: Dealt,
    options: Options,
    broker: BrokerAddress,
    authority: CertificateAuthority,
    ports: Mapping[str, int] | None = None,
) -> None:
    """Write all files except the gateways' configurations, which need the contract's address.

    With `ports`, each device has a site file of its own, which names its port of the relay.
    """
    fleet_file = sites[0].folder.parent / "fleet.key"
    fleet = create_identity(fleet_file)
    short = [agent.partition(".")[2] for agent in sites[0].agents]
    folder = sites[0].folder.parent / "recordings"
    recordings = write_recordings(dealt, folder, sites=[s.name for s in sites], agents=short)
    for site, files in zip(sites, recordings, strict=True):
        site.folder.mkdir(mode=0o700)
        _dump(site.folder / "site.yaml", _site(site, dealt, options, broker, fleet))
        channels = tuple(channel.name for channel in dealt.channels)
        members = {}
        for device in (site.gateway, *site.agents):
            if ports:
                own = replace(broker, host=LOOPBACK, port=ports[device])
                _dump(site.own_site_file(device), _site(site, dealt, options, own, fleet))
            public_key = create_identity(site.folder / f"{device}.identity").public_key.hex()
            sensing = device != site.gateway
            carried = channels if sensing else ()
            members[device] = Member(device, public_key, carried, votes=sensing)
        gateway = members.pop(site.gateway)
        roster = site.folder / "roster.json"
        write_roster(roster, site.name, gateway, tuple(members.values()), fleet)
        for agent, recording in zip(site.agents, files, strict=True):
            content = _agent(site, agent, recording, dealt)
            content["credentials"] = _credentials(site, agent, broker, authority)
            _dump(site.agent_file(agent), content)


def write_gateway(
    site: SiteFiles,
    options: Options,
    broker: BrokerAddress,
    authority: CertificateAuthority,
    ledger: dict[str, object],
) -> None:
    """Write a gateway's configuration; `ledger` holds the keys that name chain and contract."""
    content = _device(site, site.gateway)
    if options.test == "always":
        ledger = {**ledger, "least_records": LEAST_RECORDS}
    content |= {
        "credentials": _credentials(site, site.gateway, broker, authority),
        "store_file": "gateway.db",
        "learner": {"mode": options.learner},
        "commit": {"test": options.test, "alpha": options.alpha},
        "ledger": {**ledger, "key_file": site.chain_key_file.name},
        "rounds": site.rounds,
        "wait_for_agents_s": 30.0,
    }
    _dump(site.gateway_file, content)


def _site(
    site: SiteFiles, dealt: Dealt, options: Options, broker: BrokerAddress, fleet: Identity
) -> dict[str, object]:
    address: dict[str, object] = {"host": broker.host, "port": broker.port}
    if broker.authority is None:
        address["plaintext"] = True
    else:
        address["ca_file"] = relative(broker.authority, site.folder)
    return {
        "site": site.name,
        "fleet_key": fleet.public_key.hex(),
        "channels": [
            {"name": c.name, "unit": c.unit, "low": c.low, "high": c.high, "step": c.step}
            for c in dealt.channels
        ],
        "labels": list(dealt.labels),
        "aggregation": {
            **options.aggregation.model_dump(exclude_none=True),
            "minimum_contributors": options.minimum_contributors,
        },
        "round": {
            "windows": options.batch,
            "every_s": 0.0,
            "share_s": options.round_seconds / 2,
            "answer_s": options.round_seconds / 2,
        },
        "broker": address,
    }


def _device(site: SiteFiles, device: str) -> dict[str, object]:
    own = site.own_site_file(device)
    return {
        "id": device,
        "site_file": own.name if own.exists() else "site.yaml",
        "roster_file": "roster.json",
        "identity_file": f"{device}.identity",
    }


def relative(path: Path, folder: Path) -> str:
    """Name a file as seen from a folder, so that both can be moved together."""
    return os.path.relpath(path, folder)


def _credentials(
    site: SiteFiles, device: str, broker: BrokerAddress, authority: CertificateAuthority
) -> dict[str, str]:
    if not broker.client_certificates:
        return {}
    issued = authority.client(device)
    return {
        "certificate_file": relative(issued.certificate, site.folder),
        "key_file": relative(issued.key, site.folder),
    }


def _agent(site: SiteFiles, agent: str, recording: Path, dealt: Dealt) -> dict[str, object]:
    def replay(column: str) -> dict[str, object]:
        options = {"path": relative(recording, site.folder), "column": column, "pace": "seek"}
        return {"driver": "replay", "options": options}

    return {
        **_device(site, agent),
        "sampling": {"by_round": True},
        "sensors": [{"channel": c.name, **replay(c.name)} for c in dealt.channels],
        "label": replay(label_column(dealt)),
    }


def _dump(path: Path, content: dict[str, object]) -> None:
    path.write_text(yaml.dump(content, Dumper=_DUMPER, sort_keys=False, allow_unicode=True))


def record_deployment(folder: Path, record: dict[str, object]) -> None:
    """Keep where an emulation's contracts are, for `adopt`."""
    folder.mkdir(mode=0o700, exist_ok=True)
    text = json.dumps(record, indent=2) + "\n"
    write_secret(folder / "deployment.json", text.encode(), replace=True)


_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
