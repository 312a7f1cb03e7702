"""The site's last labelled samples, as it would have seen each before it learnt from it.

With each sample its nearest own prototypes of that moment are kept, so that a vote over them does
not contain the sample itself; their distances are those of the metric of that moment.
"""

from typing import Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.errors import ModelStateError
from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.saved import dump, load
from protoledger.gateway.learner.vote import TOGETHER, nearest

KEPT: Final = 200
BLOCK: Final = 16
"""Samples of a run of equal labels that count as one observation."""
Ints = NDArray[np.int64]


class SavedRecent(msgspec.Struct, forbid_unknown_fields=True):
    """The samples as bytes, oldest first."""

    count: int
    xs: bytes
    ys: bytes
    blocks: bytes
    squares: bytes
    classes: bytes
    strengths: bytes


class RecentSamples:
    """A ring of the last labelled samples; all views are in the order of the ring.

    Args:
        n_features: length of a sample.

    >>> recent = RecentSamples(1)
    >>> own = np.array([0.5]), np.array([1]), np.array([2.0])
    >>> for label in (0, 0, 1):
    ...     recent.add(np.zeros(1), label, *own)
    >>> len(recent), recent.ys.tolist(), recent.blocks.tolist()
    (3, [0, 0, 1], [1, 1, 2])
    """

    def __init__(self, n_features: int) -> None:
        k = TOGETHER.voters
        self.count = 0
        self._xs: Floats = np.zeros((KEPT, n_features))
        self._ys: Ints = np.zeros(KEPT, np.int64)
        self._blocks: Ints = np.zeros(KEPT, np.int64)
        self._squares: Floats = np.full((KEPT, k), np.inf)
        self._classes: Ints = np.zeros((KEPT, k), np.int64)
        self._strengths: Floats = np.zeros((KEPT, k))

    def __len__(self) -> int:
        return min(self.count, KEPT)

    def add(self, x: Floats, y: int, squares: Floats, classes: Ints, strengths: Floats) -> None:
        """Keep a labelled sample in place of the oldest.

        Args:
            x: (d,) the sample, NaN where it lacks a feature.
            y: its class index.
            squares: (n,) its squared distances to the own prototypes.
            classes: (n,) theirs.
            strengths: (n,) theirs.
        """
        at, last = self.count % KEPT, (self.count - 1) % KEPT
        block = int(self._blocks[last]) if self.count else 0
        run = self._blocks[: len(self)] == block
        if not self.count or self._ys[last] != y or int(run.sum()) >= BLOCK:
            block += 1
        rows = nearest(squares, TOGETHER.voters)
        many = len(rows)
        self._xs[at], self._ys[at], self._blocks[at] = x, y, block
        self._squares[at], self._strengths[at] = np.inf, 0
        self._squares[at, :many], self._classes[at, :many] = squares[rows], classes[rows]
        self._strengths[at, :many] = strengths[rows]
        self.count += 1

    @property
    def xs(self) -> Floats:
        """The samples, float64 (n, d)."""
        return self._xs[: len(self)]

    @property
    def ys(self) -> Ints:
        """Their classes, int64 (n,)."""
        return self._ys[: len(self)]

    @property
    def blocks(self) -> Ints:
        """Number of the run, or part of a long run, that each belongs to: int64 (n,)."""
        return self._blocks[: len(self)]

    @property
    def spells(self) -> float:
        """How many times longer runs of equal labels are than in the same labels, shuffled.

        About 1 where labels follow each other by chance; a tenth of a room's samples and fewer
        begin a run. While only one label was seen, another counts as having been seen once.
        """
        n = len(self)
        ys = self._ys[(self.count - n + np.arange(n)) % KEPT]
        shares = (np.bincount(ys, minlength=2) + 1) / (n + max(2, int(ys.max(initial=0)) + 1))
        changes = np.count_nonzero(ys[1:] != ys[:-1])
        return float(1 + (n - 1) * (1 - (shares**2).sum())) / (1 + changes) if n else 1.0

    @property
    def own(self) -> tuple[Floats, Ints, Floats]:
        """Squared distances (infinite for none), classes, strengths of the nearest, (n, k)."""
        n = len(self)
        return self._squares[:n], self._classes[:n], self._strengths[:n]

    def saved(self) -> SavedRecent:
        """Return all of it as bytes."""
        order = (self.count - len(self) + np.arange(len(self))) % KEPT
        squares = self._squares[order]
        return SavedRecent(
            count=self.count,
            xs=dump(self._xs[order], "<f8"),
            ys=dump(self._ys[order], "u1"),
            blocks=dump(self._blocks[order], "<i8"),
            squares=dump(np.where(np.isinf(squares), -1.0, squares), "<f8"),
            classes=dump(self._classes[order], "u1"),
            strengths=dump(self._strengths[order], "<f8"),
        )

    @classmethod
    def restore(cls, saved: SavedRecent, n_features: int, n_classes: int) -> Self:
        """Return the saved samples.

        Raises:
            ModelStateError: They are damaged.
        """
        if saved.count < 0:
            raise ModelStateError(f"a saved model counts {saved.count} recent samples")
        recent, k = cls(n_features), TOGETHER.voters
        recent.count = saved.count
        n = len(recent)
        order = (saved.count - n + np.arange(n)) % KEPT
        recent._xs[order] = load(saved.xs, "<f8", (n, n_features), np.float64, missing=True)
        recent._ys[order] = load(saved.ys, "u1", (n,), np.int64)
        recent._blocks[order] = load(saved.blocks, "<i8", (n,), np.int64)
        squares = load(saved.squares, "<f8", (n, k), np.float64)
        recent._squares[order] = np.where(squares < 0, np.inf, squares)
        recent._classes[order] = load(saved.classes, "u1", (n, k), np.int64)
        recent._strengths[order] = load(saved.strengths, "<f8", (n, k), np.float64)
        if n and max(int(recent._ys.max()), int(recent._classes.max())) >= n_classes:
            raise ModelStateError("a saved recent sample has an undeclared class")
        return recent
