"""XuILVQ, reference mode: the decisions of the published implementation, sample by sample.

Source: Xu, Shen, Zhao, "An incremental learning vector quantization algorithm for pattern
classification", Neural Computing and Applications 21 (2012), as implemented for river by the
authors of González-Soto et al. (arXiv 2312.12190) and Beis-Penedo et al. (arXiv 2311.14136).

Where that implementation leaves the paper, this mode follows the implementation; docs/xuilvq.md
lists each difference. We differ from it in what cannot change a decision: prototypes own their
positions (there, a stored position was the caller's array), ids are the smallest free number, a
sample that hits a prototype exactly yields its label, and bad samples raise.
"""

from typing import Self

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
from protoledger.gateway.learner.compilation import compiled
from protoledger.gateway.learner.reference import numpy_body as xuilvq_numpy
from protoledger.gateway.learner.reference.state import (
    COUNT,
    MAX_PROTOTYPES,
    REVISION,
    SAMPLES,
    Ints,
    XuState,
)
from protoledger.gateway.learner.saved import Copied, copied, dump, load, pack, unpack
from protoledger.gateway.learner.vote import measure


class SavedReference(msgspec.Struct, forbid_unknown_fields=True, tag="xuilvq-1", tag_field="kind"):
    """The state of this version."""

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

    engine: Engine = "auto"
    takes_missing = False
    experts = ("prototypes",)
    drifts = 0

    def __init__(self, n_features: int, n_classes: int) -> None:
        check_shape(n_features, n_classes)
        self.n_features = n_features
        self.n_classes = n_classes
        self._state = XuState(n_features, n_classes)
        self._sample: Floats = np.zeros(n_features)
        self._looked_at: bytes | None = None
        self._winner = -1

    @property
    def samples(self) -> int:
        """How many samples were learnt from."""
        return int(self._state.head[SAMPLES])

    @property
    def revision(self) -> int:
        """Grows whenever rows of `live()` come, go or change places."""
        return int(self._state.head[REVISION])

    def learn_one(self, x: ArrayLike, y: int, *, margin: float = 1.0) -> None:  # noqa: ARG002
        """Learn one labelled sample; see `Classifier.learn_one`. The margin is ignored.

        O(n·d) for n prototypes.

        Raises:
            PrototypeLimitError: There are 65,536 prototypes; the model is unchanged.
        """
        x = check_features(x, self.n_features)
        y = check_label(y, self.n_classes)
        self._make_room()
        self._look(x)
        state = self._state
        if kernels := compiled.kernels(self.engine):
            kernels.reference.learn(*self._arrays(), self._sample, y, True)
        else:
            xuilvq_numpy.learn(state, self._sample, y, state.squares[: state.count])
        self._looked_at = None

    def learn_many(self, xs: ArrayLike, ys: ArrayLike) -> NDArray[np.int64]:
        """Predict, then learn, row by row; see `Classifier.learn_many`.

        Raises:
            PrototypeLimitError: There are 65,536 prototypes; the rows before were learnt.
        """
        rows, labels = check_many(xs, ys, self.n_features, self.n_classes)
        found = np.empty(len(rows), dtype=np.int64)
        done = 0
        while done < len(rows):
            self._make_room()
            if kernels := compiled.kernels(self.engine):
                done = kernels.reference.learn_many(*self._arrays(), rows, labels, found, done)
                self._looked_at = None
            else:
                found[done] = self._look(rows[done])
                self.learn_one(rows[done], int(labels[done]))
                done += 1
        return found

    def predict_one(self, x: ArrayLike) -> int | None:
        """Return the class whose near prototypes weigh most; see `Classifier.predict_one`."""
        winner = self._look(check_features(x, self.n_features))
        return None if winner < 0 else winner

    def predict_many(self, xs: ArrayLike) -> NDArray[np.int64]:
        """Return the class index of each row; see `Classifier.predict_many`."""
        rows, _ = check_many(xs, None, self.n_features, self.n_classes)
        return np.array([self._look(x) for x in rows], dtype=np.int64)

    def predict_proba_one(self, x: ArrayLike) -> Floats:
        """Return each class's share of the votes of the 5 nearest, each weighing 1/distance.

        A prototype at distance 0 decides alone. (The original passes the votes through a softmax,
        which changes no decision but whose values depend on the unit of the features.)
        """
        self._look(check_features(x, self.n_features))
        return self._state.shares.copy()

    def opinions(self, x: ArrayLike) -> Opinions:
        """Return what the prototypes say: there is no other expert."""
        shares = self.predict_proba_one(x)
        squares = self.distances(np.asarray(x, dtype=np.float64))
        return Opinions(
            shares=shares[None],
            awake=np.array([bool(shares.any())]),
            chosen=0,
            distance=float(squares.min()) if len(squares) else np.inf,
            usual=np.inf,
        )

    def prototypes(self) -> Prototypes:
        """Return a frozen copy of all prototypes."""
        state = self._state
        order = np.argsort(state.ids)
        return Prototypes(
            ids=state.ids[order].astype(np.uint16),
            classes=state.classes[order].astype(np.uint8),
            weights=np.minimum(state.wins[order], MAX_WINS).astype(np.uint16),
            features=np.ascontiguousarray(state.features[:, order].T),
        )

    def live(self) -> Live:
        """Return views of the prototypes, valid until the next `learn_one`."""
        state = self._state
        return Live(state.classes, state.wins, state.features.T)

    def metric(self) -> Floats:
        """Return ones: the reference measures plain Euclidean distances."""
        return self._state.metric.copy()

    def distances(self, x: Floats) -> Floats:
        """Return the squared distance to each prototype; see `Classifier.distances`."""
        self._look(x)
        return self._state.squares[: self._state.count]

    def edges(self) -> dict[tuple[int, int], int]:
        """Return the age of each edge, by its two prototype ids (the smaller first)."""
        found = {}
        for a, b, age in self._halves():
            low, high = sorted((int(self._state.ids[a]), int(self._state.ids[b])))
            found[low, high] = age
        return found

    def state(self) -> bytes:
        """Return all that decides what the learner does next."""
        state = self._state
        return pack(
            SavedReference(
                n_features=self.n_features,
                n_classes=self.n_classes,
                samples=self.samples,
                rate=float(state.rates[0]),
                runner_rate=float(state.rates[1]),
                count=state.count,
                ids=dump(state.ids, "<u2"),
                classes=dump(state.classes, "u1"),
                wins=dump(state.wins, "<u8"),
                features=dump(state.features.T, "<f8"),
                seen=dump(state.seen, "u1"),
                edges=dump(np.array(self._halves(), dtype=np.int64).reshape(-1, 3), "<u4"),
            )
        )

    @classmethod
    def restore(cls, state: bytes) -> Self:
        """Return a learner that decides as the saved one; see `Classifier.restore`."""
        saved = unpack(state, SavedReference)
        n, d, c = saved.count, saved.n_features, saved.n_classes
        try:
            model = cls(d, c)
        except ValueError as error:
            raise ModelStateError(f"a saved model has an impossible shape: {error}") from error
        if not 0 <= n <= min(MAX_PROTOTYPES, saved.samples):
            raise ModelStateError(f"a saved model counts {n} prototypes of {saved.samples} samples")
        edges = load(saved.edges, "<u4", (len(saved.edges) // 12, 3), np.int64)
        features = load(saved.features, "<f8", (n, d), np.float64)
        into = model._state
        into.make_room(n, len(edges))
        into.head[COUNT], into.head[SAMPLES] = n, saved.samples
        into.rates[:] = saved.rate, saved.runner_rate
        into.ids[:] = load(saved.ids, "<u2", (n,), np.int64)
        into.classes[:] = load(saved.classes, "u1", (n,), np.int64)
        into.wins[:] = load(saved.wins, "<u8", (n,), np.float64)
        into.features[:] = features.T
        into.seen[:] = load(saved.seen, "u1", (c,), np.uint8)
        into.used[into.ids] = 1
        if (into.classes >= c).any() or into.used.sum() != n:
            raise ModelStateError("a saved prototype has an undeclared class or a used id")
        if not into.restore_edges(edges.tolist()):
            raise ModelStateError("a saved edge ends nowhere, or is known to one of its ends only")
        return model

    def __reduce__(self) -> Copied[Self]:
        """Copy and pickle through the saved state; see `ImprovedILVQ`."""
        return copied(self)

    def _halves(self) -> list[tuple[int, int, int]]:
        """Return each edge from both ends, as (row, row, age), in the order of the rows' lists."""
        state = self._state
        return [
            (row, target, state.age(half))
            for row in range(state.count)
            for half, target in state.edges_of(row)
        ]

    def _make_room(self) -> None:
        before = self._state.squares
        self._state.make_room()
        if self._state.squares is not before:
            self._looked_at = None

    def _arrays(self) -> tuple[Floats | Ints | NDArray[np.uint8], ...]:
        """Return what the kernels that learn take first."""
        s = self._state
        return (
            s.table, s.labels, s.halves, s.head, s.rates, s.used, s.seen,
            s.metric, s.squares, s.shares, s.rows,
        )  # fmt: skip

    def _look(self, x: Floats) -> int:
        """Measure a checked sample and let the nearest vote; return the winner, −1 for none."""
        key = x.tobytes()
        if self._looked_at == key:
            return self._winner
        self._sample[:] = x
        state = self._state
        if kernels := compiled.kernels(self.engine):
            self._winner = kernels.reference.predict(
                state.table, state.labels, state.count, state.metric, state.squares,
                state.shares, state.rows, self._sample,
            )  # fmt: skip
        else:
            squares = measure(state.features, state.metric, self._sample)
            state.squares[: state.count] = squares
            self._winner = xuilvq_numpy.vote(state, squares)
        self._looked_at = key
        return self._winner
