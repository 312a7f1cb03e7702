#!/usr/bin/python
"""Ansible module: the controller's secrets as one encrypted file, and back."""

DOCUMENTATION = """
module: fleet_controller
short_description: Save or load what makes a computer the controller of the fleet
description:
  - Runs on the controller. The file holds the authority, the fleet's key, the contracts' owner,
    rosters and the devices' public keys, encrypted as C(ansible-vault) does it. Releases and the
    backups of hosts are not in it.
  - Loading refuses a folder that is a controller's already.
options:
  folder:
    description: The controller's folder.
    type: path
    required: true
  save:
    description: File to write.
    type: path
  load:
    description: File to read.
    type: path
  password:
    description: Password of the file.
    type: str
    required: true
author: protoledger
"""

EXAMPLES = """
- name: Save the controller's state
  fleet_controller:
    folder: ~/.protoledger
    save: /media/usb/fleet.vault
    password: "{{ controller_password }}"
  delegate_to: localhost
"""

RETURN = """
files:
  description: Names of the files in it.
  returned: always
  type: list
  elements: str
"""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fleet_lock import alone
from ansible.module_utils.fleet_pki import write_file

_NEEDED = ("pki/ca.key", "pki/ca.crt", "fleet.key")
_PARTS = ("pki", "fleet.key", "devices", "sites", "chain", "retired")
_SHORTEST_PASSWORD = 8


class RefusedError(ValueError):
    """What was asked for cannot be done, and why."""


class Vault:
    """`ansible-vault` with a password, in a process of its own.

    What Ansible packs for a module is a part of Ansible, and `ansible.parsing` cannot be imported
    beside that. The password goes through a pipe: it is on no command line and in no file.
    """

    def __init__(self, password: str) -> None:
        if len(password.strip()) < _SHORTEST_PASSWORD:
            raise RefusedError(f"the password has fewer than {_SHORTEST_PASSWORD} characters")
        self._password = password.encode()

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt what a file is to hold."""
        return self._run("encrypt", data)

    def decrypt(self, data: bytes) -> bytes:
        """Decrypt a file's content."""
        return self._run("decrypt", data)

    def _run(self, what: str, data: bytes) -> bytes:
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(self._password)
        program = Path(sys.executable).with_name("ansible-vault")
        try:
            done = subprocess.run(
                [program, what, "--vault-password-file", f"/dev/fd/{reading}"],
                input=data,
                capture_output=True,
                pass_fds=[reading],
                env={"PATH": os.defpath, "HOME": str(Path.home()), "LC_ALL": "C.UTF-8"},
                check=False,
            )
        finally:
            os.close(reading)
        if done.returncode:
            told = done.stderr.decode(errors="replace").strip()
            raise RefusedError(f"ansible-vault cannot {what} it: is the password right? {told}")
        return done.stdout


def _save(folder: Path, target: Path, vault: Vault, *, dry: bool) -> list[str]:
    if missing := [name for name in _NEEDED if not (folder / name).exists()]:
        raise RefusedError(f"{folder} is no controller's: {', '.join(missing)} is missing")
    packed, names = io.BytesIO(), []
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for part in _PARTS:
            for path in sorted([folder / part, *(folder / part).rglob("*")]):
                if path.is_file() and path.name != ".lock":
                    names.append(str(path.relative_to(folder)))
                    tar.add(path, arcname=names[-1], recursive=False)
    if not dry:
        write_file(target, vault.encrypt(packed.getvalue()), 0o600)
    return names


def _load(folder: Path, source: Path, vault: Vault, *, dry: bool) -> list[str]:
    if (folder / "pki/ca.key").exists():
        raise RefusedError(f"{folder} is a controller's already; move it away first")
    packed = vault.decrypt(source.read_bytes())
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        members = [member for member in tar.getmembers() if member.isfile()]
        names = [member.name for member in members]
        if missing := [name for name in _NEEDED if name not in names]:
            raise RefusedError(f"{source} lacks {', '.join(missing)}")
        for member in members if not dry else []:
            target = folder / member.name
            if not target.resolve().is_relative_to(folder.resolve()):
                raise RefusedError(f"{source} holds {member.name!r}, which leads out of the folder")
            for parent in reversed(Path(member.name).parents):  # `parents=True` would open some
                (folder / parent).mkdir(mode=0o700, exist_ok=True)
            content = tar.extractfile(member)
            assert content is not None  # noqa: S101 - it is a file
            write_file(target, content.read(), member.mode & 0o777)
    return names


def main() -> None:
    """Do what the arguments ask for."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "save": {"type": "path"},
            "load": {"type": "path"},
            "password": {"type": "str", "required": True, "no_log": True},
        },
        mutually_exclusive=[["save", "load"]],
        required_one_of=[["save", "load"]],
        supports_check_mode=True,
    )
    options, dry = module.params, module.check_mode
    folder = Path(options["folder"])
    try:
        vault = Vault(options["password"])
        with alone(folder):
            if options["save"]:
                files = _save(folder, Path(options["save"]), vault, dry=dry)
            else:
                files = _load(folder, Path(options["load"]), vault, dry=dry)
        module.exit_json(changed=True, files=files)
    except (OSError, ValueError, tarfile.TarError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
