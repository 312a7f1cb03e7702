"""A JSON-RPC proxy before a real node that errs as real nodes do, at random or by order.

It lags, limits, prunes, loses connections, answers with other shapes and with errors after it has
passed a transaction on. Everything that it lets through is the real node's answer. Seeded, so that
a run can be repeated; counted, so that a test can say what it survived.
"""

from __future__ import annotations

import json
import random
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Answer = dict[str, Any]
Forward = Callable[..., Answer]


class Raw:
    """An answer in bytes, with HTTP's status and headers; None closes the connection instead."""

    def __init__(self, body: bytes | None, status: int = 200, **headers: str) -> None:
        self.body, self.status, self.headers = body, status, headers


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients hang up and are killed; that is no news."""


Fault = Callable[[str, list[Any], Forward], Answer | Raw | None]
_DEEP = b"[" * 100_000


class FaultyNode:
    """Use it as a context manager; its faults are attributes that may change while it runs.

    Args:
        upstream: the real node.
        rate: share of requests that a random fault hits.
        seed: of the random faults.

    Attributes:
        url: where it answers.
        rate: see above.
        by_order: called for every request before chance is; its answer, if any, is given.
        most_blocks: larger ranges of `eth_getLogs` are refused.
        calls: requests by method.
        faults: faults by name.
    """

    def __init__(self, upstream: str, rate: float = 0.0, seed: int = 1) -> None:
        self._upstream, self._random = upstream, random.Random(seed)
        self.rate, self.by_order, self.most_blocks = rate, None, 0
        self.calls: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._lock, self._lagging = threading.Lock(), 0
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    by_order: Fault | None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def forward(self, method: str, params: list[Any]) -> Answer:
        """Ask the real node; gives its answer without the envelope."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        request = urllib.request.Request(
            self._upstream, body.encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as found:
            answer = json.load(found)
        return {key: value for key, value in answer.items() if key in {"result", "error"}}

    def _answer(self, method: str, params: list[Any]) -> Answer | Raw:
        def forward(as_method: str = method, as_params: list[Any] | None = None) -> Answer:
            return self.forward(as_method, params if as_params is None else as_params)

        with self._lock:
            self.calls[method] += 1
            hit = self._random.random() < self.rate
            name, fault = self._random.choice(list(_FAULTS.items()))
        if self.by_order is not None:
            ordered = self.by_order(method, params, forward)
            if ordered is not None:
                return ordered
        if self.most_blocks and method == "eth_getLogs" and _blocks(params[0]) > self.most_blocks:
            self._count("range")
            return _error(-32005, "Requested range exceeds maximum RPC range limit")
        if hit and (found := fault(method, params, forward)) is not None:
            self._count(name)
            return found
        return forward()

    def _count(self, name: str) -> None:
        with self._lock:
            self.faults[name] += 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Headers and body are written apart: the second would wait 40 ms for the first's
            # acknowledgement.
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                try:
                    asked = json.loads(body)
                except ValueError:  # the client was killed while it asked
                    self.close_connection = True
                    return
                try:
                    answer = node._answer(asked["method"], asked["params"])
                except OSError as error:
                    answer = Raw(str(error).encode(), 502)
                if isinstance(answer, dict):
                    envelope = {"jsonrpc": "2.0", "id": asked["id"]} | answer
                    answer = Raw(json.dumps(envelope).encode())
                if answer.body is None:
                    self.close_connection = True
                    return
                try:
                    self.send_response(answer.status)
                    for key, value in answer.headers.items():
                        self.send_header(key.replace("_", "-"), value)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)
                except OSError:
                    self.close_connection = True

        return Handler


def _error(code: object, text: str) -> Answer:
    return {"error": {"code": code, "message": text}}


def _blocks(wanted: dict[str, str]) -> int:
    return int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) + 1


def _forwarded_then(answer: Answer | Raw) -> Fault:
    """The node does what it is asked, and answers otherwise."""

    def fault(_method: str, _params: list[Any], forward: Forward) -> Answer | Raw:
        forward()
        return answer

    return fault


def _always(answer: Answer | Raw) -> Fault:
    return lambda _method, _params, _forward: answer


def _only(methods: set[str], fault: Fault) -> Fault:
    """None for other methods: there the fault does not exist."""
    return lambda method, params, forward: (
        fault(method, params, forward) if method in methods else None
    )


def behind(blocks: int) -> Fault:
    """A replica that is some blocks behind, in every answer."""

    def fault(method: str, params: list[Any], forward: Forward) -> Answer | None:
        newest = max(0, int(forward("eth_blockNumber", [])["result"], 16) - blocks)
        answer = _LATE.get(method)
        return None if answer is None else answer(newest, method, params, forward)

    return fault


