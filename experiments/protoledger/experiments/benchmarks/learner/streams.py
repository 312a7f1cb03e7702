"""Streams that nothing was tuned on: generators, shipped data, recordings in time order.

Features are scaled to [0, 1] by each column's range; rows stay in their order. The generators are
river's (Montiel et al., JMLR 22, 2021) and six of our own for what those leave out: concepts that
move, turn, come back, or are a linear rule; a world sorted by class; a room in time order.
scikit-learn's toy sets take part where that package is installed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protoledger.emulator.sources.catalogue import TableSource, open_source
from protoledger.emulator.sources.packaged import PACKAGED, read_packaged
from protoledger.protocol.errors import ConfigurationError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SAMPLES: Final = 3000
"""Of each stream, at most."""
TOYS: Final = ("iris", "wine", "breast_cancer", "digits")


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rows in their order: xs float64 (n, d), ys int64 (n,), and the number of labels.

    NaN stands for a value that is missing.
    """

    name: str
    xs: Floats
    ys: Ints
    labels: int

    @classmethod
    def of(cls, name: str, xs: Floats, ys: Ints) -> "Labelled":
        """Return rows scaled by their columns' ranges."""
        low, high = np.nanmin(xs, axis=0), np.nanmax(xs, axis=0)
        return cls(name, (xs - low) / np.where(high > low, high - low, 1), ys, int(ys.max()) + 1)

    @property
    def complete(self) -> Floats:
        """The rows with the middle of its range for each missing value."""
        return np.where(np.isnan(self.xs), 0.5, self.xs)


def grid() -> Iterator[Labelled]:
    """Yield every stream."""
    for name, make in {**_generated(), **_own()}.items():
        yield Labelled.of(name, *make())
    for name in PACKAGED:
        table = read_packaged(name)
        rows = slice(0, SAMPLES)
        yield Labelled.of(name, table.values[rows], table.classes.astype(np.int64)[rows])
    yield from _toys()


def recording(file: str) -> Labelled:
    """Return a recording in its own order, of `FILE:LABEL`.

    Raises:
        ConfigurationError: It cannot be read.
    """
    path, _, label = file.rpartition(":")
    source = open_source(path, label or None)
    if not isinstance(source, TableSource):
        raise ConfigurationError(f"{path} is no recording: give a CSV file and its label column")
    table = source.table
    return Labelled.of(Path(path).stem, table.values, table.classes.astype(np.int64))


