"""Leave-one-out influence: how a codebook changes what the other owners' prototypes are taken for.

Every prototype is a **reference**: its owner saw samples of its class there. So a gateway needs no
samples of its own to judge a codebook. It asks how many of the other owners' prototypes (its own
count double) the union classifies worse with that codebook than without it, each prototype left out
of its own vote. That an owner knows other classes or regions than the gateway costs it nothing,
because nobody's prototypes are outvoted there.

Source: the value of data as what leaving it out changes (leave-one-out; Ghorbani, Zou, "Data
Shapley", ICML 2019), by nearest neighbours (Jia et al., PVLDB 12, 2019); here the unit is a
codebook, and prototypes stand in for validation samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.learner.base import Engine, Floats, Live
from protoledger.gateway.learner.compilation import compiled
from protoledger.gateway.learner.vote import TOGETHER, strengths_of
from protoledger.gateway.union.voting import nearest_of_each, vote_many, winners

Ints = NDArray[np.int64]
Booleans = NDArray[np.bool_]

OWN: Final = ""
"""The gateway's own owner."""
OWN_WEIGHT: Final = 2.0
"""The gateway's own prototypes count as those of so many owners: it knows where they come from."""
SHRINKAGE: Final = 4.0
"""Influence on a codebook of n prototypes is shrunk to 0 by n / (n + this)."""
COVERED: Final = 0.8
"""Share of what classes have on average, from which on a class counts as covered."""
UNCOVERED: Final = 0.1
"""How much of a loss counts if it is one to a class that the losers do not cover at all."""
AT_ONCE: Final = 128
"""Prototypes whose distances to all others numpy holds at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class References:
    """One codebook's prototypes: they vote, and others are judged by what they do to them.

    Attributes:
        owner: whose; `OWN` for the gateway's own.
        features: float64 (n, d), NaN where a prototype lacks a feature.
        classes: int64 (n,).
        strengths: float64 (n,), what each vote is multiplied by; also its weight as a reference.
        ids: int64 (n,), which record of the codebook each is; None where nobody asks.
    """

    owner: str
    features: Floats
    classes: Ints
    strengths: Floats
    ids: Ints | None = None

    def where(self, rows: Booleans) -> Self:
        """Return the prototypes of these rows."""
        return replace(
            self,
            features=self.features[rows],
            classes=self.classes[rows],
            strengths=self.strengths[rows],
            ids=None if self.ids is None else self.ids[rows],
        )


def own_references(live: Live) -> References:
    """Return a learner's own prototypes, which a codebook's ids are no names for: by their row."""
    rows = np.arange(len(live.classes))
    return References(OWN, live.features, live.classes, strengths_of(live.weights), rows)


class LeaveOneOut:
    """Codebooks side by side in the gateway's metric.

    Args:
        books: the codebooks; the methods name them by their place here.
        metric: (d,) weight of each feature.
        n_classes: number of labels.
        engine: what computes.

    >>> places = np.array([[0.0], [0.2], [1.0], [1.2]])
    >>> wide = References("a", places, np.array([0, 0, 1, 1]), np.ones(4))
    >>> wrong = References("b", np.array([[0.1], [1.1]]), np.array([1, 0]), np.full(2, 9.0))
    >>> judged = LeaveOneOut([wide, wrong], np.ones(1), 2)
    >>> judged.right(0, (0,)).all().item(), judged.right(0, (0, 1)).any().item()
    (True, False)
    >>> judged.influence(1, (0,))  # all is lost, shrunk because that is four prototypes only
    0.5
    """

    def __init__(
        self, books: Sequence[References], metric: Floats, n_classes: int, engine: Engine = "auto"
    ) -> None:
        self.books = books
        self.n_classes = n_classes
        self._engine: Engine = engine
        self._starts = np.cumsum([0, *(len(book.classes) for book in books)])
        features = np.concatenate([book.features for book in books]).T
        self._classes = np.concatenate([book.classes for book in books])
        self._strengths = np.concatenate([book.strengths for book in books])
        self._by_class = np.array(
            [np.bincount(b.classes, b.strengths, minlength=n_classes) for b in books]
        )
        self._prepare(np.ascontiguousarray(features), metric)

    def _prepare(self, features: Floats, metric: Floats) -> None:
        """Find the neighbours; features are (d, n)."""
        self._rows, self._squares = neighbours(features, metric, self._starts, self._engine)
        self._known: dict[tuple[int, tuple[int, ...]], Floats] = {}

    def right(self, book: int, voting: Sequence[int]) -> Booleans:
        """Return which prototypes of a book the voting books classify right, each without itself.

        Returns:
            bool (n,).
        """
        found: Booleans = self.won(book, voting) == self.books[book].classes
        return found

    def won(self, book: int, voting: Sequence[int]) -> Ints:
        """Return the class that books vote for at each prototype of a book, itself left out.

        Returns:
            int64 (n,), −1 where no prototype votes.
        """
        return winners(self.shares(book, voting))

    def margins(self, book: int, voting: Sequence[int]) -> Floats:
        """Return how clearly books classify each prototype of a book right: float64 (n,), −1 to 1.

        The share of the vote for its class, less the largest other share; 0 without any vote.
        """
        shares = self.shares(book, voting)
        at = (np.arange(len(shares)), self.books[book].classes)
        others = shares.copy()
        others[at] = 0.0
        margins: Floats = shares[at] - others.max(axis=1)
        return margins

    def shares(self, book: int, voting: Sequence[int]) -> Floats:
        """Return how books vote at each prototype of a book, itself left out.

        Returns:
            float64 (n, n_classes), rows of sum 1, or 0 without any vote.
        """
        key = (book, tuple(sorted(voting)))
        if key not in self._known:
            among = slice(self._starts[book], self._starts[book + 1])
            self._known[key] = votes_at(
                self._rows[among],
                self._squares[among],
                self._strengths,
                self._classes,
                np.array(key[1], np.int64),
                self.n_classes,
                self._engine,
            )
        return self._known[key]

    def influence(self, book: int, others: Sequence[int]) -> float:
        """Return the share of the others' prototypes that a book turns wrong, less turned right.

        Args:
            book: the codebook in question.
            others: those it joins, whose prototypes are the references. All large codebooks weigh
                the same, small ones less, and the gateway's own `OWN_WEIGHT` times as much.
        """
        total = weights = 0.0
        for reference in others:
            many = len(self.books[reference].classes)
            own = self.books[reference].owner == OWN
            weight = many / (many + SHRINKAGE) * (OWN_WEIGHT if own else 1.0)
            total += weight * self.change(reference, others, [*others, book])
            weights += weight
        return total / max(weights, 1.0)

    def influences(self, members: Sequence[int]) -> dict[int, float]:
        """Return the influence of each of some codebooks, but the gateway's own, on the others."""
        return {
            book: self.influence(book, [other for other in members if other != book])
            for book in members
            if self.books[book].owner != OWN
        }

    def disagreement(self, book: int, by: int, shrinkage: float) -> float:
        """Return the share of a book's prototypes, by strength, that another book gets wrong.

        Prototypes that their own codebook contradicts do not count.

        Args:
            book: the earlier codebook.
            by: the later one.
            shrinkage: prototypes of mean strength that are taken to agree besides.
        """
        weights = self.books[book].strengths
        clear = weights * (self.margins(book, [book]) >= 0)
        if not clear.any():
            return 0.0
        wrong = float(clear.dot(~self.right(book, [by])))
        return wrong / float(clear.sum() + shrinkage * weights.mean())

    def change(self, book: int, before: Sequence[int], after: Sequence[int]) -> float:
        """Return the share of a book's prototypes, by strength, that only `before` gets right.

        Less those that only `after` gets right. What is lost to a class counts as far as those
        before cover that class: an owner without samples of a class is no evidence against it.
        """
        weights = self.books[book].strengths
        if not len(weights):
            return 0.0
        won = self.won(book, after)
        was, now = self.right(book, before), won == self.books[book].classes
        lost = weights * (was & ~now) * self.coverage(before)[won]
        gained = weights * (now & ~was)
        return float(lost.sum() - gained.sum()) / float(weights.sum())

    def coverage(self, books: Sequence[int]) -> Floats:
        """Return how well some books cover each class: float64 (n_classes,), `UNCOVERED` to 1."""
        known = self._by_class[list(books)].sum(axis=0)
        share = known / max(float(known.sum()), 1e-9) * self.n_classes
        coverage: Floats = UNCOVERED + (1 - UNCOVERED) * np.minimum(share / COVERED, 1.0)
        return coverage


