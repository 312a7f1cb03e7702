"""A broker's evil twin: everything between clients and a real broker passes through its hands.

It reads MQTT packet by packet, records what is published in either direction, and hands each
message that is on its way to a client to `tamper`, which may change, drop, repeat or delay it. It
can also invent messages. What a client publishes reaches the broker as it is: to a client it makes
no difference on which side of the broker its enemy sits.

Messages that it invents, repeats or delays go out with QoS 0, so that packet ids stay the broker's.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

PUBLISH, PUBACK, CONNECT = 3, 4, 1


@dataclass(frozen=True)
class Seen:
    """A message as it passed: `client` is who sent it, or to whom it goes."""

    client: str
    outward: bool
    topic: str
    payload: bytes


@dataclass(frozen=True)
class Late:
    """Something that is delivered after some seconds."""

    topic: str
    payload: bytes
    delay_s: float = 0.0


Tamper = Callable[[str, str, bytes], list[Late] | None]
"""(client, topic, payload) to what is delivered instead; None: what came."""


@dataclass
class _Side:
    client: str = "?"
    five: bool = True
    writer: asyncio.StreamWriter | None = None


@dataclass
class Relay:
    """Listens on a free port of the loopback interface, in a thread of its own."""

    broker_port: int
    tamper: Tamper = lambda _client, _topic, _payload: None
    seen: list[Seen] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    port: int = 0

    def __post_init__(self):
        self._loop = asyncio.new_event_loop()
        self._sides = {}
        self._ready = threading.Event()
        self._tasks = set()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_error):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)

    def inject(self, client, topic, payload):
        """Deliver an invented message to a client; from any thread."""
        self._loop.call_soon_threadsafe(self._deliver, client, Late(topic, payload))

    def inject_bytes(self, client, data):
        """Write raw bytes into a client's connection; from any thread."""
        self._loop.call_soon_threadsafe(lambda: self._sides[client].writer.write(data))

    def cut(self, client):
        """Close a client's connection; from any thread."""
        self._loop.call_soon_threadsafe(self._sides[client].writer.close)

    def _run(self):
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self):
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(asyncio.CancelledError):
            await self._connect(reader, writer)

    async def _connect(self, reader, writer):
        try:
            broker = await asyncio.open_connection("127.0.0.1", self.broker_port)
        except OSError:
            writer.close()
            return
        side = _Side(writer=writer)
        pumps = [
            asyncio.create_task(self._pump(side, reader, broker[1], outward=True)),
            asyncio.create_task(self._pump(side, broker[0], writer, outward=False, back=broker[1])),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for one in (writer, broker[1]):
                one.close()

    async def _pump(self, side, reader, writer, *, outward, back=None):
        while True:
            first, body = await _packet(reader)
            if writer.is_closing():
                return
            kind = first >> 4
            if kind == CONNECT and outward:
                self._greet(side, body)
            if kind != PUBLISH:
                writer.write(_framed(first, body))
                continue
            qos = first >> 1 & 3
            topic, packet_id, payload = _split(body, qos, five=side.five)
            self.seen.append(Seen(side.client, outward, topic, payload))
            instead = None if outward else self._tampered(side.client, topic, payload)
            if instead is None:
                writer.write(_framed(first, body))
                continue
            if packet_id:
                back.write(bytes([PUBACK << 4, 2]) + packet_id)  # or the broker waits for ever
            for late in instead:
                if late.delay_s:
                    self._loop.call_later(late.delay_s, self._deliver, side.client, late)
                else:
                    self._deliver(side.client, late)

    def _tampered(self, client, topic, payload):
        try:
            return self.tamper(client, topic, payload)
        except Exception as error:  # noqa: BLE001 - the test is told, the relay goes on
            self.errors.append(error)
            return None

    def _greet(self, side, body):
        """Read protocol version and client id of a CONNECT."""
        name_end = 2 + int.from_bytes(body[:2], "big")
        side.five = body[name_end] == 5
        at = name_end + 4
        if side.five:
            size, used = _varint(body[at:])
            at += used + size
        side.client = body[at + 2 : at + 2 + int.from_bytes(body[at : at + 2], "big")].decode()
        self._sides[side.client] = side

    def _deliver(self, client, late):
        side = self._sides.get(client)
        if side is None or side.writer is None or side.writer.is_closing():
            return
        name = late.topic.encode()
        body = len(name).to_bytes(2, "big") + name + (b"\0" if side.five else b"") + late.payload
        side.writer.write(_framed(PUBLISH << 4, body))


async def _packet(reader):
    first = (await reader.readexactly(1))[0]
    size = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        size |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return first, await reader.readexactly(size)


def _framed(first, body):
    size, head = len(body), bytearray([first])
    while True:
        head.append(size & 127 | (128 if size > 127 else 0))
        size >>= 7
        if not size:
            return bytes(head) + body


def _varint(data):
    value = 0
    for index, byte in enumerate(data[:4]):
        value |= (byte & 127) << 7 * index
        if not byte & 128:
            return value, index + 1
    raise ValueError("no variable byte integer")


def _split(body, qos, *, five):
    at = 2 + int.from_bytes(body[:2], "big")
    topic = body[2:at].decode()
    packet_id = body[at : at + 2] if qos else b""
    at += len(packet_id)
    if five:
        size, used = _varint(body[at:])
        at += used + size
    return topic, packet_id, body[at:]
