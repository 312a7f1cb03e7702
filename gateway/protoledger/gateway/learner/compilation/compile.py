"""Compile the kernels into a cache folder, and leave.

Run as `python -m protoledger.gateway.learner.compilation.compile FOLDER NICENESS`.

A process of its own, so that a gateway keeps its interpreter for rounds; it may be of low priority
and ends when standard input does, which is when its gateway ends, however that happens. The next
one goes on with the kernels that are still to be compiled. Of several at once, one compiles and the
others wait for it.
"""

import fcntl
import importlib
import os
import shutil
import sys
import threading
from pathlib import Path

import msgspec

from protoledger.gateway.learner.compilation.compiled import MANIFEST, digests, is_intact
from protoledger.runtime.exits import Exit

BEGUN = "begun-"
"""Before the name of a folder whose kernels are not all there yet; each is written whole."""
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
        # where one that was ended goes on: a gateway that runs for less than this takes would else
        # begin again each time
        new = root / f"{BEGUN}{folder.name}"
        try:
            new.mkdir(mode=0o700, exist_ok=True)
            _build(new)
        except BaseException:  # what is left may be why
            shutil.rmtree(new, ignore_errors=True)
            raise
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
