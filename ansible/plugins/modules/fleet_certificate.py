#!/usr/bin/python
"""Ansible module: one device's certificate."""

DOCUMENTATION = """
module: fleet_certificate
short_description: Sign a device's request, again before the certificate ends
description:
  - Runs on the controller. Signs if there is no certificate yet, if the device has another key, if
    its names changed, if the certificate was revoked or ends within O(renew_days).
options:
  folder:
    description: The controller's folder, as of M(fleet_authority).
    type: path
    required: true
  name:
    description: The device's id, which becomes the common name.
    type: str
    required: true
  request:
    description: The device's request, PEM; empty in check mode where there is no key yet.
    type: str
    required: true
  usage:
    description: For a server (the broker), or a client of it.
    type: str
    choices: [server, client]
    default: client
  addresses:
    description: Host names and addresses that a server answers to.
    type: list
    elements: str
    default: []
  days:
    description: How long it is valid.
    type: int
    default: 397
  renew_days:
    description: Sign a new one when fewer days are left.
    type: int
    default: 30
  overlap_days:
    description:
      - Sign ahead what follows it, too, until the authority ends, each beginning so many days
        before the one before it ends; 0 for nothing. The hub hands them out.
    type: int
    default: 0
author: protoledger
"""

EXAMPLES = """
- name: Sign
  fleet_certificate:
    folder: ~/.protoledger
    name: attic-pi-1
    request: "{{ keys.request }}"
  delegate_to: localhost
"""

RETURN = """
certificate:
  description: The certificate, PEM.
  returned: always
  type: str
reason:
  description: Why it was signed; empty if it was not.
  returned: always
  type: str
superseded:
  description: Serial numbers of the certificates that it replaces, decimal.
  returned: always
  type: list
  elements: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.fleet_lock import alone
from ansible.module_utils.fleet_pki import Authority, PkiError, why_sign
from cryptography.hazmat.primitives.serialization import Encoding


def _converge(authority: Authority, options: dict, *, dry: bool) -> dict:
    name, request = options["name"], options["request"].encode()
    addresses, days = options["addresses"], options["days"]
    has = authority.issued(name)
    reason = why_sign(authority, name, request, addresses, options["renew_days"])
    superseded = sorted(authority.serials(name)) if reason else []
    if reason and not dry:
        has = authority.issue(name, request, options["usage"], addresses, days)
    changed = bool(reason)
    if options["overlap_days"] and not dry:
        changed |= authority.sign_ahead(name, days, options["overlap_days"])
    return {
        "changed": changed,
        "certificate": has.public_bytes(Encoding.PEM).decode() if has is not None else "",
        "reason": reason,
        "superseded": [str(serial) for serial in superseded],
    }


def main() -> None:
    """Do what the arguments ask for."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "request": {"type": "str", "required": True},
            "usage": {"type": "str", "choices": ["server", "client"], "default": "client"},
            "addresses": {"type": "list", "elements": "str", "default": []},
            "days": {"type": "int", "default": 397},
            "renew_days": {"type": "int", "default": 30},
            "overlap_days": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    options = module.params
    if module.check_mode and not options["request"].strip():
        module.exit_json(changed=True, certificate="", reason="no key yet", superseded=[])
    folder = Path(options["folder"])
    try:
        # rotation and many hosts' runs write the same folder
        with alone(folder):
            module.exit_json(**_converge(Authority(folder / "pki"), options, dry=module.check_mode))
    except (OSError, ValueError, PkiError) as error:
        module.fail_json(msg=f"{options['name']}: {error}")


if __name__ == "__main__":
    main()
