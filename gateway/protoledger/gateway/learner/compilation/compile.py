"""Compile the kernels into a cache folder, and leave.

Run as `python -m protoledger.gateway.learner.compilation.compile FOLDER NICENESS`.

A process of its own, so that a gateway keeps its interpreter for rounds; it may be of low priority
and ends when standard input does, which is when its gateway ends, however that happens. Of several
at once, one compiles and the others wait for it.
"""

import fcntl
import importlib
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import msgspec

from protoledger.gateway.learner.compilation.compiled import MANIFEST, digests, is_intact
from protoledger.runtime.exits import Exit

KEPT = 32
"""Caches of other versions and processors that stay: a home may be shared, and grows else."""


def main(folder: Path, niceness: int) -> None:
    """Compile into `folder`, which appears complete or not at all."""
    os.nice(niceness)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    root = folder.parent
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_intact(folder):
            return
        for left in root.glob("new-*"):  # by one that was killed
            shutil.rmtree(left)
        new = Path(tempfile.mkdtemp(prefix="new-", dir=root))
        _build(new)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
        others = [path for path in root.iterdir() if path.is_dir() and path != folder]
        for old in sorted(others, key=lambda path: path.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)


def _build(folder: Path) -> None:
    import numba  # noqa: PLC0415 - not if another process has compiled

    numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    importlib.import_module("protoledger.gateway.learner.kernels")
    (folder / MANIFEST).write_bytes(msgspec.json.encode(digests(folder)))


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # not its buffer: that has a lock at this process's own end
    os._exit(Exit.FAILED)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
