"""XuILVQ improved, the default: one pass, at most `capacity` prototypes, its own scaling.

Source: the family of Xu, Shen, Zhao, "An incremental learning vector quantization algorithm for
pattern classification", Neural Computing and Applications 21 (2012): samples found prototypes or
move them, and useless prototypes go. Where we differ, because it measured better:

- A sample founds a prototype when the vote for its label is unsure (margin below 0.7), not when it
  lies beyond a threshold kept by edges and ages; so there is no graph.
- Otherwise the nearest prototype of its class moves by 1/wins, the mean of what it has won.
- Distances are weighted by feature (see `metric`), votes by √wins/d² (see `vote`).
- At the capacity, the prototype whose recent wins were most often wrong goes; if none is wrong,
  the two of one class merge whose merger costs least in Ward's sense (JASA 58, 1963).
"""

from typing import Final, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from gateway.errors import ModelStateError
from gateway.learner.base import (
    MAX_WINS,
    Floats,
    Live,
    Prototypes,
    check_features,
    check_label,
    check_shape,
)
from gateway.learner.metric import FeatureMetric
from gateway.learner.saved import dump, load, pack, unpack
from gateway.learner.vote import margin_of, strengths_of, vote

SURE: Final = 0.7
"""A vote whose margin for the true label is below this founds a prototype."""
MEMORY: Final = 0.8
"""Earlier right and wrong wins fade by this at each win, so that a swap of labels is noticed."""
TOO_WRONG: Final = 0.5
MERGE_ROWS: Final = 4
"""Rows looked at for the cheapest merger, in turn: O(4·n·d) instead of O(n²·d)."""
MAX_CAPACITY: Final = 65_000


class _Saved(msgspec.Struct, forbid_unknown_fields=True, tag="improved-1", tag_field="kind"):
    n_features: int
    n_classes: int
    capacity: int
    count: int
    cursor: int
    ids: bytes
    classes: bytes
    wins: bytes
    right: bytes
    wrong: bytes
    features: bytes
    samples: int
    class_counts: bytes
    class_means: bytes
    means: bytes
    within: bytes
    total: bytes
    relevances: bytes


