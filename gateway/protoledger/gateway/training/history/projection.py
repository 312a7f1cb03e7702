"""A map of prototypes: the two axes that separate the classes best.

Source: linear discriminants (Fisher 1936; Rao 1948): the leading directions of the scatter between
classes, relative to that within them, prototypes counted by their strength. Two axes at least are
needed, so with two classes the second is the direction of most scatter that the first leaves. Each
map is turned towards the one before, so that what is drawn moves and does not jump.
"""

from typing import Final

import numpy as np

from protoledger.gateway.learner.base import Floats
from protoledger.gateway.union.influence import Ints

RIDGE: Final = 0.05
"""Share of the mean variance that is added to the scatter within classes: few prototypes say
little about it."""


class Projection:
    """Two axes in the space of the channels.

    Args:
        n_features: channels.

    Attributes:
        axes: float64 (d, 2).

    >>> places = np.array([[0.0, 0.0, 0.3], [0.1, 0.9, 0.3], [1.0, 0.1, 0.3], [0.9, 1.0, 0.3]])
    >>> at = Projection(3).place(places, np.array([0, 0, 1, 1]), np.ones(4))
    >>> bool(abs(at[0, 0] - at[2, 0]) > 5 * abs(at[0, 0] - at[1, 0]))
    True
    """

    def __init__(self, n_features: int) -> None:
        self.axes: Floats = np.zeros((n_features, 2))

    def place(self, features: Floats, classes: Ints, strengths: Floats) -> Floats:
        """Return where prototypes lie on a map made from them, float64 (n, 2).

        Args:
            features: (n, d) in channel ranges; NaN, where one is lacking, counts as the mean.
            classes: (n,).
            strengths: (n,) > 0.
        """
        if not len(classes):
            return np.zeros((0, 2))
        total = strengths.sum()
        known = ~np.isnan(features)
        weights = known * strengths[:, None]
        seen = weights.sum(axis=0)
        mean = np.where(seen > 0, np.nansum(features * strengths[:, None], axis=0), 0.0)
        mean /= np.maximum(seen, 1e-12)
        centred = np.where(known, features - mean, 0.0)
        between = np.zeros((centred.shape[1],) * 2)
        within = np.zeros_like(between)
        for label in np.unique(classes):
            rows, heavy = centred[classes == label], strengths[classes == label]
            middle = heavy @ rows / heavy.sum()
            between += heavy.sum() * np.outer(middle, middle)
            rest = rows - middle
            within += (rest * heavy[:, None]).T @ rest
        axes = _discriminants(between / total, within / total)
        self.axes = axes @ _turn(axes, self.axes) if self.axes.any() else axes
        placed: Floats = centred @ self.axes
        return placed


def _discriminants(between: Floats, within: Floats) -> Floats:
    """Return the two leading directions, float64 (d, 2)."""
    d = len(within)
    ridge = RIDGE * max(float(np.trace(within + between)) / d, 1e-9)
    values, vectors = np.linalg.eigh(within + ridge * np.eye(d))
    whitening = vectors / np.sqrt(values)
    scores, turned = np.linalg.eigh(whitening.T @ between @ whitening)
    axes = np.zeros((d, 2))
    first = whitening @ turned[:, -1:]
    axes[:, :1] = first
    if d == 1:
        return axes
    if scores[-2] > 1e-9 * max(float(scores[-1]), 1e-12):
        axes[:, 1:] = whitening @ turned[:, -2:-1]
    else:  # two classes: where the prototypes scatter most, whitened, across the first axis
        left = whitening.T @ (between + within) @ whitening
        across = np.eye(d) - np.outer(turned[:, -1], turned[:, -1])
        _, spread = np.linalg.eigh(across @ left @ across)
        axes[:, 1:] = whitening @ spread[:, -1:]
    return axes


def _turn(axes: Floats, before: Floats) -> Floats:
    """Return the rotation or reflection (2, 2) after which axes are nearest to those before."""
    left, _, right = np.linalg.svd(axes.T @ before)
    turned: Floats = left @ right
    return turned
