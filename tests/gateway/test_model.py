"""A site's model: test then train, commit when it pays, and learn from each other."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.errors import ModelStateError, SampleError
from protoledger.gateway.learner import MODES, make_learner
from protoledger.gateway.training.model import SiteModel

modes = pytest.mark.parametrize("mode", MODES)


def stream(n, seed=0, d=3, classes=3, spread=0.12):
    centres = np.random.default_rng(99).random((classes, d))
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    return centres[y] + spread * rng.normal(size=(n, d)), y.tolist()


def feed(model, n, seed=0):
    return [model.step(x, y) for x, y in zip(*stream(n, seed), strict=True)]


def collaborate(xs, ys, classes, sites=3, **options):
    """Deal rows in turn; a commit is accepted and known to all at once."""
    models = [SiteModel(xs.shape[1], classes, **options) for _ in range(sites)]
    right = commits = used = 0
    for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
        model = models[i % sites]
        outcome = model.step(x, y)
        right += bool(outcome.right)
        used += bool(outcome.right) and not outcome.own_right
        if (codebook := model.candidate()) is not None:
            commits += 1
            model.commits.accepted(codebook, model.commits.version + 1)
            for other in models:
                if other is not model:
                    other.union.set(str(i % sites), codebook)
    return right / len(ys), commits, used


@modes
def test_predicts_before_it_learns(mode):
    model = SiteModel(3, 3, mode=mode)
    first = model.step([0.1, 0.2, 0.3], 2)
    assert (first.predicted, first.own, first.committed, first.label) == (None, None, None, 2)
    assert (first.right, first.own_right, first.committed_right) == (False, False, False)
    assert model.predict_one([0.1, 0.2, 0.3]) == 2


@modes
def test_alone_is_what_the_site_learns_and_says_without_the_others(mode):
    """Bit by bit, over a restart, whatever the others' votes make the shared prototypes do."""
    other = SiteModel(3, 3, mode=mode)
    feed(other, 200, seed=5)
    lone, model = (SiteModel(3, 3, mode=mode) for _ in range(2))
    told = []
    for number, (x, y) in enumerate(zip(*stream(300, spread=0.3), strict=True)):
        if number == 40:
            model.union.set("b", other.codebook())
        if number == 150:
            model = SiteModel.restore(model.state())
            model.union.set("b", other.codebook())
        told.append((model.step(x, y).own, lone.step(x, y).predicted))
    assert all(own == predicted for own, predicted in told)
    assert model.apart.state() == lone.learner.state() == lone.apart.state()
    if mode == "improved":  # the reference does not ask the union what to found
        assert model.learner.state() != model.apart.state()


@modes
def test_without_a_label_nothing_is_learnt(mode):
    model = SiteModel(3, 3, mode=mode)
    feed(model, 60)
    before = model.state()
    outcome = model.step([0.5, 0.5, 0.5], None)
    assert outcome.predicted == model.predict_one([0.5, 0.5, 0.5])
    assert (outcome.label, outcome.right, outcome.committed) == (None, None, None)
    assert model.state() == before


@modes
@pytest.mark.parametrize(
    ("x", "y"), [([0, 0], 0), ([np.nan] * 3, 0), ([0, 0, 0], 3), ([np.inf, 0, 0], None)]
)
def test_a_bad_sample_changes_nothing(mode, x, y):
    model = SiteModel(3, 3, mode=mode)
    feed(model, 60)
    before = model.state()
    with pytest.raises(SampleError):
        model.step(x, y)
    assert model.state() == before


def test_nothing_to_commit_before_evidence():
    model = SiteModel(3, 3)
    assert model.candidate() is None
    model.step([0.1, 0.2, 0.3], 2)
    assert model.candidate() is None


def test_a_commit_is_pending_until_it_is_told_how_it_ended():
    model = SiteModel(3, 3)
    feed(model, 60)
    first = model.candidate()
    assert first is not None
    assert model.candidate() is None
    model.commits.rejected()
    again = model.candidate()
    assert again is not None
    model.commits.accepted(again, 1)
    assert (model.commits.version, model.commits.tested) == (1, 0)
    assert model.candidate() is None


