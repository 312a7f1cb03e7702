"""The gateway's ledger client: a thread that commits its codebook and follows the others.

Source: docs/chain.md. The thread owns the connection and the folded copy; `submit` only
writes to the outbox and wakes it. web3 takes 1.5–3 s and 60 MB to import, so the thread imports it,
and importing this module is cheap. Events go to one callback in the thread, which must only
enqueue.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Self

from eth_hash.auto import keccak

from protoledger.contracts.errors import (
    ChainUnreachableError,
    ContractsError,
    KeyFileError,
    RpcError,
)
from protoledger.contracts.keys import load_key, read_secret
from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.errors import LedgerError, LedgerMismatchError
from protoledger.gateway.ledger.config import LedgerConfig, default_records
from protoledger.gateway.ledger.events import (
    CodebookChanged,
    CodebookDropped,
    CommitRejected,
    Committed,
    LedgerAvailable,
    LedgerEvent,
    LedgerFailed,
    LedgerUnavailable,
    OwnerLied,
    SamplesArrived,
    SamplesRefused,
)
from protoledger.gateway.ledger.outbox import LedgerStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from protoledger.contracts.client.binding import Buffer, Terms
    from protoledger.contracts.client.rpc import Block, Node
    from protoledger.gateway.ledger.follower import Follower
    from protoledger.gateway.ledger.oracle_samples import SampleFollower
    from protoledger.gateway.ledger.sender import CommitSender

__all__ = [
    "CodebookChanged",
    "CodebookDropped",
    "CommitRejected",
    "Committed",
    "Ledger",
    "LedgerAvailable",
    "LedgerConfig",
    "LedgerEvent",
    "LedgerFailed",
    "LedgerUnavailable",
    "OwnerLied",
    "SamplesArrived",
    "SamplesRefused",
]

_log = logging.getLogger(__name__)
_FIRST_LOOK_S = 0.01  # after sending: automatic mining answers at once
_FIRST_RETRY_S = 0.1
_LONGEST_RETRY_S = 5.0


class Ledger:
    """Commit this gateway's codebook, and follow everybody's.

    Args:
        config: chain, contract, key.
        database: SQLite file for the outbox and the copy; may be shared with other tables.
        schema_hash: 32 bytes; the contract must have been deployed with the same.
        features: features of a prototype.
        labels: number of labels.
        on_event: called in the ledger's thread with each event; must only enqueue.

    Use it as a context manager, or call `start` and `close`.
    """

    def __init__(
        self,
        config: LedgerConfig,
        database: Path,
        schema_hash: bytes,
        features: int,
        labels: int,
        on_event: Callable[[LedgerEvent], None],
    ) -> None:
        self._config, self._tell = config, on_event
        self._schema_hash, self._form = schema_hash, RecordFormat(features, labels)
        self._store, self._database = LedgerStore(database), database
        self._wake, self._stop = threading.Event(), threading.Event()
        self._settled, self._ended = threading.Condition(), False
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def start(self) -> None:
        """Start the thread; returns at once.

        Raises:
            KeyFileError: the key file cannot be read, or others could read it.
        """
        read_secret(self._config.key_file)
        self._thread.start()

    def submit(self, codebook: Codebook, note: str = "", oracle_round: int = 0) -> None:
        """Want a codebook on the chain; it is on disk when this returns.

        It replaces one that waits. What lands is told by `Committed` and `CodebookChanged`; if
        nothing differs enough from what stands on the chain, only the latter is told, again.

        Args:
            codebook: with the format of the contract.
            note: comes back with `Committed`.
            oracle_round: newest round of the oracle that it was learnt from; 0 if none.

        Raises:
            LedgerError: another format.
        """
        if codebook.form != self._form:
            raise LedgerError(
                f"the ledger's format is {self._form}, the codebook's {codebook.form}"
            )
        self._store.want(codebook.encode(), note, oracle_round)
        self._wake.set()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything submitted has landed or was given up; False on timeout.

        When it returns True, the events about that have been told.
        """
        with self._settled:
            self._settled.wait_for(lambda: self._ended or self._store.idle, timeout_s)
        return self._store.idle

    def close(self, timeout_s: float = 5.0) -> None:
        """Stop the thread; what has not landed stays in the outbox. Idempotent."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._store.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._work()
        except (LedgerMismatchError, KeyFileError) as error:
            self._tell(LedgerFailed(str(error), exit_code=78))
        except Exception as error:  # noqa: BLE001 - the last stop of a thread must tell
            _log.exception("the ledger client has a defect")
            self._tell(LedgerFailed(f"{type(error).__name__}: {error}", exit_code=70))
        finally:
            with self._settled:
                self._ended = True
                self._settled.notify_all()

    def _work(self) -> None:
        # web3 comes with these; the first import in the process happens in this thread.
        from protoledger.contracts.client.account import Account  # noqa: PLC0415
        from protoledger.contracts.client.binding import Buffer  # noqa: PLC0415
        from protoledger.contracts.client.rpc import Node  # noqa: PLC0415
        from protoledger.gateway.ledger.block_hint import BlockHint  # noqa: PLC0415
        from protoledger.gateway.ledger.follower import Follower  # noqa: PLC0415
        from protoledger.gateway.ledger.sender import CommitSender  # noqa: PLC0415

        config = self._config
        account = Account(load_key(config.key_file, config.key_password_file))
        self._store.remember_account(account.address)
        follower = Follower(self._store, self._form, account.address)
        self._tell_changes(follower)
        node, buffer = Node(config.rpc_url), Buffer(config.contract)
        sender = CommitSender(
            self._store,
            account,
            self._form,
            config.chain_id,
            config=config,
            most=config.records_per_commit or default_records(self._form.features),
            tell=self._tell,
        )
        try:
            with BlockHint(config.ws_url, self._wake.set):
                self._loop(node, buffer, follower, sender)
        finally:
            node.close()

    def _loop(self, node: Node, buffer: Buffer, follower: Follower, sender: CommitSender) -> None:
        terms: Terms | None = None
        samples: SampleFollower | None = None
        retry_s, look_s, down = _FIRST_RETRY_S, _FIRST_LOOK_S, False
        while not self._stop.is_set():
            self._wake.clear()
            try:
                if terms is None:
                    terms = self._check(node, buffer)
                    samples = self._samples(node, buffer, terms)
                    self._tell(LedgerAvailable())
                busy = self._turn(node, buffer, follower, sender, samples, terms)
            except (ChainUnreachableError, RpcError) as error:
                if not down:
                    self._tell(LedgerUnavailable(str(error)))
                down, terms = True, None  # it may be another chain when it comes back
                self._stop.wait(retry_s)
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
                continue
            retry_s, down = _FIRST_RETRY_S, False
            with self._settled:
                self._settled.notify_all()
            look_s = min(2 * look_s, self._config.poll_s) if busy else _FIRST_LOOK_S
            self._wake.wait(look_s if busy else self._config.poll_s)

    def _turn(
        self,
        node: Node,
        buffer: Buffer,
        follower: Follower,
        sender: CommitSender,
        samples: SampleFollower | None,
        terms: Terms,
    ) -> bool:
        head = self._head(node)
        believed = head
        if self._config.confirmations:
            found = node.block(max(0, head.number - self._config.confirmations))
            believed = found or head
        follower.scan(node, buffer, believed, terms.deployed_block)
        self._tell_changes(follower)
        if samples is not None and (arrived := samples.scan(node, believed)):
            for event in arrived:
                self._tell(event)
            samples.keep()
        return sender.step(node, buffer, follower, head)

    def _samples(self, node: Node, buffer: Buffer, terms: Terms) -> SampleFollower | None:
        """Make the follower of the oracle that the contract names now, if it is to be heard."""
        from protoledger.contracts.oracle.binding import Oracle  # noqa: PLC0415 - loads web3
        from protoledger.gateway.ledger.oracle_samples import SampleFollower  # noqa: PLC0415

        _, oracle, _ = buffer.standing(node)
        if not self._config.learn_from_oracle or not int(oracle, 16):
            return None
        if not node.code(oracle):
            return None
        return SampleFollower(self._store, self._form, Oracle(oracle), terms.deployed_block)

    @staticmethod
    def _head(node: Node) -> Block:
        head = node.block("latest")
        if head is None:
            raise RpcError("eth_getBlockByNumber", 0, "there is no newest block")
        return head

    def _tell_changes(self, follower: Follower) -> None:
        for event in follower.changes():
            self._tell(event)

    def _check(self, node: Node, buffer: Buffer) -> Terms:
        """Make sure that this is the chain and contract that the copy is of."""
        config = self._config
        genesis = node.block(0)
        mend = "correct `chain_id` or `rpc_url` in the gateway's file"
        self._same("chain id", str(node.chain_id()), str(config.chain_id), mend)
        kept = config.genesis_hash or (genesis.hash if genesis else "")
        kept = self._store.pin("genesis", kept)
        self._same("hash of block 0", genesis.hash if genesis else "", kept, self._mend)
        kept = self._store.pin("contract", buffer.address)
        self._same("contract", buffer.address, kept, self._mend)
        code = node.code(buffer.address)
        # A contract that changes under one address is another chain, or a proxy: not ours.
        if not code:
            raise LedgerMismatchError(
                f"there is no contract at {buffer.address} on {config.rpc_url}; deploy one with "
                f"`protoledger contracts deploy`, or correct `contract`; {self._mend}",
            )
        code_hash = keccak(code).hex()
        kept = self._store.pin("code", code_hash)
        self._same("hash of the contract's code", code_hash, kept, self._mend)
        try:
            terms = buffer.terms(node)
        except ContractsError as error:
            if isinstance(error, ChainUnreachableError | RpcError):
                raise
            raise LedgerMismatchError(f"{buffer.address} is no PrototypeBuffer: {error}") from error
        mend = "it was deployed for other channels or labels: correct the site file or `contract`"
        self._same("schema hash", terms.schema_hash.hex(), self._schema_hash.hex(), mend)
        self._same("number of features", str(terms.features), str(self._form.features), mend)
        self._same("number of labels", str(terms.labels), str(self._form.labels), mend)
        return terms

    @property
    def _mend(self) -> str:
        return (
            "if the chain was reset on purpose, deploy anew, correct `ledger:` in the gateway's "
            f"file, and run `protoledger contracts forget {self._database}`, which keeps the model"
        )

    def _same(self, what: str, found: str, expected: str, mend: str) -> None:
        if found != expected:
            raise LedgerMismatchError(
                f"{self._config.rpc_url}: the {what} is {found}, expected was {expected}; {mend}"
            )
