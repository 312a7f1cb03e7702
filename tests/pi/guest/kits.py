"""Runs a kit's agent under its rendered unit, and tells what systemd and the agent say of it."""

import json
import shutil
import subprocess
import time
from pathlib import Path

from overlays import Overlays, load
from simulator import Pin
from telling import tell

_KITS = Path("/opt/pi/kits")
_ETC = Path("/etc/protoledger")
_UNIT = Path("/etc/systemd/system/protoledger-edge.service")
_STATE = Path("/var/lib/private/protoledger")
_BUSES = ("dtparam=spi=on", "dtparam=i2c_arm=on")  # there for all, so that refusals mean something
_CLASSES = {
    "char-gpiochip": "/dev/gpiochip0", "char-spi": "/dev/spidev0.0", "char-i2c": "/dev/i2c-1",
}  # fmt: skip
_OTHERS = ("/dev/vda", "/dev/ttyAMA0", "/dev/rtc0")
_PULLED_UP = (22,)  # as the light sensor's capacitor is, once it is charged
_LOOK_EVERY_S = 1.0
_LIMIT_S = 900
_ADDED = """\
[Service]
# an emulated processor takes its time
TimeoutStartSec=600
ExecStartPre=/usr/bin/python3 -S /opt/pi/probe.py nodes.json {nodes}
"""
_SHOWN = ("Result", "ActiveState", "NRestarts", "ExecMainStatus")


def run_kit(order, orders):
    """Start a kit's service, tell its sensors' states until the host has seen enough, stop it."""
    source = _KITS / order["kit"]
    needs = json.loads((source / "needs.json").read_text())
    install_kit(source, order["instead"])
    _probe_first()
    try:
        with Overlays(dict.fromkeys((*_BUSES, *needs["config"]))):
            for module in ("i2c-dev", *needs["modules"]):
                load(module)
            subprocess.run(["udevadm", "settle"], check=True)  # it gives the nodes their modes
            for number in _PULLED_UP:
                Pin(number).high()
            _open_to_all(needs["devices"])
            return _run(orders)
    finally:
        shutil.rmtree(_STATE, ignore_errors=True)


def _open_to_all(devices):
    """Let the unit's policy alone refuse what the kit does not need: whoever may open the rest."""
    for device, node in _CLASSES.items():
        Path(node).chmod(0o660 if device in devices else 0o666)
    for node in _OTHERS:
        Path(node).chmod(0o666)


def install_kit(source, instead=()):
    """Put the files where the playbook does; `instead` has lines of the unit that are changed."""
    shutil.rmtree(_ETC, ignore_errors=True)
    shutil.copytree(source / "etc", _ETC)
    text = (source / "protoledger-edge.service").read_text()
    for line, other in instead:
        if text.count(f"{line}\n") != 1:
            raise ValueError(f"the unit does not have the line {line!r} once")
        text = text.replace(f"{line}\n", other)
    _UNIT.write_text(text)
    _systemctl("daemon-reload")


def _probe_first():
    """Have systemd start the probe where it starts the agent, before that."""
    added = _UNIT.with_name("protoledger-edge.service.d") / "probe.conf"
    added.parent.mkdir(exist_ok=True)
    added.write_text(_ADDED.format(nodes=" ".join((*_CLASSES.values(), *_OTHERS))))
    _systemctl("daemon-reload")


def _run(orders):
    started = _systemctl("start", "protoledger-edge")
    if started == 0:
        _follow(orders)
    checked = subprocess.run(
        ["protoledger", "edge", "check", "--running", "-c", _ETC / "agent.yaml"], check=False
    ).returncode
    told = {"code": started, "checked": checked}
    told |= _shown("protoledger-edge")
    told["user"] = _user(_shown("protoledger-edge", "MainPID")["MainPID"])
    nodes = _STATE / "nodes.json"
    told["nodes"] = json.loads(nodes.read_text()) if nodes.exists() else {}
    _systemctl("stop", "protoledger-edge")
    told["stopped"] = _shown("protoledger-edge", "Result")["Result"]
    journal = ("journalctl", "-u", "protoledger-edge", "-b", "-o", "cat", "--no-pager", "-n", "40")
    subprocess.run(journal, check=False)
    return told


def _follow(orders):
    """Tell the agent's status whenever it is a new one, until the host sends something."""
    last, deadline = None, time.monotonic() + _LIMIT_S
    while not orders.next() and time.monotonic() < deadline:
        try:
            status = json.loads((_STATE / "status.json").read_text())
        except FileNotFoundError:
            status = None
        if status and status != last:
            tell("status", **status)
            last = status
        time.sleep(_LOOK_EVERY_S)


def _user(pid):
    """Whose process it is: user and groups, and whether it may still gain rights."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return {}
    fields = dict(line.split(":", 1) for line in lines)
    wanted = ("Uid", "Groups", "NoNewPrivs", "Seccomp", "CapEff")
    return {name: fields[name].split() for name in wanted}


def _systemctl(*arguments):
    return subprocess.run(["systemctl", *arguments], check=False).returncode


def _shown(unit, *names):
    command = ["systemctl", "show", unit, f"--property={','.join(names or _SHOWN)}"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in text.splitlines())
