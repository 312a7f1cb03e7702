"""The gateway's loop: rounds in, a tested and trained model out, commits to and from the ledger.

One thread decides. The broker's and the ledger's threads only enqueue; the model, the store and the
round machine belong to this one. The next round is opened before the last one's samples are learnt,
so that agents and gateway work at the same time.
"""

import logging
import time
from types import FrameType
from typing import TYPE_CHECKING

import msgspec

from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.learner import Warmup
from protoledger.gateway.ledger.client import Ledger
from protoledger.gateway.ledger.events import (
    CodebookChanged,
    CodebookDropped,
    CommitRejected,
    Committed,
    LedgerEvent,
    SamplesArrived,
    SamplesRefused,
)
from protoledger.gateway.operations import chain_news
from protoledger.gateway.operations.assistant import Assistant, Newest
from protoledger.gateway.operations.events import EventStream
from protoledger.gateway.operations.health import Health, snapshot_of, status_path, upkeep
from protoledger.gateway.operations.reload import ReadAgain, Reader, take_up
from protoledger.gateway.rounds import Rounds
from protoledger.gateway.training.history.about import start_history
from protoledger.gateway.training.store import Store
from protoledger.gateway.training.trainer import Trainer
from protoledger.protocol.rounds.states import Completed, Failed, Outcome
from protoledger.protocol.wire import topics
from protoledger.protocol.wire.schema import Sample
from protoledger.runtime.exits import on_reload, on_stop
from protoledger.runtime.identity_files import load_roster
from protoledger.runtime.mqtt.client import Arrived, LinkDown, LinkUp, Refused
from protoledger.runtime.mqtt.loop import LinkLoop
from protoledger.runtime.site import SiteConfig, load

if TYPE_CHECKING:
    from protoledger.gateway.operations.metrics import Metrics

log = logging.getLogger(__name__)

SAVE_EVERY_S = 1.0
SETTLED_S = 0.3
LINK_EVENTS = (Arrived, LinkUp, LinkDown, Refused)