def test_being_told_the_same_state_again_keeps_the_evidence():
    model = SiteModel(3, 3)
    feed(model, 60)
    codebook = model.candidate()
    model.commits.accepted(codebook, 1)
    feed(model, 60, seed=1)
    seen = msgspec.structs.replace(model.commits.test.evidence)
    assert model.commits.tested == 60
    model.commits.accepted(codebook, 1)
    assert model.commits.test.evidence == seen
    model.commits.accepted(Codebook.empty(model.form), 0)  # a reorganisation took the commit away
    assert (model.commits.version, model.commits.tested) == (0, 0)


def test_unlimited_commits_whatever_changed_and_nothing_else():
    model = SiteModel(3, 3, test="always")
    assert model.candidate() is None
    model.step([0.1, 0.2, 0.3], 2)
    codebook = model.candidate()
    assert len(codebook) == 1
    model.commits.accepted(codebook, 1)
    assert model.candidate() is None


def test_the_committed_state_is_judged_as_the_records_give_it_back():
    model = SiteModel(1, 2, test="always")
    for value, y in ((0.123456789, 0), (0.987654321, 1)):
        model.step([value], y)
    codebook = model.candidate()
    bytes_of_a_range = np.array([31, 252]) / 255  # narrow: within the tolerance
    assert codebook.features().ravel() == pytest.approx(bytes_of_a_range, abs=1 / 12_000)
    model.commits.accepted(codebook, 1)
    assert model.step([0.2], 0).committed == 0
    swapped = Codebook.from_prototypes([0, 1], [1, 0], [1, 1], [[0.12], [0.98]], labels=2)
    model.commits.accepted(swapped, 2)
    outcome = model.step([0.2], 0)
    assert (outcome.committed, outcome.committed_right, outcome.own_right) == (1, False, True)


def test_a_model_too_large_for_the_ledger_commits_its_heaviest():
    rng = np.random.default_rng(0)
    many = SiteModel(255, 2, mode="reference")
    for _ in range(60):
        many.learner._state.insert(rng.random(255), 0)
    many.learner._state.wins[10:20] = 7
    assert len(many.codebook()) == many.form.max_records == 47
    assert set(range(10, 20)) <= set(many.codebook().ids.tolist())


def test_what_others_commit_is_used_at_once_and_forgotten_at_once():
    model = SiteModel(1, 2)
    for value in (0.1, 0.2, 0.15):
        model.step([value], 0)
    assert model.predict_one([0.9]) == 0
    model.union.set("b", Codebook.from_prototypes([4], [1], [50], [[0.9]], labels=2))
    model.settle()
    assert model.predict_one([0.9]) == 1
    outcome = model.step([0.9], None)
    assert (outcome.predicted, outcome.own) == (1, 0)
    snapshot = model.snapshot()
    model.union.set("b", None)
    model.settle()
    assert model.predict_one([0.9]) == 0
    assert snapshot.predict_one([0.9]) == 1  # a snapshot is of its moment
    with pytest.raises(SampleError):
        snapshot.predict_one([np.inf])


def test_a_codebook_of_another_form_is_refused():
    model = SiteModel(1, 2)
    other = Codebook.from_prototypes([0], [0], [1], [[0.5, 0.5]], labels=2)
    for take in (lambda: model.union.set("b", other), lambda: model.commits.accepted(other, 1)):
        with pytest.raises(ValueError, match="features"):
            take()


@modes
@pytest.mark.parametrize("cut", [0, 3, 150, 333])
def test_a_restored_model_goes_on_the_same(mode, cut):
    other = SiteModel(3, 3, mode=mode)
    feed(other, 200, seed=5)
    model = SiteModel(3, 3, mode=mode, capacity=9, test="mcnemar", alpha=0.2)
    model.union.set("b", other.codebook())
    feed(model, cut)
    if (codebook := model.candidate()) is not None:
        model.commits.accepted(codebook, 1)
    twin = SiteModel.restore(model.state())
    twin.union.set("b", other.codebook())
    assert twin.state() == model.state()
    assert (twin.commits.test.name, twin.commits.test.alpha, twin.commits.version) == (
        "mcnemar",
        0.2,
        model.commits.version,
    )
    outcomes = [
        [replace(outcome, judged=()) for outcome in feed(one, 200, seed=1)] for one in (twin, model)
    ]  # a restored model tells its verdicts again
    assert outcomes[0] == outcomes[1]
    assert twin.state() == model.state()
    assert (twin.candidate() is None) == (model.candidate() is None)


