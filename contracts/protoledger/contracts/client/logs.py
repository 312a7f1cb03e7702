"""Fetch events over many blocks from nodes that each limit the range in their own way.

Public nodes answer for 10 to 10,000 blocks at once, and none says beforehand for how many. So the
range is halved when a node refuses, and the limit is closed in on between what was answered and
what was refused. Near it the range stays, because each refusal costs a request; after many answers
a wider one is tried, as the node may be another one by then, or the events fewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protoledger.contracts.errors import PrunedHistoryError, RpcError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from protoledger.contracts.client.answers import Log
    from protoledger.contracts.client.node import Node

MOST_BLOCKS = 10_000
_NEAR = 1.125  # a range this close below a refused one is kept
_FIRST_PATIENCE, _LONGEST_PATIENCE = 4, 64  # answers before a wider range is tried


class LogRanges:
    """How many blocks one node answers for at once; owned by one thread.

    Attributes:
        blocks: how many are asked for now.

    >>> ranges = LogRanges()
    >>> for _ in range(60):  # a node that answers for 500 blocks
    ...     refused = ranges.blocks > 500
    ...     _ = ranges.refused(ranges.blocks) if refused else ranges.answered(ranges.blocks)
    >>> ranges.blocks
    468
    """

    def __init__(self) -> None:
        self.blocks = MOST_BLOCKS
        self._good, self._too_many = 0, MOST_BLOCKS + 1
        self._answers, self._patience = 0, _FIRST_PATIENCE

    def answered(self, blocks: int) -> None:
        """Note that the node has answered for so many blocks."""
        if blocks < self.blocks:
            return  # the end of what was wanted says nothing about the limit
        self._good = blocks
        if self._too_many > max(blocks + 1, blocks * _NEAR):
            wider = min(2 * blocks, (blocks + self._too_many) // 2)
            self.blocks = min(wider, MOST_BLOCKS)
            return
        self._answers += 1
        if self._answers >= self._patience:
            self._answers = 0
            self._too_many = min(2 * self._too_many, 2 * MOST_BLOCKS)

    def refused(self, blocks: int) -> None:
        """Note that the node has refused so many blocks, more than one."""
        if self._good >= blocks:  # the limit is lower than it was
            self._good, self._patience = 0, _FIRST_PATIENCE
        elif self._good:
            self._patience = min(2 * self._patience, _LONGEST_PATIENCE)
        self._too_many, self._answers = blocks, 0
        self.blocks = self._good or blocks // 2

    def fetch(
        self,
        node: Node,
        address: str,
        first: int,
        last: int,
        *topics: Sequence[bytes] | None,
    ) -> Iterator[tuple[int, list[Log]]]:
        """Give the events of the blocks first … last, range by range.

        Yields:
            The last block of a range, and its events in order. What was given stays good when a
            later range fails.

        Raises:
            PrunedHistoryError: the node has not got these blocks (any more).
            RpcError: it refuses a single block.
        """
        while first <= last:
            end = min(first + self.blocks - 1, last)
            try:
                logs = node.logs(address, first, end, *topics)
            except PrunedHistoryError:
                raise
            except RpcError:
                if end == first:
                    raise
                self.refused(end - first + 1)
                continue
            self.answered(end - first + 1)
            yield end, logs
            first = end + 1
