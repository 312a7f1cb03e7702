"""Several nodes of one chain: turn to another when one fails, and name one that contradicts.

One node is active; the others are asked from time to time which hash they have for a block a little
below the newest. A node with another hash than most is named and passed over. With two nodes there
is no majority: then both are named, and the active one is kept. A node that has not by the next
comparison what another one had at the last is left, if by one block only: where blocks come for
transactions alone, one is all that a parted node ever lacks.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from protoledger.contracts.client.node import Node
from protoledger.contracts.errors import ChainUnreachableError, RpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from protoledger.contracts.client.answers import Block

_TIMEOUT_S = 10.0
_FAILOVER_S = 1.0  # an answer's first byte, where there is another node to ask
_COMPARE_EVERY_S = 5.0
_BELOW = 2  # blocks below the newest: nodes differ about the newest all the time
_BEHIND = 3  # blocks that a node may be behind the others before it is left
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


class TurnedError(ChainUnreachableError):
    """Another node is the active one now: ask again."""


class Nodes:
    """Connections to several nodes, owned by one thread.

    Args:
        urls: in the order of preference; each once.
        name_one: called with the address of a node that contradicts others, and how.
        sleep: waits between requests of a node that limits them.
    """

    def __init__(
        self,
        urls: Sequence[str],
        name_one: Callable[[str, str], None],
        *,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        several = len(urls) > 1
        first_byte_s = _FAILOVER_S if several else _TIMEOUT_S
        self._nodes = [
            Node(url, _TIMEOUT_S, first_byte_s=first_byte_s, sleep=sleep) for url in urls
        ]
        self._name_one, self._active = name_one, 0
        self._pause_s = [_FIRST_PAUSE_S] * len(urls)
        self._back_at = [0.0] * len(urls)
        self._compared_at, self._best_height = 0.0, 0
        self._named: set[tuple[str, int]] = set()

    @property
    def active(self) -> Node:
        """The node to ask."""
        return self._nodes[self._active]

    def turn_away(self, error: Exception) -> bool:
        """Leave the active node for a while; False if no other may answer now.

        Args:
            error: what came of asking it. After `compare` has turned, the active node is the one
                that was found good, and is kept.
        """
        if isinstance(error, TurnedError):
            return True
        now = time.monotonic()
        self._set_aside(self._active, now)
        waiting = [at for at in range(len(self._nodes)) if self._back_at[at] <= now]
        if not waiting:
            self._active = min(range(len(self._nodes)), key=self._back_at.__getitem__)
            return False
        self._active = waiting[0]
        return True

    def _set_aside(self, at: int, now: float) -> None:
        self._back_at[at] = now + self._pause_s[at]
        self._pause_s[at] = min(2 * self._pause_s[at], _LONGEST_PAUSE_S)

    def compare(self, believed: Block) -> None:
        """Hold the nodes against each other, if it is time to.

        Args:
            believed: a block of the active node.

        Raises:
            TurnedError: the active node contradicted most, or was behind; ask the one that is now.
            ChainUnreachableError, RpcError: the active node does not answer.
        """
        now = time.monotonic()
        if len(self._nodes) < 2 or now < self._compared_at + _COMPARE_EVERY_S:
            return
        self._compared_at = now
        heights, hashes = {}, {}
        number = max(0, believed.number - _BELOW)
        for at, node in enumerate(self._nodes):
            if at != self._active and self._back_at[at] > now:
                continue
            try:
                newest, block = node.block("latest"), node.block(number)
            except (ChainUnreachableError, RpcError):
                if at == self._active:
                    raise
                self._set_aside(at, now)
                continue
            if newest is not None:
                heights[at] = newest.number
            if block is not None:
                hashes[at] = block.hash
                self._pause_s[at] = _FIRST_PAUSE_S
        self._judge(number, hashes)
        same = hashes.get(self._active)  # a height alone is easily claimed
        agreeing = {at: height for at, height in heights.items() if hashes.get(at) == same}
        self._leave_if_behind(agreeing, now)

    def _judge(self, number: int, hashes: dict[int, str]) -> None:
        counted = Counter(hashes.values())
        if len(counted) < 2:
            return
        most, votes = counted.most_common(1)[0]
        decided = 2 * votes > len(hashes)
        for at, hash_ in hashes.items():
            if decided and hash_ == most:
                continue
            self._say(at, number, f"block {number} is {hash_} there, {most} on {votes} others")
            if decided:
                self._set_aside(at, time.monotonic())
        if decided and hashes.get(self._active) not in {None, most}:
            self._active = next(at for at, hash_ in hashes.items() if hash_ == most)
            raise TurnedError(f"turning to {self.active.url}: most agree with it")

    def _say(self, at: int, number: int, reason: str) -> None:
        url = self._nodes[at].url
        if (url, number // 1000) not in self._named:
            self._named.add((url, number // 1000))
            self._name_one(url, reason)

    def _leave_if_behind(self, heights: dict[int, int], now: float) -> None:
        best = max(heights, key=heights.__getitem__, default=self._active)
        own, ahead = heights.get(self._active, 0), heights.get(best, 0)
        stays_behind = own < min(ahead, self._best_height)
        self._best_height = ahead
        if stays_behind or own + _BEHIND < ahead:
            self._set_aside(self._active, now)
            self._active = best
            raise TurnedError(f"turning to {self.active.url}: it is ahead")

    def spread(self, raw: bytes) -> None:
        """Hand a transaction to the others too, whatever they say: the active one may be parted."""
        now = time.monotonic()
        for at, node in enumerate(self._nodes):
            if at == self._active or self._back_at[at] > now:
                continue
            try:
                node.send(raw)
            except ChainUnreachableError:
                self._set_aside(at, now)
            except RpcError:
                continue  # known, outbid or mined already: the receipt will tell

    def close(self) -> None:
        """Close all connections."""
        for node in self._nodes:
            with suppress(OSError):
                node.close()
