"""The built-in learners as classifiers of river (Montiel et al., JMLR 22, 2021).

river knows neither features nor labels beforehand: both may come with any sample. So the learner is
laid out again when one does (see `widening`). A feature that a sample lacks is missing for
the improved learner, and 0 for the reference, which knows no missing values.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from river import base
from river.base.typing import ClfTarget, FeatureName

from protoledger.gateway.learner import Classifier, make_learner, restore_learner
from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.widening import Widening, widen, widen_reference

WIDEN: Final = {"improved": widen, "reference": widen_reference}


class PrototypeClassifier(base.Classifier):
    """Incremental learning vector quantisation; a few dozen prototypes vote.

    Args:
        learner: `improved`, or `reference` for XuILVQ as it was published.
        capacity: Most prototypes of the improved learner, at least 2 and as many as labels.

    Raises:
        ValueError: There is no such learner.

    >>> model = PrototypeClassifier()
    >>> for t, y in [(19.0, "empty"), (23.0, "full"), (19.2, "empty"), (22.8, "full")]:
    ...     model.learn_one({"temperature": t}, y)
    >>> model.predict_one({"temperature": 22.9})
    'full'
    """

    def __init__(self, learner: str = "improved", capacity: int = 128) -> None:
        if learner not in WIDEN:
            raise ValueError(f"learner must be one of {', '.join(WIDEN)}, not {learner!r}")
        self.learner = learner
        self.capacity = capacity
        self._features: dict[FeatureName, int] = {}
        self._labels: dict[ClfTarget, int] = {}
        self._model: Classifier | None = None

    @property
    def _multiclass(self) -> bool:
        return True

    def learn_one(self, x: dict[FeatureName, Any], y: ClfTarget) -> None:
        """Learn one labelled sample; one without any feature is left out.

        Raises:
            SampleError: A feature is no finite number; nothing was learnt.
        """
        if not x:
            return
        known = len(self._features), len(self._labels)
        features, labels = dict(self._features), dict(self._labels)
        for name in sorted(x.keys() - features.keys(), key=str):  # whatever order x has
            features[name] = len(features)
        labels.setdefault(y, len(labels))
        model = self._laid_out(known, (len(features), len(labels)))
        model.learn_one(self._vector(x, features), labels[y])
        self._features, self._labels, self._model = features, labels, model

    def predict_proba_one(self, x: dict[FeatureName, Any], **_: Any) -> dict[ClfTarget, float]:
        """Return each known label's share of the vote; equal shares where nothing is known."""
        shares = np.zeros(len(self._labels))
        if self._model is not None and (x.keys() & self._features.keys()):
            shares = self._model.predict_proba_one(self._vector(x, self._features))
        if not shares.any():
            shares = np.full(len(shares), 1 / max(1, len(shares)))
        return {label: float(shares[at]) for label, at in self._labels.items()}

    def _laid_out(self, known: tuple[int, int], wanted: tuple[int, int]) -> Classifier:
        features, labels = wanted
        if self._model is None:
            capacity = max(self.capacity, labels)
            return make_learner(self.learner, features, labels, capacity=capacity)
        if known == wanted:
            return self._model
        wider = Widening(np.arange(known[0]), np.arange(known[1]), features, labels)
        return restore_learner(self.learner, WIDEN[self.learner](self._model.state(), wider))

    def _vector(self, x: dict[FeatureName, Any], features: Mapping[FeatureName, int]) -> Floats:
        vector = np.full(len(features), np.nan if self.learner == "improved" else 0.0)
        for name, value in x.items():
            if name in features:
                vector[features[name]] = value
        return vector
