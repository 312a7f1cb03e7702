"""Votes at many points at once are what one vote after the other gives, to the last bit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from protoledger.gateway.learner.vote import ALONE, TOGETHER, measure, nearest, vote
from protoledger.gateway.union.influence import neighbours
from protoledger.gateway.union.voting import vote_many, winners

unhurried = settings(deadline=None, max_examples=60)  # a noisy machine
seeds = st.integers(0, 2**32 - 1)


@unhurried
@given(seeds, st.integers(1, 4), st.lists(st.integers(0, 160), min_size=1, max_size=3))
def test_neighbours_of_all_are_each_one_s(seed: int, d: int, sizes: list[int]):
    generator = np.random.default_rng(seed)
    starts = np.cumsum([0, *sizes])
    n = int(starts[-1])
    features = generator.normal(size=(d, n)).round(int(generator.integers(0, 3)))  # some are equal
    features[generator.random((d, n)) < generator.choice([0.0, 0.2])] = np.nan
    metric = generator.random(d) * (generator.random(d) < 0.9)
    rows, squares = neighbours(features, metric, starts, "numpy")
    for point in range(n):
        apart = measure(features, metric, features[:, point])
        apart[point] = np.inf
        for book, first in enumerate(starts[:-1]):
            within = apart[first : starts[book + 1]]
            near = nearest(within, TOGETHER.voters)
            near = near[within[near] < np.inf]
            many = len(near)
            assert rows[point, book, :many].tolist() == (first + near).tolist()
            assert squares[point, book, :many].tobytes() == within[near].tobytes()
            assert (squares[point, book, many:] == np.inf).all()


@unhurried
@given(seeds, st.integers(1, 4), st.integers(0, 30), st.sampled_from([ALONE, TOGETHER]))
def test_votes_at_many_points_are_each_one_s(seed: int, n_classes: int, voters: int, reach):
    generator = np.random.default_rng(seed)
    squares = generator.random((20, voters)).round(2)
    squares[generator.random(squares.shape) < 0.2] = np.inf
    classes = generator.integers(0, n_classes, squares.shape)
    strengths = generator.random(squares.shape)
    shares = vote_many(squares, classes, strengths, n_classes, reach)
    each = np.array(
        [vote(*point, n_classes, reach) for point in zip(squares, classes, strengths, strict=True)]
    )
    assert shares.tobytes() == each.tobytes()
    for one, won in zip(each, winners(shares), strict=True):
        assert won == (one.argmax() if one.any() else -1)
