#!/usr/bin/python
"""Ansible module: the contracts on the chain."""

DOCUMENTATION = """
module: fleet_contracts
short_description: Deploy the contracts once, and let gateways write
description:
  - Runs on the controller, which holds the owner's key. What was deployed is kept in
    C(chain/deployment.json) of the folder; it is deployed again only if that is missing.
options:
  folder:
    description: The controller's folder, as of M(fleet_authority).
    type: path
    required: true
  rpc_url:
    description: The node's JSON-RPC address.
    type: str
    required: true
  channels:
    description: The channels of the site files.
    type: list
    elements: dict
    required: true
  labels:
    description: The labels of the site files.
    type: list
    elements: str
    required: true
  gateways:
    description: Addresses that may write.
    type: list
    elements: str
    required: true
  revoked:
    description: Addresses that may no longer write.
    type: list
    elements: str
    default: []
  fund:
    description:
      - Where accounts that have less than half an ether get money from. C(node) asks the node, as
        a developer's Geth or Anvil allows; C(none) leaves that to you.
    type: str
    choices: [node, none]
    default: none
author: protoledger
"""

EXAMPLES = """
- name: Deploy the contracts
  fleet_contracts:
    folder: ~/.protoledger
    rpc_url: http://192.0.2.7:8545
    channels: "{{ channels }}"
    labels: [empty, occupied]
    gateways: ["0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"]
  delegate_to: localhost
"""

RETURN = """
deployment:
  description: C(buffer), C(oracle), C(owner), C(chain_id) and C(genesis_hash).
  returned: always
  type: dict
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from protoledger.contracts.client.owned import OwnedContracts
from protoledger.contracts.errors import ContractsError
from protoledger.contracts.keys import address_of
from protoledger.protocol.wire.schema import Channel, Schema
from protoledger.runtime.site import ChannelConfig


def _contracts(options: dict) -> OwnedContracts:
    # the model fills in what a channel leaves out, as it does on a gateway
    models = [ChannelConfig.model_validate(channel) for channel in options["channels"]]
    channels = tuple(Channel(**model.model_dump()) for model in models)
    schema = Schema(channels, tuple(options["labels"]))
    return OwnedContracts(
        Path(options["folder"]) / "chain",
        options["rpc_url"],
        schema.digest,
        len(schema.channels),
        len(schema.labels),
    )


def _converge(contracts: OwnedContracts, options: dict, *, dry: bool) -> tuple:
    record = contracts.record
    if not record and dry:
        return True, {}
    owner = contracts.owner()
    changed = False
    if options["fund"] == "node":
        needy = contracts.poor([address_of(owner), *options["gateways"]])
        changed = bool(needy)
        if needy and not dry:
            contracts.fund(needy)
    if not record:
        return True, contracts.deploy(options["gateways"])
    differing = contracts.admit(options["gateways"], options["revoked"], dry=dry)
    return bool(differing) or changed, record


def main() -> None:
    """Do what the arguments ask for."""
    texts = {"type": "list", "elements": "str"}
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "rpc_url": {"type": "str", "required": True},
            "channels": {"type": "list", "elements": "dict", "required": True},
            "labels": {**texts, "required": True},
            "gateways": {**texts, "required": True},
            "revoked": {**texts, "default": []},
            "fund": {"type": "str", "choices": ["node", "none"], "default": "none"},
        },
        supports_check_mode=True,
    )
    try:
        changed, record = _converge(_contracts(module.params), module.params, dry=module.check_mode)
        module.exit_json(changed=changed, deployment=record)
    except (OSError, ValueError, ContractsError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
