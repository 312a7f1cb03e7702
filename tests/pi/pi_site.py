"""A site whose first agent is the guest: its files, and the processes of the host's part.

The other agents never see a movement, never press a button and always vote for `absent`: what a
decoded sum holds beyond that came from the pins of the guest.
"""

import shutil
import sys
from pathlib import Path

import yaml

from protoledger.emulator.processes.broker import Mosquitto
from protoledger.emulator.processes.certificates import LOOPBACK_NAMES, CertificateAuthority
from protoledger.protocol.wire.identity import Member
from protoledger.runtime.broker.access_list import acl_text
from protoledger.runtime.identity_files import create_identity, write_roster

HOST_SEEN_FROM_GUEST = "10.0.2.2"
SITE = "bench"
GATEWAY = f"{SITE}.gateway"
PI = f"{SITE}.pi"
OTHERS = tuple(f"{SITE}.desk-{number}" for number in (1, 2, 3))
AGENTS = sorted((PI, *OTHERS))  # a round's event names agents by their place in it
CHANNELS = ("motion", "pressed")
LABELS = ("absent", "present")
SUM = ("motion", "motion read", "pressed", "pressed read", *LABELS)
STEPS_OF_FULL_SCALE = 1000

_PI_SENSORS = (
    {"channel": "motion", "driver": "motion", "options": {"pin": 23}},
    {"channel": "pressed", "driver": "button", "options": {"pin": 17}},
)
_PI_LABEL = {"driver": "button", "options": {"pin": 27, "active_value": 1.0, "idle_value": -1.0}}


class Authority(CertificateAuthority):
    """Its broker is known under the address that the guest sees, too."""

    def server(self, names=(*LOOPBACK_NAMES, HOST_SEEN_FROM_GUEST)):
        return super().server(names)


class Site:
    """The site's files in a folder.

    Args:
        folder: a new one.
        children: owns the processes.
        access: access lists of further sites of the broker.

    Attributes:
        authority: issues the clients' certificates.
        port: the broker's.
    """

    def __init__(self, folder, children, access=""):
        self._folder = folder
        self._children = children
        self.authority = Authority(folder / "tls")
        access = acl_text(SITE, GATEWAY, (PI, *OTHERS)) + access
        broker = Mosquitto(folder / "broker", self.authority, access, children).start()
        self._fleet = create_identity(folder / "fleet.key")
        self._write_site(folder / "site.yaml", broker.host, broker.port, broker.authority)
        identities = {name: self._identity(name) for name in (GATEWAY, PI, *OTHERS)}
        members = tuple(
            Member(name, identities[name].public_key.hex(), CHANNELS, votes=True)
            for name in (PI, *OTHERS)
        )
        gateway = Member(GATEWAY, identities[GATEWAY].public_key.hex())
        write_roster(folder / "roster.json", SITE, gateway, members, self._fleet)
        self.port = broker.port

    def write_guest(self, target):
        """Put the guest's own files, and nobody else's, in a folder of its tree."""
        target.mkdir(parents=True)
        self._write_site(target / "site.yaml", HOST_SEEN_FROM_GUEST, self.port, Path("ca.crt"))
        issued = self.authority.client(PI)
        for source, name in (
            (self._folder / "roster.json", "roster.json"),
            (self._folder / f"{PI}.identity", f"{PI}.identity"),
            (issued.authority, "ca.crt"),
            (issued.certificate, "agent.crt"),
            (issued.key, "agent.key"),
        ):
            shutil.copy2(source, target / name)
        content = self._device(PI, {"certificate_file": "agent.crt", "key_file": "agent.key"})
        content |= _agent(_PI_SENSORS, _PI_LABEL)
        _dump(target / "agent.yaml", content)

    def start_others(self):
        """Start the agents of this machine, as one process."""
        command = [sys.executable, "-m", "protoledger", "edge", "run"]
        for name in OTHERS:
            nothing = {"driver": "mock", "options": {"level": 0.0}}
            sensors = [{"channel": channel, **nothing} for channel in CHANNELS]
            content = self._device(name, self._credentials(name)) | _agent(sensors, nothing)
            _dump(self._folder / f"{name}.yaml", content)
            command += ["-c", self._folder / f"{name}.yaml"]
        self._children.start("others", command)

    def start_gateway(self):
        """Start the gateway, which tells of each round and its sum."""
        content = self._device(GATEWAY, self._credentials(GATEWAY))
        content |= {"store_file": "gateway.db", "wait_for_agents_s": 120.0}
        _dump(self._folder / "gateway.yaml", content)
        command = [sys.executable, "-m", "protoledger", "gateway", "run", "--events"]
        command += ["--event-sums", "-c", self._folder / "gateway.yaml"]
        self._children.start("gateway", command)

    def _identity(self, name):
        return create_identity(self._folder / f"{name}.identity")

    def _credentials(self, name):
        issued = self.authority.client(name)
        return {"certificate_file": str(issued.certificate), "key_file": str(issued.key)}

    def _write_site(self, path, host, port, authority):
        channels = [
            {"name": name, "low": 0.0, "high": 1.0, "step": 1 / STEPS_OF_FULL_SCALE}
            for name in CHANNELS
        ]
        content = {
            "site": SITE,
            "fleet_key": self._fleet.public_key.hex(),
            "channels": channels,
            "labels": list(LABELS),
            # packed: rounds go on while one of the four is away
            "aggregation": {"collusion": 1, "validity": "packed"},
            "round": {"window_s": 2.0, "every_s": 2.0, "share_s": 5.0, "answer_s": 5.0},
            "broker": {"host": host, "port": port, "ca_file": str(authority)},
        }
        _dump(path, content)

    @staticmethod
    def _device(name, credentials):
        return {
            "id": name,
            "site_file": "site.yaml",
            "roster_file": "roster.json",
            "identity_file": f"{name}.identity",
            "credentials": credentials,
        }


def _agent(sensors, label):
    sampling = {"read_every_s": 0.2}
    return {"sampling": sampling, "sensors": list(sensors), "label": label}


def _dump(path, content):
    path.write_text(yaml.safe_dump(content, sort_keys=False))