def _generated() -> dict[str, Callable[[], tuple[Floats, Ints]]]:
    from river.datasets import synth  # noqa: PLC0415 - takes seconds

    drifting = partial(synth.ConceptDriftStream, position=SAMPLES // 2, width=50, seed=1)
    made: dict[str, Callable[[], Any]] = {
        "sea": partial(synth.SEA, variant=0, seed=1, noise=0.1),
        "agrawal": partial(synth.Agrawal, classification_function=2, seed=1),
        "hyperplane": partial(
            synth.Hyperplane, seed=1, n_features=10, n_drift_features=2, mag_change=0.001
        ),
        "led": partial(synth.LED, seed=1, noise_percentage=0.1, irrelevant_features=True),
        "waveform": partial(synth.Waveform, seed=1, has_noise=True),
        "rbf": partial(
            synth.RandomRBF,
            seed_model=1, seed_sample=1, n_classes=4, n_features=10, n_centroids=50,
        ),
        "rbf, drifting": partial(
            synth.RandomRBFDrift,
            seed_model=1, seed_sample=1, n_classes=4, n_features=6, n_centroids=20,
            change_speed=0.005, n_drift_centroids=20,
        ),
        "sine": partial(synth.Sine, classification_function=2, seed=1),
        "mixed": partial(synth.Mixed, classification_function=1, seed=1),
        "stagger": partial(synth.STAGGER, classification_function=1, seed=1),
        "tree": partial(
            synth.RandomTree,
            seed_tree=1, seed_sample=1, n_classes=3, n_num_features=5, n_cat_features=3,
        ),
        "sea, abrupt": lambda: drifting(
            stream=synth.SEA(variant=0, seed=1), drift_stream=synth.SEA(variant=3, seed=2)
        ),
        "sine, abrupt": lambda: drifting(
            stream=synth.Sine(classification_function=0, seed=1),
            drift_stream=synth.Sine(classification_function=1, seed=2),
        ),
    }  # fmt: skip
    return {name: partial(_taken, make) for name, make in made.items()}


def _taken(make: Callable[[], Any]) -> tuple[Floats, Ints]:
    rows = list(make().take(SAMPLES))
    columns = [_numbers([x[name] for x, _ in rows]) for name in rows[0][0]]
    return np.stack(columns, axis=1), _numbers([y for _, y in rows]).astype(np.int64)


def _numbers(values: list[Any]) -> Floats:
    """Return numbers as they are, and words by their place in the alphabet."""
    if all(isinstance(value, int | float | np.number) for value in values):
        return np.array(values, np.float64)
    places = {word: at for at, word in enumerate(sorted(set(map(str, values))))}
    return np.array([places[str(value)] for value in values], np.float64)


def _own() -> dict[str, Callable[[], tuple[Floats, Ints]]]:
    return {
        "moving": _moving,
        "turning": _turning,
        "chess": _chess,
        "linear": _linear,
        "contexts": _contexts,
        "sorted": _sorted,
        "room": _room,
    }


def _moving() -> tuple[Floats, Ints]:
    rng = np.random.default_rng(1)
    ys = rng.integers(4, size=SAMPLES)
    place = (ys * 2.0 + np.arange(SAMPLES) * 0.01) % 10
    return np.stack([place + rng.uniform(-0.8, 0.8, SAMPLES), rng.random(SAMPLES)], axis=1), ys


def _turning() -> tuple[Floats, Ints]:
    rng = np.random.default_rng(2)
    xs, angle = rng.normal(size=(SAMPLES, 4)), np.arange(SAMPLES) / SAMPLES * 2 * np.pi
    side = xs[:, 0] * np.cos(angle) + xs[:, 1] * np.sin(angle)
    return xs, (side > 0).astype(np.int64)


def _chess() -> tuple[Floats, Ints]:
    xs = np.random.default_rng(3).uniform(0, 4, size=(SAMPLES, 2))
    return xs, xs.astype(np.int64).sum(axis=1) % 2


def _linear() -> tuple[Floats, Ints]:
    rng = np.random.default_rng(4)
    xs = rng.normal(size=(SAMPLES, 10))
    return xs, (xs @ rng.normal(size=10) > 0).astype(np.int64)


def _contexts() -> tuple[Floats, Ints]:
    rng = np.random.default_rng(5)
    centres, context = rng.normal(size=(4, 9, 4)) * 2, (np.arange(SAMPLES) // 500) % 4
    at = rng.integers(9, size=SAMPLES)
    return centres[context, at] + 0.7 * rng.normal(size=(SAMPLES, 4)), at % 3


def _sorted() -> tuple[Floats, Ints]:
    rng = np.random.default_rng(1)
    centres, ys = rng.normal(size=(3, 4)) * 2, np.sort(rng.choice(3, SAMPLES))
    return centres[ys] + 0.6 * rng.normal(size=(SAMPLES, 4)), ys


def _room() -> tuple[Floats, Ints]:
    """A room used by day: light follows at once, heat lags, and each day has its own level."""
    rng = np.random.default_rng(6)
    minute = np.arange(SAMPLES) % 300
    start = rng.integers(80, 160, SAMPLES // 300 + 1)[np.arange(SAMPLES) // 300]
    ys = ((minute > start) & (minute < start + 90)).astype(np.int64)
    level = rng.normal(0, 0.15, SAMPLES // 300 + 1)[np.arange(SAMPLES) // 300]
    heat = np.zeros(SAMPLES)
    for i in range(1, SAMPLES):
        heat[i] = 0.97 * heat[i - 1] + 0.03 * ys[i]
    light = 0.5 * ys + level + 0.06 * rng.normal(size=SAMPLES)
    return np.stack([light, heat + level, rng.random(SAMPLES)], axis=1), ys


def _toys() -> Iterator[Labelled]:
    try:
        from sklearn import datasets  # noqa: PLC0415 - takes seconds, and need not be there
    except ImportError:
        return
    for name in TOYS:
        found = getattr(datasets, f"load_{name}")()
        order = np.random.default_rng(1).permutation(len(found.target))[:SAMPLES]
        xs, ys = np.asarray(found.data, np.float64)[order], np.asarray(found.target)[order]
        yield Labelled.of(name, xs, ys.astype(np.int64))
