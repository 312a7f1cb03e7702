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

from protoledger.gateway.learner.base import Engine, Floats
from protoledger.gateway.learner.compilation import compiled
from protoledger.gateway.learner.vote import TOGETHER, measure, nearest, vote

Ints = NDArray[np.int64]
Booleans = NDArray[np.bool_]

OWN: Final = ""
"""The gateway's own owner."""
OWN_SAY: Final = 2.0
"""The gateway's own prototypes count as those of so many owners: it knows that they are true."""
DOUBT: Final = 4.0
"""A codebook of so many prototypes says half of what a large one says as a witness."""
FAMILIAR: Final = 0.8
"""Share of what classes have on average, from which on a class counts as known."""
STRANGER: Final = 0.1
"""How much of a loss counts if it is one to a class that the losers know nothing of."""


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
    >>> court.harm(1, (0,))  # all is lost, but only four prototypes say so
    0.5
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
        self._known: dict[tuple[int, tuple[int, ...]], Floats] = {}
        self._by_class = np.array(
            [np.bincount(b.classes, b.strengths, minlength=n_classes) for b in blocks]
        )

    def right(self, block: int, voting: Sequence[int]) -> Booleans:
        """Return which prototypes of a block the voting blocks classify right, each without itself.

        Returns:
            bool (n,).
        """
        found: Booleans = self.won(block, voting) == self.blocks[block].classes
        return found

    def won(self, block: int, voting: Sequence[int]) -> Ints:
        """Return the class that blocks vote for at each prototype of a block, itself kept out.

        Returns:
            int64 (n,), −1 where nobody votes.
        """
        return winners(self.shares(block, voting))

    def margins(self, block: int, voting: Sequence[int]) -> Floats:
        """Return how clearly blocks get each prototype of a block right: float64 (n,), −1 to 1.

        The share of the vote for its class, less the largest other share; 0 where nobody votes.
        """
        shares = self.shares(block, voting)
        at = (np.arange(len(shares)), self.blocks[block].classes)
        others = shares.copy()
        others[at] = 0.0
        margins: Floats = shares[at] - others.max(axis=1)
        return margins

    def shares(self, block: int, voting: Sequence[int]) -> Floats:
        """Return how blocks vote at each prototype of a block, itself kept out.

        Returns:
            float64 (n, n_classes), rows of sum 1, or 0 where nobody votes.
        """
        key = (block, tuple(sorted(voting)))
        if key not in self._known:
            among = slice(self._starts[block], self._starts[block + 1])
            self._known[key] = opinions(
                self._rows[among],
                self._squares[among],
                self._strengths,
                self._classes,
                np.array(key[1], np.int64),
                self.n_classes,
                self._engine,
            )
        return self._known[key]

    def harm(self, block: int, others: Sequence[int]) -> float:
        """Return the share of the others' witnesses that a block turns wrong, less turned right.

        Args:
            block: the codebook in question.
            others: those it joins, and whose prototypes bear witness. A large codebook says as much
                as any other, a small one less, and the gateway's own `OWN_SAY` times as much.
        """
        total = said = 0.0
        for witness in others:
            many = len(self.blocks[witness].classes)
            say = many / (many + DOUBT) * (OWN_SAY if self.blocks[witness].owner == OWN else 1.0)
            total += say * self.change(witness, others, [*others, block])
            said += say
        return total / max(said, 1.0)

    def denial(self, block: int, by: int, doubt: float) -> float:
        """Return the share of a block's prototypes, by strength, that another block gets wrong.

        Prototypes that their own codebook contradicts are no witnesses.
        """
        weights = self.blocks[block].strengths
        clear = weights * (self.margins(block, [block]) >= 0)
        if not clear.any():
            return 0.0
        wrong = float(clear.dot(~self.right(block, [by])))
        return wrong / float(clear.sum() + doubt * weights.mean())

    def change(self, block: int, before: Sequence[int], after: Sequence[int]) -> float:
        """Return the share of a block's prototypes, by strength, that only `before` gets right.

        Less those that only `after` gets right. What is lost to a class counts as far as that class
        is `familiar` to those before: who knows nothing of a class cannot say where it is not.
        """
        weights = self.blocks[block].strengths
        if not len(weights):
            return 0.0
        won = self.won(block, after)
        was, now = self.right(block, before), won == self.blocks[block].classes
        lost = weights * (was & ~now) * self.familiar(before)[won]
        gained = weights * (now & ~was)
        return float(lost.sum() - gained.sum()) / float(weights.sum())

    def familiar(self, blocks: Sequence[int]) -> Floats:
        """Return how well some blocks know each class: float64 (n_classes,), `STRANGER` to 1."""
        known = self._by_class[list(blocks)].sum(axis=0)
        share = known / max(float(known.sum()), 1e-9) * self.n_classes
        familiar: Floats = STRANGER + (1 - STRANGER) * np.minimum(share / FAMILIAR, 1.0)
        return familiar


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
    rows = np.zeros((n, blocks, TOGETHER.voters), np.int64)
    squares = np.full((n, blocks, TOGETHER.voters), np.inf)
    if kernels := compiled.kernels(engine):
        kernels.union.neighbours(features, metric, starts, rows, squares)
        return rows, squares
    for point in range(n):
        distances = measure(features, metric, np.ascontiguousarray(features[:, point]))
        distances[point] = np.inf
        for block in range(blocks):
            first = starts[block]
            within = distances[first : starts[block + 1]]
            near = nearest(within, TOGETHER.voters)
            near = near[within[near] < np.inf]
            rows[point, block, : len(near)] = first + near
            squares[point, block, : len(near)] = within[near]
    return rows, squares


def opinions(
    rows: Ints,
    squares: Floats,
    strengths: Floats,
    classes: Ints,
    blocks: Ints,
    n_classes: int,
    engine: Engine = "auto",
) -> Floats:
    """Return how some blocks vote at each point: float64 (points, n_classes), see `vote`.

    Args:
        rows: (points, all blocks, 9), see `neighbours`.
        squares: (points, all blocks, 9).
        strengths: (n,) of all prototypes.
        classes: (n,).
        blocks: (voting blocks,), which vote.
        n_classes: number of labels.
        engine: what computes.
    """
    shares = np.zeros((len(rows), n_classes))
    if kernels := compiled.kernels(engine):
        kernels.union.opinions(rows, squares, strengths, classes, blocks, shares)
        return shares
    for point in range(len(rows)):
        voters = rows[point, blocks].ravel()
        shares[point] = vote(
            squares[point, blocks].ravel(),
            classes[voters],
            strengths[voters],
            n_classes,
            TOGETHER,
        )
    return shares


def winners(shares: Floats) -> Ints:
    """Return the class with the largest share in each row: int64 (points,), −1 for none."""
    return np.where(shares.any(axis=1), shares.argmax(axis=1), -1)
