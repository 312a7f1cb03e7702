"""How every command ends: by which exit code, and on which signals.

The codes are those of sysexits.h and an interface: systemd restarts a service except after 64 and
78, which no restart cures.
"""

import os
import signal
from collections.abc import Callable
from enum import IntEnum
from types import FrameType


class Exit(IntEnum):
    """The meaning of a process's exit code."""

    OK = 0
    FAILED = 1
    """None of the other reasons; the message tells."""
    USAGE = 64
    """The command line is wrong."""
    DATA = 65
    """An input file's content is wrong."""
    UNAVAILABLE = 69
    """A device, service or program is missing or does not answer."""
    IO = 74
    """A file cannot be read or written."""
    CONFIGURATION = 78
    """A configuration, key or contract is wrong."""
    INTERRUPTED = 130
    """Ended by Ctrl-C."""


def on_reload(
    handler: Callable[[int, FrameType | None], None], gone: Callable[[int, FrameType | None], None]
) -> None:
    """Call `handler` on SIGHUP, or `gone` if it says that the terminal was closed.

    A process that `nohup` started ignores SIGHUP, and goes on to do so.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return
    had = _has_terminal()

    def hung_up(number: int, frame: FrameType | None) -> None:
        (gone if had and not _has_terminal() else handler)(number, frame)

    signal.signal(signal.SIGHUP, hung_up)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def on_stop(handler: Callable[[int, FrameType | None], None]) -> None:
    """Call `handler` on SIGTERM, and on SIGINT unless that was ignored when the process began.

    `nohup` and the background jobs of a script begin so: Ctrl-C is then meant for another process.
    """
    signal.signal(signal.SIGTERM, handler)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)
