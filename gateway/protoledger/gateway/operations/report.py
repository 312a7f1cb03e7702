"""`gateway check`: checks everything that a gateway needs, and whether a running one progresses."""

import contextlib
import importlib.util
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.learner.compilation.compiled import cache_folder, fingerprint, is_intact
from protoledger.gateway.operations.chain import check_chain
from protoledger.gateway.operations.gateway_files import read_gateway_files
from protoledger.gateway.operations.health import GatewayStatus, read_status, status_path
from protoledger.runtime.check.aggregation import aggregation
from protoledger.runtime.check.broker import Client, check_broker
from protoledger.runtime.check.device_files import DeviceFiles
from protoledger.runtime.check.findings import Item, failed, note, ok, skipped
from protoledger.runtime.check.running import is_alive, is_connected
from protoledger.runtime.exits import Exit
from protoledger.runtime.site import BrokerConfig, CredentialsConfig, SiteConfig

LEAST_FREE_MB = 100
LOOK_EVERY_S = 0.2


def check_gateway(path: Path, *, broker: bool = True, chain: bool = True) -> Iterator[Item]:
    """Check everything that a gateway's file names.

    Args:
        path: the gateway's file.
        broker: whether to connect to the broker.
        chain: whether to ask the chain's node.
    """
    found = read_gateway_files(path)
    if found.text:
        yield failed("configuration", found.text, "correct these lines; each says how")
    elif found.config is not None and found.site is not None:
        channels, labels = len(found.site.channels), len(found.site.labels)
        text = f"{found.config.id} of site {found.site.site}, {channels} channels, {labels} labels"
        yield ok("configuration", f"{path}: {text}")
    config, site = found.config, found.site
    if config is None or site is None:
        for name in ("roster", "aggregation", "store", "broker", "chain"):
            yield skipped(name, "the files above must be right first")
        return
    yield _roster(found, config)
    yield aggregation(site, found.roster)
    yield _store(config, site)
    yield _kernels(config)
    yield from _broker(found, config, site) if broker else [skipped("broker", "not asked for")]
    if config.ledger is None:
        yield ok("chain", "none is configured: the site learns on its own")
    elif chain:
        yield from check_chain(config.ledger, config.store_file, site.as_schema())
    else:
        yield skipped("chain", "not asked for")


def _roster(found: DeviceFiles[GatewayConfig], config: GatewayConfig) -> Item:
    roster = found.roster
    if roster is None:
        text = "\n".join(found.problems.get(config.roster_file, []))
        return failed("roster", text, "fetch the signed roster of the site again")
    if roster.gateway.id != config.id:
        return failed(
            "roster",
            f"its gateway is {roster.gateway.id}, this is {config.id}",
            "sign a roster with this gateway, or correct id",
        )
    return ok(
        "roster",
        f"signed by the fleet's key; {len(roster.agents)} agents; its hash begins with "
        f"{roster.digest.hex()[:8]}",
    )


def _broker(
    found: DeviceFiles[GatewayConfig], config: GatewayConfig, site: SiteConfig
) -> Iterator[Item]:
    other = found.roster.agents[0].id if found.roster else "somebody.else"
    me = Client(site.site, config.id, other, is_agent=False)
    yield from check_broker_of(config.store_file, site.broker, config.credentials, me)


def check_broker_of(
    store_file: Path, broker: BrokerConfig, credentials: CredentialsConfig, me: Client
) -> Iterator[Item]:
    """Test the broker as a gateway; one that runs on this store and is connected is not disturbed.

    Args:
        store_file: the gateway's store.
        broker: the broker's address.
        credentials: the gateway's.
        me: the gateway.
    """
    path = status_path(store_file)
    status = read_status(path)
    if status is not None and status.connected and not _stands_still(status, path, time.time()):
        yield from is_connected(broker, me.id, status.pid)
    else:
        yield from check_broker(broker, credentials, me)


