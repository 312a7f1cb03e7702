"""The guest's disks: images of ext4, made and looked at without mounting them."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.pi.system.pi_packages import packages
from tests.pi.system.pi_system import system
from tests.pi.system.pi_tools import HERE, ROOT, BuildError, cached, run

_ROOT_SIZE = 1 << 30
_NAMES = ("pi_disk.py", "pi_system.py", "pi_initramfs.py", "build_gpio_sim.sh", "pi_packages.py")


def base():
    """Make, or find, the folder with `root.img`: the system and the Python packages."""
    recipe = [HERE / name for name in _NAMES]
    recipe += [ROOT / "pyproject.toml", ROOT / "requirements.lock"]
    return cached("base", recipe, _build)


def write_root(image, tree):
    """Write a root file system: what `base` has, and a tree with files that are of one run."""
    run("cp", "--sparse=always", base() / "root.img", image)
    known = (system() / "tree", packages() / "tree")
    orders = []
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree)
        there = any((one / name).exists() for one in known)
        if there and not path.is_dir():
            orders.append(f'rm "/{name}"')
        if path.is_symlink():
            orders.append(f'symlink "/{name}" "{path.readlink()}"')
        elif not path.is_dir():
            orders.append(f'write "{path}" "/{name}"')
        elif not there:
            orders.append(f'mkdir "/{name}"')
    _debugfs(image, orders)


def write_data(image, label, size=64 << 20):
    """Write an empty file system with a label."""
    _make(image, size, "-L", label)


def check(image):
    """Look at a file system as the next boot would: its journal is replayed, on a copy.

    Returns:
        What is wrong with it; empty if it is clean then.
    """
    with tempfile.TemporaryDirectory(dir=image.parent) as folder:
        copy = Path(folder) / image.name
        run("cp", "--sparse=always", image, copy)
        subprocess.run(["e2fsck", "-p", copy], capture_output=True, check=False)
        ended = subprocess.run(["e2fsck", "-fn", copy], capture_output=True, text=True, check=False)
        return "" if ended.returncode == 0 else ended.stdout + ended.stderr


def _build(folder):
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        tree = Path(scratch) / "tree"
        for part in (system(), packages()):
            shutil.copytree(part / "tree", tree, symlinks=True, dirs_exist_ok=True)
        _make(folder / "root.img", _ROOT_SIZE, "-d", tree)


def _make(image, size, *options):
    image.touch()
    os.truncate(image, size)
    run("mkfs.ext4", "-q", "-F", "-E", "root_owner=0:0", *options, image)


def _debugfs(image, orders):
    ended = subprocess.run(
        ["debugfs", "-w", "-f", "-", image],
        input="\n".join(orders), capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = [line for line in ended.stderr.splitlines() if not line.startswith("debugfs 1.")]
    if ended.returncode or said:
        raise BuildError("\n".join([f"debugfs, on {image.name}:", *said[:20]]))
