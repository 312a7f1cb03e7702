"""A lock for programs that change the owner's folder; Ansible runs modules for many hosts at once.

`ansible/plugins/module_utils/fleet_lock.py` is a link to this file.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock during the block; the folder is made with mode 0700 if missing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
