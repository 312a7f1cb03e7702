"""The paper's three data streams, split into learnt and held-out rows and dealt to gateways.

A seed determines a shuffle: 70 % of the rows are learnt, and 30 % are held out for measuring
accuracy. Rows go to the gateways in turn (`iid`), or by class with shares from a Dirichlet
distribution, as is usual for skewed data (Hsu, Qi, Brown, arXiv 1909.06335): the smaller its
parameter, the fewer classes a gateway sees.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protoledger.emulator.sources.packaged import read_packaged

DATA: Final = ("image-segments", "phishing", "bananas")
LEARNT: Final = 0.7

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """One shuffle of a stream.

    Attributes:
        name: name of the stream.
        classes: number of classes.
        x: float64 (n, d), rows to learn, each channel scaled to [0, 1].
        y: int64 (n,), their classes.
        held_x: float64 (m, d), held-out rows.
        held_y: int64 (m,), their classes.
    """

    name: str
    classes: int
    x: NDArray[np.float64]
    y: NDArray[np.int64]
    held_x: NDArray[np.float64]
    held_y: NDArray[np.int64]


@cache
def _scaled(name: str) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    table = read_packaged(name)
    low, high = table.values.min(axis=0), table.values.max(axis=0)
    scaled = (table.values - low) / np.where(high > low, high - low, 1)
    return scaled, table.classes.astype(np.int64), len(table.labels)


def split(name: str, seed: int) -> Split:
    """Shuffle a stream and hold out 30 % of its rows.

    >>> parts = split("phishing", seed=1)
    >>> parts.x.shape, parts.held_x.shape, parts.classes
    ((875, 9), (375, 9), 2)
    """
    x, y, classes = _scaled(name)
    order = np.random.default_rng([seed, 1]).permutation(len(y))
    cut = round(LEARNT * len(y))
    learnt, held = order[:cut], order[cut:]
    return Split(name, classes, x[learnt], y[learnt], x[held], y[held])


def deal(y: Rows, gateways: int, seed: int, dirichlet: float | None = None) -> list[Rows]:
    """Return the rows that each gateway sees, in the order of the stream.

    Args:
        y: int64 (n,), the classes of the rows.
        gateways: number of gateways.
        seed: seed of the shares.
        dirichlet: parameter of the classes' shares; None deals rows in turn.

    >>> [rows.tolist() for rows in deal(np.array([0, 1, 0, 1, 1]), 2, seed=0)]
    [[0, 2, 4], [1, 3]]
    """
    if dirichlet is None:
        return [np.arange(len(y))[number::gateways] for number in range(gateways)]
    rng = np.random.default_rng([seed, 2])
    owner = np.zeros(len(y), np.int64)
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        shares = rng.dirichlet(np.full(gateways, dirichlet))
        owner[rows] = rng.choice(gateways, len(rows), p=shares)
    return [np.flatnonzero(owner == number) for number in range(gateways)]
