"""The exit codes of every command, after sysexits.h.

They are an interface: systemd restarts a service except after 64 and 78, which no restart cures.
"""

from enum import IntEnum


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
    SOFTWARE = 70
    """An internal error: please report it."""
    IO = 74
    """A file cannot be read or written."""
    CONFIGURATION = 78
    """A configuration, key or contract is wrong."""
    INTERRUPTED = 130
    """Ended by Ctrl-C."""