def neighbours(
    features: Floats, metric: Floats, starts: Ints, engine: Engine = "auto"
) -> tuple[Ints, Floats]:
    """Return the nearest prototypes of each book to each prototype, itself left out.

    Args:
        features: (d, n), a prototype a column, C order.
        metric: (d,) weight of each feature.
        starts: (books + 1,), the first column of each book, and n.
        engine: what computes.

    Returns:
        int64 (n, books, k) their columns, and float64 (n, books, k) their squared distances,
        nearest first, k = `TOGETHER.voters`; infinite where a book has fewer.
    """
    n, books = features.shape[1], len(starts) - 1
    rows = np.zeros((n, books, TOGETHER.voters), np.int64)
    squares = np.full((n, books, TOGETHER.voters), np.inf)
    if kernels := compiled.kernels(engine):
        kernels.union.neighbours(features, metric, starts, rows, squares)
        return rows, squares
    for start in range(0, n, AT_ONCE):
        points = np.arange(start, min(start + AT_ONCE, n))
        apart = measure_many(features, metric, features[:, points])
        apart[np.arange(len(points)), points] = np.inf
        for book in range(books):
            within = apart[:, starts[book] : starts[book + 1]]
            near = nearest_of_each(within, TOGETHER.voters)
            found = np.take_along_axis(within, near, axis=1)
            many = near.shape[1]
            rows[points, book, :many] = np.where(found < np.inf, starts[book] + near, 0)
            squares[points, book, :many] = found
    return rows, squares


