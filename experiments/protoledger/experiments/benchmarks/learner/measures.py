"""What `protoledger bench learner` measures: streams in, accuracy and microseconds a sample out.

CPU time of the one thread that learns, the best of some repeats: a machine that does other things
besides can only add to it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from protoledger.emulator.sources.packaged import PACKAGED, read_packaged
from protoledger.experiments.benchmarks.learner.plain_xuilvq import PlainXuILVQ
from protoledger.gateway.learner import Mode, make_learner

if TYPE_CHECKING:
    from protoledger.gateway.learner.base import Engine

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STREAMS: Final = ("image-segments", "phishing", "bananas")
FEATURES: Final = 18
LABELS: Final = 7
REPEATS: Final = 5
MOST_SAMPLES: Final = 400_000
assert set(STREAMS) == set(PACKAGED)  # noqa: S101 - neither may be forgotten


@dataclass(frozen=True, slots=True)
class Stream:
    """Labelled samples in order: xs float64 (n, d), ys class indices."""

    name: str
    xs: Floats
    ys: Ints
    labels: int

    @classmethod
    def packaged(cls, name: str) -> "Stream":
        """Return one of river's, as it is shipped."""
        table = read_packaged(name)
        return cls(name, table.values, table.classes, len(table.labels))

    def shuffled(self, seed: int) -> "Stream":
        """Return the same samples in another order."""
        order = np.random.default_rng(seed).permutation(len(self.ys))
        return Stream(self.name, self.xs[order], self.ys[order], self.labels)


@dataclass(frozen=True, slots=True)
class LearnerRow:
    """One learner on one stream; what was not measured is None.

    Attributes:
        data: The stream.
        mode: `reference`, `improved`, or `river-…`.
        accuracy: Each sample predicted before it is learnt; the first, of nothing learnt, left out.
        prototypes: How many there were at the end.
        us_per_sample: Predict and learn, microseconds, in a stream (`learn_many`).
        us_one_by_one: The same by `predict_one` and `learn_one`.
        us_numpy: The same in numpy, without kernels.
        us_python: The same in plain Python, a prototype at a time (reference mode only).
        ratio_to_numpy: us_numpy / us_per_sample.
        ratio_to_python: us_python / us_per_sample.
        shuffled: Mean and standard deviation of the accuracy over orders of the stream.
    """

    data: str
    mode: str
    accuracy: float
    prototypes: int | None
    us_per_sample: float
    us_one_by_one: float | None = None
    us_numpy: float | None = None
    us_python: float | None = None
    ratio_to_numpy: float | None = None
    ratio_to_python: float | None = None
    shuffled: tuple[float, float] | None = None


def measure(stream: Stream, mode: Mode, *, shuffles: int, slow: bool) -> LearnerRow:
    """Measure one of our learners.

    Args:
        stream: What it learns.
        mode: Which learner.
        shuffles: Orders to learn besides.
        slow: Whether plain Python is measured, too; seconds for each stream.
    """
    streamed = _timed(partial(_streamed, stream, mode), REPEATS)
    one_by_one = _timed(partial(_one_by_one, stream, mode, "auto"), 2)
    plain = _timed(partial(_one_by_one, stream, mode, "numpy"), 1)
    python = _timed(partial(_python, stream), 1) if slow and mode == "reference" else None
    orders = [stream.shuffled(seed) for seed in range(shuffles)]
    others = [accuracy(_streamed(order, mode)[0], order.ys) for order in orders]
    (predicted, prototypes), us = streamed[0], streamed[1] / len(stream.ys)
    numpy_us = plain[1] / len(stream.ys)
    python_us = python[1] / len(stream.ys) if python else None
    return LearnerRow(
        data=stream.name,
        mode=mode,
        accuracy=accuracy(predicted, stream.ys),
        prototypes=prototypes,
        us_per_sample=us,
        us_one_by_one=one_by_one[1] / len(stream.ys),
        us_numpy=numpy_us,
        us_python=python_us,
        ratio_to_numpy=numpy_us / us,
        ratio_to_python=python_us / us if python_us else None,
        shuffled=(float(np.mean(others)), float(np.std(others))) if others else None,
    )


def accuracy(predicted: Ints, ys: Ints) -> float:
    """Return the share of right predictions, without the first, which nothing was learnt for."""
    return float((predicted[1:] == ys[1:]).mean())


