"""How what was learnt is laid out when a site gets more channels or labels.

A prototype or a sample lacks the features that it was never shown: NaN, which votes and learning
leave out. What a learner has observed of a feature or class stays; of a new one it has observed
nothing, as at its start.
"""

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.errors import ModelStateError
from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.improved.metric import FeatureMetric
from protoledger.gateway.learner.improved.saved import SavedLearner, unpack
from protoledger.gateway.learner.reference.classifier import SavedReference
from protoledger.gateway.learner.saved import dump, load, pack
from protoledger.gateway.learner.saved import unpack as read


@dataclass(frozen=True, slots=True, eq=False)
class Widening:
    """Where the old features and classes are among the new ones.

    Attributes:
        features: int64 (old d,), each old feature's new index.
        classes: int64 (old c,), likewise.
        n_features: how many there are now.
        n_classes: likewise.

    >>> wider = Widening(np.array([1]), np.array([0, 1]), 2, 3)
    >>> wider.columns(np.array([[0.5]]))
    array([[nan, 0.5]])
    """

    features: NDArray[np.int64]
    classes: NDArray[np.int64]
    n_features: int
    n_classes: int

    def columns(self, rows: Floats, fill: float = np.nan) -> Floats:
        """Lay out rows, float64 (n, old d), as (n, d)."""
        wide = np.full((len(rows), self.n_features), fill)
        wide[:, self.features] = rows
        return wide

    def rows(self, of_classes: Floats, fill: float = 0.0) -> Floats:
        """Lay out what there is of each class, float64 (old c, …), as (c, …)."""
        wide = np.full((self.n_classes, *of_classes.shape[1:]), fill)
        wide[self.classes] = of_classes
        return wide

    def label(self, old: int) -> int:
        """Give a class's new index; −1 stays."""
        return -1 if old < 0 else int(self.classes[old])


def widen(state: bytes, wider: Widening) -> bytes:
    """Lay out the improved learner's state.

    Raises:
        ModelStateError: the bytes are damaged, or the old shape is another.
    """
    old = unpack(state)
    n, d, c = old.count, old.n_features, old.n_classes
    if (d, c) != (len(wider.features), len(wider.classes)):
        raise ModelStateError(f"a model of {d} features and {c} classes is not of the old site")
    held = len(old.memory_classes)
    features = load(old.features, "<f8", (n, d), np.float64, missing=True)
    memory = load(old.memory, "<f8", (held, d), np.float64, missing=True)
    return pack(
        msgspec.structs.replace(
            old,
            n_features=wider.n_features,
            n_classes=wider.n_classes,
            capacity=max(old.capacity, 2, wider.n_classes),
            classes=_relabelled(old.classes, n, wider),
            features=dump(wider.columns(features), "<f8"),
            last_label=wider.label(old.last_label),
            memory=dump(wider.columns(memory), "<f8"),
            memory_classes=_relabelled(old.memory_classes, held, wider),
            **_metric(old, wider),
        )
    )


def widen_reference(state: bytes, wider: Widening) -> bytes:
    """Lay out the reference's state; what its prototypes lack is 0, as it knows nothing missing.

    Raises:
        ModelStateError: the bytes are damaged, or the old shape is another.
    """
    old = read(state, SavedReference)
    if (old.n_features, old.n_classes) != (len(wider.features), len(wider.classes)):
        raise ModelStateError(f"a model of {old.n_features} features is not of the old shape")
    features = load(old.features, "<f8", (old.count, old.n_features), np.float64)
    seen = load(old.seen, "u1", (old.n_classes,), np.float64)
    return pack(
        msgspec.structs.replace(
            old,
            n_features=wider.n_features,
            n_classes=wider.n_classes,
            classes=_relabelled(old.classes, old.count, wider),
            features=dump(wider.columns(features, 0.0), "<f8"),
            seen=dump(wider.rows(seen), "u1"),
        )
    )


def _relabelled(classes: bytes, count: int, wider: Widening) -> bytes:
    return dump(wider.classes[load(classes, "u1", (count,), np.int64)], "u1")


def _metric(old: SavedLearner, wider: Widening) -> dict[str, bytes]:
    fresh = FeatureMetric(wider.n_features, wider.n_classes)
    d, c = old.n_features, old.n_classes
    found = {}
    for name in ("means", "within", "total", "seen", "precisions", "weights", "relevances"):
        values = getattr(fresh, name)
        values[wider.features] = load(getattr(old, name), "<f8", (d,), np.float64)
        found[name] = dump(values, "<f8")
    for name in ("class_means", "class_seen"):
        values = load(getattr(old, name), "<f8", (c, d), np.float64)
        found[name] = dump(wider.rows(wider.columns(values, 0.0)), "<f8")
    return found
