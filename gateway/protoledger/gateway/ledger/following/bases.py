"""Where a first scan begins: checkpoints from the state, and what to do without history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protoledger.contracts.client.heads import Head
from protoledger.contracts.errors import LaggingNodeError, PrunedHistoryError
from protoledger.gateway.ledger.following.copy import BY_CHECKPOINT, Version
from protoledger.gateway.ledger.following.folding import from_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protoledger.contracts.client.answers import Block
    from protoledger.contracts.client.binding import Buffer, Standing
    from protoledger.contracts.client.node import Node
    from protoledger.gateway.codebook.codebook import RecordFormat


def bases(node: Node, standings: Mapping[str, Standing], form: RecordFormat) -> dict[str, Version]:
    """Give the checkpointed versions of owners that have one.

    Raises:
        LaggingNodeError: the node does not give a checkpoint that its state names.
    """
    found = {}
    for owner, standing in standings.items():
        if not standing.has_checkpoint:
            continue
        head = standing.head
        newest = head.version == standing.checkpoint_version
        if not newest:  # its hash is not in the state; the deltas that follow will tell
            head = Head(bytes(25), standing.checkpoint_version, 0, head.epoch, "active")
        version = from_checkpoint(
            Version(owner, standing.checkpoint_block, BY_CHECKPOINT, b"", head, ""),
            node.code(standing.store)[1:],  # a STOP instruction stands before the data
            form,
            known_hash=newest,
        )
        if version is None:
            raise LaggingNodeError(f"the node does not give the code of {standing.store}")
        found[owner] = version
    return found


def without_history(
    node: Node,
    buffer: Buffer,
    head: Block,
    refused: tuple[int, PrunedHistoryError],
    known: Mapping[str, Version],
    form: RecordFormat,
) -> tuple[list[Version], int]:
    """Decide what to believe where a node has dropped old events (EIP-4444).

    Owners with a checkpoint begin with it. The others count again from their next checkpoint or
    grant on; anyone who has followed them can make one.

    Args:
        node: the chain.
        buffer: the contract.
        head: the newest block to believe.
        refused: the first block that was asked for, and the refusal.
        known: what was folded before.
        form: record format.

    Returns:
        Versions to begin with, and the first block whose events the node has.

    Raises:
        PrunedHistoryError: it has not even those of the newest block; or it has all of them now,
            so that it was another replica that had not.
    """
    first, error = refused
    kept_from = _first_kept(node, buffer.address, first, head.number, error)
    if kept_from == first or _has_events(node, buffer.address, kept_from - 1):
        raise error
    standings = buffer.standings(node, at=head.number)
    taken = bases(node, standings, form)
    versions = []
    for owner, standing in standings.items():
        before, base = known.get(owner), taken.get(owner)
        if before is not None and before.head.same_codebook(standing.head):
            continue
        if (base is not None and base.block >= kept_from - 1) or (
            base is not None and base.head.same_codebook(standing.head)
        ):
            versions.append(base)
        elif standing.head.version and standing.first_block < kept_from:
            lie = (
                f"its events before block {kept_from} are not on {node.url} any more; anyone who "
                "followed it makes it readable with `protoledger contracts checkpoint`"
            )
            versions.append(Version(owner, head.number, BY_CHECKPOINT, b"", standing.head, lie))
    return versions, kept_from


def _first_kept(node: Node, address: str, first: int, last: int, error: PrunedHistoryError) -> int:
    """Search the first block whose events the node has, by halving."""
    if not _has_events(node, address, last):
        raise error
    while first < last:
        middle = (first + last) // 2
        if _has_events(node, address, middle):
            last = middle
        else:
            first = middle + 1
    return last


def _has_events(node: Node, address: str, block: int) -> bool:
    try:
        node.logs(address, block, block)
    except PrunedHistoryError:
        return False
    return True
