"""Fetch events over many blocks from nodes that each limit the range in their own way.

Public nodes answer for 10 to 10,000 blocks at once, and none says beforehand for how many. So the
range is halved when a node refuses, kept, and widened again while it answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protoledger.contracts.errors import PrunedHistoryError, RpcError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from protoledger.contracts.client.answers import Log
    from protoledger.contracts.client.node import Node

MOST_BLOCKS = 10_000
_WIDENED = 1.25


class LogRanges:
    """How many blocks one node answers for at once; owned by one thread.

    Attributes:
        blocks: the present guess.
    """

    def __init__(self) -> None:
        self.blocks = float(MOST_BLOCKS)

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
            end = min(first + max(1, int(self.blocks)) - 1, last)
            try:
                logs = node.logs(address, first, end, *topics)
            except PrunedHistoryError:
                raise
            except RpcError:
                if end == first:
                    raise
                self.blocks = (end - first + 1) / 2
                continue
            yield end, logs
            if end - first + 1 >= int(self.blocks):
                self.blocks = min(self.blocks * _WIDENED, MOST_BLOCKS)
            first = end + 1
