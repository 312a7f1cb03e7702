"""The gateway's ledger client: a thread that commits its codebook and follows the others.

Source: docs/chain.md. The thread owns the connections and the folded copy; `submit` only writes to
the outbox and wakes it. web3 takes 1.5–3 s and 60 MB to import, so the thread imports it, and
importing this module is cheap. Events go to one callback in the thread, which must only enqueue.

Whatever a node does is an outage at worst: it is reported once, and tried again, here or on another
node. A chain or contract that contradicts the gateway's file, and stays so (`ledger.identity`), is
reported as what it is, and looked at again: once the node is restored, it is used again. The thread
ends only for a key file that cannot be used. None of it ends rounds or learning.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Self

from protoledger.contracts.errors import ContractsError, KeyFileError, RateLimitedError
from protoledger.contracts.keys import load_key, read_secret
from protoledger.gateway.codebook.format import RecordFormat
from protoledger.gateway.errors import LedgerError, LedgerMismatchError
from protoledger.gateway.ledger.events import LedgerEvent, LedgerFailed, LedgerUnavailable
from protoledger.gateway.ledger.store import LedgerStore
from protoledger.gateway.ledger.supplies import Supplies

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from protoledger.gateway.codebook.codebook import Codebook
    from protoledger.gateway.ledger.block_hint import BlockHint
    from protoledger.gateway.ledger.config import LedgerConfig
    from protoledger.gateway.ledger.turns import Turns

_log = logging.getLogger(__name__)
_FIRST_LOOK_S = 0.01  # after sending: automatic mining answers at once
_FIRST_RETRY_S = 0.1
_LONGEST_RETRY_S = 5.0
_PATIENT_FAILURES = 2  # in a row: one is nothing to report
_HINTED_POLL_S = 5.0  # between looks while the node's WebSocket says when to look


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
        self._config, self._report = config, on_event
        self._schema_hash, self._form = schema_hash, RecordFormat(features, labels)
        self._store, self._database = LedgerStore(database), database
        self._wake, self._stop = threading.Event(), threading.Event()
        self._settled, self._ended = threading.Condition(), False
        self._refused = ""  # why this chain is not the gateway's; empty: it is, or nobody knows
        self._busy = False
        self._supplies = Supplies(config.tip_gwei)
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

        It replaces one that waits. What lands is reported by `Committed` and `CodebookChanged`; if
        nothing differs enough from what stands on the chain, only the latter is reported, again.

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
        self._store.outbox.want(codebook.encode(), note, oracle_round)
        self._wake.set()

    def supplies(self) -> dict[str, float]:
        """Say whether the chain answers, what the account can pay, how long a commit has waited."""
        return self._supplies.values(idle=self._store.outbox.idle)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything submitted has landed or was given up; whether that is so.

        Does not wait while `LedgerFailed` stands. When it returns True, the events about that have
        been sent.
        """
        idle = False

        def over() -> bool:
            nonlocal idle  # as it was seen: a move to a successor may fill the outbox right after
            idle = self._store.outbox.idle
            return idle or self._ended or bool(self._refused)

        with self._settled:
            self._settled.wait_for(over, timeout_s)
        return idle

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
        except KeyFileError as error:
            self._report(LedgerFailed(str(error)))
        except Exception as error:  # noqa: BLE001 - the last stop of a thread must report
            _log.exception("the ledger client has a defect")
            self._report(LedgerFailed(f"{type(error).__name__}: {error}"))
        finally:
            self._supplies.reachable = False
            with self._settled:
                self._ended = True
                self._settled.notify_all()

    def _work(self) -> None:
        # web3 comes with these; the first import in the process happens in this thread.
        from protoledger.contracts.client.account import Account  # noqa: PLC0415
        from protoledger.gateway.ledger.block_hint import BlockHint  # noqa: PLC0415
        from protoledger.gateway.ledger.turns import Turns  # noqa: PLC0415

        config = self._config
        account = Account(load_key(config.key_file, config.key_password_file))
        self._store.remember_account(account.address)
        turns = Turns(
            config,
            self._store,
            account,
            (self._schema_hash, self._form, self._database),
            supplies=self._supplies,
            report=self._report,
            sleep=self._stop.wait,
        )
        try:
            turns.report_changes()
            with BlockHint(
                config.ws_url,
                lambda: turns.addresses,
                lambda: self._busy,
                self._wake.set,
            ) as hint:
                self._loop(turns, hint)
        finally:
            turns.close()

    def _loop(self, turns: Turns, hint: BlockHint) -> None:
        retry_s, look_s, failures = _FIRST_RETRY_S, _FIRST_LOOK_S, 0
        while not self._stop.is_set():
            self._wake.clear()
            before = turns.scanned_block
            try:
                busy = self._busy = turns.turn()
            except LedgerMismatchError as error:
                self._refuse(str(error))
                turns.interrupted(error, reported=True)
                self._stop.wait(max(_LONGEST_RETRY_S, self._config.contradiction_s))
                continue
            except Exception as error:  # noqa: BLE001 - a defect must not end the learning
                known = isinstance(error, ContractsError)
                if not known:
                    _log.exception("the ledger client has a defect; it goes on")
                if turns.elsewhere(error):
                    continue  # another node answers
                if turns.scanned_block > before:  # a node that answers most of the time is there
                    retry_s, failures = _FIRST_RETRY_S, 0
                failures += 1
                if failures == _PATIENT_FAILURES:
                    reason = str(error) if known else f"{type(error).__name__}: {error}"
                    self._supplies.reachable = False
                    self._report(LedgerUnavailable(reason))
                turns.interrupted(error, reported=failures >= _PATIENT_FAILURES)
                asked_s = error.retry_after_s if isinstance(error, RateLimitedError) else None
                self._stop.wait(max(retry_s, asked_s or 0.0))
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
                continue
            retry_s, failures, self._refused = _FIRST_RETRY_S, 0, ""
            with self._settled:
                self._settled.notify_all()
            idle_s = self._config.poll_s
            if hint.connected:
                idle_s = max(idle_s, _HINTED_POLL_S)
            look_s = min(2 * look_s, self._config.poll_s) if busy else _FIRST_LOOK_S
            self._wake.wait(look_s if busy else idle_s)

    def _refuse(self, reason: str) -> None:
        """Report, once for each reason, that this is another chain or contract."""
        if reason == self._refused:
            return
        self._supplies.reachable = False
        self._report(LedgerFailed(reason))
        with self._settled:
            self._refused = reason
            self._settled.notify_all()
