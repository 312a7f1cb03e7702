"""Follows the gateways' files, and hands each new view to all browsers that look at it.

A view is made once however many look at it, and only while somebody does: fifty pages cost what one
costs, and none cost the gateway anything. Files are read in one thread beside the loop, so that a
file that is locked or a slow disk keeps no browser waiting for what is there. What a view costs
decides how often it is made. A browser that is slow gets the newest view, not all.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from protoledger.dashboard.reading.files import GatewayFiles
from protoledger.dashboard.reading.views import EVERY_S, VIEWS, explained, view

log = logging.getLogger(__name__)

T = TypeVar("T")
TURN_S: Final = 0.5
AGES_S: Final = 10.0
"""How old what is shown of now may become: it says how long ago things were."""
BEAT_S: Final = 10.0
"""A sign of life, so that a browser notices a connection that is dead."""
COSTLY: Final = 60.0
"""How many times its cost a view waits before it is made again: each takes a sixtieth of a core."""
LONGEST_S: Final = 60.0
MOST_STREAMS: Final = 200


class Streams:
    """All open streams.

    Args:
        sites: the gateways to follow; from here on nobody else reads their files.
    """

    def __init__(self, sites: list[GatewayFiles]) -> None:
        self._sites = sites
        self._watching: dict[str, set[asyncio.Queue[bytes | None]]] = {
            name: set() for name in VIEWS
        }
        self._made: dict[str, tuple[object, bytes]] = {}
        self._due: dict[str, float] = {}
        self._making = asyncio.Lock()
        self._reader = ThreadPoolExecutor(1, "reader")

    @property
    def full(self) -> bool:
        """Whether there are as many streams as there may be."""
        return sum(map(len, self._watching.values())) >= MOST_STREAMS

    async def newest(self, name: str) -> bytes:
        """Return a view as it is now, made again only if something changed.

        Raises:
            KeyError: there is no such view.
        """
        if name not in VIEWS:
            raise KeyError(name)
        if not self._is_fresh(name):
            async with self._making:
                if not self._is_fresh(name):  # by another, while this one waited
                    await self._read(lambda: self._make(name))
        return self._made[name][1]

    async def explained(self, site: str, n: int) -> bytes | None:
        """Return one explanation as JSON; None if there is no such site or prediction."""
        return await self._read(lambda: explained(site, n, self._sites))

    def _is_fresh(self, name: str) -> bool:
        return name in self._made and time.monotonic() < self._due.get(name, 0.0)

    async def _read(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reader, work)

    def _make(self, name: str) -> None:
        now, began = time.monotonic(), time.thread_time()
        version, body = self._made.get(name, (None, b""))
        found = (*(files.version() for files in self._sites), now // AGES_S if name == "now" else 0)
        if not body or found != version:
            fresh = view(name, self._sites)
            if not body or not any(files.busy for files in self._sites):
                self._made[name] = (found, fresh)
        wait_s = min(LONGEST_S, COSTLY * (time.thread_time() - began))
        self._due[name] = now + max(EVERY_S[name], wait_s)

    async def follow(self) -> None:
        """Look at the files for ever, and hand on what is new."""
        sent: dict[str, bytes] = {}
        while True:
            await asyncio.sleep(TURN_S)
            for name, queues in self._watching.items():
                if not queues:
                    sent.pop(name, None)
                    continue
                try:
                    body = await self.newest(name)
                except Exception:  # whatever it is, the other views and the next turn go on
                    log.exception("the view %s cannot be made", name)
                    self._due[name] = time.monotonic() + LONGEST_S
                    continue
                if sent.get(name) is not body:
                    sent[name] = body
                    for queue in queues:
                        _put(queue, body)

    async def stream(self, name: str, may_look: Callable[[], bool]) -> AsyncIterator[bytes]:
        """Yield a view as server-sent events, as it is now and whenever it changes.

        Args:
            name: of the view.
            may_look: whether the one who asked may still look; the stream ends when not.

        Raises:
            KeyError: there is no such view.
        """
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._watching[name].add(queue)
        try:
            _put(queue, await self.newest(name))
            while True:
                try:
                    async with asyncio.timeout(BEAT_S):
                        body = await queue.get()
                except TimeoutError:
                    message = b"event: beat\ndata: \n\n"
                else:
                    if body is None:
                        return
                    message = b"event: view\ndata: " + body + b"\n\n"
                if not may_look():
                    return
                yield message
        finally:
            self._watching[name].discard(queue)

    def end(self) -> None:
        """End all streams."""
        for queues in self._watching.values():
            for queue in queues:
                _put(queue, None)

    def close(self) -> None:
        """End all streams, and close the files."""
        self.end()
        self._reader.shutdown()
        for files in self._sites:
            files.close()


def _put(queue: asyncio.Queue[bytes | None], body: bytes | None) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(body)
