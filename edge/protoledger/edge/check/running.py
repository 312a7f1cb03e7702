"""`edge check --running`: whether the agent that runs now does its work, by its status file.

It opens no sensor, since the running agent holds their pins. After an update it is compared with
what the agent wrote before: a sensor that answered then must answer now, and if rounds were taken
part in then, one must be completed after the call.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeGuard

from protoledger.edge.check.agent_files import read_agent_files
from protoledger.edge.config import AgentConfig
from protoledger.edge.status import STALE_S, AgentStatus, read_status
from protoledger.runtime.check.findings import Item, failed, note, ok, skipped
from protoledger.runtime.check.running import is_alive
from protoledger.runtime.exits import Exit

POLL_S = 0.5
LATELY_S = 600.0
"""An agent that took part in a round within this time before the update should do so after it."""


def check_running(path: Path, *, wait_s: float, since: Path | None) -> Iterator[Item]:
    """Check the agent that runs now.

    Args:
        path: the agent's file.
        wait_s: how long to wait until all is well.
        since: a copy of the status file from before an update; None, or a file that is missing,
            looks at the present alone.
    """
    found = read_agent_files(path)
    if found.config is None or found.text:
        yield failed("configuration", found.text, "correct these lines; each says how")
        return
    yield ok("configuration", f"{path}: {found.config.id}")
    yield from running(found.config, wait_s, None if since is None else read_status(since))


def running(
    config: AgentConfig,
    wait_s: float,
    before: AgentStatus | None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Item]:
    """Look at the running agent, for up to `wait_s` until all is well.

    Args:
        config: the agent's.
        wait_s: how long to wait for a status, for sensors and for a round.
        before: what it wrote before an update; None looks at the present alone.
        clock: monotonic seconds.
    """
    path = config.status_file
    if path is None:
        yield failed(
            "service", "status_file is not set", "set it in the agent's file, and restart the agent"
        )
        return
    called_at = clock()
    while True:
        status = read_status(path)
        items = list(_items(status, path, before, called_at, clock()))
        fine = all(item.exit is Exit.OK or not _is_bad(item) for item in items)
        if fine or clock() - called_at >= wait_s:
            yield from items
            return
        time.sleep(POLL_S)


def is_running(status: AgentStatus | None, now: float) -> TypeGuard[AgentStatus]:
    """Return whether an agent wrote this that runs; `now` in monotonic seconds."""
    return status is not None and 0 <= now - status.written_at < STALE_S and is_alive(status.pid)


def _is_bad(item: Item) -> bool:
    return item.result.value == "failed"


def _items(
    status: AgentStatus | None, path: Path, before: AgentStatus | None, called_at: float, now: float
) -> Iterator[Item]:
    if not is_running(status, now):
        seen = "no status" if status is None else "an old status"
        yield failed(
            "service",
            f"{seen} in {path}: the agent does not run, or hangs",
            "see journalctl -u protoledger-edge",
            Exit.UNAVAILABLE,
        )
        yield skipped("sensors", "the agent must run first")
        return
    if before is not None and status.written_at < called_at:
        yield failed(
            "service",
            "the status is from before the call",
            "wait a moment, with --wait",
            Exit.UNAVAILABLE,
        )
        return
    if status.connected:
        yield ok("service", f"process {status.pid}: connected to the broker")
    else:
        yield failed(
            "service",
            f"process {status.pid}: not connected to the broker",
            "`edge check --no-sensors` says why",
            Exit.UNAVAILABLE,
        )
    yield from _sensors(status, before)
    yield _round(status, before, called_at, now)
    yield from _privacy(status)


def _sensors(status: AgentStatus, before: AgentStatus | None) -> Iterator[Item]:
    for name, problem in status.sensors.items():
        if not problem:
            yield ok(name, "answers")
        elif before is not None and before.sensors.get(name, ""):
            yield note(name, f"{problem} (as before)")
        else:
            answered = ", and answered before" if before is not None else ""
            yield failed(
                name, f"{problem}{answered}", "see what the driver says above", Exit.UNAVAILABLE
            )


def _privacy(status: AgentStatus) -> Iterator[Item]:
    found = status.privacy
    if found is None:
        return
    spent = f"ε {found.epsilon_spent:.3g} of {found.epsilon_budget:.3g} spent"
    if found.rounds_left:
        yield ok("privacy", f"{spent}, {found.rounds_left} rounds left")
    else:
        yield note(
            "privacy",
            f"{spent}: the agent contributes no more",
            "a larger budget in the site file, on all devices, weakens what was promised",
        )


def _round(status: AgentStatus, before: AgentStatus | None, called_at: float, now: float) -> Item:
    if status.answered_at > called_at:
        return ok("rounds", f"took part in round {status.last_round} after the call")
    took_part = before is not None and 0 < before.answered_at > before.written_at - LATELY_S
    last = f"{now - status.answered_at:.0f} s ago" if status.answered_at else "never"
    if took_part:
        return failed(
            "rounds",
            f"took part in none since the call (last: {last}), and did before",
            "see the gateway: protoledger gateway check",
            Exit.UNAVAILABLE,
        )
    return note("rounds", f"took part in none since the call (last: {last})")
