"""The system that every host of a test fleet starts from, and the packages that it may install.

Debian with systemd, SSH and Python, made once by mmdebstrap from the mirror that apt of this
machine is set up with, and a folder of .deb files, so that the fleet itself needs no network. Both
lie in `.fleet/` of the checkout, under a name that changes with what they are made from.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".fleet"
SUITE = "trixie"
USER = "pi"
# fmt: off
_BASE = [
    "systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "python3-venv", "python3-apt",
    "python3-packaging", "sudo", "iproute2", "ca-certificates", "iputils-ping",
]
_OFFERED = [
    "mosquitto", "nftables", "unattended-upgrades", "systemd-timesyncd", "python3-cryptography",
    "prometheus-node-exporter", "prometheus", "cloud-init", "libpam-systemd", "openssh-client",
    "locales", "keyboard-configuration", "console-setup", "netplan.io",
]
# fmt: on
_RECIPE = "2"  # raise it when the steps below change


@dataclass(frozen=True)
class Golden:
    """`tree` is the root file system (never written to), `packages` an apt repository."""

    tree: Path
    packages: Path


def golden() -> Golden:
    """Give the tree and the packages, made if they are not there yet."""
    key = hashlib.sha256(repr((SUITE, _BASE, _OFFERED, _RECIPE)).encode()).hexdigest()[:12]
    folder = CACHE / key
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            fresh = CACHE / f"{key}.new"
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            _make_tree(fresh / "tree")
            _fetch_packages(fresh)
            _finish(fresh / "tree")
            fresh.rename(folder)
    return Golden(folder / "tree", folder / "apt")


def mirror() -> list[str]:
    """Read the Debian mirror that apt of this machine uses; nothing if it uses mmdebstrap's own."""
    folder = Path("/etc/apt")
    listed = [*folder.glob("sources.list.d/*.sources"), *folder.glob("sources.list.d/*.list")]
    for file in [*listed, folder / "sources.list"]:
        text = file.read_text() if file.exists() else ""
        for line in text.splitlines():
            found = re.match(r"\s*(?:URIs:|deb(?:\s+\[[^]]*\])?)\s+(\S+)", line)
            if found and found[1].rstrip("/").endswith("/debian"):
                return [found[1]]
    return []


def _run(*command: str | Path, **options) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        **options,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {(done.stderr + done.stdout)[-3000:]}")
    return done.stdout


def _make_tree(tree: Path) -> None:
    without = ("man", "doc", "locale", "info")
    options = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in without]
    _run(
        "mmdebstrap", "--variant=minbase", f"--include={','.join(_BASE)}",
        '--aptopt=Acquire::Languages "none"', *options, SUITE, tree, *mirror(),
    )  # fmt: skip
    for identity in ("etc/machine-id", "var/lib/dbus/machine-id"):
        (tree / identity).unlink(missing_ok=True)


def _fetch_packages(folder: Path) -> None:
    """Download what the roles install, on this machine's network, in a throw-away overlay."""
    apt = folder / "apt"
    apt.mkdir()
    with overlay(folder / "tree", folder / "fetch") as root:
        shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
        for conf in Path("/etc/apt/apt.conf.d").glob("*"):
            if "proxy" in conf.read_text(errors="replace").lower():
                shutil.copyfile(conf, root / "etc/apt/apt.conf.d" / conf.name)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        _run("chroot", root, "apt-get", "-q", "update", env=quiet)
        install = ["apt-get", "-qy", "--no-install-recommends", "--download-only", "install"]
        _run("chroot", root, *install, *_OFFERED, env=quiet)
        for package in (root / "var/cache/apt/archives").glob("*.deb"):
            shutil.copyfile(package, apt / package.name)
    index = _run("dpkg-scanpackages", "--multiversion", ".", "/dev/null", cwd=apt)
    (apt / "Packages").write_text(index)


def _finish(tree: Path) -> None:
    """Point apt at the offered packages and make the user that Ansible logs in as."""
    shutil.rmtree(tree / "etc/apt/sources.list.d", ignore_errors=True)
    (tree / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/srv/apt ./\n")
    os.utime(tree / "var/lib/apt/lists", (0, 0))  # or Ansible takes them for fresh, and empty
    _run("chroot", tree, "useradd", "--create-home", "--shell", "/bin/bash", USER)
    (tree / "etc/sudoers.d/fleet").write_text(f"{USER} ALL=(ALL) NOPASSWD: ALL\n")
    (tree / "etc/sudoers.d/fleet").chmod(0o440)
    (tree / "home" / USER / ".ssh").mkdir(mode=0o700)
    # a container has no console to log in at and no devices of its own, and the test sets its
    # network up: who waits for networkd to say that it is online would wait for ever
    network = [
        f"systemd-networkd{rest}" for rest in (".socket", ".service", "-wait-online.service")
    ]
    for unit in ("getty.target", "console-getty.service", "systemd-udevd.service", *network):
        (tree / "etc/systemd/system" / unit).symlink_to("/dev/null")


@contextlib.contextmanager
def overlay(lower: Path, folder: Path) -> Iterator[Path]:
    """Mount a writable copy of `lower` at `folder`/root while the block runs."""
    upper, work, root = (folder / name for name in ("upper", "work", "root"))
    for path in (upper, work, root):
        path.mkdir(parents=True, exist_ok=True)
    where = f"lowerdir={lower},upperdir={upper},workdir={work}"
    _run("mount", "-t", "overlay", "overlay", "-o", where, root)
    try:
        yield root
    finally:
        _run("umount", "--lazy", root)
        shutil.rmtree(folder, ignore_errors=True)
