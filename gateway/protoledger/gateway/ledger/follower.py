"""Follow the contract's events: keep a checked copy of every owner's codebook.

`eth_getLogs` is the truth. Each scan starts after the last block whose hash still stands; where it
does not (a reorg, or a chain that a crash rewound: no node tells about either) the copy is rolled
back to the newest block that does, and folded anew. Logs fetched while a reorg happens are caught
by the next scan, because all that a scan stores lies after a block whose hash was checked before.
The first scan takes each owner's newest checkpoint, and only the deltas after it.

An owner whose delta does not lead to the state hash that it claims is not believed from that
version on: the contract keeps the claim, and gateways check it. It is believed again when the
contract's owner has added it again, and then begins with the empty codebook; or when somebody has
checkpointed it, because the contract has then seen what its claim stands for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from protoledger.contracts.client.binding import CheckpointLog, DeltaLog, GatewayLog
from protoledger.contracts.client.rpc import BLOCKS_A_REQUEST
from protoledger.contracts.errors import RpcError
from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.errors import CodebookError
from protoledger.gateway.ledger.events import (
    CodebookChanged,
    CodebookDropped,
    LedgerEvent,
    OwnerLied,
)
from protoledger.gateway.ledger.outbox import NOT_BY_DELTA, LedgerStore, Version, objection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protoledger.contracts.client.binding import Buffer
    from protoledger.contracts.client.rpc import Block, Log, Node


class Follower:
    """The copy of the chain, brought up to date scan by scan; owned by one thread.

    Args:
        store: where the copy is kept.
        form: record format of the contract.
        own: this gateway's address; its codebook is never dropped from the copy, and never read
            from a checkpoint, because the sender asks which transaction made a version.
        use_checkpoints: whether the first scan may leave out what they make needless.
    """

    def __init__(
        self, store: LedgerStore, form: RecordFormat, own: str, *, use_checkpoints: bool = True
    ) -> None:
        self._store, self._form, self._own = store, form, own
        self._use_checkpoints = use_checkpoints
        self._told: dict[str, tuple[int, bytes]] = {}
        self._liars: set[str] = set()
        self._contract = ""
        self._load()

    def _load(self) -> None:
        scans = self._store.scans()
        self._scanned = scans[0] if scans else None
        self._newest = self._store.newest()
        self._active = self._store.gateways()
        self._books = {
            owner: Codebook.decode(version.snapshot, self._form)
            for owner, version in self._newest.items()
        }

    @property
    def version(self) -> int:
        """This gateway's version as folded."""
        newest = self._newest.get(self._own)
        return newest.version if newest else 0

    @property
    def lie(self) -> str:
        """Why this gateway's own state hash does not fit its deltas; empty if it does."""
        newest = self._newest.get(self._own)
        return newest.lie if newest else ""

    @property
    def codebook(self) -> Codebook:
        """This gateway's codebook as folded."""
        return self._books.get(self._own) or Codebook.empty(self._form)

    def scan(self, node: Node, buffer: Buffer, head: Block, deployed_block: int) -> None:
        """Fold everything up to `head`.

        Args:
            node: the chain.
            buffer: the contract.
            head: the newest block to believe.
            deployed_block: no event is older.

        Raises:
            ChainUnreachableError, RpcError: try again later; what was folded stays.
        """
        self._contract = buffer.address
        if self._scanned == (head.number, head.hash):
            return
        if self._scanned and not self._continues(node, head, self._scanned):
            self._roll_back(node, head)
        if self._scanned is None:
            self._begin(node, buffer, head, deployed_block)
            return
        first = self._scanned[0] + 1
        while first <= head.number:
            last = min(first + BLOCKS_A_REQUEST - 1, head.number)
            logs = node.logs(buffer.address, first, last)
            if last == head.number:
                end: Block | None = head
            else:
                end = node.block(last)
            if end is None:
                raise RpcError("eth_getBlockByNumber", 0, f"block {last} is gone: a reorg")
            self._fold(node, buffer, logs, end)
            first = last + 1

    def _begin(self, node: Node, buffer: Buffer, head: Block, deployed_block: int) -> None:
        """Fold everything for the first time, as far as no checkpoint makes it needless."""
        few = buffer.topic("GatewayAdded", "GatewayRemoved", "Checkpoint")
        logs = node.logs(buffer.address, deployed_block, head.number, few)
        owners = {event.owner for log in logs if (event := buffer.event(log)) is not None}
        newest: dict[str, CheckpointLog] = {}
        for log in logs:
            event = buffer.event(log)
            if not isinstance(event, CheckpointLog) or not self._use_checkpoints:
                continue
            if event.owner != self._own:
                newest[event.owner] = event
        stored = [
            self._take(Version(c.owner, c.version, c.log.block, NOT_BY_DELTA, _stored(node, c), ""))
            for c in newest.values()
        ]
        delta = buffer.topic("Delta")
        whole = [_as_topic(owner) for owner in sorted(owners - newest.keys())]
        if whole:
            logs += node.logs(buffer.address, deployed_block, head.number, delta, whole)
        if newest:
            rest = [_as_topic(owner) for owner in sorted(newest)]
            first = min(event.log.block for event in newest.values())
            logs += node.logs(buffer.address, first, head.number, delta, rest)
        self._fold(node, buffer, sorted(logs, key=lambda log: (log.block, log.index)), head, stored)

    def _continues(self, node: Node, head: Block, scan: tuple[int, str]) -> bool:
        number, hash_ = scan
        if head.number == number + 1:
            return head.parent == hash_
        if head.number <= number:
            return False
        block = node.block(number)
        return block is not None and block.hash == hash_

    def _roll_back(self, node: Node, head: Block) -> None:
        standing = -1
        for number, hash_ in self._store.scans():
            block = node.block(number) if number <= head.number else None
            if block is not None and block.hash == hash_:
                standing = number
                break
        if not self._store.rollback(standing, self._own):
            self._store.rollback(-1, self._own)
        self._load()

    def _fold(
        self,
        node: Node,
        buffer: Buffer,
        logs: list[Log],
        end: Block,
        versions: Sequence[Version] = (),
    ) -> None:
        found = list(versions)
        gateways: list[tuple[int, int, str, bool]] = []
        try:
            for log in logs:
                version: Version | None = None
                match buffer.event(log):
                    case DeltaLog() as delta:
                        version = self._fold_delta(delta)
                    case CheckpointLog() as checkpoint:
                        version = self._fold_checkpoint(node, checkpoint)
                    case GatewayLog(owner, added, _) as event:
                        self._active[owner] = added
                        gateways.append((log.block, log.index, owner, added))
                        version = self._fold_return(event)
                    case None:
                        pass
                if version is not None:
                    found.append(self._take(version))
            self._store.fold((end.number, end.hash), found, gateways)
        except BaseException:
            self._load()
            raise
        self._scanned = (end.number, end.hash)

    def _take(self, version: Version) -> Version:
        """Believe a version; gives it back as a lie if its checkpoint holds no codebook."""
        try:
            book = Codebook.decode(version.snapshot, self._form)
        except CodebookError as error:  # its hash fits, but only what the owner claimed
            lie = f"the checkpoint of version {version.version} is malformed: {error}"
            version, book = replace(version, snapshot=b"", lie=lie), Codebook.empty(self._form)
        self._newest[version.owner], self._books[version.owner] = version, book
        return version

    def _fold_delta(self, event: DeltaLog) -> Version | None:
        owner, log = event.owner, event.log
        before = self._newest.get(owner)
        known = before.version if before is not None else 0
        if event.version <= known:
            return None
        if event.version != known + 1:
            # The contract counts without gaps: a node that lagged behind its head kept logs back.
            self._store.rollback(-1, self._own)
            self._load()
            raise RpcError("eth_getLogs", 0, f"{owner} went from {known} to {event.version}")
        book = self._books.get(owner) or Codebook.empty(self._form)
        if before is not None and before.lie:
            after, lie = book, before.lie  # counted, so that it is known where it may go on
        else:
            after, lie = checked(book, event)
        return Version(owner, event.version, log.block, log.transaction, after.encode(), lie)

    def _fold_checkpoint(self, node: Node, event: CheckpointLog) -> Version | None:
        """Believe a liar again whose claim turned out to stand for a codebook."""
        newest = self._newest.get(event.owner)
        if newest is None or not newest.lie or newest.version != event.version:
            return None
        snapshot = _stored(node, event)
        return Version(event.owner, event.version, event.log.block, NOT_BY_DELTA, snapshot, "")

    def _fold_return(self, event: GatewayLog) -> Version | None:
        """Let a liar begin anew whom the contract's owner has added again."""
        newest = self._newest.get(event.owner)
        if not event.added or newest is None or not newest.lie:
            return None
        if event.log.block <= newest.block:
            return None  # before the lie: a first scan takes checkpoints first
        return Version(event.owner, newest.version, event.log.block, NOT_BY_DELTA, b"", "")

    def changes(self) -> list[LedgerEvent]:
        """Give what has changed since the last call: newest codebooks, drops, lies."""
        events: list[LedgerEvent] = []
        for owner, newest in self._newest.items():
            if not newest.lie:
                self._liars.discard(owner)
            elif owner not in self._liars:
                self._liars.add(owner)
                events.append(OwnerLied(owner, newest.version, self._evidence(newest)))
        for owner in sorted(self._told.keys() | self._newest.keys()):
            events.extend(self._change(owner))
        return events

    def _evidence(self, newest: Version) -> str:
        return (
            f"{newest.lie}; it is ignored; the contract's owner removes it with `protoledger "
            f"contracts revoke {newest.owner} --contract {self._contract} --key FILE`"
        )

    def _change(self, owner: str) -> list[LedgerEvent]:
        newest = self._newest.get(owner)
        reason = objection(newest, active=self._active.get(owner, False))
        if newest is None or reason:
            return [CodebookDropped(owner, reason)] if self._told.pop(owner, None) else []
        book = self._books[owner]
        now = (newest.version, book.state_hash())
        if self._told.get(owner) == now:
            return []
        self._told[owner] = now
        return [CodebookChanged(owner, newest.version, book, owner == self._own)]


def checked(book: Codebook, event: DeltaLog) -> tuple[Codebook, str]:
    """Follow a delta, and hold the result against what its owner claims.

    Returns:
        The codebook after it, and an empty string; or the codebook before it, and the lie.
    """
    try:
        after = book.apply(event.delta)
    except CodebookError as error:
        return book, f"the delta of version {event.version} is malformed: {error}"
    if after.state_hash() == event.state_hash and len(after) == event.count:
        return after, ""
    return book, (
        f"the delta of version {event.version} leads to {len(after)} records that hash to "
        f"{after.state_hash().hex()}, claimed were {event.count} and {event.state_hash.hex()}"
    )


def _stored(node: Node, event: CheckpointLog) -> bytes:
    return node.code(event.store)[1:]  # a STOP instruction stands before the data


def _as_topic(owner: str) -> bytes:
    return bytes(12) + bytes.fromhex(owner.removeprefix("0x"))
