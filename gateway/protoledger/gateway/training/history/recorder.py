"""Writes the history as a gateway works; the service calls it, and nothing depends on it.

What costs time is done seldom: a map, gains and an explanation each wait until a hundred times what
the last one cost has passed. The rest is a few numbers a round, written once a second.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import numpy as np

from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.learner.base import Floats
from protoledger.gateway.training.history.explanation import explain
from protoledger.gateway.training.history.gains import gains
from protoledger.gateway.training.history.projection import Projection
from protoledger.gateway.training.history.provenance import Provenance
from protoledger.gateway.training.history.tables import (
    DRIFTED,
    NEW,
    UNKNOWN,
    History,
    SampleRow,
    history_path,
)
from protoledger.gateway.training.outcome import Outcome
from protoledger.gateway.training.trainer import Trainer
from protoledger.gateway.union.influence import own_references
from protoledger.protocol.wire.schema import Sample

T = TypeVar("T")
TOLD: Final = frozenset({
    "asked", "chain", "channels", "committed", "disagrees", "drift", "dropped", "excluded",
    "failed", "ledger_failed", "lied", "merged", "rejected", "successor", "unavailable",
})  # fmt: skip
"""Events that a page shows."""
EVENTS_A_SECOND: Final = 20
WRITE_EVERY_S: Final = 1.0
POINT_EVERY_S: Final = 10.0
COSTLY: Final = 100.0
"""How many times its cost a costly part waits before it is done again: 1 % of the time each."""
ROUNDS_WINDOW_S: Final = 60.0


class Recorder:
    """Keeps what a page shows of one gateway.

    Args:
        config: the gateway's file.
        about: what does not change while the gateway runs: site, channels, labels, agents.
        trainer: whose model is watched.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        config: GatewayConfig,
        about: Mapping[str, object],
        trainer: Trainer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._history: History | None = None
        if config.history.enabled:
            self._history = History(history_path(config.store_file))
        self._trainer, self._clock = trainer, clock
        features = trainer.model.form.features
        self._provenance = Provenance(config.store_file, trainer.model.form)
        self._projection = Projection(features)
        self._documents: dict[str, object] = {"about": {**about, "started_at": clock()}}
        self._samples: list[SampleRow] = []
        self._events: list[tuple[float, str, Mapping[str, object]]] = []
        self._explanations: list[tuple[int, float, Mapping[str, object]]] = []
        self._next = 1 if self._history is None else self._history.last + 1
        self._due = dict.fromkeys(("map", "gains", "explain", "point"), 0.0)
        self._written = 0.0
        self._ended: deque[float] = deque(maxlen=10_000)
        self._counts: Sequence[int] = ()
        self._last_failed_at = 0.0
        self._prediction: dict[str, object] | None = None
        self._learnt = True
        if self._history is not None:
            trainer.model.watch = self._before
            trainer.after = self._after

    def event(self, kind: str, fields: Mapping[str, object]) -> None:
        """Take an event of the gateway; too many in a second are passed over."""
        if self._history is None:
            return
        if kind in {"merged", "dropped", "committed"}:
            self._provenance.look_again()
            self._learnt = True
        if kind == "failed":
            self._last_failed_at = self._clock()
        if kind in TOLD and len(self._events) < EVENTS_A_SECOND:
            self._events.append((self._clock(), kind, fields))

    def decoded(self, samples: Sequence[Sample]) -> None:
        """Take note that a round completed, with what it decoded."""
        self._ended.append(time.monotonic())
        if samples:
            self._counts = samples[-1].counts.tolist()

    def turn(self, now: float, state: Callable[[], Mapping[str, object]]) -> None:
        """Write what is new, if it is time.

        Args:
            now: monotonic.
            state: what the gateway knows of its agents, broker and chain now.
        """
        if self._history is None or now < self._written + WRITE_EVERY_S:
            return
        self._written = now
        self._map(now)
        self._documents["now"] = {**state(), **self._now(now)}
        series: dict[str, tuple[float, Mapping[str, object]]] = {}
        at = self._clock()
        if self._trainer.counters.samples and self._is_due("point", now):
            series["points"] = (at, {"n": self._next - 1, **self._trainer.counters.as_dict()})
            self._due["point"] = now + POINT_EVERY_S
        if self._learnt and self._is_due("gains", now):
            found = self._at_a_cost("gains", now, 5.0, lambda: gains(self._trainer.model))
            if found is not None:
                series["gains"] = (at, found)
        self._documents["trust"] = self._trust()
        self._learnt = False
        self._history.write(
            documents=self._documents,
            samples=self._samples,
            events=self._events,
            explanations=self._explanations,
            series=series,
        )
        self._documents = {}
        self._samples, self._events, self._explanations = [], [], []

    def close(self, state: Callable[[], Mapping[str, object]]) -> None:
        """Write the rest, and close the file."""
        if self._history is None:
            return
        self._written, self._learnt = 0.0, True
        self._due = dict.fromkeys(self._due, 0.0)
        self.turn(time.monotonic() + WRITE_EVERY_S, state)
        self._history.close()

    def _before(self, x: Floats) -> None:
        """Explain a sample's answer, before the model learns from the sample."""
        now = time.monotonic()
        if self._is_due("explain", now):
            model = self._trainer.model
            found = self._at_a_cost(
                "explain", now, 0.2, lambda: explain(model, x, self._provenance)
            )
            self._explanations.append((self._next, self._clock(), found))

    def _after(self, outcome: Outcome, before: int | None) -> None:
        """Keep what one sample was taken for.

        Args:
            outcome: of the sample.
            before: label of the labelled sample before it.
        """
        flags = NEW * outcome.new | UNKNOWN * outcome.unknown | DRIFTED * outcome.drifted
        row = (outcome.label, outcome.predicted, outcome.own, outcome.anywhere, before)
        sure = round(outcome.confidence, 4)
        self._samples.append((self._next, self._clock(), *row, sure, flags))
        self._prediction = {
            "n": self._next,
            "at": self._clock(),
            "answer": outcome.predicted,
            "label": outcome.label,
            "probabilities": [round(p, 4) for p in outcome.probabilities],
            "confidence": sure,
            "unknown": outcome.unknown,
            "new": outcome.new,
            "expert": outcome.expert,
        }
        self._next += 1
        self._learnt = True

    def _now(self, now: float) -> dict[str, object]:
        while self._ended and self._ended[0] < now - ROUNDS_WINDOW_S:
            self._ended.popleft()
        counters = self._trainer.counters
        return {
            "at": self._clock(),
            "rounds_in_the_last_minute": len(self._ended),
            "last_failed_at": self._last_failed_at,
            "prediction": self._prediction,
            "contributors": list(self._counts),
            "missing": list(self._trainer.missing),
            "prototypes": self._trainer.prototypes,
            "counters": counters.as_dict(),
        }

    def _trust(self) -> dict[str, object]:
        union = self._trainer.model.union
        sizes = {book.owner: len(book.classes) for book in union.books}
        return {
            owner: {
                "votes": trust.votes,
                "held_back": trust.held_back,
                "vetoed": owner in union.vetoed,
                "influence": round(trust.influence, 4),
                "disagreement": round(trust.disagreement, 4),
                "evidence": str(trust),
                "prototypes": sizes.get(owner, 0),
            }
            for owner, trust in union.trust.items()
        }

    def _map(self, now: float) -> None:
        if not self._learnt or not self._is_due("map", now):
            return
        self._documents["map"] = self._at_a_cost("map", now, 1.0, self._draw)

    def _draw(self) -> dict[str, object]:
        model = self._trainer.model
        books = [own_references(model.learner.live()), *model.union.books]
        classes = np.concatenate([book.classes for book in books])
        strengths = np.concatenate([book.strengths for book in books])
        at = self._projection.place(
            np.concatenate([book.features for book in books]), classes, strengths
        )
        ids = [number for book in books for number in (book.ids if book.ids is not None else ())]
        owners = np.repeat(np.arange(len(books)), [len(book.classes) for book in books])
        return {
            "at": self._clock(),
            "owners": [book.owner for book in books],
            "axes": np.round(self._projection.axes.T, 4).tolist(),
            "prototypes": [
                [int(owner), int(number), int(label), round(float(strength) ** 2, 1), x, y]
                for owner, number, label, strength, (x, y) in zip(
                    owners, ids, classes, strengths, np.round(at, 4).tolist(), strict=True
                )
            ],
        }

    def _is_due(self, part: str, now: float) -> bool:
        return now >= self._due[part]

    def _at_a_cost(self, part: str, now: float, least_s: float, work: Callable[[], T]) -> T:
        began = time.perf_counter()
        found = work()
        cost_s = time.perf_counter() - began
        self._due[part] = now + max(least_s, COSTLY * cost_s)
        return found
