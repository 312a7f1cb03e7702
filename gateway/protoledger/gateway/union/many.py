"""Leave-one-out influence among many codebooks, at a cost that does not grow with their number.

`LeaveOneOut` keeps the nearest prototypes of each codebook to each prototype, and asks for each
pair of codebooks what one does to the other: its cost grows with the cube of the owners. Among many
of them nearly all pairs have nothing to do with each other, because only the nearest few prototypes
of all vote at a place. So here the nearest of *all* are kept, twice as many as vote, and at most as
many of one owner as vote. Without any one owner enough are left: what they vote for is exact, and
no owner but those who are among the nearest can change it.

What is left is the search for the nearest, which grows with the square of the prototypes. Those are
bounded (`union.MOST_PROTOTYPES`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from protoledger.gateway.learner.base import Engine, Floats
from protoledger.gateway.learner.compilation import compiled
from protoledger.gateway.learner.vote import TOGETHER
from protoledger.gateway.union.influence import (
    AT_ONCE,
    OWN,
    OWN_WEIGHT,
    SHRINKAGE,
    Ints,
    LeaveOneOut,
    References,
    measure_many,
)
from protoledger.gateway.union.voting import nearest_of_each, vote_many, winners

MANY: Final = 8
"""Codebooks from which on this costs less."""
KEPT: Final = 2 * TOGETHER.voters
_RANKINGS: Final = 3


@dataclass(frozen=True, slots=True)
class _Ranking:
    """The nearest of some codebooks' prototypes to each prototype of all, itself left out.

    Attributes:
        rows: int64 (n, KEPT), columns, nearest first.
        squares: float64 (n, KEPT), infinite where there are fewer.
    """

    rows: Ints
    squares: Floats


def leave_one_out(
    books: Sequence[References], metric: Floats, n_classes: int, engine: Engine = "auto"
) -> LeaveOneOut:
    """Return codebooks side by side, in the way that costs less for so many.

    Args:
        books: the codebooks.
        metric: (d,) weight of each feature.
        n_classes: number of labels.
        engine: what computes.
    """
    kind = LeaveOneOut if len(books) <= MANY else ManyBooks
    return kind(books, metric, n_classes, engine)


class ManyBooks(LeaveOneOut):
    """Many codebooks side by side; answers as `LeaveOneOut` does.

    Sums over codebooks are made in another order, so that the last bits of an influence differ.

    >>> places = np.array([[0.0], [0.2], [1.0], [1.2]])
    >>> wide = References("a", places, np.array([0, 0, 1, 1]), np.ones(4))
    >>> wrong = References("b", np.array([[0.1], [1.1]]), np.array([1, 0]), np.full(2, 9.0))
    >>> ManyBooks([wide, wrong], np.ones(1), 2).influences((0, 1))[1]
    0.5
    """

    def _prepare(self, features: Floats, metric: Floats) -> None:
        self._features, self._metric = features, metric
        self._book_of = np.repeat(np.arange(len(self.books)), np.diff(self._starts))
        self._ranked: dict[tuple[int, ...], _Ranking] = {}
        self._changed: tuple[tuple[int, ...], Floats] | None = None

    def shares(self, book: int, voting: Sequence[int]) -> Floats:
        """Return how books vote at each prototype of a book; see `LeaveOneOut.shares`."""
        among, key = slice(self._starts[book], self._starts[book + 1]), tuple(sorted(voting))
        if len(key) > 2:
            ranking = self._ranking(key)
            rows, squares = ranking.rows[among], ranking.squares[among]
        else:
            rows, squares = self._search(np.arange(among.start, among.stop), key)
        return self._vote(rows[:, : TOGETHER.voters], squares[:, : TOGETHER.voters])

    def influence(self, book: int, others: Sequence[int]) -> float:
        """Return one codebook's influence on others; see `LeaveOneOut.influence`."""
        return self.influences([*others, book])[book]

    def influences(self, members: Sequence[int]) -> dict[int, float]:
        """Return the influence of each of some codebooks on the others of them."""
        key = tuple(sorted(members))
        if self._changed is None or self._changed[0] != key:
            self._changed = key, self._changes(key)
        change = self._changed[1]
        sizes = np.array([len(book.classes) for book in self.books])
        own = np.array([book.owner == OWN for book in self.books])
        weights = sizes / (sizes + SHRINKAGE) * np.where(own, OWN_WEIGHT, 1.0)
        weights[np.setdiff1d(np.arange(len(self.books)), key)] = 0.0
        total, all_weights = weights @ change, weights.sum()
        return {
            book: float(total[book] / max(all_weights - weights[book], 1.0))
            for book in members
            if self.books[book].owner != OWN
        }

    def _changes(self, key: tuple[int, ...]) -> Floats:
        """Return what each codebook (column) changes of each other (row), see `change`."""
        books = len(self.books)
        ranking = self._ranking(key)
        whose = np.where(np.isfinite(ranking.squares), self._book_of[ranking.rows], -1)
        taken = np.isin(self._book_of, key)
        with_all = winners(
            self._vote(ranking.rows[:, : TOGETHER.voters], ranking.squares[:, : TOGETHER.voters])
        )
        now = with_all == self._classes
        coverage = np.array([self.coverage([b for b in key if b != book]) for book in key])
        place = np.full(books, -1)
        place[list(key)] = np.arange(len(key))
        found = np.zeros(books * books)
        for rank in range(TOGETHER.voters):
            out = whose[:, rank]
            first = (whose[:, :rank] != out[:, None]).all(axis=1)
            at = np.flatnonzero(taken & first & (out >= 0) & (out != self._book_of))
            was = self._won_without(ranking, whose, at, out[at]) == self._classes[at]
            lost = (was & ~now[at]) * coverage[place[out[at]], with_all[at]]
            by = self._strengths[at] * (lost - (now[at] & ~was))
            found += np.bincount(self._book_of[at] * books + out[at], by, books * books)
        total = np.bincount(self._book_of, self._strengths, books)
        change: Floats = found.reshape(books, books) / np.where(total > 0, total, 1.0)[:, None]
        return change

    def _won_without(self, ranking: _Ranking, whose: Ints, at: Ints, out: Ints) -> Ints:
        """Return what wins at some points, each without a codebook."""
        squares = np.where(whose[at] == out[:, None], np.inf, ranking.squares[at])
        return winners(self._vote(ranking.rows[at], squares))

    def _vote(self, rows: Ints, squares: Floats) -> Floats:
        """Return shares; columns of infinite distance have no vote."""
        classes, strengths = self._classes[rows], self._strengths[rows]
        return vote_many(squares, classes, strengths, self.n_classes, TOGETHER)

    def _ranking(self, key: tuple[int, ...]) -> _Ranking:
        if key in self._ranked:
            return self._ranked[key]
        points = np.arange(len(self._classes))
        rows = np.zeros((len(points), KEPT), np.int64)
        squares = np.full((len(points), KEPT), np.inf)
        for known, ranking in self._ranked.items():
            if set(key) <= set(known):  # only where somebody is missing now
                gone = np.isin(self._book_of[ranking.rows], np.setdiff1d(known, key))
                points = np.flatnonzero((gone & np.isfinite(ranking.squares)).any(axis=1))
                rows, squares = ranking.rows.copy(), ranking.squares.copy()
                break
        rows[points], squares[points] = self._search(points, key)
        while len(self._ranked) >= _RANKINGS:
            del self._ranked[next(iter(self._ranked))]
        self._ranked[key] = _Ranking(rows, squares)
        return self._ranked[key]

    def _search(self, points: Ints, key: tuple[int, ...]) -> tuple[Ints, Floats]:
        return ranked(self._features, self._metric, points, self._starts, key, self._engine)


