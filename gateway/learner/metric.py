"""How much each feature counts in a distance: online scaling times learnt relevance.

Sources: within-class variances by Welford's update (Technometrics 4, 1962), pooled over classes and
shrunk to the total variance while few samples are known; relevances by the gradient of Hammer and
Villmann, "Generalized relevance learning vector quantization", Neural Networks 15 (2002).
We differ in the rate, which falls as 1/t to a floor so that drift is still followed, and in a floor
under each relevance: a feature that once looked useless must be able to come back.
"""

from typing import Final

import numpy as np

from gateway.learner.base import Floats

RATE: Final = 0.3
RATE_DECAY: Final = 0.03
RATE_FLOOR: Final = 0.01
RELEVANCE_FLOOR: Final = 0.2
SHRINKAGE: Final = 3.0
"""The total variance counts as this many samples against the within-class variance."""


class FeatureMetric:
    """Weights for squared distances, kept current in O(d) a sample.

    Args:
        n_features: d ≥ 1.
        n_classes: Number of labels.

    Attributes:
        weights: float64 (d,), relevance / variance / d; 0 for a feature that never varied.

    >>> metric = FeatureMetric(n_features=2, n_classes=2)
    >>> for x, y in [([0, 0], 0), ([1, 100], 0), ([2, 200], 1), ([3, 300], 1)]:
    ...     metric.observe(np.array(x, float), y)
    >>> bool(np.isclose(metric.weights[0], metric.weights[1] * 100**2))
    True
    """

    def __init__(self, n_features: int, n_classes: int) -> None:
        self.n_classes = n_classes
        self.weights: Floats = np.full(n_features, 1 / n_features)
        self.relevances: Floats = np.ones(n_features)
        self.precisions: Floats = np.ones(n_features)
        self.samples = 0
        self.class_counts: Floats = np.zeros(n_classes)
        self.class_means: Floats = np.zeros((n_classes, n_features))
        self.means: Floats = np.zeros(n_features)
        self.within: Floats = np.zeros(n_features)
        self.total: Floats = np.zeros(n_features)

    def observe(self, x: Floats, y: int) -> None:
        """Take one labelled sample into means and variances."""
        self.samples += 1
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
        # The last term keeps a feature finite that is constant in every class.
        variance = (trust * self.within + (1 - trust + 1e-9) * self.total) / self.samples
        self.precisions = np.zeros_like(variance)
        np.divide(1.0, variance, out=self.precisions, where=variance > 0)
        self.weights = self.relevances * self.precisions / len(variance)

    def learn_relevance(self, right: Floats, wrong: Floats, near: float, far: float) -> None:
        """Follow GRLVQ's gradient for one sample.

        Args:
            right: (d,) the sample minus the nearest prototype of its class.
            wrong: (d,) the sample minus the nearest prototype of any other class.
            near: Squared distance of the former.
            far: Squared distance of the latter.
        """
        both = near + far + 1e-12
        rate = max(RATE / (1 + RATE_DECAY * (self.samples - 1)), RATE_FLOOR)
        # Divided early, so that nothing overflows whatever the units.
        pull = self.precisions * (right**2 / both * (far / both) - wrong**2 / both * (near / both))
        relevances = np.maximum(self.relevances - 2 * rate * pull, RELEVANCE_FLOOR)
        self.relevances = relevances * (len(right) / relevances.sum())
        self.weights = self.relevances * self.precisions / len(right)
