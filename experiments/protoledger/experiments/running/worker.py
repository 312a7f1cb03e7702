"""What a worker of a cluster does: it shows what code it has, and runs one job at a time.

A result depends on a job and on nothing else, as long as versions, sources and arithmetic are
those of the process that asked. So a job says what that process has, and a worker that differs
refuses it: a number of another version would not be noticed in a table.
"""

import hashlib
import platform
import threading
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np

import protoledger
from protoledger.contracts.client.account import Account
from protoledger.contracts.tools.local_node import LocalNode
from protoledger.experiments import on_chain
from protoledger.experiments.running.ending import watch
from protoledger.experiments.running.records import PACKAGES
from protoledger.gateway.learner.compilation import compiled

Run = Callable[[Any], Any]
Traits = dict[str, str]
"""What results depend on, by name: versions, a digest of our sources, the bits of arithmetic."""
_one_at_a_time: Final = threading.Lock()


class WorkerDiffersError(RuntimeError):
    """A worker's code is not that of the process that asked it."""


@cache
def traits_here() -> Traits:
    """Return what results depend on in this process."""
    found = {"Python": platform.python_version()}
    for package in (*PACKAGES, "distributed"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return {**found, "sources": _sources(), "arithmetic": _arithmetic()}


def differences(mine: Traits, theirs: Traits) -> list[str]:
    """Return what differs, a text each: `numpy 2.3 there, 2.4 here`.

    >>> differences({"Python": "3.12", "numpy": "2.4"}, {"Python": "3.12", "numpy": "2.3"})
    ['numpy: 2.3 there, 2.4 here']
    """
    names = [*mine, *(name for name in theirs if name not in mine)]
    pairs = [(name, theirs.get(name, "none"), mine.get(name, "none")) for name in names]
    return [f"{name}: {there} there, {here} here" for name, there, here in pairs if there != here]


def work(expected: Traits, run: Run, job: Any, *, chain: bool) -> Any:
    """Run a job; called in a worker, in one of its threads.

    Args:
        expected: what the process has that asked.
        run: runs a job.
        job: what to run.
        chain: whether it needs a node.

    Raises:
        WorkerDiffersError: this process has something else.
    """
    if found := differences(expected, traits_here()):
        raise WorkerDiffersError("; ".join(found))
    with _one_at_a_time:
        compiled.load()
        if not chain:
            return run(job)
        watch()
        with LocalNode("anvil") as node:
            node.fund(*(Account(key).address for key in on_chain.KEYS))
            on_chain.use(node.url)
            return run(job)


def _sources() -> str:
    digest = hashlib.sha256()
    files = {
        file.relative_to(folder).as_posix(): file
        for folder in map(Path, protoledger.__path__)
        for file in folder.rglob("*.py")
    }
    for name, file in sorted(files.items()):
        content = file.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def _arithmetic() -> str:
    """Return a digest of a few results: BLAS and numpy choose code by the processor."""
    random = np.random.default_rng(19)
    digest = hashlib.sha256()
    for rows, shared, columns in ((1, 18, 128), (40, 18, 400), (300, 9, 300), (64, 64, 1)):
        left, right = random.random((rows, shared)), random.random((shared, columns))
        product = left @ right
        for array in (product, np.exp(-product), np.sqrt(product), np.log(product), left.sum(0)):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]
