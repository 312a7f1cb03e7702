"""Follow the contract's events: keep a checked copy of every owner's codebook.

`eth_getLogs` is the truth. Each scan starts after the last block whose hash still stands; where it
does not (a reorg, or a chain that a crash rewound: no node tells about either) the copy is rolled
back to the newest block that does, and folded anew. Logs fetched while a reorg happens are caught
by the next scan, because all that a scan stores lies after a block whose hash was checked before.

An owner whose delta does not lead to the state hash that it claims is not believed from that
version on: the contract keeps the claim, and gateways check it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.binding import DeltaLog, GatewayLog
from contracts.errors import RpcError
from gateway.codebook import Codebook, RecordFormat
from gateway.errors import CodebookError
from gateway.ledger_events import CodebookChanged, CodebookDropped, LedgerEvent, OwnerLied
from gateway.outbox import LedgerStore, Version

if TYPE_CHECKING:
    from contracts.binding import Buffer
    from contracts.rpc import Block, Log, Node

_BLOCKS_A_REQUEST = 10_000


class Follower:
    """The copy of the chain, brought up to date scan by scan; owned by one thread.

    Args:
        store: where the copy is kept.
        form: record format of the contract.
        own: this gateway's address; its codebook is never dropped from the copy.
    """

    def __init__(self, store: LedgerStore, form: RecordFormat, own: str) -> None:
        self._store, self._form, self._own = store, form, own
        self._told: dict[str, tuple[int, bytes]] = {}
        self._liars: set[tuple[str, int]] = set()
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
        if self._scanned == (head.number, head.hash):
            return
        if self._scanned and not self._continues(node, head, self._scanned):
            self._roll_back(node, head)
        first = self._scanned[0] + 1 if self._scanned else deployed_block
        while first <= head.number:
            last = min(first + _BLOCKS_A_REQUEST - 1, head.number)
            logs = node.logs(buffer.address, first, last)
            if last == head.number:
                end: Block | None = head
            else:
                end = node.block(last)
            if end is None:
                raise RpcError("eth_getBlockByNumber", 0, f"block {last} is gone: a reorg")
            self._fold(buffer, logs, end)
            first = last + 1

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

    def _fold(self, buffer: Buffer, logs: list[Log], end: Block) -> None:
        versions: list[Version] = []
        gateways: list[tuple[int, int, str, bool]] = []
        for log in logs:
            match buffer.event(log):
                case DeltaLog() as delta:
                    if (version := self._fold_delta(delta)) is not None:
                        versions.append(version)
                case GatewayLog(owner, added, _):
                    self._active[owner] = added
                    gateways.append((log.block, log.index, owner, added))
                case None:
                    pass
        try:
            self._store.fold((end.number, end.hash), versions, gateways)
        except BaseException:
            self._load()
            raise
        self._scanned = (end.number, end.hash)

    def _fold_delta(self, event: DeltaLog) -> Version | None:
        owner, log = event.owner, event.log
        before = self._newest.get(owner)
        known = before.version if before is not None else 0
        if event.version <= known or (before is not None and before.lie):
            return None
        if event.version != known + 1:
            # The contract counts without gaps: a node that lagged behind its head kept logs back.
            self._store.rollback(-1, self._own)
            self._load()
            raise RpcError("eth_getLogs", 0, f"{owner} went from {known} to {event.version}")
        book = self._books.get(owner) or Codebook.empty(self._form)
        lie = ""
        try:
            after = book.apply(event.delta)
            if after.state_hash() != event.state_hash or len(after) != event.count:
                lie = (
                    f"the delta leads to {len(after)} records that hash to "
                    f"{after.state_hash().hex()}, claimed were {event.count} and "
                    f"{event.state_hash.hex()}"
                )
        except CodebookError as error:
            lie = f"the delta is malformed: {error}"
        if lie:
            after = book
        version = Version(owner, event.version, log.block, log.transaction, after.encode(), lie)
        self._newest[owner], self._books[owner] = version, after
        return version

    def changes(self) -> list[LedgerEvent]:
        """Give what has changed since the last call: newest codebooks, drops, lies."""
        events: list[LedgerEvent] = []
        for owner, newest in self._newest.items():
            if newest.lie and (owner, newest.version) not in self._liars:
                self._liars.add((owner, newest.version))
                events.append(OwnerLied(owner, newest.version, newest.lie))
        for owner in sorted(self._told.keys() | self._newest.keys()):
            events.extend(self._change(owner))
        return events

    def _change(self, owner: str) -> list[LedgerEvent]:
        newest = self._newest.get(owner)
        if newest is None:
            reason = "its commits are gone: the chain was reorganised"
        elif newest.lie:
            reason = f"its version {newest.version} is a lie: {newest.lie}"
        elif not self._active.get(owner, False):
            reason = "the contract's owner removed it"
        else:
            book = self._books[owner]
            now = (newest.version, book.state_hash())
            if self._told.get(owner) == now:
                return []
            self._told[owner] = now
            return [CodebookChanged(owner, newest.version, book, owner == self._own)]
        return [CodebookDropped(owner, reason)] if self._told.pop(owner, None) else []
