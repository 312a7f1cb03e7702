"""The union: who votes, who does not, in which version, and that nothing stays of who left."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.learner import load_kernels
from protoledger.gateway.learner.base import Live
from protoledger.gateway.union.influence import OWN, LeaveOneOut, References, neighbours, votes_at
from protoledger.gateway.union.union import Union
from protoledger.gateway.union.voting import Beside, Panel

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
    union.settle(own, METRIC)
    squares = ((own.features - x) ** 2).dot(METRIC)
    return union.shares(x, squares, own, METRIC)


def grid(label, n=6, low=0.0, high=1.0):
    at = low + (np.arange(n) + 0.5) / n * (high - low)
    points = [[x, y] for x in at for y in at]
    return points, [label(p) for p in points]


def truth(p):
    return int(p[0] > 0.5)


def falsehood(p):
    return 1 - truth(p)


def random_book(seed, n=20):
    rng = np.random.default_rng(seed)
    points = rng.random((n, 2)).tolist()
    return book(points, rng.integers(2, size=n).tolist(), rng.integers(0, 4, size=n).tolist())


def test_nobody_votes_in_an_empty_union():
    assert ask(Union(2, 2), [0, 0]).tolist() == [0, 0]


def test_own_prototypes_vote_alone_as_they_are():
    own = live([[0, 0], [1, 1]], [0, 1], [1, 1])
    assert ask(Union(2, 2), [0.1, 0.1], own).argmax() == 0
    assert ask(Union(2, 2), [0.9, 0.9], own).argmax() == 1


def test_a_codebook_changes_predictions_at_once():
    union = Union(2, 2)
    union.set("b", book([[1, 1]], [1]))
    assert ask(union, [1, 1]).argmax() == 1
    union.set("b", None)
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
    for one in (untouched, union):
        one.set("stays", random_book(7))
    for i, seed in enumerate(seeds):
        union.set(f"goes{i}", random_book(seed))
        ask(union, x, own)
        union.set(f"goes{i}", random_book(seed + 1))  # a version that may have to wait
        ask(union, x, own)
    for i in range(len(seeds)):
        union.set(f"goes{i}", None)
    assert union.owners == ("stays",)
    assert (ask(union, x, own) == ask(untouched, x, own)).all()
    assert union.trust == untouched.trust
    assert union.former() == {}


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
    assert one.trust == two.trust


def test_a_false_codebook_never_votes_is_reported_and_votes_again_once_corrected():
    own = live(*grid(truth, 4))
    union = Union(2, 2)
    union.set("false", book(*grid(falsehood, 9), weights=[65_535] * 81))
    union.set("honest", book(*grid(truth, 6)))
    assert union.settle(own, METRIC) == ("false",)
    assert ask(union, [0.94, 0.44], own).argmax() == 1
    false = union.trust["false"]
    assert (false.votes, false.influence > 0.5) == (False, True)
    assert union.trust["honest"].votes
    union.set("false", book(*grid(truth, 9)))
    assert union.settle(own, METRIC) == ("false",)
    assert union.trust["false"].votes
    assert union.trust["false"].influence <= 0


def test_who_turns_malicious_where_nobody_else_knows_anything_changes_nothing():
    """Its own older version is the reference."""
    own = live(*grid(truth, 6, high=0.4))
    union = Union(2, 2)
    union.set("turns", book(*grid(truth, 6, low=0.5)))
    before = ask(union, [0.9, 0.9], own)
    union.set("turns", book(*grid(lambda _: 0, 6, low=0.5), weights=[65_535] * 36))
    assert union.settle(own, METRIC) == ("turns",)
    assert (ask(union, [0.9, 0.9], own) == before).all()
    assert union.trust["turns"].held_back
    assert union.trust["turns"].disagreement > 0.5
    assert set(union.former()) == {"turns"}
    union.set("turns", book(*grid(truth, 7, low=0.5)))
    assert union.settle(own, METRIC) == ()  # it disagrees with what was held back: once more
    union.set("turns", book(*grid(truth, 8, low=0.5)))
    assert union.settle(own, METRIC) == ("turns",)
    assert not union.trust["turns"].held_back
    assert union.former() == {}


def test_nobody_gets_through_by_trying_at_random():
    own = live(*grid(truth, 5, high=0.4))
    union = Union(2, 2)
    union.set("turns", book(*grid(truth, 2, low=0.5)))
    before = ask(union, [0.9, 0.9], own)
    for seed in range(30):
        union.set("turns", random_book(seed, 100))
        ask(union, [0.9, 0.9], own)
    assert union.trust["turns"].held_back
    assert ask(union, [0.9, 0.9], own) == pytest.approx(before, abs=0.02)


def test_a_flood_counts_as_no_more_than_another_has():
    union = Union(2, 2)
    union.set("flood", book(*grid(truth, 30)))
    union.settle(live([], []), METRIC)
    assert len(union.panel(live([], []))) == 128
    union.set("other", book(*grid(truth, 20)))
    union.settle(live([], []), METRIC)
    assert len(union.panel(live([], []))) == 800


def test_a_restored_union_waits_as_the_saved_one():
    own = live(*grid(truth, 6, high=0.4))
    union, twin = Union(2, 2), Union(2, 2)
    versions = [grid(truth, 6, low=0.5), grid(falsehood, 6, low=0.5), grid(falsehood, 7, low=0.5)]
    for version in versions:
        union.set("turns", book(*version))
        ask(union, [0, 0], own)
    assert [len(books) for books in union.former().values()] == [2]
    for former in union.former()["turns"]:
        twin.set("turns", former)
    twin.set("turns", book(*versions[-1]))
    ask(twin, [0, 0], own)
    assert twin.former() == union.former()
    assert twin.trust == union.trust


def test_a_world_that_changed_is_believed_once_others_see_it():
    union = Union(2, 2)
    union.set("moves", book(*grid(truth, 6)))
    ask(union, [0, 0], live(*grid(truth, 6)))
    union.set("moves", book(*grid(falsehood, 6)))
    ask(union, [0, 0], live(*grid(truth, 6)))
    assert union.trust["moves"].held_back
    union.judge_again()
    ask(union, [0, 0], live(*grid(falsehood, 6)))
    assert union.trust["moves"].votes
    assert not union.trust["moves"].held_back


def test_the_honest_but_different_keep_their_vote():
    """Each owner knows one half of the plane and one class more or less."""
    points, labels = grid(truth, 8)
    left = [(p, c) for p, c in zip(points, labels, strict=True) if p[1] < 0.5]
    ones = [(p, c) for p, c in zip(points, labels, strict=True) if c == 1]
    union = Union(2, 2)
    union.set("ones", book(*zip(*ones, strict=True)))
    union.set("left", book(*zip(*left, strict=True)))
    own = live(*zip(*[(p, c) for p, c in zip(points, labels, strict=True) if c == 0], strict=True))
    ask(union, [0, 0], own)
    assert all(each.votes for each in union.trust.values())


def test_a_false_codebook_is_no_reference_against_the_honest():
    """The false one came first and is the larger."""
    own = live(*grid(truth, 3))
    union = Union(2, 2)
    union.set("a-false", book(*grid(falsehood, 20)))
    ask(union, [0, 0], own)
    for name in ("b", "c"):
        union.set(name, book(*grid(truth, 5)))
    ask(union, [0, 0], own)
    assert [union.trust[name].votes for name in ("a-false", "b", "c")] == [False, True, True]


def test_weights_are_self_reported():
    """One heavy prototype does not outvote those around it, whoever else is there."""
    union = Union(2, 2)
    union.set("b", book([[0.0, 0.3]], [1], [65_535]))
    own = live([[0.0, 0.1], [0.1, 0.0], [0.1, 0.1]], [0, 0, 0])
    assert ask(union, [0, 0], own).argmax() == 0


def test_sums_of_weights_are_self_reported_too():
    """As many prototypes as others have, of as much weight as another's heaviest, are too much."""
    union = Union(2, 2)
    points, labels = grid(truth, 8)
    union.set("b", book(points, labels, [50] + [1] * 63))
    union.set("heavy", book(*grid(falsehood, 8, low=0.05), [50] * 64))
    ask(union, [0, 0], live(points, labels, [50] + [1] * 63))
    union.judge_again()
    union.settle(live([], []), METRIC)
    strengths = union.panel(live([], [])).strengths
    assert strengths.max() <= np.sqrt(50) + 1e-9
    assert not union.trust["heavy"].votes
    lone = Union(2, 2)
    lone.set("heavy", book(*grid(truth, 8), [50] * 64))
    own = live(*grid(truth, 8), [1] * 64)
    lone.settle(own, METRIC)
    claimed = lone.panel(own).strengths[64:]
    assert (claimed**2).sum() == pytest.approx(128)


