"""How the guest and the host talk: orders by a virtual serial port, answers on the console."""

import contextlib
import json
import os
import time
from pathlib import Path


def tell(event, **fields):
    """Write an event as a line of its own, which the host reads."""
    print("\n" + json.dumps({"event": event, **fields}), flush=True)


def begin(step):
    """Say that a step begins; gives the time, for `end`."""
    print(f"\n== {step}")
    tell("begin", step=step)
    return time.monotonic()


def end(step, began, told):
    """Say what a step ended with."""
    tell("end", step=step, seconds=round(time.monotonic() - began, 1), **told)


class Orders:
    """What the host wants, one JSON object a line."""

    def __init__(self):
        (port,) = Path("/dev").glob("vport*")
        self._port = os.open(port, os.O_RDONLY | os.O_NONBLOCK)
        self._read = b""

    def next(self):
        """Return the next order, or None."""
        with contextlib.suppress(BlockingIOError):
            self._read += os.read(self._port, 65536)  # nothing while the host is not connected
        line, newline, rest = self._read.partition(b"\n")
        if not newline:
            return None
        self._read = rest
        return json.loads(line)
