"""`protoledger bench edge`: an agent's memory, start-up time, CPU time, and writes to its SD card.

One agent with eight simulated channels is measured while it takes part in rounds of a small site,
with a real broker (TLS, access list) and a gateway. The other agents share a second process. The
bytes that a day without a broker writes to the SD card are measured in this process, with a
simulated clock.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
import yaml

from protoledger.edge.readings.backlog import Backlog
from protoledger.edge.readings.spool import SqliteSpool
from protoledger.emulator.processes.broker import Mosquitto
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.emulator.processes.children import Children
from protoledger.protocol.wire.identity import Member
from protoledger.runtime.broker.access_list import acl_text
from protoledger.runtime.identity_files import create_identity, write_roster

app = typer.Typer(add_completion=False)

CHANNELS = tuple(f"channel-{number}" for number in range(8))
AGENTS = tuple(f"pi-{number}" for number in range(4))
GATEWAY = "hub"
SITE = "bench"
DAY_S = 86_400
EVERY_S = 10.0


@app.command()
def main(
    seconds: Annotated[float, typer.Option(min=5, help="How long CPU is measured.")] = 60.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures to this file.")
    ] = None,
) -> None:
    """Measure one agent: memory, start-up time, CPU time, bytes written to its SD card."""
    with tempfile.TemporaryDirectory(prefix="protoledger-") as folder:
        figures = _measure(Path(folder), seconds)
        figures |= _libraries()
        figures["peak_by_libraries"] = figures["peak_mb"] / figures["libraries_peak_mb"]
        figures["card_bytes_a_day_offline"] = _day_offline(Path(folder) / "day.db")
    for name, value in figures.items():
        typer.echo(
            f"{name:<28} {value:,.2f}" if isinstance(value, float) else f"{name:<28} {value:,}"
        )
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


def _measure(folder: Path, seconds: float) -> dict[str, float]:
    with (
        Children(folder / "logs") as children,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
    ):
        _write(folder, children)
        protoledger = [sys.executable, "-m", "protoledger"]
        children.start("gateway", [*protoledger, "gateway", "run", "-c", folder / "gateway.yaml"])
        others = [word for agent in AGENTS[1:] for word in ("-c", str(folder / f"{agent}.yaml"))]
        children.start("agents", [*protoledger, "edge", "run", *others])
        manager.bind(str(folder / "notify"))
        started = time.monotonic()
        agent = subprocess.Popen(
            [*protoledger, "edge", "run", "-c", str(folder / f"{AGENTS[0]}.yaml")],
            stderr=subprocess.DEVNULL,
            env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "100000"},
        )
        try:
            first_reading_s = _first_reading(manager) - started
            agent_process = psutil.Process(agent.pid)
            _wait_for_rounds(folder / "gateway.db.status.json")
            before, written = agent_process.cpu_times(), agent_process.io_counters().write_chars
            begin = time.monotonic()
            while time.monotonic() < begin + seconds:
                manager.settimeout(1.0)
                manager.recv(4096)
            after, wrote = agent_process.cpu_times(), agent_process.io_counters()
            spent = after.user + after.system - before.user - before.system
            memory = _memory_mb(agent.pid)
            files = [file for file in folder.glob(f"{AGENTS[0]}*.db*") if file.stat().st_size]
            return {
                "first_reading_s": first_reading_s,
                "cpu_percent_of_a_core": 100 * spent / (time.monotonic() - begin),
                "rss_mb": memory["VmRSS"],
                "peak_mb": memory["VmHWM"],
                "own_mb": memory["RssAnon"],
                "sockets_and_files_bytes_s": (wrote.write_chars - written) / seconds,
                "card_bytes_a_day_online": float(sum(file.stat().st_size for file in files)),
            }
        finally:
            agent.terminate()
            agent.wait(10)


def _first_reading(manager: socket.socket) -> float:
    """Return the time of the first status in which every sensor has a reading."""
    manager.settimeout(20.0)
    while True:
        text = manager.recv(4096).decode()
        if "STATUS=" in text and "no reading" not in text:
            return time.monotonic()


def _wait_for_rounds(status: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if status.is_file() and json.loads(status.read_text())["completed"]:
            return
        time.sleep(0.1)
    raise TimeoutError("no round completed in 60 s")


def _libraries() -> dict[str, float]:
    """Memory of a Python that only loads what an agent needs of others: what no agent is below."""
    names = "cryptography.hazmat.primitives.asymmetric.ed25519, msgspec, nacl.bindings, numpy"
    load = f"import {names}, paho.mqtt.client, pydantic, ssl, typer, yaml"
    tell = "print(open('/proc/self/status').read())"
    done = subprocess.run(
        [sys.executable, "-c", f"{load}; {tell}"], capture_output=True, text=True, check=True
    )
    memory = _fields_mb(done.stdout)
    return {"libraries_peak_mb": memory["VmHWM"], "libraries_own_mb": memory["RssAnon"]}


def _memory_mb(pid: int) -> dict[str, float]:
    return _fields_mb(Path(f"/proc/{pid}/status").read_text(encoding="ascii"))


def _fields_mb(status: str) -> dict[str, float]:
    wanted = ("VmRSS", "VmHWM", "RssAnon")
    fields = (line.split(":") for line in status.splitlines() if line.startswith(wanted))
    return {name: int(value.split()[0]) / 1024 for name, value in fields}


def _day_offline(path: Path) -> int:
    """Return the bytes that a day without a broker writes, with windows of ten seconds."""
    spool = SqliteSpool(path, b"\0" * 32, len(CHANNELS))
    backlog = Backlog(window_s=10.0, count=1, width=len(CHANNELS), most=DAY_S // 10, spool=spool)
    backlog.live(1, 0.0)
    values = [21.0] * len(CHANNELS)
    before = psutil.Process().io_counters().write_chars
    for second in range(0, DAY_S, 2):
        backlog.add(float(second), values, 0)
    return int(psutil.Process().io_counters().write_chars - before)


def _write(folder: Path, children: Children) -> None:
    """Write the files of a site of four agents with eight channels."""
    authority = CertificateAuthority(folder / "tls")
    access = acl_text(SITE, GATEWAY, AGENTS)
    where = Mosquitto(folder / "broker", authority, access, children).start()
    fleet = create_identity(folder / "fleet.key")
    keys = {
        name: create_identity(folder / f"{name}.identity").public_key.hex()
        for name in (GATEWAY, *AGENTS)
    }
    members = tuple(Member(name, keys[name], CHANNELS) for name in AGENTS)
    write_roster(folder / "roster.json", SITE, Member(GATEWAY, keys[GATEWAY]), members, fleet)
    site = {
        "site": SITE,
        "fleet_key": fleet.public_key.hex(),
        "channels": [{"name": n, "low": 0, "high": 50, "step": 0.1} for n in CHANNELS],
        "labels": [],
        "round": {"every_s": EVERY_S},
        "broker": {"host": where.host, "port": where.port, "ca_file": str(where.authority)},
    }
    _dump(folder / "site.yaml", site)
    for name in (GATEWAY, *AGENTS):
        own = authority.client(name)
        content: dict[str, Any] = {
            "id": name,
            "site_file": "site.yaml",
            "roster_file": "roster.json",
            "identity_file": f"{name}.identity",
            "credentials": {"certificate_file": str(own.certificate), "key_file": str(own.key)},
        }
        if name == GATEWAY:
            _dump(folder / "gateway.yaml", {**content, "store_file": "gateway.db"})
            continue
        mock = {"driver": "mock", "options": {"level": 21.0, "noise": 0.5}}
        sensors = [{"channel": channel, **mock} for channel in CHANNELS]
        _dump(folder / f"{name}.yaml", {**content, "sensors": sensors, "spool_file": f"{name}.db"})


def _dump(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content))


if __name__ == "__main__":
    app()
