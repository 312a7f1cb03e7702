"""One turn of the ledger client: look at the newest block, fold, report, send."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from protoledger.contracts.client.binding import NO_ADDRESS
from protoledger.contracts.client.nodes import Nodes
from protoledger.contracts.errors import (
    ChainUnreachableError,
    LaggingNodeError,
    NonsenseError,
    RateLimitedError,
)
from protoledger.gateway.ledger.config import OWED_RECORDS
from protoledger.gateway.ledger.events import (
    LedgerAvailable,
    LedgerEvent,
    NodeDisagrees,
    SuccessorNamed,
)
from protoledger.gateway.ledger.following.follower import Follower
from protoledger.gateway.ledger.identity import ContractIdentity, OtherSchemaError
from protoledger.gateway.ledger.sending.sender import CommitSender

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from protoledger.contracts.client.account import Account
    from protoledger.contracts.client.answers import Block
    from protoledger.contracts.client.binding import DeploymentTerms, Governance
    from protoledger.contracts.client.node import Node
    from protoledger.gateway.codebook.format import RecordFormat
    from protoledger.gateway.ledger.config import LedgerConfig
    from protoledger.gateway.ledger.oracle_samples import SampleFollower
    from protoledger.gateway.ledger.store import LedgerStore
    from protoledger.gateway.ledger.supplies import Supplies

_GOVERN_EVERY_S = 60.0  # looks at what the contract's owner has said


class Turns:
    """What the client's thread does again and again; owned by that thread.

    Args:
        config: the gateway's `ledger:`.
        store: outbox and copy.
        account: signs.
        site: schema hash, record format, and the store's file for advice.
        supplies: takes note of what the account can pay.
        report: takes events.
        sleep: waits, until the client is closed at most.
    """

    def __init__(
        self,
        config: LedgerConfig,
        store: LedgerStore,
        account: Account,
        site: tuple[bytes, RecordFormat, Path],
        *,
        supplies: Supplies,
        report: Callable[[LedgerEvent], None],
        sleep: Callable[[float], object],
    ) -> None:
        schema_hash, self._form, database = site
        self._config, self._store, self._report = config, store, report
        self._account, self._supplies = account, supplies
        self._identity = ContractIdentity(config, store, schema_hash, self._form, database)
        self._nodes = Nodes(
            [config.rpc_url, *config.rpc_urls],
            lambda url, reason: report(NodeDisagrees(url, reason)),
            sleep=sleep,
        )
        self._available, self._govern_at = False, 0.0
        self._successor = NO_ADDRESS
        self._samples: SampleFollower | None = None
        self._start()

    def _start(self) -> None:
        self._follower = Follower(self._store, self._form, self._account.address)
        self._sender = CommitSender(
            self._store,
            self._account,
            self._form,
            self._config.chain_id,
            config=self._config,
            most=self._config.records_per_commit or OWED_RECORDS,
            report=self._report,
            spread=self._nodes.spread,
        )

    @property
    def addresses(self) -> list[str]:
        """Contracts whose events matter, for hints."""
        found = [self._identity.buffer.address]
        return [*found, self._samples.oracle_address] if self._samples is not None else found

    @property
    def scanned_block(self) -> int:
        """How far the copy of the chain has come, in blocks."""
        return self._follower.scanned_block

    def turn(self) -> bool:
        """Do what can be done now; gives whether a transaction is on its way.

        Raises:
            ChainUnreachableError, RpcError: try again later, or on another node.
            LedgerMismatchError: the chain or contract is not this gateway's.
        """
        node = self._nodes.active
        try:
            terms = self._identity.check(node)
        except OtherSchemaError:
            self._follow(node, self._identity.buffer.governance(node))
            raise
        if time.monotonic() >= self._govern_at:
            self._govern(node, terms)
            self._govern_at = time.monotonic() + _GOVERN_EVERY_S
        head, believed = self._heads(node)
        if not self._available:
            self._available = self._supplies.reachable = True
            self._report(LedgerAvailable())
        self._supplies.look(node, self._account.address, head)
        self._nodes.compare(believed)
        self._follower.scan(node, self._identity.buffer, believed, terms.deployed_block)
        self.report_changes()
        self._take_samples(node, believed)
        return self._sender.step(node, self._identity.buffer, self._follower, head)

    def elsewhere(self, error: Exception) -> bool:
        """Turn to another node after an error; False if there is none that may answer."""
        if not self._nodes.turn_away(error):
            return False
        self._identity.again()
        return True

    def interrupted(self, error: Exception, *, reported: bool) -> None:
        """Report when the node can be used again; after silence, look whether it is another one.

        A node that limited, lagged or answered nonsense is the same as before: what was checked
        stays checked.

        Args:
            error: what happened.
            reported: whether the node was reported as one that cannot be used.
        """
        self._available = self._available and not reported
        if isinstance(error, ChainUnreachableError) and not isinstance(
            error, LaggingNodeError | NonsenseError | RateLimitedError
        ):
            self._identity.again()

    def report_changes(self) -> None:
        """Report what the copy holds that was not reported."""
        for event in self._follower.changes():
            self._report(event)

    def close(self) -> None:
        """Close the connections."""
        self._nodes.close()

    def _heads(self, node: Node) -> tuple[Block, Block]:
        """Give the newest block, and the newest to believe."""
        head = node.block("latest")
        if head is None:
            raise LaggingNodeError(f"{node.url} has no newest block")
        if self._config.finalized:
            believed = node.block("finalized")
            if believed is None:
                raise LaggingNodeError(f"{node.url} has no finalized block: `finalized: false`")
            return head, believed
        if not self._config.confirmations:
            return head, head
        believed = node.block(max(0, head.number - self._config.confirmations))
        if believed is None:
            raise LaggingNodeError(f"{node.url} lacks a block below its newest")
        return head, believed

    def _govern(self, node: Node, terms: DeploymentTerms) -> None:
        """Take note of what the contract's owner has said: oracle and successor."""
        from protoledger.contracts.oracle.binding import Oracle  # noqa: PLC0415 - not always
        from protoledger.gateway.ledger.oracle_samples import SampleFollower  # noqa: PLC0415

        buffer = self._identity.buffer
        governance = buffer.governance(node)
        named = self._config.learn_from_oracle and governance.oracle != NO_ADDRESS
        if not named or not node.code(governance.oracle):
            self._samples = None
        elif self._samples is None or self._samples.oracle_address != governance.oracle:
            oracle = Oracle(governance.oracle)
            self._samples = SampleFollower(self._store, self._form, oracle, terms.deployed_block)
        self._follow(node, governance)

    def _follow(self, node: Node, governance: Governance) -> None:
        """Go on at the contract's successor, if there is one for this gateway's schema.

        Raises:
            LaggingNodeError: it is followed from the next turn on.
        """
        if governance.successor in {NO_ADDRESS, self._successor}:
            return
        buffer = self._identity.buffer
        self._successor = governance.successor
        heir = self._identity.successor(node, governance)
        self._report(SuccessorNamed(governance.successor, followed=heir is not None))
        if heir is not None:
            self._identity.move(heir)
            self._start()
            self._govern_at = 0.0
            raise LaggingNodeError(
                f"{buffer.address} has a successor, {heir.address}: following it"
            )

    def _take_samples(self, node: Node, believed: Block) -> None:
        if self._samples is None:
            return
        arrived = self._samples.scan(node, believed)
        if arrived:
            for event in arrived:
                self._report(event)
            self._samples.keep()
