"""Sites that differ: none does much worse with the others than alone, and each says so in numbers.

Sites are in one process; a codebook changes hands every 25 samples as the ledger would give it.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.learner import load_kernels
from protoledger.gateway.training.answers import BEHIND, LEAD, Choice, ShareCalibration
from protoledger.gateway.training.commits import Omissions
from protoledger.gateway.training.counters import Counters
from protoledger.gateway.training.model import SiteModel


@pytest.fixture(autouse=True, scope="module")
def kernels(request):
    assert load_kernels(request.config.cache.mkdir("kernels"))


def world(n, seed=0):
    """Four classes in eight clouds, four features."""
    rng = np.random.default_rng(99)
    centres = rng.random((8, 4))
    rng = np.random.default_rng(seed)
    at = rng.integers(8, size=n)
    return centres[at] + 0.12 * rng.normal(size=(n, 4)), at % 4


def as_it_is(x, y):
    return x, y


def turned(x, y):
    return x, (y + 1) % 4


def turned_in_a_region(x, y):
    return x, (y + 1) % 4 if x[0] > 0.5 else y


def without_first(x, y):
    return np.where(np.arange(4) == 0, np.nan, x), y


def play(views, deal, samples=600, restart=False, sharing=True):
    """Let sites learn in turn; returns models, counters, and what was right in the second half."""
    models = [SiteModel(4, 4) for _ in views]
    counters = [Counters() for _ in views]
    second = [[] for _ in views]
    for number in range(samples):
        for site, view in enumerate(views):
            x, y = view(*deal(site, number))
            outcome = models[site].step(x, int(y))
            counters[site].count(outcome)
            if number >= samples // 2:
                second[site].append((outcome.right, outcome.own_right))
        if restart and number == samples // 2:
            for site, model in enumerate(models):
                models[site] = SiteModel.restore(model.state())
        if sharing and number % 25 == 24:
            for site, model in enumerate(models):
                for other in range(len(models)):
                    if other != site:
                        models[other].union.set(f"site-{site}", model.codebook())
    return models, counters, [np.mean(part, axis=0) for part in second]


# a run with a restart in its middle has all that one without has
RESTARTS = [pytest.param(False, marks=pytest.mark.long), True]


def in_turn(sites, seed=0):
    xs, ys = world(20_000, seed)
    return lambda site, number: (xs[number * sites + site], ys[number * sites + site])


@pytest.mark.parametrize("restart", RESTARTS)
@pytest.mark.parametrize(
    "views",
    [
        [as_it_is, as_it_is, as_it_is, turned],
        [as_it_is, as_it_is, turned, turned],
        [as_it_is, as_it_is, turned_in_a_region, turned_in_a_region],
        [as_it_is, as_it_is, as_it_is, without_first],
    ],
    ids=["one contradicts", "two against two", "a region", "a channel less"],
)
def test_no_site_is_worse_than_alone(views, restart):
    _, _, found = play(views, in_turn(len(views)), restart=restart)
    _, _, alone = play(views, in_turn(len(views)), sharing=False)
    for (here, _), (by_itself, _) in zip(found, alone, strict=True):
        assert here > by_itself - 0.03


@settings(max_examples=200, deadline=None)
@given(
    told=st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.booleans(), min_size=4, max_size=4)), max_size=80
    )
)
def test_nobody_is_followed_who_has_cost_the_site_something(told):
    choice, awake = Choice(["alone", "here", "union", "by mix"]), np.full(4, fill_value=True)
    for label, right in told:
        choice.settle(np.array(right), awake, label)
    chosen = choice.choose(awake)
    assert choice.advantages[chosen] > -BEHIND
    if chosen > 1:
        assert choice.advantages[chosen] > choice.advantages[1] + LEAD
    assert choice.choose(awake & [False, True, True, True]) != 0, "a site that knows nothing yet"
    assert choice.choose(awake & [True, False, False, False]) == 0


def test_a_bad_owner_costs_a_site_next_to_nothing():
    """It says much, with all the weight that it may have, mostly wrong, and anew all the time."""
    lost = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        xs, ys = world(300, seed)
        xs = xs + 0.05 * rng.normal(size=xs.shape)
        model, lone = SiteModel(4, 4), SiteModel(4, 4)
        for number, (x, y) in enumerate(zip(xs, ys, strict=True)):
            if number >= 150 and number % 15 == 0:
                places, labels = world(128, 1000 * seed + number + 7)
                labels = np.where(rng.random(128) < 0.6, rng.integers(4, size=128), labels)
                bad = Codebook.from_prototypes(
                    np.arange(128), labels, np.full(128, 65_535), places, labels=4
                )
                model.union.set("bad", bad)
            here, alone = model.step(x, int(y)), lone.step(x, int(y))
            lost.append(float(alone.right) - float(here.right))
    assert np.mean(lost[:150]) == 0
    assert 2 * np.mean(lost) < 0.005, "of the samples since it came"


def test_a_site_whose_labels_mean_something_else_says_who_hurt_it():
    models, counters, _ = play([as_it_is, as_it_is, as_it_is, turned], in_turn(4))
    odd = counters[-1]
    assert odd.samples == 600
    assert odd.right - odd.own_right == odd.helped - odd.hurt
    assert set(odd.helped_by) | set(odd.hurt_by) <= {"site-0", "site-1", "site-2"}
    assert sum(odd.hurt_by.values()) <= odd.hurt
    answer = models[-1].answer(world(1, 5)[0][0])
    assert answer.label == (answer.anywhere + 1) % 4  # here, and anywhere


@pytest.mark.parametrize("restart", RESTARTS)
def test_skewed_sites_keep_their_own_accuracy_and_know_the_rest_anywhere(restart):
    xs, ys = world(20_000)
    rows = [np.flatnonzero(np.isin(ys, pair)) for pair in ([0, 1], [1, 2], [2, 3], [3, 0])]

    def deal(site, number):
        row = rows[site][number]
        return xs[row], ys[row]

    models, _, found = play([as_it_is] * 4, deal, restart=restart)
    _, _, alone = play([as_it_is] * 4, deal, sharing=False)
    held, labels = world(400, seed=3)
    for model, (here, _), (by_itself, _) in zip(models, found, alone, strict=True):
        assert here > by_itself - 0.02
        anywhere = np.array([model.answer(x).anywhere for x in held])
        assert (anywhere == labels).mean() > 0.85


def test_a_site_that_lacks_a_channel_shares_what_it_knows():
    """Its records say what was missing, and others leave that out of their distances."""
    models, _, _ = play([as_it_is, without_first], in_turn(2), samples=300)
    book = Codebook.decode(models[1].codebook().encode(), models[1].form)
    assert np.isnan(book.features()[:, 0]).all()
    newcomer = SiteModel(4, 4)
    newcomer.union.set("lacks one", book)
    newcomer.settle()
    held, labels = world(300, seed=4)
    right = [newcomer.answer(x).anywhere == y for x, y in zip(held, labels, strict=True)]
    assert np.mean(right) > 0.75


def test_what_is_far_from_everything_is_new_and_a_guess_is_unknown():
    model = SiteModel(4, 4)
    first = model.step([0.5] * 4, None)
    assert (first.predicted, first.unknown, first.new) == (None, True, False)
    xs, ys = world(500)
    outcomes = [model.step(x, int(y)) for x, y in zip(xs, ys, strict=True)]
    assert model.step([3.0, -2.0, 3.0, -2.0], None).new
    assert np.mean([outcome.new for outcome in outcomes[200:]]) < 0.05
    sure = [o for o in outcomes[200:] if o.confidence > 0.9]
    assert np.mean([o.right for o in sure]) > 0.9


def test_probabilities_are_as_good_as_their_word():
    """Expected calibration error over the second half, ten bins."""
    xs, ys = world(1500)
    xs = xs + np.random.default_rng(0).normal(size=xs.shape) * 0.2
    model = SiteModel(4, 4)
    outcomes = [model.step(x, int(y)) for x, y in zip(xs, ys, strict=True)][500:]
    confidence = np.array([o.confidence for o in outcomes])
    right = np.array([bool(o.right) for o in outcomes])
    bins = np.minimum((confidence * 10).astype(int), 9)
    error = sum(
        abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    )
    assert error < 0.08


@settings(max_examples=200, deadline=None)
@given(
    votes=st.lists(st.floats(0, 1), min_size=1, max_size=6),
    history=st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=60),
)
def test_the_label_is_the_likeliest_class_whatever_was_right(votes, history):
    calibration = ShareCalibration()
    for share, right in history:
        calibration.settle(share, right=right)
    shares = np.array(votes)
    if shares.sum() < 1e-9:
        assert not calibration.probabilities(np.zeros(len(votes))).any()
        return
    shares /= shares.sum()
    likely = calibration.probabilities(shares)
    assert int(likely.round(4).argmax()) == int(shares.argmax())
    assert (likely >= 0).all()
    assert likely.sum() == pytest.approx(1)


def test_an_answer_that_is_mostly_wrong_names_no_other_class():
    """Labels without any meaning: the answer is a guess, said so, and its label the likeliest."""
    rng = np.random.default_rng(4)
    models = [SiteModel(2, 2) for _ in range(2)]
    outcomes = []
    for number in range(400):
        for name, model in enumerate(models):
            outcomes.append(model.step(rng.random(2), int(rng.integers(2))))
            if number % 25 == 24 and (book := model.leftover()) is not None:
                model.commits.accepted(book, model.commits.version + 1)
                models[1 - name].union.set(str(name), book)
    told = [o for o in outcomes if o.predicted is not None]
    assert all(np.argmax(o.probabilities) == o.predicted for o in told)
    assert any(o.unknown for o in told), "right less than half of the time, by chance"
    assert all(o.confidence <= max(o.probabilities) + 1e-9 for o in told)
    assert not any(any(o.probabilities) for o in outcomes if o.predicted is None)


def test_what_is_tested_is_what_a_commit_writes():
    model = SiteModel(4, 4)
    for x, y in zip(*world(400), strict=True):
        model.step(x, int(y))
    offered = model.candidate()
    assert offered == model.commits.candidate
    assert len(offered) <= model.commits.omissions.most
    model.commits.accepted(offered, 1)
    assert model.candidate() is None


@pytest.mark.parametrize("limit", [24, None])
def test_a_gateway_that_learns_no_more_owes_nothing(limit):
    """One commit holds all that is owed, unless its file limits commits."""
    omissions = Omissions(0.005, 2.0, 24, *([] if limit is None else [limit]))
    model = SiteModel(4, 4, omissions=omissions)
    for x, y in zip(*world(300), strict=True):
        model.step(x, int(y))
    version = 0
    while (owed := model.leftover()) is not None:
        assert model.leftover() is None  # pending
        version += 1
        model.commits.accepted(owed, version)
        assert version < 20
    assert version == -(-len(model.codebook()) // (limit or 128)) >= (2 if limit else 1)
    wanted = model.codebook()
    assert (model.commits.base.ids == wanted.ids).all()


@pytest.mark.parametrize("how", ["refused for good", "found too small to be worth it"])
def test_what_did_not_land_is_not_owed_again_until_something_is_learnt(how):
    """Else a gateway that learns no more would offer it for ever."""
    model = SiteModel(4, 4)
    xs, ys = world(340)
    for x, y in zip(xs[:300], ys, strict=False):
        model.step(x, int(y))
    assert model.leftover() is not None
    if how == "refused for good":
        model.commits.rejected()
    else:
        model.commits.accepted(model.commits.base, model.commits.version)
    assert model.leftover() is None
    for x, y in zip(xs[300:], ys[300:], strict=True):
        model.step(x, int(y))
    assert model.leftover() is not None
