"""Prototypes filtered, clustered and gossiped: what is sent, to whom, and what comes of it."""

import numpy as np
import pytest

from protoledger.experiments.collaboration import Collaboration, WithoutSharing
from protoledger.experiments.streams import deal, split
from protoledger.experiments.studies import scale, ways
from protoledger.experiments.variants.sharing import SUCCESSOR, Offer, Sharing, make_sharing
from protoledger.experiments.variants.successor import (
    CROWD,
    FAR,
    LEFT,
    NEIGHBOURS,
    condensed,
    js_distance,
)
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.training.model import SiteModel

OTHERS = ("b", "c", "d", "e")


def book(seed, count=80, classes=(0, 1), shift=0.0):
    rng = np.random.default_rng(seed)
    ys = rng.choice(classes, count)
    xs = 0.3 + 0.4 * (ys[:, None] % 2) + 0.1 * rng.normal(size=(count, 2)) + shift
    return Codebook.from_prototypes(np.arange(count), ys, np.full(count, 3), xs, labels=4)


def taught(prototypes):
    """A gateway that has exactly these prototypes."""
    model = SiteModel(prototypes.form.features, prototypes.form.labels)
    for x, y in zip(prototypes.features(), prototypes.classes.tolist(), strict=True):
        model.learner.learn_one(x, y, margin=-1.0)
    return model


def offered(sharing, model, seed=0):
    return list(sharing.offer(model, OTHERS, np.random.default_rng(seed)))


def played(way, gateways=4, kind=Collaboration, seed=1):
    data = split("phishing", 1)
    run = kind(data, deal(data.y, gateways, 1), lambda: SiteModel(9, 2), sharing=way, seed=seed)
    for _ in run.play():
        pass
    run.flush()
    return run


def test_sets_are_near_if_alike_and_far_if_not():
    assert js_distance(book(1), book(1)) == 0
    assert js_distance(book(1), book(2)) < FAR / 2
    assert js_distance(book(1), book(2, shift=0.5)) > 0.9
    assert js_distance(book(1), book(2, classes=(2, 3))) == 1
    assert FAR / 2 < js_distance(book(1, classes=(0,)), book(2)) < 0.9
    assert js_distance(book(1), book(2)) == pytest.approx(js_distance(book(2), book(1)))


def test_the_distance_to_nothing_is_one():
    nothing = Codebook.empty(book(1).form)
    assert js_distance(book(1), nothing) == js_distance(nothing, book(1)) == 1
    assert js_distance(nothing, nothing) == 0


def test_clusters_keep_classes_and_weights_apart():
    whole = book(3)
    small = condensed(whole)
    assert 0.4 * len(whole) < len(small) <= LEFT * len(whole)
    for label in (0, 1):
        assert small.weights[small.classes == label].sum() == 3 * (whole.classes == label).sum()
    assert set(small.ids.tolist()) < set(whole.ids.tolist())
    assert js_distance(small, whole) < FAR


def test_few_prototypes_are_not_clustered_nor_those_of_classes_of_one():
    assert condensed(book(3, CROWD)) == book(3, CROWD)
    xs = np.linspace(0, 1, 60)[:, None]
    lone = Codebook.from_prototypes(range(60), range(60), [1] * 60, xs, labels=60)
    assert condensed(lone) == lone


def test_a_cluster_lacks_the_features_that_all_of_it_lack():
    xs = np.column_stack([np.linspace(0, 1, 60), np.full(60, np.nan)])
    xs[:2] = [[0.5, 0.25], [0.5, np.nan]]
    full = Codebook.from_prototypes(range(60), [0, 0] + [1] * 58, [1] * 60, xs, labels=2)
    features = condensed(full).features()
    assert np.isnan(features[1:, 1]).all()
    assert features[0].tolist() == [0.5, 0.25]


def test_gossip_goes_to_a_few_that_are_drawn():
    sharing, model = make_sharing("gossip"), taught(book(4))
    drawn = {offered(sharing, model, seed)[0].to for seed in range(30)}
    assert {len(to) for to in drawn} == {NEIGHBOURS}
    assert len(drawn) == 6  # each pair of four
    assert all(len(offered(sharing, model)[0].codebook) < len(book(4)) for _ in range(2))


