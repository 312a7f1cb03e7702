"""Follow the contract: keep a checked copy of every owner's codebook.

The state says how everybody stands (one call), the events say with which records. **Absence proves
nothing**: a node behind a balancer answers `[]` for a block that has events. So a scan counts only
when what was folded equals the state at its last block, owner by owner; or when the block's own
Bloom filter excludes the contract, on a chain whose filters are known to name it. Where the state
is what was folded already, no events are asked for. What was read of a long range is kept from time
to time and when a node fails, but for the last part, which waits for that comparison.

Each scan starts after the last block whose hash still stands. Where it does not (a reorg, or a
chain that a crash rewound: no node tells about either) the copy is rolled back to the newest block
that does. A node that is merely behind is waited for.

A first scan takes each owner's newest checkpoint from the state, and only the events after it; so a
fresh gateway joins although the node has dropped the history before.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from protoledger.contracts.client.binding import CheckpointLog, DeltaLog, GatewayLog
from protoledger.contracts.client.logs import LogRanges
from protoledger.contracts.errors import (
    ChainUnreachableError,
    LaggingNodeError,
    PrunedHistoryError,
    RpcError,
)
from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.ledger.following.bases import bases, without_history
from protoledger.gateway.ledger.following.changes import Changes
from protoledger.gateway.ledger.following.copy import BY_CHECKPOINT, Version
from protoledger.gateway.ledger.following.folding import (
    GapError,
    fold_delta,
    fold_grant,
    from_checkpoint,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from protoledger.contracts.client.answers import Block, Log
    from protoledger.contracts.client.binding import Buffer, Standing
    from protoledger.contracts.client.node import Node
    from protoledger.gateway.ledger.events import LedgerEvent
    from protoledger.gateway.ledger.store import LedgerStore

_KEEP_EVERY_S = 1.0  # of reading a long range; each time costs a request and a write to disk
_LAG_S = 3.0  # a node that is behind what was seen is waited for so long
_STUBBORN = 3  # comparisons that fail before the events are read again from further back


class Follower:
    """The copy of the chain, brought up to date scan by scan; owned by one thread.

    Args:
        store: where the copy is kept.
        form: record format of the contract.
        own: this gateway's address; its codebook is never dropped from the copy, and read from a
            checkpoint only where there is nothing else, because the sender asks which transaction
            made a version.
        use_checkpoints: whether the first scan may leave out what they make needless.
    """

    def __init__(
        self, store: LedgerStore, form: RecordFormat, own: str, *, use_checkpoints: bool = True
    ) -> None:
        self._copy, self._form, self._own = store.copy, form, own
        self._outbox = store.outbox
        self._use_checkpoints = use_checkpoints
        self._changes = Changes(form, own)
        self._contract = ""
        self._ranges = LogRanges()
        self._failed, self._behind_since = 0, 0.0
        self._bloom_works = False
        self._load()

    def _load(self) -> None:
        scans = self._copy.scans()
        self._scanned = scans[0] if scans else None
        self._newest = self._copy.newest()
        self._active = self._copy.gateways()

    @property
    def version(self) -> int:
        """This gateway's version as folded."""
        newest = self._newest.get(self._own)
        return newest.version if newest else 0

    @property
    def epoch(self) -> int:
        """This gateway's epoch as folded; 1 before anything was."""
        newest = self._newest.get(self._own)
        return newest.head.epoch if newest else 1

    @property
    def lie(self) -> str:
        """Why this gateway's own codebook is not believed; empty if it is."""
        newest = self._newest.get(self._own)
        return newest.lie if newest else ""

    @property
    def codebook(self) -> Codebook:
        """This gateway's codebook as folded."""
        newest = self._newest.get(self._own)
        return (
            Codebook.decode(newest.snapshot, self._form) if newest else Codebook.empty(self._form)
        )

    @property
    def scanned_block(self) -> int:
        """The last block that was looked at; −1 before the first scan."""
        return self._scanned[0] if self._scanned else -1

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
            if self._is_behind(node, head):
                return
            self._roll_back(node, head)
        self._behind_since = 0.0
        try:
            if self._scanned is None:
                self._begin(node, buffer, head, deployed_block)
            self._read(node, buffer, head)
        except PrunedHistoryError as error:
            if error.method != "eth_getLogs":  # a state or header that a lagging replica has not
                self._load()
                raise
            self._skip_history(node, buffer, head, error)
            raise LaggingNodeError(f"{error}; going on after what the node has dropped") from error
        except BaseException:
            self._load()
            raise
        self._failed = 0

    # -- where a scan starts -----------------------------------------------------------------------

    def _begin(self, node: Node, buffer: Buffer, head: Block, deployed_block: int) -> None:
        standings = buffer.standings(node, at=head.number)
        taken, first = {}, head.number + 1
        if self._use_checkpoints:
            others = {owner: each for owner, each in standings.items() if owner != self._own}
            taken = bases(node, others, self._form)
        for owner, standing in standings.items():
            base = taken.get(owner)
            if base is None and standing.head.version == 0:
                continue  # no event yet
            first = min(first, base.block if base is not None else standing.first_block)
        self._newest |= taken
        self._scanned = (max(first, deployed_block) - 1, "")
        self._copy.fold(self._scanned, list(taken.values()))

    def _continues(self, node: Node, head: Block, scan: tuple[int, str]) -> bool:
        number, hash_ = scan
        if not hash_ and number < head.number:
            return True
        if head.number == number + 1:
            return head.parent == hash_
        if head.number <= number:
            return False
        block = node.block(number)
        return block is not None and block.hash == hash_

    def _is_behind(self, node: Node, head: Block) -> bool:
        """Whether the node knows the same chain, only less of it, and not for long."""
        assert self._scanned is not None  # noqa: S101 - the caller has looked
        known = dict(self._copy.scans())
        if head.number >= self._scanned[0]:
            return False
        same = known.get(head.number) in {None, head.hash}
        later = node.block(self._scanned[0])
        if later is not None and later.hash == self._scanned[1]:
            return True  # only the answer for the newest block was old
        now = time.monotonic()
        self._behind_since = self._behind_since or now
        return same and now - self._behind_since < _LAG_S

    def _roll_back(self, node: Node, head: Block) -> None:
        standing = -1
        for number, hash_ in self._copy.scans():
            block = node.block(number) if number <= head.number else None
            if block is not None and (block.hash == hash_ or not hash_):
                standing = number
                break
        if not self._copy.rollback(standing, self._own):
            self._copy.rollback(-1, self._own)
        self._load()

    def scan_again_from(self, block: int) -> None:
        """Read the events from a block on once more: something there was left out."""
        self._copy.scan_again_from(block)
        self._load()

    def _skip_history(
        self, node: Node, buffer: Buffer, head: Block, error: PrunedHistoryError
    ) -> None:
        """Go on where the node's history begins; take what the state has of earlier owners."""
        self._load()
        first = self.scanned_block + 1
        versions, kept_from = without_history(
            node, buffer, head, (first, error), self._newest, self._form
        )
        self._copy.fold(None, versions)
        self._copy.scan_again_from(kept_from)
        self._load()

    # -- reading -----------------------------------------------------------------------------------

    def _read(self, node: Node, buffer: Buffer, head: Block) -> None:
        assert self._scanned is not None  # noqa: S101 - `_begin` has set it
        first = self._scanned[0] + 1
        if first == head.number and self._bloom_works and not head.may_hold(buffer.address):
            self._keep(head, [], None)
            return
        standings = buffer.standings(node, at=head.number)
        if not self._wrong(standings) and not any(each.lie for each in self._newest.values()):
            self._keep(head, [], standings)
            return
        ranges = self._ranges.fetch(node, buffer.address, first, head.number)
        logs, found = self._read_ranges(node, buffer, head, ranges)
        if any(log.block == head.number and log.block_hash != head.hash for log in logs):
            raise LaggingNodeError(
                f"block {head.number} has two hashes: a reorg, or several nodes answer"
            )
        self._compare(standings, buffer)
        self._learn_of_blooms(head, logs, buffer.address)
        self._keep(head, found, standings)

    def _read_ranges(
        self, node: Node, buffer: Buffer, head: Block, ranges: Iterator[tuple[int, list[Log]]]
    ) -> tuple[list[Log], list[Version]]:
        """Fold events range by range; gives the last range's, and the versions not yet kept."""
        found, read_to, kept_at = list[Version](), -1, time.monotonic()
        try:
            for end, logs in ranges:
                now = self._fold(node, buffer, logs)
                if end == head.number:
                    return logs, found + now
                found, read_to = found + now, end
                if time.monotonic() - kept_at >= _KEEP_EVERY_S:
                    self._keep_up_to(node, end, found)
                    found, read_to, kept_at = [], -1, time.monotonic()
        except (ChainUnreachableError, RpcError):
            if read_to >= 0:
                self._keep_up_to(node, read_to, found)
            raise
        raise AssertionError("ranges end at the newest block")

    def _keep_up_to(self, node: Node, end: int, found: list[Version]) -> None:
        block = node.block(end)
        if block is None:
            raise LaggingNodeError(f"block {end} is missing: a reorg, or a node that is behind")
        self._keep(block, found, None)

    def _keep(
        self, end: Block, found: list[Version], standings: Mapping[str, Standing] | None
    ) -> None:
        statuses = None
        if standings is not None:
            statuses = {owner: each.head.status for owner, each in standings.items()}
        self._copy.fold((end.number, end.hash), found, statuses)
        self._scanned = (end.number, end.hash)
        if statuses is not None:
            self._active = self._copy.gateways()

    def _learn_of_blooms(self, head: Block, logs: list[Log], address: str) -> None:
        if any(log.block == head.number for log in logs):
            self._bloom_works = head.may_hold(address)

    def _wrong(self, standings: Mapping[str, Standing]) -> list[str]:
        """Give the owners of whom the state says something else than what was folded."""
        return [
            owner
            for owner in standings.keys() | self._newest.keys()
            if not _agrees(standings.get(owner), self._newest.get(owner))
        ]

    def _compare(self, standings: Mapping[str, Standing], buffer: Buffer) -> None:
        """Hold what was folded against the state.

        Raises:
            LaggingNodeError: events are missing, or the state is another block's.
        """
        if wrong := self._wrong(standings):
            self._missed(standings, wrong)
            raise LaggingNodeError(
                f"the node's events do not lead to its state for {', '.join(sorted(wrong))} of "
                f"{buffer.address}: it leaves some out, or answers for several blocks"
            )

    def _missed(self, standings: Mapping[str, Standing], wrong: list[str]) -> None:
        """Read again from further back if looking again does not help."""
        self._failed += 1
        if self._failed < _STUBBORN:
            return
        self._failed = 0
        kept = self._copy.newest()
        blocks = [kept[owner].block for owner in wrong if owner in kept]
        blocks += [standings[o].first_block for o in wrong if o in standings and o not in kept]
        if blocks and min(blocks) <= self.scanned_block:
            self._copy.scan_again_from(min(blocks))
        elif any(owner not in standings for owner in wrong):
            self._copy.rollback(-1, self._own)

    def _fold(self, node: Node, buffer: Buffer, logs: list[Log]) -> list[Version]:
        found = []
        for log in logs:
            event = buffer.decoded(log)
            version: Version | None = None
            try:
                match event:
                    case DeltaLog():
                        version = fold_delta(self._newest.get(event.owner), event, self._form)
                    case GatewayLog():
                        version = self._granted(event)
                    case CheckpointLog():
                        version = self._checkpointed(node, event)
            except GapError as error:
                self._missed({}, [error.owner])
                raise LaggingNodeError(f"the node leaves out events: {error}") from error
            if version is not None:
                self._newest[version.owner] = version
                found.append(version)
        return found

    def _granted(self, event: GatewayLog) -> Version | None:
        before = self._newest.get(event.owner)
        version = fold_grant(before, event)
        if version is not None and before is not None and event.owner == self._own:
            self._outbox.want_again(before.snapshot, "granted again")
        return version

    def _checkpointed(self, node: Node, event: CheckpointLog) -> Version | None:
        """Believe an owner again whose claim turned out to stand for a codebook."""
        newest = self._newest.get(event.owner)
        if newest is None or not newest.lie or newest.version != event.version:
            return None
        snapshot = node.code(event.store)[1:]  # a STOP instruction stands before the data
        healed = Version(event.owner, event.log.block, BY_CHECKPOINT, b"", newest.head, "")
        version = from_checkpoint(healed, snapshot, self._form, known_hash=True)
        if version is None:
            raise LaggingNodeError(f"the node does not give the code of {event.store}")
        return version

    def changes(self) -> list[LedgerEvent]:
        """Give what has changed since the last call: newest codebooks, drops, lies."""
        return self._changes.since(self._newest, self._active, self._contract)


def _agrees(standing: Standing | None, newest: Version | None) -> bool:
    """Whether a folded version is what the state has; None: nobody, or nothing yet."""
    if newest is None:
        return standing is None or standing.head.version == 0
    return standing is not None and standing.head.same_codebook(newest.head)
