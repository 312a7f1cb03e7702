"""Network namespaces that a router joins, one a house; the line between two groups can be cut.

For a process that has a network namespace of its own (`isolation`): that is the router, and reaches
every house whatever is cut. Needs root and iproute2.
"""

import itertools
import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from protoledger.emulator.processes.networks.network import Place


class Houses:
    """Houses 0, 1, …; use it in a `with` block."""

    def __init__(self, count: int) -> None:
        self._undo = ExitStack()
        self._names = [f"pl{os.getpid()}h{number}" for number in range(count)]
        self._rules: list[list[str]] = []

    def __enter__(self) -> Self:
        up = subprocess.run(["ip", "-o", "link", "show", "up"], capture_output=True, check=True)
        assert up.stdout.count(b"\n") == 1, "run it in a network namespace of its own"
        try:
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
            for number in range(len(self._names)):
                self._build(number)
        except BaseException:
            self._undo.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def _build(self, number: int) -> None:
        name, wire = self._names[number], f"w{number}"
        run("netns", "add", name)
        self._undo.callback(run, "netns", "del", name)
        run("link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("address", "add", f"10.99.{number}.1/24", "dev", wire)
        run("link", "set", wire, "up")
        run("-n", name, "link", "set", "lo", "up")
        run("-n", name, "address", "add", f"{self.address(number)}/24", "dev", "eth0")
        run("-n", name, "link", "set", "eth0", "up")
        run("-n", name, "route", "add", "default", "via", f"10.99.{number}.1")

    @staticmethod
    def address(number: int) -> str:
        """The address of a house."""
        return f"10.99.{number}.2"

    def places(self) -> list[Place]:
        """All houses, as a network of validators wants them."""
        enter = [("ip", "netns", "exec", name) for name in self._names]
        return [Place(self.address(number), words) for number, words in enumerate(enter)]

    def part(self, *groups: Sequence[int]) -> None:
        """Lose every packet between the groups, without a word to either side."""
        for one, other in itertools.permutations(groups, 2):
            for a, b in itertools.product(one, other):
                rule = ["from", self.address(a), "to", self.address(b), "blackhole"]
                run("rule", "add", *rule)
                self._rules.append(rule)

    def join(self) -> None:
        """Let everybody reach everybody again."""
        while self._rules:
            run("rule", "del", *self._rules.pop())


def possible() -> bool:
    """Whether this user may make houses on this machine."""
    return os.geteuid() == 0 and shutil.which("ip") is not None


def run(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)
