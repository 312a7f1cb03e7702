"""Bring the wanted codebook on to the chain: exactly once, whatever is killed meanwhile.

One transaction at a time. It is stored signed before it is sent, so a restart sends the same bytes,
which the chain takes once. Doubles are impossible in any case: `commit` reverts unless its base is
the current version. Events are told before the outbox forgets, so a kill between the two tells one
twice and never not at all. Newer codebooks wait in the outbox, where each replaces the one before,
because a commit takes the whole difference with it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from contracts.errors import RevertedError, RpcError
from gateway.codebook import Codebook, RecordFormat, split_delta
from gateway.ledger_events import CommitRejected, Committed, LedgerEvent
from gateway.outbox import LedgerStore, Pending, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.binding import Account, Buffer
    from contracts.rpc import Block, Node
    from gateway.following import Follower

_RESEND_S = 5.0
_GAS_MARGIN = 1.25
_LONGEST_PAUSE_S = 30.0
# After these the same codebook would be refused again for the same reason.
_PERMANENT = {
    "PrototypeBufferNotAGateway",
    "PrototypeBufferTooManyRecords",
    "PrototypeBufferDeltaTooLong",
    "PrototypeBufferUnknownOracleRound",
}


class CommitSender:
    """The one sender of one key; owned by one thread.

    Args:
        store: the outbox.
        account: signs.
        form: record format.
        chain_id: the chain's id.
        tip_wei: tip per gas; the limit per gas is twice the base fee above it.
        tolerance: see `Codebook.delta_to`.
        weight_ratio: see `Codebook.delta_to`.
        tell: takes events.
    """

    def __init__(
        self,
        store: LedgerStore,
        account: Account,
        form: RecordFormat,
        chain_id: int,
        *,
        tip_wei: int,
        tolerance: float,
        weight_ratio: float,
        tell: Callable[[LedgerEvent], None],
    ) -> None:
        self._store, self._account, self._form = store, account, form
        self._chain_id, self._tip, self._tell = chain_id, tip_wei, tell
        self._tolerance, self._weight_ratio = tolerance, weight_ratio
        self._sent_at: float | None = None  # None: not by this process
        self._pause_s, self._resume_at, self._told = 0.5, 0.0, ""

    def step(self, node: Node, buffer: Buffer, follower: Follower, head: Block) -> bool:
        """Do what can be done now.

        Args:
            node: the chain.
            buffer: the contract.
            follower: the copy, just brought up to date.
            head: the newest block.

        Returns:
            Whether a transaction is on its way, so that looking again soon is worth it.

        Raises:
            ChainUnreachableError, RpcError: try again later; the outbox is as safe as before.
        """
        pending = self._store.pending()
        if pending is not None:
            self._watch(node, buffer, follower, pending)
        elif time.monotonic() >= self._resume_at:
            wanted = self._store.wanted()
            if wanted is not None:
                self._begin(node, buffer, follower, head, wanted)
        return self._store.pending() is not None

    def _begin(
        self, node: Node, buffer: Buffer, follower: Follower, head: Block, wanted: Wanted
    ) -> None:
        if follower.lie:
            reason = (
                f"what this key committed before is not believed: {follower.lie}; use a new key"
            )
            self._tell(CommitRejected(reason, permanent=True))
            self._store.drop_wanted(wanted)
            return
        base, target = follower.codebook, Codebook.decode(wanted.snapshot, self._form)
        delta = base.delta_to(target, tolerance=self._tolerance, weight_ratio=self._weight_ratio)
        if not delta:
            self._store.drop_wanted(wanted)
            return
        after = base.apply(delta)
        call = buffer.commit(
            follower.version, len(after), after.state_hash(), delta, wanted.oracle_round
        )
        me = self._account.address
        try:
            gas = int(node.estimate_gas(me, buffer.address, call) * _GAS_MARGIN)
        except RevertedError as error:
            self._refused(buffer.explain(error), wanted)
            return
        except RpcError as error:  # most likely no funds for gas
            self._postpone(str(error))
            return
        nonce = node.nonce(me)
        raw, tx_hash = self._account.sign(
            self._chain_id,
            nonce,
            buffer.address,
            call,
            gas=gas,
            max_fee=2 * head.base_fee + self._tip,
            tip=self._tip,
        )
        pending = Pending(
            nonce,
            raw,
            tx_hash,
            follower.version,
            delta,
            wanted.snapshot,
            wanted.note,
            wanted.oracle_round,
        )
        self._store.begin(pending, wanted)
        self._send(node, pending)

    def _send(self, node: Node, pending: Pending) -> None:
        self._sent_at = time.monotonic()
        try:
            node.send(pending.raw)
        except RpcError as error:
            # A nonce that is used may be by this very transaction: the receipt will tell.
            if "nonce" not in error.text:
                self._store.finish(again=True)
                self._postpone(str(error))

    def _watch(self, node: Node, buffer: Buffer, follower: Follower, pending: Pending) -> None:
        made_by = self._store.transaction_of(self._account.address, pending.base + 1)
        receipt = node.receipt(pending.tx_hash)
        if made_by == pending.tx_hash and receipt is not None:
            self._calm()
            written, removed = split_delta(pending.delta, self._form)
            self._tell(
                Committed(
                    pending.base + 1,
                    receipt.gas_used,
                    pending.tx_hash,
                    len(written) + len(removed),
                    len(pending.delta),
                    pending.note,
                ),
            )
            self._store.finish(again=False)
        elif made_by is not None and made_by != pending.tx_hash:
            self._give_up(f"version {pending.base + 1} was made by another transaction, {made_by}")
        elif receipt is None:
            self._look_for(node, follower, pending)
        elif not receipt.succeeded:
            self._reverted(node, buffer, pending)

    def _look_for(self, node: Node, follower: Follower, pending: Pending) -> None:
        if self._sent_at is not None and time.monotonic() - self._sent_at < _RESEND_S:
            return
        used = node.nonce(self._account.address)
        if used == pending.nonce and follower.version == pending.base:
            self._send(node, pending)
        elif node.receipt(pending.tx_hash) is None:
            # Rewound, or the key was used elsewhere. If it lands after all, its base is stale.
            self._give_up(f"its nonce {pending.nonce} does not fit the chain's {used}")

    def _reverted(self, node: Node, buffer: Buffer, pending: Pending) -> None:
        after = Codebook.decode(pending.snapshot, self._form)
        try:
            call = buffer.commit(
                pending.base, len(after), after.state_hash(), pending.delta, pending.oracle_round
            )
            node.call(buffer.address, call, self._account.address)
        except RevertedError as error:
            known = buffer.explain(error)
            again = known.name not in _PERMANENT
            if again:
                self._give_up(str(known))
                return
            self._tell(CommitRejected(str(known), permanent=True))
            self._store.finish(again=False)
            return
        self._give_up("the transaction reverted, and would not any more")

    def _give_up(self, reason: str) -> None:
        self._store.finish(again=True)
        self._sent_at = None
        self._postpone(reason)

    def _refused(self, error: RevertedError, wanted: Wanted) -> None:
        if error.name in _PERMANENT:
            self._calm()
            self._tell(CommitRejected(str(error), permanent=True))
            self._store.drop_wanted(wanted)
        else:
            self._postpone(str(error))

    def _postpone(self, reason: str) -> None:
        self._resume_at = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if reason != self._told:
            self._told = reason
            self._tell(CommitRejected(reason, permanent=False))

    def _calm(self) -> None:
        self._pause_s, self._resume_at, self._told = 0.5, 0.0, ""
