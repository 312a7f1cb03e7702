"""What the improved learner remembers, as a few arrays that numpy and the kernels both work on.

Prototypes are columns: each feature of all prototypes lies side by side, so that distances are
summed feature by feature for many prototypes at once, in an order that both sides share. So are the
last labelled samples, a ring.
"""

from collections.abc import Callable
from typing import Any, Final

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
"""The alarm is raised by an error rate that has moved this part of the way from its mean to 1."""
DRIFT_WEALTH: Final = 1e6
"""Where it is raised: about once in so many samples (or less) while nothing drifts."""
SETTLED: Final = 3
"""A suspect is settled when it is among so many nearest prototypes of a labelled sample."""

LONG: Final = 200
"""Labelled samples that are remembered."""
SHORT: Final = 32
"""Of these, the last that are asked by themselves."""
NEAR: Final = 4.0
"""A memory answers where its nearest sample is at most so many times as far (d²) as usual."""
LEAD: Final = 0.02
"""Advantage over the prototypes, in accuracy, from which another expert answers."""
BETS_A_RUN: Final = 16
"""Samples of a run of equal labels that count for or against an expert."""
USUAL_FADE: Final = 0.98
OUTLIER: Final = 10.0
"""A nearest distance counts for the usual one as at most so many times that."""

# experts: rows of `shares` and of `books`
PROTOTYPES: Final = 0
LAST_FEW: Final = 1
LAST_MANY: Final = 2
CLASS_MEANS: Final = 3
EXPERTS: Final = 4
FADES: Final = (0.99, 0.99, 0.99, 0.995)
"""By expert: what an earlier advantage counts after another sample."""
# columns of `books`
ADVANTAGE: Final = 0
USUAL: Final = 1
DISTANCE: Final = 2
AWAKE: Final = 3

# rows of `table` after the d features
WINS: Final = 0
RIGHT: Final = 1
WRONG: Final = 2
# rows of `labels`
CLASS: Final = 0
ID: Final = 1
USED: Final = 2
SUSPECT: Final = 3
# elements of `head`; SAMPLES is the metric's
COUNT: Final = 1
CURSOR: Final = 2
FREE: Final = 3
REVISION: Final = 4
CAPACITY: Final = 5
LEARNT: Final = 6
DRIFTS: Final = 7
LAST_LABEL: Final = 8
RUN: Final = 9
BET: Final = 10
REMEMBERED: Final = 11
VOTERS: Final = 12
CHOSEN: Final = 13
HEAD: Final = 14
# elements of `drift`
TESTED: Final = 0
ERRORS: Final = 1
WEALTH: Final = 2
_OWN: Final = ("table", "labels", "head", "drift", "memory", "remembered", "books", "shares")


class ImprovedState:
    """Room for `capacity` prototypes and one more, which comes before an old one goes.

    Attributes:
        table: float64 (d + 3, columns): features (NaN where the prototype lacks one), wins, recent
            right wins, recent wrong wins.
        labels: int64 (4, columns): class, id, by id whether it is used, and whether the prototype
            is from before an alarm and not settled yet.
        head: int64: samples that the metric counts, prototypes, the merger's cursor, a bound below
            the smallest free id, the revision, the capacity, all samples, all drifts; the last
            label, how long its run is, and whether that run has bet on an error; samples that were
            ever remembered; of the last look, how many prototypes voted, and which expert answers.
        drift: float64 (3,): samples and errors since the last drift, the alarm's wealth.
        metric: The feature weights.
        memory: float64 (d, LONG): the last labelled samples, a ring of columns.
        remembered: int64 (LONG,): their classes.
        books: float64 (EXPERTS, 4): advantage over the prototypes; usual distance of the nearest;
            of the last look, that distance and whether the expert may answer (1) or not (0).
        shares: float64 (EXPERTS, n_classes): each expert's vote at the last look.
        squares, costs, apart, rows, local: Room for a sample's distances to prototypes, mergers,
            distances to the memory, voters, and the sample without what it lacks.
        features, wins, right, wrong, classes, ids, suspect: Views into the above.
    """

    def __init__(self, n_features: int, n_classes: int, capacity: int) -> None:
        columns = (capacity + 8) // 8 * 8  # at least one more, and whole cache lines
        self.capacity = capacity
        self.table: Floats = np.zeros((n_features + 3, columns))
        self.labels: Ints = np.zeros((4, columns), dtype=np.int64)
        self.head: Ints = np.zeros(HEAD, dtype=np.int64)
        self.head[[CAPACITY, LAST_LABEL]] = capacity, -1
        self.metric = FeatureMetric(n_features, n_classes, clock=self.head[:1])
        self.drift: Floats = np.array([0.0, 0.0, 1.0])
        self.memory: Floats = np.zeros((n_features, LONG))
        self.remembered: Ints = np.zeros(LONG, dtype=np.int64)
        self.books: Floats = np.zeros((EXPERTS, 4))
        self.books[:, USUAL] = np.inf
        self.shares: Floats = np.zeros((EXPERTS, n_classes))
        self.squares: Floats = np.zeros(columns)
        self.costs: Floats = np.zeros(columns)
        self.apart: Floats = np.zeros(LONG)
        self.rows: Ints = np.zeros(NEAREST, dtype=np.int64)
        self.local: Floats = np.zeros((2, n_features))
        self.features = self.table[:n_features]
        self.wins, self.right, self.wrong = self.table[n_features:]
        self.classes, self.ids, self._used, self.suspect = self.labels

    def __reduce__(self) -> tuple[Callable[..., "ImprovedState"], tuple[Any, ...]]:
        """Copy and pickle by the arrays that own their memory; views are made again."""
        own = {name: getattr(self, name).copy() for name in _OWN}
        shape = (len(self.features), self.metric.n_classes, self.capacity)
        return _filled, (*shape, own, self.metric.values.copy())

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
        self.wins[at], self.right[at], self.wrong[at], self.suspect[at] = 1, 0, 0, 0
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
        self.suspect[at] = self.suspect[last]

    def claim_ids(self) -> bool:
        """Mark the ids in use after they were loaded; return whether they are different ones."""
        used = self.ids[: self.count]
        self._used[used] = 1
        return int(self._used.sum()) == self.count


def _filled(
    n_features: int, n_classes: int, capacity: int, own: dict[str, Any], metric: Floats
) -> ImprovedState:
    state = ImprovedState(n_features, n_classes, capacity)
    for name, values in own.items():
        getattr(state, name)[:] = values
    state.metric.values[:] = metric
    return state
