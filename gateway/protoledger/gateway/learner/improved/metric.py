"""How much each feature counts in a distance: online scaling times learnt relevance.

Sources: within-class variances by Welford's update (Technometrics 4, 1962), pooled over classes and
shrunk to the total variance while few samples are known; relevances by the gradient of Hammer and
Villmann, "Generalized relevance learning vector quantization", Neural Networks 15 (2002).
We differ in the rate, which falls as 1/t to a floor so that drift is still followed, and in a floor
under each relevance: a feature that once looked useless must be able to come back.
"""

from typing import Final

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

# rows of `values`
WEIGHTS: Final = 0
RELEVANCES: Final = 1
PRECISIONS: Final = 2
MEANS: Final = 3
WITHIN: Final = 4
TOTAL: Final = 5
CLASS_MEANS: Final = 6
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
        self.class_counts: Floats = np.zeros(n_classes)
        self.weights: Floats
        self.values: Floats = np.zeros((CLASS_MEANS + n_classes, n_features))
        self.weights, self.relevances, self.precisions = self.values[:MEANS]
        self.means, self.within, self.total = self.values[MEANS:CLASS_MEANS]
        self.class_means = self.values[CLASS_MEANS:]
        self.weights[:] = 1 / n_features
        self.relevances[:] = 1
        self.precisions[:] = 1

    @property
    def samples(self) -> int:
        """How many samples were observed."""
        return int(self.clock[SAMPLES])

    def observe(self, x: Floats, y: int) -> None:
        """Take one labelled sample into means and variances."""
        self.clock[SAMPLES] += 1
        self.class_counts[y] += 1
        mean = self.class_means[y]
        off = x - mean
        mean += off / self.class_counts[y]
        self.within += off * (x - mean)
        off = x - self.means
        self.means += off / self.samples
        self.total += off * (x - self.means)
        self.refresh()

    def refresh(self) -> None:
        """Recompute `precisions` and `weights` from what was observed."""
        if self.samples < 2:
            return
        known = max(self.samples - self.n_classes, 0)
        trust = known / (known + SHRINKAGE)
        variance = (trust * self.within + (1 - trust + CONSTANT) * self.total) / self.samples
        self.precisions[:] = 0
        np.divide(1.0, variance, out=self.precisions, where=variance > NO_VARIANCE)
        self._weigh()

    def forget(self) -> None:
        """Forget all that was observed; the weights stay until two samples were."""
        self.clock[SAMPLES] = 0
        self.class_counts[:] = 0
        self.values[MEANS:] = 0

    def learn_relevance(self, right: Floats, wrong: Floats, near: float, far: float) -> None:
        """Follow GRLVQ's gradient for one sample.

        Args:
            right: (d,) the sample minus the nearest prototype of its class.
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
        np.maximum(self.relevances - 2 * rate * pull, RELEVANCE_FLOOR, out=self.relevances)
        # The last of the running sums: numpy's own sum would choose its order.
        self.relevances *= len(right) / np.add.accumulate(self.relevances)[-1]
        self._weigh()

    def _weigh(self) -> None:
        self.weights[:] = self.relevances * self.precisions / len(self.weights)
