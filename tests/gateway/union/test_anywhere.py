"""`anywhere` is a question about rows from any site: what a site cannot tell by itself, owners can.

Rooms differ by the channel that tells the classes apart; in each room another one never varies.
"""

import numpy as np
import pytest

from protoledger.gateway.learner.base import Live
from protoledger.gateway.training.model import SiteModel
from protoledger.gateway.union.elsewhere import between, metric_of
from protoledger.gateway.union.influence import References, own_references

ROOMS = ((0, 1), (1, 0))
"""Of each room: the channel that tells, and the one that never varies."""


def room(samples, seed, tells, still):
    rng = np.random.default_rng(seed)
    ys = rng.integers(2, size=samples)
    xs = rng.random((samples, 3))
    xs[:, tells] = 0.3 + 0.4 * ys + 0.1 * rng.normal(size=samples)
    xs[:, still] = 0.5
    return xs, ys


def taught(seed):
    models = [SiteModel(3, 2) for _ in ROOMS]
    for site, (model, kind) in enumerate(zip(models, ROOMS, strict=True)):
        for x, y in zip(*room(150, 10 * seed + site, *kind), strict=True):
            model.step(x, int(y))
    return models


def all_rooms(seed):
    held = [room(60, 100 + 10 * seed + site, *kind) for site, kind in enumerate(ROOMS)]
    return np.concatenate([xs for xs, _ in held]), np.concatenate([ys for _, ys in held])


def right(model, rows, answer):
    xs, ys = rows
    found = [getattr(model.answer(x), answer) for x in xs]
    return float(np.mean(np.array(found) == ys))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_anywhere_is_better_than_both_owners_where_each_knows_one_room(seed):
    models, rows = taught(seed), all_rooms(seed)
    own = [(rows[0][part], rows[1][part]) for part in (slice(60), slice(60, None))]
    alone = [right(model, rows, "label") for model in models]
    at_home = [right(model, there, "label") for model, there in zip(models, own, strict=True)]
    books = [model.codebook() for model in models]
    for site, model in enumerate(models):
        model.union.set("other", books[1 - site])
        model.settle()
        assert right(model, rows, "anywhere") > max(alone) + 0.1
        assert right(model, own[site], "label") > at_home[site] - 0.06
        snapshot = model.snapshot().predict_many(rows[0])
        assert np.mean(snapshot == rows[1]) == right(model, rows, "anywhere")


def test_a_restored_site_answers_anywhere_as_before():
    models, rows = taught(3), all_rooms(3)
    models[0].union.set("other", models[1].codebook())
    models[0].state()  # judges again from then on, as the restored one does
    again = SiteModel.restore(models[0].state())
    again.union.set("other", models[1].codebook())
    for model in (models[0], again):
        model.settle()
    assert [models[0].answer(x).anywhere for x in rows[0]] == [
        again.answer(x).anywhere for x in rows[0]
    ]


def test_a_channel_that_a_sample_lacks_weighs_nothing_anywhere():
    models = taught(4)
    models[0].union.set("other", models[1].codebook())
    models[0].settle()
    lacking = np.array([0.3, np.nan, 0.5])
    assert models[0].answer(lacking).anywhere == 0


def test_prototypes_tell_nothing_without_two_classes():
    places = np.random.default_rng(0).random((5, 2))
    assert metric_of([References("a", places, np.zeros(5, np.int64), np.ones(5))], 2) is None
    assert metric_of([], 2) is None
    empty = own_references(Live(np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 2))))
    assert metric_of([empty], 2) is None


@pytest.mark.parametrize("lacks", [False, True])
def test_the_metric_is_the_same_in_whatever_order_owners_come(lacks):
    rng = np.random.default_rng(1)
    books = []
    for owner in "abc":
        places = rng.random((700, 3))
        classes = (places[:, 0] > 0.5).astype(np.int64)
        if lacks and owner == "b":
            places[:, 2] = np.nan
        books.append(References(owner, places, classes, 1 + rng.random(700)))
    found = metric_of(books, 2)
    assert np.isfinite(found).all()
    assert found[0] > 2 * max(found[1:])
    np.testing.assert_allclose(found, metric_of(books[::-1], 2), rtol=1e-9)
    assert (between(np.zeros(3), found) == found).all()
