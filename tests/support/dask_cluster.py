"""A scheduler of dask.distributed and its workers, each a process of its own, on loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120


class DaskCluster:
    """A context manager; `add_worker` adds what it says.

    Args:
        folder: for logs and workers' files.
        kernels: the folder that the tests' compiled kernels are in.
        tls: options of both programs, for encryption.
        settings: more of the environment of both.
    """

    def __init__(self, folder, kernels, tls=(), **settings):
        self.folder, self.tls = folder, list(tls)
        self.port = free_port()
        self.address = f"{'tls' if tls else 'tcp'}://127.0.0.1:{self.port}"
        self.processes = []
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "CACHE_DIRECTORY": str(kernels.parent),
            "DASK_TEMPORARY_DIRECTORY": str(folder),
            "TMPDIR": str(folder),  # what a killed worker's node leaves
            **settings,
        }

    def __enter__(self):
        own = ["--host", "127.0.0.1", "--port", str(self.port)]
        if self.tls:
            own += ["--protocol", "tls"]
        self._start("scheduler", *own)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise TimeoutError((self.folder / "scheduler-0.log").read_text())

    def __exit__(self, *_):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()

    def add_worker(self):
        """Start one more worker of one thread; it comes when it comes."""
        return self._start("worker", self.address, "--no-nanny", "--nthreads", "1")

    def _start(self, kind, *words):
        log = self.folder / f"{kind}-{len(self.processes)}.log"
        command = [sys.executable, "-m", "dask", kind, "--no-dashboard", *words, *self.tls]
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=file, stderr=file
            )
        self.processes.append(process)
        return process
