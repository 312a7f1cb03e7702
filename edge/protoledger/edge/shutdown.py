"""Leave in time, whatever hangs.

A signal handler of Python's runs only between two steps of the main thread: while that one waits
for a name server or a sensor's driver, SIGTERM would wait, too, until systemd kills. The
interpreter itself, however, writes a byte to a socket at once; a thread that reads it gives the
loop its time and then releases the pins and ends the process by itself.
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
"""How long the loop may take to leave in good order; together with releasing under 2 s."""


class Leaving:
    """A guard around the loop; for the main thread.

    Args:
        release: gives back the pins; must return soon.
        end: ends the process.
    """

    def __init__(self, release: Callable[[], None], end: Callable[[int], None] = os._exit) -> None:
        self._release = release
        self._end = end
        self._left = threading.Event()
        self._hear, self._speak = socket.socketpair()
        self._speak.setblocking(False)
        self._thread = threading.Thread(target=self._wait, name="leaving", daemon=True)

    def __enter__(self) -> Self:
        self._former = signal.set_wakeup_fd(self._speak.fileno(), warn_on_full_buffer=False)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.set()
        signal.set_wakeup_fd(self._former)
        self._speak.close()
        self._thread.join(1.0)
        self._hear.close()

    def _wait(self) -> None:
        with contextlib.suppress(OSError):
            while heard := self._hear.recv(1):
                if heard[0] in {signal.SIGTERM, signal.SIGINT}:
                    break
            else:
                return  # the other end is closed: the loop has left
            if not self._left.wait(PATIENCE_S):
                self._release()
                self._end(Exit.OK)
