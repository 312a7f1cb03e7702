"""What every learner offers, and the checks and the vote that they share.

The names and the order test-then-train are river's (Montiel et al., "River: machine learning for
streaming data in Python", JMLR 22, 2021). We differ in that a sample is a float64 vector and a
label a small integer: the gateway knows its channels and labels before the first sample.
"""

from dataclasses import dataclass
from typing import Final, Literal, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protoledger.gateway.errors import SampleError

Floats = NDArray[np.float64]
Engine = Literal["auto", "numpy", "trial"]
"""What computes, always with the same results: `auto` is the compiled kernels as soon as they are
ready, `trial` is for finding out whether they are."""
MAX_WINS: Final = 65_535
"""Counts of wins saturate here when they leave the learner: a record has 16 bits for them."""
MAX_CLASSES: Final = 255
LARGEST: Final = 1e100
"""Features beyond this count as infinite: their squares must stay finite in float64."""
NEAREST: Final = 5
"""How many prototypes vote."""


@dataclass(frozen=True, slots=True, eq=False)
class Prototypes:
    """A learner's prototypes at one moment; all arrays are copies and share their first axis n.

    Attributes:
        ids: uint16 (n,), unique, ascending; a prototype keeps its id when it moves, and an id is
            used again only after its prototype was removed.
        classes: uint8 (n,), the class index.
        weights: uint16 (n,), how many samples the prototype stands for, saturating at 65,535.
        features: float64 (n, d), in the units of the samples.
    """

    ids: NDArray[np.uint16]
    classes: NDArray[np.uint8]
    weights: NDArray[np.uint16]
    features: Floats

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class Live:
    """A learner's own arrays, not copies: read them, and only until the next `learn_one`.

    Attributes:
        classes: int64 (n,).
        weights: float64 (n,), not saturated.
        features: float64 (n, d).
    """

    classes: NDArray[np.int64]
    weights: Floats
    features: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Opinions:
    """What each of a learner's experts says about one sample; arrays share their first axis.

    Attributes:
        shares: float64 (experts, n_classes), each one's vote; a row of 0 where it knows nothing.
        awake: bool (experts,), whether it may answer here.
        chosen: the row that the learner itself answers with.
        distance: squared distance to the nearest prototype, infinite if there is none.
        usual: what that distance usually is, infinite before it is known.
    """

    shares: Floats
    awake: NDArray[np.bool_]
    chosen: int
    distance: float
    usual: float


class Classifier(Protocol):
    """One-pass classifier with prototypes; everything else in the gateway relies on this alone."""

    n_features: int
    n_classes: int
    revision: int
    """Grows whenever rows of `live()` come, go or change places; moves do not count."""
    engine: Engine
    """May be set at any time; `auto` at first."""
    takes_missing: bool
    """Whether NaN in a sample stands for a feature that it lacks; else NaN is refused."""
    experts: tuple[str, ...]
    """The names of those whose `opinions` it gives; the first are the prototypes."""
    drifts: int
    """How often it was noticed that what was learnt holds no more."""

    def learn_one(self, x: ArrayLike, y: int, *, margin: float = 1.0) -> None:
        """Learn one labelled sample.

        Args:
            x: (d,) finite numbers; copied, never kept.
            y: Class index, 0 ≤ y < n_classes.
            margin: By how much a wider vote (the union's) favoured the true class, −1 to 1.
                A learner may add a prototype where the wider vote is unsure; it may ignore this.

        Raises:
            SampleError: x or y is not as declared; the model is unchanged.
        """
        ...

    def learn_many(self, xs: ArrayLike, ys: ArrayLike) -> NDArray[np.int64]:
        """Test, then train: predict each sample in turn before it is learnt.

        The same as `predict_one` and `learn_one` row by row, for the price of one call.

        Args:
            xs: (n, d) finite numbers.
            ys: (n,) class indices, integers.

        Returns:
            int64 (n,), the predictions; −1 before anything was learnt.

        Raises:
            SampleError: Anything is not as declared; the model is unchanged.
        """
        ...

    def opinions(self, x: ArrayLike) -> Opinions:
        """Return what each expert of the learner says.

        Raises:
            SampleError: x is not as declared.
        """
        ...

    def predict_one(self, x: ArrayLike) -> int | None:
        """Return the class index of the sample, None before anything was learnt.

        Raises:
            SampleError: x is not as declared.
        """
        ...

    def predict_many(self, xs: ArrayLike) -> NDArray[np.int64]:
        """Return the class index of each row of xs (n, d): int64 (n,), −1 for none.

        Raises:
            SampleError: xs is not as declared.
        """
        ...

    def predict_proba_one(self, x: ArrayLike) -> Floats:
        """Return each class's share of the vote: float64 (n_classes,), sum 1, or all 0.

        All are 0 before anything was learnt.

        Raises:
            SampleError: x is not as declared.
        """
        ...

    def prototypes(self) -> Prototypes:
        """Return a frozen copy of all prototypes."""
        ...

    def live(self) -> Live:
        """Return views of the prototypes, valid until the next `learn_one`."""
        ...

    def metric(self) -> Floats:
        """Return the weight of each feature in squared distances: float64 (d,), ≥ 0, a copy."""
        ...

    def distances(self, x: Floats) -> Floats:
        """Return the squared weighted distance to each prototype, in the order of `live()`.

        x is taken as checked (see `check_features`). The array is the learner's: do not write.
        """
        ...

    def state(self) -> bytes:
        """Return all that decides what the learner does next."""
        ...

    @classmethod
    def restore(cls, state: bytes) -> Self:
        """Return a learner that decides exactly as the one that was saved.

        Raises:
            ModelStateError: The bytes are damaged, or of another learner or version.
        """
        ...


