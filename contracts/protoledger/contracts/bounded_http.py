"""A session whose answers end: a node that sends a byte now and then must not hold a thread.

`requests` knows a timeout for each read from the socket and none for the whole, so headers and body
that come byte by byte would last for days. Here every read looks at the time since the request.
"""

from __future__ import annotations

import http.client
import io
import time
from typing import TYPE_CHECKING, Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

if TYPE_CHECKING:
    import socket

_SCHEMES: Final = ("http://", "https://")


def bounded_session(seconds: float) -> requests.Session:
    """Make a session in which no answer takes longer.

    Args:
        seconds: from the end of the request to the end of the answer; one read that waits may add
            its own timeout to that.

    An answer that takes longer raises what a read that timed out raises.
    """
    session = requests.Session()
    session.trust_env = False  # looking for proxies costs more than a request
    for scheme in _SCHEMES:
        session.mount(scheme, _Adapter(seconds))
    return session


class _Reader(io.RawIOBase):
    """Reads from a socket until its time is up."""

    def __init__(self, raw: io.RawIOBase, seconds: float) -> None:
        self._raw, self._seconds = raw, seconds
        self._ends = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > self._ends:
            raise TimeoutError(f"the answer takes longer than {self._seconds:g} s")
        found: int | None = self._raw.readinto(buffer)
        return found

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Adapter(HTTPAdapter):
    """Connections whose responses are bounded."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Let the pools make bounded connections."""
        super().init_poolmanager(*args, **options)
        seconds = self._seconds

        class Response(http.client.HTTPResponse):
            def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
                super().__init__(sock, *args, **options)
                self.fp = io.BufferedReader(_Reader(self.fp.detach(), seconds))

        class Plain(HTTPConnection):
            response_class = Response

        class Secure(HTTPSConnection):
            response_class = Response

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        pools = {"http": PlainPool, "https": SecurePool}
        self.poolmanager.pool_classes_by_scheme = pools
