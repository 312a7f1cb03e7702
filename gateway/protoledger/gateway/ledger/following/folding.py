"""Fold events into codebooks, and hold each result against what its owner claims: no I/O.

An owner whose delta does not lead to the hash that it claims is not believed from that version on:
the contract keeps the claim, and gateways check it. It is believed again when the contract's owner
has granted it again, with an empty codebook, or when somebody has checkpointed the version that it
claims, because the contract has then seen what the claim stands for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from protoledger.contracts.client.heads import HASH_BYTES
from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.errors import CodebookError
from protoledger.gateway.ledger.following.copy import BY_CHECKPOINT, BY_GRANT, Version

if TYPE_CHECKING:
    from protoledger.contracts.client.binding import DeltaLog, GatewayLog


class GapError(ValueError):
    """An event was left out: an owner's versions have no gaps.

    Attributes:
        owner: whose.
    """

    def __init__(self, owner: str, known: int, found: int) -> None:
        super().__init__(f"{owner} went from version {known} to {found}")
        self.owner = owner


def fold_delta(before: Version | None, event: DeltaLog, form: RecordFormat) -> Version | None:
    """Follow a commit.

    Args:
        before: the owner's newest version; None before the first commit.
        event: the commit.
        form: record format.

    Returns:
        The new version, which may be a lie; None if it is known already.

    Raises:
        GapError: an event before it is missing.
    """
    known = before.version if before is not None else 0
    if event.head.version <= known:
        return None
    if event.head.version != known + 1:
        raise GapError(event.owner, known, event.head.version)
    book = Codebook.empty(form)
    if before is not None:
        book = Codebook.decode(before.snapshot, form)
    if before is not None and before.lie:
        after, lie = book, before.lie  # counted, so that it is known where it may go on
    else:
        after, lie = checked(book, event)
    log = event.log
    return Version(event.owner, log.block, log.transaction, after.encode(), event.head, lie)


def fold_grant(before: Version | None, event: GatewayLog) -> Version | None:
    """Let an owner that is granted again begin with an empty codebook.

    What came before does not matter any more, so nothing before can be missing.
    """
    known = before.version if before is not None else 0
    if not event.added or event.head.version <= known:
        return None
    return Version(event.owner, event.log.block, BY_GRANT, b"", event.head, "")


def from_checkpoint(
    version: Version, snapshot: bytes, form: RecordFormat, *, known_hash: bool
) -> Version | None:
    """Believe a version for its checkpoint, or say that it holds no codebook.

    Args:
        version: the version; its head's hash counts only if `known_hash`.
        snapshot: what the node gave as the checkpoint's records.
        form: record format.
        known_hash: whether the head is the state's, so that the snapshot can be checked.

    Returns:
        None if the node gave something else than what the contract has checked.
    """
    if known_hash and Codebook.hash_of(snapshot) != version.head.state_hash:
        return None
    try:
        book = Codebook.decode(snapshot, form)
    except CodebookError as error:  # its hash fits, but only what the owner claimed
        if not known_hash:
            return None
        lie = f"the checkpoint of version {version.version} is malformed: {error}"
        return replace(version, snapshot=b"", lie=lie)
    head = replace(version.head, state_hash=book.state_hash(), count=len(book))
    return replace(version, snapshot=snapshot, head=head, tx_hash=BY_CHECKPOINT, lie="")


def checked(book: Codebook, event: DeltaLog) -> tuple[Codebook, str]:
    """Follow a delta, and hold the result against what its owner claims.

    Returns:
        The codebook after it, and an empty string; or the codebook before it, and the reason.
    """
    claimed = event.head
    try:
        after = book.apply(event.delta)
    except CodebookError as error:
        return book, f"the delta of version {claimed.version} is malformed: {error}"
    if after.state_hash() == claimed.state_hash and len(after) == claimed.count:
        return after, ""
    return book, (
        f"the delta of version {claimed.version} leads to {len(after)} records whose hash begins "
        f"with {after.state_hash().hex()[: 2 * HASH_BYTES]}, claimed were {claimed.count} and "
        f"{claimed.state_hash.hex()}"
    )
