"""What a ledger client spends on so many owners' commits: all at once when it is new, and later.

The chain is a local Anvil, the client the gateway's own with its store. CPU time is that of this
process while only the client runs; the node's is not in it.
"""

from __future__ import annotations

import queue
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from protoledger.contracts.client.account import Account
from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.client.deployment import Deployment, Sender, deploy
from protoledger.contracts.client.heads import Head
from protoledger.contracts.keys import address_of, create_key, load_key
from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.ledger.client import Ledger
from protoledger.gateway.ledger.config import LedgerConfig
from protoledger.gateway.ledger.events import CodebookChanged, LedgerEvent, LedgerFailed

if TYPE_CHECKING:
    from protoledger.contracts.tools.local_node import LocalNode

LABELS: Final = 4
GAS_LIMIT: Final = 4_000_000
LATER: Final = 100
"""Owners that commit once more, at most."""
_PATIENCE_S: Final = 300.0


class BenchmarkError(RuntimeError):
    """What is to be measured did not work."""


def of_following(chain: LocalNode, owners: int, prototypes: int, features: int) -> dict[str, float]:
    """Return what a new client spends until it has all codebooks, and then on a commit."""
    random = np.random.default_rng(owners)
    keys = [bytes([0] * 27 + [0x6D]) + number.to_bytes(4, "big") for number in range(owners)]
    accounts = [Account(key) for key in keys]
    with tempfile.TemporaryDirectory(prefix="protoledger-scale-") as name:
        folder = Path(name)
        reader = address_of(create_key(folder / "reader.key"))
        admin = load_key_of(folder / "admin.key")
        chain.fund(address_of(admin), reader, *(account.address for account in accounts))
        made = deploy(
            chain.url, admin, bytes(32), features, LABELS, [reader, *(a.address for a in accounts)]
        )
        empty = Codebook.empty(RecordFormat(features, LABELS))
        books = [empty] * owners
        gas = _commit(chain, made, accounts, books, _books(random, owners, prototypes, features))
        new = _follow(chain, made, folder, (features, LABELS), owners)
        some = min(owners, LATER)
        _commit(
            chain,
            made,
            accounts[:some],
            books,
            _books(random, some, prototypes, features),
            version=2,
        )
        later = _follow(chain, made, folder, (features, LABELS), some, version=2)
        return {
            "follow_cpu_ms": new[0],
            "follow_s": new[1],
            "commit_cpu_ms": later[0] / some,
            "store_kb": (folder / "reader.db").stat().st_size / 1000,
            "gas": gas,
        }


def load_key_of(file: Path) -> bytes:
    """Make a key file and return the key."""
    create_key(file)
    return load_key(file)


def _books(
    random: np.random.Generator, owners: int, prototypes: int, features: int
) -> list[Codebook]:
    return [
        Codebook.from_prototypes(
            np.arange(prototypes),
            random.integers(0, LABELS, prototypes),
            random.integers(1, 200, prototypes),
            random.random((prototypes, features)),
            labels=LABELS,
        )
        for _ in range(owners)
    ]


def _commit(
    chain: LocalNode,
    made: Deployment,
    accounts: list[Account],
    books: list[Codebook],
    wanted: list[Codebook],
    version: int = 1,
) -> float:
    """Let each owner commit; returns the gas of a commit, in the mean."""
    buffer, gas = Buffer(made.buffer), 0
    senders = list[Sender]()
    for at, (account, book) in enumerate(zip(accounts, wanted, strict=True)):
        delta = books[at].delta_to(book)
        books[at] = books[at].apply(delta)
        head = Head(books[at].state_hash(), version, len(books[at]), 1, "active")
        senders.append(Sender(chain.node, account))
        senders[-1].send(buffer.address, buffer.commit(head, delta), GAS_LIMIT)
    for sender in senders:
        gas += sum(receipt.gas_used for receipt in sender.wait(_PATIENCE_S))
    return gas / len(senders)


def _follow(
    chain: LocalNode,
    made: Deployment,
    folder: Path,
    size: tuple[int, int],
    owners: int,
    version: int = 1,
) -> tuple[float, float]:
    """Run a client until it has so many codebooks of a version: CPU milliseconds, and seconds."""
    config = LedgerConfig.model_validate(
        {
            "rpc_url": chain.url,
            "chain_id": made.chain_id,
            "contract": made.buffer,
            "genesis_hash": made.genesis_hash,
            "key_file": folder / "reader.key",
            "confirmations": 0,
            "poll_s": 0.2,
        }
    )
    events: queue.SimpleQueue[LedgerEvent] = queue.SimpleQueue()
    began, cpu = time.monotonic(), time.process_time()
    with Ledger(config, folder / "reader.db", bytes(32), *size, events.put):
        left = owners
        while left:
            event = events.get(timeout=_PATIENCE_S)
            if isinstance(event, LedgerFailed):
                raise BenchmarkError(f"the ledger client: {event.reason}")
            left -= isinstance(event, CodebookChanged) and event.version == version
        return (time.process_time() - cpu) * 1000, time.monotonic() - began