def _kernels(config: GatewayConfig) -> Item:
    """Check whether compiled kernels are cached; without them learning starts in numpy, slower."""
    name, settings = "kernels", config.learner.kernels
    if not settings.enabled:
        return ok(name, "disabled: learning is in numpy")
    folder = settings.path or cache_folder()
    if not importlib.util.find_spec("numba"):
        advice = "install protoledger[gateway]"
        return note(name, "numba is not installed: learning is in numpy", advice)
    if is_intact(folder / fingerprint()):
        return ok(name, f"compiled, in {folder}")
    return note(
        name,
        f"not in {folder} yet: learning starts in numpy while they are compiled",
    )


def _store(config: GatewayConfig, site: SiteConfig) -> Item:
    path = config.store_file
    if problem := _no_room(path):
        return failed("store", *problem, Exit.IO)
    if not path.exists():
        return ok("store", f"{path} will be created")
    away = "move it away to start from nothing, or restore a copy"
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5)) as database:
            sound = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            kept = dict(database.execute("SELECT name, value FROM state"))
    except sqlite3.Error as error:
        return failed("store", f"{path} is not a gateway's store: {error}", away, Exit.IO)
    if sound != "ok":
        return failed("store", f"{path} is damaged: {sound}", away, Exit.IO)
    if kept.get("schema") not in {None, site.as_schema().digest}:
        return failed("store", f"{path} holds the model of other channels or labels", away)
    size_kb = path.stat().st_size / 1024
    return ok("store", f"{path}: round {kept.get('round', 0)}, {size_kb:,.0f} kB, sound")


def _no_room(path: Path) -> tuple[str, str] | None:
    """Explain why a file cannot be written, and what to do; None if it can."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder}", f"run: mkdir -p {folder}"
    for place in (path, folder):
        if place.exists() and not os.access(place, os.W_OK):
            advice = f"give it to the gateway's user: chown, or chmod u+w {place}"
            return f"{place} cannot be written", advice
    free_mb = shutil.disk_usage(folder).free / 2**20
    if free_mb < LEAST_FREE_MB:
        return f"only {free_mb:.0f} MB are free in {folder}", "free some space: SQLite needs it"
    return None


def check_progress(store_file: Path, wait_s: float, clock: Callable[[], float] = time.time) -> Item:
    """Check whether a gateway runs and completes rounds; waits for one that it has yet to complete.

    What it has completed before says nothing: a site that stands still has done so, too.

    Args:
        store_file: the gateway's store.
        wait_s: seconds to wait for a round; 0: it is enough that the gateway runs.
        clock: seconds since 1970.
    """
    path = status_path(store_file)
    until = time.monotonic() + wait_s
    first = status = read_status(path)
    while True:
        problem = _stands_still(status, path, clock())
        going = status is not None and not problem and (not wait_s or _newer_round(first, status))
        if going or time.monotonic() >= until:
            break
        time.sleep(LOOK_EVERY_S)
        status = read_status(path)
    if status is None or problem:
        advice = "see its log: journalctl -u protoledger-gateway"
        return failed("service", problem, advice, Exit.UNAVAILABLE)
    if not going:
        why = f"; the last one failed: {status.last_failure}" if status.last_failure else ""
        return failed(
            "service",
            f"no round completed in {wait_s:g} s: {status.line}{why}",
            "are enough agents running, and do they have the same site file and roster?",
            Exit.UNAVAILABLE,
        )
    make = ok if status.completed else note
    return make("service", f"process {status.pid}: {status.line}")


def _newer_round(first: GatewayStatus | None, now: GatewayStatus) -> bool:
    """Whether a round was completed after the first look; a restart begins to count again."""
    seen = first.completed if first is not None and first.pid == now.pid else 0
    return now.completed > seen


def _stands_still(status: GatewayStatus | None, path: Path, now: float) -> str:
    if status is None:
        return f"the gateway is not running: there is no {path}"
    if not is_alive(status.pid):
        return f"the gateway is not running: its process {status.pid} has ended"
    silent_s = now - status.written_at
    return "" if status.runs(now) else f"the gateway hangs: no status for {silent_s:.0f} s"
