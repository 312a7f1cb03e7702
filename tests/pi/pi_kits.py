"""A site whose agents are the kits, each with the files and the unit that the playbooks give it.

A fifth "kit" has the drivers that the others lack, and a sixth is for power cuts, with nothing but
simulated sensors.
"""

import copy
import json
import shutil

import yaml

from protoledger.protocol.wire.identity import Member
from protoledger.runtime.broker.access_list import acl_text
from protoledger.runtime.identity_files import create_identity, write_roster
from tests.pi.pi_playbook import fact, play, tasks, variables, written_to
from tests.pi.pi_site import HOST_SEEN_FROM_GUEST
from tests.pi.system.pi_tools import ROOT

KITS = {
    path.stem: yaml.safe_load(path.read_text())
    for path in sorted((ROOT / "edge/protoledger/edge/kits").glob("*.yaml"))
}
HOUSE = KITS.pop("site")
SITE = HOUSE["site"]
GATEWAY = f"{SITE}-gateway"
UNIT = "protoledger-edge.service"
SIMULATED = {
    "sensors": [{"channel": "temperature", "driver": "mock", "options": {"level": 20.0}}],
    "sampling": {"read_every_s": 2},
}
_FOLDER = "etc/protoledger"
_WRITTEN = (
    "Write the site's file and the roster", "Write the agent's file", "Describe its service",
)  # fmt: skip


def _drivers(web_port):
    """Sensors of all the drivers that no kit has; channels are named by their drivers."""
    options = {
        "am2302": {"pin": 5, "quantity": "temperature"},
        "circuitpython": {"chip": "adafruit_silent.Silent", "quantity": "temperature"},
        "cpu_temperature": {},
        "derived": {"expression": "http - mock"},
        "dht11": {"pin": 6, "quantity": "temperature"},
        "digital": {"pin": 24},
        "distance": {"echo": 25, "trigger": 16},
        "http": {"url": f"http://{HOST_SEEN_FROM_GUEST}:{web_port}/", "json_path": "power"},
        "hwmon": {"name": "gpio_fan", "channel": "fan1"},
        "iio": {"name": "dht11", "channel": "temp", "pins": [22]},
        "mock": {"level": 0.5, "amplitude": 0.1},
        "replay": {"path": "/opt/recording.csv", "column": "a", "loop": True},
    }
    sensors = [{"channel": name, "driver": name, "options": o} for name, o in options.items()]
    return {"sensors": sensors, "sampling": {"read_every_s": 5}}


def _at_home(content, home_port):
    """Name the home's broker where a kit says that it is to be named."""
    moved = copy.deepcopy(content)
    for sensor in (*moved["sensors"], moved["label"]):
        sensor["options"] |= {"host": HOST_SEEN_FROM_GUEST, "port": home_port}
    return moved


def kits_at(home):
    """Return the kits by name, each with what its file has of its own."""
    return {
        **KITS,
        "smart-home": _at_home(KITS["smart-home"], home.broker_port),
        "drivers": _drivers(home.web_port),
    }


class KitSite:
    """The kits' site.

    Args:
        folder: a new one.
        kits: agents' files by their names, as far as they are not made by the playbooks.
        home_authority: certificate of the home's broker's authority.

    Attributes:
        kits: as given.
        access: the access list.
    """

    def __init__(self, folder, kits, home_authority=""):
        self._folder = folder
        self._home_authority = home_authority
        folder.mkdir()
        self.kits = kits
        self.access = acl_text(SITE, GATEWAY, list(kits))
        self._fleet = create_identity(folder / "fleet.key")

    def write_guest(self, target, authority, broker_port):
        """Put each kit's files in a folder of the guest's tree."""
        self._write_roster()
        self._play(broker_port)
        for name in self.kits:
            etc = target / name / "etc"
            written = written_to(self._folder, name)
            shutil.copytree(written / _FOLDER, etc)
            shutil.copy(written / "etc/systemd/system" / UNIT, target / name)
            shutil.copy(written / "needs.json", target / name)
            issued = authority.client(name)
            (etc / "private").mkdir(mode=0o700)
            for source, place in (
                (issued.authority, "ca.crt"),
                (issued.certificate, "tls.crt"),
                (issued.key, "private/tls.key"),
                (self._folder / f"{name}.identity", "private/identity.key"),
            ):
                shutil.copy(source, etc / place)
                (etc / place).chmod(0o644 if place.endswith(".crt") else 0o600)
            for file, content in self._files(name).items():
                (etc / "private" / file).write_text(content)

    def needs(self, name):
        """Return what a kit's drivers need, as the role found out."""
        return json.loads((written_to(self._folder, name) / "needs.json").read_text())

    def _write_roster(self):
        members = [
            Member(
                name,
                create_identity(self._folder / f"{name}.identity").public_key.hex(),
                tuple(sensor["channel"] for sensor in content["sensors"]),
                votes="label" in content,
            )
            for name, content in self.kits.items()
        ]
        key = create_identity(self._folder / "gateway.identity").public_key
        roster = self._folder / f"state/sites/{SITE}/roster.json"
        roster.parent.mkdir(parents=True)
        write_roster(roster, SITE, Member(GATEWAY, key.hex()), tuple(members), self._fleet)

    def _files(self, name):
        """The files that a kit's drivers read."""
        if name != "smart-home":
            return {}
        return {"home-ca.pem": self._home_authority, "home-password": "of the home\n"}

    def _play(self, broker_port):
        """Let the role write each kit's files."""
        broker = {"host": HOST_SEEN_FROM_GUEST, "port": broker_port}
        site = {"broker": broker, "round": HOUSE["round"], "aggregation": {"collusion": 1}}
        common = {
            **variables("fleet"),
            **variables("edge"),
            "fleet_state": str(self._folder / "state"),
            "fleet_site": SITE,
            "fleet_sites": {SITE: site},
            "fleet_channels": self._channels(),
            "fleet_labels": HOUSE["labels"],
            "pki_authority": {"fleet_key": self._fleet.public_key.hex()},
        }
        wanted = [
            *tasks(self._folder, "edge", "tasks/configure.yml", _WRITTEN),
            fact(self._folder, "needs.json", "fleet_needs"),
        ]
        play(self._folder, {name: self._host(name) for name in self.kits}, common, wanted)

    def _channels(self):
        """The site's channels; each kit is there once, so few agents measure the same."""
        channels = {channel["name"]: channel for channel in HOUSE["channels"]}
        for content in self.kits.values():
            for sensor in content["sensors"]:
                name = sensor["channel"]
                channels.setdefault(name, {"name": name, "low": -100, "high": 5000, "step": 1})
        return [{**channel, "private": False} for channel in channels.values()]

    def _host(self, name):
        """What an inventory says of one kit's host."""
        files = {"edge_files": self._files(name)}
        content = self.kits[name]
        if content == KITS.get(name):
            return {"fleet_kit": name, **files}
        keys = {"sensors", "sampling", "label"} & content.keys()
        return {f"fleet_{key}": content[key] for key in keys} | files
