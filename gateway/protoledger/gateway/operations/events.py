"""A gateway's events for the program that started it: one JSON object a line on standard output.

The emulator reads them. Logs are for people and go to standard error.
"""

import sys
from typing import IO, TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class EventStream:
    """Writes events to a stream; None: nowhere.

    Attributes:
        listener: called with each event's name and fields, whether or not there is a stream.
    """

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self.listener: Callable[[str, Mapping[str, object]], None] | None = None

    @classmethod
    def to_stdout(cls) -> "EventStream":
        """Write to standard output."""
        return cls(sys.stdout.buffer)

    def write(self, event: str, **fields: object) -> None:
        """Write one event at once; the gateway goes on if the reader has ended."""
        if self.listener is not None:
            self.listener(event, fields)
        if self._stream is None:
            return
        try:
            self._stream.write(msgspec.json.encode({"event": event, **fields}) + b"\n")
            self._stream.flush()
        except BrokenPipeError:
            self._stream = None
