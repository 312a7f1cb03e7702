#!/usr/bin/python
"""Ansible module: the controller's own keys."""

DOCUMENTATION = """
module: fleet_authority
short_description: Make the certificate authority and the key that signs rosters
description:
  - Runs on the controller. Makes what is missing, and replaces a key only if O(change) or
    O(new_fleet_key) say so.
options:
  folder:
    description: Folder of the controller that holds the secrets; gets mode 0700.
    type: path
    required: true
  name:
    description: Common name of the authority.
    type: str
    default: protoledger fleet
  days:
    description: How long the authority is valid.
    type: int
    default: 3650
  revoke:
    description: Devices whose certificates, also those signed ahead, are put on the list of
      revoked ones.
    type: list
    elements: str
    default: []
  revoke_serials:
    description: Serial numbers, decimal, to put there as well.
    type: list
    elements: str
    default: []
  change:
    description: The next step from one authority to another; nothing if it was done before.
    type: str
    choices: [none, stage, switch, drop]
    default: none
  new_fleet_key:
    description: Whether to make another key that signs rosters; all rosters must be signed again.
    type: bool
    default: false
author: protoledger
"""

EXAMPLES = """
- name: Make the authority
  fleet_authority:
    folder: ~/.protoledger
  delegate_to: localhost
"""

RETURN = """
authority:
  description: The authority's certificate, PEM; during a change those of both.
  returned: always
  type: str
revoked:
  description: The list of revoked certificates, PEM; during a change those of both authorities.
  returned: always
  type: str
fleet_key:
  description: Public half of the key that signs rosters.
  returned: always
  type: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fleet_lock import alone
from ansible.module_utils.fleet_pki import Authority, PkiError

from protoledger.runtime.identity_files import create_identity, load_identity
from protoledger.runtime.pki import succession
from protoledger.protocol.errors import ConfigurationError


def _ensure(module: AnsibleModule, folder: Path) -> tuple[bool, bool]:
    """Make what is missing; whether something was, and whether all is there."""
    missing = [name for name in ("pki/ca.key", "fleet.key") if not (folder / name).exists()]
    if module.check_mode and missing:
        return True, False
    if "pki/ca.key" in missing:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        Authority.create(folder / "pki", module.params["name"], module.params["days"])
    if "fleet.key" in missing:
        create_identity(folder / "fleet.key")
    return bool(missing), True


def _change(options: dict, folder: Path) -> bool:
    step, changed = options["change"], False
    if step == "stage":
        changed = succession.stage(folder, options["name"], options["days"])
    elif step != "none":
        changed = succession.switch(folder) if step == "switch" else succession.drop(folder)
    if options["new_fleet_key"]:
        fresh = folder / "fleet.key.new"
        fresh.unlink(missing_ok=True)
        create_identity(fresh)
        fresh.replace(folder / "fleet.key")
    return changed or options["new_fleet_key"]


def _converge(module: AnsibleModule, folder: Path) -> dict:
    options, dry = module.params, module.check_mode
    if not dry:
        succession.recover(folder)
    changed, complete = _ensure(module, folder)
    if not complete:
        return {"changed": True, "authority": "", "revoked": "", "fleet_key": "0" * 64}
    if dry:
        changed |= options["change"] != "none" or options["new_fleet_key"]
    else:
        changed |= _change(options, folder)
    serials = {int(serial) for serial in options["revoke_serials"]}
    if options["revoke"] or serials:
        changed |= succession.revoke(folder, options["revoke"], serials, dry=dry)
    return {
        "changed": changed,
        "authority": succession.trusted(folder),
        "revoked": succession.revoked(folder),
        "fleet_key": load_identity(folder / "fleet.key").public_key.hex(),
    }


def main() -> None:
    """Do what the arguments ask for."""
    lists = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "name": {"type": "str", "default": "protoledger fleet"},
            "days": {"type": "int", "default": 3650},
            "revoke": lists,
            "revoke_serials": lists,
            "change": {
                "type": "str",
                "choices": ["none", "stage", "switch", "drop"],
                "default": "none",
            },
            "new_fleet_key": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    folder = Path(module.params["folder"])
    try:
        with alone(folder):
            module.exit_json(**_converge(module, folder))
    except (OSError, ValueError, PkiError, ConfigurationError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
