"""How much each feature counts in a distance: online scaling times learnt relevance.

Sources: within-class variances by Welford's update (Technometrics 4, 1962), pooled over classes and
shrunk to the total variance while few samples are known; relevances by the gradient of Hammer and
Villmann, "Generalized relevance learning vector quantization", Neural Networks 15 (2002).
We differ in the rate, which falls as 1/t to a floor so that drift is still followed, and in a floor
under each relevance: a feature that once looked useless must be able to come back. A feature that a
sample lacks (NaN) leaves its means, variances and relevance alone: each feature counts for itself
how often it was seen.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.learner.base import Floats

RATE: Final = 0.3
RATE_DECAY: Final = 0.03
RATE_FLOOR: Final = 0.01
RELEVANCE_FLOOR: Final = 0.2
SHRINKAGE: Final = 3.0
"""The total variance counts as this many samples against the within-class variance."""
CONSTANT: Final = 1e-9
"""Share of the total variance that keeps a feature finite which is constant in every class."""
NO_VARIANCE: Final = 1e-100
"""A feature that varies no more weighs nothing: its precision times a square would overflow."""

MEMORY: Final = 500.0
"""Class means are of the last samples of a class, about so many."""
KEPT: Final = 300.0
"""After an alarm, what was observed counts as at most so many samples."""

# rows of `values`; the class means follow, and then how often each class showed each feature
WEIGHTS: Final = 0
RELEVANCES: Final = 1
PRECISIONS: Final = 2
MEANS: Final = 3
WITHIN: Final = 4
TOTAL: Final = 5
SEEN: Final = 6
CLASS_MEANS: Final = 7
# element of the clock
SAMPLES: Final = 0


class FeatureMetric:
    """Weights for squared distances, kept current in O(d) a sample.

    All arrays but `class_counts` are views into `values`, which the kernels work on.

    Args:
        n_features: d ≥ 1.
        n_classes: Number of labels.
        clock: int64 (1,), counts the samples; its owner may have it elsewhere.

    Attributes:
        weights: float64 (d,), relevance / variance / d; 0 for a feature that never varied.
        relevances: float64 (d,), mean 1.
        precisions: float64 (d,), 1 / within-class variance; 0 for a feature that never varied.
        means: float64 (d,), of all samples.
        within: float64 (d,), sum of squared differences from the class means.
        total: float64 (d,), from the means.
        seen: float64 (d,), how often each feature was observed.
        class_means: float64 (n_classes, d).
        class_seen: float64 (n_classes, d), how often each class showed each feature.

    >>> metric = FeatureMetric(n_features=2, n_classes=2)
    >>> for x, y in [([0, 0], 0), ([1, 100], 0), ([2, 200], 1), ([3, 300], 1)]:
    ...     metric.observe(np.array(x, float), y)
    >>> bool(np.isclose(metric.weights[0], metric.weights[1] * 100**2))
    True
    """

    def __init__(
        self, n_features: int, n_classes: int, *, clock: NDArray[np.int64] | None = None
    ) -> None:
        self.n_classes = n_classes
        self.clock = np.zeros(1, dtype=np.int64) if clock is None else clock
        self.values: Floats = np.zeros((CLASS_MEANS + 2 * n_classes, n_features))
        self.weights: Floats
        self.weights, self.relevances, self.precisions = self.values[:MEANS]
        self.means, self.within, self.total = self.values[MEANS:SEEN]
        self.seen = self.values[SEEN]
        self.class_means = self.values[CLASS_MEANS : CLASS_MEANS + n_classes]
        self.class_seen = self.values[CLASS_MEANS + n_classes :]
        self.weights[:] = 1 / n_features
        self.relevances[:] = 1
        self.precisions[:] = 1

    def __reduce__(self) -> tuple[Callable[..., "FeatureMetric"], tuple[Any, ...]]:
        """Copy and pickle by `values` and the clock, whose views are made again."""
        shape = (self.values.shape[1], self.n_classes)
        return _filled, (*shape, self.clock.copy(), self.values.copy())

    @property
    def samples(self) -> int:
        """How many samples were observed."""
        return int(self.clock[SAMPLES])

    def observe(self, x: Floats, y: int) -> None:
        """Take one labelled sample into means and variances; NaN in it is left out."""
        self.clock[SAMPLES] += 1
        there = ~np.isnan(x)
        shown, mean = self.class_seen[y], self.class_means[y]
        shown[there] = np.minimum(shown[there] + 1, MEMORY)
        off = x[there] - mean[there]
        mean[there] += off / shown[there]
        self.within[there] += off * (x[there] - mean[there])
        self.seen[there] += 1
        off = x[there] - self.means[there]
        self.means[there] += off / self.seen[there]
        self.total[there] += off * (x[there] - self.means[there])
        self.refresh()

    def refresh(self) -> None:
        """Recompute `precisions` and `weights` of the features that were seen twice."""
        often = self.seen >= 2
        seen = self.seen[often]
        known = np.maximum(seen - self.n_classes, 0)
        trust = known / (known + SHRINKAGE)
        within, total = self.within[often], self.total[often]
        variance = (trust * within + (1 - trust + CONSTANT) * total) / seen
        precisions = np.zeros(len(seen))
        np.divide(1.0, variance, out=precisions, where=variance > NO_VARIANCE)
        self.precisions[often] = precisions
        self._weigh(often)

    def forget(self) -> None:
        """Let all that was observed count as few samples, and class means begin again."""
        self.clock[SAMPLES] = min(self.samples, int(KEPT))
        kept = np.minimum(self.seen, KEPT)
        share = np.divide(kept, self.seen, out=np.ones(len(kept)), where=self.seen > KEPT)
        self.within *= share
        self.total *= share
        self.seen[:] = kept
        self.class_seen[:] = 0

    def learn_relevance(self, right: Floats, wrong: Floats, near: float, far: float) -> None:
        """Follow GRLVQ's gradient for one sample.

        Args:
            right: (d,) the sample minus the nearest prototype of its class; NaN where either lacks
                the feature.
            wrong: (d,) the sample minus the nearest prototype of any other class.
            near: Squared distance of the former.
            far: Squared distance of the latter.
        """
        both = near + far + 1e-12
        if both == np.inf:
            return
        rate = max(RATE / (1 + RATE_DECAY * (self.samples - 1)), RATE_FLOOR)
        # Divided early, so that nothing overflows whatever the units.
        pull = self.precisions * (right**2 / both * (far / both) - wrong**2 / both * (near / both))
        pull = np.where(np.isnan(pull), 0.0, pull)
        np.maximum(self.relevances - 2 * rate * pull, RELEVANCE_FLOOR, out=self.relevances)
        # The last of the running sums: numpy's own sum would choose its order.
        self.relevances *= len(right) / np.add.accumulate(self.relevances)[-1]
        self._weigh(self.seen >= 2)

    def _weigh(self, often: NDArray[np.bool_]) -> None:
        d = len(self.weights)
        self.weights[often] = self.relevances[often] * self.precisions[often] / d


def _filled(
    n_features: int, n_classes: int, clock: NDArray[np.int64], values: Floats
) -> FeatureMetric:
    metric = FeatureMetric(n_features, n_classes, clock=clock)
    metric.values[:] = values
    return metric
