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
from numpy.typing import ArrayLike, NDArray

from protoledger.gateway.errors import ModelStateError
from protoledger.gateway.learner.base import (
    MAX_WINS,
    Engine,
    Floats,
    Live,
    Prototypes,
    check_features,
    check_label,
    check_many,
    check_shape,
)
from protoledger.gateway.learner.compilation import compiled
from protoledger.gateway.learner.improved import numpy_body as improved_numpy
from protoledger.gateway.learner.improved.metric import SAMPLES
from protoledger.gateway.learner.improved.state import (
    COUNT,
    CURSOR,
    DRIFTS,
    LEARNT,
    REVISION,
    ImprovedState,
)
from protoledger.gateway.learner.saved import dump, load, pack, unpack
from protoledger.gateway.learner.vote import measure, strengths_of, vote

MAX_CAPACITY: Final = 65_000


class _Saved(msgspec.Struct, forbid_unknown_fields=True, tag="improved-2", tag_field="kind"):
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
    learnt: int
    drifts: int
    drift: bytes
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

    engine: Engine = "auto"

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
        self._state = ImprovedState(n_features, n_classes, capacity)
        state, metric = self._state, self._state.metric
        self._sample: Floats = np.zeros(n_features)
        # what the kernels take first: the arrays stay the same ones for a learner's life
        found = (state.squares, state.shares, state.rows)
        self._looking = (state.table, state.labels, state.head, metric.values, *found, self._sample)
        self._learning = (
            *(state.table, state.labels, state.head, metric.values, metric.class_counts),
            *(state.drift, state.squares, state.costs, state.shares, state.rows),
        )
        self._looked_at: bytes | None = None
        self._winner = -1

    @property
    def samples(self) -> int:
        """How many samples were learnt from."""
        return int(self._state.head[LEARNT])

    @property
    def drifts(self) -> int:
        """How often it was noticed that what was learnt holds no more."""
        return int(self._state.head[DRIFTS])

    @property
    def revision(self) -> int:
        """Grows whenever rows of `live()` come, go or change places."""
        return int(self._state.head[REVISION])

    def learn_one(self, x: ArrayLike, y: int, *, margin: float = 1.0) -> None:
        """Learn one labelled sample; see `Classifier.learn_one`. O(n·d) for n prototypes."""
        x = check_features(x, self.n_features)
        y = check_label(y, self.n_classes)
        self._look(x)
        state, kernels = self._state, compiled.kernels(self.engine)
        if kernels:
            kernels.improved.learn(*self._learning, self._sample, y, margin, True)
        else:
            squares = state.squares[: state.count]
            improved_numpy.learn(state, self._sample, y, margin, squares, state.shares)
        self._looked_at = None

    def learn_many(self, xs: ArrayLike, ys: ArrayLike) -> NDArray[np.int64]:
        """Predict, then learn, row by row; see `Classifier.learn_many`."""
        rows, labels = check_many(xs, ys, self.n_features, self.n_classes)
        found = np.empty(len(rows), dtype=np.int64)
        if kernels := compiled.kernels(self.engine):
            kernels.improved.learn_many(*self._learning, rows, labels, found)
        else:
            for i, (x, y) in enumerate(zip(rows, labels.tolist(), strict=True)):
                found[i] = self._look(x)
                self.learn_one(x, y)
        self._looked_at = None
        return found

    def predict_one(self, x: ArrayLike) -> int | None:
        """Return the class index of the sample; see `Classifier.predict_one`."""
        winner = self._look(check_features(x, self.n_features))
        return None if winner < 0 else winner

    def predict_many(self, xs: ArrayLike) -> NDArray[np.int64]:
        """Return the class index of each row; see `Classifier.predict_many`."""
        rows, _ = check_many(xs, None, self.n_features, self.n_classes)
        return np.array([self._look(x) for x in rows], dtype=np.int64)

    def predict_proba_one(self, x: ArrayLike) -> Floats:
        """Return each class's share of the vote; see `Classifier.predict_proba_one`."""
        self._look(check_features(x, self.n_features))
        return self._state.shares.copy()

    def prototypes(self) -> Prototypes:
        """Return a frozen copy of all prototypes."""
        state = self._state
        order = np.argsort(state.ids[: state.count])
        return Prototypes(
            ids=state.ids[order].astype(np.uint16),
            classes=state.classes[order].astype(np.uint8),
            weights=np.minimum(state.wins[order], MAX_WINS).astype(np.uint16),
            features=np.ascontiguousarray(state.features[:, order].T),
        )

    def live(self) -> Live:
        """Return views of the prototypes, valid until the next `learn_one`."""
        state, n = self._state, self._state.count
        return Live(state.classes[:n], state.wins[:n], state.features[:, :n].T)

    def metric(self) -> Floats:
        """Return the learnt weight of each feature."""
        return self._state.metric.weights.copy()

    def distances(self, x: Floats) -> Floats:
        """Return the squared weighted distance to each prototype; see `Classifier.distances`."""
        self._look(x)
        return self._state.squares[: self._state.count]

    def state(self) -> bytes:
        """Return all that decides what the learner does next."""
        state, scale, n = self._state, self._state.metric, self._state.count
        return pack(
            _Saved(
                n_features=self.n_features,
                n_classes=self.n_classes,
                capacity=self.capacity,
                count=n,
                cursor=int(state.head[CURSOR]),
                ids=dump(state.ids[:n], "<u2"),
                classes=dump(state.classes[:n], "u1"),
                wins=dump(state.wins[:n], "<f8"),
                right=dump(state.right[:n], "<f8"),
                wrong=dump(state.wrong[:n], "<f8"),
                features=dump(state.features[:, :n].T, "<f8"),
                samples=scale.samples,
                learnt=self.samples,
                drifts=self.drifts,
                drift=dump(state.drift, "<f8"),
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
        numbers = (saved.cursor, saved.samples, saved.drifts)
        if not 0 <= n <= min(saved.capacity, saved.learnt) or min(numbers) < 0:
            raise ModelStateError(f"a saved model counts {n} prototypes of {saved.learnt} samples")
        into, scale = model._state, model._state.metric
        into.head[[COUNT, LEARNT]] = n, saved.learnt
        into.head[[CURSOR, SAMPLES, DRIFTS]] = numbers
        into.drift[:] = load(saved.drift, "<f8", (3,), np.float64)
        into.ids[:n] = load(saved.ids, "<u2", (n,), np.int64)
        into.classes[:n] = load(saved.classes, "u1", (n,), np.int64)
        into.wins[:n] = load(saved.wins, "<f8", (n,), np.float64)
        into.right[:n] = load(saved.right, "<f8", (n,), np.float64)
        into.wrong[:n] = load(saved.wrong, "<f8", (n,), np.float64)
        into.features[:, :n] = load(saved.features, "<f8", (n, d), np.float64).T
        if (into.classes >= c).any() or (into.ids > saved.capacity).any():
            raise ModelStateError("a saved prototype has an undeclared class or an id out of range")
        if not into.claim_ids():
            raise ModelStateError("two saved prototypes have one id")
        scale.class_counts[:] = load(saved.class_counts, "<f8", (c,), np.float64)
        scale.class_means[:] = load(saved.class_means, "<f8", (c, d), np.float64)
        scale.means[:] = load(saved.means, "<f8", (d,), np.float64)
        scale.within[:] = load(saved.within, "<f8", (d,), np.float64)
        scale.total[:] = load(saved.total, "<f8", (d,), np.float64)
        scale.relevances[:] = load(saved.relevances, "<f8", (d,), np.float64)
        scale.refresh()
        return model

    def _look(self, x: Floats) -> int:
        """Measure a checked sample and let the nearest vote; return the winner, −1 for none."""
        key = x.tobytes()
        if self._looked_at == key:
            return self._winner
        self._sample[:] = x
        if kernels := compiled.kernels(self.engine):
            self._winner = kernels.improved.predict(*self._looking)
        else:
            state, n = self._state, self._state.count
            squares = measure(state.features[:, :n], state.metric.weights, self._sample)
            state.squares[:n] = squares
            strengths = strengths_of(state.wins[:n])
            state.shares[:] = vote(squares, state.classes[:n], strengths, self.n_classes)
            winner = int(state.shares.argmax())
            self._winner = winner if state.shares[winner] > 0 else -1
        self._looked_at = key
        return self._winner
