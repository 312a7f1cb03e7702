"""Follow the oracle's labelled samples: what sites without a chain have aggregated.

They are records of the buffer's format, so features come in channel ranges and need no scaling. A
quorum of reporters has signed them; here only their form is checked. How far they were read is
kept with the copy of the chain: each batch is reported once, and one that is reported while the
gateway is killed may be lost, as a round may be.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np

from protoledger.contracts.client.logs import LogRanges
from protoledger.contracts.errors import LaggingNodeError, PrunedHistoryError
from protoledger.contracts.oracle.binding import BatchLog
from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.errors import CodebookError
from protoledger.gateway.ledger.events import SamplesArrived, SamplesRefused

if TYPE_CHECKING:
    from pathlib import Path

    from protoledger.contracts.client.answers import Block
    from protoledger.contracts.client.node import Node
    from protoledger.contracts.oracle.binding import Oracle
    from protoledger.gateway.ledger.store import LedgerStore

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

    The oracle counts its rounds without gaps, and the state says how many there were: so a node
    that leaves out an event is noticed.

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
        self._ranges = LogRanges()

    @property
    def oracle_address(self) -> str:
        """Whose events are read."""
        return self._oracle.address

    def scan(self, node: Node, head: Block) -> list[SamplesArrived | SamplesRefused]:
        """Give what has come up to `head`.

        Raises:
            ChainUnreachableError, RpcError: try again later; nothing is passed over.
        """
        if head.number < self._next:  # looked at, or rewound: what was read is not read again
            self._next = head.number + 1
            return []
        if head.number == self._next and not head.may_hold(self._oracle.address):
            return []
        latest = self._oracle.latest_round(node, at=head.number)
        if latest <= self._round:
            self._go_on(head.number + 1)
            return []
        try:
            batches, read = self._read(node, head.number)
        except PrunedHistoryError:
            batches, read = [], latest  # what the node has dropped cannot be learnt from
        if read < latest:
            raise LaggingNodeError(f"{node.url} leaves out round {read + 1} of the oracle")
        self._round = read
        self._go_on(head.number + 1)
        return [self._decoded(batch) for batch in batches]

    def _read(self, node: Node, last: int) -> tuple[list[BatchLog], int]:
        """Give the new batches, and the last round of an unbroken row."""
        found, round_ = list[BatchLog](), self._round
        topics = self._oracle.topic("Answered", "Samples")
        address = self._oracle.address
        for _, logs in self._ranges.fetch(node, address, self._next, last, topics):
            for number, batch in self._oracle.rounds(logs):
                if number <= round_:
                    continue
                if number != round_ + 1:
                    return found, round_
                round_ = number
                if batch is not None:
                    found.append(batch)
        return found, round_

    def _decoded(self, batch: BatchLog) -> SamplesArrived | SamplesRefused:
        try:
            rows = Codebook.decode(batch.samples, self._form)
        except CodebookError as error:
            return SamplesRefused(batch.round, batch.source, str(error))
        return SamplesArrived(batch.round, batch.source, rows)

    def _go_on(self, next_block: int) -> None:
        self._next = next_block
        if self._next >= self._kept + _KEEP_EVERY:
            self.keep()

    def keep(self) -> None:
        """Keep the place; call it when what `scan` gave has been reported."""
        self._kept = self._next
        self._store.keep_samples_place(self._oracle.address, self._next, self._round)
