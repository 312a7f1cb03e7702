"""Prototypes of codebooks in a table, voting: what is committed, what others committed, the union.

The vote is that of `protoledger.gateway.learner.vote`; it reaches farther where several owners take
part.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.learner.base import Engine, Floats
from protoledger.gateway.learner.compilation import compiled
from protoledger.gateway.learner.vote import (
    ALONE,
    TOGETHER,
    Reach,
    measure,
    nearest,
    strengths_of,
    vote,
)

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """Prototypes whose distances are known already, and which vote with a panel.

    Attributes:
        squares: float64 (n,), squared distances to the sample.
        classes: int64 (n,).
        strengths: float64 (n,).
    """

    squares: Floats
    classes: Ints
    strengths: Floats

    def __len__(self) -> int:
        return len(self.classes)


_NONE = Beside(np.zeros(0), np.zeros(0, np.int64), np.zeros(0))


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Prototypes that vote, with a common axis n; nothing writes to them.

    Attributes:
        columns: float64 (d, n), a prototype a column, C order, in channel ranges.
        classes: int64 (n,).
        strengths: float64 (n,), what each vote is multiplied by.
        reach: how far a vote reaches: `TOGETHER` if the prototypes are of several owners.

    >>> panel = Panel.of(np.array([[0.0], [1.0]]), np.array([0, 1]), np.ones(2))
    >>> panel.shares(np.array([0.9]), np.ones(1), 2).round(2).tolist()
    [0.02, 0.98]
    >>> panel.winners(np.array([[0.9], [0.1]]), np.ones(1), 2).tolist()
    [1, 0]
    """

    columns: Floats
    classes: Ints
    strengths: Floats
    reach: Reach = ALONE

    @classmethod
    def of(cls, features: Floats, classes: Ints, strengths: Floats, reach: Reach = ALONE) -> Self:
        """Return a panel of copies; features are (n, d)."""
        return cls(np.array(features.T, order="C"), classes.copy(), strengths.copy(), reach)

    @classmethod
    def of_codebook(cls, codebook: Codebook) -> Self:
        """Return a codebook's prototypes as reconstructed from its records."""
        return cls.of(codebook.features(), codebook.classes, strengths_of(codebook.weights))

    def shares(
        self,
        x: Floats,
        metric: Floats,
        n_classes: int,
        beside: Beside = _NONE,
        engine: Engine = "auto",
        reach: Reach | None = None,
    ) -> Floats:
        """Return each class's share of the vote at x: float64 (n_classes,), all 0 without any vote.

        Args:
            x: (d,) a checked sample.
            metric: (d,) weight of each feature.
            n_classes: number of labels.
            beside: prototypes that vote, too; before the panel where distances are equal.
            engine: what computes.
            reach: how far the vote reaches; by default `TOGETHER` if there are any beside.
        """
        reach = reach or (TOGETHER if len(beside) else self.reach)
        if kernels := compiled.kernels(engine):
            shares = np.empty(n_classes)
            kernels.union.shares(
                beside.squares,
                beside.classes,
                beside.strengths,
                self.columns,
                self.classes,
                self.strengths,
                metric,
                x.copy(),  # a kernel takes no view that is read-only or has gaps
                reach.voters,
                reach.softening,
                shares,
            )
            return shares
        return vote(
            np.concatenate((beside.squares, measure(self.columns, metric, x))),
            np.concatenate((beside.classes, self.classes)),
            np.concatenate((beside.strengths, self.strengths)),
            n_classes,
            reach,
        )

    def nearest(self, x: Floats, metric: Floats, engine: Engine = "auto") -> Beside:
        """Return those that would vote at x by themselves, nearest first.

        Args:
            x: (d,) a checked sample.
            metric: (d,) weight of each feature.
            engine: what computes.
        """
        if kernels := compiled.kernels(engine):
            squares, rows = np.empty(len(self)), np.empty(TOGETHER.voters, np.int64)
            rows = rows[: kernels.union.closest(self.columns, metric, x.copy(), squares, rows)]
        else:
            squares = measure(self.columns, metric, x)
            rows = nearest(squares, TOGETHER.voters)
        return Beside(squares[rows], self.classes[rows], self.strengths[rows])

    def winners(self, xs: Floats, metric: Floats, n_classes: int, engine: Engine = "auto") -> Ints:
        """Return the class with the largest share at each row of xs (m, d), −1 without any vote."""
        won = np.full(len(xs), -1, np.int64)
        if kernels := compiled.kernels(engine):
            voters, softening = self.reach.voters, self.reach.softening
            own = (self.columns, self.classes, self.strengths)
            kernels.union.elect(*own, metric, xs, n_classes, voters, softening, won)
            return won
        for row, x in enumerate(xs):
            shares = self.shares(x, metric, n_classes, engine=engine)
            if shares.any():
                won[row] = shares.argmax()
        return won

    def __len__(self) -> int:
        return len(self.classes)


def vote_many(
    squares: Floats, classes: Ints, strengths: Floats, n_classes: int, reach: Reach
) -> Floats:
    """Return what `vote` says at many points: float64 (points, n_classes), the same bits.

    Args:
        squares: (points, n) squared distances, infinite for a prototype that must not vote.
        classes: (points, n) class indices.
        strengths: (points, n) what each vote is multiplied by.
        n_classes: number of labels.
        reach: how many vote, and how softly.
    """
    rows = nearest_of_each(squares, reach.voters)
    weighed = np.take_along_axis(strengths, rows, axis=1)
    weighed /= np.take_along_axis(squares, rows, axis=1) + reach.softening
    classes = np.take_along_axis(classes, rows, axis=1)
    points = np.arange(len(squares))[:, None]
    # summed from the nearest on, as one point's votes are
    shares = np.bincount(
        (points * n_classes + classes).ravel(), weighed.ravel(), points.size * n_classes
    )
    totals = np.bincount(np.broadcast_to(points, rows.shape).ravel(), weighed.ravel(), points.size)
    found: Floats = shares.reshape(-1, n_classes) / np.where(totals > 0, totals, 1.0)[:, None]
    return found


def nearest_of_each(squares: Floats, most: int) -> NDArray[np.intp]:
    """Return the columns of the least in each row, nearest first, older first among equals."""
    return np.argsort(squares, axis=1, kind="stable")[:, :most]


def winners(shares: Floats) -> Ints:
    """Return the class with the largest share in each row: int64 (points,), −1 for none."""
    return np.where(shares.any(axis=1), shares.argmax(axis=1), -1)
