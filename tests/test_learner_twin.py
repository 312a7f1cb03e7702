"""XuILVQ against a slow twin written from the paper and the notes: the same after every sample."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.learner import XuILVQ


class SlowTwin:
    """Dictionaries, loops and no cleverness; a prototype is named by its number of insertion."""

    def __init__(self):
        self.time, self.inserted, self.rates = 0, 0, (0.9, 0.1)
        self.position, self.label, self.wins, self.age, self.known = {}, {}, {}, {}, set()

    def distance(self, i, x):
        return float(np.linalg.norm(x - self.position[i]))

    def nearest(self, x, n):
        return sorted(self.position, key=lambda i: (self.distance(i, x), i))[:n]

    def neighbours(self, i):
        return [b if a == i else a for a, b in self.age if i in (a, b)]

    def insert(self, x, y):
        self.position[self.inserted] = np.array(x)
        self.label[self.inserted], self.wins[self.inserted] = y, 0
        self.inserted += 1
        self.known.add(y)

    def threshold(self, i):
        lengths = {True: [], False: []}
        for j in self.neighbours(i):
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

    def learn(self, x, y):
        self.time += 1
        if len(self.position) <= 2:
            return self.insert(x, y)
        first, second = self.nearest(x, 2)
        if (
            y not in self.known
            or self.distance(first, x) > self.threshold(first)
            or self.distance(second, x) > self.threshold(second)
        ):
            return self.insert(x, y)
        self.age.setdefault((min(first, second), max(first, second)), 0)
        for edge in self.age:
            self.age[edge] += first in edge
        self.wins[first] += 1
        sign = 1 if self.label[first] == y else -1
        self.position[first] += sign * self.rates[0] * (x - self.position[first])
        for j in self.neighbours(first):
            if (self.label[j] == y) == (sign == -1):
                self.position[j] -= sign * self.rates[1] * (x - self.position[j])
        self.age = {edge: age for edge, age in self.age.items() if age <= 400}
        self.rates = (1 / self.wins[first], 1 / (100 * self.wins[first]))
        return self.denoise() if self.time % 150 == 0 else None

    def denoise(self):
        for i in [i for i in self.position if len(self.neighbours(i)) < 2]:
            weak = self.wins[i] < len(self.position) / 2 * sum(self.wins.values())
            if not self.neighbours(i) or weak:
                self.age = {edge: age for edge, age in self.age.items() if i not in edge}
                del self.position[i], self.label[i], self.wins[i]

    def predict(self, x):
        votes = {}
        for i in self.nearest(x, 5):
            d = self.distance(i, x)
            if d == 0:
                return self.label[i]
            votes[self.label[i]] = votes.get(self.label[i], 0) + 1 / d
        return max(votes, key=votes.get) if votes else None


def stream(seed, n, d, classes):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, d))
    xs, ys = [], []
    for _ in range(n):
        if xs and rng.random() < 0.05:  # a sample seen before, perhaps with another label
            x = xs[rng.integers(len(xs))]
        else:
            x = centres[rng.integers(classes)] + rng.normal(size=d) * rng.choice([0.1, 0.5])
        xs.append(x)
        ys.append(int(rng.integers(classes)) if rng.random() < 0.1 else int(np.argmax(centres @ x)))
    return xs, ys


def compare(model, twin):
    rows = list(twin.position)
    live = model.live()
    assert live.classes.tolist() == [twin.label[i] for i in rows]
    assert live.weights.tolist() == [twin.wins[i] for i in rows]
    for row, i in enumerate(rows):
        assert live.features[row] == pytest.approx(twin.position[i], rel=1e-9, abs=1e-12)
    ids = model._state.ids.tolist()
    edges = {tuple(sorted((ids[rows.index(a)], ids[rows.index(b)]))): t
             for (a, b), t in twin.age.items()}  # fmt: skip
    assert model.edges() == edges


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 100_000), d=st.integers(1, 5), classes=st.integers(1, 4))
def test_same_decisions_and_state_after_every_sample(seed, d, classes):
    model, twin = XuILVQ(d, classes), SlowTwin()
    for x, y in zip(*stream(seed, 320, d, classes), strict=True):
        assert model.predict_one(x) == twin.predict(x)
        model.learn_one(x, y)
        twin.learn(x, y)
        compare(model, twin)


def test_edges_die_of_age():
    model, twin = XuILVQ(1, 2), SlowTwin()
    rng = np.random.default_rng(1)
    sizes = []
    for i in range(1000):
        x = np.array([float(rng.normal()) * 0.1 + (i % 2 if i < 40 else 0)])
        model.learn_one(x, i % 2 if i < 40 else 0)
        twin.learn(x, i % 2 if i < 40 else 0)
        compare(model, twin)
        sizes.append(len(twin.age))
    assert any(after < before for before, after in itertools.pairwise(sizes))
