"""Outside data of an emulated deployment: a site without a gateway, and reporters that sign for it.

The readings of one additional site never go through rounds. Its averages reach the gateways as
batches of labelled samples on DataOracle, which a quorum of reporters signs. Each reporter also
runs as its own process, and answers a numeric feed with the readings of one of that site's agents;
the feed's value is the median of a quorum. The reporters are the same processes as on real hosts
(`protoledger oracle run`).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path  # noqa: TC003 - a dataclass's field
from typing import TYPE_CHECKING

import numpy as np
import yaml

from protoledger.contracts.keys import address_of, create_key, load_key
from protoledger.emulator.errors import EmulatorError
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.protocol.wire.schema import NO_LABEL

if TYPE_CHECKING:
    from protoledger.contracts.client.node import Node
    from protoledger.emulator.processes.chain import ChainAddress
    from protoledger.emulator.processes.children import Children
    from protoledger.emulator.sources.dealing import Dealt, SiteRows

SOURCE = "outside"
BATCHES = 4  # spread over the run
BATCH_ROWS = 50  # at most, of each
DECIMALS = 3
_EVERY_S = 1.0
_GAS = 1_000_000


def split_off(dealt: Dealt) -> tuple[Dealt, SiteRows]:
    """Separate the last site, which becomes the outside site, from the others."""
    sites = replace(dealt.plan, sites=dealt.plan.sites - 1)
    return replace(dealt, plan=sites, sites=dealt.sites[:-1]), dealt.sites[-1]


def aggregates(dealt: Dealt, rows: SiteRows) -> Codebook:
    """Reduce the outside site's agents to one labelled sample for each row.

    A sample has the mean of each channel, and the label with the most votes. A channel without any
    reading gets the middle of its range. Rows without a vote are left out.
    """
    low = np.array([channel.low for channel in dealt.channels])
    width = np.array([channel.high - channel.low for channel in dealt.channels])
    read = np.isfinite(rows.observed)
    sums = np.where(read, (np.clip(rows.observed, low, low + width) - low) / width, 0).sum(axis=0)
    means = np.where(read.any(axis=0), sums / np.maximum(1, read.sum(axis=0)), 0.5)
    counts = np.stack([(rows.votes == label).sum(axis=0) for label in range(len(dealt.labels))])
    labelled = np.flatnonzero((rows.votes != NO_LABEL).any(axis=0))[: BATCHES * BATCH_ROWS]
    return Codebook.from_prototypes(
        np.arange(len(labelled)),
        counts.argmax(axis=0)[labelled],
        np.ones(len(labelled)),
        means[labelled],
        labels=len(dealt.labels),
    )


@dataclass(frozen=True, slots=True)
class ReporterFiles:
    """The files of one reporter: key, configuration, and the recording that it reports."""

    name: str
    key_file: Path
    config_file: Path
    readings: Path


class Outside:
    """The outside site and its reporters.

    Args:
        folder: folder for their files.
        dealt: channels and labels.
        rows: readings and votes of the outside site's agents.
        reporters: number of reporters.

    Attributes:
        quorum: how many reporters must sign.
        faults: how many reporters may lie.
        sent: samples on the chain so far.
        batches: batches on the chain so far.
        gas: gas used by the batches.
    """

    def __init__(self, folder: Path, dealt: Dealt, rows: SiteRows, reporters: int) -> None:
        # As many liars as leave one reporter to spare; three reporters bear one, and none to spare.
        self.faults = 1 if reporters == 3 else (reporters - 1) // 3
        self.quorum = max(2 * self.faults + 1, reporters // 2 + 1)
        self.sent = self.batches = self.gas = 0
        self.feed = dealt.channels[0]
        self._samples = aggregates(dealt, rows)
        self._observed = np.clip(rows.observed[:, :, 0], self.feed.low, self.feed.high)
        self._folder = folder
        self.reporters = [
            ReporterFiles(
                name := f"{SOURCE}.reporter-{number}",
                folder / f"{name}.key",
                folder / f"{name}.yaml",
                folder / f"{name}.csv",
            )
            for number in range(1, reporters + 1)
        ]
        self._node: Node | None = None
        self._oracle, self._owner = "", b""

    @property
    def rounds(self) -> int:
        """The number of batches in the whole run."""
        return min(BATCHES, len(self._samples))

    def create_keys(self) -> list[str]:
        """Create the reporters' keys; returns the addresses of their accounts, to be funded."""
        self._folder.mkdir(mode=0o700)
        return [address_of(create_key(reporter.key_file)) for reporter in self.reporters]

    def start(
        self, children: Children, chain: ChainAddress, oracle: str, owner: bytes, fund_wei: int
    ) -> None:
        """Register the reporters and the feed on the chain, and start a process for each reporter.

        Args:
            children: owns the processes.
            chain: address of the node.
            oracle: address of DataOracle.
            owner: private key of DataOracle's owner, whose account also pays for the batches.
            fund_wei: amount that the owner sends to each reporter.
        """
        from protoledger.contracts.client.account import Account  # noqa: PLC0415 - loads web3
        from protoledger.contracts.client.deployment import Sender  # noqa: PLC0415
        from protoledger.contracts.client.node import Node  # noqa: PLC0415
        from protoledger.contracts.oracle.binding import Oracle, feed_id  # noqa: PLC0415

        self._node, self._oracle, self._owner = Node(chain.url), oracle, owner
        to, sender = Oracle(oracle), Sender(self._node, Account(owner))
        accounts = [address_of(load_key(reporter.key_file)) for reporter in self.reporters]
        reporters = to.encode("setReporters", accounts, True, self.quorum, self.faults)
        bounds = [round(limit * 10**DECIMALS) for limit in (self.feed.low, self.feed.high)]
        values = (feed_id(self.feed.name), self.feed.unit, DECIMALS, 3600, *bounds)
        sender.send(oracle, reporters, _GAS)
        sender.send(oracle, to.encode("addFeed", *values), 4 * _GAS)
        for account in accounts if fund_wei else ():
            sender.send(account, b"", 21_000, fund_wei)
        sender.wait()
        self._read_on(0.0)
        for reporter in self.reporters:
            self._configure(reporter, chain)
            command = [sys.executable, "-m", "protoledger", "oracle", "run", "--config"]
            children.start(reporter.name, [*command, reporter.config_file])

    def advance(self, share: float) -> None:
        """Provide readings and submit batches up to this share of the run, 0 to 1."""
        self._read_on(share)
        while self.batches < self.rounds and share >= self.batches / self.rounds:
            self._submit()

    def stop(self, children: Children) -> None:
        """Stop the reporters."""
        for reporter in self.reporters:
            children.stop(reporter.name)

    def report(self) -> dict[str, object]:
        """Return what the chain holds now, for the emulation's report."""
        from protoledger.contracts.oracle.binding import Oracle, feed_id  # noqa: PLC0415 - loads web3

        if self._node is None:
            raise EmulatorError("the outside site was never started")
        state = Oracle(self._oracle).feed(self._node, feed_id(self.feed.name))
        self._node.close()
        return {
            "reporters": len(self.reporters),
            "quorum": self.quorum,
            "batches": self.batches,
            "samples": self.sent,
            "gas": self.gas,
            "feed": self.feed.name,
            "unit": self.feed.unit,
            "answers": state.round_id,
            "answer": state.answer / 10**state.decimals if state.round_id else None,
        }

    def _submit(self) -> None:
        from protoledger.contracts.oracle.batches import submit_samples  # noqa: PLC0415 - loads web3
        from protoledger.contracts.oracle.binding import Oracle, feed_id  # noqa: PLC0415

        if self._node is None:
            raise EmulatorError("the outside site was never started")
        parts = np.array_split(np.arange(len(self._samples)), self.rounds)
        records = self._samples.records[parts[self.batches]]
        keys = [load_key(reporter.key_file) for reporter in self.reporters[: self.quorum]]
        receipt = submit_samples(
            self._node, Oracle(self._oracle), keys, feed_id(SOURCE), records.tobytes(), self._owner
        )
        self.batches += 1
        self.sent += len(records)
        self.gas += receipt.gas_used

    def _read_on(self, share: float) -> None:
        """Write each reporter's reading at this share of the run to the file that it watches."""
        row = min(int(share * self._observed.shape[1]), self._observed.shape[1] - 1)
        for number, reporter in enumerate(self.reporters):
            seen = self._observed[number % len(self._observed), : row + 1]
            read = seen[np.isfinite(seen)]
            text = f"{read[-1]:.6f}" if read.size else ""
            draft = reporter.readings.with_suffix(".draft")
            draft.write_text(f"{self.feed.name}\n{text}\n", encoding="utf-8")
            draft.replace(reporter.readings)

    def _configure(self, reporter: ReporterFiles, chain: ChainAddress) -> None:
        source = {"kind": "csv", "file": str(reporter.readings), "column": self.feed.name}
        content = {
            "rpc_url": chain.url,
            "chain_id": chain.chain_id,
            "oracle": self._oracle,
            "key_file": str(reporter.key_file),
            "exchange": str(self._folder),
            "poll_s": 0.2,
            "feeds": [
                {
                    "feed": self.feed.name,
                    "source": source,
                    "every_s": _EVERY_S,
                    "minimum": self.feed.low,
                    "maximum": self.feed.high,
                }
            ],
        }
        reporter.config_file.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
