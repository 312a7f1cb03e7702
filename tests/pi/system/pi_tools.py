"""What the parts of the emulated Pi are made with: commands, a cache, initramfs archives."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CACHE = ROOT / ".venv-pi"
PYTHON = "3.11"  # what the guest's Debian has


class BuildError(RuntimeError):
    """A part could not be made."""


def run(*command, cwd=None, data=None):
    """Run a command and hand on what it wrote.

    Raises:
        BuildError: it failed; with the end of what it said.
    """
    try:
        ended = subprocess.run(command, cwd=cwd, input=data, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise BuildError(f"{command[0]} is not installed; `make test-pi` installs it") from error
    if ended.returncode:
        said = (ended.stdout + ended.stderr).decode(errors="replace").splitlines()[-25:]
        raise BuildError("\n".join([f"{command[0]} ended with {ended.returncode}:", *said]))
    return ended.stdout


def cached(name, recipe, build):
    """Make a folder, or find the one that was made by the same recipe.

    Args:
        name: of the part; older ones of that name are removed.
        recipe: files that all of the result follows from, but for what Debian offers that day.
        build: fills an empty folder.
    """
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in recipe)).hexdigest()[:16]
    ready = CACHE / f"{name}-{digest}"
    if ready.is_dir():
        return ready
    CACHE.mkdir(exist_ok=True)
    for old in CACHE.glob(f"{name}-*"):
        shutil.rmtree(old)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=f"{name}.") as folder:
        part = Path(folder) / "part"
        part.mkdir()
        build(part)
        part.rename(ready)
    print(f"made {name} in {time.monotonic() - began:.0f} s: {ready.relative_to(ROOT)}")
    return ready


def compile_python(folder, tree):
    """Compile to bytecode, which takes an emulated processor long, if this Python's is the same.

    Args:
        folder: of the Python files.
        tree: the guest's root, which it is in.
    """
    if sys.version_info[:2] == tuple(int(part) for part in PYTHON.split(".")):
        options = ("-q", "--invalidation-mode", "unchecked-hash", "-s", tree, "-p", "/")
        run(sys.executable, "-m", "compileall", *options, folder)


def pack(folder, archive):
    """Write a folder as an initramfs archive whose files are root's."""
    names = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    listed = b"".join(b"./" + os.fsencode(name) + b"\0" for name in names)
    options = ("--quiet", "--null", "--create", "--format=newc", "--owner=0:0")
    archive.write_bytes(run("cpio", *options, cwd=folder, data=listed))
