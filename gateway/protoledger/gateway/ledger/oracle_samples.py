"""Follow the oracle's labelled samples: what sites without a chain have aggregated.

They are records of the buffer's format, so features come in channel ranges and need no scaling. A
quorum of reporters has signed them; here only their form is checked. How far they were read is
kept with the copy of the chain: each batch is told once, and one that is told while the gateway is
killed may be lost, as a round may be.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np

from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.errors import CodebookError
from protoledger.gateway.ledger.events import SamplesArrived, SamplesRefused

if TYPE_CHECKING:
    from pathlib import Path

    from protoledger.contracts.client.rpc import Block, Node
    from protoledger.contracts.oracle.binding import Oracle
    from protoledger.gateway.ledger.outbox import LedgerStore

_BLOCKS_A_REQUEST = 10_000
_KEEP_EVERY = 1_000  # blocks without a batch


def read_samples(file: Path, labels: int) -> Codebook:
    """Read labelled samples from a CSV: a column `class`, then a column a feature, in ranges.

    Raises:
        CodebookError: the file is no such table; the line is named.
    """
    classes: list[int] = []
    features: list[list[float]] = []
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = csv.reader(stream)
            columns = next(rows, [])
            if len(columns) < 2 or columns[0] != "class":
                raise CodebookError("its first column must be `class`, and features must follow")
            for number, row in enumerate(rows, 2):
                if len(row) != len(columns):
                    raise CodebookError(f"line {number} has {len(row)} of {len(columns)} columns")
                classes.append(int(row[0]))
                features.append([float(value) for value in row[1:]])
    except (OSError, ValueError, csv.Error) as error:
        raise CodebookError(f"cannot be read: {error}") from error
    if any(np.isnan(row).any() for row in features):
        raise CodebookError("a feature is not a number: leave rows that lack one out")
    return Codebook.from_prototypes(
        range(len(classes)), classes, np.ones(len(classes)), features, labels=labels
    )


class SampleFollower:
    """Reads each batch once; owned by the ledger's thread.

    Args:
        store: where the place is kept.
        form: record format of the contract.
        oracle: the oracle that the contract names.
        deployed_block: no batch is older.
    """

    def __init__(
        self, store: LedgerStore, form: RecordFormat, oracle: Oracle, deployed_block: int
    ) -> None:
        self._store, self._form, self._oracle = store, form, oracle
        self._next, self._round = store.samples_place(oracle.address) or (deployed_block, 0)
        self._kept = self._next

    def scan(self, node: Node, head: Block) -> list[SamplesArrived | SamplesRefused]:
        """Give what has come up to `head`.

        Raises:
            ChainUnreachableError, RpcError: try again later; nothing is passed over.
        """
        self._next = min(
            self._next, head.number + 1
        )  # rewound: rounds that were told are not told again
        found: list[SamplesArrived | SamplesRefused] = []
        while self._next <= head.number:
            last = min(self._next + _BLOCKS_A_REQUEST - 1, head.number)
            for batch in self._oracle.batches(node, self._next, last):
                if batch.round <= self._round:
                    continue
                self._round = batch.round
                try:
                    rows = Codebook.decode(batch.samples, self._form)
                except CodebookError as error:
                    found.append(SamplesRefused(batch.round, batch.source, str(error)))
                else:
                    found.append(SamplesArrived(batch.round, batch.source, rows))
            self._next = last + 1
            if found:
                break  # told before the place moves on
        if not found and self._next >= self._kept + _KEEP_EVERY:
            self.keep()
        return found

    def keep(self) -> None:
        """Keep the place; call it when what `scan` gave has been told."""
        self._kept = self._next
        self._store.keep_samples_place(self._oracle.address, self._next, self._round)
