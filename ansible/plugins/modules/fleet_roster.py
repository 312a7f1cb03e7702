#!/usr/bin/python
"""Ansible module: a site's signed roster."""

DOCUMENTATION = """
module: fleet_roster
short_description: Sign the list of a site's devices
description:
  - Runs on the controller. Writes the roster only if its content would change.
options:
  folder:
    description: The controller's folder, as of M(fleet_authority).
    type: path
    required: true
  site:
    description: The site's definition, as it stands in a site file.
    type: dict
    required: true
  gateway:
    description: The gateway's id; its public key is in C(devices/) of the folder.
    type: str
    required: true
  agents:
    description: The agents' ids, likewise.
    type: list
    elements: str
    required: true
  suffix:
    description: Appended to the file's name, for a roster that shall replace another later.
    type: str
    default: ""
author: protoledger
"""

EXAMPLES = """
- name: Sign the roster
  fleet_roster:
    folder: ~/.protoledger
    site: "{{ fleet_site_file }}"
    gateway: attic-gateway
    agents: [attic-pi-1, attic-pi-2, attic-pi-3]
  delegate_to: localhost
"""

RETURN = """
roster:
  description: The signed roster, JSON.
  returned: always
  type: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.pki.owner import signed_roster
from protoledger.runtime.site import SiteConfig


def main() -> None:
    """Do what the arguments ask for."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "site": {"type": "dict", "required": True},
            "gateway": {"type": "str", "required": True},
            "agents": {"type": "list", "elements": "str", "required": True},
            "suffix": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    options = module.params
    folder = Path(options["folder"])
    if module.check_mode and not (folder / "fleet.key").exists():
        module.exit_json(changed=True, roster="")
    try:
        site = SiteConfig.model_validate(options["site"])
        suffix = options["suffix"]
        path = folder / "sites" / site.site / f"roster.json{suffix}"
        # what an agent would refuse is better refused before it is handed out
        text = signed_roster(folder, site, options["gateway"], options["agents"], suffix)
        before = path.read_text() if path.exists() else ""
        if text != before and not module.check_mode:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.write_text(text)
        diff = {"before": before, "after": text, "before_header": path.name}
        module.exit_json(changed=text != before, roster=text, diff=diff)
    except (OSError, ValueError, KeyError, ConfigurationError) as error:
        module.fail_json(msg=f"site {options['site'].get('site')}: {error}")


if __name__ == "__main__":
    main()
