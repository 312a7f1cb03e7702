#!/usr/bin/python
"""Ansible module: a device's own keys."""

DOCUMENTATION = """
module: fleet_keys
short_description: Make a device's keys on the device, and tell their public halves
description:
  - Runs on the device, with python3-cryptography. Makes what is missing, with mode 0600, and never
    replaces a key; the private halves are not returned.
options:
  folder:
    description: Where the keys lie; gets mode 0700 when it is made.
    type: path
    required: true
  name:
    description: The device's id.
    type: str
    required: true
  kinds:
    description: Which keys (TLS, the protocol's identity, the account on the chain).
    type: list
    elements: str
    choices: [tls, identity, chain]
    required: true
  suffix:
    description: Appended to the file names, for keys that shall replace others later.
    type: str
    default: ""
author: protoledger
"""

EXAMPLES = """
- name: Make an agent's keys
  fleet_keys:
    folder: /etc/protoledger/private
    name: attic-pi-1
    kinds: [tls, identity]
"""

RETURN = """
request:
  description: Certificate request for the TLS key, PEM.
  returned: always
  type: str
identity:
  description: Public half of the identity, hexadecimal.
  returned: always
  type: str
chain:
  description: Public point of the chain account, 128 hexadecimal digits.
  returned: always
  type: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

try:
    from ansible.module_utils.fleet_pki import fresh_key, public_half, write_file

    MISSING = ""
except ImportError as error:  # tells the user what to install, instead of a traceback
    MISSING = str(error)


def main() -> None:
    """Do what the arguments ask for."""
    kinds = ["tls", "identity", "chain"]
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "kinds": {"type": "list", "elements": "str", "choices": kinds, "required": True},
            "suffix": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    options = module.params
    if MISSING and module.check_mode:
        module.exit_json(changed=True, request="", identity="", chain="")
    if MISSING:
        module.fail_json(msg=f"{MISSING}: install python3-cryptography on this host")
    folder = Path(options["folder"])
    result = dict.fromkeys(("request", "identity", "chain"), "")
    changed = False
    try:
        for kind in options["kinds"]:
            path = folder / f"{kind}.key{options['suffix']}"
            if not path.exists():
                changed = True
                if module.check_mode:
                    continue
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_file(path, fresh_key(kind), 0o600)
            public = public_half(kind, path.read_bytes(), options["name"])
            result["request" if kind == "tls" else kind] = public
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"{folder}: {error}")
    module.exit_json(changed=changed, **result)


if __name__ == "__main__":
    main()
