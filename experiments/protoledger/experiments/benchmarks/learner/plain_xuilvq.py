"""XuILVQ in plain Python, a prototype at a time: the learner is held to its decisions and speed.

Written from the paper (Xu, Shen, Zhao, Neural Computing and Applications 21, 2012) and from what
docs/xuilvq.md lists of the published implementation, which is not packaged and so cannot be run
here: dictionaries, loops, numpy for single vectors only, as that one is written.
"""

import math

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class PlainXuILVQ:
    """Reference mode without any array of prototypes.

    Attributes:
        position, label, wins: Of each prototype, by its number of insertion.
        age: Of each edge, by its two prototypes, the smaller first.

    >>> model = PlainXuILVQ()
    >>> for value, label in [(0.0, 0), (1.0, 1), (0.1, 0), (0.2, 0), (0.9, 1)]:
    ...     model.learn_one(np.array([value]), label)
    >>> model.predict_one(np.array([0.05])), len(model.position)
    (0, 4)
    """

    def __init__(self) -> None:
        self.time, self.inserted, self.rates = 0, 0, (0.9, 0.1)
        self.position: dict[int, Vector] = {}
        self.label: dict[int, int] = {}
        self.wins: dict[int, int] = {}
        self.age: dict[tuple[int, int], int] = {}
        self.known: set[int] = set()

    def learn_one(self, x: Vector, y: int) -> None:
        """Learn one labelled sample."""
        self.time += 1
        if len(self.position) <= 2:
            self._insert(x, y)
            return
        first, second = self.nearest(x, 2)
        if (
            y not in self.known
            or self.distance(first, x) > self._threshold(first)
            or self.distance(second, x) > self._threshold(second)
        ):
            self._insert(x, y)
            return
        self.age.setdefault((min(first, second), max(first, second)), 0)
        for edge in self.age:
            self.age[edge] += first in edge
        self.wins[first] += 1
        sign = 1 if self.label[first] == y else -1
        self.position[first] += sign * self.rates[0] * (x - self.position[first])
        for j in self._neighbours(first):
            if (self.label[j] == y) == (sign == -1):
                self.position[j] -= sign * self.rates[1] * (x - self.position[j])
        self.age = {edge: age for edge, age in self.age.items() if age <= 400}
        self.rates = (1 / self.wins[first], 1 / (100 * self.wins[first]))
        if self.time % 150 == 0:
            self._denoise()

    def predict_one(self, x: Vector) -> int | None:
        """Return the label that the 5 nearest vote for, None before the first sample."""
        votes: dict[int, float] = {}
        for i in self.nearest(x, 5):
            d = self.distance(i, x)
            if d == 0:
                return self.label[i]
            votes[self.label[i]] = votes.get(self.label[i], 0) + 1 / d
        return max(votes, key=votes.__getitem__) if votes else None

    def distance(self, i: int, x: Vector) -> float:
        """Return the distance of a prototype."""
        return float(np.linalg.norm(x - self.position[i]))

    def nearest(self, x: Vector, n: int) -> list[int]:
        """Return the n nearest prototypes, nearest first, older first among equals."""
        away = {i: self.distance(i, x) for i in self.position}
        return sorted(away, key=lambda i: (away[i], i))[:n]

    def _neighbours(self, i: int) -> list[int]:
        return [b if a == i else a for a, b in self.age if i in (a, b)]

    def _insert(self, x: Vector, y: int) -> None:
        self.position[self.inserted] = np.array(x)
        self.label[self.inserted], self.wins[self.inserted] = y, 0
        self.inserted += 1
        self.known.add(y)

    def _threshold(self, i: int) -> float:
        lengths: dict[bool, list[float]] = {True: [], False: []}
        for j in self._neighbours(i):
            lengths[self.label[i] == self.label[j]].append(self.distance(j, self.position[i]))
        same, other = lengths[True], lengths[False]
        if not same and not other:
            return math.nan
        if not other:
            return max(same)
        if not same:
            return min(other)
        beyond = [length for length in other if length > np.mean(same)]
        return min(beyond) if beyond else max(other)

    def _denoise(self) -> None:
        for i in [i for i in self.position if len(self._neighbours(i)) < 2]:
            weak = self.wins[i] < len(self.position) / 2 * sum(self.wins.values())
            if not self._neighbours(i) or weak:
                self.age = {edge: age for edge, age in self.age.items() if i not in edge}
                del self.position[i], self.label[i], self.wins[i]
