"""The virtual machine: its files, its start, and what it tells."""

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
from tests.pi.pi_packages import install_ourselves, packages
from tests.pi.pi_system import system
from tests.pi.pi_tools import HERE, pack, run

_MACHINE = (
    *("qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a53", "-smp", "2", "-m", "1536"),
    *("-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-nodefaults"),
    *("-netdev", "user,id=net", "-device", "virtio-net-device,netdev=net"),
    *("-device", "virtio-serial-device"),
)
_COMMAND_LINE = "console=ttyAMA0 loglevel=7 panic=-1"
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
        rounds: the gateway's events of completed rounds.
    """

    def __init__(self, folder, children):
        self._folder = folder
        self._children = children
        self._log = folder / "logs/guest.log"
        self._orders = folder / "orders"
        self._is_over = False
        self.up = {}
        self.begun = set()
        self.ended = {}
        self.rounds = []

    def boot(self, write_files):
        """Start it; `write_files` puts what is of this run alone in the tree that it is given."""
        tree = self._folder / "tree"
        shutil.copytree(HERE / "guest", tree / "opt/pi")
        (tree / "init").symlink_to("opt/pi/init.py")
        write_files(tree)
        install_ourselves(tree)
        pack(tree, self._folder / "run.cpio")
        made = system()
        # the kernel unpacks archives that are put one behind the other
        with (self._folder / "initramfs").open("wb") as initramfs:
            for part in (
                made / "system.cpio",
                packages() / "packages.cpio",
                self._folder / "run.cpio",
            ):
                with part.open("rb") as source:
                    shutil.copyfileobj(source, initramfs)
        orders = f"socket,id=orders,path={self._orders},server=on,wait=off"
        machine = (*_MACHINE, "-chardev", orders, "-device", "virtserialport,chardev=orders")
        _write_device_tree(machine, self._folder / "pi.dtb")
        files = ("-kernel", made / "vmlinuz", "-initrd", self._folder / "initramfs")
        tree_and_line = ("-dtb", self._folder / "pi.dtb", "-append", _COMMAND_LINE)
        self._children.start("guest", [*machine, *files, *tree_and_line], may_end=True)

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
                shown = "\n".join(self._lines()[-_SHOWN_LINES:])
                pytest.fail(f"waiting for {what}: {problem}; the console:\n{shown}", pytrace=False)

    def wait_for_end(self, step):
        """Wait for a step's end, print what it showed, and return what it ended with."""
        self.wait(f"the end of the step {step!r}", lambda: step in self.ended)
        told = {key: value for key, value in self.ended[step].items() if key != "event"}
        print(*self.shown_by(step), json.dumps(told), sep="\n")
        return told

    def stop_agent(self):
        """Tell the guest that its agent has run for long enough."""
        with socket.socket(socket.AF_UNIX) as orders:
            orders.connect(str(self._orders))
            orders.sendall(b"stop\n")
            return self.wait_for_end("agent")

    def _take(self, event):
        if isinstance(event, Ended):
            self._is_over = self._is_over or event.name == "guest"
        if not isinstance(event, ChildEvent):
            return
        match event.name, event.data.get("event"):
            case "guest", "up":
                self.up = event.data
            case "guest", "begin":
                self.begun.add(event.data["step"])
            case "guest", "end":
                self.ended[event.data["step"]] = event.data
            case "gateway", "round":
                self.rounds.append(event.data)

    def _lines(self):
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return [line.rstrip() for line in _COLOURS.sub("", text).splitlines() if line.strip()]

    def shown_by(self, step):
        lines = self._lines()
        begin = lines.index(f"== {step}")
        ends = (n for n, line in enumerate(lines) if n > begin and line.startswith("== "))
        return lines[begin : next(ends, None)]


def _write_device_tree(machine, target):
    """Write the device tree of QEMU's machine, edited to look like a Pi 3B."""
    with tempfile.TemporaryDirectory() as folder:
        plain, overlay = Path(folder) / "virt.dtb", Path(folder) / "pi.dtbo"
        run(*("virt,dumpdtb=" + str(plain) if part == "virt" else part for part in machine))
        run("dtc", "-q", "-@", "-O", "dtb", "-o", overlay, HERE / "pi.dtso")
        run("fdtoverlay", "-i", plain, "-o", target, overlay)