def test_false_prototypes_among_true_ones_do_not_vote():
    """One of five is false, and all claim the greatest weight: they are contradicted one by one."""
    points, labels = grid(truth, 8)
    rng = np.random.default_rng(1)
    false = rng.random(64) < 0.2
    union = Union(2, 2)
    for name in ("b", "c"):
        union.set(name, book(*grid(truth, 7)))
    mixed = np.where(false, 1 - np.array(labels), labels)
    union.set("mixed", book(points, mixed, [65_535] * 64))
    own = live(*grid(truth, 6))
    wrong = [p for p, c in zip(points, labels, strict=True) if ask(union, p, own).argmax() != c]
    assert len(wrong) <= 3


def test_an_owner_without_samples_of_a_class_is_no_evidence_against_it():
    """Half of the plane is of a class that neither the gateway nor anybody else knows."""
    union = Union(2, 2)
    own = live(grid(truth, 5)[0], [0] * 25)
    union.set("knows", book(*grid(truth, 8)))
    assert ask(union, [0.9, 0.5], own).argmax() == 1
    assert union.trust["knows"].votes


@pytest.mark.parametrize("wrong", [book([[0, 0]], [0], labels=3)])
def test_a_codebook_of_another_ledger(wrong):
    union = Union(2, 2)
    with pytest.raises(ValueError, match="labels"):
        union.set("b", wrong)
    assert union.owners == ()


