"""Connections of which none may keep the others out: a slow client is disconnected.

uvicorn waits for ever for a request that was begun, and for a reader that does not read. Here a
request has to arrive whole, and what is sent has to be taken, within a time each; a client whose
TLS handshake does not end is disconnected as well. One address holds a part of all connections.
"""

import asyncio
import socket
from asyncio import sslproto
from typing import Any, ClassVar, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS: Final = 400
"""Open connections at most; more are answered 503."""
OF_ONE_ADDRESS: Final = 300
SEND_BYTES: Final = 65_536
"""What the kernel holds for a client that does not read; else it would be megabytes."""
TLS_BYTES: Final = 16_384
"""What asyncio sets aside for each connection of TLS, one record; of itself it takes 256 KiB."""
GOODBYE_S: Final = 1.0
_RECEIVING: Final = (h11.IDLE, h11.SEND_BODY)
"""States of a client whose request is not here yet, or not whole."""


class BoundedConnection(H11Protocol):
    """One client's connection.

    Attributes:
        patience_s: how long a request may take to arrive, and an answer to be taken.
    """

    patience_s: ClassVar[float] = 10.0
    _receiving: asyncio.TimerHandle | None = None
    _sending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a client, unless its address has too many connections."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        address = self.client and self.client[0]
        clients = [getattr(one, "client", None) for one in self.connections]
        held = sum(client is not None and client[0] == address for client in clients)
        if held > OF_ONE_ADDRESS:
            transport.abort()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        super().connection_lost(exc)
        for timer in (self._receiving, self._sending):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """Give a reader that is behind some time to go on."""
        super().pause_writing()
        if self._sending is None:
            self._sending = self.loop.call_later(self.patience_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on with a reader that went on."""
        super().resume_writing()
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _look(self) -> None:
        """Let the time run while a request is awaited; what arrives of it does not stop it."""
        if self.conn.their_state in _RECEIVING:
            if self._receiving is None:
                self._receiving = self.loop.call_later(self.patience_s, self.transport.abort)
        elif self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None


class PatientLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, whose servers do not wait a minute for a handshake of TLS."""

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        """Make a server; see `asyncio.loop.create_server`."""
        if options.get("ssl") is not None:
            options.setdefault("ssl_handshake_timeout", BoundedConnection.patience_s)
            options.setdefault("ssl_shutdown_timeout", GOODBYE_S)
            sslproto.SSLProtocol.max_size = TLS_BYTES
        return await super().create_server(*args, **options)
