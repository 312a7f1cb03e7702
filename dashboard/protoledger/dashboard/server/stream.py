"""Follows the gateways' files, and hands each new view to all browsers that look at it.

A view is made once however many look at it, and only while somebody does: fifty pages cost what one
costs, and none cost the gateway anything. A browser that is slow gets the newest view, not all.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

from protoledger.dashboard.reading.files import GatewayFiles
from protoledger.dashboard.reading.views import EVERY_S, VIEWS, view

TURN_S: Final = 0.5
AGES_S: Final = 10.0
"""How old what is shown of now may become: it says how long ago things were."""
BEAT_S: Final = 10.0
"""A sign of life, so that a browser notices a connection that is dead."""
MOST_STREAMS: Final = 100


class Streams:
    """All open streams.

    Args:
        sites: the gateways to follow.
    """

    def __init__(self, sites: list[GatewayFiles]) -> None:
        self._sites = sites
        self._watching: dict[str, set[asyncio.Queue[bytes | None]]] = {
            name: set() for name in VIEWS
        }
        self._made: dict[str, tuple[object, float, bytes]] = {}

    @property
    def full(self) -> bool:
        """Whether there are as many streams as there may be."""
        return sum(map(len, self._watching.values())) >= MOST_STREAMS

    def newest(self, name: str) -> bytes:
        """Return a view as it is now, made again only if something changed.

        Raises:
            KeyError: there is no such view.
        """
        if name not in VIEWS:
            raise KeyError(name)
        now = time.monotonic()
        version, at, body = self._made.get(name, (None, 0.0, b""))
        if body and now < at + EVERY_S[name]:
            return body
        found = (*(files.version() for files in self._sites), now // AGES_S if name == "now" else 0)
        if not body or found != version:
            body = view(name, self._sites)
        self._made[name] = (found, now, body)
        return body

    async def follow(self) -> None:
        """Look at the files for ever, and hand on what is new."""
        sent: dict[str, bytes] = {}
        while True:
            await asyncio.sleep(TURN_S)
            for name, queues in self._watching.items():
                if not queues:
                    sent.pop(name, None)
                    continue
                body = self.newest(name)
                if sent.get(name) is not body:
                    sent[name] = body
                    for queue in queues:
                        _put(queue, body)

    async def stream(self, name: str) -> AsyncIterator[bytes]:
        """Yield a view as server-sent events, as it is now and whenever it changes.

        Raises:
            KeyError: there is no such view.
        """
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._watching[name].add(queue)
        try:
            _put(queue, self.newest(name))
            while True:
                try:
                    async with asyncio.timeout(BEAT_S):
                        body = await queue.get()
                except TimeoutError:
                    yield b"event: beat\ndata: \n\n"
                    continue
                if body is None:
                    return
                yield b"event: view\ndata: " + body + b"\n\n"
        finally:
            self._watching[name].discard(queue)

    def close(self) -> None:
        """End all streams, and close the files."""
        for queues in self._watching.values():
            for queue in queues:
                _put(queue, None)
        for files in self._sites:
            files.close()


def _put(queue: asyncio.Queue[bytes | None], body: bytes | None) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(body)
