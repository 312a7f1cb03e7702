"""What a network file does to the real connections of an emulation: `emulate --network FILE`.

    agent ──TLS──▶ its port ── delay, resending, cuts ──▶ broker
    gateway ─────▶ its ports ─────────────────────────▶ broker, and its node of the chain

Each device has a link of its own to the broker, as in virtual time (`emulator.virtual.links`), here
a port of the loopback interface; what passes is TLS, which the relay cannot read. So the file means
what TCP makes of such a network: a lost segment is sent again and holds up what follows, a repeated
one is thrown away, and in a cut nothing passes, until one side gives the connection up.

This module is also the relay's process: `python -m protoledger.emulator.processes.relay PLAN`.
"""

import asyncio
import contextlib
import random
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from protoledger.emulator.errors import EmulatorError
from protoledger.emulator.processes.children import SERVERS, ChildEvent, Children
from protoledger.emulator.virtual.links import NetworkFile, drawn_cuts
from protoledger.runtime.site import load

if TYPE_CHECKING:
    from protoledger.emulator.site_files import SiteFiles

NAME: Final = "relay"
SEGMENT: Final = 1448
"""Bytes that are lost or arrive together."""
RESEND_S: Final = 0.2
"""After which TCP sends again what was lost, and then after twice as long: Linux's least."""
MOST_RESENT: Final = 8
WAITING: Final = 512
"""Segments on the way in one direction of a connection; beyond them the sender waits."""
_PATIENCE_S: Final = 30.0
LOOPBACK: Final = "127.0.0.1"


class Line(msgspec.Struct, frozen=True):
    """One device's way to one server."""

    device: str
    host: str
    port: int


class RelayPlan(msgspec.Struct, frozen=True):
    """What the relay's process gets when it starts."""

    lines: list[Line]
    delay_ms: float
    jitter_ms: float
    loss: float
    cuts: list[tuple[float, float, list[str]]]
    seed: int


def start_relay(
    children: Children, folder: Path, settings: NetworkFile, lines: Sequence[Line], seed: int
) -> list[int]:
    """Start the relay's process; returns the port of each line, on the loopback interface.

    Raises:
        ConfigurationError: the file names a device that does not exist.
        EmulatorError: the process does not start.
    """
    devices = list(dict.fromkeys(line.device for line in lines))
    cuts = drawn_cuts(settings, devices, random.Random(f"network {seed}"))  # noqa: S311 - weather
    plan = RelayPlan(
        list(lines),
        settings.delay_ms,
        settings.jitter_ms,
        settings.loss,
        [(cut.from_s, cut.to_s, sorted(those)) for cut, those in cuts],
        seed,
    )
    file = folder / "relay.json"
    file.write_bytes(msgspec.json.encode(plan))
    children.start(NAME, [sys.executable, "-m", __name__, file], layer=SERVERS)
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        event = children.wait_any(0.5)
        if isinstance(event, ChildEvent) and event.data.get("event") == "ports":
            return msgspec.convert(event.data["ports"], list[int])
    raise EmulatorError(f"the relay named no ports within {_PATIENCE_S:.0f} s")


def server_of(url: object) -> tuple[str, int] | None:
    """Return host and port of a node on this machine that is not encrypted; None for another."""
    parts = urlsplit(str(url))
    if parts.scheme not in {"http", "ws"} or parts.hostname != LOOPBACK or parts.port is None:
        return None
    return parts.hostname, parts.port


def by_way_of(url: object, port: int) -> str:
    """Return the same address at a port of the relay.

    >>> by_way_of("http://127.0.0.1:8545/x", 4000)
    'http://127.0.0.1:4000/x'
    """
    return urlsplit(str(url))._replace(netloc=f"{LOOPBACK}:{port}").geturl()


