"""Which prototypes of each codebook are nearest to each prototype, and whom they outvote."""

import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.kernels import shared
from protoledger.gateway.learner.kernels.kernel import kernel
from protoledger.gateway.learner.vote import TOGETHER

Ints = NDArray[np.int64]
NEAREST_OF_ALL = TOGETHER.voters
SOFTENING_OF_ALL = TOGETHER.softening


@kernel("void(f8[:,::1], f8[::1], i8[::1], i8[:,:,::1], f8[:,:,::1])")
def neighbours(features: Floats, metric: Floats, starts: Ints, rows: Ints, squares: Floats) -> None:
    """Write each codebook's nearest; see `protoledger.gateway.union.influence.neighbours`."""
    n = features.shape[1]
    x, distances = np.empty(len(metric)), np.empty(n)
    found = np.empty(NEAREST_OF_ALL, np.int64)
    for point in range(n):
        for j in range(len(metric)):
            x[j] = features[j, point]
        shared.measure(features, metric, n, x, distances)
        distances[point] = np.inf
        for book in range(len(starts) - 1):
            first, size = starts[book], starts[book + 1] - starts[book]
            many = shared.nearest(distances[first : first + size], size, found)
            for k in range(NEAREST_OF_ALL):
                rows[point, book, k] = first + found[k] if k < many else 0
                squares[point, book, k] = distances[first + found[k]] if k < many else np.inf


@kernel("void(f8[:,::1], i8[::1], i8[::1], f8[:,::1], i8[::1], f8[::1], i8[:,::1], f8[:,::1])")
def ranked(
    among: Floats,
    starts: Ints,
    columns: Ints,
    asked: Floats,
    points: Ints,
    metric: Floats,
    rows: Ints,
    squares: Floats,
) -> None:
    """Write the nearest of some; see `protoledger.gateway.union.many.ranked`.

    Args:
        among: (d, n), those that are looked among.
        starts: (books + 1,) where each book begins there, and n.
        columns: (n,) where they stand among all, ascending.
        asked: (d, m).
        points: (m,) where these stand.
        metric: (d,).
        rows: (m, kept).
        squares: (m, kept).
    """
    n = among.shape[1]
    x, distances = np.empty(len(metric)), np.empty(n)
    near, place = np.empty(n), np.empty(n, np.int64)
    found, best = np.empty(NEAREST_OF_ALL, np.int64), np.empty(rows.shape[1], np.int64)
    for point in range(len(points)):
        for j in range(len(metric)):
            x[j] = asked[j, point]
        shared.measure(among, metric, n, x, distances)
        itself = np.searchsorted(columns, points[point])
        if itself < n and columns[itself] == points[point]:
            distances[itself] = np.inf
        many = 0
        for book in range(len(starts) - 1):
            first, size = starts[book], starts[book + 1] - starts[book]
            for k in range(shared.nearest(distances[first : first + size], size, found)):
                place[many] = first + found[k]
                near[many] = distances[first + found[k]]
                many += 1
        for k in range(shared.nearest(near, many, best)):
            rows[point, k] = columns[place[best[k]]]
            squares[point, k] = near[best[k]]


@kernel("void(i8[:,:,::1], f8[:,:,::1], f8[::1], i8[::1], i8[::1], f8[:,::1])")
def votes_at(
    rows: Ints, squares: Floats, strengths: Floats, classes: Ints, books: Ints, shares: Floats
) -> None:
    """Write how codebooks vote at points; see `protoledger.gateway.union.influence.votes_at`."""
    near = np.empty(len(books) * NEAREST_OF_ALL)
    row = np.empty(len(books) * NEAREST_OF_ALL, np.int64)
    found = np.empty(NEAREST_OF_ALL, np.int64)
    for point in range(len(rows)):
        for i in range(len(books)):
            for k in range(NEAREST_OF_ALL):
                near[i * NEAREST_OF_ALL + k] = squares[point, books[i], k]
                row[i * NEAREST_OF_ALL + k] = rows[point, books[i], k]
        shares[point] = 0.0
        total = 0.0
        for k in range(shared.nearest(near, len(near), found)):
            voter = row[found[k]]
            strength = strengths[voter] / (near[found[k]] + SOFTENING_OF_ALL)
            shares[point, classes[voter]] += strength
            total += strength
        shared.normalise(shares[point], total)


@kernel(
    "void(f8[::1], i8[::1], f8[::1], f8[:,::1], i8[::1], f8[::1],f8[::1], f8[::1], i8, f8, f8[::1])"
)
def shares(
    own_squares: Floats,
    own_classes: Ints,
    own_strengths: Floats,
    columns: Floats,
    classes: Ints,
    strengths: Floats,
    metric: Floats,
    x: Floats,
    voters: int,
    softening: float,
    shares: Floats,
) -> None:
    """Write each class's share at x; see `protoledger.gateway.union.voting.Panel.shares`."""
    n = len(classes)
    squares = np.empty(n)
    mine, theirs = np.empty(voters, np.int64), np.empty(voters, np.int64)
    shared.measure(columns, metric, n, x, squares)
    many_mine = shared.nearest(own_squares, len(own_squares), mine)
    many_theirs = shared.nearest(squares, n, theirs)
    shares[:] = 0.0
    total, i, k = 0.0, 0, 0
    while i + k < voters and (i < many_mine or k < many_theirs):
        ours = i < many_mine and (k >= many_theirs or own_squares[mine[i]] <= squares[theirs[k]])
        if ours:
            row = mine[i]
            strength = own_strengths[row] / (own_squares[row] + softening)
            label = own_classes[row]
            i += 1
        else:
            row = theirs[k]
            strength = strengths[row] / (squares[row] + softening)
            label = classes[row]
            k += 1
        shares[label] += strength
        total += strength
    shared.normalise(shares, total)


@kernel("i8(f8[:,::1], f8[::1], f8[::1], f8[::1], i8[::1])")
def closest(columns: Floats, metric: Floats, x: Floats, squares: Floats, rows: Ints) -> int:
    """Write the nearest's distances, rows; see `protoledger.gateway.union.voting.Panel.nearest`.

    Args:
        columns: (d, n).
        metric: (d,).
        x: (d,).
        squares: (n,), where all distances go.
        rows: Room for `NEAREST_OF_ALL` rows.

    Returns:
        How many there are.
    """
    n = columns.shape[1]
    shared.measure(columns, metric, n, x, squares)
    return shared.nearest(squares, n, rows)


@kernel("void(f8[:,::1], i8[::1], f8[::1], f8[::1], f8[:,::1], i8, i8, f8, i8[::1])")
def elect(
    columns: Floats,
    classes: Ints,
    strengths: Floats,
    metric: Floats,
    xs: Floats,
    n_classes: int,
    voters: int,
    softening: float,
    won: Ints,
) -> None:
    """Write the winner at each row of xs; see `protoledger.gateway.union.voting.Panel.winners`."""
    n = len(classes)
    squares, found, votes = np.empty(n), np.empty(voters, np.int64), np.empty(n_classes)
    for point in range(len(xs)):
        shared.measure(columns, metric, n, xs[point], squares)
        votes[:] = 0.0
        total = 0.0
        for k in range(shared.nearest(squares, n, found)):
            strength = strengths[found[k]] / (squares[found[k]] + softening)
            votes[classes[found[k]]] += strength
            total += strength
        won[point] = shared.normalise(votes, total)
