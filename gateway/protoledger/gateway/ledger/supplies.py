"""What a gateway needs to go on committing, as numbers for the metrics.

Whether the chain answers, how many commits the account can pay for, and how long one has waited.
The ledger's thread writes, the gateway's loop reads: each value is one assignment.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from protoledger.contracts.errors import ContractsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from protoledger.contracts.client.answers import Block
    from protoledger.contracts.client.node import Node

GAS_OF_A_COMMIT = 100_000
_LOOK_EVERY_S = 600.0
_RETRY_S = 60.0


class Supplies:
    """Keeps the newest numbers.

    Args:
        tip_gwei: of the gateway's file; None: what the node suggests.
        clock: monotonic seconds.

    Attributes:
        reachable: whether the chain answered when it was asked last.
        commits: how many commits the balance pays for at the present price; NaN until it is known.
    """

    def __init__(
        self, tip_gwei: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tip_gwei, self._clock = tip_gwei, clock
        self._look_at = -math.inf
        self._idle_at = clock()
        self.reachable = False
        self.commits = math.nan

    def look(self, node: Node, account: str, head: Block) -> None:
        """Ask for the balance, every ten minutes; what fails is tried again, and is no outage."""
        if (now := self._clock()) < self._look_at:
            return
        self._look_at = now + _RETRY_S
        try:
            tip = node.tip() if self._tip_gwei is None else int(self._tip_gwei * 1e9)
            self.commits = commits_for(node.balance(account), head.base_fee + tip)
        except ContractsError:
            return
        self._look_at = now + _LOOK_EVERY_S

    def values(self, *, idle: bool) -> dict[str, float]:
        """Return the gauges by name.

        Args:
            idle: whether nothing waits to be committed.
        """
        now = self._clock()
        if idle:
            self._idle_at = now
        return {
            "chain_reachable": self.reachable,
            "commits_affordable": self.commits,
            "commit_waiting_seconds": now - self._idle_at,
        }


def commits_for(wei: int, price: int) -> int:
    """Say how many commits a balance pays for.

    >>> commits_for(10**15, 10**9)
    10
    """
    return wei // max(1, GAS_OF_A_COMMIT * price)
