"""From numpy to machine code while learning goes on, and never at the price of a decision.

A gateway starts in numpy. Once that has cost more than kernels would (`WORTH_IT_S`), a process of
low priority compiles them into the cache, if they are not there yet; then a thread loads them, lets
both sides learn one stream, and only if they agree to the last bit are learners whose `engine` is
`auto` handed the kernels, between two samples. The state is the same arrays, so nothing is
converted. Whatever goes wrong, the gateway goes on in numpy and says so.

numba's cache is a pickle with machine code in it. So a cache is used only if it is this user's and
closed to others, if every file has the digest written down when it was compiled, and from a folder
that is named after all that decides what the code must be: sources, versions and the processor.
"""

import contextlib
import hashlib
import importlib
import importlib.metadata
import logging
import os
import platform
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Final, Self

import msgspec
import numpy as np

from protoledger.gateway.errors import KernelError
from protoledger.gateway.learner.base import Engine

log = logging.getLogger(__name__)

MANIFEST: Final = "manifest.json"
WORTH_IT_S: Final = 2.0
"""CPU seconds of learning after which to begin: what loading numba and the kernels costs. So nobody
spends more than twice what would be spent by who knows how long there will be learning."""
TRIAL_SAMPLES: Final = 170
"""Beyond the 150 after which the reference denoises."""
_loaded: dict[Engine, ModuleType] = {}
_loading = threading.Lock()


def kernels(engine: Engine = "auto") -> ModuleType | None:
    """Return the module of kernels once it may be used, None until then or for `numpy`."""
    return _loaded.get(engine)


def load(cache: Path | None = None) -> bool:
    """Compile or load the kernels, and wait for it; then return whether learners use them.

    Args:
        cache: Folder for the compiled kernels; `cache_folder()` without it.
    """
    with Warmup(cache, niceness=0) as warmup:
        warmup.start()
        warmup.wait()
    return "auto" in _loaded


def cache_folder() -> Path:
    """Return where kernels are kept: systemd's CacheDirectory, else the user's cache."""
    if given := os.environ.get("CACHE_DIRECTORY"):  # several are separated by colons
        return Path(given.partition(":")[0]) / "kernels"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "protoledger" / "kernels"


class Warmup:
    """Makes the kernels ready beside learning, once asked; leaving the block stops it.

    Args:
        cache: Folder for the compiled kernels; `cache_folder()` without it.
        niceness: By how much the compiler's priority is below this process's.
    """

    def __init__(self, cache: Path | None = None, *, niceness: int = 10) -> None:
        self._cache = cache
        self._niceness = niceness
        self._spent_s = 0.0
        self._closing = threading.Event()
        self._compiler: subprocess.Popen[str] | None = None
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="kernels", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def spent(self, seconds: float) -> None:
        """Count CPU time that learning took in numpy; begins when kernels are worth their price."""
        self._spent_s += seconds
        if self._spent_s >= WORTH_IT_S:
            self.start()

    def start(self) -> None:
        """Begin, in the background; idempotent."""
        if self._thread.ident is None:
            self._thread.start()

    def wait(self) -> None:
        """Return when learners use the kernels, or when it is known that they will not."""
        self._thread.join()

    def close(self) -> None:
        """Stop a compilation that is under way, and wait; idempotent. Loading takes its second."""
        with self._starting:
            self._closing.set()
            if self._compiler is not None:
                self._compiler.terminate()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            with _loading, contextlib.ExitStack() as stack:
                if "auto" not in _loaded:
                    _adopt(self._compiled_in(_usable(self._cache or cache_folder(), stack)))
                    log.info("learning goes on with compiled kernels")
        except Exception as error:  # noqa: BLE001 - an accelerator may not end a gateway
            if not self._closing.is_set():
                log.warning("learning goes on in numpy: no compiled kernels (%s)", error)

    def _compiled_in(self, root: Path) -> Path:
        folder = root / fingerprint()
        if not is_intact(folder):
            self._compile(folder)
        if not is_intact(folder):
            raise KernelError(f"{folder} changed while it was compiled into")
        with contextlib.suppress(OSError):
            os.utime(folder)  # the longest unused goes first
        return folder

    def _compile(self, folder: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "protoledger.gateway.learner.compilation.compile",
            str(folder),
        ]
        command.append(str(self._niceness))
        with self._starting:
            if self._closing.is_set():
                raise KernelError("stopped")
            self._compiler = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # the compiler ends when this end is closed, by a kill too
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,  # a signal to the group is the gateway's to act on
            )
        with self._compiler as compiler:
            assert compiler.stderr is not None  # noqa: S101 - it is a pipe
            told = compiler.stderr.read().strip().splitlines()
        if compiler.returncode != 0:
            raise KernelError(
                f"the compiler ended with {compiler.returncode}: {told[-1] if told else 'no word'}"
            )


