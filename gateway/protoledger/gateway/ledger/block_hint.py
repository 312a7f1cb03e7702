"""A hint that there is a new block, over a WebSocket: look now, and not only every `poll_s`.

Nothing is taken from it: what it brings is not read, and what it misses is found by the next look.
So it may fail, reconnect and lie as it likes. It has a thread of its own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.sync.connection import Connection

_log = logging.getLogger(__name__)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_SUBSCRIBE = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
_LARGEST_BYTES = 1 << 20  # of a message: a header is a thousandth of it


class BlockHint:
    """Calls `wake` whenever the node says something; use it as a context manager.

    Args:
        url: ws:// or wss://; None: no hint.
        wake: called in the hint's thread; must not block.
    """

    def __init__(self, url: str | None, wake: Callable[[], None]) -> None:
        self._url, self._wake = url, wake
        self._stop = threading.Event()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="block-hint", daemon=True)

    def __enter__(self) -> Self:
        if self._url is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if (connection := self._connection) is not None:
            with contextlib.suppress(Exception):
                connection.close()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def _run(self) -> None:
        from websockets.exceptions import WebSocketException  # noqa: PLC0415 - not without a url
        from websockets.sync.client import connect  # noqa: PLC0415

        assert self._url is not None  # noqa: S101 - the thread is not started without
        logging.getLogger("websockets").setLevel(logging.ERROR)
        pause_s, told = _FIRST_PAUSE_S, False
        while not self._stop.is_set():
            try:
                with connect(
                    self._url, max_size=_LARGEST_BYTES, open_timeout=5, close_timeout=1, proxy=None
                ) as connection:
                    self._connection = connection
                    connection.send(json.dumps(_SUBSCRIBE))
                    pause_s, told = _FIRST_PAUSE_S, False
                    for _ in connection:
                        self._wake()
            except (OSError, WebSocketException, TimeoutError) as error:
                if not told and not self._stop.is_set():
                    _log.info("no hints from %s: %s; polling goes on", self._url, error)
                told = True
            self._connection = None
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
