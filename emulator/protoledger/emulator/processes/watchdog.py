"""Ends a deployment's processes when the process that started them is gone, however it went.

Run as `python watchdog.py TOKEN`, in a session of its own, by
`protoledger.emulator.processes.children`. Standard input is a pipe whose other end only the starter
holds: lines `+PGID` and `-PGID` say which process groups live. When the pipe closes, every group
still listed is killed, and so is each process of this user that carries the deployment's token in
its environment, which reaches what a child forked off and moved to another group. This needs
nothing from the children and works alike on Linux (where `PR_SET_PDEATHSIG` would miss
grandchildren) and on macOS (which has no such thing).
"""

import os
import signal
import sys
import time
from contextlib import suppress

TOKEN_VARIABLE = "PROTOLEDGER_RUN"  # noqa: S105 - a label, no secret
PATIENCE_S = 5.0  # a process in the kernel's hands dies later, by itself


def kill_marked(token: str) -> int:
    """Kill each process of this user whose environment has this token, but for this one.

    Returns:
        How many were found.
    """
    import psutil  # noqa: PLC0415 - 30 ms that the watchdog spends only when it is needed

    found = 0
    for process in psutil.process_iter(["pid"]):
        with suppress(psutil.Error, OSError):
            marked = process.environ().get(TOKEN_VARIABLE) == token
            if marked and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                process.kill()
                found += 1
    return found


def kill_group(group: int) -> None:
    """Kill a process group; one that is gone, or was never ours, is left alone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def main(token: str) -> None:
    """Listen until the starter's end of the pipe closes, then leave nothing running."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)  # it ends with its starter, not before
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        kill_group(group)
    deadline = time.monotonic() + PATIENCE_S
    while kill_marked(token) and time.monotonic() < deadline:  # one may fork while we look
        time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1])
