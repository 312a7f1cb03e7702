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

import secrets
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

try:
    from ansible.module_utils.fleet_pki import private_pem, request_for, write_file
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    MISSING = ""
except ImportError as error:  # tells the user what to install, instead of a traceback
    MISSING = str(error)


def _fresh(kind: str) -> bytes:
    if kind == "tls":
        return private_pem(ec.generate_private_key(ec.SECP256R1()))
    # any 32 bytes are an Ed25519 key; all but 2^-127 of them are one of secp256k1
    return secrets.token_bytes(32).hex().encode() + b"\n"


def _public(kind: str, data: bytes, name: str) -> str:
    if kind == "tls":
        return request_for(load_pem_private_key(data, password=None), name).decode()
    secret = bytes.fromhex(data.decode().strip())
    if kind == "identity":
        public = ed25519.Ed25519PrivateKey.from_private_bytes(secret).public_key()
        return public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    point = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256K1()).public_key()
    return point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:].hex()


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
                write_file(path, _fresh(kind), 0o600)
            public = _public(kind, path.read_bytes(), options["name"])
            result["request" if kind == "tls" else kind] = public
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"{folder}: {error}")
    module.exit_json(changed=changed, **result)


if __name__ == "__main__":
    main()
