"""Hosts of a test fleet: booted systemd containers, each in a network namespace of its own.

One bridge in one namespace joins them; that namespace also is the controller's place. Nothing of
it can reach the machine's own network. Everything is undone in `close`, whatever happened before:
machines by the pids that were started, then mounts, then namespaces.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from tests.fleet.golden import USER, Golden

_BOOT_S = 90


def run(*command: str | Path, check: bool = True, **options) -> subprocess.CompletedProcess:
    """Run a command to its end; its output is in the error if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **options
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class Machine:
    """One host: its disk outlives its power.

    Attributes:
        name: host name and machine name.
        address: its IPv4 address on the bridge.
        root: its root directory, as long as the fleet is open.
    """

    def __init__(self, fleet: "Machines", name: str, number: int) -> None:
        self.name = name
        self.address = f"10.77.0.{number}"
        self._fleet = fleet
        self._space = f"{fleet.prefix}-{number}"
        self._wire = f"w{number}"
        self._process: subprocess.Popen | None = None
        self._group: Path | None = None
        self.log = fleet.folder / f"{name}.log"
        self.root = self._make_disk()
        self._make_wire()

    def _make_disk(self) -> Path:
        folder = self._fleet.folder / self.name
        paths = [folder / part for part in ("upper", "work", "root")]
        for path in paths:
            path.mkdir(parents=True)
        upper, work, root = paths
        where = f"lowerdir={self._fleet.golden.tree},upperdir={upper},workdir={work}"
        run("mount", "-t", "overlay", "overlay", "-o", where, root)
        self._fleet.undo.callback(run, "umount", "--lazy", root, check=False)
        (root / "etc/hostname").write_text(f"{self.name}\n")
        (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n")
        keys = root / "home" / USER / ".ssh"
        shutil.copyfile(self._fleet.key.with_suffix(".pub"), keys / "authorized_keys")
        owner = (root / "home" / USER).stat()
        for path in (keys, keys / "authorized_keys"):
            os.chown(path, owner.st_uid, owner.st_gid)
        return root

    def _make_wire(self) -> None:
        space, bridge = self._space, self._fleet.space
        run("ip", "netns", "add", space)
        self._fleet.undo.callback(run, "ip", "netns", "del", space, check=False)
        end = f"{self._fleet.prefix}{self._wire}"
        run("ip", "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", space)
        run("ip", "link", "set", end, "netns", bridge, "name", self._wire)
        run("ip", "-n", bridge, "link", "set", self._wire, "master", "br0", "up")
        run("ip", "-n", space, "link", "set", "lo", "up")
        run("ip", "-n", space, "address", "add", f"{self.address}/24", "dev", "eth0")
        run("ip", "-n", space, "link", "set", "eth0", "up")

    def power_on(self) -> None:
        """Boot; returns at once."""
        self._group = _own_group(f"{self._fleet.prefix}-{self.name}-{time.monotonic_ns()}")
        binds = [f"--bind-ro={self._fleet.golden.packages}:/srv/apt"]
        command = [
            "systemd-nspawn", "--quiet", "--directory", self.root, "--machine", self.name,
            "--register=no", "--keep-unit", "--boot", "--console=read-only", "--link-journal=no",
            "--resolv-conf=off", "--timezone=off", "--capability=CAP_NET_ADMIN",
            f"--network-namespace-path=/run/netns/{self._space}", *binds,
        ]  # fmt: skip
        group = self._group

        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(group)]
                + [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                start_new_session=True,
            )

    def power_off(self) -> None:
        """Cut the power: nothing inside gets a chance to say good-bye. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        with contextlib.suppress(OSError):
            for pid in children.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._group is not None:
            _remove_group(self._group)

    def unplug(self) -> None:
        """Take the network cable out."""
        run("ip", "-n", self._fleet.space, "link", "set", self._wire, "down")

    def plug_in(self) -> None:
        """Put the network cable in again."""
        run("ip", "-n", self._fleet.space, "link", "set", self._wire, "up")

    def ssh(self, *command: str, check: bool = True) -> str:
        """Run a command there as root and give what it prints."""
        line = f"sudo -n -- {' '.join(command)}"
        words = [*self._fleet.ssh_command, f"{USER}@{self.address}", line]
        return run(*words, check=check).stdout

    def wait_until_up(self) -> None:
        """Wait until it answers over SSH.

        Raises:
            RuntimeError: with the end of its console, if it does not.
        """
        deadline = time.monotonic() + _BOOT_S
        words = [*self._fleet.ssh_command, f"{USER}@{self.address}", "true"]
        while (tried := run(*words, check=False)).returncode != 0:
            if time.monotonic() > deadline or (self._process and self._process.poll() is not None):
                tail = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.name}: {tried.stderr}\nits console ends:\n{tail}")
            time.sleep(0.2)


class Machines:
    """The fleet's hosts, their bridge and the controller's place; use it in a `with` block."""

    def __init__(self, golden: Golden, names: list[str]) -> None:
        self.golden = golden
        self.prefix = f"pl{os.getpid() % 100_000}"
        self.space = f"{self.prefix}-0"
        self.names = names
        self.undo = contextlib.ExitStack()
        self.machines: dict[str, Machine] = {}

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    @property
    def ssh_command(self) -> list[str]:
        """How the controller logs in; host keys are the golden tree's, known beforehand."""
        known = f"UserKnownHostsFile={self.folder / 'known_hosts'}"
        options = ["-o", known, "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
        return [*self.inside, "ssh", "-i", str(self.key), *options]

    @property
    def inside(self) -> list[str]:
        """What a command is prefixed with to run at the controller's place."""
        return ["nsenter", f"--net=/run/netns/{self.space}", "--"]

    def _open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="protoledger-fleet-"))
        self.undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
        run("mount", "-t", "tmpfs", "-o", "mode=700,size=75%", "tmpfs", self.folder)
        self.undo.callback(run, "umount", "--lazy", self.folder, check=False)
        self.key = self.folder / "key"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet test", "-f", self.key)
        host_key = (self.golden.tree / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"10.77.0.* {host_key}")
        run("ip", "netns", "add", self.space)
        self.undo.callback(run, "ip", "netns", "del", self.space, check=False)
        for words in ("set lo up", "add br0 type bridge", "set br0 up"):
            run("ip", "-n", self.space, "link", *words.split())
        run("ip", "-n", self.space, "address", "add", "10.77.0.1/24", "dev", "br0")
        for number, name in enumerate(self.names, start=2):
            self.machines[name] = Machine(self, name, number)
        for machine in self.machines.values():
            machine.power_on()
            self.undo.callback(machine.power_off)
        for machine in self.machines.values():
            machine.wait_until_up()

    def close(self) -> None:
        """Undo everything, in reverse; idempotent, and not to be stopped by a second Ctrl-C."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self.undo.close()
        finally:
            signal.signal(signal.SIGINT, before)


def _own_group(name: str) -> Path:
    """Make a cgroup (version 2) that a container may have for itself."""
    base = Path("/sys/fs/cgroup/unified")
    if not base.is_dir():
        base = Path("/sys/fs/cgroup")
    group = base / name
    group.mkdir()
    return group


def _remove_group(group: Path) -> None:
    """Remove a container's cgroups from the leaves up, once its processes are gone."""
    for _ in range(50):
        with contextlib.suppress(OSError):
            for path in sorted(group.rglob("*"), key=lambda p: -len(p.parts)):
                if path.is_dir():
                    path.rmdir()
            group.rmdir()
            return
        time.sleep(0.1)
