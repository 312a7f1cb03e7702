"""The ledger client before nodes that mean it ill: slow, endless, and never to be asked again."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from protoledger.contracts.client.node import Node
from protoledger.contracts.client.refusals import refused_by_http
from protoledger.contracts.errors import (
    ChainUnreachableError,
    NonsenseError,
    RateLimitedError,
)
from protoledger.gateway.ledger.events import LedgerFailed
from tests.support.faulty_node import FaultyNode, Raw
from tests.support.ledgers import ALICE, Site, book

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"


class Dripping:
    """Answers each request with some bytes at once, and then with one now and then, for ever."""

    def __init__(self, at_once: bytes) -> None:
        self._at_once, self._stop = at_once, threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._drip, args=(connection,), daemon=True).start()

    def _drip(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.recv(65_536)
            connection.sendall(self._at_once)
            while not self._stop.wait(0.1):
                connection.sendall(b" ")

    def close(self) -> None:
        self._stop.set()
        self._server.close()


@pytest.fixture(params=[HEAD, b"HTTP/1.1 200 OK\r\nx: "], ids=["body", "headers"])
def dripping(request: pytest.FixtureRequest) -> Iterator[Dripping]:
    server = Dripping(request.param)
    yield server
    server.close()


def test_an_answer_byte_by_byte_ends(dripping: Dripping) -> None:
    """Each byte is in time, and the whole would last for hours."""
    node, began = Node(dripping.url, 1.0), time.monotonic()
    with pytest.raises(ChainUnreachableError):
        node.chain_id()
    assert time.monotonic() - began < 60
    node.close()


def test_a_dripping_node_is_left_for_the_next(
    sites: tuple[Site, Site], dripping: Dripping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protoledger.contracts.client.nodes._TIMEOUT_S", 2.0)
    alice, _ = sites
    with alice.ledger(rpc_url=dripping.url, rpc_urls=[alice.anvil.url]) as writer:
        writer.submit(book(1))
        assert writer.flush(60)
    assert not alice.count(LedgerFailed)


@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_call"])
def test_an_answer_that_would_fill_a_small_machine_is_refused(
    sites: tuple[Site, Site], proxy: FaultyNode, method: str
) -> None:
    alice, _ = sites
    lists = b'{"jsonrpc": "2.0", "id": 1, "result": [' + b"[]," * 2_000_000 + b"[]]}"
    proxy.by_order = lambda asked, *_: Raw(lists) if asked == method else None
    node = Node(proxy.url)
    with pytest.raises(NonsenseError, match="more than"):
        node.block("latest") if method == "eth_getBlockByNumber" else node.call(
            alice.deployment.buffer, b"", alice.address
        )
    node.close()


def test_events_that_are_too_many_for_one_answer_are_asked_for_in_parts(
    sites: tuple[Site, Site], proxy: FaultyNode
) -> None:
    alice, bob = sites
    with alice.ledger() as writer:
        for seed in range(1, 5):
            writer.submit(book(seed))
            assert writer.flush(60)

    def padded(method: str, params: list[Any], _forward: Callable[..., Any]) -> Any:
        if method != "eth_getLogs" or params[0]["fromBlock"] == params[0]["toBlock"]:
            return None
        return Raw(b'{"jsonrpc": "2.0", "id": 1, "result": []}' + b" " * 9_000_000)

    proxy.by_order = padded
    with bob.ledger(rpc_url=proxy.url):
        bob.sees(ALICE, book(4))


@pytest.mark.parametrize("told", ["99999", "999999999", "0", "-1", "1e9", "Fri, 31 Dec 9999"])
def test_nobody_is_told_to_wait_for_days(told: str) -> None:
    error = refused_by_http("eth_call", 429, told, b"")
    assert isinstance(error, RateLimitedError)
    assert (error.retry_after_s or 0) <= 300


def test_a_gas_estimate_without_an_end_sends_nothing(
    sites: tuple[Site, Site], proxy: FaultyNode
) -> None:
    """No block could hold it, and the account would have to have the money for it."""
    alice, _ = sites
    sent = list[str]()

    def greedy(method: str, params: list[Any], _forward: Callable[..., Any]) -> Any:
        if method == "eth_estimateGas":
            return {"result": hex(2**62)}
        if method == "eth_sendRawTransaction":
            sent.append(params[0])
        return None

    proxy.by_order = greedy
    with alice.ledger(rpc_url=proxy.url) as writer:
        writer.submit(book(1))
        time.sleep(1)
        assert not sent
        proxy.by_order = None
        assert writer.flush(60)
