"""What the reference learner remembers, as arrays that numpy and the kernels both work on.

Prototypes are columns, as in `improved_state`. An edge is two halves that lie side by side, one in
the list of each end: half h belongs to the edge h // 2 and its other end has the half h ^ 1. Lists
keep the order in which edges were tied, because sums over a prototype's edges run in that order.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.errors import PrototypeLimitError
from protoledger.gateway.learner.base import NEAREST, Floats

Ints = NDArray[np.int64]

AGE_OLD: Final = 400
"""An edge that its winner has aged beyond this goes."""
GAMMA: Final = 150
"""Samples between two denoisings."""
RUNNER_SHARE: Final = 100
"""The neighbours' learning rate is the winner's divided by this."""
MAX_PROTOTYPES: Final = 65_536
NONE: Final = -1
"""No half: the end of a list."""

# rows of `labels`
CLASS: Final = 0
ID: Final = 1
FIRST: Final = 2
LAST: Final = 3
DEGREE: Final = 4
MARK: Final = 5
# rows of `halves`; a free edge has its NEXT free edge's first half in its own
TARGET: Final = 0
NEXT: Final = 1
PREVIOUS: Final = 2
AGE: Final = 3
# elements of `head`
SAMPLES: Final = 0
COUNT: Final = 1
HALVES: Final = 2
FREE_HALF: Final = 3
FREE_ID: Final = 4
REVISION: Final = 5


class XuState:
    """Prototypes in the order of their insertion, and their graph; `make_room` lets it grow.

    Attributes:
        table: float64 (d + 1, columns): features, wins.
        labels: int64 (6, columns): class, id, first and last half, number of edges, a mark.
        halves: int64 (4, 2·edges): the row at the other end, next and previous half of this end's
            list, and (in an edge's first half) its age.
        head: int64 (6,): samples, prototypes, halves ever used, a free edge's first half, a bound
            below the smallest free id, the revision.
        rates: float64 (2,), the winner's and its neighbours' learning rate.
        used: uint8 by id, whether it is used.
        seen: uint8 by class, whether a prototype ever had it.
        metric: Ones: distances are plain.
        squares, shares, rows: Room for a sample's distances, votes and voters.
    """

    def __init__(self, n_features: int, n_classes: int) -> None:
        self.table: Floats = np.zeros((n_features + 1, 64))
        self.labels: Ints = np.zeros((6, 64), dtype=np.int64)
        self.halves: Ints = np.zeros((4, 256), dtype=np.int64)
        self.head: Ints = np.array([0, 0, 0, NONE, 0, 0])
        self.rates: Floats = np.array([0.9, 0.1])
        self.used = np.zeros(MAX_PROTOTYPES, dtype=np.uint8)
        self.seen = np.zeros(n_classes, dtype=np.uint8)
        self.metric: Floats = np.ones(n_features)
        self.squares: Floats = np.zeros(64)
        self.shares: Floats = np.zeros(n_classes)
        self.rows: Ints = np.zeros(NEAREST, dtype=np.int64)

    @property
    def count(self) -> int:
        """How many prototypes there are."""
        return int(self.head[COUNT])

    @property
    def features(self) -> Floats:
        """float64 (d, n), a view."""
        return self.table[:-1, : self.count]

    @property
    def wins(self) -> Floats:
        """float64 (n,), a view."""
        return self.table[-1, : self.count]

    @property
    def classes(self) -> Ints:
        """int64 (n,), a view."""
        return self.labels[CLASS, : self.count]

    @property
    def ids(self) -> Ints:
        """int64 (n,), a view."""
        return self.labels[ID, : self.count]

    def make_room(self, prototypes: int = 1, edges: int = 1) -> None:
        """Let so many more fit; the arrays are others afterwards.

        Raises:
            PrototypeLimitError: Ids cannot name that many; nothing changed.
        """
        if self.count + prototypes > MAX_PROTOTYPES:
            raise PrototypeLimitError(f"{MAX_PROTOTYPES} prototypes are all that ids can name")
        if self.count + prototypes > self.table.shape[1]:
            columns = min(2 * (self.count + prototypes), MAX_PROTOTYPES)
            self.table = _widened(self.table, columns)
            self.labels = _widened(self.labels, columns)
            self.squares = np.zeros(columns)
        if self.head[FREE_HALF] == NONE or edges > 1:
            wanted = int(self.head[HALVES]) + 2 * edges
            if wanted > self.halves.shape[1]:
                self.halves = _widened(self.halves, 2 * wanted)

    def insert(self, x: Floats, y: int) -> None:
        """Found a prototype at x; there is room for it."""
        at, free = self.count, self.head[FREE_ID]
        number = int(self.used[free:].argmin() + free)
        self.used[number], self.head[FREE_ID] = 1, number + 1
        self.labels[:, at] = (y, number, NONE, NONE, 0, 0)
        self.table[:-1, at], self.table[-1, at] = x, 0
        self.seen[y] = 1
        self.head[COUNT] += 1
        self.head[REVISION] += 1

    def edges_of(self, row: int) -> Iterator[tuple[int, int]]:
        """Yield a prototype's halves, each with the row at the other end, in their order."""
        half = int(self.labels[FIRST, row])
        while half != NONE:
            following = int(self.halves[NEXT, half])  # the half may be untied meanwhile
            yield half, int(self.halves[TARGET, half])
            half = following

    def tie(self, a: int, b: int) -> int:
        """Tie two prototypes by an edge of age 0; return its half at `a`."""
        half = int(self.head[FREE_HALF])
        if half == NONE:
            half = int(self.head[HALVES])
            self.head[HALVES] += 2
        else:
            self.head[FREE_HALF] = self.halves[NEXT, half]
        self.halves[AGE, half] = 0
        self.append(half, a, b)
        self.append(half + 1, b, a)
        return half

    def append(self, half: int, row: int, target: int) -> None:
        """Put a half at the end of a prototype's list."""
        last = int(self.labels[LAST, row])
        self.halves[:3, half] = (target, NONE, last)
        if last == NONE:
            self.labels[FIRST, row] = half
        else:
            self.halves[NEXT, last] = half
        self.labels[LAST, row] = half
        self.labels[DEGREE, row] += 1

    def untie(self, half: int) -> None:
        """Drop the edge of a half."""
        for one in (half, half ^ 1):
            row = int(self.halves[TARGET, one ^ 1])
            before, after = int(self.halves[PREVIOUS, one]), int(self.halves[NEXT, one])
            if before == NONE:
                self.labels[FIRST, row] = after
            else:
                self.halves[NEXT, before] = after
            if after == NONE:
                self.labels[LAST, row] = before
            else:
                self.halves[PREVIOUS, after] = before
            self.labels[DEGREE, row] -= 1
        first = half & ~1
        self.halves[NEXT, first] = self.head[FREE_HALF]
        self.head[FREE_HALF] = first

    def age(self, half: int) -> int:
        """Return an edge's age, by any of its halves."""
        return int(self.halves[AGE, half & ~1])

    def restore_edges(self, halves: list[list[int]]) -> bool:
        """Tie what was saved as (row, row, age) from both ends; return whether that is possible."""
        ages = {(a, b): age for a, b, age in halves}
        if len(ages) != len(halves) or any(
            a == b or a >= self.count or ages.get((b, a)) != age for (a, b), age in ages.items()
        ):
            return False
        self.labels[FIRST:DEGREE, : self.count] = NONE
        first: dict[tuple[int, int], int] = {}
        for a, b, age in halves:
            if (b, a) in first:
                self.append(first[b, a] + 1, a, b)
                continue
            first[a, b] = half = int(self.head[HALVES])
            self.head[HALVES] += 2
            self.halves[AGE, half] = age
            self.append(half, a, b)
        return True

    def remove(self, gone: list[int]) -> None:
        """Drop prototypes that have no edges any more; the others keep their order."""
        self.used[self.ids[gone]] = 0
        self.head[FREE_ID] = min(int(self.head[FREE_ID]), *self.ids[gone].tolist())
        kept = np.delete(np.arange(self.count), gone)
        moved_to = np.zeros(self.count, dtype=np.int64)
        moved_to[kept] = np.arange(len(kept))
        for row in kept.tolist():
            for half, target in self.edges_of(row):
                self.halves[TARGET, half] = moved_to[target]
        self.table[:, : len(kept)] = self.table[:, kept]
        self.labels[:, : len(kept)] = self.labels[:, kept]
        self.head[COUNT] = len(kept)
        self.head[REVISION] += 1


def _widened(array: np.ndarray, columns: int) -> np.ndarray:
    wider = np.zeros((len(array), columns), dtype=array.dtype)
    wider[:, : array.shape[1]] = array
    return wider
