"""`protoledger bench network`: a site over a real broker on this machine, from 10 to 1,000 agents.

The agents are hosted in one process, the gateway and Mosquitto (TLS, a certificate each, access
list) are others: the processes of an emulation, without sensors and chain. Rounds follow each other
at once. What an agent costs is the CPU of each process over rounds and agents: it shall not grow
with their number.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer
import yaml
from rich.console import Console
from rich.table import Table

from protoledger.emulator.errors import EmulatorError
from protoledger.emulator.processes.broker import BrokerAddress, Mosquitto
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.emulator.processes.children import ChildEvent, Children
from protoledger.experiments.benchmarks.network.flood import Flooder
from protoledger.protocol.wire.identity import Member
from protoledger.protocol.wire.schema import Channel, Schema
from protoledger.protocol.wire.terms import Terms
from protoledger.runtime.broker.access_list import acl_text
from protoledger.runtime.broker.limits import BrokerLimits, limits_of
from protoledger.runtime.exits import Exit
from protoledger.runtime.identity_files import create_identity, load_roster, write_roster
from protoledger.runtime.site import AggregationConfig, SiteConfig, load

app = typer.Typer(add_completion=False)

_SITE = "bench"
_GATEWAY = "bench.gateway"
_LABELS = ("no", "yes")
_ROUND_S = 60.0
_START_S = 300.0
_ABSENT_S = 10.0
"""How long a gateway waits for agents of which one will never come."""
_WARM_UP = 2
MESSAGES = 5
"""Of an agent and round that holds a position: announce, boxes, deliver, answer, result."""


@dataclass(frozen=True, slots=True)
class NetworkRow:
    """One size; CPU is milliseconds an agent and round, of one core.

    `start_s` is from the agents' start to the end of the first round. With a flood, the last three
    say how many messages a second it sent, how many rounds a second there were meanwhile, and what
    share that is of those without it.
    """

    agents: int
    length: int
    code: str
    messages: int
    rounds: int
    failed: int
    included: float
    rounds_per_second: float
    latency_p50_ms: float
    latency_p95_ms: float
    agent_cpu_ms: float
    broker_cpu_ms: float
    gateway_cpu_ms: float
    gateway_cpu_round_ms: float
    agents_rss_mb: float
    start_s: float
    flood_per_second: float | None = None
    flooded_rounds_per_second: float | None = None
    flooded_share: float | None = None


@app.command()
def network(
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures there.")
    ] = None,
    agents: Annotated[
        list[int] | None,
        typer.Option(min=4, max=1000, help="N, several times; 10, 30, 100, 300 and 1000."),
    ] = None,
    length: Annotated[int, typer.Option(min=4, max=500, help="L, even.")] = 100,
    seconds: Annotated[float, typer.Option(min=1, help="How long each size is measured.")] = 15.0,
    validity: Annotated[str, typer.Option(help="As in a site file.")] = "auto",
    flood: Annotated[
        float,
        typer.Option(
            min=0, help="Then as long again, with so many messages a second of one more device."
        ),
    ] = 0.0,
) -> None:
    """Measure whole rounds over one Mosquitto: rounds per second, latency, CPU per agent."""
    console = Console()
    console.width = max(console.width, 140)  # a pipe has none, and a cut figure is no figure
    if json_file is not None and not json_file.parent.is_dir():
        typer.echo(f"error: --json {json_file}: there is no folder {json_file.parent}", err=True)
        raise typer.Exit(Exit.USAGE)
    rows = []
    try:
        for count in agents or (10, 30, 100, 300, 1000):
            with console.status(f"{count} agents"):
                rows.append(_measure(count, length, seconds, validity, flood))
    except EmulatorError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(Exit.UNAVAILABLE) from error
    console.print(_table(rows))
    for row in rows:
        if row.flood_per_second is not None:
            console.print(
                f"N = {row.agents}, flooded with {row.flood_per_second:,.0f} messages a second: "
                f"{row.flooded_rounds_per_second} rounds/s, {row.flooded_share} of the above"
            )
    if json_file is not None:
        report = {"rows": [asdict(row) for row in rows]}
        json_file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _measure(
    agents: int, length: int, seconds: float, validity: str, flood: float = 0.0
) -> NetworkRow:
    names = [f"{_SITE}.agent-{number:04d}" for number in range(agents + bool(flood))]
    with tempfile.TemporaryDirectory(prefix="protoledger-") as made:
        folder = Path(made)
        with Children(folder / "logs", grace_s=10.0) as children:
            authority = CertificateAuthority(folder / "tls")
            access = acl_text(_SITE, _GATEWAY, names)
            limits = _limits(len(names), length, validity)
            broker = Mosquitto(folder / "broker", authority, access, children, limits).start()
            _write(folder, names, broker, authority, length, validity, there=agents)
            begun = time.monotonic()
            agents_pid = children.start(
                "agents",
                [
                    sys.executable,
                    "-m",
                    "protoledger.experiments.benchmarks.network.agents",
                    folder / "agents.txt",
                ],
            )
            gateway = [sys.executable, "-m", "protoledger", "gateway", "run", "--events"]
            gateway_pid = children.start("gateway", [*gateway, "--config", folder / "gateway.yaml"])
            processes = {
                "agents": psutil.Process(agents_pid),
                "gateway": psutil.Process(gateway_pid),
                "broker": _broker_process(),
            }
            row = _watch(folder, children, processes, begun, seconds)
            if not flood:
                return row
            issued = authority.client(names[-1])
            files, who = (issued.certificate, issued.key), (names[-1], _GATEWAY)
            with Flooder(broker, files, _SITE, who, flood) as flooding:
                return _flooded(children, row, flooding, seconds)


def _limits(agents: int, length: int, validity: str) -> BrokerLimits:
    """Return what a broker of such a site allows."""
    wanted = AggregationConfig.model_validate({"validity": validity})
    plan, channels = wanted.plan(agents), (length - len(_LABELS)) // 2
    schema = Schema(tuple(Channel(f"c{n}", "", 0, 100, 0.5) for n in range(channels)), _LABELS)
    return limits_of(Terms(schema, plan, wanted.minimum(plan), 1, 1000, 1000, 1000))


def _flooded(children: Children, row: NetworkRow, flood: Flooder, seconds: float) -> NetworkRow:
    """Count the rounds during a flood, from its first message on."""
    since, rounds = time.monotonic(), 0
    while time.monotonic() - since < seconds:
        rounds += not _next_round(children, time.monotonic() + 3 * _ROUND_S).failed
    took = time.monotonic() - since
    return replace(
        row,
        flood_per_second=round(flood.sent / took),
        flooded_rounds_per_second=round(rounds / took, 2),
        flooded_share=round(rounds / took / row.rounds_per_second, 2),
    )


def _broker_process() -> psutil.Process:
    found = (child for child in psutil.Process().children() if "mosquitto" in child.name())
    return next(child for child in found if child.status() != psutil.STATUS_ZOMBIE)


def _watch(
    folder: Path,
    children: Children,
    processes: dict[str, psutil.Process],
    begun: float,
    seconds: float,
) -> NetworkRow:
    """Let it run, and fold what the gateway tells."""
    for _ in range(_WARM_UP):
        _next_round(children, begun + _START_S)
    start_s = time.monotonic() - begun
    cpu = {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
    since = time.monotonic()
    told: list[_Round] = []
    while not told or time.monotonic() - since < seconds:
        told.append(_next_round(children, time.monotonic() + 3 * _ROUND_S))
    took = time.monotonic() - since
    rounds = len(told)
    site = load(folder / "site.yaml", SiteConfig)
    roster = load_roster(folder / "roster.json", bytes.fromhex(site.fleet_key))
    plan, there = site.terms(roster).plan, len((folder / "agents.txt").read_text().splitlines())
    used = {
        name: 1000 * (sum(process.cpu_times()[:2]) - cpu[name]) / rounds
        for name, process in processes.items()
    }
    latencies = [each.ms for each in told if not each.failed] or [np.nan]
    included = [each.included for each in told if not each.failed]
    return NetworkRow(
        agents=there,
        length=site.as_schema().length,
        code=f"{plan.validity} {plan.needed(plan.committee)}/{plan.committee}",
        messages=MESSAGES,
        rounds=rounds,
        failed=rounds - len(included),
        included=round(float(np.mean(included)), 1) if included else 0.0,
        rounds_per_second=round(rounds / took, 2),
        latency_p50_ms=round(float(np.percentile(latencies, 50)), 1),
        latency_p95_ms=round(float(np.percentile(latencies, 95)), 1),
        agent_cpu_ms=round(used["agents"] / there, 3),
        broker_cpu_ms=round(used["broker"] / there, 3),
        gateway_cpu_ms=round(used["gateway"] / there, 3),
        gateway_cpu_round_ms=round(used["gateway"], 2),
        agents_rss_mb=round(processes["agents"].memory_info().rss / 2**20, 1),
        start_s=round(start_s, 1),
    )


@dataclass(frozen=True, slots=True)
class _Round:
    ms: float
    included: int
    failed: bool


def _next_round(children: Children, deadline: float) -> _Round:
    while (left_s := deadline - time.monotonic()) > 0:
        event = children.wait_any(left_s)
        if not isinstance(event, ChildEvent):
            continue
        match event.data:
            case {"event": "round", "ms": float(ms), "included": list(included)}:
                return _Round(ms, len(included), failed=False)
            case {"event": "failed", "ms": float(ms)}:
                return _Round(ms, 0, failed=True)
    said = "\n  ".join((*children.last_lines("agents"), *children.last_lines("gateway")))
    raise EmulatorError(f"no round within the time; agents and gateway said:\n  {said}")


def _write(
    folder: Path,
    names: list[str],
    broker: BrokerAddress,
    authority: CertificateAuthority,
    length: int,
    validity: str,
    *,
    there: int,
) -> None:
    """Write all files of the site, of whose agents so many will be there."""
    fleet = create_identity(folder / "fleet.key")
    channels = [f"c{number}" for number in range((length - len(_LABELS)) // 2)]
    members = {
        name: Member(
            name,
            create_identity(folder / f"{name}.identity").public_key.hex(),
            () if name == _GATEWAY else tuple(channels),
        )
        for name in (_GATEWAY, *names)
    }
    agents = tuple(members[name] for name in names)
    write_roster(folder / "roster.json", _SITE, members[_GATEWAY], agents, fleet)
    site: dict[str, object] = {
        "site": _SITE,
        "fleet_key": fleet.public_key.hex(),
        "channels": [{"name": name, "low": 0, "high": 100, "step": 0.5} for name in channels],
        "labels": list(_LABELS),
        "aggregation": {"validity": validity},
        "round": {"every_s": 0.0, "share_s": _ROUND_S, "answer_s": _ROUND_S},
        "broker": {"host": broker.host, "port": broker.port, "ca_file": str(broker.authority)},
    }
    _dump(folder / "site.yaml", site)
    sensors = [{"channel": name, "driver": "mock"} for name in channels]
    for name in (_GATEWAY, *names):
        issued = authority.client(name)
        device: dict[str, object] = {
            "id": name,
            "site_file": "site.yaml",
            "roster_file": "roster.json",
            "identity_file": f"{name}.identity",
            "credentials": {
                "certificate_file": str(issued.certificate),
                "key_file": str(issued.key),
            },
        }
        if name == _GATEWAY:
            patience_s = _START_S if there == len(names) else _ABSENT_S
            device |= {"store_file": "gateway.db", "wait_for_agents_s": patience_s}
            _dump(folder / "gateway.yaml", device)
        else:
            _dump(folder / f"{name}.yaml", device | {"sensors": sensors})
    files = "".join(f"{folder / name}.yaml\n" for name in names[:there])
    (folder / "agents.txt").write_text(files, encoding="utf-8")


def _dump(path: Path, content: dict[str, object]) -> None:
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    path.write_text(yaml.dump(content, Dumper=dumper), encoding="utf-8")


def _table(rows: list[NetworkRow]) -> Table:
    table = Table(
        title="Whole rounds over one Mosquitto; CPU in milliseconds an agent and round",
        title_justify="left",
    )
    columns = ("N", "L", "code", "messages", "rounds", "failed", "rounds/s", "p50, ms", "p95, ms")
    for column in (*columns, "agent", "broker", "gateway", "RSS, MB", "start, s"):
        table.add_column(column, justify="right")
    for row in rows:
        cells = (row.agents, row.length, row.code, row.messages, row.rounds, row.failed)
        table.add_row(
            *map(str, cells),
            f"{row.rounds_per_second:.2f}",
            f"{row.latency_p50_ms:,.0f}",
            f"{row.latency_p95_ms:,.0f}",
            f"{row.agent_cpu_ms:.2f}",
            f"{row.broker_cpu_ms:.2f}",
            f"{row.gateway_cpu_ms:.2f}",
            f"{row.agents_rss_mb:.0f}",
            f"{row.start_s:.1f}",
        )
    return table
