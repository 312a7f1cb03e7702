"""Exit codes, an interface of every command (sysexits.h); systemd must not restart on 64 and 78."""

from enum import IntEnum


class Exit(IntEnum):
    """What a process's exit code says."""

    OK = 0
    FAILED = 1
    USAGE = 64
    DATA = 65
    UNAVAILABLE = 69
    IO = 74
    CONFIGURATION = 78
    INTERRUPTED = 130
