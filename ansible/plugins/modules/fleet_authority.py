#!/usr/bin/python
"""Ansible module: the controller's own keys."""

DOCUMENTATION = """
module: fleet_authority
short_description: Make the certificate authority and the key that signs rosters
description:
  - Runs on the controller. Makes what is missing and never replaces a key.
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
    description: Devices whose present certificates are put on the list of revoked ones.
    type: list
    elements: str
    default: []
  revoke_serials:
    description: Serial numbers, decimal, to put there as well.
    type: list
    elements: str
    default: []
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
  description: The authority's certificate, PEM.
  returned: always
  type: str
revoked:
  description: The list of revoked certificates, PEM.
  returned: always
  type: str
fleet_key:
  description: Public half of the key that signs rosters.
  returned: always
  type: str
"""

import contextlib
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fleet_lock import alone
from ansible.module_utils.fleet_pki import Authority, PkiError

from protoledger.runtime.identity_files import create_identity, load_identity
from protoledger.protocol.errors import ConfigurationError


def _ensure(module: AnsibleModule, folder: Path) -> tuple[bool, "Authority | None"]:
    missing = [name for name in ("pki/ca.key", "fleet.key") if not (folder / name).exists()]
    if module.check_mode and missing:
        return True, None
    if "pki/ca.key" in missing:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        Authority.create(folder / "pki", module.params["name"], module.params["days"])
    if "fleet.key" in missing:
        create_identity(folder / "fleet.key")
    return bool(missing), Authority(folder / "pki")


def _converge(module: AnsibleModule, folder: Path) -> dict:
    changed, authority = _ensure(module, folder)
    if authority is None:
        return {"changed": True, "authority": "", "revoked": "", "fleet_key": "0" * 64}
    serials = {int(serial) for serial in module.params["revoke_serials"]}
    for name in module.params["revoke"]:
        with contextlib.suppress(AttributeError):
            serials.add(authority.issued(name).serial_number)
    if not serials <= authority.revoked():
        changed = True
        if not module.check_mode:
            authority.revoke(sorted(serials))
    return {
        "changed": changed,
        "authority": (folder / "pki/ca.crt").read_text(),
        "revoked": (folder / "pki/crl.pem").read_text(),
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
