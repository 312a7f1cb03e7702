"""Bring the wanted codebook on to the chain: exactly once, whatever is killed meanwhile.

One transaction at a time. It is stored signed before it is sent, so a restart sends the same bytes,
which the chain takes once. If it is stuck, the same content is signed again under the same number
for an eighth more; each such attempt is stored too, and whichever is mined counts. Doubles are
impossible in any case: `commit` reverts unless its base is the current version. Events are told
before the outbox forgets, so a kill between the two tells one twice and never not at all. Newer
codebooks wait in the outbox, where each replaces the one before, because a commit takes the whole
difference with it.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from protoledger.contracts.errors import RevertedError, RpcError
from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.codebook.delta import entries_in
from protoledger.gateway.ledger.events import (
    CodebookChanged,
    CommitRejected,
    Committed,
    LedgerEvent,
)
from protoledger.gateway.ledger.outbox import Fees, LedgerStore, Pending, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from protoledger.contracts.client.account import Account
    from protoledger.contracts.client.binding import Buffer
    from protoledger.contracts.client.rpc import Block, Node
    from protoledger.gateway.ledger.config import LedgerConfig
    from protoledger.gateway.ledger.follower import Follower

GWEI = 10**9
_RESEND_S = 5.0
_GAS_MARGIN = 1.25
_LONGEST_PAUSE_S = 30.0
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
        tell: takes events.
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
        tell: Callable[[LedgerEvent], None],
    ) -> None:
        self._store, self._account, self._form = store, account, form
        self._chain_id, self._config, self._tell = chain_id, config, tell
        self._tip, self._limit = int(config.tip_gwei * GWEI), int(config.max_fee_gwei * GWEI)
        self._most, self._begun_at, self._priced_at = most, 0.0, 0.0
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
            self._watch(node, buffer, follower, head, pending)
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
                f"what this key committed before is not believed: {follower.lie}; use a new key, "
                "or have the contract's owner revoke this one and grant it again"
            )
            self._tell(CommitRejected(reason, permanent=True))
            self._store.drop_wanted(wanted)
            return
        base, target = follower.codebook, Codebook.decode(wanted.snapshot, self._form)
        delta = base.delta_to(target, **self._config.omissions, most=self._most)
        if not worth_it(delta, target, self._config.least_records):
            # Told again, because the learner waits to hear how its codebook fared.
            me = self._account.address
            self._tell(CodebookChanged(me, follower.version, base, own=True))
            self._store.drop_wanted(wanted)
            return
        nonce = node.nonce(self._account.address)
        pending = Pending(
            nonce,
            b"",
            "",
            follower.version,
            delta,
            wanted.snapshot,
            wanted.note,
            wanted.oracle_round,
        )
        fees = self._fees(head, self._store.offered(nonce))
        call = _call(buffer, follower, pending)
        if fees is None or call is None:
            return
        try:
            signed = self._signed(node, buffer, pending, call, fees)
        except RevertedError as error:
            self._refused(buffer.explain(error), wanted)
            return
        except RpcError as error:  # most likely no funds for gas
            self._postpone(str(error))
            return
        self._begun_at = self._priced_at = time.monotonic()
        self._store.begin(signed, wanted, fees)
        self._send(node, signed)

    def _fees(self, head: Block, offered: Fees | None) -> Fees | None:
        """Say what to offer now; None, and tell why, if it would be more than allowed."""
        fees = Fees(2 * head.base_fee + self._tip, self._tip)
        if offered is not None:
            fees = fees.at_least(offered.raised())
        elif head.base_fee + self._tip <= self._limit:
            fees = Fees(min(fees.maximum, self._limit), fees.tip)
        if fees.maximum <= self._limit:
            return fees
        self._postpone(
            f"{fees.maximum / GWEI:.1f} gwei per gas would have to be offered, `max_fee_gwei` is "
            f"{self._limit / GWEI:.1f}; it waits"
        )
        return None

    def _signed(
        self, node: Node, buffer: Buffer, pending: Pending, call: bytes, fees: Fees
    ) -> Pending:
        me = self._account.address
        raw, tx_hash = self._account.sign(
            self._chain_id,
            pending.nonce,
            buffer.address,
            call,
            gas=int(node.estimate_gas(me, buffer.address, call) * _GAS_MARGIN),
            max_fee=fees.maximum,
            tip=fees.tip,
        )
        return replace(pending, raw=raw, tx_hash=tx_hash)

    def _send(self, node: Node, pending: Pending) -> None:
        self._sent_at = time.monotonic()
        try:
            node.send(pending.raw)
        except RpcError as error:
            # A nonce that is used may be by this very transaction: the receipt will tell.
            if "nonce" not in error.text and "underpriced" not in error.text:
                self._store.finish(again=True)
                self._postpone(str(error))

    def _watch(
        self, node: Node, buffer: Buffer, follower: Follower, head: Block, pending: Pending
    ) -> None:
        attempts = self._store.attempts(pending)
        made_by = self._store.transaction_of(self._account.address, pending.base + 1)
        if made_by is not None and made_by not in attempts:
            self._give_up(f"version {pending.base + 1} was made by another transaction, {made_by}")
            return
        receipts = ((each, node.receipt(each)) for each in ([made_by] if made_by else attempts))
        mined = next(((each, found) for each, found in receipts if found is not None), None)
        if mined is None:
            if made_by is None:
                self._look_for(node, buffer, follower, head, pending)
        elif not mined[1].succeeded:
            self._reverted(node, buffer, follower, pending)
        elif made_by is not None:  # else it is too young to be believed
            self._landed(pending, made_by, mined[1].gas_used)

    def _landed(self, pending: Pending, tx_hash: str, gas_used: int) -> None:
        self._calm()
        self._tell(
            Committed(
                pending.base + 1,
                gas_used,
                tx_hash,
                entries_in(pending.delta, self._form),
                len(pending.delta),
                pending.note,
            ),
        )
        self._store.finish(again=False)

    def _look_for(
        self, node: Node, buffer: Buffer, follower: Follower, head: Block, pending: Pending
    ) -> None:
        now = time.monotonic()
        if self._sent_at is None:  # by an earlier process: its patience is not known
            self._begun_at = self._priced_at = now
        elif now - self._sent_at < min(_RESEND_S, self._config.stuck_s):
            return
        used = node.nonce(self._account.address)
        if used != pending.nonce or follower.version != pending.base:
            if all(node.receipt(each) is None for each in self._store.attempts(pending)):
                # Rewound, or the key was used elsewhere. If it lands after all, its base is stale.
                self._give_up(f"its nonce {pending.nonce} does not fit the chain's {used}")
        elif now - self._begun_at >= self._config.deadline_s:
            self._give_up(f"it was not mined within {self._config.deadline_s:g} s")
        elif now - self._priced_at >= self._config.stuck_s:
            self._priced_at = now
            self._send(node, self._outbid(node, buffer, follower, head, pending))
        else:
            self._send(node, pending)

    def _outbid(
        self, node: Node, buffer: Buffer, follower: Follower, head: Block, pending: Pending
    ) -> Pending:
        """Sign the same again for more; gives what is pending then."""
        offered, call = self._store.offered(pending.nonce), _call(buffer, follower, pending)
        fees = self._fees(head, offered) if offered is not None else None
        if fees is None or call is None:
            return pending
        try:
            signed = self._signed(node, buffer, pending, call, fees)
        except (RevertedError, RpcError):
            return pending  # its receipt will tell
        self._store.replace(signed, fees)
        return signed

    def _reverted(self, node: Node, buffer: Buffer, follower: Follower, pending: Pending) -> None:
        call = _call(buffer, follower, pending)
        if call is None:
            self._give_up(f"it was built on version {pending.base}, which is not the newest")
            return
        try:
            node.call(buffer.address, call, self._account.address)
        except RevertedError as error:
            known = buffer.explain(error)
            if known.name not in _PERMANENT:
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
            return
        if error.name == _UNKNOWN_ROUND:
            self._store.cite_nothing(wanted)
        self._postpone(str(error))

    def _postpone(self, reason: str) -> None:
        self._resume_at = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if reason != self._told:
            self._told = reason
            self._tell(CommitRejected(reason, permanent=False))

    def _calm(self) -> None:
        self._pause_s, self._resume_at, self._told = 0.5, 0.0, ""


def worth_it(delta: bytes, target: Codebook, least: int) -> bool:
    """Say whether a delta writes enough to be committed.

    Args:
        delta: what would be committed.
        target: what is wanted.
        least: entries that are enough; half of the wanted codebook always is.
    """
    enough = min(least, -(-len(target) // 2))
    return bool(delta) and entries_in(delta, target.form) >= enough


def _call(buffer: Buffer, follower: Follower, pending: Pending) -> bytes | None:
    """Encode a commit anew; None if the copy is no longer at the version that it starts from."""
    if follower.version != pending.base:
        return None
    after = follower.codebook.apply(pending.delta)
    return buffer.commit(
        pending.base, len(after), after.state_hash(), pending.delta, pending.oracle_round
    )
