"""XuILVQ against a slow twin written from the paper and the notes: the same after every sample."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protoledger.experiments.benchmarks.learner.plain_xuilvq import PlainXuILVQ
from protoledger.gateway.learner import XuILVQ, load_kernels


def stream(seed, n, d, classes):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, d))
    xs, ys = [], []
    for _ in range(n):
        if xs and rng.random() < 0.05:  # a sample seen before, perhaps with another label
            x = xs[rng.integers(len(xs))]
        else:
            x = centres[rng.integers(classes)] + rng.normal(size=d) * rng.choice([0.1, 0.5])
        xs.append(x)
        ys.append(int(rng.integers(classes)) if rng.random() < 0.1 else int(np.argmax(centres @ x)))
    return xs, ys


def compare(model, twin):
    rows = list(twin.position)
    live = model.live()
    assert live.classes.tolist() == [twin.label[i] for i in rows]
    assert live.weights.tolist() == [twin.wins[i] for i in rows]
    if rows:
        positions = [twin.position[i] for i in rows]
        np.testing.assert_allclose(live.features, positions, rtol=1e-9, atol=1e-12)
    ids = model._state.ids.tolist()
    at = {i: ids[row] for row, i in enumerate(rows)}
    edges = {tuple(sorted((at[a], at[b]))): age for (a, b), age in twin.age.items()}
    assert model.edges() == edges


@pytest.fixture(scope="module", params=["numpy", "auto"])
def engine(request):
    if request.param == "auto":
        assert load_kernels(request.config.cache.mkdir("kernels"))
    return request.param


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 100_000), d=st.integers(1, 5), classes=st.integers(1, 4))
def test_same_decisions_and_state_after_every_sample(engine, seed, d, classes):
    model, twin = XuILVQ(d, classes), PlainXuILVQ()
    model.engine = engine
    for x, y in zip(*stream(seed, 320, d, classes), strict=True):
        assert model.predict_one(x) == twin.predict_one(x)
        model.learn_one(x, y)
        twin.learn_one(x, y)
        compare(model, twin)


def test_edges_die_of_age(engine):
    model, twin = XuILVQ(1, 2), PlainXuILVQ()
    model.engine = engine
    rng = np.random.default_rng(1)
    sizes = []
    for i in range(1000):
        x = np.array([float(rng.normal()) * 0.1 + (i % 2 if i < 40 else 0)])
        model.learn_one(x, i % 2 if i < 40 else 0)
        twin.learn_one(x, i % 2 if i < 40 else 0)
        compare(model, twin)
        sizes.append(len(twin.age))
    assert any(after < before for before, after in itertools.pairwise(sizes))
