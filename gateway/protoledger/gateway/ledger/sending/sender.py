"""Bring the wanted codebook on to the chain: exactly once, whatever is killed meanwhile.

One transaction at a time. It is stored signed before it is sent, so a restart sends the same bytes,
which the chain takes once. If it is stuck, the same content is signed again under the same number
for an eighth more; each such attempt is stored too, and whichever is mined counts. Doubles are
impossible in any case: `commit` reverts unless it leads to the next version. Events are sent before
the outbox forgets, so a kill between the two repeats one and never loses one. Newer codebooks wait
in the outbox, where each replaces the one before, because a commit takes the whole difference with
it.

**An error in answer to a transaction proves nothing**: a provider may have passed it on. So the
transaction stays pending and is sent again, to all nodes, as one may be parted; only a refusal for
its price is taken at its word, and even then its hash is remembered. What is mined after it was
given up is reported then.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from protoledger.contracts.client.heads import Head
from protoledger.contracts.errors import (
    NonceUsedError,
    NonsenseError,
    ReplacementUnderpricedError,
    RevertedError,
    RpcError,
    UnderpricedError,
)
from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.codebook.delta import entries_in, worth_it
from protoledger.gateway.ledger.events import (
    CodebookChanged,
    CommitRejected,
    Committed,
    LedgerEvent,
)
from protoledger.gateway.ledger.following.copy import BY_CHECKPOINT, BY_GRANT
from protoledger.gateway.ledger.sending.fees import FeePolicy
from protoledger.gateway.ledger.sending.outbox import Attempt, Fees, Pending, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from protoledger.contracts.client.account import Account
    from protoledger.contracts.client.answers import Block, Receipt
    from protoledger.contracts.client.binding import Buffer
    from protoledger.contracts.client.node import Node
    from protoledger.gateway.ledger.config import LedgerConfig
    from protoledger.gateway.ledger.following.follower import Follower
    from protoledger.gateway.ledger.store import LedgerStore

_RESEND_S = 5.0
_MISFIT_S = 3.0  # a nonce that does not fit may be a lagging node's for so long
_GAS_MARGIN = 1.25
_MOST_GAS = 13_000_000  # with the margin below what one transaction may take; the longest takes 2 M
_LONGEST_PAUSE_S = 30.0
_REPRICINGS = 40  # doublings that lead from any tip beyond any limit
# After these the same codebook would be refused again for the same reason.
_PERMANENT = {
    "PrototypeBufferNotAGateway",
    "PrototypeBufferTooManyRecords",
    "PrototypeBufferDeltaTooLong",
}
_UNKNOWN_ROUND = "PrototypeBufferUnknownOracleRound"  # the oracle was changed, or its chain reset


class CommitSender:
    """The one sender of one key; owned by one thread.

    Args:
        store: the outbox.
        account: signs.
        form: record format.
        chain_id: the chain's id.
        config: fees, patience, and what to leave out.
        most: records of a commit.
        report: takes events.
        spread: hands a transaction to the other nodes, if there are any.
    """

    def __init__(
        self,
        store: LedgerStore,
        account: Account,
        form: RecordFormat,
        chain_id: int,
        *,
        config: LedgerConfig,
        most: int,
        report: Callable[[LedgerEvent], None],
        spread: Callable[[bytes], None],
    ) -> None:
        self._outbox, self._copy = store.outbox, store.copy
        self._account, self._form = account, form
        self._chain_id, self._config = chain_id, config
        self._report, self._spread = report, spread
        self._fees, self._most = FeePolicy(config), most
        self._begun_at = self._priced_at = 0.0
        self._sent_at: float | None = None  # None: not by this process
        self._misfit_since: float | None = None
        self._looked_for_late = -1
        self._pause_s, self._resume_at, self._said = 0.5, 0.0, ""

    def step(self, node: Node, buffer: Buffer, follower: Follower, head: Block) -> bool:
        """Do what can be done now; whether a transaction is on its way: look again soon.

        Args:
            node: the chain.
            buffer: the contract.
            follower: the copy, just brought up to date.
            head: the newest block.

        Raises:
            ChainUnreachableError, RpcError: try again later; the outbox is as safe as before.
        """
        if follower.version != self._looked_for_late:
            self._report_late(node, follower)
        pending = self._outbox.pending()
        if pending is not None:
            self._watch(node, buffer, follower, head, pending)
        elif time.monotonic() >= self._resume_at:
            wanted = self._outbox.wanted()
            if wanted is not None:
                self._begin(node, buffer, follower, head, wanted)
        return self._outbox.pending() is not None

    # -- a new commit ------------------------------------------------------------------------------

    def _begin(
        self, node: Node, buffer: Buffer, follower: Follower, head: Block, wanted: Wanted
    ) -> None:
        if follower.lie:
            reason = (
                f"what this key committed before is not believed: {follower.lie}; use a new key, "
                "or have the contract's owner revoke this one and grant it again"
            )
            self._report(CommitRejected(reason, permanent=True))
            self._outbox.drop_wanted(wanted)
            return
        base, target = follower.codebook, Codebook.decode(wanted.snapshot, self._form)
        delta = base.delta_to(target, **self._config.omissions, most=self._most)
        if not worth_it(delta, target, self._config.least_records):
            # Reported again, because the learner waits to hear how its codebook fared.
            me = self._account.address
            self._report(CodebookChanged(me, follower.version, base, own=True))
            self._outbox.drop_wanted(wanted)
            return
        nonce = node.nonce(self._account.address)
        after = base.apply(delta)
        leads_to = Head(
            after.state_hash(), follower.version + 1, len(after), follower.epoch, "active"
        )
        pending = Pending(
            nonce, b"", "", leads_to, delta, wanted.snapshot, wanted.note, wanted.oracle_round
        )
        fees, why = self._fees.offer(node, head, self._outbox.offered(nonce))
        if fees is None:
            self._postpone(why)
            return
        try:
            signed = self._signed(node, buffer, pending, fees)
        except RevertedError as error:
            self._refused(buffer.explain(error), wanted)
            return
        except RpcError as error:  # most likely no funds for gas
            self._postpone(str(error))
            return
        self._begun_at = self._priced_at = time.monotonic()
        self._misfit_since = None
        self._outbox.begin(signed, wanted, fees, entries_in(delta, self._form))
        self._send(node, buffer, head, signed, fees)

    def _signed(self, node: Node, buffer: Buffer, pending: Pending, fees: Fees) -> Pending:
        me = self._account.address
        call = buffer.commit(pending.head, pending.delta, pending.oracle_round)
        needed = node.estimate_gas(me, buffer.address, call)
        if needed > _MOST_GAS:
            raise NonsenseError(f"the node answers nonsense: a commit takes {needed} gas")
        raw, tx_hash = self._account.sign(
            self._chain_id,
            pending.nonce,
            buffer.address,
            call,
            gas=int(needed * _GAS_MARGIN),
            max_fee=fees.maximum,
            tip=fees.tip,
        )
        return replace(pending, raw=raw, tx_hash=tx_hash)

    def _send(
        self, node: Node, buffer: Buffer, head: Block, pending: Pending, fees: Fees | None
    ) -> None:
        for _ in range(_REPRICINGS):
            self._sent_at = time.monotonic()
            try:
                node.send(pending.raw)
            except UnderpricedError as error:
                self._outbox.refused(pending.tx_hash)
                if fees is not None:  # else it was priced by an earlier process
                    self._fees.refused(fees, error.minimum_wei)
                fees, why = self._fees.offer(node, head, self._outbox.offered(pending.nonce))
                if fees is None:
                    self._say(f"the chain's nodes take no lower tip: {why}")
                    return
                pending = self._again(node, buffer, pending, fees)
                continue
            except ReplacementUnderpricedError:
                self._priced_at = 0.0  # something under this number offers more: outbid it next
            except NonceUsedError:
                pass  # most likely by this very transaction: the receipt will tell
            except RpcError as error:
                self._say(f"the node refuses the transaction, or says so: {error}")
            return

    def _again(self, node: Node, buffer: Buffer, pending: Pending, fees: Fees) -> Pending:
        """Sign the same content for other fees, and store it."""
        signed = self._signed(node, buffer, pending, fees)
        self._outbox.replace(signed, fees, entries_in(pending.delta, self._form))
        return signed

    # -- one on its way ----------------------------------------------------------------------------

    def _watch(
        self, node: Node, buffer: Buffer, follower: Follower, head: Block, pending: Pending
    ) -> None:
        attempts = self._outbox.attempts()
        made_by = self._copy.transaction_of(self._account.address, pending.head.version)
        if made_by is not None and made_by not in attempts:
            self._overtaken(pending, made_by)
            return
        receipts = ((each, node.receipt(each)) for each in ([made_by] if made_by else attempts))
        mined = next(((each, found) for each, found in receipts if found is not None), None)
        if mined is None:
            if made_by is None:
                self._look_for(node, buffer, follower, head, pending)
            return
        tx_hash, receipt = mined
        if not receipt.succeeded:
            self._reverted(node, buffer, follower, pending)
        elif made_by is None:
            self._not_folded(follower, head, receipt)
        else:
            records = entries_in(pending.delta, self._form)
            attempt = Attempt(tx_hash, records, len(pending.delta), pending.note)
            self._landed(pending.head.version, attempt, receipt)

    def _landed(self, version: int, attempt: Attempt, receipt: Receipt) -> None:
        self._calm()
        self._committed(version, attempt, receipt)
        self._outbox.finish("reported", again=False)

    def _committed(self, version: int, attempt: Attempt, receipt: Receipt) -> None:
        self._report(
            Committed(
                version,
                receipt.gas_used,
                attempt.tx_hash,
                attempt.records,
                attempt.payload_bytes,
                attempt.note,
            )
        )

    def _not_folded(self, follower: Follower, head: Block, receipt: Receipt) -> None:
        """Wait for confirmations; or read the block again, whose events were left out."""
        if receipt.block <= follower.scanned_block:
            follower.scan_again_from(receipt.block)
        elif time.monotonic() - max(self._begun_at, self._sent_at or 0.0) > self._config.stuck_s:
            self._say(
                f"it is in block {receipt.block} of {head.number}, {self._config.believed_after} "
                "is not reached: a chain without empty blocks wants `confirmations: 0`"
            )

    def _report_late(self, node: Node, follower: Follower) -> None:
        """Report what was given up, and is mined after all."""
        for version, attempt in self._outbox.late(self._account.address):
            receipt = node.receipt(attempt.tx_hash)
            if receipt is None:
                return
            self._committed(version, attempt, receipt)
            self._outbox.reported(attempt.tx_hash)
        self._looked_for_late = follower.version

    def _overtaken(self, pending: Pending, made_by: str) -> None:
        """The version stands, and none of the present attempts made it."""
        version = pending.head.version
        if made_by == BY_GRANT:
            self._give_up("the contract's owner has granted this gateway again")
        elif made_by == BY_CHECKPOINT or self._outbox.is_own(made_by):
            self._give_up(f"version {version} stands already")
        else:
            self._give_up(
                f"another process commits with this key: its transaction {made_by} made version "
                f"{version}; give each gateway a key of its own"
            )

    def _look_for(
        self, node: Node, buffer: Buffer, follower: Follower, head: Block, pending: Pending
    ) -> None:
        now = time.monotonic()
        if self._sent_at is None:  # by an earlier process: its patience is not known
            self._begun_at = self._priced_at = now
        elif now - self._sent_at < min(_RESEND_S, self._config.stuck_s):
            return
        used = node.nonce(self._account.address)
        if used != pending.nonce or follower.version + 1 != pending.head.version:
            self._misfit(node, follower, pending, used)
            return
        self._misfit_since = None
        if now - self._begun_at >= self._config.deadline_s:
            self._give_up(f"it was not mined within {self._config.deadline_s:g} s")
            return
        if now - self._priced_at >= self._config.stuck_s:
            self._priced_at = now
            pending = self._outbid(node, buffer, head, pending)
        else:
            self._send(node, buffer, head, pending, None)
        self._spread(pending.raw)

    def _misfit(self, node: Node, follower: Follower, pending: Pending, used: int) -> None:
        """The number or version is another's; unless the node is only behind, for a while."""
        now = time.monotonic()
        self._misfit_since = self._misfit_since or now
        if now - self._misfit_since < min(_MISFIT_S, self._config.stuck_s):
            return
        if any(node.receipt(each) is not None for each in self._outbox.attempts()):
            return
        if used > pending.nonce and follower.version + 1 == pending.head.version:
            reason = (
                f"another process sends with this key: number {pending.nonce} was used by a "
                "transaction of its own; give each gateway a key of its own"
            )
        else:  # a chain that was rewound; if it lands after all, its base is stale
            reason = f"its number {pending.nonce} does not fit the chain's {used}"
        self._give_up(reason)

    def _outbid(self, node: Node, buffer: Buffer, head: Block, pending: Pending) -> Pending:
        """Sign the same again for more, and send that; gives what was sent."""
        fees, why = self._fees.offer(node, head, self._outbox.offered(pending.nonce))
        if fees is None:
            self._say(why)
        else:
            try:
                pending = self._again(node, buffer, pending, fees)
            except (RevertedError, RpcError):
                return pending  # its receipt will tell
        self._send(node, buffer, head, pending, fees)
        return pending

    def _reverted(self, node: Node, buffer: Buffer, follower: Follower, pending: Pending) -> None:
        if follower.version + 1 != pending.head.version:
            self._give_up(f"it leads to version {pending.head.version}, which is not the next")
            return
        call = buffer.commit(pending.head, pending.delta, pending.oracle_round)
        try:
            node.call(buffer.address, call, self._account.address)
        except RevertedError as error:
            known = buffer.explain(error)
            if known.name not in _PERMANENT:
                self._give_up(str(known))
                return
            self._report(CommitRejected(str(known), permanent=True))
            self._outbox.finish("given up", again=False)
            return
        self._give_up("the transaction reverted, and would not any more")

    # -- what did not work -------------------------------------------------------------------------

    def _give_up(self, reason: str) -> None:
        self._outbox.finish("given up", again=True)
        self._sent_at = self._misfit_since = None
        self._postpone(reason)

    def _refused(self, error: RevertedError, wanted: Wanted) -> None:
        if error.name in _PERMANENT:
            self._calm()
            self._report(CommitRejected(str(error), permanent=True))
            self._outbox.drop_wanted(wanted)
            return
        if error.name == _UNKNOWN_ROUND:
            self._outbox.cite_nothing(wanted)
        self._postpone(str(error))

    def _postpone(self, reason: str) -> None:
        self._resume_at = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        self._say(reason)

    def _say(self, reason: str) -> None:
        """Report a reason once, until a commit lands or another reason comes."""
        if reason != self._said:
            self._said = reason
            self._report(CommitRejected(reason, permanent=False))

    def _calm(self) -> None:
        self._pause_s, self._resume_at, self._said = 0.5, 0.0, ""
