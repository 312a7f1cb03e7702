"""Prototypes of codebooks in a table, voting: what is committed, what others committed, the union.

The vote is that of `gateway.learner.vote` for several owners: the 9 nearest, by strength/d².
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gateway.codebook import Codebook
from gateway.learner import compiled
from gateway.learner.base import Engine, Floats
from gateway.learner.vote import (
    NEAREST_OF_ALL,
    SOFTENING_OF_ALL,
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


_NOBODY = Beside(np.zeros(0), np.zeros(0, np.int64), np.zeros(0))


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """Prototypes that vote, with a common axis n; nobody writes to them.

    Attributes:
        columns: float64 (d, n), a prototype a column, C order, in channel ranges.
        classes: int64 (n,).
        strengths: float64 (n,), what each vote is multiplied by.

    >>> panel = Panel.of(np.array([[0.0], [1.0]]), np.array([0, 1]), np.ones(2))
    >>> panel.shares(np.array([0.9]), np.ones(1), 2).round(2).tolist()
    [0.01, 0.99]
    >>> panel.winners(np.array([[0.9], [0.1]]), np.ones(1), 2).tolist()
    [1, 0]
    """

    columns: Floats
    classes: Ints
    strengths: Floats

    @classmethod
    def of(cls, features: Floats, classes: Ints, strengths: Floats) -> Self:
        """Return a panel of copies; features are (n, d)."""
        return cls(np.array(features.T, order="C"), classes.copy(), strengths.copy())

    @classmethod
    def of_codebook(cls, codebook: Codebook) -> Self:
        """Return a codebook's prototypes as reconstructed from its records."""
        return cls.of(codebook.features(), codebook.classes, strengths_of(codebook.weights))

    def shares(
        self,
        x: Floats,
        metric: Floats,
        n_classes: int,
        beside: Beside = _NOBODY,
        engine: Engine = "auto",
    ) -> Floats:
        """Return each class's share of the vote at x: float64 (n_classes,), all 0 if nobody votes.

        Args:
            x: (d,) a checked sample.
            metric: (d,) weight of each feature.
            n_classes: number of labels.
            beside: who votes, too; before the panel where distances are equal.
            engine: what computes.
        """
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
                shares,
            )
            return shares
        return vote(
            np.concatenate((beside.squares, measure(self.columns, metric, x))),
            np.concatenate((beside.classes, self.classes)),
            np.concatenate((beside.strengths, self.strengths)),
            n_classes,
            NEAREST_OF_ALL,
            SOFTENING_OF_ALL,
        )

    def nearest(self, x: Floats, metric: Floats, engine: Engine = "auto") -> Beside:
        """Return those that would vote at x if nobody voted beside them, nearest first.

        Args:
            x: (d,) a checked sample.
            metric: (d,) weight of each feature.
            engine: what computes.
        """
        if kernels := compiled.kernels(engine):
            squares, rows = np.empty(len(self)), np.empty(NEAREST_OF_ALL, np.int64)
            rows = rows[: kernels.union.closest(self.columns, metric, x.copy(), squares, rows)]
        else:
            squares = measure(self.columns, metric, x)
            rows = nearest(squares, NEAREST_OF_ALL)
        return Beside(squares[rows], self.classes[rows], self.strengths[rows])

    def winners(self, xs: Floats, metric: Floats, n_classes: int, engine: Engine = "auto") -> Ints:
        """Return the class with the largest share at each row of xs (m, d), −1 if nobody votes."""
        won = np.full(len(xs), -1, np.int64)
        if kernels := compiled.kernels(engine):
            kernels.union.elect(
                self.columns, self.classes, self.strengths, metric, xs, n_classes, won
            )
            return won
        for row, x in enumerate(xs):
            shares = self.shares(x, metric, n_classes, engine=engine)
            if shares.any():
                won[row] = shares.argmax()
        return won

    def __len__(self) -> int:
        return len(self.classes)
