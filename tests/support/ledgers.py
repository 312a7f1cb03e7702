"""Ledger clients for tests: a site with its key, database and the events that it was told."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from protoledger.contracts.client.account import Account
from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.client.deployment import Deployment, Sender, deploy
from protoledger.contracts.client.heads import Head
from protoledger.contracts.client.node import Node
from protoledger.contracts.keys import address_of
from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.ledger.client import Ledger
from protoledger.gateway.ledger.config import LedgerConfig
from protoledger.gateway.ledger.events import CodebookChanged, LedgerEvent
from tests.support import chain

SCHEMA = bytes(range(32))
OWNER, ALICE, BOB, STRANGER = (bytes.fromhex(key) for key in chain.KEYS)
T = TypeVar("T")
FORM = RecordFormat(2, 3)


def book(seed: int, size: int = 11) -> Codebook:
    random = np.random.default_rng(seed)
    return Codebook.from_prototypes(
        random.choice(60, size, replace=False),
        random.integers(0, 3, size),
        random.integers(1, 500, size),
        random.normal(0.5, 0.5, (size, 2)),
        labels=3,
    )


@dataclass
class Site:
    """A ledger client with its events and files."""

    anvil: chain.Chain
    deployment: Deployment
    folder: Path
    key: bytes
    events: list[LedgerEvent] = field(default_factory=list)

    @property
    def address(self) -> str:
        return address_of(self.key)

    def config(self, **changes: object) -> LedgerConfig:
        key_file = self.folder / f"{self.address}.key"
        if not key_file.exists():
            key_file.touch(mode=0o600)
            key_file.write_text(self.key.hex())
        values = {
            "rpc_url": self.anvil.url,
            "chain_id": self.deployment.chain_id,
            "contract": self.deployment.buffer,
            "key_file": key_file,
            "poll_s": 0.05,
            "contradiction_s": 0.3,
            "tolerance": 0.0,  # so that what arrives is what was submitted
            "weight_ratio": 1.0,
        }
        return LedgerConfig.model_validate(values | changes)

    def ledger(self, database: str = "", schema: bytes = SCHEMA, **changes: object) -> Ledger:
        path = self.folder / (database or f"{self.address}.db")
        return Ledger(self.config(**changes), path, schema, 2, 3, self.events.append)

    def wait(self, kind: type[T], wanted: Callable[[T], bool] = lambda _: True) -> T:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for event in list(self.events):
                if isinstance(event, kind) and wanted(event):
                    return event
            time.sleep(0.01)
        raise AssertionError(f"no {kind.__name__} among {self.events}")

    def sees(self, owner: bytes, expected: Codebook) -> CodebookChanged:
        return self.wait(
            CodebookChanged, lambda e: e.owner == address_of(owner) and e.codebook == expected
        )

    def count(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.events)


def leading_to(codebook: Codebook, version: int, epoch: int = 1) -> Head:
    """The head that a commit of a codebook offers."""
    return Head(codebook.state_hash(), version, len(codebook), epoch, "active")


def deployed(anvil: chain.Chain, *keys: bytes) -> Deployment:
    return deploy(anvil.url, OWNER, SCHEMA, 2, 3, [address_of(key) for key in keys])


def send(site: Site, key: bytes, call: bytes) -> None:
    """Send a call to the buffer with a key, past the client."""
    node = Node(site.anvil.url)
    sender = Sender(node, Account(key))
    sender.send(site.deployment.buffer, call, 1_000_000)
    sender.wait()
    node.close()


def lie(alice: Site) -> Buffer:
    """Alice commits a book, then a delta that does not lead where she claims, then another."""
    buffer, first = Buffer(alice.deployment.buffer), book(1)
    delta = Codebook.empty(FORM).delta_to(first)
    send(alice, ALICE, buffer.commit(leading_to(first, 1), delta))
    send(alice, ALICE, buffer.commit(leading_to(book(7), 2), b"\0\1\xff"))
    send(alice, ALICE, buffer.commit(leading_to(book(8), 3), b"\0\1\xff"))
    return buffer


def until(found: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


class Once:
    """Gives a fault the next time that it has something to do, and then none any more."""

    def __init__(self, fault: Callable[..., Any]) -> None:
        self.fault, self.armed, self.hits = fault, False, 0

    def __call__(self, method: str, params: list[Any], forward: Callable[..., Any]) -> Any:
        answer = self.fault(method, params, forward) if self.armed else None
        if answer is not None:
            self.armed, self.hits = False, self.hits + 1
        return answer


def no_logs(method: str, _params: list[Any], forward: Callable[..., Any]) -> Any:
    """An empty answer where there are events."""
    if method == "eth_getLogs" and forward()["result"]:
        return {"result": []}
    return None


def first_commit(site: Site) -> bytes:
    delta = Codebook.empty(FORM).delta_to(book(1))
    return Buffer(site.deployment.buffer).commit(leading_to(book(1), 1), delta)
