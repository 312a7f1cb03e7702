"""A learner: one prototype a class, the mean of its samples.

The base class keeps prototypes, their vote and saved states; a learner says what a sample does.
"""

import numpy as np

from protoledger.gateway.learner.own import PrototypeLearner


class ClassMeans(PrototypeLearner):
    """The mean of each class.

    >>> model = ClassMeans(n_features=1, n_classes=2)
    >>> for x, y in [(0.0, 0), (0.2, 0), (1.0, 1)]:
    ...     model.learn_one([x], y)
    >>> model.prototypes().features.tolist(), model.predict_one([0.3])
    ([[0.1], [1.0]], 0)
    """

    def _learn(self, x: np.ndarray, y: int, margin: float) -> None:  # noqa: ARG002
        rows = np.flatnonzero(self.classes == y)
        if len(rows):
            self.move(rows[0], x, rate=1 / (self.wins[rows[0]] + 1))
        else:
            self.add(x, y)
