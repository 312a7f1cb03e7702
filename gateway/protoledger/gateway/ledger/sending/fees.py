"""What to offer per gas: the node's own suggestion, within what the gateway's file allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protoledger.gateway.ledger.sending.outbox import Fees

if TYPE_CHECKING:
    from protoledger.contracts.client.answers import Block
    from protoledger.contracts.client.node import Node
    from protoledger.gateway.ledger.config import LedgerConfig

GWEI = 10**9


class FeePolicy:
    """Offers fees, and learns the least tip of a chain whose nodes refuse lower ones.

    Args:
        config: `tip_gwei` and `max_fee_gwei`.
    """

    def __init__(self, config: LedgerConfig) -> None:
        self._fixed = None if config.tip_gwei is None else int(config.tip_gwei * GWEI)
        self._limit = int(config.max_fee_gwei * GWEI)
        self._least = 0

    def offer(self, node: Node, head: Block, offered: Fees | None) -> tuple[Fees | None, str]:
        """Say what to offer now.

        Args:
            node: asked for its suggestion where the file names no tip.
            head: the newest block.
            offered: the most that may be in a pool under the same number; it is outbid.

        Returns:
            The fees; or None, and why not.
        """
        tip = max(node.tip() if self._fixed is None else self._fixed, self._least)
        fees = Fees(2 * head.base_fee + tip, tip)
        if offered is not None:
            fees = fees.at_least(offered.raised())
        elif head.base_fee + tip <= self._limit:
            fees = Fees(min(fees.maximum, self._limit), fees.tip)
        if fees.maximum <= self._limit:
            return fees, ""
        return None, (
            f"{fees.maximum / GWEI:.1f} gwei per gas would have to be offered, `max_fee_gwei` is "
            f"{self._limit / GWEI:.1f}; it waits"
        )

    def refused(self, offered: Fees, minimum_wei: int) -> None:
        """Learn that a tip was too low.

        Args:
            offered: what was refused.
            minimum_wei: what the node wants at least; 0 if it does not say.
        """
        self._least = max(self._least, minimum_wei or max(2 * offered.tip, GWEI))