def test_a_damaged_state_is_refused():
    model = SiteModel(3, 3)
    feed(model, 50)
    state = model.state()
    for bad in (
        b"",
        state[:-3],
        state + b"\0",
        b"\x93\x01\x02\x03",
        make_learner("improved", 1, 1).state(),
    ):
        with pytest.raises(ModelStateError):
            SiteModel.restore(bad)


@pytest.mark.parametrize(
    "wrong", [{"mode": "x"}, {"test": "x"}, {"alpha": 2.0}, {"capacity": 1}, {"n_classes": 0}]
)
def test_impossible_configurations(wrong):
    with pytest.raises(ValueError, match=r".+"):
        SiteModel(**{"n_features": 2, "n_classes": 2, **wrong})


@modes
def test_three_sites_come_close_to_one_that_sees_everything(mode):
    xs, ys = stream(1200, spread=0.25)
    alone = make_learner(mode, 3, 3)
    right = 0
    for x, y in zip(xs, ys, strict=True):
        right += alone.predict_one(x) == y
        alone.learn_one(x, y)
    together, commits, used = collaborate(xs, ys, 3, mode=mode)
    assert together >= right / len(ys) - 0.03  # what waiting for the commit test costs
    assert 1 <= commits <= 20
    assert used > 0


@pytest.mark.parametrize("name", ["Phishing", "ImageSegments"])
def test_three_sites_on_published_streams(name):
    datasets = pytest.importorskip("river.datasets")
    rows = [(list(x.values()), y) for x, y in getattr(datasets, name)()]
    labels = sorted({y for _, y in rows})
    xs, ys = np.array([x for x, _ in rows]), [labels.index(y) for _, y in rows]
    low, high = xs.min(axis=0), xs.max(axis=0)
    xs = (xs - low) / np.where(high > low, high - low, 1)
    accuracy, commits, used = collaborate(xs, ys, len(labels))
    assert accuracy >= {"Phishing": 0.90, "ImageSegments": 0.942}[name] - 0.03  # as above
    assert 2 <= commits <= 20
    assert used > 0


def test_outcomes_are_values():
    model = SiteModel(3, 3)
    outcome = feed(model, 10)[-1]
    assert replace(outcome, label=None).right is None
    with pytest.raises(AttributeError):
        outcome.label = 1


def test_what_others_have_on_the_ledger_is_not_committed_again():
    first, second = SiteModel(3, 3), SiteModel(3, 3)
    feed(first, 300)
    second.union.set("first", first.codebook())
    for x, y in zip(*stream(200, seed=5), strict=True):
        second.step(x, y)
        assert second.candidate() is None
    second.union.set("first", None)  # it left: what it knew must come from somebody else
    for x, y in zip(*stream(40, seed=6), strict=True):
        second.step(x, y)
    assert second.candidate() is not None


def test_who_sees_one_class_commits_where_others_get_it_wrong():
    """By its own prototypes alone it is never wrong, whatever it has committed."""
    rng = np.random.default_rng(1)
    model = SiteModel(2, 2)
    points = rng.random((40, 2))
    model.union.set(
        "other",
        Codebook.from_prototypes(np.arange(40), np.ones(40, int), [9] * 40, points, labels=2),
    )
    commits, right = 0, []
    for x in rng.random((300, 2)):
        outcome = model.step(x, 0)
        right.append(outcome.own_right)
        if (codebook := model.candidate()) is not None:
            commits += 1
            model.commits.accepted(codebook, model.commits.version + 1)
    assert all(right[1:])
    assert commits >= 1  # a run of one label bets once, so evidence takes its time
    assert len(codebook or model.codebook()) > 5
