"""A running gateway's status, for systemd and in a small file next to its store.

`gateway check --wait` reads the file to see whether rounds complete, for example after an update.
The gateway itself never reads it.
"""

import contextlib
import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography import x509
from msgspec import Meta, Struct

from protoledger.protocol.rounds.states import Completed, Outcome
from protoledger.runtime.check.running import is_alive
from protoledger.runtime.key_files import write_secret
from protoledger.runtime.pki.certificates import days_left
from protoledger.runtime.systemd import Notifier

log = logging.getLogger(__name__)

WRITE_EVERY_S = 1.0
STALE_S = 30.0
"""A gateway that has not written its status for so long hangs; much longer than a heartbeat."""
HEARTBEAT_S = 10.0


class GatewayStatus(Struct, frozen=True, forbid_unknown_fields=True):
    """A gateway's state; times are seconds since 1970 by the gateway's clock, 0 for never.

    `completed` and `failed` count rounds since the process started.
    """

    pid: int
    started_at: float
    written_at: float = 0.0
    connected: bool = False
    agents_here: int = 0
    agents: int = 0
    completed: int = 0
    failed: int = 0
    last_round: int = 0
    last_completed_at: float = 0.0
    last_failure: Annotated[str, Meta(max_length=256)] = ""
    chain: str = "none"

    def runs(self, now: float) -> bool:
        """Whether this gateway runs; `now` in seconds since 1970."""
        return is_alive(self.pid) and now - self.written_at <= STALE_S

    @property
    def line(self) -> str:
        """The status in one line, for people."""
        broker = "connected" if self.connected else "waiting for the broker"
        chain = f"; chain {self.chain}" if self.chain != "none" else ""
        return (
            f"{broker}; {self.agents_here} of {self.agents} agents here; {self.completed} rounds "
            f"completed, {self.failed} failed{chain}"
        )


def status_path(store_file: Path) -> Path:
    """Return the path of the status file that belongs to a store."""
    return store_file.with_name(f"{store_file.name}.status.json")


def read_status(path: Path) -> GatewayStatus | None:
    """Read a status file; None if it is missing or malformed."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=GatewayStatus)
    except (OSError, msgspec.DecodeError):
        return None


@dataclass(frozen=True)
class Snapshot:
    """The values that a scrape of the metrics returns.

    Attributes:
        totals: counters by name, which only grow.
        values: gauges by name, which go up and down.
        refused: messages refused since the start, by kind of error.
        named: whether something is the matter, by what it is and the agent's name.
    """

    totals: Mapping[str, float] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    named: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)


_TOTALS = {
    "commits": "commits",
    "commits_rejected": "commits_rejected",
    "gas": "gas",
    "samples": "samples",
    "samples_right": "right",
    "samples_right_alone": "own_right",
    "samples_right_anywhere": "anywhere_right",
    "samples_same_label": "same_label",
    "helped": "helped",
    "hurt": "hurt",
    "drifts": "drifts",
}
"""Counters that are shown, by the metrics' names."""


def snapshot_of(
    counters: Mapping[str, float],
    status: GatewayStatus,
    gauges: Mapping[str, float],
    refused: Mapping[str, int],
    named: Mapping[str, Mapping[str, bool]],
) -> Snapshot:
    """Return what a scrape returns now.

    Args:
        counters: of all that happened since the model was new, with `kappa_temporal`.
        status: the gateway's.
        gauges: further values.
        refused: see `Snapshot`.
        named: see `Snapshot`.
    """
    samples = counters["samples"]
    shares = {
        "accuracy": counters["right"] / samples if samples else math.nan,
        "kappa_temporal": counters["kappa_temporal"] if samples else math.nan,
    }
    here = {
        "agents": status.agents,
        "agents_here": status.agents_here,
        "broker_connected": status.connected,
    }
    totals = {name: counters[counter] for name, counter in _TOTALS.items()}
    return Snapshot(totals, {**shares, **here, **gauges}, refused, named)


def upkeep(store_file: Path, certificate_file: Path | None) -> dict[str, float]:
    """Return what runs out: the disk, and the gateway's certificate if it has one."""
    values = {}
    with contextlib.suppress(OSError, ValueError):
        disk = shutil.disk_usage(store_file.parent)
        values["disk_free_share"] = disk.free / disk.total
        if certificate_file is not None:
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
            values["certificate_days_left"] = days_left(certificate)
    return values


class Health:
    """Keeps the status, writes it, and pets systemd's watchdog; called by the gateway's loop.

    Args:
        path: the status file.
        agents: number of agents in the roster.
        notifier: reports to systemd.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        path: Path,
        agents: int,
        notifier: Notifier | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._notifier = notifier or Notifier()
        self._clock = clock
        self._written = 0.0
        self._changed = True
        self._logged = False
        self.status = GatewayStatus(os.getpid(), clock(), agents=agents)

    def change(self, **fields: object) -> None:
        """Set fields of the status; `turn` writes them."""
        if any(getattr(self.status, name) != value for name, value in fields.items()):
            self.status = msgspec.structs.replace(self.status, **fields)
            self._changed = True

    def count(self, outcome: Outcome) -> None:
        """Count a round that has ended."""
        status = self.status
        if isinstance(outcome, Completed):
            self.change(
                completed=status.completed + 1,
                last_round=outcome.round_id,
                last_completed_at=self._clock(),
            )
        else:
            self.change(
                failed=status.failed + 1,
                last_round=outcome.round_id,
                last_failure=outcome.reason[:256],
            )

    def ready(self) -> None:
        """Report that the loop starts."""
        self._notifier.ready(self.status.line)

    def stopping(self) -> None:
        """Report that the loop has ended, and delete the status file, which is no longer true."""
        self._notifier.stopping()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def due(self) -> float:
        """Return the monotonic time at which `turn` must be called again."""
        patience = WRITE_EVERY_S if self._changed else HEARTBEAT_S
        return min(self._written + patience, self._notifier.due or float("inf"))

    def turn(self, now: float) -> None:
        """Pet the watchdog, because the loop makes progress; write the status if it is time."""
        self._notifier.pet()
        if now < self._written + (WRITE_EVERY_S if self._changed else HEARTBEAT_S):
            return
        self._written, self._changed = now, False
        self._notifier.status(self.status.line)
        self.status = msgspec.structs.replace(self.status, written_at=self._clock())
        try:
            write_secret(self._path, msgspec.json.encode(self.status), replace=True)
        except OSError as error:
            if not self._logged:
                log.warning("%s cannot be written: %s; continuing without", self._path, error)
            self._logged = True
