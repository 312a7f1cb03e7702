"""The model beside the store: samples in, counted and saved; service and predictor share it."""

import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.errors import GatewayError, ModelStateError
from protoledger.gateway.training.features import Scaler
from protoledger.gateway.training.model import SiteModel
from protoledger.gateway.training.significance import make_test
from protoledger.gateway.training.store import Store, change_counters
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.schema import NO_LABEL, Sample, Schema

log = logging.getLogger(__name__)


@dataclass
class Counters:
    """What happened since the model was new; saved with it.

    Attributes:
        samples: labelled samples, each predicted before it was learnt.
        right: of these, predicted right by the union.
        own_right: predicted right by this gateway's own prototypes.
        unlabelled: samples without a label, which are predicted and not learnt from.
        helped: samples where the union was right and the own prototypes were not.
        commits: commits of this gateway that stand on the chain.
        gas: what they cost together.
        commits_rejected: commits that the chain refused for good.
        counted_version: the newest commit that is counted; one may be reported twice.
        outside: samples of the oracle, learnt from but not counted above.
        oracle_round: the oracle's newest round that was learnt from.
        cited_round: the newest round that a commit of this gateway named.
    """

    samples: int = 0
    right: int = 0
    own_right: int = 0
    unlabelled: int = 0
    helped: int = 0
    commits: int = 0
    gas: int = 0
    commits_rejected: int = 0
    counted_version: int = 0
    outside: int = 0
    oracle_round: int = 0
    cited_round: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return them by name."""
        return asdict(self)


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

    Raises:
        ConfigurationError: if the stored model cannot be read, or was made with another learner.
    """

    def __init__(self, config: GatewayConfig, schema: Schema, store: Store) -> None:
        self.counters = Counters()
        self.unsaved = False
        self._told_error = False
        self._scaler = Scaler(schema)
        self._store = store
        self.model = SiteModel(
            n_features=len(schema.channels),
            n_classes=max(1, len(schema.labels)),
            mode=config.learner.mode,
            capacity=config.learner.capacity,
            test=config.commit.test,
            alpha=config.commit.alpha,
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

    @property
    def prototypes(self) -> int:
        """How many prototypes of its own the model has."""
        return len(self.model.learner.live().classes)

    def take(self, samples: list[Sample]) -> int:
        """Predict, count and learn a round's samples in order; returns how many had a label."""
        labelled = 0
        for sample in samples:
            x = self._scaler.sample(sample)
            label = None if sample.label == NO_LABEL else sample.label
            try:
                outcome = self.model.step(x, label)
            except (
                GatewayError
            ) as error:  # a full model, say: predicting goes on, learning does not
                if not self._told_error:
                    log.error("a sample could not be learnt from: %s", error)  # noqa: TRY400
                self._told_error = True
                label = None
            else:
                self._tell(outcome.judged)
            if label is None:
                self.counters.unlabelled += 1
                continue
            labelled += 1
            self.counters.samples += 1
            right, own_right = bool(outcome.right), bool(outcome.own_right)
            self.counters.right += right
            self.counters.own_right += own_right
            self.counters.helped += right and not own_right
        self.unsaved = True
        return labelled

    def _tell(self, judged: tuple[str, ...]) -> None:
        for owner in judged:
            trust = self.model.union.trust[owner]
            (log.info if trust.votes and not trust.held_back else log.warning)(
                "gateway %s: %s", owner, trust
            )

    def guess(self, sample: Sample) -> int | None:
        """Return the union's label for a sample; None where it cannot tell."""
        try:
            return self.model.predict_one(self._scaler.sample(sample))
        except GatewayError:
            return None

    def take_outside(self, rows: Codebook, oracle_round: int) -> None:
        """Learn from labelled samples of the oracle, as from one's own aggregates."""
        for x, label in zip(rows.features(), rows.classes.tolist(), strict=True):
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
        """Predict the class of one row of channel values, float64 (C,), without learning."""
        return self.model.predict_one(self._scaler.scale(values))

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
    return model