def _timed(work: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """Return what the work gives, and its least time in microseconds."""
    best, result = np.inf, None
    for _ in range(repeats):
        started = time.thread_time()
        result = work()
        best = min(best, time.thread_time() - started)
    return result, best * 1e6


def _streamed(stream: Stream, mode: Mode) -> tuple[Ints, int]:
    model = make_learner(mode, stream.xs.shape[1], stream.labels)
    return model.learn_many(stream.xs, stream.ys), len(model.live().classes)


def _one_by_one(stream: Stream, mode: Mode, engine: "Engine") -> None:
    model = make_learner(mode, stream.xs.shape[1], stream.labels)
    model.engine = engine
    for x, y in zip(stream.xs, stream.ys.tolist(), strict=True):
        model.predict_one(x)
        model.learn_one(x, y)


def _python(stream: Stream) -> None:
    model = PlainXuILVQ()
    for x, y in zip(stream.xs, stream.ys.tolist(), strict=True):
        model.predict_one(x)
        model.learn_one(x, y)


# -- many prototypes ---------------------------------------------------------------------------


def measure_many(mode: Mode, prototypes: int, *, samples: int = 2000) -> LearnerRow:
    """Measure a learner that holds very many prototypes already, on the stream that made them."""
    generator = np.random.default_rng(0)
    model = make_learner(mode, FEATURES, LABELS, capacity=prototypes)
    clouds = Clouds(generator) if mode == "improved" else None
    seen = 0
    while len(model.live().classes) < prototypes and seen < MOST_SAMPLES:
        seen += 1000
        if clouds is None:
            model.learn_many(*_noise(generator, 1000))
            continue
        for x, y in clouds.samples(1000):
            model.learn_one(x, y, margin=-1.0)  # each founds a prototype
    xs, ys = clouds.table(samples) if clouds else _noise(generator, samples)
    saved, best = model.state(), np.inf
    for _ in range(REPEATS):
        again = type(model).restore(saved)
        predicted, us = _timed(partial(again.learn_many, xs, ys), 1)
        best = min(best, us / samples)
    plain = type(model).restore(saved)
    plain.engine = "numpy"
    few = slice(0, 200)
    _, numpy_us = _timed(partial(plain.learn_many, xs[few], ys[few]), 1)
    return LearnerRow(
        data=f"synthetic-{prototypes}",
        mode=mode,
        accuracy=float((predicted == ys).mean()),
        prototypes=len(model.live().classes),
        us_per_sample=best,
        us_numpy=numpy_us / 200,
        ratio_to_numpy=numpy_us / 200 / best,
    )


class Clouds:
    """Seven classes of a few hundred clouds in 18 features."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._centres = generator.normal(size=(300, FEATURES)) * 3
        self._labels = generator.integers(LABELS, size=300)

    def table(self, n: int) -> tuple[Floats, Ints]:
        """Return n samples at once."""
        at = self._generator.integers(300, size=n)
        return self._centres[at] + 0.5 * self._generator.normal(size=(n, FEATURES)), self._labels[
            at
        ]

    def samples(self, n: int) -> Iterator[tuple[Floats, int]]:
        """Yield n samples."""
        xs, ys = self.table(n)
        yield from zip(xs, ys.tolist(), strict=True)


def _noise(generator: np.random.Generator, n: int) -> tuple[Floats, Ints]:
    """Return samples without structure, of which the reference keeps about one in seven."""
    return generator.uniform(size=(n, FEATURES)) ** 3, generator.integers(LABELS, size=n)


# -- river ---------------------------------------------------------------------------------------

RIVER: Final = ("river-knn", "river-hoeffding-tree", "river-arf")


def measure_river(stream: Stream, mode: str) -> LearnerRow:
    """Measure one of river's classifiers behind its StandardScaler, sample by sample."""
    model = _river(mode)
    samples = [dict(enumerate(x)) for x in stream.xs.tolist()]
    right = 0
    started = time.thread_time()
    for i, (x, y) in enumerate(zip(samples, stream.ys.tolist(), strict=True)):
        right += model.predict_one(x) == y and i > 0
        model.learn_one(x, y)
    took = time.thread_time() - started
    n = len(stream.ys)
    return LearnerRow(stream.name, mode, right / (n - 1), None, took / n * 1e6)


def _river(mode: str) -> Any:
    from river import forest, neighbors, preprocessing, tree  # noqa: PLC0415 - takes seconds

    made: dict[str, Callable[[], Any]] = {
        "river-knn": neighbors.KNNClassifier,
        "river-hoeffding-tree": tree.HoeffdingTreeClassifier,
        "river-arf": partial(forest.ARFClassifier, seed=1),
    }
    scaler: Any = preprocessing.StandardScaler
    return scaler() | made[mode]()
