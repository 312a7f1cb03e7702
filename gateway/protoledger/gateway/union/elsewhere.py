"""What separates classes elsewhere, learnt from all owners' prototypes: the metric of `anywhere`.

A site's own metric says what separates classes *here*: a channel that hardly varies at this site,
or tells nothing there, may be what decides at another. Every prototype is a labelled place that its
owner has seen, so the prototypes of all owners together are rows from everywhere, and a metric is
learnt from them as from samples: precisions from their variances within classes, relevances by
GRLVQ's gradient (Hammer, Villmann, Neural Networks 15, 2002) over pairs of nearest neighbours that
are found once. Neither metric is right by itself: prototypes are few, and samples are from one site
only. `anywhere` takes their geometric mean; there a feature counts as elsewhere that never varied
here.

We differ from GRLVQ in that all pairs are in one batch, because there is no order among owners, and
in that owners weigh the same, however many prototypes they have.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.improved.metric import CONSTANT, NO_VARIANCE, RELEVANCE_FLOOR
from protoledger.gateway.learner.improved.metric import SHRINKAGE as TOTAL_COUNTS
from protoledger.gateway.union.influence import References
from protoledger.gateway.union.veto import distances

STEPS: Final = 40
AT_ONCE: Final = 512
"""Prototypes whose distances to all others are held at a time."""
Pairs = tuple[Floats, Floats, Floats]
"""Squared differences (n, d) to the nearest of the class and to the nearest other, weights (n,)."""


def metric_of(books: Sequence[References], n_classes: int) -> Floats | None:
    """Return the weight of each feature in squared distances, as prototypes tell: float64 (d,).

    Args:
        books: the codebooks, the site's own among them.
        n_classes: number of labels.

    Returns:
        None if nothing can be said: no two classes have prototypes.

    >>> places = np.array([[0.0, 0.3], [0.1, 0.9], [1.0, 0.4], [1.1, 0.8]])
    >>> book = References("a", places, np.array([0, 0, 1, 1]), np.ones(4))
    >>> found = metric_of([book], 2)
    >>> bool(found[0] > 3 * found[1])
    True
    """
    books = [book for book in books if len(book.classes)]
    if len(np.unique(np.concatenate([[-1], *(book.classes for book in books)]))) < 3:
        return None
    precisions = _precisions(books, n_classes)
    return _relevances(_pairs(books, precisions), precisions) * precisions / len(precisions)


def between(here: Floats, elsewhere: Floats) -> Floats:
    """Return the metric of `anywhere` from what a site and what all owners' prototypes tell."""
    mean: Floats = np.where(here > 0, np.sqrt(here * elsewhere), elsewhere)
    return mean


def _precisions(books: Sequence[References], n_classes: int) -> Floats:
    """Return 1 / variance within classes of each feature, of samples that prototypes stand for."""
    features = np.concatenate([book.features for book in books])
    classes = np.concatenate([book.classes for book in books])
    weights = np.concatenate([book.strengths for book in books])[:, None] ** 2
    weights = np.where(np.isnan(features), 0.0, weights)
    features = np.nan_to_num(features)
    seen = np.maximum(weights.sum(axis=0), CONSTANT)
    total = (weights * (features - (weights * features).sum(axis=0) / seen) ** 2).sum(axis=0)
    within = np.zeros(features.shape[1])
    for label in range(n_classes):
        f, w = features[classes == label], weights[classes == label]
        mean = (w * f).sum(axis=0) / np.maximum(w.sum(axis=0), CONSTANT)
        within += (w * (f - mean) ** 2).sum(axis=0)
    known = max(len(classes) - n_classes, 0)
    trust = known / (known + TOTAL_COUNTS)
    variance = (trust * within + (1 - trust + CONSTANT) * total) / seen
    precisions = np.zeros(len(variance))
    np.divide(1.0, variance, out=precisions, where=variance > NO_VARIANCE)
    return precisions


def _pairs(books: Sequence[References], precisions: Floats) -> Pairs:
    features = np.concatenate([book.features for book in books])
    classes = np.concatenate([book.classes for book in books])
    weights = np.concatenate([book.strengths / book.strengths.sum() for book in books])
    near, far = np.zeros_like(features), np.zeros_like(features)
    paired = np.zeros(len(classes), np.bool_)
    metric = precisions / len(precisions)
    for start in range(0, len(classes), AT_ONCE):
        rows = np.arange(start, min(start + AT_ONCE, len(classes)))
        squares = distances(features[rows], features, metric)
        squares[np.arange(len(rows)), rows] = np.inf
        same = classes[rows][:, None] == classes
        own, other = np.where(same, squares, np.inf), np.where(same, np.inf, squares)
        paired[rows] = np.isfinite(own.min(axis=1)) & np.isfinite(other.min(axis=1))
        near[rows] = (features[rows] - features[own.argmin(axis=1)]) ** 2
        far[rows] = (features[rows] - features[other.argmin(axis=1)]) ** 2
    weights = weights[paired]
    return (
        np.nan_to_num(near[paired]),  # a feature that either lacks tells nothing
        np.nan_to_num(far[paired]),
        weights / max(float(weights.sum()), CONSTANT),
    )


def _relevances(pairs: Pairs, precisions: Floats) -> Floats:
    near, far, weights = pairs
    d = len(precisions)
    near, far = near * precisions, far * precisions
    relevances = np.ones(d)
    for _ in range(STEPS):
        right, wrong = near @ relevances / d, far @ relevances / d
        steep = weights / (right + wrong + 1e-12) ** 2
        pull = (steep * wrong) @ near - (steep * right) @ far
        relevances = np.maximum(relevances - pull, RELEVANCE_FLOOR)
        relevances *= d / relevances.sum()
    return relevances
