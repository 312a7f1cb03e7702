#!/usr/bin/python
"""Ansible module: everything that a target needs to install a version without a network."""

DOCUMENTATION = """
module: fleet_release
short_description: Pack the wheels of one part for one kind of target
description:
  - Runs on the controller. Builds protoledger's wheel from a checkout, downloads the wheels of what
    it needs, at the versions and hashes of the checkout's lock, and packs both in one archive.
  - Does nothing if the archive is there and was made from the same files.
options:
  source:
    description: A checkout of protoledger that C(make setup) has set up.
    type: path
    required: true
  folder:
    description: Where archives are kept.
    type: path
    required: true
  version:
    description: Name of the release; part of the archive's name.
    type: str
    required: true
  part:
    description: What it is for.
    type: str
    choices: [edge, gateway]
    required: true
  machine:
    description: The target's architecture, as of C(uname -m).
    type: str
    choices: [aarch64, x86_64]
    required: true
  python:
    description: The target's Python, for example 3.13.
    type: str
    required: true
  extra:
    description:
      - Wheels that are installed with it, such as drivers of other packages and what these need.
    type: list
    elements: path
    default: []
author: protoledger
"""

EXAMPLES = """
- name: Pack an agent for Raspberry Pi OS (Trixie)
  fleet_release:
    source: "{{ playbook_dir }}/../.."
    folder: ~/.protoledger/releases
    version: 0.1.0
    part: edge
    machine: aarch64
    python: "3.13"
  delegate_to: localhost
"""

RETURN = """
archive:
  description: Path of the archive.
  returned: always
  type: str
sha256:
  description: Its SHA-256.
  returned: always
  type: str
requirements:
  description: What O(extra) installs, each as NAME==VERSION.
  returned: always
  type: list
  elements: str
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fleet_lock import alone

# wheels name the oldest glibc that they run with; Debian 12 has 2.36
_GLIBC = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014", "linux")
_EXTRAS = {"edge": ["edge"], "gateway": ["gateway", "dashboard"]}
_PARTS = [
    "sensors",
    "protocol",
    "runtime",
    "edge",
    "contracts",
    "gateway",
    "dashboard",
    "emulator",
    "experiments",
]


def _run(command: list, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(
            f"{' '.join(map(str, command[:4]))}: {(done.stderr + done.stdout)[-2000:]}"
        )


def _requirement(wheel: Path) -> str:
    """Give what a wheel holds, as pip names it, from its file's name (PEP 427)."""
    parts = wheel.name.removesuffix(".whl").split("-")
    if wheel.suffix != ".whl" or len(parts) not in {5, 6} or not wheel.is_file():
        raise ValueError(f"fleet_extra_wheels: {wheel} is no wheel that exists")
    return f"{parts[0]}=={parts[1]}"


def _made_from(source: Path, version: str, extra: list) -> str:
    """Hash all that goes into an archive."""
    digest = hashlib.sha256(version.encode())
    files = [source / name for name in ("pyproject.toml", "requirements.lock")]
    for part in _PARTS:
        folder = source / part / "protoledger"
        files += (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    for wheel in extra:
        digest.update(f"{wheel.name}\0".encode() + hashlib.sha256(wheel.read_bytes()).digest())
    for path in sorted(path for path in files if path.is_file()):
        digest.update(f"{path.relative_to(source)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _pack(options: dict, source: Path, scratch: Path, archive: Path) -> None:
    tools = Path(sys.executable).parent
    wheels, needs = scratch / "wheels", scratch / "requirements.txt"
    wheels.mkdir()
    extras = [word for extra in _EXTRAS[options["part"]] for word in ("--extra", extra)]
    uv = [str(tools / "uv"), "--no-config", "--quiet"]
    _run([*uv, "build", "--wheel", "--offline", "--no-build-isolation", "--python", sys.executable,
          "--out-dir", wheels, source], source)  # fmt: skip
    _run([*uv, "pip", "compile", source / "pyproject.toml", *extras,
          "--constraint", source / "requirements.lock", "--python-version", options["python"],
          "--python-platform", f"{options['machine']}-manylinux_2_28", "--generate-hashes",
          "--no-emit-index-url", "--no-annotate", "--no-header", "--output-file", needs],
         source)  # fmt: skip
    platforms = [f"--platform={glibc}_{options['machine']}" for glibc in _GLIBC]
    _run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
          "--no-deps", "--only-binary=:all:", "--require-hashes", *platforms,
          "--python-version", options["python"], "--dest", wheels, "--requirement", needs],
         source)  # fmt: skip
    for wheel in options["extra"]:
        shutil.copy(wheel, wheels)
    with tarfile.open(archive, "w") as packed:
        packed.add(wheels, arcname="wheels", filter=_anonymous)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.isdir() else 0o644
    return entry


def main() -> None:
    """Do what the arguments ask for."""
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path", "required": True},
            "folder": {"type": "path", "required": True},
            "version": {"type": "str", "required": True},
            "part": {"type": "str", "choices": ["edge", "gateway"], "required": True},
            "machine": {"type": "str", "choices": ["aarch64", "x86_64"], "required": True},
            "python": {"type": "str", "required": True},
            "extra": {"type": "list", "elements": "path", "default": []},
        },
        supports_check_mode=True,
    )
    options = module.params
    source, folder = Path(options["source"]).resolve(), Path(options["folder"])
    stem = f"{options['part']}-{options['version']}-py{options['python']}-{options['machine']}"
    archive, stamp = folder / f"{stem}.tar", folder / f"{stem}.from"
    try:
        extra = sorted(map(Path, options["extra"]))
        requirements = [_requirement(wheel) for wheel in extra]
        made_from = _made_from(source, options["version"], extra)
        with alone(folder):
            has = stamp.read_text() if archive.exists() and stamp.exists() else ""
            if has != made_from and not module.check_mode:
                with tempfile.TemporaryDirectory(dir=folder) as scratch:
                    fresh = Path(scratch) / archive.name
                    _pack(options, source, Path(scratch), fresh)
                    fresh.replace(archive)
                stamp.write_text(made_from)
            digest = hashlib.sha256(archive.read_bytes()).hexdigest() if archive.exists() else ""
        module.exit_json(
            changed=has != made_from,
            archive=str(archive),
            sha256=digest,
            requirements=requirements,
        )
    except (OSError, RuntimeError, ValueError) as error:
        module.fail_json(msg=f"{stem}: {error}")


if __name__ == "__main__":
    main()
