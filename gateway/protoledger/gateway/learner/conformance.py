"""The rules that every learner keeps; `Classifier` says what each method does.

python -m protoledger.conformance learners my_package:Learner
"""

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protoledger.conformance import Suite, expect, expect_error, plain
from protoledger.gateway.errors import ModelStateError, SampleError
from protoledger.gateway.learner.base import Classifier, Floats

FEATURES, CLASSES, CAPACITY = 3, 3, 16
SAMPLES: Final = 160
NEEDED: Final = (
    "n_features",
    "n_classes",
    "revision",
    "engine",
    "takes_missing",
    "experts",
    "drifts",
    "learn_one",
    "learn_many",
    "opinions",
    "predict_one",
    "predict_many",
    "predict_proba_one",
    "prototypes",
    "live",
    "metric",
    "distances",
    "state",
)

Make = Callable[..., Classifier]


def _new(make: Make) -> Classifier:
    return make(FEATURES, CLASSES, capacity=CAPACITY)


def _stream(seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    centres = np.array([[0.2, 0.2, 0.5], [0.8, 0.2, 0.5], [0.5, 0.9, 0.5]])
    ys = rng.integers(CLASSES, size=SAMPLES)
    return centres[ys] + 0.08 * rng.normal(size=(SAMPLES, FEATURES)), ys


def _taught(make: Make, samples: int = SAMPLES) -> Classifier:
    model = _new(make)
    for x, y in zip(*(part[:samples] for part in _stream()), strict=True):
        model.learn_one(x, int(y))
    return model


def _decisions(model: Classifier, start: int) -> list[tuple[Any, ...]]:
    found = list[tuple[Any, ...]]()
    for x, y in zip(*(part[start:] for part in _stream()), strict=True):
        found.append((model.predict_one(x), model.predict_proba_one(x).tobytes()))
        model.learn_one(x, int(y))
    return found


def offers_everything(make: Make) -> None:
    """It is a class with all of Classifier, made by (n_features, n_classes, capacity=)."""
    model = _new(make)
    lacking = [name for name in NEEDED if not hasattr(model, name)]
    expect(not lacking, f"it has no {', '.join(lacking)}")
    expect(callable(getattr(make, "restore", None)), "it has no classmethod restore")
    shape = (model.n_features, model.n_classes)
    expect(shape == (FEATURES, CLASSES), f"n_features and n_classes are {shape}")
    expect(len(model.experts) >= 1, "it has no experts; the first are the prototypes")
    expect_error(ValueError, lambda: make(0, CLASSES), "a learner without features")


def knows_nothing_at_first(make: Make) -> None:
    """Before the first sample there is no prediction, and all shares are 0."""
    model, x = _new(make), np.zeros(FEATURES)
    expect(model.predict_one(x) is None, f"it predicts {model.predict_one(x)!r}")
    expect(model.predict_many([x]).tolist() == [-1], "predict_many is not −1")
    expect(not model.predict_proba_one(x).any(), "shares are not 0")
    expect(len(model.prototypes()) == 0, "it has prototypes")


def learns(make: Make) -> None:
    """Three clouds that lie apart are distinguished."""
    model = _taught(make)
    xs, ys = _stream(1)
    share = float(np.mean(model.predict_many(xs) == ys))
    expect(share > 0.9, f"{share:.0%} of a second stream are right, 90 % are needed")


def shares_are_a_vote(make: Make) -> None:
    """Shares sum to 1 and agree with the prediction and with the chosen expert's opinion."""
    model = _taught(make)
    for x in _stream(1)[0][:40]:
        shares, opinions = model.predict_proba_one(x), model.opinions(x)
        expect(shares.shape == (CLASSES,), f"shares have shape {shares.shape}")
        expect(abs(shares.sum() - 1) < 1e-9 and shares.min() >= 0, f"shares are {shares}")
        expect(model.predict_one(x) == shares.argmax(), "the prediction is not the largest share")
        form = (len(model.experts), CLASSES)
        expect(opinions.shares.shape == form, f"opinions have shape {opinions.shares.shape}")
        chosen = opinions.shares[opinions.chosen]
        expect(np.array_equal(chosen, shares), "the chosen opinion is not the shares")
        expect(opinions.awake.shape == form[:1], f"awake has shape {opinions.awake.shape}")


def many_are_as_one(make: Make) -> None:
    """learn_many and predict_many do what learn_one and predict_one do row by row."""
    xs, ys = _stream()
    one, many = _new(make), _new(make)
    told = [-1 if (found := one.predict_one(xs[0])) is None else found]
    one.learn_one(xs[0], int(ys[0]))
    for x, y in zip(xs[1:], ys[1:], strict=True):
        told.append(-1 if (found := one.predict_one(x)) is None else found)
        one.learn_one(x, int(y))
    expect(many.learn_many(xs, ys).tolist() == told, "learn_many predicts otherwise")
    expect(many.state() == one.state(), "learn_many leads to another state")
    each = [one.predict_one(x) for x in xs[:20]]
    expect(one.predict_many(xs[:20]).tolist() == each, "predict_many predicts otherwise")


def is_deterministic(make: Make) -> None:
    """The same samples lead to the same state, bit for bit, and asking changes nothing."""
    first, second = _taught(make), _taught(make)
    expect(first.state() == second.state(), "two learners of one stream differ")
    before = first.state()
    x = np.full(FEATURES, 0.4)
    for ask in (first.predict_one, first.predict_proba_one, first.opinions, first.distances):
        ask(x)
    first.prototypes(), first.metric(), first.live()
    expect(first.state() == before, "asking changed its state")


def refuses_bad_samples(make: Make) -> None:
    """A bad sample or label raises SampleError and changes nothing."""
    model = _taught(make, 60)
    before = model.state()
    good = [0.5] * FEATURES
    bad: list[tuple[Any, Any]] = [
        ([np.inf, 0, 0], 0), ([0, 0], 0), ([[0, 0, 0]], 0), (["a", 0, 0], 0), (None, 0),
        ([np.nan] * FEATURES, 0), (good, CLASSES), (good, -1), (good, 0.5), (good, True),
    ]  # fmt: skip
    if not model.takes_missing:
        bad.append(([np.nan, 0, 0], 0))
    for x, y in bad:
        expect_error(SampleError, partial(model.learn_one, x, y), f"learn_one({x}, {y})")
    expect_error(SampleError, lambda: model.predict_one([0.0]), "predict_one of one number")
    expect_error(SampleError, lambda: model.learn_many([good, good], [0]), "two rows, one label")
    expect(model.state() == before, "a refused sample changed the state")


def takes_missing_as_declared(make: Make) -> None:
    """If takes_missing is true, samples that lack features are learnt and predicted."""
    model = _taught(make, 60)
    if model.takes_missing:
        model.learn_one([np.nan, 0.2, 0.5], 0)
        expect(model.predict_one([0.2, np.nan, 0.5]) is not None, "it predicts nothing")


def keeps_no_array_of_the_caller(make: Make) -> None:
    """What it is given is copied, and what it gives is a copy."""
    model, x = _taught(make, 60), np.full(FEATURES, 0.3)
    model.learn_one(x, 0)
    before = model.state()
    x[:] = 99
    given = model.prototypes()
    for array in (given.features, given.weights, model.predict_proba_one(x * 0), model.metric()):
        array[:] = 0
    expect(model.state() == before, "a caller's array is the learner's")


def prototypes_are_as_declared(make: Make) -> None:
    """prototypes(), live(), metric() and distances() agree, with the declared types."""
    model = _taught(make)
    given, live, metric = model.prototypes(), model.live(), model.metric()
    types = [array.dtype.str[1:] for array in (given.ids, given.classes, given.weights)]
    expect(types == ["u2", "u1", "u2"], f"ids, classes and weights are {types}")
    expect(bool((np.diff(given.ids.astype(int)) > 0).all()), "ids are not ascending")
    expect(int(given.classes.max()) < CLASSES, "a class is not declared")
    expect(metric.shape == (FEATURES,) and bool((metric >= 0).all()), f"the metric is {metric}")
    here = sorted(map(tuple, live.features.tolist()))
    expect(here == sorted(map(tuple, given.features.tolist())), "live() has other places")
    x = np.full(FEATURES, 0.4)
    wanted = (metric * (live.features - x) ** 2).sum(axis=1)
    close = np.allclose(model.distances(x), wanted)
    expect(close, "distances are not by metric, or not in live order")


def revision_tells_of_rows(make: Make) -> None:
    """The revision grows whenever prototypes come or go."""
    model = _new(make)
    for x, y in zip(*_stream(), strict=True):
        before = model.revision, model.live().classes.copy()
        model.learn_one(x, int(y))
        if not np.array_equal(before[1], model.live().classes):
            expect(model.revision > before[0], f"rows changed, the revision stayed {before[0]}")


def is_restored(make: Make) -> None:
    """A restored learner goes on as the saved one, wherever in the stream."""
    for cut in (0, 1, 50, 120):
        model = _taught(make, cut)
        twin = make.restore(model.state())  # type: ignore[attr-defined]
        expect(twin.state() == model.state(), f"after {cut} samples, the state is another")
        same = _decisions(twin, cut) == _decisions(model, cut)
        expect(same and twin.state() == model.state(), f"after {cut} samples, it goes on otherwise")


def refuses_damaged_states(make: Make) -> None:
    """A damaged state raises ModelStateError."""
    state = _taught(make, 60).state()
    restore = make.restore  # type: ignore[attr-defined]
    for bad in (b"", state[:-1], state + b"\0", b"\x80", state[: len(state) // 2]):
        expect_error(ModelStateError, partial(restore, bad), f"{len(bad)} bytes")


def _pickled(model: Classifier) -> Classifier:
    copied: Classifier = pickle.loads(pickle.dumps(model))  # noqa: S301 - its own
    return copied


def is_copied(make: Make) -> None:
    """copy, deepcopy and pickle give a learner of its own that goes on as the original."""
    for way in (copy.copy, copy.deepcopy, _pickled):
        model = _taught(make, 80)
        twin, before = way(model), model.state()
        gone_on = _decisions(twin, 80)
        expect(model.state() == before, "what the copy learnt changed the original")
        expect(gone_on == _decisions(model, 80), "the copy goes on otherwise")


SUITE = Suite(
    plain,
    (
        offers_everything,
        knows_nothing_at_first,
        learns,
        shares_are_a_vote,
        many_are_as_one,
        is_deterministic,
        refuses_bad_samples,
        takes_missing_as_declared,
        keeps_no_array_of_the_caller,
        prototypes_are_as_declared,
        revision_tells_of_rows,
        is_restored,
        refuses_damaged_states,
        is_copied,
    ),
)
