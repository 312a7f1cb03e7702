"""Several owners on one chain, each with a real ledger client that asks its own validator first.

What an experiment needs beside the clients: the time until another owner has a copy, validators
that are killed and come back, and what a validator costs its owner while it runs.
"""

from __future__ import annotations

import queue
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import psutil

from protoledger.contracts.client.deployment import deploy
from protoledger.contracts.keys import address_of, create_key, load_key
from protoledger.emulator.processes.children import Children
from protoledger.emulator.processes.networks import start
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.ledger.client import Ledger
from protoledger.gateway.ledger.config import LedgerConfig
from protoledger.gateway.ledger.events import (
    CodebookChanged,
    CommitRejected,
    LedgerAvailable,
    LedgerEvent,
    LedgerFailed,
)

if TYPE_CHECKING:
    from types import TracebackType

PROGRAMS: Final = {"anvil", "geth", "geth-clique", "avalanchego"}
SCHEMA: Final = bytes(32)
_PATIENCE_S = 120.0


class Owner:
    """One owner: its account, its ledger client, and what that has reported."""

    def __init__(self, config: LedgerConfig, database: Path, features: int, labels: int) -> None:
        self.address = address_of(load_key(config.key_file))
        self.events: queue.SimpleQueue[LedgerEvent] = queue.SimpleQueue()
        self.ledger = Ledger(config, database, SCHEMA, features, labels, self.events.put)

    def next_event(self, timeout_s: float) -> LedgerEvent | None:
        """Return the next event, None if none comes.

        Raises:
            RuntimeError: the client ended, or its commit was refused for good.
        """
        try:
            event = self.events.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None
        if isinstance(event, LedgerFailed) or (
            isinstance(event, CommitRejected) and event.permanent
        ):
            raise RuntimeError(f"the ledger client of {self.address}: {event.reason}")
        return event

    def holds(self, owner: str, wanted: Codebook, timeout_s: float) -> bool:
        """Wait until this owner has another's codebook; False if it does not come in time."""
        deadline = time.monotonic() + timeout_s
        while (event := self.next_event(deadline - time.monotonic())) is not None:
            if (
                isinstance(event, CodebookChanged)
                and event.owner == owner
                and event.codebook == wanted
            ):
                return True
        return False


@dataclass(frozen=True, slots=True)
class Cost:
    """What a validator takes, the mean over all of them.

    Attributes:
        memory_mb: resident.
        cpu: share of one core.
        disk_mb_day: growth of its files, in a day at this rate.
    """

    memory_mb: float
    cpu: float
    disk_mb_day: float


class Owners:
    """A chain with its validators, the contracts on it, and the owners; a context manager.

    Args:
        chain: one of `networks.CHAINS`.
        owners: how many.
        features: of a prototype.
        labels: how many.
        exact: whether commits leave nothing out, so that what arrives is what was submitted.
    """

    def __init__(
        self, chain: str, owners: int, features: int, labels: int, *, exact: bool = False
    ) -> None:
        self._chain, self._size = chain, owners
        self._features, self._labels = features, labels
        self._closing = ExitStack()
        self._killed: list[int] = []
        self._omissions = {"tolerance": 0.0, "weight_ratio": 1.0} if exact else {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="protoledger-owners-"))
            )
            self._files = folder / "chain"
            children = stack.enter_context(Children(folder / "logs"))
            self._started = start(self._chain, children, self._files, self._size, closing=stack)
            self.owners = self._make_owners(folder)
            for owner in self.owners:
                stack.enter_context(owner.ledger)
            for owner in self.owners:
                while not isinstance(event := owner.next_event(_PATIENCE_S), LedgerAvailable):
                    if event is None:
                        raise TimeoutError(f"a client does not reach {self._chain}")
            self._closing = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.__exit__(kind, error, trace)

    def _make_owners(self, folder: Path) -> list[Owner]:
        keys = [folder / f"{number}.key" for number in range(self._size + 1)]
        accounts = [address_of(create_key(file)) for file in keys]
        self._started.fund(accounts)
        url = self._started.addresses[0].url
        admin, size = load_key(keys[-1]), (self._features, self._labels)
        made = deploy(url, admin, SCHEMA, *size, accounts[:-1])
        found = []
        for number, file in enumerate(keys[:-1]):
            config = LedgerConfig.model_validate(
                {
                    **self._started.settings(number),
                    "chain_id": made.chain_id,
                    "contract": made.buffer,
                    "key_file": file,
                    **self._omissions,
                }
            )
            found.append(Owner(config, folder / f"{number}.db", *size))
        return found

    def copy_s(
        self, wanted: Codebook, writer: int = 0, reader: int = 1, timeout_s: float = _PATIENCE_S
    ) -> float:
        """Commit, and return the seconds until another owner has the copy; infinite on timeout."""
        began = time.monotonic()
        self.owners[writer].ledger.submit(wanted)
        arrived = self.owners[reader].holds(self.owners[writer].address, wanted, timeout_s)
        return time.monotonic() - began if arrived else float("inf")

    @property
    def validators(self) -> int:
        """How many validators can be killed and brought back; 0 on a chain of one node."""
        network = self._started.network
        return 0 if network is None else len(network.addresses)

    def kill(self) -> None:
        """Kill one more validator, the last first: the first owners' go on."""
        network = self._started.network
        assert network is not None  # noqa: S101 - `validators` was asked
        number = len(network.addresses) - 1 - len(self._killed)
        network.kill(number)
        self._killed.append(number)

    def revive(self) -> None:
        """Bring all killed validators back."""
        network = self._started.network
        assert network is not None  # noqa: S101 - as above
        while self._killed:
            network.revive(self._killed.pop())

    def cost(self, seconds: float) -> Cost:
        """Watch the validators for so long."""
        found = [
            process
            for process in psutil.Process().children(recursive=True)
            if process.name() in PROGRAMS
        ]
        before = sum(_cpu_s(process) for process in found), self._disk_bytes()
        began = time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        after = sum(_cpu_s(process) for process in found), self._disk_bytes()
        memory = sum(process.memory_info().rss for process in found)
        each = max(1, len(found))
        return Cost(
            memory / each / 1e6,
            (after[0] - before[0]) / took / each,
            (after[1] - before[1]) / took / each * 86_400 / 1e6,
        )

    def _disk_bytes(self) -> int:
        total = 0
        for path in self._files.rglob("*") if self._files.exists() else ():
            try:
                total += path.stat().st_size if path.is_file() else 0
            except FileNotFoundError:  # databases rename and remove files all the time
                continue
        return total


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def random_book(random: np.random.Generator, features: int, labels: int) -> Codebook:
    """Return a codebook of 20 prototypes that differs from every other in all of them."""
    return Codebook.from_prototypes(
        np.arange(20),
        random.integers(0, labels, 20),
        random.integers(1, 200, 20),
        random.random((20, features)),
        labels=labels,
    )
