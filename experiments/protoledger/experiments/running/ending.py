"""Lets what a process starts end with it, even if it is killed and can end nothing itself."""

import os
import secrets
import subprocess
import sys
import threading
from functools import cache
from multiprocessing import parent_process

from protoledger.emulator.processes import watchdog
from protoledger.runtime.exits import Exit


@cache
def watch() -> "subprocess.Popen[bytes]":
    """Let all programs that this process starts from now on end with it."""
    token = secrets.token_hex(16)
    os.environ[watchdog.TOKEN_VARIABLE] = token
    return subprocess.Popen(
        [sys.executable, watchdog.__file__, token],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def end_with_parent() -> None:
    """Let this process, one of `multiprocessing`, end when the one that started it has.

    A worker of a pool would wait for its next job for ever. Workers that are forked hold each
    other's ends of pipes, so that the last one ends first and the others after it.
    """
    threading.Thread(target=_end, name="end-with-parent", daemon=True).start()


def _end() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(Exit.FAILED)