def _late_block(newest: int, method: str, params: list[Any], forward: Forward) -> Answer | None:
    if params[0] == "latest":
        return forward(method, [hex(newest), False])
    past = params[0].startswith("0x") and int(params[0], 16) > newest
    return {"result": None} if past else None


def _late_receipt(newest: int, _method: str, _params: list[Any], forward: Forward) -> Answer:
    found = forward()
    receipt = found.get("result")
    late = receipt is not None and int(receipt["blockNumber"], 16) > newest
    return {"result": None} if late else found


def _late_logs(newest: int, method: str, params: list[Any], forward: Forward) -> Answer:
    last = min(int(params[0]["toBlock"], 16), newest)
    if int(params[0]["fromBlock"], 16) > last:
        return {"result": []}
    return forward(method, [params[0] | {"toBlock": hex(last)}])


def _late_state(newest: int, method: str, params: list[Any], forward: Forward) -> Answer | None:
    at = params[-1]
    if at == "latest":
        return forward(method, [*params[:-1], hex(newest)])
    if isinstance(at, str) and at.startswith("0x") and int(at, 16) > newest:
        return _error(-32000, "header not found")
    return None


_LATE: dict[str, Callable[..., Answer | None]] = {
    "eth_blockNumber": lambda newest, *_: {"result": hex(newest)},
    "eth_getBlockByNumber": _late_block,
    "eth_getTransactionReceipt": _late_receipt,
    "eth_getLogs": _late_logs,
    "eth_call": _late_state,
    "eth_getCode": _late_state,
    "eth_getTransactionCount": _late_state,
    "eth_estimateGas": _late_state,
}


def syncing(method: str, params: list[Any], forward: Forward) -> Answer | None:
    """A node that begins again from block 0, and says that it does."""
    if method == "eth_syncing":
        return {"result": {"startingBlock": "0x0", "currentBlock": "0x0", "highestBlock": "0x9"}}
    if method == "eth_getBlockByNumber":
        if params[0] in {"latest", "0x0"}:
            return forward(method, ["0x0", False])
        return {"result": None}
    if method in {"eth_getCode", "eth_call"}:
        return {"result": "0x"}
    if method == "eth_getTransactionCount":
        return {"result": "0x0"}
    return {"result": []} if method == "eth_getLogs" else None


def _without_one(_method: str, _params: list[Any], forward: Forward) -> Answer | None:
    found = forward()
    logs = found.get("result")
    return {"result": logs[:-1]} if logs else None


def _misshapen(change: Callable[[dict[str, Any]], None]) -> Fault:
    def fault(_method: str, _params: list[Any], forward: Forward) -> Answer | None:
        found = forward()
        if not found.get("result"):
            return None
        for log in found["result"]:
            change(log)
        return found

    return fault


_LOGS, _SEND = {"eth_getLogs"}, {"eth_sendRawTransaction"}
_READS = {"eth_getBlockByNumber", "eth_getTransactionReceipt", "eth_call", "eth_getCode"}
_FAULTS: dict[str, Fault] = {
    "connection closed": _always(Raw(None)),
    "closed after it was done": _forwarded_then(Raw(None)),
    "HTTP 429": _always(Raw(b"slow down", 429, retry_after="1")),
    "HTTP 500": _always(Raw(b"oops", 500)),
    "HTTP 504 after it was done": _forwarded_then(Raw(b"", 504)),
    "HTML": _always(Raw(b"<html>502 Bad Gateway</html>")),
    "cut JSON": _always(Raw(b'{"jsonrpc": "2.0", "id": 1, "resu')),
    "a list": _always(Raw(b"[1, 2]")),
    "deep JSON": _always(Raw(_DEEP)),
    "a number": _always({"result": 5}),
    "null": _only(_READS | _LOGS, _always({"result": None})),
    "empty bytes": _only({"eth_call", "eth_getCode"}, _always({"result": "0x"})),
    "error, code a word": _always(_error("RATE_LIMITED", "slow down")),
    "error, code null": _always(_error(None, "rate limit")),
    "internal error after it was done": _forwarded_then(_error(-32603, "internal error")),
    "limit exceeded": _always(_error(-32005, "limit exceeded")),
    "no logs": _only(_LOGS, _always({"result": []})),
    "one log too few": _only(_LOGS, _without_one),
    "log without block hash": _only(_LOGS, _misshapen(lambda log: log.pop("blockHash"))),
    "log without number": _only(_LOGS, _misshapen(lambda log: log.update(blockNumber=None))),
    "log with cut data": _only(_LOGS, _misshapen(lambda log: log.update(data=log["data"][:70]))),
    "one block behind": behind(1),
    "three blocks behind": behind(3),
    "syncing": syncing,
    "transaction dropped": _only(_SEND, _always({"result": "0x" + "ab" * 32})),
    "pool full": _only(_SEND, _always(_error(-32000, "txpool is full"))),
}