def measure_many(features: Floats, metric: Floats, points: Floats) -> Floats:
    """Return the squared distance of each point to each column, as `measure` does, the same bits.

    Args:
        features: (d, n).
        metric: (d,).
        points: (d, m).

    Returns:
        float64 (m, n).
    """
    total = np.zeros((points.shape[1], features.shape[1]))
    for row, asked, weight in zip(features, points, metric, strict=True):
        part = row - asked[:, None]
        part *= part
        part *= weight
        absent = np.isnan(part)
        if absent.any():
            part[absent] = 1 / len(metric) if weight > 0 else 0.0
        total += part
    return total


def votes_at(
    rows: Ints,
    squares: Floats,
    strengths: Floats,
    classes: Ints,
    books: Ints,
    n_classes: int,
    engine: Engine = "auto",
) -> Floats:
    """Return how some books vote at each point: float64 (points, n_classes), see `vote`.

    Args:
        rows: (points, all books, k), see `neighbours`.
        squares: (points, all books, k).
        strengths: (n,) of all prototypes.
        classes: (n,).
        books: (voting books,), which vote.
        n_classes: number of labels.
        engine: what computes.
    """
    if kernels := compiled.kernels(engine):
        shares = np.zeros((len(rows), n_classes))
        kernels.union.votes_at(rows, squares, strengths, classes, books, shares)
        return shares
    shape = len(rows), len(books) * rows.shape[2]
    near, rows = (table[:, books].reshape(shape) for table in (squares, rows))
    return vote_many(near, classes[rows], strengths[rows], n_classes, TOGETHER)
