"""The Python packages of the emulated Pi: wheels for aarch64, at the versions of our lock."""

import shutil
import sys
import tempfile
from pathlib import Path

from tests.pi.pi_tools import HERE, ROOT, cached, pack, run

PYTHON = "3.11"  # what the system of `pi_system` has
PLATFORM = "aarch64-manylinux_2_36"  # its C library

_PIP = (ROOT / ".venv/bin/uv", "--no-config", "pip")
_FOREIGN = ("--python-platform", PLATFORM, "--python-version", PYTHON, "--only-binary", ":all:")


def packages():
    """Make, or find, the folder with `packages.cpio`: what the extra `edge` brings, and pytest."""
    recipe = [HERE / "pi_packages.py", ROOT / "pyproject.toml", ROOT / "requirements.lock"]
    return cached("packages", recipe, _build)


def install_ourselves(tree):
    """Build this project's wheel and unpack it in the guest's tree."""
    target = tree / "opt/protoledger"
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
        (wheel,) = Path(folder).glob("*.whl")
        options = ("--quiet", "--no-deps", "--offline", *_FOREIGN)
        run(*_PIP, "install", *options, "--target", target, wheel)
    _compile(target, tree)


def _build(folder):
    tree, lock = folder / "tree", folder / "edge.lock"
    target = tree / "opt/packages"
    resolve = ("--extra", "edge", "--constraints", "requirements.lock", "--generate-hashes")
    options = ("--quiet", "--no-emit-index-url", *_FOREIGN, "--output-file", lock)
    given = ("pyproject.toml", "-")
    run(*_PIP, "compile", *given, *resolve, *options, cwd=ROOT, data=b"pytest\n")
    install = ("--quiet", "--require-hashes", *_FOREIGN, "--target", target, "-r", lock)
    run(*_PIP, "install", *install)
    _compile(target, tree)
    pack(tree, folder / "packages.cpio")
    shutil.rmtree(tree)


def _compile(target, tree):
    """Compile to bytecode, which takes an emulated processor long, if this Python's is the same."""
    if sys.version_info[:2] == tuple(int(part) for part in PYTHON.split(".")):
        options = ("-q", "--invalidation-mode", "unchecked-hash", "-s", tree, "-p", "/")
        run(sys.executable, "-m", "compileall", *options, target)
