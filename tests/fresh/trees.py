"""Clean root trees of Debian: a base per release, kept, and a throw-away machine made of it.

The base has what mmdebstrap calls minbase and the packages that the README tells a person to
install, read from there, so that a package the README forgets is missed here. It is kept in the
user's cache folder under a name that changes with what it is made from.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fresh.network import ROOT, Network, UnavailableError

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "protoledger/fresh"
_RECIPE = "1"  # raise it when the steps below change
_WITHOUT = ("man", "doc", "locale", "info")
_PATIENCE_S = 20.0
_HOSTS = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
"""What the installer writes, and mmdebstrap does not."""


def packages() -> list[str]:
    """What the README says is to be installed on Debian."""
    text = (ROOT / "README.md").read_text()
    found = re.search(r"^\$ sudo apt install ([^#\n]+)", text, re.MULTILINE)
    if found is None:
        raise SystemExit("README.md has no line `$ sudo apt install …`")
    return found[1].split()


def base(suite: str, network: Network, log: Path) -> Path:
    """The archive of a release's tree, made if it is not there; a few minutes, 400 MB."""
    recipe = (suite, packages(), network.mirror, network.apt, _RECIPE)
    key = hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]
    archive = _CACHE / f"{suite}-{key}.tar"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / f"{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.is_file():
            for older in _CACHE.glob(f"{suite}-*.tar"):
                older.unlink()
            fresh = _CACHE / f"{suite}.new.tar"
            fresh.unlink(missing_ok=True)
            _bootstrap(suite, network, fresh, log)
            fresh.rename(archive)
    return archive


def _bootstrap(suite: str, network: Network, target: Path, log: Path) -> None:
    options = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _WITHOUT]
    options += [f"--aptopt={line}" for line in ('Acquire::Languages "none";', *network.apt)]
    command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(packages())}", *options]
    command += [suite, str(target), f"deb {network.mirror} {suite} main"]
    with log.open("w") as output, _process(command, output) as making:
        code = making.wait()
    if code != 0:
        target.unlink(missing_ok=True)
        text = f"mmdebstrap ended with exit code {code}; its log: {log}"
        wrong = "Unable to locate package" in log.read_text(errors="replace")
        raise RuntimeError(text) if wrong else UnavailableError(text)


@dataclass(frozen=True)
class Machine:
    """A tree with a clone's source and one who works there."""

    tree: Path
    user: str
    environment: dict[str, str]

    @property
    def home(self) -> str:
        """The user's folder, as the tree names it."""
        return "/root" if self.user == "root" else f"/home/{self.user}"

    def run(self, script: str, log: Path, waiting: Callable[[], None]) -> int:
        """Run a line of shell in the user's home; returns its exit code.

        What it leaves running ends with it. `waiting` is called every second until then.
        """
        command = ["systemd-nspawn", "--quiet", "--pipe", "--register=no", "--keep-unit"]
        command += [
            f"--directory={self.tree}",
            f"--machine={self.tree.name}",
            f"--user={self.user}",
        ]
        command += [f"--setenv={name}={value}" for name, value in self.environment.items()]
        command += [f"--chdir={self.home}", "bash", "-c", script]
        with log.open("w") as output, _process(command, output) as running:
            while running.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running.wait(1.0)
                waiting()
        return running.returncode


@contextlib.contextmanager
def machine(archive: Path, network: Network, user: str) -> Iterator[Machine]:
    """Unpack a tree with the network's settings and a clone to clone from; deleted afterwards."""
    folder = _CACHE / f"{archive.name.split('-')[0]}-{user}-{os.getpid()}"
    try:
        folder.mkdir(mode=0o755)
        _run("tar", "-xpf", str(archive), "--numeric-owner", "-C", str(folder))
        made = Machine(folder, user, network.environment)
        if user != "root":
            _run("chroot", str(folder), "useradd", "--create-home", "--shell", "/bin/bash", user)
        (folder / "etc/hosts").write_text(_HOSTS)
        network.hand_to(folder, folder / made.home.lstrip("/"))
        _run("git", "clone", "--quiet", "--bare", str(ROOT), str(folder / "srv/protoledger.git"))
        owned = [made.home, "/srv/protoledger.git"]
        _run("chroot", str(folder), "chown", "-R", f"{user}:", *owned)
        yield made
    finally:
        _remove(folder)


def sweep() -> None:
    """Remove the machines of runs that were killed before they could."""
    for folder in _CACHE.glob("*-*-*"):
        if not Path("/proc", folder.name.rpartition("-")[2]).exists():
            _remove(folder)


def _remove(folder: Path) -> None:
    """Delete a tree; never through a mount that something left in it."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    for point in (line.split()[4] for line in mounts):
        if point.startswith(f"{folder}/") or point == str(folder):
            _run("umount", "--lazy", point)
    shutil.rmtree(folder, ignore_errors=True)
    for left in Path("/run/systemd/nspawn").glob(f"*/{folder.name}"):
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _process(command: list[str], output: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process while the block does, in a session of its own that Ctrl-C does not reach."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, number)
                end = time.monotonic() + _PATIENCE_S
                while process.poll() is None and time.monotonic() < end:
                    time.sleep(0.1)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {(done.stderr + done.stdout)[-2000:]}")
