"""XuILVQ improved, the default: one pass, at most `capacity` prototypes, its own scaling.

Source: the family of Xu, Shen, Zhao, "An incremental learning vector quantization algorithm for
pattern classification", Neural Computing and Applications 21 (2012): samples found prototypes or
move them, and useless prototypes go. Where we differ, because it measured better:

- A sample founds a prototype when the vote for its label is unsure (margin below 0.7), not when it
  lies beyond a threshold kept by edges and ages; so there is no graph.
- Otherwise the nearest prototype of its class moves by 1/wins, the mean of what it has won.
- Distances are weighted by feature (see `metric`), votes by √wins/d² (see `vote`); a feature that
  a sample lacks (NaN) is left out of everything.
- At the capacity, the prototype whose recent wins were most often wrong goes; if none is wrong,
  the two of one class merge whose merger costs least in Ward's sense (JASA 58, 1963).
- When errors have become more frequent, nothing is destroyed: prototypes become suspects, which the
  next labelled samples near them clear or remove (see `numpy_body`).
- The last labelled samples and the class means answer in place of the prototypes where they have
  lately been right more often (see `look`). What is shared with others is the prototypes.
"""

from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protoledger.gateway.errors import ModelStateError
from protoledger.gateway.learner.base import (
    MAX_WINS,
    Engine,
    Floats,
    Live,
    Opinions,
    Prototypes,
    check_features,
    check_label,
    check_many,
    check_shape,
)
from protoledger.gateway.learner.compilation import compiled
from protoledger.gateway.learner.improved import numpy_body
from protoledger.gateway.learner.improved.look import look
from protoledger.gateway.learner.improved.saved import load_into, save, unpack
from protoledger.gateway.learner.improved.state import (
    AWAKE,
    CHOSEN,
    DISTANCE,
    DRIFTS,
    LEARNT,
    PROTOTYPES,
    REVISION,
    USUAL,
    ImprovedState,
)
from protoledger.gateway.learner.saved import Copied, copied

MAX_CAPACITY: Final = 65_000


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
    takes_missing = True
    experts = ("prototypes", "last few", "last many", "class means")

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
        self._sample: Floats = np.zeros(n_features)
        # what the kernels take first: the arrays stay the same ones for a learner's life
        state = self._state
        self._looking = (
            *(state.table, state.labels, state.head, state.metric.values, state.memory),
            *(state.remembered, state.books, state.squares, state.shares, state.apart),
            *(state.rows, state.local),
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
        x = check_features(x, self.n_features, missing=True)
        y = check_label(y, self.n_classes)
        self._look(x)
        state, kernels = self._state, compiled.kernels(self.engine)
        if kernels:
            drift = (state.drift, state.costs)
            kernels.improved.learn(*self._looking, *drift, self._sample, y, margin, True)
        else:
            numpy_body.learn(state, self._sample, y, margin)
        self._looked_at = None

    def learn_many(self, xs: ArrayLike, ys: ArrayLike) -> NDArray[np.int64]:
        """Predict, then learn, row by row; see `Classifier.learn_many`."""
        rows, labels = check_many(xs, ys, self.n_features, self.n_classes, missing=True)
        found = np.empty(len(rows), dtype=np.int64)
        if kernels := compiled.kernels(self.engine):
            drift = (self._state.drift, self._state.costs)
            kernels.improved.learn_many(*self._looking, *drift, rows, labels, found)
        else:
            for i, (x, y) in enumerate(zip(rows, labels.tolist(), strict=True)):
                found[i] = self._look(x)
                self.learn_one(x, y)
        self._looked_at = None
        return found

    def predict_one(self, x: ArrayLike) -> int | None:
        """Return the class index of the sample; see `Classifier.predict_one`."""
        winner = self._look(check_features(x, self.n_features, missing=True))
        return None if winner < 0 else winner

    def predict_many(self, xs: ArrayLike) -> NDArray[np.int64]:
        """Return the class index of each row; see `Classifier.predict_many`."""
        rows, _ = check_many(xs, None, self.n_features, self.n_classes, missing=True)
        return np.array([self._look(x) for x in rows], dtype=np.int64)

    def predict_proba_one(self, x: ArrayLike) -> Floats:
        """Return each class's share of the vote; see `Classifier.predict_proba_one`."""
        self._look(check_features(x, self.n_features, missing=True))
        shares: Floats = self._state.shares[self._state.head[CHOSEN]].copy()
        return shares

    def opinions(self, x: ArrayLike) -> Opinions:
        """Return what each expert says; see `Classifier.opinions`."""
        self._look(check_features(x, self.n_features, missing=True))
        state, nearest = self._state, self._state.books[PROTOTYPES]
        awake = state.books[:, AWAKE] > 0
        awake[PROTOTYPES] = state.count > 0
        return Opinions(
            shares=state.shares.copy(),
            awake=awake,
            chosen=int(state.head[CHOSEN]),
            distance=float(nearest[DISTANCE]),
            usual=float(nearest[USUAL]),
        )

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
        return save(self._state)

    @classmethod
    def restore(cls, state: bytes) -> Self:
        """Return a learner that decides as the saved one; see `Classifier.restore`."""
        saved = unpack(state)
        try:
            model = cls(saved.n_features, saved.n_classes, capacity=saved.capacity)
        except ValueError as error:
            raise ModelStateError(f"a saved model has an impossible shape: {error}") from error
        load_into(model._state, saved)
        return model

    def __reduce__(self) -> Copied[Self]:
        """Copy and pickle through the saved state: the arrays are views that would come apart."""
        return copied(self)

    def _look(self, x: Floats) -> int:
        """Let every expert vote on a checked sample; return the winner, −1 for none."""
        key = x.tobytes()
        if self._looked_at == key:
            return self._winner
        self._sample[:] = x
        if kernels := compiled.kernels(self.engine):
            self._winner = kernels.look.look(*self._looking, self._sample)
        else:
            self._winner = look(self._state, self._sample)
        self._looked_at = key
        return self._winner