def fingerprint() -> str:
    """Return a name for all that decides what compiled kernels must be."""
    from llvmlite import binding  # noqa: PLC0415 - heavy, and asked for in the background only

    seen = hashlib.sha256()
    for source in sorted(Path(__file__).parents[1].rglob("*.py")):
        # numba takes a source for changed when its time is
        seen.update(f"{source} {source.stat().st_mtime_ns}".encode() + source.read_bytes())
    parts = [
        sys.version,
        platform.machine(),
        *(importlib.metadata.version(name) for name in ("numba", "llvmlite", "numpy")),
        binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten(),
        *sorted(f"{k}={v}" for k, v in os.environ.items() if k.startswith("NUMBA_")),
    ]
    seen.update("\0".join(parts).encode())
    return seen.hexdigest()[:32]


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a cache, but its manifest, by its path."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.name != MANIFEST
    }


def is_intact(folder: Path) -> bool:
    """Return whether a cache is complete and as it was compiled."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=dict[str, str])
        return bool(manifest) and _is_private(folder) and manifest == digests(folder)
    except (OSError, msgspec.MsgspecError):
        return False


def _is_private(folder: Path) -> bool:
    found = folder.stat()
    return found.st_uid == os.getuid() and not found.st_mode & 0o022


def _usable(root: Path, stack: contextlib.ExitStack) -> Path:
    """Return the folder if it can be written and is nobody else's, else one for this run only."""
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=root):
            pass
        if _is_private(root):
            return root
        reason = "others may write to it"
    except OSError as error:
        reason = error.strerror or str(error)
    log.warning("%s cannot keep compiled kernels (%s): compiling for this run only", root, reason)
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="protoledger-kernels-")))


def _adopt(folder: Path) -> None:
    """Load the kernels, try them against numpy, and hand them to the learners.

    Raises:
        KernelError: They differ, or numba is configured not to compile.
    """
    import numba  # noqa: PLC0415 - the only place beside the kernels that loads it

    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        raise KernelError("NUMBA_DISABLE_JIT is set")
    numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    _loaded["trial"] = importlib.import_module("protoledger.gateway.learner.kernels")
    if not _agree():
        raise KernelError("they do not give numpy's results on this processor")
    _loaded["auto"] = _loaded["trial"]


def _agree() -> bool:
    """Let numpy and the kernels learn one stream; return whether they stay the same."""
    from protoledger.gateway.learner import MODES, make_learner  # noqa: PLC0415 - they import this module

    generator = np.random.default_rng(0)
    ys = generator.integers(3, size=TRIAL_SAMPLES)
    xs = generator.normal(size=(TRIAL_SAMPLES, 5)) + ys[:, None]
    for mode in reversed(MODES):  # the reference takes complete samples only
        plain, trial = (make_learner(mode, 5, 3, capacity=24) for _ in range(2))
        plain.engine, trial.engine = "numpy", "trial"
        if plain.takes_missing:
            xs[::7, 1] = xs[90:, 4] = np.nan
        predicted = plain.learn_many(xs, ys) == trial.learn_many(xs, ys)
        if not predicted.all() or plain.state() != trial.state():
            return False
    return True