def ranked(
    features: Floats,
    metric: Floats,
    points: Ints,
    starts: Ints,
    books: Sequence[int],
    engine: Engine = "auto",
) -> tuple[Ints, Floats]:
    """Return the nearest prototypes of some books to some prototypes, each without itself.

    Of one book there are at most as many as vote: so many of others are left without any of them.

    Args:
        features: (d, n), a prototype a column, C order.
        metric: (d,) weight of each feature.
        points: (m,) columns.
        starts: (all books + 1,), the first column of each book, and n.
        books: which are looked among, ascending.
        engine: what computes.

    Returns:
        int64 (m, `KEPT`) columns and float64 (m, `KEPT`) squared distances, nearest first, infinite
        where there are fewer.
    """
    rows = np.zeros((len(points), KEPT), np.int64)
    squares = np.full((len(points), KEPT), np.inf)
    columns = np.concatenate([np.arange(starts[b], starts[b + 1]) for b in books])
    begins = np.cumsum([0, *(starts[b + 1] - starts[b] for b in books)])
    among = np.ascontiguousarray(features[:, columns])
    if kernels := compiled.kernels(engine):
        asked = np.ascontiguousarray(features[:, points])
        kernels.union.ranked(among, begins, columns, asked, points, metric, rows, squares)
        return rows, squares
    large = np.flatnonzero(np.diff(begins) > TOGETHER.voters)
    for start in range(0, len(points), AT_ONCE):
        some = points[start : start + AT_ONCE]
        apart = measure_many(among, metric, features[:, some])
        apart[some[:, None] == columns] = np.inf
        for book in large:
            part = apart[:, begins[book] : begins[book + 1]]
            beyond = np.argsort(part, axis=1, kind="stable")[:, TOGETHER.voters :]
            np.put_along_axis(part, beyond, np.inf, axis=1)
        near = nearest_of_each(apart, KEPT)
        found = np.take_along_axis(apart, near, axis=1)
        within = slice(start, start + len(some))
        rows[within, : near.shape[1]] = np.where(np.isfinite(found), columns[near], 0)
        squares[within, : near.shape[1]] = found
    return rows, squares
