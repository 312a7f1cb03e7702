"""The contracts of one owner, brought to what a site or a fleet asks for; doing it twice is once.

`protoledger site deploy` and the playbooks use it. The owner's key and the record of the deployment
are in a folder, the owner's `chain/`. What would cost a second deployment is refused: another
chain, other channels or labels.
"""

from __future__ import annotations

import dataclasses
import json
import time
from typing import TYPE_CHECKING

from protoledger.contracts.client.account import Account, created_address
from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.client.deployment import Sender, deploy
from protoledger.contracts.client.node import Node
from protoledger.contracts.errors import DeploymentError
from protoledger.contracts.keys import create_key, load_key
from protoledger.runtime.key_files import write_secret

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ETHER = 10**18
_ENOUGH = ETHER // 2
_GIFT = 1000 * ETHER
_MINED_S = 30.0


class OwnedContracts:
    """The contracts of the owner whose key is in `folder`.

    Args:
        folder: holds `owner.key` and `deployment.json`; made if missing.
        rpc_url: the node.
        schema_hash: 32 bytes that all gateways' site files hash to.
        features: features of a prototype, the site's channels.
        labels: the site's labels.
    """

    def __init__(
        self, folder: Path, rpc_url: str, schema_hash: bytes, features: int, labels: int
    ) -> None:
        self._folder, self._url = folder, rpc_url
        self._schema = (schema_hash, features, labels)
        self.node = Node(rpc_url)

    def close(self) -> None:
        """Close the connection to the node."""
        self.node.close()

    @property
    def record(self) -> dict[str, object]:
        """Where the contracts are, as `Deployment` names it; empty before `deploy`.

        Raises:
            DeploymentError: the file is there and is no record.
        """
        path = self._folder / "deployment.json"
        if not path.exists():
            return {}
        try:
            found = json.loads(path.read_text())
            if isinstance(found, dict) and {"buffer", "genesis_hash"} <= found.keys():
                return found
        except ValueError:
            pass
        raise DeploymentError(f"{path} is no record of a deployment; restore it from a backup")

    def owner(self) -> bytes:
        """Read the owner's key, or make it."""
        path = self._folder / "owner.key"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return load_key(path) if path.exists() else create_key(path)

    def balance(self, account: str) -> int:
        """Ask how many wei an account has."""
        return int(str(self.node.request("eth_getBalance", account, "latest")), 16)

    def poor(self, accounts: Sequence[str]) -> list[str]:
        """Name the accounts that have less than half an ether."""
        return [account for account in accounts if self.balance(account) < _ENOUGH]

    @property
    def is_anvil(self) -> bool:
        """Whether the node is Anvil, which gives money to anyone that asks."""
        return "anvil" in str(self.node.request("web3_clientVersion")).lower()

    def fund(self, accounts: Sequence[str]) -> None:
        """Let the node give money: Anvil by its own method, Geth from its developer's account.

        Raises:
            DeploymentError: it is another node, or does not mine the transfers.
        """
        anvil, sent = self.is_anvil, []
        for account in accounts:
            if anvil:
                self.node.request("anvil_setBalance", account, hex(_GIFT))
                continue
            rich = self.node.request("eth_accounts")
            if not isinstance(rich, list) or not rich:
                raise DeploymentError(f"{self._url} has no account that gives money away")
            gift = {"from": rich[0], "to": account, "value": hex(_GIFT)}
            sent.append(str(self.node.request("eth_sendTransaction", gift)))
        deadline = time.monotonic() + _MINED_S
        while any(self.node.receipt(one) is None for one in sent):
            if time.monotonic() > deadline:
                raise DeploymentError("the node does not mine the transfers that fund accounts")
            time.sleep(0.1)

    def deploy(self, gateways: Sequence[str], *, fund_wei: int = 0) -> dict[str, object]:
        """Create both contracts, let `gateways` commit, and keep the record.

        Where they will be is written down before anything is sent. So a run that was interrupted
        while it waited is found by the next one, and costs no second deployment.
        """
        intended = self._folder / "deployment.intended.json"
        account = Account(self.owner())
        if record := self._found(intended):
            self._keep("deployment.json", record)
            self.admit(gateways)
        else:
            nonce = self.node.nonce(account.address)
            genesis = self.node.block(0)
            places = [created_address(account.address, nonce + after) for after in (0, 1)]
            planned: dict[str, object] = {
                "buffer": places[0],
                "oracle": places[1],
                "owner": account.address,
                "chain_id": self.node.chain_id(),
                "genesis_hash": genesis.hash if genesis else "",
                "block": 0,
                "gas_used": 0,
            }
            self._keep(intended.name, planned)
            made = deploy(self._url, self.owner(), *self._schema, gateways, fund_wei=fund_wei)
            record = dataclasses.asdict(made)
            self._keep("deployment.json", record)
        intended.unlink(missing_ok=True)
        return record

    def _keep(self, name: str, record: dict[str, object]) -> None:
        text = json.dumps(record, indent=2) + "\n"
        write_secret(self._folder / name, text.encode(), replace=True)

    def _found(self, intended: Path) -> dict[str, object]:
        """Read where an interrupted run meant to deploy, if both contracts are there; else {}."""
        if not intended.exists():
            return {}
        planned: dict[str, object] = json.loads(intended.read_text())
        genesis = self.node.block(0)
        same = genesis is not None and genesis.hash == planned["genesis_hash"]
        there = [self.node.code(str(planned[name])) for name in ("buffer", "oracle")]
        return planned if same and all(there) else {}

    def checked(self) -> Buffer:
        """Compare what was deployed with what is asked for.

        Raises:
            DeploymentError: it is another chain, or the contracts are for another schema.
        """
        record = self.record
        buffer, genesis = Buffer(str(record["buffer"])), self.node.block(0)
        file = self._folder / "deployment.json"
        if (
            genesis is None
            or genesis.hash != record["genesis_hash"]
            or not self.node.code(buffer.address)
        ):
            raise DeploymentError(
                f"{self._url} is not the chain that {file} tells of: no contract at "
                f"{buffer.address}; restore the chain from its backup, or remove that file to "
                f"deploy again; all codebooks on the chain are then lost"
            )
        if buffer.terms(self.node).schema_hash != self._schema[0]:
            raise DeploymentError(
                f"the channels or labels are others than those the contracts were deployed for; "
                f"change them back, or remove {file} to deploy again"
            )
        return buffer

    def admit(
        self, gateways: Sequence[str], revoked: Sequence[str] = (), *, dry: bool = False
    ) -> list[str]:
        """Grant and revoke what differs, unless `dry`; returns the accounts that it concerns."""
        buffer = self.checked()
        status = {one: buffer.standing(self.node, one).head.status for one in [*gateways, *revoked]}
        grant = [one for one in gateways if status[one] not in {"active", "suspended"}]
        revoke = [one for one in revoked if status[one] in {"active", "suspended"}]
        if (grant or revoke) and not dry:
            sender = Sender(self.node, Account(self.owner()))
            if grant:
                call = buffer.encode("addGateways", grant)
                sender.send(buffer.address, call, 120_000 + 125_000 * len(grant))
            for gateway in revoke:
                sender.send(buffer.address, buffer.encode("removeGateway", gateway), 120_000)
            sender.wait()
        return [*grant, *revoke]