def check_shape(n_features: int, n_classes: int) -> None:
    """Raise ValueError unless a learner can have this shape."""
    if n_features < 1:
        raise ValueError(f"a sample needs at least 1 feature, not {n_features}")
    if not 1 <= n_classes <= MAX_CLASSES:
        raise ValueError(f"labels must number 1 to {MAX_CLASSES}, not {n_classes}")


def check_features(x: ArrayLike, n_features: int, *, missing: bool = False) -> Floats:
    """Return x as a float64 vector of n_features numbers within ±1e100.

    Args:
        x: What is to be checked.
        n_features: How many numbers there must be.
        missing: Whether NaN may stand for a feature that the sample lacks, if it has any other.

    Raises:
        SampleError: It is anything else.
    """
    try:
        vector = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise SampleError(f"a sample must be {n_features} numbers, found {x!r:.80}") from error
    if vector.shape != (n_features,):
        raise SampleError(
            f"a sample must have shape ({n_features},), found {vector.shape}; "
            "channels are declared in the site file"
        )
    if vector.dot(vector) <= LARGEST:  # the quick way: false for NaN, too
        return vector
    usable = np.abs(vector) <= LARGEST
    if missing:
        usable |= np.isnan(vector)
        if np.isnan(vector).all():
            raise SampleError("a sample must have one feature at least, found none")
    if not usable.all():
        where = np.flatnonzero(~usable).tolist()
        raise SampleError(
            f"a sample must be finite (at most {LARGEST:g}), found "
            f"{vector[where[0]]} at feature {where[0]} and {len(where) - 1} more"
        )
    return vector


def check_label(y: int, n_classes: int) -> int:
    """Return y as a declared class index.

    Raises:
        SampleError: It is not an integer, or no such class was declared.
    """
    if isinstance(y, bool) or not isinstance(y, (int, np.integer)):
        raise SampleError(f"a label must be a class index, an integer; found {y!r:.80}")
    if not 0 <= y < n_classes:
        raise SampleError(
            f"label {y} was never declared: class indices are 0 to {n_classes - 1}; "
            "labels are declared in the site file"
        )
    return int(y)


def check_many(
    xs: ArrayLike, ys: ArrayLike | None, n_features: int, n_classes: int, *, missing: bool = False
) -> tuple[Floats, NDArray[np.int64]]:
    """Return xs as C-ordered float64 (n, d) and ys as int64 (n,), zeros if there are none.

    Raises:
        SampleError: One of them is anything else; the first bad row is named.
    """
    try:
        rows = np.array(xs, dtype=np.float64, order="C")
        if rows.shape == (0,):  # no rows have no width
            rows = rows.reshape(0, n_features)
        labels = np.array(ys) if ys is not None else np.zeros(rows.shape[:1], dtype=np.int64)
    except (TypeError, ValueError) as error:
        raise SampleError(f"samples must be rows of {n_features} numbers ({error})") from error
    if rows.ndim != 2 or rows.shape[1] != n_features:
        raise SampleError(f"samples must have shape (n, {n_features}), found {rows.shape}")
    usable = _usable(rows, missing=missing)
    if not usable.all():
        first = int(usable.argmin())
        try:
            check_features(rows[first], n_features, missing=missing)
        except SampleError as error:
            raise SampleError(f"row {first}: {error}") from error
    if labels.shape != (len(rows),):
        raise SampleError(f"{len(rows)} samples need as many labels, found {labels.shape}")
    if len(labels) and labels.dtype.kind not in "iu":
        raise SampleError(f"labels must be class indices, integers; found {labels.dtype}")
    declared = (labels >= 0) & (labels < n_classes)
    if not declared.all():
        first = int(declared.argmin())
        try:
            check_label(int(labels[first]), n_classes)
        except SampleError as error:
            raise SampleError(f"row {first}: {error}") from error
    return rows, labels.astype(np.int64)


def _usable(rows: Floats, *, missing: bool) -> NDArray[np.bool_]:
    """Return which rows are finite, or lack some features but not all."""
    absent = np.isnan(rows) & missing
    good = (np.abs(rows) <= LARGEST) | absent
    return np.asarray(good.all(axis=1) & ~absent.all(axis=1))
