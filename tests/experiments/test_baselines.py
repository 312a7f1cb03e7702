"""Defences that others published, adapted to codebooks: what they hold off, and what they cost."""

import numpy as np
import pytest
from sklearn.cluster import HDBSCAN
from sklearn.metrics.pairwise import cosine_distances

from protoledger.conformance import failures
from protoledger.experiments.studies import poison, scale
from protoledger.experiments.variants.baselines import foolsgold, krum, majority, scores
from protoledger.experiments.variants.sharing import (
    BASELINES,
    SHARING,
    SUCCESSOR,
    UNION,
    make_sharing,
)
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.training.model import SiteModel

CENTRES = np.array([[0.2, 0.2], [0.8, 0.3], [0.5, 0.9]])


def rows(seed, count=90):
    rng = np.random.default_rng(seed)
    ys = rng.integers(len(CENTRES), size=count)
    return CENTRES[ys] + 0.05 * rng.normal(size=(count, 2)), ys


def taught(seed, classes=(0, 1, 2)):
    model = SiteModel(2, 3)
    for x, y in zip(*rows(seed), strict=True):
        if y in classes:
            model.step(x, int(y))
    return model


def turned(book):
    """The same places with wrong labels, as heavy as can be."""
    heavy = np.full(len(book), 65_535)
    return Codebook.from_prototypes(
        book.ids, (book.classes + 1) % 3, heavy, book.features(), labels=3
    )


def right(sharing, model, only=(0, 1, 2)):
    xs, ys = rows(9)
    asked = np.isin(ys, only)
    return np.mean(sharing.predict(model, xs[asked]) == ys[asked])


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_keeps_the_rules_of_sharing(name):
    kind = type(make_sharing(name))
    assert failures("sharing", f"{kind.__module__}:{kind.__name__}") == []


@pytest.mark.parametrize("name", ["median", "krum", "flame"])
def test_one_liar_among_four_changes_nothing(name):
    sharing, model = make_sharing(name), taught(1)
    for seed in (2, 3):
        sharing.receive(model, f"honest-{seed}", taught(seed).codebook())
    before = right(sharing, model)
    sharing.receive(model, "liar", turned(taught(4).codebook()))
    assert before > 0.95
    assert right(sharing, model) >= before - 0.02


def test_liars_that_say_the_same_count_for_nothing_with_foolsgold():
    sharing, model = make_sharing("foolsgold"), taught(1)
    for seed, classes in ((2, (0, 1)), (3, (1, 2))):  # honest ones that differ
        sharing.receive(model, f"honest-{seed}", taught(seed, classes).codebook())
    lie = turned(taught(4).codebook())
    for name in ("liar-1", "liar-2", "liar-3"):
        sharing.receive(model, name, lie)
    assert right(sharing, model) > 0.95


def test_what_few_know_the_median_forgets():
    """Its price where sites differ: a class that one owner of four knows has a median of 0."""
    sharing, model = make_sharing("median"), taught(1, (0, 1))
    for seed in (2, 3):
        sharing.receive(model, f"honest-{seed}", taught(seed, (0, 1)).codebook())
    sharing.receive(model, "other", taught(4, (2,)).codebook())
    assert right(sharing, model, only=(0, 1)) > 0.95
    assert right(sharing, model, only=(2,)) == 0


def test_scores_know_only_the_classes_of_the_codebook():
    book = Codebook.from_prototypes([0, 1], [0, 2], [5, 5], [[0.0, np.nan], [1.0, 1.0]], labels=4)
    found = scores(book, rows(1)[0], np.ones(2))
    assert found.sum(axis=1) == pytest.approx(1)
    assert not found[:, [1, 3]].any()


def test_krum_takes_one_of_the_many_that_agree():
    rng = np.random.default_rng(4)
    honest, false = 0.1 * rng.normal(size=(6, 8)), 3 + rng.normal(size=(3, 8))
    assert krum(np.concatenate([false, honest])) >= 3
    assert krum(honest[:1]) == 0


def test_foolsgold_leaves_alone_who_is_like_nobody():
    assert foolsgold(np.eye(3)).tolist() == [1, 1, 1]
    assert foolsgold(np.ones((1, 4))).tolist() == [1]
    assert foolsgold(np.ones((2, 4))).tolist() == [1, 1]  # nobody is left: all alike, all count


def test_flames_majority_is_what_hdbscan_finds():
    rng = np.random.default_rng(7)
    for _ in range(40):
        count = int(rng.integers(3, 12))
        false = int(rng.integers(0, count // 2 + 1))
        vectors = rng.normal(size=(count, 6)) + np.where(np.arange(count) < false, -2, 1)[:, None]
        found = HDBSCAN(
            min_cluster_size=count // 2 + 1,
            min_samples=1,
            allow_single_cluster=True,
            metric="precomputed",
            copy=True,
        ).fit(cosine_distances(vectors))
        assert majority(vectors).tolist() == (found.labels_ == 0).tolist()
    assert majority(np.array([[1.0], [-1.0]])).all()  # of two there is no majority but both


def test_flame_lets_nobody_shout():
    """Who is let in counts no more than the median, however sure it is."""
    sharing = make_sharing("flame")
    sure = np.array([[0.5, 0.5], [0.4, 0.6], [0.0, 1.0]])[:, None]
    joined = sharing._joined(sure, sure, own=True)
    assert joined[0, 1] == pytest.approx(0.6, abs=0.01)  # the median's, and not the mean, 0.7


def test_studies_run_them_beside_ours():
    assert set(BASELINES) < set(SHARING.names())
    assert {job.way for job in scale.jobs(0, True)} >= {UNION, *BASELINES}
    assert {job.way for job in poison.jobs(0, True)} == {UNION, *BASELINES, SUCCESSOR[0]}
    assert {job.defence for job in poison.jobs(0, True)} == {
        "on",
        "off",
        *BASELINES,
        SUCCESSOR[0],
    }


def test_a_site_that_is_asked_of_itself_is_answered_with_the_defence_too():
    sharing, model = make_sharing("median"), taught(1, (0, 1))
    xs, _ys = rows(9)
    for seed in (2, 3, 4):
        sharing.receive(model, f"honest-{seed}", taught(seed).codebook())
    assert sharing.predict_here(model, xs).tolist() == sharing.predict(model, xs).tolist()
    assert 2 in sharing.predict_here(model, xs)