class ImprovedILVQ:
    """Prototypes where the vote was unsure, in a metric that learns which features matter.

    Args:
        n_features: Length of a sample, ≥ 1.
        n_classes: Number of declared labels, 1 to 255.
        capacity: Most prototypes, at least 2 and at least n_classes, at most 65,000.

    Raises:
        ValueError: A number is out of its range.

    >>> model = ImprovedILVQ(n_features=2, n_classes=2, capacity=8)
    >>> for value, label in [(0.0, 0), (1.0, 1), (0.1, 0), (0.2, 0), (0.9, 1), (1.1, 1)]:
    ...     model.learn_one([value, 7.0], label)
    >>> model.predict_one([0.05, 7.0]), model.predict_one([0.8, 7.0])
    (0, 1)
    """

    def __init__(self, n_features: int, n_classes: int, *, capacity: int = 128) -> None:
        check_shape(n_features, n_classes)
        if not max(2, n_classes) <= capacity <= MAX_CAPACITY:
            raise ValueError(
                f"the capacity must be {max(2, n_classes)} to {MAX_CAPACITY} for {n_classes} "
                f"labels, not {capacity}"
            )
        self.n_features = n_features
        self.n_classes = n_classes
        self.capacity = capacity
        self._scale = FeatureMetric(n_features, n_classes)
        self.revision = 0
        self._count = 0
        self._cursor = 0
        rows = capacity + 1  # a new prototype comes before an old one goes: it may be merged itself
        self._ids = np.zeros(rows, dtype=np.uint16)
        self._id_used = np.zeros(rows, dtype=np.bool_)
        self._classes = np.zeros(rows, dtype=np.int64)
        self._wins = np.zeros(rows)
        self._right = np.zeros(rows)
        self._wrong = np.zeros(rows)
        self._features = np.zeros((rows, n_features))
        self._measured: tuple[bytes, Floats] | None = None
        self._voted: Floats | None = None

    @property
    def samples(self) -> int:
        """How many samples were learnt from."""
        return self._scale.samples

    def learn_one(self, x: ArrayLike, y: int, *, margin: float = 1.0) -> None:
        """Learn one labelled sample; see `Classifier.learn_one`. O(n·d) for n prototypes."""
        x = check_features(x, self.n_features)
        y = check_label(y, self.n_classes)
        squares = self.distances(x)
        own = self._classes[: self._count] == y
        friend, foe = _nearest(squares, own), _nearest(squares, ~own)
        if self._count:
            margin = min(margin, margin_of(self._votes(squares), y))
            self._judge_winner(int(squares.argmin()), y)
        self._scale.observe(x, y)
        if friend is not None and foe is not None:
            self._scale.learn_relevance(
                x - self._features[friend],
                x - self._features[foe],
                float(squares[friend]),
                float(squares[foe]),
            )
        if friend is None or margin < SURE:
            self._insert(x, y)
            if self._count > self.capacity:
                self._make_room()
        else:
            self._wins[friend] += 1
            self._features[friend] += (x - self._features[friend]) / self._wins[friend]
        self._measured = None

    def predict_one(self, x: ArrayLike) -> int | None:
        """Return the class index of the sample; see `Classifier.predict_one`."""
        shares = self.predict_proba_one(x)
        return int(shares.argmax()) if self._count else None

    def predict_proba_one(self, x: ArrayLike) -> Floats:
        """Return each class's share of the vote; see `Classifier.predict_proba_one`."""
        return self._votes(self.distances(check_features(x, self.n_features))).copy()

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
        """Return the learnt weight of each feature."""
        return self._scale.weights.copy()

    def distances(self, x: Floats) -> Floats:
        """Return the squared weighted distance to each prototype; see `Classifier.distances`."""
        key = x.tobytes()
        if self._measured is None or self._measured[0] != key:
            difference = self._features[: self._count] - x
            difference *= difference
            self._voted = None
            self._measured = (key, difference.dot(self._scale.weights))
        return self._measured[1]

    def state(self) -> bytes:
        """Return all that decides what the learner does next."""
        n, scale = self._count, self._scale
        return pack(
            _Saved(
                n_features=self.n_features,
                n_classes=self.n_classes,
                capacity=self.capacity,
                count=n,
                cursor=self._cursor,
                ids=dump(self._ids[:n], "<u2"),
                classes=dump(self._classes[:n], "u1"),
                wins=dump(self._wins[:n], "<f8"),
                right=dump(self._right[:n], "<f8"),
                wrong=dump(self._wrong[:n], "<f8"),
                features=dump(self._features[:n], "<f8"),
                samples=scale.samples,
                class_counts=dump(scale.class_counts, "<f8"),
                class_means=dump(scale.class_means, "<f8"),
                means=dump(scale.means, "<f8"),
                within=dump(scale.within, "<f8"),
                total=dump(scale.total, "<f8"),
                relevances=dump(scale.relevances, "<f8"),
            )
        )

    @classmethod
    def restore(cls, state: bytes) -> Self:
        """Return a learner that decides as the saved one; see `Classifier.restore`."""
        saved = unpack(state, _Saved)
        n, d, c = saved.count, saved.n_features, saved.n_classes
        try:
            model = cls(d, c, capacity=saved.capacity)
        except ValueError as error:
            raise ModelStateError(f"a saved model has an impossible shape: {error}") from error
        if not 0 <= n <= min(saved.capacity, saved.samples):
            raise ModelStateError(f"a saved model counts {n} prototypes of {saved.samples} samples")
        model._count, model._cursor = n, saved.cursor
        model._ids[:n] = load(saved.ids, "<u2", (n,), np.uint16)
        model._classes[:n] = load(saved.classes, "u1", (n,), np.int64)
        model._wins[:n] = load(saved.wins, "<f8", (n,), np.float64)
        model._right[:n] = load(saved.right, "<f8", (n,), np.float64)
        model._wrong[:n] = load(saved.wrong, "<f8", (n,), np.float64)
        model._features[:n] = load(saved.features, "<f8", (n, d), np.float64)
        if (model._classes >= c).any() or (model._ids[:n] > saved.capacity).any():
            raise ModelStateError("a saved prototype has an undeclared class or an id out of range")
        model._id_used[model._ids[:n]] = True
        if model._id_used.sum() != n:
            raise ModelStateError("two saved prototypes have one id")
        scale = model._scale
        scale.samples = saved.samples
        scale.class_counts = load(saved.class_counts, "<f8", (c,), np.float64)
        scale.class_means = load(saved.class_means, "<f8", (c, d), np.float64)
        scale.means = load(saved.means, "<f8", (d,), np.float64)
        scale.within = load(saved.within, "<f8", (d,), np.float64)
        scale.total = load(saved.total, "<f8", (d,), np.float64)
        scale.relevances = load(saved.relevances, "<f8", (d,), np.float64)
        scale.refresh()
        return model

    def _votes(self, squares: Floats) -> Floats:
        if self._voted is None:
            n = self._count
            strengths = strengths_of(self._wins[:n])
            self._voted = vote(squares, self._classes[:n], strengths, self.n_classes)
        return self._voted

    def _judge_winner(self, winner: int, y: int) -> None:
        self._right[winner] *= MEMORY
        self._wrong[winner] *= MEMORY
        if self._classes[winner] == y:
            self._right[winner] += 1
        else:
            self._wrong[winner] += 1

    def _insert(self, x: Floats, y: int) -> None:
        row, number = self._count, int(self._id_used.argmin())
        self._id_used[number] = True
        self._ids[row], self._classes[row], self._features[row] = number, y, x
        self._wins[row], self._right[row], self._wrong[row] = 1, 0, 0
        self._count += 1
        self.revision += 1

    def _make_room(self) -> None:
        n = self._count
        excess = self._wrong[:n] - self._right[:n]
        worst = int(excess.argmax())
        if excess[worst] > TOO_WRONG:
            self._remove(worst)
            return
        pair = self._cheapest_merger()
        # More capacity than classes, so two of one class exist; the rows looked at may hold none.
        self._remove(int(self._wins[:n].argmin()) if pair is None else self._merge(*pair))

    def _cheapest_merger(self) -> tuple[int, int] | None:
        n = self._count
        best, pair = np.inf, None
        for _ in range(MERGE_ROWS):
            self._cursor = row = (self._cursor + 1) % n
            others = np.flatnonzero(self._classes[:n] == self._classes[row])
            others = others[others != row]
            if not len(others):
                continue
            difference = self._features[others] - self._features[row]
            difference *= difference
            wins = self._wins[others]
            costs = (difference @ self._scale.weights) * (wins / (wins + self._wins[row]))
            cheapest = int(costs.argmin())
            cost = float(costs[cheapest] * self._wins[row])
            if cost < best:
                best, pair = cost, (row, int(others[cheapest]))
        return pair

    def _merge(self, kept: int, gone: int) -> int:
        wins = self._wins[kept] + self._wins[gone]
        self._features[kept] += (self._features[gone] - self._features[kept]) * (
            self._wins[gone] / wins
        )
        self._wins[kept] = wins
        self._right[kept] += self._right[gone]
        self._wrong[kept] += self._wrong[gone]
        return gone

    def _remove(self, row: int) -> None:
        self._count = last = self._count - 1
        self.revision += 1
        self._id_used[self._ids[row]] = False
        for array in (
            self._ids,
            self._classes,
            self._wins,
            self._right,
            self._wrong,
            self._features,
        ):
            array[row] = array[last]


def _nearest(squares: Floats, wanted: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int | None:
    """Return the row of the least squared distance among the wanted, None where none is."""
    rows = wanted.nonzero()[0]
    return int(rows[squares[rows].argmin()]) if len(rows) else None
