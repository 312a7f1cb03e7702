"""A hint that a block may concern this gateway, over a WebSocket: look now, and not only at times.

The node sends each new header. Where the header's Bloom filter excludes the contracts, there is
nothing to look for, and the regular look some seconds later would find what the filter hid. So this
may fail, reconnect and lie as it likes, and an idle gateway asks its node next to nothing. It has a
thread of its own.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from typing import TYPE_CHECKING, Self

from protoledger.contracts.node_address import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from websockets.sync.connection import Connection

_log = logging.getLogger(__name__)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_SUBSCRIBE = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
_LARGEST_BYTES = 1 << 20  # of a message: a header is a thousandth of it


class BlockHint:
    """Calls `wake` whenever a block may concern the contracts; use it as a context manager.

    Args:
        url: ws:// or wss://; None: no hint.
        addresses: gives the contracts whose events matter.
        busy: whether every block matters, because a transaction is on its way.
        wake: called in the hint's thread; must not block.
    """

    def __init__(
        self,
        url: str | None,
        addresses: Callable[[], Sequence[str]],
        busy: Callable[[], bool],
        wake: Callable[[], None],
    ) -> None:
        self._url, self._wake = url, wake
        self._addresses, self._busy = addresses, busy
        self._stop = threading.Event()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="block-hint", daemon=True)

    @property
    def connected(self) -> bool:
        """Whether hints may come."""
        return self._connection is not None

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
        pause_s, said = _FIRST_PAUSE_S, False
        while not self._stop.is_set():
            try:
                with connect(
                    self._url, max_size=_LARGEST_BYTES, open_timeout=5, close_timeout=1, proxy=None
                ) as connection:
                    connection.send(json.dumps(_SUBSCRIBE))
                    self._connection = connection
                    pause_s, said = _FIRST_PAUSE_S, False
                    for message in connection:
                        if self._busy() or self._concerns(message):
                            self._wake()
            except (OSError, WebSocketException, TimeoutError) as error:
                if not said and not self._stop.is_set():
                    _log.info("no hints from %s: %s; polling goes on", shown(self._url), error)
                said = True
            self._connection = None
            self._wake()  # nobody hints any more: back to the regular pace
            self._stop.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _concerns(self, message: str | bytes) -> bool:
        """Whether a header's filter may hold one of the contracts; True for what is no header."""
        from protoledger.contracts.client.answers import bloom_may_hold  # noqa: PLC0415

        try:
            bloom = bytes.fromhex(json.loads(message)["params"]["result"]["logsBloom"][2:])
        except (ValueError, KeyError, TypeError, RecursionError):
            return True
        if len(bloom) != 256:
            return True
        return any(bloom_may_hold(bloom, address) for address in self._addresses())