class Service:
    """A gateway, from its configuration to its exit code.

    Args:
        config: the gateway's file.
        events: where to tell what happens.
        with_sums: tell decoded sums, too: for an emulator that knows the true ones.
        reread: reads the gateway's file again, at SIGHUP; None if it has errors.

    Raises:
        ConfigurationError: if anything in its files does not fit.
    """

    def __init__(
        self,
        config: GatewayConfig,
        events: EventStream,
        *,
        with_sums: bool = False,
        reread: Reader = lambda: None,
    ) -> None:
        self._with_sums = with_sums
        site = load(config.site_file, SiteConfig)
        roster = load_roster(config.roster_file, bytes.fromhex(site.fleet_key))
        config.check_against(roster, site)
        schema = site.as_schema()
        self._events = events
        self._schema = schema
        self._store = Store(config.store_file, schema.digest)
        self._trainer = Trainer(config, schema, self._store)
        self._may_compile = config.learner.kernels.enabled
        self._warmup = Warmup(config.learner.kernels.path)
        self._rounds = Rounds(config, site, roster, self._store)
        self._links: LinkLoop[LedgerEvent | ReadAgain | None] = LinkLoop([self._rounds.link])
        self._health = Health(status_path(config.store_file), len(roster.agents))
        self._recorder = start_history(config, site, roster, self._trainer)
        events.listener = self._recorder.event
        self._labels = site.labels
        asking = config.home_assistant, config.learner.ask_below
        self._assistant = Assistant(*asking, events, self._rounds.tell)
        self._metrics: Metrics | None = None
        if config.metrics is not None:
            from protoledger.gateway.operations import metrics  # noqa: PLC0415 - only who wants it loads it

            self._metrics = metrics.Metrics(config.metrics)
        self._ledger: Ledger | None = None
        if config.ledger is not None:
            self._ledger = Ledger(
                config.ledger,
                config.store_file,
                schema.digest,
                len(schema.channels),
                len(schema.labels),
                self._links.post,
            )
        self._config, self._reread = config, reread
        self._commit = config.commit
        self._learnt_at = time.monotonic()
        self._saved_at = 0.0
        self._settled_at = 0.0
        self._told_finished = False
        self._told_excluded: tuple[str, ...] = ()

    def stop(self, *_signal: int | FrameType | None) -> None:
        """Make `run` return; callable from a signal handler or another thread."""
        self._links.post(None)

    def read_again(self, *_signal: int | FrameType | None) -> None:
        """Make the loop read the gateway's file again; callable like `stop`."""
        self._links.post(ReadAgain())

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        on_stop(self.stop)
        on_reload(self.read_again, self.stop)
        with self._links, self._warmup:
            try:
                if self._ledger is not None:
                    self._ledger.start()
                self._health.ready()
                self._measure()  # all series are there before anything happens
                self._serve()
                self._health.stopping()
                self._commit_at_stop()
                self._links.farewell(topics.OFFLINE)
            finally:
                self._trainer.save()
                if self._ledger is not None:
                    self._ledger.close()
                self._tell_totals("stopped")
                self._recorder.close(self._state)
                self._store.close()
                if self._metrics is not None:
                    self._metrics.close()

    def _serve(self) -> None:
        while True:
            for event in self._links.wait(self._patience()):
                if event is None:
                    return
                if isinstance(event, ReadAgain):
                    self._config = take_up(self._config, self._reread, self._take_up)
                elif isinstance(event, LINK_EVENTS):
                    self._on_outcome(self._rounds.handle(event, time.monotonic()))
                else:
                    self._on_ledger(event)
            self._on_outcome(self._rounds.advance(time.monotonic()))
            self._housekeeping(time.monotonic())

    def _take_up(self, config: GatewayConfig) -> None:
        self._commit = config.commit
        self._assistant.change(config.home_assistant, config.learner.ask_below)
        if config.home_assistant != self._config.home_assistant:
            self._rounds.introduce(config.home_assistant)

    def _patience(self) -> float | None:
        due = [self._rounds.deadline(), self._health.due()]
        if self._trainer.unsaved:
            due.append(self._saved_at + SAVE_EVERY_S)
        if self._rounds.finished and not self._told_finished:
            due.append(time.monotonic() + SETTLED_S)
        soonest = min((at for at in due if at is not None), default=None)
        return None if soonest is None else max(0.0, soonest - time.monotonic())

    def _on_outcome(self, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        if self._rounds.excluded_names != self._told_excluded:
            self._told_excluded = self._rounds.excluded_names
            self._events.write("excluded", agents=list(self._told_excluded))
        # the next round first: agents work while the samples of this one are learnt
        self._rounds.advance(time.monotonic())
        self._links.flush()
        self._health.count(outcome)
        if self._metrics is not None:
            self._metrics.count(outcome)
        match outcome:
            case Failed(round_id=round_id, reason=reason, milliseconds=milliseconds):
                log.warning("round %d failed: %s", round_id, reason)
                self._events.write("failed", round=round_id, reason=reason, ms=milliseconds)
            case Completed(round_id=round_id, sums=sums, included=included):
                minimum = self._rounds.terms.minimum
                samples = self._schema.samples(sums, len(included), minimum)
                self._recorder.decoded(samples)
                right = self._learn(samples)
                self._tell_people()
                for notice in self._trainer.take_notices():
                    self._events.write(notice.event, **notice.fields)
                self._events.write(
                    "round",
                    round=round_id,
                    ms=outcome.milliseconds,
                    included=sorted(included),
                    **({"sums": sums.tolist()} if self._with_sums else {}),
                    samples=self._trainer.counters.samples,
                    right=self._trainer.counters.right,
                    prototypes=self._trainer.prototypes,
                    labelled=right,
                )
                self._offer_commit()

    def _learn(self, samples: list[Sample]) -> int:
        """Take a round's samples; returns how many had a label."""
        began = time.thread_time()
        labelled = self._trainer.take(samples)
        if labelled:
            self._learnt_at = time.monotonic()
        if self._may_compile:
            self._warmup.spent(time.thread_time() - began)
        return labelled

    def _offer_commit(self, owed: str = "") -> None:
        """Submit what the test says is worth a commit; for a reason `owed`: all the chain lacks."""
        if self._ledger is None:
            return
        owed = owed or self._quiet()
        model = self._trainer.model
        candidate = model.leftover() if owed else model.candidate()
        if candidate is None:
            return
        if owed:
            log.info("committing what the chain lacks: %s", owed)
            self._events.write("owed", reason=owed, records=len(candidate))
        learnt_from = self._trainer.round_to_cite
        self._trainer.cite(learnt_from)
        self._trainer.save()
        self._ledger.submit(candidate, f"round {self._store.last_round}", learnt_from)

    def _quiet(self) -> str:
        """Say for how long there has been no labelled sample, if it is long; else empty."""
        hours = self._commit.quiet_hours
        if hours is None or time.monotonic() < self._learnt_at + 3600 * hours:
            return ""
        return f"no labelled sample for {hours:g} h"

    def _commit_at_stop(self) -> None:
        """Commit what the chain lacks, and wait for it, but not for long, nor after a signal."""
        ledger, seconds = self._ledger, self._commit.stop_s
        if ledger is None or seconds is None:
            return
        until = time.monotonic() + seconds
        while True:
            self._offer_commit("the gateway stops")
            left_s = until - time.monotonic()
            landed = not self._trainer.model.commits.pending and ledger.flush(0.0)
            over = landed or left_s <= 0
            # once more when it is over: `flush` says so when the last events are on their way here
            for event in self._links.wait(0.0 if over else min(left_s, SETTLED_S)):
                if event is None:
                    return
                if not isinstance(event, (*LINK_EVENTS, ReadAgain)):
                    self._on_ledger(event)
            if over:
                break
        if not ledger.flush(0.0):
            log.warning("a commit has not landed yet; it is on disk for the next start")

    def _on_outside(self, event: SamplesArrived | SamplesRefused) -> None:
        """Learn from labelled samples of the oracle."""
        if isinstance(event, SamplesRefused):
            log.error("samples of %s, oracle round %d: %s", event.source, event.round, event.reason)
            return
        self._trainer.take_outside(event.rows, event.round)
        self._events.write(
            "outside", round=event.round, source=event.source, samples=len(event.rows)
        )
        self._offer_commit()

    def _on_ledger(self, event: LedgerEvent) -> None:
        """Take one event of the ledger."""
        match event:
            case CodebookChanged(owner=owner, version=version, codebook=codebook, own=True):
                self._trainer.model.commits.accepted(codebook, version)
                self._trainer.unsaved = True
            case CodebookChanged(owner=owner, version=version, codebook=codebook):
                self._trainer.model.union.set(owner, codebook)
                self._trainer.unsaved = True
                self._events.write("merged", owner=owner, version=version, records=len(codebook))
            case CodebookDropped(owner=owner, reason=reason):
                log.warning("codebook of %s dropped: %s", owner, reason)
                self._trainer.model.union.set(owner, None)
                self._trainer.unsaved = True
                self._events.write("dropped", owner=owner, reason=reason)
            case Committed():
                self._trainer.count_commit(event.version, event.gas_used)
                self._events.write(
                    "committed",
                    version=event.version,
                    gas=event.gas_used,
                    records=event.records,
                    bytes=event.payload_bytes,
                    tx=event.tx_hash,
                )
            case CommitRejected():
                self._on_rejected(event)
            case SamplesArrived() | SamplesRefused():
                self._on_outside(event)
            case _:
                chain_news.tell(event, self._health, self._events)

    def _on_rejected(self, event: CommitRejected) -> None:
        log.warning("commit rejected: %s", event.reason)
        if event.permanent:  # the test goes on; what failed otherwise is tried again
            self._trainer.count_rejection()
            self._trainer.model.commits.rejected()
        self._events.write("rejected", reason=event.reason, permanent=event.permanent)

    def _state(self) -> dict[str, object]:
        """Say how agents, broker and chain are, for the history."""
        return {**msgspec.structs.asdict(self._health.status), "members": self._rounds.members}

    def _housekeeping(self, now: float) -> None:
        if now >= self._health.due():
            here, connected = self._rounds.agents_here, self._rounds.connected
            self._health.change(connected=connected, agents_here=here)
            self._health.turn(now)
            self._measure()
            if self._quiet():
                self._offer_commit()
        if now >= self._saved_at + SAVE_EVERY_S:
            self._saved_at = now
            self._trainer.save()
            self._recorder.turn(now, self._state)
        if self._rounds.finished and not self._told_finished:
            if self._commit.stop_s is not None:
                self._offer_commit("all rounds have been run")
            if self._ledger_settled(now):
                self._told_finished = True
                self._trainer.save()
                self._tell_totals("finished")

    def _tell_people(self) -> None:
        """Say at the site what the newest sample was taken for."""
        last, status = self._trainer.last, self._health.status
        newest = None
        if last is not None:
            label = None if last.predicted is None else self._labels[last.predicted]
            labelled = last.label is not None
            newest = Newest(label, last.unknown, labelled, last.margin, last.confidence)
        agents = self._rounds.agents_here
        rounds = {"rounds": status.completed, "failed": status.failed, "agents": agents}
        self._assistant.take(newest, rounds)

    def _measure(self) -> None:
        """Take a snapshot for the next scrape of the metrics."""
        if self._metrics is None:
            return
        counters, status = self._trainer.counters, self._health.status
        gauges: dict[str, float] = {
            "prototypes": self._trainer.prototypes,
            "channels_missing": len(self._trainer.missing),
            "agents_excluded": len(self._rounds.excluded),
            "agents_without_position": len(self._rounds.unseated),
            "agents_flooding": len(self._rounds.flooding),
        }
        if self._ledger is not None:
            gauges |= self._ledger.supplies()
        counted = {**counters.as_dict(), "kappa_temporal": counters.kappa_temporal}
        gauges |= upkeep(self._config.store_file, self._config.credentials.certificate_file)
        self._metrics.snapshot = snapshot_of(
            counted, status, gauges, dict(self._rounds.refused), self._rounds.named
        )

    def _ledger_settled(self, now: float) -> bool:
        """Whether nothing waits to be committed, for long enough that its event is here too."""
        if self._ledger is None:
            return True
        if not self._ledger.flush(0.0):
            self._settled_at = now
        return now >= self._settled_at + SETTLED_S

    def _tell_totals(self, event: str) -> None:
        traffic = self._rounds.link.traffic
        self._events.write(
            event,
            prototypes=self._trainer.prototypes,
            sent=traffic.sent,
            received=traffic.received,
            refused=dict(self._rounds.refused),
            **self._trainer.counters.as_dict(),
        )