class RealNetwork:
    """The network file of an emulation whose devices are processes.

    Args:
        file: the network file.
        sites: whose devices are led through it.
        seed: of what happens by chance.

    Attributes:
        nodes: by site, the part of its gateway's `ledger:` that names nodes, once it has started.
        longest_cut_s: for which nothing may happen.

    Raises:
        ConfigurationError: the file has errors, or names a device that does not exist.
    """

    def __init__(self, file: Path, sites: Sequence["SiteFiles"], seed: int) -> None:
        self._settings, self._sites, self._seed = load(file, NetworkFile), sites, seed
        self._devices = [device for site in sites for device in (site.gateway, *site.agents)]
        drawn_cuts(self._settings, self._devices, random.Random(seed))  # noqa: S311 - weather
        self.longest_cut_s = max((cut.to_s - cut.from_s for cut in self._settings.cuts), default=0)
        self.nodes: list[dict[str, object]] = []

    def start(
        self,
        children: Children,
        folder: Path,
        broker: tuple[str, int],
        nodes: Sequence[Mapping[str, object]],
    ) -> dict[str, int]:
        """Start the relay; returns each device's port for the broker.

        Args:
            children: starts its process.
            folder: for its plan.
            broker: host and port.
            nodes: by site, what `nodes` would say without the relay.
        """
        lines = [Line(device, *broker) for device in self._devices]
        led = [
            (number, key, url, server)
            for number, named in enumerate(nodes)
            for key, url in named.items()
            if (server := server_of(url)) is not None
        ]
        lines += [Line(self._sites[number].gateway, *server) for number, _, _, server in led]
        ports = start_relay(children, folder, self._settings, lines, self._seed)
        self.nodes = [dict(named) for named in nodes]
        for (number, key, url, _), port in zip(led, ports[len(self._devices) :], strict=True):
            self.nodes[number][key] = by_way_of(url, port)
        return dict(zip(self._devices, ports, strict=False))


class _Relay:
    """All lines of a plan; `began` is when the first device connected."""

    def __init__(self, plan: RelayPlan) -> None:
        self._plan = plan
        self._random = random.Random(f"segments {plan.seed}")  # noqa: S311 - weather
        self._began: float | None = None
        self.resent = self.carried = self.connections = 0

    async def listen(self, line: Line) -> int:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                await self._connect(line, reader, writer)
            writer.close()

        server = await asyncio.start_server(accept, LOOPBACK, 0)
        return int(server.sockets[0].getsockname()[1])

    def _cut_left_s(self, device: str) -> float:
        """How long a device still reaches nobody."""
        loop_s = asyncio.get_running_loop().time()
        self._began = loop_s if self._began is None else self._began
        now = loop_s - self._began
        ends = [
            to_s for from_s, to_s, who in self._plan.cuts if device in who and from_s <= now < to_s
        ]
        return max(ends, default=now) - now

    async def _reach(self, device: str) -> None:
        if (left_s := self._cut_left_s(device)) > 0:
            await asyncio.sleep(left_s)
            await self._reach(device)  # another cut may follow

    async def _connect(
        self, line: Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await self._reach(line.device)
        there, back = await asyncio.open_connection(line.host, line.port)
        self.connections += 1
        ways = [
            asyncio.create_task(self._carry(line.device, reader, back)),
            asyncio.create_task(self._carry(line.device, there, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.close()

    async def _carry(
        self, device: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry one direction of a connection until its end has arrived."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING)
        deliver = asyncio.create_task(self._deliver(device, waiting, writer))
        loop, due = asyncio.get_running_loop(), 0.0
        try:
            while data := await reader.read(SEGMENT):
                due = max(due, loop.time() + self._wait_s())
                await waiting.put((due, data))
            await waiting.put((due, b""))
            await deliver
        finally:
            deliver.cancel()

    async def _deliver(
        self,
        device: str,
        waiting: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._reach(device)
            if not data:
                return
            self.carried += len(data)
            writer.write(data)
            await writer.drain()

    def _wait_s(self) -> float:
        """Draw how long a segment takes over a link, sent again as often as it is lost."""
        plan, chance = self._plan, self._random.random
        wait_s = (plan.delay_ms + plan.jitter_ms * chance()) / 1000
        for again in range(MOST_RESENT):
            if chance() >= plan.loss:
                break
            self.resent += 1
            wait_s += RESEND_S * 2**again
        return wait_s


def _tell(event: Mapping[str, object]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(event) + b"\n")
    sys.stdout.buffer.flush()


async def _serve(plan: RelayPlan) -> None:
    relay, stop = _Relay(plan), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    _tell({"event": "ports", "ports": [await relay.listen(line) for line in plan.lines]})
    await stop.wait()
    _tell(
        {
            "event": "network",
            "connections": relay.connections,
            "carried_bytes": relay.carried,
            "segments_sent_again": relay.resent,
        }
    )


if __name__ == "__main__":
    asyncio.run(_serve(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=RelayPlan)))
