"""What codebooks do to each other: who gets whose prototypes right, with and without whom.

Every prototype is a witness: its owner saw samples of its class there. So the gateway needs no
samples of its own to judge a codebook. It asks how many of the other owners' prototypes (its own
among them, which count double) the union classifies worse with that codebook than without it, each
prototype kept out of its own vote. That an owner knows other classes or regions than the gateway
costs it nothing, because nobody's prototypes are outvoted there.

Source: the value of data as what leaving it out changes (leave-one-out; Ghorbani, Zou, "Data
Shapley", ICML 2019), by nearest neighbours (Jia et al., PVLDB 12, 2019); here the unit is a
codebook, and the witnesses are prototypes instead of validation samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from gateway.learner import compiled
from gateway.learner.base import NEAREST, Engine, Floats
from gateway.learner.vote import measure, nearest, vote

Ints = NDArray[np.int64]
Booleans = NDArray[np.bool_]

OWN: Final = ""
"""The gateway's own owner."""
OWN_SAY: Final = 2.0
"""The gateway's own prototypes count as those of so many owners: it knows that they are true."""
DOUBT: Final = 4.0
"""Witnesses of right answers that every owner is taken to have beside its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One codebook in court.

    Attributes:
        owner: whose; `OWN` for the gateway's own.
        features: float64 (n, d).
        classes: int64 (n,).
        strengths: float64 (n,), what each vote is multiplied by; also the weight of a witness.
    """

    owner: str
    features: Floats
    classes: Ints
    strengths: Floats

    def where(self, rows: Booleans) -> Self:
        """Return the prototypes of these rows."""
        return replace(
            self,
            features=self.features[rows],
            classes=self.classes[rows],
            strengths=self.strengths[rows],
        )


class Court:
    """Codebooks side by side in the gateway's metric.

    Args:
        blocks: the codebooks; the methods name them by their place here.
        metric: (d,) weight of each feature.
        n_classes: number of labels.
        engine: what computes.

    >>> places = np.array([[0.0], [0.2], [1.0], [1.2]])
    >>> wide = Block("a", places, np.array([0, 0, 1, 1]), np.ones(4))
    >>> liar = Block("b", np.array([[0.1], [1.1]]), np.array([1, 0]), np.full(2, 9.0))
    >>> court = Court([wide, liar], np.ones(1), 2)
    >>> court.right(0, (0,)).all().item(), court.right(0, (0, 1)).any().item()
    (True, False)
    >>> round(court.harm(1, (0,), doubt=0), 2)
    1.0
    """

    def __init__(
        self, blocks: Sequence[Block], metric: Floats, n_classes: int, engine: Engine = "auto"
    ) -> None:
        self.blocks = blocks
        self.n_classes = n_classes
        self._engine: Engine = engine
        self._starts = np.cumsum([0, *(len(block.classes) for block in blocks)])
        features = np.concatenate([block.features for block in blocks]).T
        self._classes = np.concatenate([block.classes for block in blocks])
        self._strengths = np.concatenate([block.strengths for block in blocks])
        self._rows, self._squares = neighbours(
            np.ascontiguousarray(features), metric, self._starts, engine
        )
        self._known: dict[tuple[int, tuple[int, ...]], Booleans] = {}

    def right(self, block: int, voting: Sequence[int]) -> Booleans:
        """Return which prototypes of a block the voting blocks classify right, each without itself.

        Returns:
            bool (n,).
        """
        key = (block, tuple(sorted(voting)))
        if key not in self._known:
            among = slice(self._starts[block], self._starts[block + 1])
            won = winners(
                self._rows[among],
                self._squares[among],
                self._strengths,
                self._classes,
                np.array(key[1], np.int64),
                self.n_classes,
                self._engine,
            )
            self._known[key] = won == self._classes[among]
        return self._known[key]

    def harm(self, block: int, others: Sequence[int], doubt: float | None = None) -> float:
        """Return the share of the others' witnesses that a block turns wrong, less turned right.

        Args:
            block: the codebook in question.
            others: those it joins, and whose prototypes bear witness; each owner's witnesses count
                the same in sum, the gateway's own `OWN_SAY` times.
            doubt: witnesses of right answers added for each owner; `DOUBT` without it.
        """
        total = said = 0.0
        for witness in others:
            say = OWN_SAY if self.blocks[witness].owner == OWN else 1.0
            total += say * self.change(
                witness, others, [*others, block], DOUBT if doubt is None else doubt
            )
            said += say
        return total / said if said else 0.0

    def denial(self, block: int, by: int, doubt: float) -> float:
        """Return the share of a block's prototypes, by strength, that another block gets wrong."""
        weights = self.blocks[block].strengths
        if not len(weights):
            return 0.0
        wrong = float(weights.dot(~self.right(block, [by])))
        return wrong / float(weights.sum() + doubt * weights.mean())

    def change(
        self, block: int, before: Sequence[int], after: Sequence[int], doubt: float = DOUBT
    ) -> float:
        """Return the share of a block's prototypes, by strength, that only `before` gets right.

        Less those that only `after` gets right.
        """
        weights = self.blocks[block].strengths
        lost = self.right(block, before).astype(np.int64) - self.right(block, after)
        if not len(weights):
            return 0.0
        return float(weights.dot(lost)) / float(weights.sum() + doubt * weights.mean())


def neighbours(
    features: Floats, metric: Floats, starts: Ints, engine: Engine = "auto"
) -> tuple[Ints, Floats]:
    """Return the nearest prototypes of each block to each prototype, itself left out.

    Args:
        features: (d, n), a prototype a column, C order.
        metric: (d,) weight of each feature.
        starts: (blocks + 1,), the first column of each block, and n.
        engine: what computes.

    Returns:
        int64 (n, blocks, 5) their columns, and float64 (n, blocks, 5) their squared distances,
        nearest first; infinite where a block has fewer.
    """
    n, blocks = features.shape[1], len(starts) - 1
    rows = np.zeros((n, blocks, NEAREST), np.int64)
    squares = np.full((n, blocks, NEAREST), np.inf)
    if kernels := compiled.kernels(engine):
        kernels.union.neighbours(features, metric, starts, rows, squares)
        return rows, squares
    for point in range(n):
        distances = measure(features, metric, np.ascontiguousarray(features[:, point]))
        distances[point] = np.inf
        for block in range(blocks):
            first = starts[block]
            within = distances[first : starts[block + 1]]
            near = nearest(within, NEAREST)
            near = near[within[near] < np.inf]
            rows[point, block, : len(near)] = first + near
            squares[point, block, : len(near)] = within[near]
    return rows, squares


def winners(
    rows: Ints,
    squares: Floats,
    strengths: Floats,
    classes: Ints,
    blocks: Ints,
    n_classes: int,
    engine: Engine = "auto",
) -> Ints:
    """Return the class that some blocks vote for at each point: int64 (points,), −1 for none.

    Args:
        rows: (points, all blocks, 5), see `neighbours`.
        squares: (points, all blocks, 5).
        strengths: (n,) of all prototypes.
        classes: (n,).
        blocks: (voting blocks,), which vote.
        n_classes: number of labels.
        engine: what computes.
    """
    won = np.full(len(rows), -1, np.int64)
    if kernels := compiled.kernels(engine):
        kernels.union.winners(rows, squares, strengths, classes, blocks, n_classes, won)
        return won
    for point in range(len(rows)):
        near = squares[point, blocks].ravel()
        voters = rows[point, blocks].ravel()
        shares = vote(near, classes[voters], strengths[voters], n_classes)
        if shares.any():
            won[point] = shares.argmax()
    return won