def test_an_empty_codebook_has_no_votes():
    union = Union(2, 2)
    union.set("b", Codebook.empty(book([[0, 0]], [1]).form))
    assert ask(union, [0, 0]).tolist() == [0, 0]
    assert union.owners == ("b",)


def test_a_panel_votes_like_the_union():
    rng = np.random.default_rng(0)
    own = live(rng.random((30, 2)), rng.integers(2, size=30), rng.integers(1, 3, size=30))
    union = Union(2, 2)
    union.set("b", random_book(4, 40))
    union.settle(own, METRIC)
    panel = union.panel(own)
    xs = rng.random((50, 2))
    for x, won in zip(xs, panel.winners(xs, METRIC, 2), strict=True):
        shares = ask(union, x, own)
        assert panel.shares(x, METRIC, 2) == pytest.approx(shares)
        assert won == shares.argmax()


@pytest.fixture(scope="module")
def kernels(request):
    assert load_kernels(request.config.cache.mkdir("kernels"))


@pytest.mark.usefixtures("kernels")
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), sizes=st.lists(st.integers(0, 12), min_size=1, max_size=4))
def test_kernels_give_the_bits_of_their_twins(seed, sizes):
    """Also where distances are equal and blocks are empty."""
    rng = np.random.default_rng(seed)
    n, d, classes = sum(sizes), int(rng.integers(1, 5)), int(rng.integers(1, 4))
    features = np.round(rng.random((d, n)), 1)
    metric, labels = rng.random(d), rng.integers(classes, size=n)
    strengths, starts = rng.random(n) + 1, np.cumsum([0, *sizes])
    pairs = [neighbours(features, metric, starts, engine) for engine in ("numpy", "auto")]
    for one, other in zip(*pairs, strict=True):
        assert (one == other).all()
    blocks = np.array(sorted(rng.choice(len(sizes), size=rng.integers(1, len(sizes) + 1))))
    said = [
        votes_at(*pairs[0], strengths, labels, np.unique(blocks), classes, engine)
        for engine in ("numpy", "auto")
    ]
    assert said[0].tobytes() == said[1].tobytes()
    panel = Panel.of(features.T, labels, strengths)
    mine = Beside(np.round(rng.random(7), 1), rng.integers(classes, size=7), rng.random(7) + 1)
    x = np.round(rng.random(d), 1)
    shares = [panel.shares(x, metric, classes, mine, engine) for engine in ("numpy", "auto")]
    assert shares[0].tobytes() == shares[1].tobytes()
    found = [panel.nearest(x, metric, engine) for engine in ("numpy", "auto")]
    for name in ("squares", "classes", "strengths"):
        assert (getattr(found[0], name) == getattr(found[1], name)).all()
    xs = np.round(rng.random((5, d)), 1)
    assert (
        panel.winners(xs, metric, classes, "numpy") == panel.winners(xs, metric, classes, "auto")
    ).all()


def test_a_leave_one_out_of_empty_codebooks():
    empty = References(OWN, np.zeros((0, 2)), np.zeros(0, np.int64), np.zeros(0))
    judged = LeaveOneOut([empty, empty], METRIC, 2)
    assert judged.influence(1, [0]) == 0
    assert judged.right(0, [0, 1]).tolist() == []
