"""The improved learner after an abrupt change, which nobody tells it of and no parameter prepares.

Recovered means: over the samples 300 to 500 after the change, accuracy (mean of some streams) is
within two points of what it was before.
"""

import numpy as np
import pytest

from protoledger.gateway.learner import ImprovedILVQ, load_kernels

SEEDS = range(30)
CHANGES = {
    "labels change places": lambda xs, ys: (xs, (ys + 1) % 3),
    "every feature shifts": lambda xs, ys: (xs + 6, ys),
    "every feature shifts a little": lambda xs, ys: (xs + 1.5, ys),
    "one feature shifts far": lambda xs, ys: (xs + np.array([20, 0, 0, 0]), ys),
    "one feature has another scale": lambda xs, ys: (xs * np.array([50, 1, 1, 1]), ys),
    "features change sign": lambda xs, ys: (-xs, ys),
}


@pytest.fixture(autouse=True, scope="module")
def kernels(request):
    """Thirty streams each are much for numpy."""
    assert load_kernels(request.config.cache.mkdir("kernels"))


def blobs(seed, n):
    """Three classes of three clouds each, in four features; their overlap costs five per cent."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(9, 4)) * 2
    at = rng.integers(9, size=n)
    return centres[at] + 0.7 * rng.normal(size=(n, 4)), at % 3


def hits(xs, ys):
    model = ImprovedILVQ(4, 3)
    return model.learn_many(xs, ys) == ys, model.drifts


@pytest.mark.parametrize("change", CHANGES)
def test_recovers_within_500_samples(change):
    at, right = 1500, []
    for seed in SEEDS:
        xs, ys = blobs(seed, at + 500)
        after = CHANGES[change](xs[at:], ys[at:])
        stream = (np.concatenate(pair) for pair in zip((xs[:at], ys[:at]), after, strict=True))
        right.append(hits(*stream)[0])
    before = np.mean([one[at - 1000 : at] for one in right])
    after = np.mean([one[at + 300 :] for one in right])
    assert before > 0.93
    assert after > before - 0.02


def test_nothing_is_forgotten_while_nothing_drifts():
    assert [hits(*blobs(seed, 2000))[1] for seed in SEEDS] == [0] * len(SEEDS)


def test_labels_of_pure_noise_raise_no_alarm():
    xs, _ = blobs(0, 2000)
    assert hits(xs, np.random.default_rng(1).integers(3, size=2000))[1] == 0


def test_a_drift_is_counted_and_saved():
    xs, ys = blobs(0, 2000)
    model = ImprovedILVQ(4, 3)
    model.learn_many(xs[:1000], ys[:1000])
    model.learn_many(xs[1000:], (ys[1000:] + 1) % 3)
    assert model.drifts == 1
    assert model.samples == 2000
    twin = ImprovedILVQ.restore(model.state())
    assert (twin.drifts, twin.samples, twin.state()) == (1, 2000, model.state())


def test_what_is_true_after_a_drift_takes_most_of_the_room():
    """An alarm destroys nothing: what no sample comes near is not judged, and may stay."""
    xs, ys = blobs(0, 3000)
    model = ImprovedILVQ(4, 3, capacity=40)
    model.learn_many(xs[:1500], ys[:1500])
    model.learn_many(-xs[1500:] + 100, (ys[1500:] + 1) % 3)
    assert model.drifts >= 1
    far = model.prototypes().features.min(axis=1) > 50
    assert far.mean() > 0.6
