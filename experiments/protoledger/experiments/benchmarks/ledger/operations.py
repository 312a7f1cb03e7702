"""What single operations cost in gas, and how fast the ledger client is, on a running node."""

from __future__ import annotations

import queue
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from protoledger.contracts.client.account import Account
from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.client.deployment import Sender, deploy
from protoledger.contracts.client.heads import Head
from protoledger.contracts.keys import address_of
from protoledger.experiments.benchmarks.ledger.replay import GAS_LIMIT, KEYS
from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.ledger.client import Ledger
from protoledger.gateway.ledger.config import LedgerConfig
from protoledger.gateway.ledger.events import (
    CodebookChanged,
    LedgerAvailable,
    LedgerEvent,
    LedgerFailed,
)

if TYPE_CHECKING:
    from protoledger.contracts.tools.local_node import LocalNode

SIZES = ((11, 2), (20, 2), (70, 9), (125, 18))
LABELS = 7
TOLERANCE = float(LedgerConfig.model_fields["tolerance"].get_default())
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Operation:
    """Gas of one operation on a codebook of so many prototypes with so many features."""

    name: str
    prototypes: int
    features: int
    gas: int


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast the client is on one node.

    Attributes:
        chain: the node's name.
        hinted: whether the clients listened to its WebSocket.
        commits_per_second: of one gateway that commits again as soon as it may.
        merged_ms: median time from `submit` to another gateway's event with the copy.
        merged_p95_ms: its 95th percentile.
    """

    chain: str
    hinted: bool
    commits_per_second: float
    merged_ms: float
    merged_p95_ms: float


def operations(chain: LocalNode) -> list[Operation]:
    """Measure each operation at each of `SIZES`."""
    return [each for size in SIZES for each in _operations(chain, *size)]


def _operations(chain: LocalNode, prototypes: int, features: int) -> list[Operation]:
    owner, gateway = Account(KEYS[-1]), Account(KEYS[0])
    made = deploy(chain.url, KEYS[-1], bytes(32), features, LABELS, [])
    buffer, admin = Buffer(made.buffer), Sender(chain.node, owner)
    sender = Sender(chain.node, gateway)

    def send(by: Sender, call: bytes, *, limit: int = GAS_LIMIT) -> int:
        by.send(buffer.address, call, limit)
        return by.wait()[0].gas_used

    def commit(version: int, base: Codebook, wanted: Codebook, tolerance: float) -> int:
        delta = base.delta_to(wanted, tolerance=tolerance)
        after = base.apply(delta)
        books.append(after)
        head = Head(after.state_hash(), version + 1, len(after), 1, "active")
        return send(sender, buffer.commit(head, delta))

    random = np.random.default_rng(1)
    books = [Codebook.empty(RecordFormat(features, LABELS))]
    grant = send(admin, buffer.encode("addGateways", [gateway.address]))
    first = commit(0, books[-1], _book(prototypes, features, random), TOLERANCE)
    tenths = [
        commit(number, books[-1], _nudged(books[-1], random), TOLERANCE) for number in range(1, 6)
    ]
    exact = commit(6, books[-1], _nudged(books[-1], random), 0.0)
    snapshot = books[-1].encode()
    checkpoint = send(sender, buffer.encode("checkpoint", gateway.address, snapshot))
    read = buffer.encode("record", gateway.address, prototypes - 1, 0)
    return [
        Operation(name, prototypes, features, gas)
        for name, gas in (
            ("grant", grant),
            ("first commit", first),
            ("update of a tenth", round(median(tenths))),
            ("update of a tenth, exact", exact),
            ("checkpoint", checkpoint),
            ("read one record", chain.node.estimate_gas(owner.address, buffer.address, read)),
        )
    ]


def _book(prototypes: int, features: int, random: np.random.Generator) -> Codebook:
    return Codebook.from_prototypes(
        np.arange(prototypes),
        random.integers(0, LABELS, prototypes),
        random.integers(1, 200, prototypes),
        random.random((prototypes, features)),
        labels=LABELS,
    )


def _nudged(book: Codebook, random: np.random.Generator) -> Codebook:
    """Move a tenth of the prototypes by a twentieth of the range, as learning does."""
    features, weights = book.features(), book.weights
    rows = random.choice(len(book), -(-len(book) // 10), replace=False)
    features[rows] = np.abs(features[rows] - 0.05)
    weights[rows] += 3
    return Codebook.from_prototypes(book.ids, book.classes, weights, features, labels=LABELS)


def speed(chain: LocalNode, commits: int = 40, *, hinted: bool = False) -> Speed:
    """Let one gateway commit and another follow, both as real ledger clients.

    Args:
        chain: the node; the benchmark's keys must have money there.
        commits: how many, twice.
        hinted: whether they listen to the node's WebSocket, besides polling every 0.2 s.

    Raises:
        TimeoutError: a commit did not arrive within 30 s.
    """
    pair = KEYS[:2]
    made = deploy(chain.url, KEYS[-1], bytes(32), 9, LABELS, [address_of(key) for key in pair])
    random = np.random.default_rng(2)
    books = [_book(20, 9, random) for _ in range(2 * commits)]
    with tempfile.TemporaryDirectory(prefix="protoledger-bench-") as name:
        arrived: queue.SimpleQueue[LedgerEvent] = queue.SimpleQueue()
        own: queue.SimpleQueue[LedgerEvent] = queue.SimpleQueue()
        clients = []
        for key, events in zip(pair, (own, arrived), strict=True):
            folder = Path(name) / address_of(key)
            folder.mkdir()
            file = folder / "key"
            file.touch(mode=0o600)
            file.write_text(key.hex(), encoding="utf-8")
            config = LedgerConfig(
                rpc_url=chain.url,
                ws_url=chain.ws_url if hinted else None,
                chain_id=made.chain_id,
                contract=made.buffer,
                key_file=file,
            )
            database = folder / "ledger.db"
            clients.append(Ledger(config, database, bytes(32), 9, LABELS, events.put))
        with clients[0] as writer, clients[1]:
            _await(own, LedgerAvailable)
            _await(arrived, LedgerAvailable)
            waits = [_merged(writer, arrived, book) for book in books[:commits]]
            began = time.monotonic()
            for book in books[commits:]:
                writer.submit(book)
                if not writer.flush(_PATIENCE_S):
                    raise TimeoutError(f"a commit did not land on {chain.kind} in {_PATIENCE_S} s")
            rate = commits / (time.monotonic() - began)
    low, high = np.percentile(waits, [50, 95])
    return Speed(chain.kind, hinted, rate, 1000 * float(low), 1000 * float(high))


def _merged(writer: Ledger, arrived: queue.SimpleQueue[LedgerEvent], book: Codebook) -> float:
    began = time.monotonic()
    writer.submit(book)
    _await(arrived, CodebookChanged)
    return time.monotonic() - began


def _await(events: queue.SimpleQueue[LedgerEvent], kind: type[LedgerEvent]) -> None:
    while True:
        try:
            event = events.get(timeout=_PATIENCE_S)
        except queue.Empty as error:
            raise TimeoutError(f"no {kind.__name__} within {_PATIENCE_S} s") from error
        if isinstance(event, LedgerFailed):
            raise TimeoutError(event.reason)
        if isinstance(event, kind):
            return
