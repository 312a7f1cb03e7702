"""A base class for learners of one's own: prototypes, their vote, samples' checks, saved states.

It keeps all of `Classifier` but one thing: what a labelled sample does to the prototypes. A
subclass says that in `_learn`, with `add`, `move` and `remove`. What else it remembers it returns
from `_extra` and takes back in `_set_extra`, so that a restored learner goes on as the saved one.

The vote is that of `protoledger.gateway.learner.vote`, so that the learner's prototypes vote with
those of other owners as they do alone.
"""

from abc import ABC, abstractmethod
from typing import Any, Self

import msgspec
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
from protoledger.gateway.learner.saved import Copied, copied, dump, load, pack, unpack
from protoledger.gateway.learner.vote import measure, strengths_of, vote


class SavedPrototypes(msgspec.Struct, forbid_unknown_fields=True, tag="own-1", tag_field="kind"):
    """A learner's state: its shape, its prototypes, and what its subclass adds."""

    learner: str
    n_features: int
    n_classes: int
    capacity: int
    count: int
    ids: bytes
    classes: bytes
    wins: bytes
    features: bytes
    extra: bytes


class PrototypeLearner(ABC):
    """Prototypes that vote; a subclass says how they are learnt.

    Args:
        n_features: Length of a sample, ≥ 1.
        n_classes: Number of declared labels, 1 to 255.
        capacity: Most prototypes, at least n_classes; the subclass has to keep to it.

    Attributes:
        ids: int64 (n,), unique.
        classes: int64 (n,).
        wins: float64 (n,), how many samples each stands for.
        places: float64 (n, d), where they are.

    Raises:
        ValueError: A number is out of its range.

    >>> class Memory(PrototypeLearner):
    ...     def _learn(self, x, y, margin):
    ...         self.add(x, y)
    >>> model = Memory(1, 2)
    >>> model.learn_many([[0.0], [1.0], [0.1]], [0, 1, 0]).tolist(), model.predict_one([0.8])
    ([-1, 0, 0], 1)
    >>> Memory.restore(model.state()).predict_one([0.8])
    1
    """

    takes_missing = False
    experts = ("prototypes",)
    drifts = 0

    def __init__(self, n_features: int, n_classes: int, *, capacity: int = 128) -> None:
        check_shape(n_features, n_classes)
        if not n_classes <= capacity < MAX_WINS:
            raise ValueError(
                f"the capacity must be {n_classes} to {MAX_WINS - 1} for {n_classes} labels, "
                f"not {capacity}"
            )
        self.n_features = n_features
        self.n_classes = n_classes
        self.capacity = capacity
        self.revision = 0
        self.engine: Engine = "auto"
        self._set(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        self.places: Floats = np.zeros((0, n_features))

    @abstractmethod
    def _learn(self, x: Floats, y: int, margin: float) -> None:
        """Learn a checked sample.

        Args:
            x: (d,) the sample; copy what is kept.
            y: Class index.
            margin: See `Classifier.learn_one`.
        """

    def _extra(self) -> bytes:
        """Return what else decides what the learner does next."""
        return b""

    def _set_extra(self, extra: bytes) -> None:
        """Take what `_extra` returned.

        Raises:
            ModelStateError: It is damaged.
        """
        if extra:
            raise ModelStateError(f"a saved {type(self).__name__} has more than it saves")

    def add(self, x: Floats, y: int) -> None:
        """Put a prototype where x is, with the smallest free id."""
        free = np.setdiff1d(np.arange(len(self.ids) + 1), self.ids)[0]
        self._set(np.append(self.ids, free), np.append(self.classes, y), np.append(self.wins, 1))
        self.places = np.vstack((self.places, x))
        self.revision += 1

    def move(self, row: int, towards: Floats, rate: float) -> None:
        """Let a prototype win a sample, and move a part of the way (0 to 1) to it."""
        self.places[row] += rate * (towards - self.places[row])
        self.wins[row] += 1

    def remove(self, row: int) -> None:
        """Drop a prototype; the others keep their order."""
        ids, classes, wins = (np.delete(a, row) for a in (self.ids, self.classes, self.wins))
        self._set(ids, classes, wins)
        self.places = np.delete(self.places, row, axis=0)
        self.revision += 1

    def learn_one(self, x: ArrayLike, y: int, *, margin: float = 1.0) -> None:
        """Learn one labelled sample; see `Classifier.learn_one`."""
        vector = check_features(x, self.n_features, missing=self.takes_missing)
        self._learn(vector, check_label(y, self.n_classes), margin)

    def learn_many(self, xs: ArrayLike, ys: ArrayLike) -> NDArray[np.int64]:
        """Predict, then learn, row by row; see `Classifier.learn_many`."""
        rows, labels = check_many(
            xs, ys, self.n_features, self.n_classes, missing=self.takes_missing
        )
        found = np.empty(len(rows), np.int64)
        for i, (x, y) in enumerate(zip(rows, labels.tolist(), strict=True)):
            found[i] = self._winner(x)
            self._learn(x, y, 1.0)
        return found

    def predict_one(self, x: ArrayLike) -> int | None:
        """Return the class index of the sample; see `Classifier.predict_one`."""
        winner = self._winner(check_features(x, self.n_features, missing=self.takes_missing))
        return None if winner < 0 else winner

    def predict_many(self, xs: ArrayLike) -> NDArray[np.int64]:
        """Return the class index of each row; see `Classifier.predict_many`."""
        rows, _ = check_many(xs, None, self.n_features, self.n_classes, missing=self.takes_missing)
        return np.array([self._winner(x) for x in rows], dtype=np.int64)

    def predict_proba_one(self, x: ArrayLike) -> Floats:
        """Return each class's share of the vote; see `Classifier.predict_proba_one`."""
        return self._shares(check_features(x, self.n_features, missing=self.takes_missing))

    def opinions(self, x: ArrayLike) -> Opinions:
        """Return what the only expert says: the prototypes; see `Classifier.opinions`."""
        vector = check_features(x, self.n_features, missing=self.takes_missing)
        squares = self.distances(vector)
        return Opinions(
            shares=self._shares(vector)[None],
            awake=np.array([len(squares) > 0]),
            chosen=0,
            distance=float(squares.min()) if len(squares) else np.inf,
            usual=np.inf,
        )

    def prototypes(self) -> Prototypes:
        """Return a frozen copy of all prototypes."""
        order = np.argsort(self.ids)
        return Prototypes(
            ids=self.ids[order].astype(np.uint16),
            classes=self.classes[order].astype(np.uint8),
            weights=np.minimum(self.wins[order], MAX_WINS).astype(np.uint16),
            features=self.places[order],
        )

    def live(self) -> Live:
        """Return the prototypes themselves, valid until the next `learn_one`."""
        return Live(self.classes, self.wins, self.places)

    def metric(self) -> Floats:
        """Return the weight of each feature: 1/d, unless a subclass knows better."""
        return np.full(self.n_features, 1 / self.n_features)

    def distances(self, x: Floats) -> Floats:
        """Return the squared weighted distance to each prototype; see `Classifier.distances`."""
        return measure(self.places.T, self.metric(), x)

    def state(self) -> bytes:
        """Return all that decides what the learner does next."""
        return pack(
            SavedPrototypes(
                learner=type(self).__qualname__,
                n_features=self.n_features,
                n_classes=self.n_classes,
                capacity=self.capacity,
                count=len(self.ids),
                ids=dump(self.ids, "<u2"),
                classes=dump(self.classes, "u1"),
                wins=dump(self.wins, "<f8"),
                features=dump(self.places, "<f8"),
                extra=self._extra(),
            )
        )

    @classmethod
    def restore(cls, state: bytes) -> Self:
        """Return a learner that decides as the saved one; see `Classifier.restore`."""
        saved = unpack(state, SavedPrototypes)
        if saved.learner != cls.__qualname__:
            raise ModelStateError(f"a {saved.learner} was saved, this is a {cls.__qualname__}")
        n, d = saved.count, saved.n_features
        try:
            model = cls(d, saved.n_classes, capacity=saved.capacity)
        except ValueError as error:
            raise ModelStateError(f"a saved model has an impossible shape: {error}") from error
        if not 0 <= n <= saved.capacity:
            raise ModelStateError(f"a saved model counts {n} prototypes of {saved.capacity}")
        classes = load(saved.classes, "u1", (n,), np.int64)
        ids = load(saved.ids, "<u2", (n,), np.int64)
        if (classes >= saved.n_classes).any() or len(np.unique(ids)) != n:
            raise ModelStateError("a saved prototype has an undeclared class or a used id")
        model._set(ids, classes, load(saved.wins, "<f8", (n,), np.float64))
        missing = cls.takes_missing
        model.places = load(saved.features, "<f8", (n, d), np.float64, missing=missing)
        model._set_extra(saved.extra)
        return model

    def __reduce__(self) -> Copied[Self]:
        """Copy and pickle through the saved state."""
        return copied(self)

    def _set(self, ids: NDArray[Any], classes: NDArray[Any], wins: NDArray[Any]) -> None:
        self.ids: NDArray[np.int64] = ids.astype(np.int64)
        self.classes: NDArray[np.int64] = classes.astype(np.int64)
        self.wins: Floats = wins.astype(np.float64)

    def _shares(self, x: Floats) -> Floats:
        strengths = strengths_of(self.wins)
        return vote(self.distances(x), self.classes, strengths, self.n_classes)

    def _winner(self, x: Floats) -> int:
        shares = self._shares(x)
        return int(shares.argmax()) if shares.any() else -1
