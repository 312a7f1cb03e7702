"""The learners pass the checks of river and scikit-learn for classifiers of their own."""

import pickle

import numpy as np
import pytest

from protoledger.gateway.learner import ImprovedILVQ, load_kernels

pytest.importorskip("sklearn", reason="in requirements.lock: run `make setup`")
from river import checks, datasets, metrics
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from protoledger.gateway.learner.adapters.river import PrototypeClassifier
from protoledger.gateway.learner.adapters.scikit_learn import ILVQClassifier


@pytest.fixture(autouse=True, scope="module")
def kernels(request):
    assert load_kernels(request.config.cache.mkdir("kernels"))


OF_OTHER_LIBRARIES = {"check_array_api_input", "check_classifier_data_not_an_array"}
"""Checks with data of pandas and of array libraries, which are not installed here."""
RIVER = [
    pytest.param(learner, check, id=f"{learner}-{at}-{check.__name__}")
    for learner in ("improved", "reference")
    for at, check in enumerate(checks.yield_checks(PrototypeClassifier(learner)))
]


@pytest.mark.parametrize(("learner", "check"), RIVER)
def test_river_finds_a_classifier(learner, check):
    model = PrototypeClassifier(learner)
    if check.__name__ not in model._unit_test_skips():
        check(model)


def test_river_learns_what_the_learner_learns():
    """With all features and labels from the first samples on, it is the learner itself."""
    model, plain = PrototypeClassifier(), ImprovedILVQ(9, 2)
    metric, rows = metrics.Accuracy(), list(datasets.Phishing())
    names = sorted(rows[0][0])
    seen = []
    for x, y in rows[:400]:
        if (told := model.predict_one(x)) is not None:
            metric.update(y, told)
        model.learn_one(x, y)
        if y not in seen:
            seen.append(y)
        vector = [x[name] for name in names]
        if len(seen) == 2:
            plain.predict_one(vector)
        plain.learn_one(vector, seen.index(y))
    assert metric.get() > 0.85
    assert model._model.samples == plain.samples == 400
    twin = pickle.loads(pickle.dumps(model))
    for x, y in rows[400:500]:
        assert twin.predict_proba_one(x) == model.predict_proba_one(x)
        twin.learn_one(x, y)
        model.learn_one(x, y)


def test_a_refused_sample_changes_nothing():
    model = PrototypeClassifier()
    model.learn_one({"a": 1.0}, "x")
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match="finite"):
        model.learn_one({"a": 1.0, "b": float("inf")}, "y")
    assert pickle.dumps(model) == before
    with pytest.raises(ValueError, match="improved, reference"):
        PrototypeClassifier("fancy")


@pytest.mark.parametrize("learner", ["improved", "reference"])
def test_scikit_learn_finds_a_classifier(learner):
    done = check_estimator(ILVQClassifier(learner), on_skip=None)
    assert len(done) > 40
    passed = {one["check_name"] for one in done if one["status"] == "passed"}
    others = {one["check_name"] for one in done} - passed
    assert others <= OF_OTHER_LIBRARIES


def test_partial_fit_goes_on_where_it_was():
    rng = np.random.default_rng(0)
    ys = rng.integers(3, size=300)
    xs = rng.normal(size=(300, 4)) + 2 * ys[:, None]
    names = np.array(["a", "b", "c"])[ys]
    whole, parts = ILVQClassifier().fit(xs, names), ILVQClassifier()
    for cut in range(0, 300, 60):
        parts.partial_fit(xs[cut : cut + 60], names[cut : cut + 60], ["a", "b", "c"])
    assert parts.model_.state() == whole.model_.state()
    assert (parts.predict(xs) == names).mean() > 0.9
    assert clone(parts).get_params() == {"learner": "improved", "capacity": 128}
    with pytest.raises(ValueError, match="needs classes"):
        ILVQClassifier().partial_fit(xs, names)
    with pytest.raises(ValueError, match="not among"):
        parts.partial_fit(xs[:1], ["d"])
