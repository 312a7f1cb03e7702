"""Many owners: judged as few are, at a cost that does not grow with their cube, and drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.learner.base import Live
from protoledger.gateway.learner.vote import TOGETHER
from protoledger.gateway.union import many, union, veto
from protoledger.gateway.union.influence import OWN, LeaveOneOut, References
from protoledger.gateway.union.limits import drawn
from protoledger.gateway.union.many import KEPT, ManyBooks, leave_one_out, ranked
from protoledger.gateway.union.recent import RecentSamples
from protoledger.gateway.union.trust import NOT_DRAWN, Candidate, judge
from protoledger.gateway.union.union import Union
from protoledger.gateway.union.veto import vetoed

unhurried = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**32 - 1)
CLASSES = 3


def books_of(generator, sizes, d=2, wrong=()):
    """Books of two clouds for each class; those of `wrong` owners have other classes."""
    found = []
    for at, size in enumerate(sizes):
        classes = generator.integers(0, CLASSES, size)
        features = classes[:, None] / CLASSES + generator.normal(0, 0.1, (size, d))
        features = features.round(int(generator.integers(1, 4)))  # some are equally far
        features[generator.random(features.shape) < 0.05] = np.nan
        given = (classes + 1) % CLASSES if at in wrong else classes
        strengths = np.sqrt(generator.integers(1, 50, size)).astype(float)
        found.append(References(OWN if at == 0 else f"o{at:03}", features, given, strengths))
    return found


@unhurried
@given(seeds, st.lists(st.integers(0, 30), min_size=2, max_size=8))
def test_many_books_answer_as_few_do(seed, sizes):
    generator = np.random.default_rng(seed)
    books, metric = books_of(generator, sizes, wrong={1}), generator.random(2)
    few = LeaveOneOut(books, metric, CLASSES, "numpy")
    more = ManyBooks(books, metric, CLASSES, "numpy")
    everyone = list(range(len(books)))
    for voting in (everyone, everyone[1:], everyone[:-1], everyone[:1]):
        for book in everyone:
            assert more.shares(book, voting).tobytes() == few.shares(book, voting).tobytes()
    for members in (everyone, everyone[:-1]):
        expected, found = few.influences(members), more.influences(members)
        assert found.keys() == expected.keys() == set(members[1:])
        for book, influence in expected.items():
            assert found[book] == pytest.approx(influence, abs=1e-12)
    candidates = [Candidate(book.owner, at) for at, book in enumerate(books) if at]
    one, other = judge(few, candidates), judge(more, candidates)
    assert {name: trust.votes for name, trust in one.items()} == {
        name: trust.votes for name, trust in other.items()
    }


@unhurried
@given(seeds, st.integers(1, 3))
def test_machine_code_ranks_as_numpy_does(seed, d):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(d, 50)).round(1)
    features[generator.random((d, 50)) < 0.1] = np.nan
    metric, starts = generator.random(d), np.array([0, 3, 3, 25, 31, 50])
    points = np.sort(generator.permutation(50)[:30])
    asked = (features, metric, points, starts, (0, 1, 2, 4))
    pairs = [ranked(*asked, engine) for engine in ("numpy", "auto")]
    assert pairs[0][0].shape == (30, KEPT)
    for one, other in zip(*pairs, strict=True):
        assert one.tobytes() == other.tobytes()


def test_by_their_number_books_are_compared_in_one_way_or_the_other():
    generator = np.random.default_rng(1)
    few, more = (books_of(generator, [5] * n) for n in (many.MANY, many.MANY + 1))
    assert type(leave_one_out(few, np.ones(2), CLASSES)) is LeaveOneOut
    assert type(leave_one_out(more, np.ones(2), CLASSES)) is ManyBooks


def test_who_lies_is_quarantined_among_many_one_after_the_other():
    generator = np.random.default_rng(2)
    wrong = {3, 11, 19}
    books = books_of(generator, [120 if at in wrong else 6 for at in range(25)], wrong=wrong)
    candidates = [Candidate(book.owner, at) for at, book in enumerate(books) if at]
    expected = judge(LeaveOneOut(books, np.ones(2), CLASSES), candidates)
    found = judge(ManyBooks(books, np.ones(2), CLASSES), candidates)
    assert [name for name, trust in found.items() if not trust.votes] == [
        name for name, trust in expected.items() if not trust.votes
    ]
    assert {name for name, trust in found.items() if not trust.votes} == {"o003", "o011", "o019"}


def plainly_vetoed(recent, books, metric):
    """The veto as its module says it, one set of owners after the other."""
    near = {book.owner: veto.nearest_in(recent.xs, book, metric) for book in books}

    def right(owners):
        votes = [recent.own, *(near[owner] for owner in sorted(owners))]
        return veto.elected(votes, CLASSES, TOGETHER if owners else veto.ALONE) == recent.ys

    left = set(near)
    while left:
        costs = {
            owner: max(
                veto.clear_cost(right(left), right(left - {owner}), recent.blocks),
                veto.clear_cost(right({owner}), right(set()), recent.blocks),
            )
            for owner in sorted(left)
        }
        worst = max(costs, key=lambda owner: costs[owner])
        if costs[worst] <= veto.BAR:
            break
        left -= {worst}
    return frozenset(near) - left


@unhurried
@given(seeds, st.integers(1, 12), st.integers(0, 3))
def test_the_veto_is_that_of_one_set_after_the_other(seed, owners, liars):
    generator = np.random.default_rng(seed)
    books = books_of(generator, [12] * (owners + 1), wrong=set(range(1, liars + 1)))[1:]
    recent = RecentSamples(2)
    for _ in range(80):
        label = int(generator.integers(CLASSES))
        x = label / CLASSES + generator.normal(0, 0.1, 2)
        near = generator.random(3), generator.integers(0, CLASSES, 3), np.ones(3)
        recent.add(x, label, *near)
    metric = generator.random(2) + 0.1
    assert vetoed(recent, books, metric, CLASSES) == plainly_vetoed(recent, books, metric)


def test_owners_are_drawn_once_there_are_more_than_a_site_judges():
    sizes = {f"owner-{n}": 10 for n in range(100)}
    assert drawn(sizes, 1000, 128, "a") == tuple(sorted(sizes))
    some, others = drawn(sizes, 300, 128, "a"), drawn(sizes, 300, 128, "b")
    assert len(some) == len(others) == 30
    assert some != others
    assert some == drawn(dict(reversed(sizes.items())), 300, 128, "a")
    without = {name: size for name, size in sizes.items() if name != some[0]}
    assert set(some) - {some[0]} < set(drawn(without, 300, 128, "a"))


def test_what_an_owner_says_does_not_draw_it():
    sizes = {f"owner-{n}": 10 for n in range(100)}
    left_out = sorted(sizes.keys() - drawn(sizes, 300, 128, "a"))
    assert left_out[0] not in drawn({**sizes, left_out[0]: 255}, 300, 128, "a")
    assert left_out[-1] not in drawn({**sizes, left_out[-1]: 1}, 300, 128, "a")


def test_who_is_not_drawn_does_not_vote_and_is_told(monkeypatch):
    monkeypatch.setattr(union, "MOST_PROTOTYPES", 40)
    judging, generator = Union(2, CLASSES), np.random.default_rng(3)
    judging.site = "site-1"
    for at, book in enumerate(books_of(generator, [10] * 9)[1:]):
        codebook = Codebook.from_prototypes(
            range(10), book.classes, np.full(10, 4), np.nan_to_num(book.features), labels=CLASSES
        )
        judging.set(f"owner-{at}", codebook)
    own = Live(np.array([0]), np.array([5.0]), np.array([[0.0, 0.0]]))
    told = judging.settle(own, np.ones(2))
    out = [name for name, trust in judging.trust.items() if trust == NOT_DRAWN]
    assert len(out) == 4
    assert set(out) <= set(told)
    assert {book.owner for book in judging.books}.isdisjoint(out)
    assert "more owners than a site judges" in str(judging.trust[out[0]])
    for name in set(judging.owners) - set(out):
        judging.set(name, None)
    judging.settle(own, np.ones(2))
    assert all(trust.drawn for trust in judging.trust.values())
