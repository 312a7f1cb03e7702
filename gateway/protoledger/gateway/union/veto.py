"""The veto: owners that this site's own labelled samples contradict do not vote here.

`influence` judges a codebook by prototypes, whose labels are what their owners mean by them. Where
owners mean different things by a label, or their sensors stand elsewhere, only the site's own
samples tell which of them are right *here*. So on its last labelled samples, each with its own
prototypes from before it was learnt, the site drops the owner without which the union is right more
often, or which makes the site worse than it is alone, and asks again without it (a greedy backward
selection). It needs a gain of `BAR` and of two standard deviations; samples of one run of equal
labels are one observation, because they are not independent.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.vote import ALONE, TOGETHER, Reach
from protoledger.gateway.union.influence import References
from protoledger.gateway.union.recent import RecentSamples
from protoledger.gateway.union.voting import nearest_of_each, vote_many, winners

BAR: Final = 0.03
"""Share of the recent samples that an owner must cost."""
DEVIATIONS: Final = 2.0
FEWEST: Final = 20
"""Recent samples without which nothing is decided."""

Ints = NDArray[np.int64]
Booleans = NDArray[np.bool_]
Near = tuple[Floats, Ints, Floats]
"""Squared distances, classes and strengths of the nearest prototypes to each sample, (n, k)."""


def vetoed(
    recent: RecentSamples, books: Sequence[References], metric: Floats, n_classes: int
) -> frozenset[str]:
    """Return the owners that this site's samples contradict.

    Args:
        recent: the site's last labelled samples.
        books: codebooks that vote, each as edited.
        metric: (d,) weight of each feature.
        n_classes: number of labels.

    >>> recent, own = RecentSamples(1), (np.zeros(0), np.zeros(0, np.int64), np.zeros(0))
    >>> for i in range(40):
    ...     recent.add(np.array([i % 2.0]), i % 2, *own)
    >>> places = np.array([[0.0], [1.0]])
    >>> honest = References("b", places, np.array([0, 1]), np.ones(2))
    >>> swapped = References("c", places, np.array([1, 0]), np.full(2, 2.0))
    >>> sorted(vetoed(recent, [honest, swapped], np.ones(1), 2))
    ['c']
    """
    if len(recent) < FEWEST or not books:
        return frozenset()
    blocks = recent.blocks
    near = {book.owner: nearest_in(recent.xs, book, metric) for book in books if len(book.classes)}
    alone = elected([recent.own], n_classes, ALONE) == recent.ys
    together = {
        owner: elected([recent.own, votes], n_classes, TOGETHER) == recent.ys
        for owner, votes in near.items()
    }
    single = {owner: clear_cost(right, alone, blocks) for owner, right in together.items()}
    left = sorted(near)
    while left:
        won, without = _without_each([recent.own, *(near[owner] for owner in left)], n_classes)
        costs = {owner: single[owner] for owner in left}
        for at, rest in without.items():
            right = alone if len(left) == 1 else rest == recent.ys
            costs[left[at]] = max(costs[left[at]], clear_cost(won == recent.ys, right, blocks))
        worst = max(costs, key=lambda owner: costs[owner])
        if costs[worst] <= BAR:
            break
        left.remove(worst)
    return frozenset(near) - frozenset(left)


def _without_each(votes: Sequence[Near], n_classes: int) -> tuple[Ints, dict[int, Ints]]:
    """Return what wins at each sample with all votes, and without one owner's, by its place.

    Only owners that are among those who vote somewhere are there: without another nothing changes.

    Args:
        votes: the site's own first, then each owner's, at most `TOGETHER.voters` a sample.
        n_classes: number of labels.
    """
    squares, classes, strengths = (
        np.concatenate([vote[part] for vote in votes], axis=1) for part in range(3)
    )
    widths = [vote[0].shape[1] for vote in votes]
    whose = np.repeat(np.arange(-1, len(votes) - 1), widths)
    rows = nearest_of_each(squares, 2 * TOGETHER.voters)  # so many are left without any owner
    owner = whose[rows]
    near, classes, strengths = (
        np.take_along_axis(table, rows, axis=1) for table in (squares, classes, strengths)
    )
    won = winners(vote_many(near, classes, strengths, n_classes, TOGETHER))
    found = dict[int, Ints]()
    for out in np.unique(owner[:, : TOGETHER.voters]):
        if out >= 0:
            at = np.flatnonzero((owner[:, : TOGETHER.voters] == out).any(axis=1))
            rest = np.where(owner[at] == out, np.inf, near[at])
            shares = vote_many(rest, classes[at], strengths[at], n_classes, TOGETHER)
            found[int(out)] = won.copy()
            found[int(out)][at] = winners(shares)
    return won, found


def accuracies(
    recent: RecentSamples,
    books: Sequence[References],
    metric: Floats,
    n_classes: int,
    sets: Sequence[frozenset[str]],
) -> list[float]:
    """Return how often the site was right on its recent samples with each set of owners, 0 to 1.

    Args:
        recent: the site's last labelled samples, at least one.
        books: codebooks that vote, each as edited.
        metric: (d,) weight of each feature.
        n_classes: number of labels.
        sets: owners that vote beside the site; none: it alone.
    """
    near = {book.owner: nearest_in(recent.xs, book, metric) for book in books}
    found = list[float]()
    for owners in sets:
        votes = [recent.own, *(near[owner] for owner in sorted(owners))]
        won = elected(votes, n_classes, TOGETHER if owners else ALONE)
        found.append(float((won == recent.ys).mean()))
    return found


def clear_cost(with_it: Booleans, without: Booleans, blocks: Ints) -> float:
    """Return the share of samples that are lost, 0 unless that is clear.

    Args:
        with_it: which samples are classified rightly with something: bool (n,).
        without: which are without it.
        blocks: numbers of the observations that they belong to.
    """
    lost = without.astype(np.int64) - with_it
    _, at = np.unique(blocks, return_inverse=True)
    by_block = np.bincount(at, lost)
    clear = lost.sum() > DEVIATIONS * np.sqrt(max(float((by_block**2).sum()), 1.0))
    return float(lost.mean()) if clear else 0.0


def nearest_in(xs: Floats, book: References, metric: Floats) -> Near:
    """Return a codebook's prototypes that are nearest to each row of xs, as many as vote."""
    squares = distances(xs, book.features, metric)
    rows = nearest_of_each(squares, TOGETHER.voters)
    found = np.take_along_axis(squares, rows, axis=1)
    return found, book.classes[rows], book.strengths[rows]


def distances(xs: Floats, features: Floats, metric: Floats) -> Floats:
    """Return squared weighted distances, float64 (n, m); see `gateway.learner.vote.measure`.

    A feature that a row of xs lacks weighs nothing; one that only a prototype lacks counts 1/d.
    """
    weights = np.where(np.isnan(xs), 0.0, metric)
    there = ~np.isnan(features)
    x, f = np.nan_to_num(xs), np.where(there, features, 0.0)
    squares: Floats = (weights * x * x) @ there.T - 2 * (weights * x) @ f.T + weights @ (f * f).T
    squares += (weights > 0) @ (~there).T / len(metric)
    return np.maximum(squares, 0.0)


def elected(votes: Sequence[Near], n_classes: int, reach: Reach) -> Ints:
    """Return the class that the nearest of all vote for at each sample, −1 without any vote."""
    squares, classes, strengths = (
        np.concatenate([vote[part] for vote in votes], axis=1) for part in range(3)
    )
    return winners(vote_many(squares, classes, strengths, n_classes, reach))
