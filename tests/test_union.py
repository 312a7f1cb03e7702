"""The union: who votes, who does not, and that nothing stays of an owner who left."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.codebook import Codebook
from gateway.learner.base import Live
from gateway.trust import EXCLUDE_AT, Trust
from gateway.union import Union

METRIC = np.ones(2)


def book(points, classes, weights=None, labels=2):
    n = len(points)
    return Codebook.from_prototypes(
        list(range(n)), classes, [5] * n if weights is None else weights, points, labels=labels
    )


def live(points, classes, weights=None):
    n = len(points)
    return Live(
        np.array(classes, np.int64).reshape(n),
        np.array([5.0] * n if weights is None else weights),
        np.array(points, float).reshape(n, 2),
    )


def ask(union, x, own=None):
    own = live([], []) if own is None else own
    x = np.array(x, float)
    squares = ((own.features - x) ** 2).dot(METRIC)
    return union.shares(x, squares, own, METRIC)


def random_book(seed, n=20):
    rng = np.random.default_rng(seed)
    points = rng.random((n, 2)).tolist()
    return book(points, rng.integers(2, size=n).tolist(), rng.integers(0, 4, size=n).tolist())


def test_nobody_votes_in_an_empty_union():
    assert ask(Union(2, 2), [0, 0]).tolist() == [0, 0]


def test_own_prototypes_vote_alone_as_they_are():
    union = Union(2, 2)
    own = live([[0, 0], [1, 1]], [0, 1], [1, 1])
    assert ask(union, [0.1, 0.1], own).argmax() == 0
    assert ask(union, [0.9, 0.9], own).argmax() == 1


def test_a_codebook_changes_predictions_at_once():
    union = Union(2, 2)
    union.set("b", book([[1, 1]], [1]))
    assert ask(union, [1, 1]).argmax() == 1
    union.set("b", book([[1, 1]], [0]))
    assert ask(union, [1, 1]).argmax() == 0


@settings(max_examples=25, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 1000), min_size=1, max_size=4),
    x=st.tuples(*[st.floats(0, 1)] * 2),
)
def test_an_owner_who_leaves_leaves_no_trace(seeds, x):
    rng = np.random.default_rng(0)
    own = live(rng.random((15, 2)), rng.integers(2, size=15), rng.integers(1, 3, size=15))
    untouched, union = Union(2, 2), Union(2, 2)
    for union_ in (untouched, union):
        union_.set("stays", random_book(7))
    for i, seed in enumerate(seeds):
        union.set(f"goes{i}", random_book(seed))
        ask(union, x, own)
    for i in range(len(seeds)):
        union.set(f"goes{i}", None)
    assert union.owners == ("stays",)
    assert set(union.trust) == {"stays"}
    assert (ask(union, x, own) == ask(untouched, x, own)).all()


def test_removing_who_was_never_there():
    union = Union(2, 2)
    union.set("ghost", None)
    assert union.owners == ()


def test_the_order_of_arrival_does_not_matter():
    one, two = Union(2, 2), Union(2, 2)
    for owner in ("a", "b", "c"):
        one.set(owner, random_book(ord(owner)))
    for owner in ("c", "a", "b"):
        two.set(owner, random_book(ord(owner)))
    assert (ask(one, [0.4, 0.6]) == ask(two, [0.4, 0.6])).all()


def test_a_contradicted_lone_prototype_does_not_vote():
    ring = [[0.0, 0.1], [0.1, 0.0], [-0.1, 0.0], [0.0, -0.1], [0.1, 0.1]]
    union = Union(2, 2)
    union.set("b", book([*ring, [0, 0]], [0] * 5 + [1], [5] * 5 + [1]))
    assert ask(union, [0, 0]).tolist() == [1, 0]
    union.set("b", book([*ring, [0, 0]], [0] * 5 + [1], [5] * 5 + [2]))
    assert ask(union, [0, 0]).argmax() == 1  # two samples are no accident


def test_editing_ends_where_it_loses():
    ring = [[0.0, 0.1], [0.1, 0.0], [-0.1, 0.0], [0.0, -0.1], [0.1, 0.1]]
    union = Union(2, 2)
    union.set("b", book([*ring, [0, 0]], [0] * 5 + [1], [5] * 5 + [1]))
    for _ in range(3):
        ask(union, [0, 0])
        union.judge(1)
    assert union.editing_gain < 0
    assert ask(union, [0, 0]).argmax() == 1


def teach(union, own, label, n, seed=0):
    rng = np.random.default_rng(seed)
    changed = []
    for _ in range(n):
        x = rng.random(2)
        ask(union, x, own)
        changed += union.judge(label(x))
    return changed


def grid(label, n=6):
    points = [[(i + 0.5) / n, (j + 0.5) / n] for i in range(n) for j in range(n)]
    return points, [label(p) for p in points]


def truth(p):
    return int(p[0] > 0.5)


def test_a_liar_stops_voting_and_comes_back_when_mended():
    own = live(*grid(truth, 4), weights=[2] * 16)
    union = Union(2, 2)
    lies, labels = grid(lambda p: 1 - truth(p), 9)
    union.set("liar", book(lies, labels, [500] * len(lies)))
    union.set("honest", book(*grid(truth, 6)))
    assert ask(union, [0.94, 0.44], own).argmax() == 0
    assert teach(union, own, truth, 400) == ["liar"]
    assert union.trust["liar"].excluded
    assert not union.trust["honest"].excluded
    assert union.trust["liar"].harmed > union.trust["liar"].helped
    assert ask(union, [0.94, 0.44], own).argmax() == 1
    union.set("liar", book(*grid(truth, 9)))
    assert union.trust["liar"].excluded  # a new version alone earns nothing
    poor = live([[0.1, 0.5], [0.6, 0.5]], [1, 0])
    union.set("honest", None)
    assert teach(union, poor, truth, 200) == ["liar"]
    assert not union.trust["liar"].excluded


def test_the_honest_but_different_keep_their_vote():
    """Each owner knows one half of the plane, and claims nothing about the other."""
    points, labels = grid(truth, 8)
    left = [(p, c) for p, c in zip(points, labels, strict=True) if p[1] < 0.5]
    right = [(p, c) for p, c in zip(points, labels, strict=True) if p[1] >= 0.5]
    union = Union(2, 2)
    union.set("other", book(*zip(*right, strict=True)))
    own = live(*zip(*left, strict=True))
    assert teach(union, own, truth, 1000) == []
    assert union.trust["other"].helped >= union.trust["other"].harmed


def test_an_excluded_owner_does_not_edit_others():
    ring = [[0.0, 0.1], [0.1, 0.0], [-0.1, 0.0], [0.0, -0.1], [0.1, 0.1]]
    union = Union(2, 2)
    union.set("liar", book(ring, [0] * 5))
    union.set("b", book([[0, 0], [0.01, 0.0]], [1, 1], [1, 9]))
    union.trust["liar"] = Trust(excluded=True)
    union.set("liar", book(ring, [0] * 5))
    assert ask(union, [0, 0]).tolist() == [0, 1]


def test_trust_needs_strong_evidence():
    """Owners that decide every second sample, as often for better as for worse."""
    rng = np.random.default_rng(3)
    excluded = 0
    for _ in range(200):
        trust = Trust()
        for kind in rng.random(60):
            trust.observe(right_with=kind < 0.75, right_without=kind > 0.25)
        excluded += trust.excluded
    assert excluded == 0
    assert EXCLUDE_AT >= 1000


def test_a_little_harm_is_tolerated_and_much_is_not():
    little, much = Trust(), Trust()
    for i in range(3000):
        little.observe(right_with=i % 100 != 0, right_without=True)
        much.observe(right_with=i % 10 != 0, right_without=True)
    assert not little.excluded
    assert much.excluded
    assert (little.asked, little.harmed, little.helped) == (3000, 30, 0)


@pytest.mark.parametrize("wrong", [book([[0, 0]], [0], labels=3)])
def test_a_codebook_of_another_ledger(wrong):
    union = Union(2, 2)
    with pytest.raises(ValueError, match="labels"):
        union.set("b", wrong)
    assert union.owners == ()


def test_an_empty_codebook_has_no_votes():
    union = Union(2, 2)
    union.set("b", book([[0, 0]], [1]))
    union.set("b", Codebook.empty(book([[0, 0]], [1]).form))
    assert union.owners == ("b",)
    assert ask(union, [0, 0]).tolist() == [0, 0]


def test_voters_are_frozen_copies_that_vote_alike():
    rng = np.random.default_rng(0)
    own = live(rng.random((30, 2)), rng.integers(2, size=30), rng.integers(1, 3, size=30))
    union = Union(2, 2)
    union.set("b", random_book(4, 40))
    voters = union.voters(own, METRIC)
    union.edit_anew()
    for x in rng.random((50, 2)):
        assert voters.shares(x, METRIC, 2) == pytest.approx(ask(union, x, own))
    with pytest.raises(ValueError, match="read-only"):
        voters.features[0] = 0
