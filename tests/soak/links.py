"""Links that can be cut: TCP relays on the loopback interface, one for each device.

TLS passes through as it is, so a relay reads nothing. A cut closes what is open and refuses what is
new until the link is joined again, as a router without power does. All relays share one thread.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable

CHUNK_BYTES = 65_536


class Links:
    """Relays by name; a context manager.

    Attributes:
        ports: where each link listens.
    """

    def __init__(self):
        self.ports: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._open: dict[str, set[asyncio.StreamWriter]] = {}
        self._cut: set[str] = set()
        self._servers = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        for name in list(self._open):
            self.cut(name)

        async def close():
            for server in self._servers:
                server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self._call(close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def add(self, name: str, port: int) -> int:
        """Lead a new link to a port of the loopback interface; returns the port to connect to."""
        self._open[name] = set()

        async def serve():
            async def accept(reader, writer):
                await self._accept(name, port, reader, writer)

            self._servers.append(await asyncio.start_server(accept, "127.0.0.1", 0))
            return self._servers[-1].sockets[0].getsockname()[1]

        self.ports[name] = self._call(serve)
        return self.ports[name]

    def cut(self, name: str) -> None:
        """Close what is open, and whatever is opened until `join`."""

        async def close():
            self._cut.add(name)
            for writer in list(self._open[name]):
                writer.transport.abort()

        self._call(close)

    def join(self, name: str) -> None:
        """Let the link work again."""
        self._cut.discard(name)

    def _call(self, job: Callable):
        return asyncio.run_coroutine_threadsafe(job(), self._loop).result(60)

    async def _accept(self, name, port, reader, writer):
        if name in self._cut:
            writer.transport.abort()
            return
        try:
            there = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, there[1]}
        self._open[name] |= both
        try:
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        finally:
            self._open[name] -= both


async def _pump(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
