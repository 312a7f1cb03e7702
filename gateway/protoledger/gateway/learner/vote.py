"""The vote of the nearest prototypes, the same for one gateway's own and for the union.

Source: distance-weighted nearest neighbours (Dudani, IEEE Trans. SMC 6, 1976); we weigh each vote
by √wins/d², which beat equal votes and votes by wins on all three of river's small streams.
Distances are softened, so that a prototype at the sample's very place does not decide alone. Where
several owners vote, more neighbours lie within the same distance: more vote, and more softly.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.learner.base import NEAREST, Floats

SOFTENING: Final = 0.01
"""Added to squared distances, whose unit is a mean within-class variance."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a vote reaches.

    Attributes:
        voters: how many prototypes vote.
        softening: added to squared distances.
    """

    voters: int
    softening: float


ALONE: Final = Reach(NEAREST, SOFTENING)
TOGETHER: Final = Reach(9, 0.015)
"""Where prototypes are of several owners."""


def measure(features: Floats, metric: Floats, x: Floats) -> Floats:
    """Return the squared weighted distance of x to each column of `features`.

    A feature that one of the two lacks (NaN) adds what features add on average, 1/d, unless it
    weighs nothing: so prototypes that lack different features can be compared.

    Args:
        features: (d, n), a prototype a column.
        metric: (d,) weight of each feature.
        x: (d,) the sample.

    Returns:
        float64 (n,), summed feature by feature in their order: the kernels give the same bits.
    """
    parts = features - x[:, None]
    parts *= parts
    parts *= metric[:, None]
    absent = np.isnan(parts)
    if absent.any():
        average = np.where(metric > 0, 1 / len(metric), 0.0)
        parts = np.where(absent, average[:, None], parts)
    squares: Floats = np.add.accumulate(parts, axis=0)[-1]
    return squares


def without_missing(x: Floats, metric: Floats) -> tuple[Floats, Floats]:
    """Return a sample and weights to measure it by, where features that it lacks weigh nothing."""
    absent = np.isnan(x)
    if not absent.any():
        return x, metric
    return np.where(absent, 0.0, x), np.where(absent, 0.0, metric)


def nearest(squares: Floats, most: int) -> NDArray[np.intp]:
    """Return the rows of the least squared distances, nearest first, older first among equals."""
    if len(squares) > most:
        rows = np.flatnonzero(squares <= np.partition(squares, most - 1)[most - 1])
        return rows[squares[rows].argsort(kind="stable")][:most]
    return squares.argsort(kind="stable")


def vote(
    squares: Floats,
    classes: NDArray[np.int64],
    strengths: Floats,
    n_classes: int,
    reach: Reach = ALONE,
) -> Floats:
    """Return each class's share of the vote of the nearest, summed from the nearest on.

    Args:
        squares: (n,) squared distances, ≥ 0; infinite for a prototype that must not vote.
        classes: (n,) class indices.
        strengths: (n,) what each vote is multiplied by.
        n_classes: Length of the answer.
        reach: How many vote, and how softly.

    Returns:
        float64 (n_classes,), sum 1; all 0 where nobody votes.

    >>> shares = vote(np.array([1.0, 1.0, 2.0]), np.array([0, 1, 1]), np.ones(3), 2)
    >>> shares.round(3).tolist()
    [0.4, 0.6]
    """
    rows = nearest(squares, reach.voters)
    weighed = (strengths[rows] / (squares[rows] + reach.softening)).tolist()
    votes, total = [0.0] * n_classes, 0.0
    for label, strength in zip(classes[rows].tolist(), weighed, strict=True):
        votes[label] += strength
        total += strength
    shares: Floats = np.array(votes)
    if total > 0:
        shares /= total
    return shares


def strengths_of(weights: Floats | NDArray[np.int64]) -> Floats:
    """Return √wins, where a prototype that has not won yet counts as its founding sample."""
    return np.sqrt(np.maximum(weights, 1.0))


def margin_of(shares: Floats, y: int) -> float:
    """Return the share of class y minus the largest share of another: −1 to 1.

    −1 where nobody voted: nothing is known there.
    """
    if len(shares) == 1:
        return float(shares[0])
    share = float(shares[y])
    shares[y] = -1.0
    other = float(shares.max())
    shares[y] = share
    return share - other if share or other else -1.0
