"""Make sure that a node's chain and contract are those that the copy is of, and stay so.

What was checked stays checked; after an outage only the chain and the contract's code are looked at
again. A node that is syncing, or restarted without its data, contradicts everything for a while: so
a contradiction is an outage at first, and reported as what it is only if it stays, on a node that
says all the time that it is not syncing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from eth_hash.auto import keccak

from protoledger.contracts.client.binding import NO_ADDRESS, Buffer, DeploymentTerms, Governance
from protoledger.contracts.errors import LaggingNodeError, NonsenseError, RevertedError
from protoledger.gateway.errors import LedgerMismatchError

if TYPE_CHECKING:
    from pathlib import Path

    from protoledger.contracts.client.node import Node
    from protoledger.gateway.codebook.codebook import RecordFormat
    from protoledger.gateway.ledger.config import LedgerConfig
    from protoledger.gateway.ledger.store import LedgerStore

_LONGEST_ROW = 16  # of successors that are looked at


class ContradictionError(LaggingNodeError):
    """What the node says contradicts what is known; it may be syncing."""


class OtherSchemaError(ContradictionError):
    """The contract is for other channels or labels; it may have a successor for this gateway's."""


class ContractIdentity:
    """The chain and contract that a gateway's file names; owned by one thread.

    Args:
        config: names them.
        store: keeps what was seen first.
        schema_hash: 32 bytes; the contract must have been deployed with the same.
        form: record format, likewise.
        database: named in advice.

    Attributes:
        buffer: the contract, or its successor once that is followed.
    """

    def __init__(
        self,
        config: LedgerConfig,
        store: LedgerStore,
        schema_hash: bytes,
        form: RecordFormat,
        database: Path,
    ) -> None:
        self._config, self._store, self._database = config, store, database
        self._schema_hash, self._form = schema_hash, form
        self.buffer = Buffer(self._followed() or config.contract)
        self._terms: DeploymentTerms | None = None
        self._code_hash = ""
        self._chain_checked = self._code_checked = False
        self._contradicted_since: float | None = None

    def _followed(self) -> str | None:
        """Give the successor that was followed before, if the file still names a predecessor."""
        if self._config.contract.lower() in self._predecessors():
            return self._store.pinned("contract")
        return None

    def _predecessors(self) -> list[str]:
        return (self._store.pinned("predecessor") or "").split()

    def again(self) -> None:
        """Look at chain and code again: the node was away, or another one answers."""
        self._chain_checked = self._code_checked = False

    def check(self, node: Node) -> DeploymentTerms:
        """Check what is not checked yet; what the deployment fixed comes back.

        Raises:
            ContradictionError, ChainUnreachableError, RpcError: try again later.
            LedgerMismatchError: the contradiction has stayed.
        """
        try:
            terms = self._check(node)
        except ContradictionError as error:
            self._judge(node, error)
            raise
        self._contradicted_since = None
        return terms

    def _judge(self, node: Node, error: ContradictionError) -> None:
        if node.syncing():  # counted from when it says that it is done: its last answers are old
            self._contradicted_since = None
            return
        now = time.monotonic()
        self._contradicted_since = self._contradicted_since or now
        if now - self._contradicted_since >= self._config.contradiction_s:
            raise LedgerMismatchError(error.text) from error

    def _check(self, node: Node) -> DeploymentTerms:
        if not self._chain_checked:
            self._check_chain(node)
            self._chain_checked = True
        if not self._code_checked:
            self._check_code(node)
            self._code_checked = True
        if self._terms is None:
            self._terms = self._check_terms(node)
        return self._terms

    def _check_chain(self, node: Node) -> None:
        config = self._config
        advice = "correct `chain_id` or `rpc_url` in the gateway's file"
        self._same(node, "chain id", str(node.chain_id()), str(config.chain_id), advice)
        genesis = node.block(0)
        if genesis is None:
            raise ContradictionError(
                f"{node.url} has no block 0: it is syncing, or keeps no history"
            )
        kept = self._store.pin("genesis", config.genesis_hash or genesis.hash)
        self._same(node, "hash of block 0", genesis.hash, kept, self._after_a_reset)

    def _check_code(self, node: Node) -> None:
        code = node.code(self.buffer.address)
        if not code:
            raise ContradictionError(
                f"there is no contract at {self.buffer.address} on {node.url}; deploy one with "
                f"`protoledger contracts deploy`, or correct `contract`; {self._after_a_reset}"
            )
        # A contract whose code changes under one address is another chain, or a proxy: not ours.
        kept = self._store.pin("contract", self.buffer.address)
        self._same(node, "contract", self.buffer.address, kept, self._after_a_reset)
        self._code_hash = keccak(code).hex()
        known = self._store.pinned("code") or self._code_hash
        self._same(node, "hash of the contract's code", self._code_hash, known, self._after_a_reset)

    def _check_terms(self, node: Node) -> DeploymentTerms:
        terms = self._kept_terms() or self._read_terms(node)
        advice = "it was deployed for other channels or labels: correct the site file or `contract`"
        found = (terms.schema_hash.hex(), str(terms.features), str(terms.labels))
        wanted = (self._schema_hash.hex(), str(self._form.features), str(self._form.labels))
        names = ("schema hash", "number of features", "number of labels")
        for name, one, other in zip(names, found, wanted, strict=True):
            self._same(node, name, one, other, advice, OtherSchemaError)
        self._store.pin("code", self._code_hash)
        fields = (terms.features, terms.labels, terms.max_records, terms.deployed_block)
        self._store.pin("terms", " ".join([terms.schema_hash.hex(), *map(str, fields)]))
        return terms

    def _kept_terms(self) -> DeploymentTerms | None:
        """Give the terms of a code that was seen before: they are a part of it."""
        kept = self._store.pinned("terms")
        if kept is None or self._store.pinned("code") is None:
            return None
        schema_hash, *numbers = kept.split()
        return DeploymentTerms(bytes.fromhex(schema_hash), *map(int, numbers))

    def _read_terms(self, node: Node) -> DeploymentTerms:
        try:
            return self.buffer.terms(node)
        except (NonsenseError, RevertedError) as error:
            raise ContradictionError(
                f"{self.buffer.address} is no PrototypeBuffer of this release: {error}"
            ) from error

    def successor(self, node: Node, governance: Governance) -> Buffer | None:
        """Give the contract's successor if it is for this gateway's channels and labels.

        Raises:
            ChainUnreachableError, RpcError: try again later.
        """
        if governance.successor == NO_ADDRESS:
            return None
        heir = Buffer(governance.successor)
        terms = heir.terms(node)
        mine = (self._schema_hash, self._form.features, self._form.labels)
        if (terms.schema_hash, terms.features, terms.labels) != mine:
            return None
        return None if self._leads_back(node, heir) else heir

    def _leads_back(self, node: Node, heir: Buffer) -> bool:
        """Whether the successors lead round in a circle, in which nobody would ever commit.

        An owner that goes back to an older deployment first takes that one's successor away.
        """
        seen = {self.buffer.address.lower()}
        while (at := heir.address.lower()) not in seen:
            seen.add(at)
            try:
                after = heir.governance(node).successor
            except (NonsenseError, RevertedError):
                return False  # what stands there is no buffer; its gateways will say so
            if after == NO_ADDRESS or len(seen) > _LONGEST_ROW:
                return False
            heir = Buffer(after)
        return True

    def move(self, heir: Buffer) -> None:
        """Follow the successor from now on; what this gateway committed is wanted there."""
        known = {*self._predecessors(), self._config.contract.lower(), self.buffer.address.lower()}
        self._store.move(heir.address, " ".join(sorted(known - {heir.address.lower()})))
        self.buffer, self._terms = heir, None
        self.again()

    @property
    def _after_a_reset(self) -> str:
        return (
            "if the chain was reset on purpose, deploy again, correct `ledger:` in the gateway's "
            f"file, stop the gateway, and run `protoledger contracts forget {self._database}`, "
            "which keeps the model"
        )

    def _same(
        self,
        node: Node,
        what: str,
        found: str,
        expected: str,
        advice: str,
        kind: type[ContradictionError] = ContradictionError,
    ) -> None:
        if found != expected:
            raise kind(f"{node.url}: the {what} is {found}, expected was {expected}; {advice}")
