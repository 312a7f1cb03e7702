"""A copy, shallow, deep or pickled, is a learner of its own that goes on bit for bit."""

import copy
import pickle

import numpy as np
import pytest

from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.learner import MODES, load_kernels, make_learner
from protoledger.gateway.learner.compilation import compiled
from protoledger.gateway.learner.improved.metric import FeatureMetric
from protoledger.gateway.learner.improved.state import ImprovedState
from protoledger.gateway.training.model import SiteModel

WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "old pickle": lambda model: pickle.loads(pickle.dumps(model, protocol=2)),
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@pytest.fixture(autouse=True, params=["numpy", "kernels"])
def engine(request, monkeypatch):
    """Everything here holds for both: what computes changes nothing."""
    if request.param == "numpy":
        monkeypatch.setattr(compiled, "_loaded", {})
    else:
        assert load_kernels(request.config.cache.mkdir("kernels"))


def stream(n, seed=0, *, gaps=False):
    """A stream whose labels turn round in the middle: an alarm, suspects and experts take part."""
    rng = np.random.default_rng(seed)
    xs = rng.normal(size=(n, 3))
    ys = (xs[:, 0] > 0).astype(int) + (xs[:, 1] > 1)
    ys[n // 2 :] = 2 - ys[n // 2 :]
    if gaps:
        xs[rng.random(xs.shape) < 0.1] = np.nan
        xs[np.isnan(xs).all(axis=1)] = 0
    return xs, ys.tolist()


def decisions(model, xs, ys):
    found = []
    for x, y in zip(xs, ys, strict=True):
        opinions = model.opinions(x)
        found.append((model.predict_one(x), model.predict_proba_one(x).tobytes(),
                      opinions.shares.tobytes(), opinions.chosen))  # fmt: skip
        model.learn_one(x, y)
    return found


@pytest.mark.parametrize("cut", [0, 1, 7, 160, 330])
@pytest.mark.parametrize("mode", MODES)
@ways
def test_a_copy_goes_on_as_the_original(way, mode, cut):
    xs, ys = stream(400, gaps=mode == "improved")
    model = make_learner(mode, 3, 3, capacity=12)
    decisions(model, xs[:cut], ys[:cut])
    if cut:
        model.predict_one(xs[0])  # a look that the copy does not share
    twin = way(model)
    assert type(twin) is type(model)
    before = model.state()
    gone_on = decisions(twin, xs[cut:], ys[cut:])
    assert model.state() == before, "what the copy learns, the original does not"
    assert decisions(model, xs[cut:], ys[cut:]) == gone_on
    assert twin.state() == model.state()
    assert (twin.samples, twin.drifts) == (model.samples, model.drifts)


@pytest.mark.parametrize("mode", MODES)
@ways
def test_a_copy_learns_many_as_the_original_and_computes_with_the_same(way, mode):
    xs, ys = stream(300)
    model = make_learner(mode, 3, 3)
    model.engine = "numpy"
    model.learn_many(xs[:200], ys[:200])
    twin = way(model)
    assert twin.engine == "numpy"
    assert (
        twin.learn_many(xs[200:], ys[200:]).tolist()
        == model.learn_many(xs[200:], ys[200:]).tolist()
    )
    assert twin.state() == model.state()


@ways
def test_a_copied_metric_and_state_keep_their_views(way):
    metric = FeatureMetric(2, 2)
    metric.observe(np.array([1.0, 2.0]), 1)
    twin = way(metric)
    for each in (metric, twin):
        each.observe(np.array([3.0, 5.0]), 0)
    assert twin.values.tobytes() == metric.values.tobytes()
    assert (twin.samples, metric.samples) == (2, 2)
    state = ImprovedState(2, 2, 4)
    state.insert(np.array([1.0, 2.0]), 1)
    other = way(state)
    other.insert(np.array([3.0, 4.0]), 0)
    other.metric.observe(np.array([3.0, 4.0]), 0)
    assert (state.count, other.count, other.head[0], state.head[0]) == (1, 2, 1, 0)
    assert other.features[:, :2].T.tolist() == [[1, 2], [3, 4]] == other.table[:2, :2].T.tolist()


@pytest.mark.parametrize("way", [WAYS["deepcopy"], WAYS["pickle"]], ids=["deepcopy", "pickle"])
def test_a_copied_site_model_goes_on_as_the_original(way):
    xs, ys = stream(300)
    model = SiteModel(3, 3)
    rng = np.random.default_rng(3)
    others = rng.integers(0, 3, 20), rng.integers(1, 90, 20), rng.normal(size=(20, 3))
    model.union.set("b", Codebook.from_prototypes(np.arange(20), *others, labels=3))
    for x, y in zip(xs[:180], ys[:180], strict=True):
        model.step(x, y)
    twin = way(model)
    for x, y in zip(xs[180:], ys[180:], strict=True):
        assert twin.step(x, y) == model.step(x, y)
        assert twin.candidate() == model.candidate()
    assert twin.state() == model.state()
