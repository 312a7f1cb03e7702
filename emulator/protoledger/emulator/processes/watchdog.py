"""Kills a deployment's processes when the process that started them has ended, for any reason.

`protoledger.emulator.processes.children` runs it as `python watchdog.py TOKEN` in its own session.
Standard input is a pipe whose other end only the starter has; lines `+PGID` and `-PGID` list the
process groups that run. When the pipe closes, the watchdog kills every listed group. It also kills
each process of this user with the deployment's token in its environment; that finds processes that
a child started and moved to another group. Children need no code for this. It works on Linux, where
`PR_SET_PDEATHSIG` would miss grandchildren, and on macOS, which has no such call.
"""

import os
import signal
import sys
import time
from contextlib import suppress

TOKEN_VARIABLE = "PROTOLEDGER_RUN"  # noqa: S105 - a label, not a secret
PATIENCE_S = 5.0  # a process that waits in the kernel dies later, by itself


def kill_marked(token: str) -> int:
    """Kill each process of this user whose environment has this token, except this process.

    Returns:
        The number of processes found.
    """
    import psutil  # noqa: PLC0415 - 30 ms, spent only when there is something to kill

    found = 0
    for process in psutil.process_iter(["pid"]):
        with suppress(psutil.Error, OSError):
            marked = process.environ().get(TOKEN_VARIABLE) == token
            if marked and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                process.kill()
                found += 1
    return found


def kill_group(group: int) -> None:
    """Kill a process group; does nothing if it has ended or belongs to another user."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def main(token: str) -> None:
    """Read until the starter's end of the pipe closes, then kill what still runs."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)  # it must not end before its starter
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
    while kill_marked(token) and time.monotonic() < deadline:  # a process may fork meanwhile
        time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1])
