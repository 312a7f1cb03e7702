"""The vote of the nearest prototypes, the same for one gateway's own and for the union.

Source: distance-weighted nearest neighbours (Dudani, IEEE Trans. SMC 6, 1976); we weigh each vote
by √wins/d², which beat equal votes and votes by wins on all three of river's small streams.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from gateway.learner.base import NEAREST, Floats

SOFTENING: Final = 1e-9
"""Added to squared distances, whose unit is a mean within-class variance: no vote is infinite."""


def vote(squares: Floats, classes: NDArray[np.int64], strengths: Floats, n_classes: int) -> Floats:
    """Return each class's share of the vote of the 5 nearest.

    Args:
        squares: (n,) squared distances, ≥ 0; infinite for a prototype that must not vote.
        classes: (n,) class indices.
        strengths: (n,) what each vote is multiplied by.
        n_classes: Length of the answer.

    Returns:
        float64 (n_classes,), sum 1; all 0 where nobody votes.

    >>> shares = vote(np.array([1.0, 1.0, 2.0]), np.array([0, 1, 1]), np.ones(3), 2)
    >>> shares.round(3).tolist()
    [0.4, 0.6]
    """
    if len(squares) > NEAREST:
        nearest = squares.argpartition(NEAREST)[:NEAREST]
        squares, classes, strengths = squares[nearest], classes[nearest], strengths[nearest]
    votes = np.bincount(classes, strengths / (squares + SOFTENING), n_classes).astype(
        np.float64, copy=False
    )
    total = float(votes.sum())
    if total > 0:
        votes /= total
    return votes


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


@dataclass(frozen=True, slots=True, eq=False)
class Voters:
    """Prototypes that can vote: read-only arrays with a common first axis n.

    Attributes:
        features: float64 (n, d), in channel ranges.
        classes: int64 (n,).
        weights: float64 (n,), samples that each stands for.
        strengths: float64 (n,), what each vote is multiplied by.
    """

    features: Floats
    classes: NDArray[np.int64]
    weights: Floats
    strengths: Floats

    @classmethod
    def of(cls, features: Floats, classes: NDArray[np.int64], weights: Floats) -> Self:
        """Return voters over copies of these arrays."""
        arrays = (features.copy(), classes.copy(), weights.copy(), strengths_of(weights))
        for array in arrays:
            array.setflags(write=False)
        return cls(*arrays)

    def squares(self, x: Floats, metric: Floats) -> Floats:
        """Return the squared distance of each to x."""
        difference = self.features - x
        difference *= difference
        squares: Floats = difference.dot(metric)
        return squares

    def shares(self, x: Floats, metric: Floats, n_classes: int) -> Floats:
        """Return each class's share of the vote at x, all 0 where nobody votes."""
        return vote(self.squares(x, metric), self.classes, self.strengths, n_classes)

    def __len__(self) -> int:
        return len(self.classes)
