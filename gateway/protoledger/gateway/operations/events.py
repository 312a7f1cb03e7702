"""What a gateway tells whoever started it: one JSON object a line, on standard output.

Logs are for people and go to standard error; these lines are for programs, such as the emulator.
"""

import sys
from typing import IO

import msgspec


class EventStream:
    """Writes events, or nothing if nobody wants them."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream

    @classmethod
    def to_stdout(cls) -> "EventStream":
        """Write to standard output."""
        return cls(sys.stdout.buffer)

    def write(self, event: str, **fields: object) -> None:
        """Write one event at once; a reader that is gone is no reason to stop."""
        if self._stream is None:
            return
        try:
            self._stream.write(msgspec.json.encode({"event": event, **fields}) + b"\n")
            self._stream.flush()
        except BrokenPipeError:
            self._stream = None
