"""The virtual machine: its files, its start, its power cuts, and what it tells."""

import json
import re
import shutil
import socket
import tempfile
import time
from pathlib import Path

import pytest

from protoledger.emulator.errors import ChildDied
from protoledger.emulator.processes.children import ChildEvent, Ended
from tests.pi.system.pi_disk import write_root
from tests.pi.system.pi_packages import install_ourselves
from tests.pi.system.pi_system import system
from tests.pi.system.pi_tools import HERE as SYSTEM
from tests.pi.system.pi_tools import run

_MACHINE = (
    *("qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a53", "-smp", "2", "-m", "1024"),
    *("-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-nodefaults"),
    *("-netdev", "user,id=net", "-device", "virtio-net-device,netdev=net"),
    *("-device", "virtio-serial-device"),
)
# as Raspberry Pi OS has it, neither ro nor rw: the initramfs mounts read-only, systemd remounts
_COMMAND_LINE = (
    "console=ttyAMA0 root=/dev/vda rootfstype=ext4 fsck.repair=yes loglevel=4 panic=-1 "
    "systemd.show_status=false"
)
_GUEST = Path(__file__).parent / "guest"
_STEP_LIMIT_S = 1200
_SHOWN_LINES = 40
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Guest:
    """A Pi 3B, as far as programs in it can see.

    Args:
        folder: for its files; of a short path, as the socket's may have about 100 characters.
        children: owns its process.

    Attributes:
        up: what it told when it had booted; empty before.
        begun: names of the steps that it has begun.
        ended: what the steps ended with, by name.
        told: its other events, in their order.
        rounds: the gateway's events of completed rounds.
    """

    def __init__(self, folder, children):
        self._folder = folder
        self._children = children
        self._boots = 0
        self._is_over = False
        self.rounds = []
        self._forget()

    def write(self, write_files):
        """Write its root file system; `write_files` puts what is of this run alone in a tree."""
        tree = self._folder / "tree"
        shutil.copytree(_GUEST / "root", tree, symlinks=True)
        shutil.copytree(
            _GUEST, tree / "opt/pi", ignore=shutil.ignore_patterns("root", "__pycache__")
        )
        write_files(tree)
        install_ourselves(tree)
        write_root(self.root, tree)

    @property
    def root(self):
        """The image of its root file system."""
        return self._folder / "root.img"

    def switch_on(self, *more):
        """Start it, with further disks: /dev/vdb and so on; `wait_until_up` before any step."""
        self._boots += 1
        self._forget()
        path = self._orders_path
        machine = [*_MACHINE, "-chardev", f"socket,id=orders,path={path},server=on,wait=off"]
        machine += ["-device", "virtserialport,chardev=orders"]
        # the machine gives out its places from the last to the first
        for number, image in reversed([*enumerate((self.root, *more))]):
            machine += ["-drive", f"if=none,id=disk{number},format=raw,file={image}"]
            machine += ["-device", f"virtio-blk-device,drive=disk{number}"]
        tree = self._folder / "pi.dtb"
        _write_device_tree(machine, tree)
        files = ("-kernel", system() / "vmlinuz", "-initrd", system() / "initramfs", "-dtb", tree)
        self._children.start(self._name, [*machine, *files, "-append", _COMMAND_LINE], may_end=True)

    def wait_until_up(self):
        """Wait until it takes orders."""
        self.wait("the boot", lambda: self.up)
        self._orders = socket.socket(socket.AF_UNIX)
        self._orders.connect(str(self._orders_path))

    def cut_power(self):
        """End it at once, whatever it does; what it told until then is in `told`."""
        self._children.kill(self._name)
        while event := self._children.wait_any(0.5):
            self._take(event)

    def look_on(self, seconds):
        """Let it do what it does for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._take(self._children.wait_any(min(left, 0.5)))

    def order(self, step, **more):
        """Ask for a step, or for the end of one that waits for that."""
        self._orders.sendall(json.dumps({"step": step, **more}).encode() + b"\n")

    def wait(self, what, ready, limit_s=_STEP_LIMIT_S):
        """Take events until `ready()`.

        Fails, with the console's last lines, if that takes too long or a process ends before.
        """
        deadline = time.monotonic() + limit_s
        while not ready():
            problem = ""
            try:
                self._take(self._children.wait_any(0.5))
            except ChildDied as error:
                problem = str(error)
            if self._is_over and not ready():
                problem = "the guest ended"
            if time.monotonic() > deadline:
                problem = problem or f"nothing within {limit_s} s"
            if problem:
                shown = "\n".join([*self._lines()[-_SHOWN_LINES:], *map(str, self.told[-1:])])
                pytest.fail(f"waiting for {what}: {problem}; the console:\n{shown}", pytrace=False)

    def wait_for_end(self, step):
        """Wait for a step's end, print what it showed, and return what it ended with."""
        self.wait(f"the end of the step {step!r}", lambda: step in self.ended)
        told = {key: value for key, value in self.ended[step].items() if key != "event"}
        print(*self.shown_by(step), json.dumps(told), sep="\n")
        return told

    def do(self, step, **more):
        """Ask for a step, and wait for its end."""
        self.order(step, **more)
        return self.wait_for_end(step)

    def switch_off(self):
        """Shut it down, as `poweroff` does."""
        self.order("off")
        self.wait("the end", lambda: self._is_over)

    def shown_by(self, step):
        """Return the lines that it wrote to the console during a step."""
        lines = self._lines()
        begin = lines.index(f"== {step}")
        ends = (n for n, line in enumerate(lines) if n > begin and line.startswith("== "))
        return lines[begin : next(ends, None)]

    @property
    def _orders_path(self):
        return self._folder / f"orders{self._boots}"

    @property
    def _name(self):
        return f"guest{self._boots}"

    def _forget(self):
        self.up, self.begun, self.ended, self.told = {}, set(), {}, []
        self._is_over = False

    def _take(self, event):
        if isinstance(event, Ended):
            self._is_over = self._is_over or event.name == self._name
        if not isinstance(event, ChildEvent):
            return
        match event.name, event.data.get("event"):
            case "gateway", "round":
                self.rounds.append(event.data)
            case self._name, "up":
                self.up = event.data
            case self._name, "begin":
                self.begun.add(event.data["step"])
            case self._name, "end":
                self.ended[event.data["step"]] = event.data
            case self._name, _:
                self.told.append(event.data)

    def _lines(self):
        log = self._folder / f"logs/{self._name}.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        return [line.rstrip() for line in _COLOURS.sub("", text).splitlines() if line.strip()]


def _write_device_tree(machine, target):
    """Write the device tree of QEMU's machine, edited to look like a Pi 3B."""
    with tempfile.TemporaryDirectory() as folder:
        plain, overlay = Path(folder) / "virt.dtb", Path(folder) / "pi.dtbo"
        run(*("virt,dumpdtb=" + str(plain) if part == "virt" else part for part in machine))
        run("dtc", "-q", "-@", "-O", "dtb", "-o", overlay, SYSTEM / "pi.dtso")
        run("fdtoverlay", "-i", plain, "-o", target, overlay)
