"""Steps about power cuts: an agent as a service, a root that is never written to, and writers."""

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

from kits import install_kit
from telling import tell

_READONLY = Path("/opt/pi/readonly")
_STATE = Path("/var/lib/private/protoledger")
_MARK = "a mark of boot"
_JOURNAL = ("--boot", "--no-pager", "--quiet")
_FAILED = ("systemctl", "--state=failed,auto-restart", "--plain", "--no-legend", "--no-pager")
_ERRORS = Path("/data/errors.log")
_PLACES = ("/", "/data", "/media/root-ro", str(_STATE))
_LOOK_EVERY_S = 0.5


def run_power(order, orders):
    """Do one of the steps."""
    match order["what"]:
        case "install":
            install_kit(Path("/opt/pi/kits") / order["kit"])
            run("systemctl", "enable", "--now", "protoledger-edge")
        case "close":
            close_root()
        case "write":
            write(order["boot"], orders)
    return {"code": 0}


def close_root():
    """Do what the role `readonly` does, with the files that it renders."""
    facts = json.loads((_READONLY / "facts.json").read_text())
    folder, kept = Path(facts["folder"]), facts["kept"]
    units = Path("/etc/systemd/system")
    shutil.copytree(_READONLY / "etc", "/etc", dirs_exist_ok=True)
    run("systemctl", "daemon-reload")
    run("systemctl", "enable", "--now", facts["mount"])
    run("systemctl", "stop", "protoledger-edge")
    (folder / "kept").mkdir()
    for path, unit in kept.items():
        run("mkdir", "--parents", path)
        run("cp", "--archive", "--no-target-directory", path, folder / "kept" / unit)
        assert (units / unit).exists()
    run("systemctl", "enable", *kept.values(), "protoledger-errors.service")


def write(boot, orders):
    """Write until the power fails; say first how the machine came up, and when its agent did."""
    subprocess.run(
        ["systemd-cat", "--priority=err", "--identifier=steps"],
        input=f"{_MARK} {boot}", text=True, check=True,
    )  # fmt: skip
    tell("machine", **look())
    # writes outlive the boot where the agent's state does
    wait_for(_STATE.is_dir, orders)
    with subprocess.Popen(["python3", "/opt/pi/writer.py", _STATE / "writer"]) as writer:
        try:
            wait_for(is_active, orders)
            tell("agent", **look())
            wait_for(lambda: writer.poll() is not None, orders)
            raise RuntimeError("the writer ended")
        except InterruptedError:
            tell("stopped")
        finally:
            writer.kill()


def wait_for(what, orders):
    """Wait until something is true; orders end it."""
    while not what():
        if orders.next():
            raise InterruptedError
        time.sleep(_LOOK_EVERY_S)


def is_active():
    """Whether systemd takes the agent for ready."""
    return shown("systemctl", "is-active", "protoledger-edge").strip() == "active"


def look():
    """How the machine is: what it mounted, what failed, what was logged of earlier boots."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    where = {place: (device, kind) for device, place, kind, *_ in mounts}
    kernel = shown("journalctl", "--dmesg", "--priority=err", *_JOURNAL).splitlines()
    failed = shown(*_FAILED).splitlines()
    errors = _ERRORS.read_text() if _ERRORS.exists() else ""
    return {
        "mounts": {place: where.get(place) for place in _PLACES},
        "failed": [line.split()[0] for line in failed],
        "kernel": [line for line in kernel if "EXT4" in line or "I/O" in line],
        "errors": marks(errors),
        "journal": marks(shown("journalctl", "--identifier=steps", *_JOURNAL[1:])),
        "damaged": [path.name for path in _STATE.glob("**/*.damaged")],
    }


def marks(text):
    """The boots whose marks are in a log."""
    return sorted({int(found) for found in re.findall(rf"{_MARK} (\d+)$", text, re.MULTILINE)})


def run(*command):
    """Run a command that must not fail."""
    subprocess.run(command, check=True)


def shown(*command):
    """Run a command and return what it wrote."""
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout
