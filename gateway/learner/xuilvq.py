"""XuILVQ, reference mode: the decisions of the published implementation, sample by sample.

Source: Xu, Shen, Zhao, "An incremental learning vector quantization algorithm for pattern
classification", Neural Computing and Applications 21 (2012), as implemented for river by the
authors of González-Soto et al. (arXiv 2312.12190) and Beis-Penedo et al. (arXiv 2311.14136).

Where that implementation leaves the paper, this mode follows the implementation; docs/xuilvq.md
lists each difference. We differ from it in what cannot change a decision: prototypes own their
positions (there, a stored position was the caller's array), ids are the smallest free number, a
sample that hits a prototype exactly yields its label, and bad samples raise.
"""

from typing import Final, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from gateway.errors import ModelStateError, PrototypeLimitError
from gateway.learner.base import (
    MAX_WINS,
    NEAREST,
    Floats,
    Live,
    Prototypes,
    check_features,
    check_label,
    check_shape,
)
from gateway.learner.saved import dump, load, pack, unpack

AGE_OLD: Final = 400
"""An edge that its winner has aged beyond this goes."""
GAMMA: Final = 150
"""Samples between two denoisings."""
RUNNER_SHARE: Final = 100
"""The neighbours' learning rate is the winner's divided by this."""
MAX_PROTOTYPES: Final = 65_536


class _Saved(msgspec.Struct, forbid_unknown_fields=True, tag="xuilvq-1", tag_field="kind"):
    n_features: int
    n_classes: int
    samples: int
    rate: float
    runner_rate: float
    count: int
    ids: bytes
    classes: bytes
    wins: bytes
    features: bytes
    seen: bytes
    edges: bytes


