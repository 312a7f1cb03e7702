"""The model beside the store: samples in, counted and saved; service and predictor share it."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.errors import GatewayError, ModelStateError
from protoledger.gateway.training.answers import SiteAnswer
from protoledger.gateway.training.commits import Omissions
from protoledger.gateway.training.counters import Counters
from protoledger.gateway.training.features import Scaler
from protoledger.gateway.training.model import SiteModel
from protoledger.gateway.training.outcome import Outcome
from protoledger.gateway.training.significance import make_test
from protoledger.gateway.training.store import Store, change_counters
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.schema import NO_LABEL, Sample, Schema

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a gateway's events should tell.

    Attributes:
        event: its name.
        fields: what it says.
    """

    event: str
    fields: Mapping[str, object]


class Trainer:
    """A gateway's model, its counters, and their place in the store.

    Args:
        config: of the gateway.
        schema: of the site.
        store: where the model is, or will be.

    Attributes:
        model: what is learnt; its commits and its union are taken care of there, and who changes
            them sets `unsaved`.
        counters: what happened.
        unsaved: whether there is anything to save.
        last: what the last sample's step returned; None if it could not be predicted.
        missing: names of the channels that the last sample lacked.
        after: called with each sample's outcome and the label before it; changes nothing.

    Raises:
        ConfigurationError: if the stored model cannot be read, or was made with another learner.
    """

    def __init__(self, config: GatewayConfig, schema: Schema, store: Store) -> None:
        self.counters = Counters()
        self.unsaved = False
        self.last: Outcome | None = None
        self.missing: tuple[str, ...] = ()
        self.after: Callable[[Outcome, int | None], None] | None = None
        self._notices: list[Notice] = []
        self._told_error = False
        self._scaler = Scaler(schema, keeps=config.learner.mode == "reference")
        self._store = store
        self.model = SiteModel(
            n_features=len(schema.channels),
            n_classes=max(1, len(schema.labels)),
            mode=config.learner.mode,
            capacity=config.learner.capacity,
            test=config.commit.test,
            alpha=config.commit.alpha,
            omissions=Omissions.of(config.ledger, len(schema.channels)),
        )
        if (saved := store.model()) is not None:
            try:
                self.model = _as_configured(SiteModel.restore(saved[0]), config)
                self.counters = msgspec.json.decode(saved[1], type=Counters)
            except (ModelStateError, msgspec.DecodeError) as error:
                raise ConfigurationError(
                    f"{config.store_file}: the model in it cannot be used ({error}); "
                    f"move the file away to start over"
                ) from error
        self.model.union.site = config.id

    @property
    def prototypes(self) -> int:
        """How many prototypes of its own the model has."""
        return len(self.model.learner.live().classes)

    def take(self, samples: list[Sample]) -> int:
        """Predict, count and learn a round's samples in order; returns how many had a label."""
        before = self.counters.samples
        for sample in samples:
            x = self._scaler.sample(sample)
            self._note_missing()
            self.last = None
            if np.isnan(x).all():
                self.counters.unlabelled += 1
                continue
            label = None if sample.label == NO_LABEL else sample.label
            try:
                self.last = self.model.step(x, label)
            except GatewayError as error:  # a full model, say: predicting goes on, learning not
                if not self._told_error:
                    log.error("a sample could not be learnt from: %s", error)  # noqa: TRY400
                self._told_error = True
                self.counters.unlabelled += 1
            else:
                last = self.counters.last_label
                self.counters.count(self.last)
                self._report(self.last)
                if self.after is not None:
                    self.after(self.last, None if last < 0 else last)
        self.unsaved = True
        return self.counters.samples - before

    def take_notices(self) -> list[Notice]:
        """Return what is worth an event since the last call."""
        notices, self._notices = self._notices, []
        return notices

    def _report(self, outcome: Outcome) -> None:
        for owner in outcome.judged:
            trust = self.model.union.trust[owner]
            vetoed = owner in self.model.union.vetoed
            (log.info if trust.votes and not trust.held_back and not vetoed else log.warning)(
                "gateway %s: %s%s",
                owner,
                trust,
                "; the samples of this site contradict it: it has no vote here" if vetoed else "",
            )
        if outcome.drifted:
            log.warning(
                "the learner notices that what it learnt holds no more (%d so far)",
                self.counters.drifts,
            )
            self._notices.append(Notice("drift", {"drifts": self.counters.drifts}))

    def _note_missing(self) -> None:
        missing = self._scaler.missing
        if missing == self.missing:
            return
        self.missing = missing
        self._notices.append(Notice("channels", {"missing": list(missing)}))
        if missing:
            log.warning("no values of %s: left out of learning and voting", ", ".join(missing))
        else:
            log.info("all channels have values again")

    def take_outside(self, rows: Codebook, oracle_round: int) -> None:
        """Learn from labelled samples of the oracle, as from one's own aggregates."""
        for x, label in zip(rows.features(), rows.classes.tolist(), strict=True):
            if self.model.learner.takes_missing or not np.isnan(x).any():
                self.model.step(x, label)
        self.counters.outside += len(rows)
        self.counters.oracle_round = max(self.counters.oracle_round, oracle_round)
        self.unsaved = True

    @property
    def round_to_cite(self) -> int:
        """The oracle's round that the next commit is to name; 0 if it learnt from no newer one."""
        newest = self.counters.oracle_round
        return newest if newest > self.counters.cited_round else 0

    def cite(self, oracle_round: int) -> None:
        """Note that a commit names a round."""
        self.counters.cited_round = max(self.counters.cited_round, oracle_round)
        self.unsaved = True

    def predict(self, values: NDArray[np.float64]) -> int | None:
        """Predict the class of one row of channel values, float64 (C,), without learning.

        NaN stands for a channel without a value; None is the answer if no channel has one.
        """
        answer = self.answer(values)
        return None if answer is None else answer.label

    def answer(self, values: NDArray[np.float64]) -> SiteAnswer | None:
        """Return all that the model says of one row, as `predict` takes it."""
        x = self.prepared(values)
        return None if x is None else self.model.answer(x)

    def prepared(self, values: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return one row of channel values as the model takes it; None without any value."""
        scaled = self._scaler.scale(values)
        if not self.model.learner.takes_missing:  # as the scaler does for what was never read
            scaled = np.where(np.isnan(scaled), 0.5, scaled)
        return None if np.isnan(scaled).all() else scaled

    def count_commit(self, version: int, gas_used: int) -> None:
        """Count a commit of this gateway, once."""
        if version > self.counters.counted_version:
            self.counters.counted_version = version
            self.counters.commits += 1
            self.counters.gas += gas_used
            self.unsaved = True

    def count_rejection(self) -> None:
        """Count a commit that the chain refused for good."""
        self.counters.commits_rejected += 1
        self.unsaved = True

    def save(self) -> None:
        """Keep model and counters, if they changed."""
        if self.unsaved:
            self._store.save(self.model.state(), msgspec.json.encode(self.counters))
            self.unsaved = False


def forget_chain(store_file: Path) -> None:
    """Let a stopped gateway's counters start over where they are numbers of a chain's."""

    def started_over(saved: bytes) -> bytes:
        counters = msgspec.json.decode(saved, type=Counters)
        counters.counted_version = counters.oracle_round = counters.cited_round = 0
        return msgspec.json.encode(counters)

    change_counters(store_file, started_over)


def _as_configured(model: SiteModel, config: GatewayConfig) -> SiteModel:
    """Let a restored model go on under the present configuration.

    Raises:
        ModelStateError: if it was learnt by the other learner.
    """
    if model.mode != config.learner.mode:
        raise ModelStateError(
            f"it was learnt in mode {model.mode!r}, learner.mode is {config.learner.mode!r}"
        )
    wanted = config.commit
    if (model.commits.test.name, model.commits.test.alpha) != (wanted.test, wanted.alpha):
        model.commits.test = make_test(wanted.test, wanted.alpha)
        model.commits.test.reset(first=not len(model.commits.base))
    model.commits.omissions = Omissions.of(config.ledger, model.form.features)
    return model
