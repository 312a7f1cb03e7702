"""Drives any number of links in one thread: a selector for their sockets, and a queue of events.

A process with a thousand agents uses one thread for all of them. Other threads, such as the
gateway's ledger client, post their events to the same queue. Only the thread that calls `wait`
handles events, so the state of agents and gateways needs no locks.
"""

import collections
import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import paho.mqtt.client as mqtt

from protoledger.runtime.mqtt.client import FIRST_RETRY_S, Link, LinkEvent

MISC_EVERY_S = 1.0
DRAIN_PASSES = 64

_Posted = TypeVar("_Posted")


class LinkLoop(Generic[_Posted]):
    """Drives links in the thread that calls `wait`; other threads may call `post`.

    Args:
        links: the links to drive; `wait` returns their events.
    """

    def __init__(self, links: list[Link]) -> None:
        self._links = links
        self._events: collections.deque[LinkEvent | _Posted] = collections.deque()
        self._selector = selectors.DefaultSelector()
        self._inbound, self._outbound = socket.socketpair()
        self._inbound.setblocking(False)
        self._outbound.setblocking(False)
        self._selector.register(self._inbound, selectors.EVENT_READ, None)
        self._tend_at = 0.0
        self._wanting_to_write: set[Link] = set()
        self._blocked: set[Link] = set()
        for link in links:
            link.attach(self._events.append, self._wire(link))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._selector.close()
        self._inbound.close()
        self._outbound.close()

    def post(self, event: _Posted) -> None:
        """Append an event of another kind to the queue; from any thread or signal handler."""
        self._events.append(event)
        with contextlib.suppress(OSError):  # the buffer is full: the loop will wake up anyway
            self._outbound.send(b"\0")

    def flush(self) -> None:
        """Write what was published, as far as the sockets take it; `wait` would do so first thing.

        For who has other work to do before: a message that waits keeps the one that it is for idle.
        """
        self._write_all()

    def wait(self, timeout_s: float | None) -> list[LinkEvent | _Posted]:
        """Serve the sockets until there are events or the time-out has passed; returns the events.

        All messages that have arrived are read before this returns. Otherwise a caller that was
        busy would count a deadline as missed although the answer is in a socket's buffer.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            self._tend()
            left_s = self._tend_at - time.monotonic()
            if until is not None:
                left_s = min(left_s, until - time.monotonic())
            served = self._select(0.0 if self._events else max(0.0, left_s))
            for _ in range(DRAIN_PASSES):
                if not served:
                    break
                served = self._select(0.0)
            if self._events or (until is not None and time.monotonic() >= until):
                # another thread may append at the same time: take as many as there are now
                return [self._events.popleft() for _ in range(len(self._events))]

    def _tend(self) -> None:
        """Keep connections alive, and connect at most one link, because connecting may block."""
        now = time.monotonic()
        if now < self._tend_at:
            return
        for link in self._links:
            if link.connected:
                link.client.loop_misc()
        due = next((link for link in self._links if link.due(now)), None)
        if due is not None:
            due.connect()
        if any(link.due(time.monotonic()) for link in self._links):
            self._tend_at = 0.0  # connect the next link at the next call
        else:
            connected = all(link.connected for link in self._links)
            self._tend_at = time.monotonic() + (MISC_EVERY_S if connected else FIRST_RETRY_S)

    def farewell(self, payload: bytes, timeout_s: float = 1.0) -> None:
        """Publish `payload` to the topic of each link's will, and disconnect; idempotent."""
        for link in self._links:
            link.publish(link.will_topic, payload, expiry_s=None)
        until = time.monotonic() + timeout_s
        while time.monotonic() < until and any(link.wants_write for link in self._links):
            self._select(0.05)
        for link in self._links:
            link.client.disconnect()
        while time.monotonic() < until and any(link.wants_write for link in self._links):
            self._select(0.05)

    def _select(self, timeout_s: float) -> bool:
        """Serve the sockets that are ready; returns whether any was."""
        self._write_all()
        ready = self._selector.select(timeout_s)
        for key, mask in ready:
            link: Link | None = key.data
            if link is None:
                with contextlib.suppress(BlockingIOError):
                    self._inbound.recv(4096)
                continue
            if mask & selectors.EVENT_READ:
                link.read()
            if mask & selectors.EVENT_WRITE:
                self._wanting_to_write.add(link)
        return bool(ready)

    def _write_all(self) -> None:
        """Write what waits; the selector watches only the sockets whose buffer is full."""
        while self._wanting_to_write:
            link = self._wanting_to_write.pop()
            sock = link.client.socket()
            if sock is None:
                continue
            link.client.loop_write()
            blocked = link.wants_write
            if blocked != (link in self._blocked) and link.client.socket() is sock:
                write = selectors.EVENT_WRITE if blocked else 0
                self._selector.modify(sock, selectors.EVENT_READ | write, link)
                (self._blocked.add if blocked else self._blocked.discard)(link)

    def _wire(self, link: Link) -> Callable[[mqtt.Client], None]:
        """Return the function that registers a link's new client with the selector."""

        def opened(_client: mqtt.Client, _data: Any, sock: Any) -> None:
            _disable_nagle(sock)
            self._selector.register(sock, selectors.EVENT_READ, link)

        def closed(_client: mqtt.Client, _data: Any, sock: Any) -> None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(sock)
            self._blocked.discard(link)

        def wanting(_client: mqtt.Client, _data: Any, _sock: Any) -> None:
            self._wanting_to_write.add(link)

        def wire(client: mqtt.Client) -> None:
            client.on_socket_open = opened
            client.on_socket_close = closed
            client.on_socket_register_write = wanting

        return wire


def _disable_nagle(sock: Any) -> None:
    # Nagle's algorithm together with delayed acknowledgements delays small messages by 40 ms.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
