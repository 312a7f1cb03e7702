"""Ends the process in time after SIGTERM or SIGINT, even if the main thread hangs.

Python runs signal handlers only between two bytecodes of the main thread. While the main thread
waits for a name server or a sensor's driver, SIGTERM has no effect, until systemd kills the process
and the pins stay claimed. But Python's C-level handler writes the signal's number to a socket at
once (`signal.set_wakeup_fd`). A thread reads that socket, gives the loop `PATIENCE_S` to end, and
then releases the pins and ends the process itself.
"""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from protoledger.runtime.exits import Exit

PATIENCE_S = 1.2
"""How long the loop may take to end; together with the release of the pins this is under 2 s."""


class ShutdownGuard:
    """Guards the block in which the loop runs; for the main thread only.

    Args:
        release: releases the pins; must return soon.
        end: ends the process with an exit code.
    """

    def __init__(self, release: Callable[[], None], end: Callable[[int], None] = os._exit) -> None:
        self._release = release
        self._end = end
        self._ended = threading.Event()
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._thread = threading.Thread(target=self._wait, name="shutdown", daemon=True)

    def __enter__(self) -> Self:
        self._former = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        signal.set_wakeup_fd(self._former)
        self._sender.close()
        self._thread.join(1.0)
        self._receiver.close()

    def _wait(self) -> None:
        with contextlib.suppress(OSError):
            while number := self._receiver.recv(1):
                if number[0] in {signal.SIGTERM, signal.SIGINT}:
                    break
            else:
                return  # the other end is closed: the loop has ended
            if not self._ended.wait(PATIENCE_S):
                self._release()
                self._end(Exit.OK)
