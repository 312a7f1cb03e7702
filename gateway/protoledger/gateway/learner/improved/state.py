"""What the improved learner remembers, as a few arrays that numpy and the kernels both work on.

Prototypes are columns: each feature of all prototypes lies side by side, so that distances are
summed feature by feature for many prototypes at once, in an order that both sides share.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.learner.base import NEAREST, Floats
from protoledger.gateway.learner.improved.metric import FeatureMetric

Ints = NDArray[np.int64]

SURE: Final = 0.7
"""A vote whose margin for the true label is below this founds a prototype."""
MEMORY: Final = 0.8
"""Earlier right and wrong wins fade by this at each win, so that a swap of labels is noticed."""
TOO_WRONG: Final = 0.5
MERGE_ROWS: Final = 4
"""Prototypes looked at for the cheapest merger, in turn: O(4·n·d) instead of O(n²·d)."""

DRIFT_SHIFT: Final = 0.25
"""The alarm is raised by an error rate that has gone this part of the way from its mean to 1."""
DRIFT_WEALTH: Final = 1e6
"""Where it is raised: about once in so many samples (or less) while nothing drifts."""
SUSPECT: Final = -1.0
"""Recent right wins of a prototype from before a drift: it goes first, unless it wins rightly."""
CONDEMNED: Final = 10.0
"""Recent wrong wins of one that then wins wrongly."""

# rows of `table` after the d features
WINS: Final = 0
RIGHT: Final = 1
WRONG: Final = 2
# rows of `labels`
CLASS: Final = 0
ID: Final = 1
USED: Final = 2
# elements of `head`; SAMPLES is the metric's
COUNT: Final = 1
CURSOR: Final = 2
FREE: Final = 3
REVISION: Final = 4
CAPACITY: Final = 5
LEARNT: Final = 6
DRIFTS: Final = 7
# elements of `drift`
TESTED: Final = 0
ERRORS: Final = 1
WEALTH: Final = 2


class ImprovedState:
    """Room for `capacity` prototypes and one more, which comes before an old one goes.

    Attributes:
        table: float64 (d + 3, columns): features, wins, recent right wins, recent wrong wins.
        labels: int64 (3, columns): class, id, and by id whether it is used.
        head: int64 (8,): samples since the last drift, prototypes, the merger's cursor, a bound
            below the smallest free id, the revision, the capacity, all samples, all drifts.
        drift: float64 (3,): samples and errors since the last drift, the alarm's wealth.
        metric: The feature weights.
        squares, costs, shares, rows: Room for a sample's distances, mergers, votes and voters.
        features, wins, right, wrong, classes, ids: Views into the above.
    """

    def __init__(self, n_features: int, n_classes: int, capacity: int) -> None:
        columns = (capacity + 8) // 8 * 8  # at least one more, and whole cache lines
        self.capacity = capacity
        self.table: Floats = np.zeros((n_features + 3, columns))
        self.labels: Ints = np.zeros((3, columns), dtype=np.int64)
        self.head: Ints = np.zeros(8, dtype=np.int64)
        self.head[CAPACITY] = capacity
        self.metric = FeatureMetric(n_features, n_classes, clock=self.head[:1])
        self.drift: Floats = np.array([0.0, 0.0, 1.0])
        self.squares: Floats = np.zeros(columns)
        self.costs: Floats = np.zeros(columns)
        self.shares: Floats = np.zeros(n_classes)
        self.rows: Ints = np.zeros(NEAREST, dtype=np.int64)
        self.features = self.table[:n_features]
        self.wins, self.right, self.wrong = self.table[n_features:]
        self.classes, self.ids, self._used = self.labels

    @property
    def count(self) -> int:
        """How many prototypes there are."""
        return int(self.head[COUNT])

    def insert(self, x: Floats, y: int) -> None:
        """Found a prototype at x; there is room for it."""
        at = self.count
        number = int(self._used[self.head[FREE] :].argmin() + self.head[FREE])
        self._used[number] = 1
        self.head[FREE] = number + 1
        self.ids[at], self.classes[at], self.features[:, at] = number, y, x
        self.wins[at], self.right[at], self.wrong[at] = 1, 0, 0
        self.head[COUNT] += 1
        self.head[REVISION] += 1

    def remove(self, at: int) -> None:
        """Drop a prototype; the last takes its place."""
        number = self.ids[at]
        self._used[number] = 0
        self.head[FREE] = min(self.head[FREE], number)
        self.head[COUNT] -= 1
        self.head[REVISION] += 1
        last = self.count
        self.table[:, at] = self.table[:, last]
        self.classes[at], self.ids[at] = self.classes[last], self.ids[last]

    def claim_ids(self) -> bool:
        """Mark the ids in use after they were loaded; return whether they are different ones."""
        used = self.ids[: self.count]
        self._used[used] = 1
        return int(self._used.sum()) == self.count