class XuILVQ:
    """Prototypes that a graph of edges spaces out: far samples are inserted, near ones move.

    The nearest two prototypes of a sample are tied by an edge, and a prototype's edges set the
    distance beyond which a sample founds a new one: the mean length to its own class against the
    lengths to others. Every 150th sample, prototypes with fewer than two edges are dropped.
    The number of prototypes has no bound.

    Args:
        n_features: Length of a sample, ≥ 1.
        n_classes: Number of declared labels, 1 to 255.

    Attributes:
        samples: How many were learnt from.

    Raises:
        ValueError: A number is out of its range.

    >>> model = XuILVQ(n_features=1, n_classes=2)
    >>> for value, label in [(0.0, 0), (1.0, 1), (0.1, 0), (0.2, 0), (0.9, 1)]:
    ...     model.learn_one([value], label)
    >>> model.predict_one([0.05]), model.predict_one([0.8])
    (0, 1)
    >>> len(model.prototypes())
    4
    """

    def __init__(self, n_features: int, n_classes: int) -> None:
        check_shape(n_features, n_classes)
        self.n_features = n_features
        self.n_classes = n_classes
        self.samples = 0
        self._rate, self._runner_rate = 0.9, 0.1
        self._seen = np.zeros(n_classes, dtype=np.bool_)
        # Row r is the same prototype in all arrays, and the node r of the graph; rows keep the
        # order of insertion, because the first of equally near prototypes wins.
        self.revision = 0
        self._count = 0
        self._ids = np.zeros(64, dtype=np.uint16)
        self._classes = np.zeros(64, dtype=np.int64)
        self._wins = np.zeros(64)
        self._features = np.zeros((64, n_features))
        self._ages: list[dict[int, int]] = []
        self._id_used = np.zeros(MAX_PROTOTYPES, dtype=np.bool_)
        self._measured: tuple[bytes, Floats] | None = None

    def learn_one(self, x: ArrayLike, y: int, *, margin: float = 1.0) -> None:  # noqa: ARG002
        """Learn one labelled sample; see `Classifier.learn_one`. The margin is ignored.

        O(n·d) for n prototypes.
        """
        x = check_features(x, self.n_features)
        y = check_label(y, self.n_classes)
        if self._count == MAX_PROTOTYPES:
            raise PrototypeLimitError(f"{MAX_PROTOTYPES} prototypes are all that ids can name")
        self.samples += 1
        if self._count <= 2:  # the first three samples are inserted whatever their class
            self._insert(x, y)
            return
        squares = self.distances(x)
        winner = int(squares.argmin())
        near = np.sqrt(squares[winner])
        rest = squares.copy()
        rest[winner] = np.inf
        runner_up = int(rest.argmin())
        if (
            not self._seen[y]
            # a prototype without edges has a threshold of NaN: nothing is beyond that
            or near > self._threshold(winner)
            or np.sqrt(squares[runner_up]) > self._threshold(runner_up)
        ):
            self._insert(x, y)
            return
        self._update(x, y, winner, runner_up)
        if self.samples % GAMMA == 0:
            self._denoise()

    def predict_one(self, x: ArrayLike) -> int | None:
        """Return the class whose near prototypes weigh most; see `Classifier.predict_one`."""
        votes = self.predict_proba_one(x)
        return int(votes.argmax()) if self._count else None

    def predict_proba_one(self, x: ArrayLike) -> Floats:
        """Return each class's share of the votes of the 5 nearest, each weighing 1/distance.

        A prototype at distance 0 decides alone. (The original passes the votes through a softmax,
        which changes no decision but whose values depend on the unit of the features.)
        """
        x = check_features(x, self.n_features)
        votes: Floats = np.zeros(self.n_classes)
        if not self._count:
            return votes
        squares = self.distances(x)
        # A stable sort, not a partition: of equally near prototypes the older one votes.
        nearest = squares.argsort(kind="stable")[:NEAREST]
        best = squares[nearest[0]]
        if best == 0:
            votes[self._classes[nearest[0]]] = 1.0
            return votes
        # Relative to the nearest, so that no vote overflows.
        np.add.at(votes, self._classes[nearest], np.sqrt(best / squares[nearest]))
        votes /= votes.sum()
        return votes

    def prototypes(self) -> Prototypes:
        """Return a frozen copy of all prototypes."""
        order = np.argsort(self._ids[: self._count])
        return Prototypes(
            ids=self._ids[order],
            classes=self._classes[order].astype(np.uint8),
            weights=np.minimum(self._wins[order], MAX_WINS).astype(np.uint16),
            features=self._features[order],
        )

    def live(self) -> Live:
        """Return views of the prototypes, valid until the next `learn_one`."""
        n = self._count
        return Live(self._classes[:n], self._wins[:n], self._features[:n])

    def metric(self) -> Floats:
        """Return ones: the reference measures plain Euclidean distances."""
        return np.ones(self.n_features)

    def distances(self, x: Floats) -> Floats:
        """Return the squared distance to each prototype; see `Classifier.distances`."""
        key = x.tobytes()
        if self._measured is None or self._measured[0] != key:
            difference = self._features[: self._count] - x
            squares: Floats = np.einsum("ij,ij->i", difference, difference)
            self._measured = (key, squares)
        return self._measured[1]

    def edges(self) -> dict[tuple[int, int], int]:
        """Return the age of each edge, by its two prototype ids (the smaller first)."""
        found = {}
        for row, ages in enumerate(self._ages):
            for other, age in ages.items():
                low, high = sorted((int(self._ids[row]), int(self._ids[other])))
                found[low, high] = age
        return found

    def state(self) -> bytes:
        """Return all that decides what the learner does next."""
        n = self._count
        # Both directions, in the order of the rows' tables: sums run in that order.
        edges = [(a, b, age) for a, ages in enumerate(self._ages) for b, age in ages.items()]
        return pack(
            _Saved(
                n_features=self.n_features,
                n_classes=self.n_classes,
                samples=self.samples,
                rate=self._rate,
                runner_rate=self._runner_rate,
                count=n,
                ids=dump(self._ids[:n], "<u2"),
                classes=dump(self._classes[:n], "u1"),
                wins=dump(self._wins[:n], "<u8"),
                features=dump(self._features[:n], "<f8"),
                seen=dump(self._seen, "u1"),
                edges=dump(np.array(edges, dtype=np.int64).reshape(-1, 3), "<u4"),
            )
        )

    @classmethod
    def restore(cls, state: bytes) -> Self:
        """Return a learner that decides as the saved one; see `Classifier.restore`."""
        saved = unpack(state, _Saved)
        n = saved.count
        try:
            model = cls(saved.n_features, saved.n_classes)
        except ValueError as error:
            raise ModelStateError(f"a saved model has an impossible shape: {error}") from error
        if not 0 <= n <= MAX_PROTOTYPES or saved.samples < n:
            raise ModelStateError(f"a saved model counts {n} prototypes of {saved.samples} samples")
        model.samples, model._count = saved.samples, n
        model._rate, model._runner_rate = saved.rate, saved.runner_rate
        model._ids = load(saved.ids, "<u2", (n,), np.uint16)
        model._classes = load(saved.classes, "u1", (n,), np.int64)
        model._wins = load(saved.wins, "<u8", (n,), np.float64)
        model._features = load(saved.features, "<f8", (n, saved.n_features), np.float64)
        model._seen = load(saved.seen, "u1", (saved.n_classes,), np.bool_)
        model._id_used[model._ids] = True
        if n and (model._classes.max() >= saved.n_classes or model._id_used.sum() != n):
            raise ModelStateError("a saved prototype has an undeclared class or a used id")
        edges = load(saved.edges, "<u4", (len(saved.edges) // 12, 3), np.int64)
        if len(edges) and edges[:, :2].max() >= n:
            raise ModelStateError("a saved edge ends at a prototype that does not exist")
        model._ages = [{} for _ in range(n)]
        for a, b, age in edges.tolist():
            model._ages[a][b] = age
        if any(a == b or model._ages[b].get(a) != age for a, b, age in edges.tolist()):
            raise ModelStateError("a saved edge is known to one of its ends only")
        return model

    def _insert(self, x: Floats, y: int) -> None:
        row = self._count
        if row == len(self._ids):
            self._grow()
        number = int(self._id_used.argmin())
        self._id_used[number] = True
        self._ids[row], self._classes[row], self._wins[row] = number, y, 0
        self._features[row] = x
        self._ages.append({})
        self._seen[y] = True
        self._count += 1
        self.revision += 1
        self._measured = None

    def _grow(self) -> None:
        size = max(2 * len(self._ids), 64)
        self._ids = np.resize(self._ids, size)
        self._classes = np.resize(self._classes, size)
        self._wins = np.resize(self._wins, size)
        self._features = np.resize(self._features, (size, self.n_features))

    def _threshold(self, row: int) -> float:
        """Return the distance beyond which a sample near this prototype founds a new one."""
        ages = self._ages[row]
        if not ages:
            return np.nan
        ends = np.fromiter(ages, dtype=np.int64, count=len(ages))
        difference = self._features[ends] - self._features[row]
        lengths = np.sqrt(np.einsum("ij,ij->i", difference, difference))
        same = self._classes[ends] == self._classes[row]
        within, between = lengths[same], lengths[~same]
        if not len(between):
            return float(within.max())
        if not len(within):
            return float(between.min())
        beyond = between[between > within.mean()]
        return float(beyond.min() if len(beyond) else between.max())

    def _update(self, x: Floats, y: int, winner: int, runner_up: int) -> None:
        ages = self._ages[winner]
        ages.setdefault(runner_up, 0)
        for other in ages:
            ages[other] += 1
            self._ages[other][winner] = ages[other]
        self._wins[winner] += 1
        self._move(x, y, winner)
        for other in [other for other, age in ages.items() if age > AGE_OLD]:
            del ages[other], self._ages[other][winner]
        # One pair of rates serves the whole model: the last winner's count sets the next sample's.
        self._rate = 1 / float(self._wins[winner])
        self._runner_rate = self._rate / RUNNER_SHARE
        self._measured = None

    def _move(self, x: Floats, y: int, winner: int) -> None:
        """Attract or repel the winner, and its neighbours of the one class the other way."""
        right = self._classes[winner] == y
        ends = np.fromiter(self._ages[winner], dtype=np.int64)
        if right:
            self._features[winner] += self._rate * (x - self._features[winner])
            ends = ends[self._classes[ends] != y]
            self._features[ends] -= self._runner_rate * (x - self._features[ends])
        else:
            self._features[winner] -= self._rate * (x - self._features[winner])
            ends = ends[self._classes[ends] == y]
            self._features[ends] += self._runner_rate * (x - self._features[ends])

    def _denoise(self) -> None:
        """Drop prototypes with fewer than two neighbours, judging each as the earlier ones left it.

        The published inequality compares wins with n/2 times the sum of all wins, which they
        exceed only where n ≤ 2: in effect all are dropped that have at most one neighbour.
        """
        n, wins = self._count, float(self._wins[: self._count].sum())
        gone: list[int] = []
        for row in [row for row, ages in enumerate(self._ages) if len(ages) < 2]:
            left = n - len(gone)
            if self._ages[row] and not self._wins[row] < (left / 2) * wins:
                continue
            for other in self._ages[row]:
                del self._ages[other][row]
            self._ages[row].clear()
            wins -= float(self._wins[row])
            gone.append(row)
        if gone:
            self._remove(np.array(gone))

    def _remove(self, gone: NDArray[np.int64]) -> None:
        self._id_used[self._ids[gone]] = False
        kept = np.delete(np.arange(self._count), gone)
        new_row = np.full(self._count, -1)
        new_row[kept] = np.arange(len(kept))
        self._ages = [
            {int(new_row[other]): age for other, age in self._ages[row].items()} for row in kept
        ]
        for array in (self._ids, self._classes, self._wins, self._features):
            array[: len(kept)] = array[kept]
        self._count = len(kept)
        self.revision += 1
        self._measured = None