def test_gossip_is_kept_from_those_that_know_it():
    sharing, model = make_sharing("gossip"), taught(book(4))
    for name in OTHERS:
        sharing.receive(model, name, book(5))
    assert offered(sharing, model) == []
    sharing.receive(taught(book(7)), "c", book(6, classes=(2, 3)))  # this model has not learnt it
    told = {name for seed in range(9) for one in offered(sharing, model, seed) for name in one.to}
    assert told == {"c"}


def test_gossip_all_goes_to_those_that_know_it_too():
    sharing, model = make_sharing("gossip-all"), taught(book(4))
    for name in OTHERS:
        sharing.receive(model, name, book(5))
    (only,) = offered(sharing, model)
    assert len(only.to) == NEIGHBOURS
    assert only.codebook == model.codebook()


def test_a_filtered_commit_waits_until_the_ledger_is_far():
    sharing, model = make_sharing("filtered"), taught(book(4))
    (first,) = offered(sharing, model)
    assert first.to is None
    model.commits.accepted(first.codebook, 1)
    assert offered(sharing, model) == []
    sharing.receive(model, "b", book(6, count=100, classes=(2, 3)))
    assert len(offered(sharing, model)) == 1


def test_who_has_learnt_nothing_offers_nothing():
    for way in SUCCESSOR:
        assert offered(make_sharing(way), SiteModel(2, 4)) == []


@pytest.mark.parametrize("way", SUCCESSOR)
def test_a_run_counts_what_is_sent(way):
    run = played(way)
    sent = run.sent()
    straight = way != "filtered"
    assert (sent["messages"] > 0, sent["commits"] > 0) == (straight, not straight)
    record = run.gateways[0].model.form.record_bytes
    assert sent["bytes_k"] * 1000 == sum(gateway.sent_bytes for gateway in run.gateways)
    if straight:
        assert all(gateway.sent_bytes % record == 0 for gateway in run.gateways)
    assert run.accuracy() > 0.8


def test_filter_and_clusters_send_less():
    assert played("gossip").sent()["bytes_k"] < played("gossip-all").sent()["bytes_k"] / 1.5


def test_the_seed_says_to_whom():
    first, again, other = (played("gossip", 6, seed=seed) for seed in (1, 1, 2))
    told = [[(g.messages, g.model.codebook()) for g in run.gateways] for run in (first, again)]
    assert told[0] == told[1]
    assert [g.model.codebook() for g in other.gateways] != [book for _, book in told[0]]


def test_without_sharing_nobody_hears_what_is_sent_straight():
    runs = [played(way, kind=WithoutSharing) for way in ("gossip", "union")]
    books = [[gateway.model.codebook() for gateway in run.gateways] for run in runs]
    assert books[0] == books[1]


@pytest.mark.parametrize("way", ["gossip-all", "filtered", "learn", "median"])
def test_a_branch_goes_on_as_the_run_does(way):
    """It draws the same, and learns nothing a second time."""
    data = split("phishing", 1)
    run = Collaboration(data, deal(data.y, 3, 1), lambda: SiteModel(9, 2), sharing=way, seed=3)
    for number in range(12):
        run.round(number)
    twin = run.branch()
    for one in (twin, run):
        for number in range(12, 16):
            one.round(number)
    books = [[gateway.model.codebook() for gateway in one.gateways] for one in (run, twin)]
    assert books[0] == books[1]
    assert twin.accuracy() == run.accuracy()


def test_one_offer_may_go_to_the_ledger_and_another_to_one_neighbour():
    class Both(Sharing):
        def offer(self, model, others, rng, *, owed=False):  # noqa: ARG002
            return [Offer(model.codebook()), Offer(model.codebook(), (others[0],))]

        def receive(self, model, owner, codebook):  # noqa: ARG002
            heard.append(owner)

    heard = []
    data = split("phishing", 1)
    run = Collaboration(data, deal(data.y, 3, 1), lambda: SiteModel(9, 2))
    for gateway in run.gateways:
        gateway.sharing = Both()
    run.learn(run.gateways[0], np.arange(20))
    run.offer(run.gateways[0])
    assert heard == ["gateway-00"] * 3  # two followers of the ledger, and one that was told
    assert (run.gateways[0].commits, run.gateways[0].messages) == (1, 1)


def test_studies_run_them():
    for study in (scale, ways):
        assert {job.way for job in study.jobs(0, True)} >= set(SUCCESSOR)
