"""Runs jobs on a cluster of dask.distributed: `protoledger experiment NAME --cluster ADDRESS`.

A job goes to any worker that is free. A result is fetched as soon as it is there and then forgotten
by the cluster, so that a worker that dies costs the job that it was running and nothing else: the
scheduler gives that job to another one.

Jobs and results travel as pickles, so scheduler, workers and this process can run code in each
other. Over a network that others use, they have to know each other by certificates (`tls://`).
"""

import logging
import queue
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from protoledger.experiments.running.worker import (
    Run,
    WorkerDiffersError,
    differences,
    traits_here,
    work,
)

if TYPE_CHECKING:
    from distributed import Client, Future
    from distributed.security import Security

PLAIN, ENCRYPTED = "tcp://", "tls://"
CONNECT_S: Final = 10.0
LOOK_S: Final = 5.0
"""After so long without a result, workers are looked for."""
NOBODY_S: Final = 60.0
"""How long there may be no worker."""


class ClusterError(RuntimeError):
    """There is no cluster, or it cannot be used, or a job ends its workers; the message tells."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where jobs are to be run.

    Attributes:
        address: of the scheduler, `tcp://HOST:PORT` or `tls://HOST:PORT`.
        authority: with `tls://`: the certificate that signed the scheduler's.
        certificate: with `tls://`: this process's.
        key: with `tls://`: the key of that.

    Raises:
        ClusterError: the address is none, or files are missing or too many.

    >>> Cluster("192.0.2.7:8786").address
    'tcp://192.0.2.7:8786'
    """

    address: str
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if "://" not in self.address:
            object.__setattr__(self, "address", f"{PLAIN}{self.address}")
        if not self.address.startswith((PLAIN, ENCRYPTED)) or not self._port.isdecimal():
            raise ClusterError(
                f"{self.address} is no scheduler's address; tcp://HOST:PORT and tls://HOST:PORT are"
            )
        named = (self.authority, self.certificate, self.key)
        if self.address.startswith(PLAIN) and any(named):
            raise ClusterError(f"certificates are for tls://, and {self.address} is not encrypted")
        if self.address.startswith(ENCRYPTED) and not all(named):
            raise ClusterError(
                f"{self.address} needs --cluster-ca, --cluster-cert and --cluster-key"
            )
        for file in named:
            if file is not None and not file.is_file():
                raise ClusterError(f"{file}: there is no such file")

    @property
    def _port(self) -> str:
        return self.address.rpartition(":")[2]

    @property
    def open_to_others(self) -> bool:
        """Whether anybody on the way could run code here: no encryption, and not this machine."""
        host = self.address.removeprefix(PLAIN).rpartition(":")[0].strip("[]")
        if self.address.startswith(ENCRYPTED) or host == "localhost":
            return False
        try:
            return not ip_address(host).is_loopback
        except ValueError:
            return True

    def security(self) -> "Security":
        """Return what dask is given of certificates."""
        from distributed.security import Security  # noqa: PLC0415 - an extra

        if self.authority is None:
            return Security()
        return Security(
            tls_ca_file=str(self.authority),
            tls_client_cert=str(self.certificate),
            tls_client_key=str(self.key),
            require_encryption=True,
        )


def run_there(
    run: Run, jobs: Sequence[Any], *, chain: bool, cluster: Cluster
) -> Iterator[tuple[int, Any]]:
    """Run jobs on a cluster; yields each one's number and result as it ends. Ctrl-C cancels all.

    Args:
        run: runs a job; a function of a module that workers have.
        jobs: what to run.
        chain: whether each job needs a node; the worker starts it.
        cluster: where.

    Raises:
        ClusterError: no scheduler, no worker, other versions there; or a job ends its workers.
    """
    with ExitStack() as stack:
        client = stack.enter_context(_connected(cluster))
        check_workers(client, cluster)
        ended = queue.SimpleQueue[int]()
        waiting: dict[int, Future[Any]] = {}
        stack.callback(lambda: client.cancel(list(waiting.values())))
        for at, job in enumerate(jobs):
            future = client.submit(work, traits_here(), run, job, chain=chain, pure=False)
            waiting[at] = future
            future.add_done_callback(lambda _, at=at: ended.put(at))
        while waiting:
            at = _next(client, cluster, ended)
            yield at, _result(waiting.pop(at), jobs[at], cluster)


def workers_of(client: "Client") -> list[str]:
    """Return the addresses of a scheduler's workers."""
    return sorted(client.scheduler_info(n_workers=-1)["workers"])


def check_workers(client: "Client", cluster: Cluster) -> None:
    """Wait for a worker, and see whether all that are there have the code of this process.

    Raises:
        ClusterError: there is none, or one differs.
    """
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
        found: dict[str, dict[str, str]] = client.run(traits_here)
    except TimeoutError as error:
        raise ClusterError(
            f"the scheduler at {cluster.address} has no workers; start some: dask worker "
            f"{cluster.address} --nworkers -1 --nthreads 1"
        ) from error
    except ImportError as error:
        raise ClusterError(
            f"workers of {cluster.address} lack {error.name}: install what is installed here"
        ) from error
    for worker, traits in sorted(found.items()):
        if unlike := differences(traits_here(), traits):
            raise _unlike(f"the worker at {worker}", "; ".join(unlike))


def _connected(cluster: Cluster) -> "Client":
    try:
        from distributed import Client  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise ClusterError(
            f"--cluster needs the Python package {error.name!r}, which is not installed; "
            "install protoledger[cluster]"
        ) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it knows, errors below tell
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other versions are refused below, by name
            return Client(
                cluster.address,
                security=cluster.security(),
                timeout=CONNECT_S,
                set_as_default=False,
            )
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(
            f"no scheduler answers at {cluster.address} ({_first_line(error)}); start one: "
            "dask scheduler"
        ) from error


def _next(client: "Client", cluster: Cluster, ended: "queue.SimpleQueue[int]") -> int:
    """Return the number of the next job that ended."""
    alone_s = 0.0
    while alone_s < NOBODY_S:
        try:
            return ended.get(timeout=LOOK_S)
        except queue.Empty:
            alone_s = 0.0 if workers_of(client) else alone_s + LOOK_S
    raise ClusterError(
        f"the scheduler at {cluster.address} has had no workers for {NOBODY_S:.0f} s"
    )


def _result(future: "Future[Any]", job: Any, cluster: Cluster) -> Any:
    from distributed import KilledWorker  # noqa: PLC0415 - an extra
    from distributed.client import FutureCancelledError  # noqa: PLC0415

    try:
        return future.result()
    except KilledWorker as error:
        raise ClusterError(
            f"{job} was given up: {_first_line(error)}. Does it need more memory than a worker has?"
        ) from error
    except WorkerDiffersError as error:
        raise _unlike(f"a worker of {cluster.address}", str(error)) from error
    except FutureCancelledError as error:
        raise ClusterError(f"the scheduler at {cluster.address} is gone") from error


def _unlike(worker: str, unlike: str) -> ClusterError:
    return ClusterError(
        f"{worker} has other code than this process, so its numbers would not be those of a run "
        f"here: {unlike}. Install the same versions there"
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]
