"""Whole runs on a node: the streams of the paper learnt by 1–4 gateways that share by commits.

Source: Beis-Penedo et al. (arXiv 2311.14136), whose own contracts and flow were measured on the
same streams: the rows go to the gateways in turn, and after every 15 rows a gateway decides whether
to commit. Here a gateway is the `SiteModel` that a real one runs, with the ledger's default
configuration; every commit is a real transaction. Only the MQTT side and the client's thread are
left out, because they cost no gas.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from protoledger.contracts.client.account import Account
from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.client.deployment import Sender, deploy
from protoledger.contracts.client.heads import Head
from protoledger.emulator.sources.packaged import read_packaged
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.codebook.delta import worth_it
from protoledger.gateway.ledger.config import LedgerConfig, default_records
from protoledger.gateway.training.model import SiteModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from protoledger.contracts.client.node import Node
    from protoledger.contracts.tools.local_node import LocalNode
    from protoledger.gateway.config import TestName

TESTS: Final[dict[str, TestName]] = {"limited": "e-process", "unlimited": "always"}
Mode = Literal["limited", "unlimited"]
ROWS_A_ROUND = 15
UNLIMITED_LEAST = 13  # `least_records` where no test decides
GAS_LIMIT = 16_777_216
KEYS = tuple(bytes([0] * 30 + [0x6C, number]) for number in range(1, 6))  # worth nothing


@dataclass(frozen=True, slots=True)
class Run:
    """What one replay came to.

    Attributes:
        data: name of the stream.
        mode: `limited` by the commit test, or `unlimited`.
        gateways: how many shared.
        commits: of all gateways.
        median_commit_gas: over all commits.
        total_gas: of all commits.
        accuracy: of the last models on the whole stream, mean over gateways: the measure that the
            authors' figures are in.
        prequential_accuracy: each row predicted before it was learnt: harder.
        median_bytes: of a commit's delta.
    """

    data: str
    mode: Mode
    gateways: int
    commits: int
    median_commit_gas: int
    total_gas: int
    accuracy: float
    prequential_accuracy: float
    median_bytes: int


class _Gateway:
    """One gateway of a replay, with a key of its own."""

    def __init__(self, node: Node, buffer: Buffer, key: bytes, model: SiteModel) -> None:
        self.model, self.account = model, Account(key)
        self.book = Codebook.empty(model.form)
        self._node, self._buffer = node, buffer
        self._sender = Sender(node, self.account)
        self._terms = {
            name: LedgerConfig.model_fields[name].get_default()
            for name in ("tolerance", "weight_ratio")
        }
        self._least = UNLIMITED_LEAST if model.commits.test.name == "always" else 1
        self._most = default_records(model.form.features)

    def commit(self, wanted: Codebook) -> tuple[int, int] | None:
        """Commit as the ledger client would; returns gas and payload bytes, None if nothing."""
        delta = self.book.delta_to(wanted, **self._terms, most=self._most)
        if not worth_it(delta, wanted, self._least):
            self.model.commits.rejected()
            return None
        after = self.book.apply(delta)
        head = Head(after.state_hash(), self.model.commits.version + 1, len(after), 1, "active")
        call = self._buffer.commit(head, delta)
        self._sender.send(self._buffer.address, call, GAS_LIMIT)
        gas = self._sender.wait()[0].gas_used
        self.book = after
        self.model.commits.accepted(after, self.model.commits.version + 1)
        return gas, len(delta)

    def check(self) -> None:
        """Make sure that the chain holds what the gateway believes."""
        head = self._buffer.standing(self._node, self.account.address).head
        found = (head.version, head.state_hash)
        if found != (self.model.commits.version, self.book.state_hash()):
            raise AssertionError(f"the chain has {found}, not version {self.model.commits.version}")


def stream(data: str) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Read a stream: features scaled to [0, 1] of each column, classes, number of classes."""
    table = read_packaged(data)
    low, high = table.values.min(axis=0), table.values.max(axis=0)
    scaled = (table.values - low) / np.where(high > low, high - low, 1)
    return scaled, table.classes, len(table.labels)


def replay(chain: LocalNode, data: str, mode: Mode, gateways: int) -> Run:
    """Run one stream through `gateways` gateways over a fresh deployment.

    Args:
        chain: where; the keys in `KEYS` must have money there, the last deploys.
        data: a stream of `protoledger.emulator.sources.packaged`.
        mode: which commits.
        gateways: 1–4.
    """
    xs, ys, classes = stream(data)
    keys = KEYS[:gateways]
    accounts = [Account(key).address for key in keys]
    made = deploy(chain.url, KEYS[-1], bytes(32), xs.shape[1], classes, accounts)
    buffer = Buffer(made.buffer)
    sites = [
        _Gateway(chain.node, buffer, key, SiteModel(xs.shape[1], classes, test=TESTS[mode]))
        for key in keys
    ]
    right, spent = 0, list[tuple[int, int]]()
    for first in range(0, -(-len(ys) // gateways), ROWS_A_ROUND):
        for number, site in enumerate(sites):
            rows = range(number, len(ys), gateways)[first : first + ROWS_A_ROUND]
            right += sum(bool(site.model.step(xs[row], int(ys[row])).right) for row in rows)
            spent += _share(site, sites)
    for site in sites:
        site.check()
    gas = [cost for cost, _ in spent]
    return Run(
        data,
        mode,
        gateways,
        len(gas),
        round(median(gas)) if gas else 0,
        sum(gas),
        float(np.mean([_accuracy(site.model, xs, ys) for site in sites])),
        right / len(ys),
        round(median(size for _, size in spent)) if spent else 0,
    )


def _share(site: _Gateway, sites: Sequence[_Gateway]) -> list[tuple[int, int]]:
    wanted = site.model.candidate()
    spent = site.commit(wanted) if wanted is not None else None
    if spent is None:
        return []
    for other in sites:
        if other is not site:
            other.model.union.set(site.account.address, site.book)
    return [spent]


def _accuracy(model: SiteModel, xs: NDArray[np.float64], ys: NDArray[np.int64]) -> float:
    model.settle()
    return float(np.mean([model.predict_one(x) == y for x, y in zip(xs, ys, strict=True)]))
