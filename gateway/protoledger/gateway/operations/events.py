"""A gateway's events for the program that started it: one JSON object a line on standard output.

The emulator reads them. Logs are for people and go to standard error.
"""

import sys
from typing import IO

import msgspec


class EventStream:
    """Writes events to a stream; None: nowhere."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream

    @classmethod
    def to_stdout(cls) -> "EventStream":
        """Write to standard output."""
        return cls(sys.stdout.buffer)

    def write(self, event: str, **fields: object) -> None:
        """Write one event at once; the gateway goes on if the reader has ended."""
        if self._stream is None:
            return
        try:
            self._stream.write(msgspec.json.encode({"event": event, **fields}) + b"\n")
            self._stream.flush()
        except BrokenPipeError:
            self._stream = None
