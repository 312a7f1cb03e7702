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

import dataclasses
import json
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from protoledger.contracts.client.account import Account
from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.client.deployment import Sender, deploy
from protoledger.contracts.errors import ContractsError
from protoledger.contracts.keys import address_of, create_key, load_key
from protoledger.contracts.client.node import Node
from protoledger.runtime.site import ChannelConfig
from protoledger.protocol.wire.schema import Channel, Schema

_ETHER = 10**18
_ENOUGH = _ETHER // 2


class _Chain:
    """What this module wants of the chain, with one owner."""

    def __init__(self, options: dict) -> None:
        self.options = options
        self.folder = Path(options["folder"]) / "chain"
        self.node = Node(options["rpc_url"])
        # the model fills in what a channel leaves out, as it does on a gateway
        models = [ChannelConfig.model_validate(channel) for channel in options["channels"]]
        channels = tuple(Channel(**model.model_dump()) for model in models)
        self.schema = Schema(channels, tuple(options["labels"]))

    def record(self) -> dict:
        path = self.folder / "deployment.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def owner(self) -> bytes:
        path = self.folder / "owner.key"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return load_key(path) if path.exists() else create_key(path)

    def poor(self, accounts: list) -> list:
        return [
            a
            for a in accounts
            if int(self.node.request("eth_getBalance", a, "latest"), 16) < _ENOUGH
        ]

    def fund(self, accounts: list) -> None:
        """Let the node give money: Anvil by its own method, Geth from its developer's account."""
        anvil = "anvil" in str(self.node.request("web3_clientVersion")).lower()
        sent = []
        for account in accounts:
            if anvil:
                self.node.request("anvil_setBalance", account, hex(1000 * _ETHER))
                continue
            rich = self.node.request("eth_accounts")[0]
            gift = {"from": rich, "to": account, "value": hex(1000 * _ETHER)}
            sent.append(self.node.request("eth_sendTransaction", gift))
        deadline = time.monotonic() + 30
        while any(self.node.receipt(one) is None for one in sent):
            if time.monotonic() > deadline:
                raise ValueError("the node does not mine the transfers that shall fund accounts")
            time.sleep(0.1)

    def deploy(self, owner: bytes) -> dict:
        options = self.options
        made = deploy(
            options["rpc_url"], owner, self.schema.digest, len(self.schema.channels),
            len(self.schema.labels), options["gateways"],
        )  # fmt: skip
        record = dataclasses.asdict(made)
        (self.folder / "deployment.json").write_text(json.dumps(record, indent=2) + "\n")
        return record

    def check(self, record: dict) -> Buffer:
        """Compare what was deployed with what is asked for."""
        buffer = Buffer(record["buffer"])
        genesis = self.node.block(0)
        if (
            genesis is None
            or genesis.hash != record["genesis_hash"]
            or not self.node.code(buffer.address)
        ):
            raise ValueError(
                f"{self.options['rpc_url']} is not the chain that {self.folder}/deployment.json "
                f"tells of: no contract at {buffer.address}; restore the chain from its backup, or "
                f"remove that file to deploy again; all codebooks on the chain are then lost"
            )
        if buffer.terms(self.node).schema_hash != self.schema.digest:
            raise ValueError(
                "the channels or labels are others than those the contracts were deployed for; "
                "change them back, or remove chain/deployment.json to deploy again"
            )
        return buffer

    def change(self, buffer: Buffer, owner: bytes, *, dry: bool) -> list:
        """Grant and revoke what differs; tells whom."""
        status = {g: buffer.standing(self.node, g).head.status for g in
                  [*self.options["gateways"], *self.options["revoked"]]}  # fmt: skip
        grant = [g for g in self.options["gateways"] if status[g] not in {"active", "suspended"}]
        revoke = [g for g in self.options["revoked"] if status[g] in {"active", "suspended"}]
        if (grant or revoke) and not dry:
            sender = Sender(self.node, Account(owner))
            if grant:
                call = buffer.encode("addGateways", grant)
                sender.send(buffer.address, call, 120_000 + 125_000 * len(grant))
            for gateway in revoke:
                sender.send(buffer.address, buffer.encode("removeGateway", gateway), 120_000)
            sender.wait()
        return [*grant, *revoke]


def _converge(chain: _Chain, *, dry: bool) -> tuple:
    options, record = chain.options, chain.record()
    if not record and dry:
        return True, {}
    owner = chain.owner()
    changed = False
    if options["fund"] == "node":
        needy = chain.poor([address_of(owner), *options["gateways"]])
        changed = bool(needy)
        if needy and not dry:
            chain.fund(needy)
    if not record:
        return True, chain.deploy(owner)
    buffer = chain.check(record)
    return bool(chain.change(buffer, owner, dry=dry)) or changed, record


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
        changed, record = _converge(_Chain(module.params), dry=module.check_mode)
        module.exit_json(changed=changed, deployment=record)
    except (OSError, ValueError, ContractsError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
