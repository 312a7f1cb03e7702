"""Owners' sensors that read something else: their prototypes are shifted before they vote here.

Two classes that no line parts, each of two clouds; a displaced owner's reach into the wrong ones.
"""

import numpy as np
import pytest

from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.training.history.explanation import explain
from protoledger.gateway.training.history.gains import gains
from protoledger.gateway.training.history.provenance import Provenance
from protoledger.gateway.training.model import SiteModel
from protoledger.gateway.union.alignment import (
    ERRORS,
    FARTHEST,
    ClassMoments,
    aligned,
    borne_out,
    shift,
)
from protoledger.gateway.union.influence import References
from protoledger.gateway.union.recent import RecentSamples

CLOUDS = np.array([[0.35, 0.35], [0.35, 0.5], [0.5, 0.35], [0.5, 0.5]])
LABELS = np.array([0, 1, 1, 0])


def rows(samples, seed, offset=(0.0, 0.0)):
    rng = np.random.default_rng(seed)
    clouds = rng.integers(len(CLOUDS), size=samples)
    return CLOUDS[clouds] + offset + 0.045 * rng.normal(size=(samples, 2)), LABELS[clouds]


def taught(samples, seed, offset=(0.0, 0.0)):
    model = SiteModel(2, 2)
    for x, y in zip(*rows(samples, seed, offset), strict=True):
        model.step(x, int(y))
    return model


def book(places, classes, owner="b", wins=9.0):
    return References(owner, places, classes, np.full(len(places), np.sqrt(wins)))


def shift_of(own, other, classes):
    return shift(*(ClassMoments.of(each, classes) for each in (own, other)))


def join(model, codebook):
    """Let an owner come that was not there before: nothing is held back."""
    model.union.set("b", None)
    model.union.set("b", codebook)
    model.settle()


def right(model, held):
    return float(np.mean([model.predict_one(x) == y for x, y in zip(*held, strict=True)]))


@pytest.fixture(scope="module")
def displaced():
    """A site with few samples, and what an owner with many has committed, from further on."""
    return taught(60, 8), taught(400, 2, (0.05, 0.0)).codebook()


def test_a_displaced_owner_helps_as_one_that_stands_here(displaced):
    model, far = displaced
    held = rows(400, 3)
    model.union.set("b", None)
    model.settle()
    alone = right(model, held)
    join(model, far)
    assert model.union.shifts["b"] == pytest.approx([-0.05, 0], abs=0.02)
    helped = right(model, held)
    join(model, taught(400, 2).codebook())
    assert np.abs(model.union.shifts["b"]).max() < 0.03
    assert helped > alone + 0.02
    assert helped > right(model, held) - 0.02


def test_what_is_shown_is_what_votes(displaced, tmp_path):
    model, far = displaced
    join(model, far)
    (here,), (there,) = model.union.books_here, model.union.books
    assert here.features - there.features == pytest.approx(
        np.tile(model.union.shifts["b"], (len(here.features), 1))
    )
    x = np.array([0.43, 0.36])
    told = explain(model, x, Provenance(tmp_path / "none.db", model.form))
    answer = model.answer(x)
    assert (told["answer"], told["expert"]) == (answer.label, "here")
    by_class = np.bincount(
        [voter["class"] for voter in told["nearest"]],
        [voter["share"] for voter in told["nearest"]],
        2,
    )
    likely = model.as_answered(by_class, "here")
    assert likely == pytest.approx(answer.probabilities, abs=1e-3)
    found = gains(model)
    assert found["owners"]["b"] == pytest.approx(found["together"] - found["alone"], abs=1e-4)


def test_a_restored_site_shifts_as_before(displaced):
    model, far = displaced
    join(model, far)
    model.state()  # judges again from then on, as the restored one does
    again = SiteModel.restore(model.state())
    again.union.set("b", far)
    for each in (model, again):
        each.settle()
    assert (model.union.shifts["b"] == again.union.shifts["b"]).all()
    held, _ = rows(50, 4)
    assert [again.predict_one(x) for x in held] == [model.predict_one(x) for x in held]


def test_anywhere_is_asked_of_owners_as_they_are(displaced):
    model, far = displaced
    join(model, far)
    (there,) = model.union.books
    voting = set(map(tuple, model.snapshot().panel.columns.T))
    assert set(map(tuple, there.features)) <= voting
    assert set(map(tuple, there.features)) <= set(map(tuple, far.features()))


@pytest.mark.parametrize("classes", [2, 5])
def test_owners_that_turn_the_labels_are_not_shifted(classes):
    rng = np.random.default_rng(5)
    means = rng.random((classes, 3))
    labels = np.repeat(np.arange(classes), 20)
    own = book(means[labels] + 0.02 * rng.normal(size=(len(labels), 3)), labels)
    other = book(means[labels] + 0.02 * rng.normal(size=(len(labels), 3)), (labels + 1) % classes)
    assert shift_of(own, other, classes) == pytest.approx(np.zeros(3), abs=0.02)


def test_chance_shifts_nobody():
    labels = np.repeat([0, 1], 32)
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        own, other = (book(rng.normal(size=(64, 4)), labels, wins=1.0) for _ in range(2))
        found.append(shift_of(own, other, 2))
    shifted = np.array(found)
    assert (shifted != 0).mean() < 0.12  # two classes may agree by chance, too
    assert np.abs(shifted).mean() < ERRORS * np.sqrt(2 / 64) / 20


def test_a_shift_is_bounded_and_by_channel():
    labels = np.repeat([0, 1], 10)
    places = np.random.default_rng(6).normal(size=(20, 3)) * 0.01 + labels[:, None]
    other = places + np.array([3.0, 0.0, 0.0])
    other[:, 2] = np.nan  # the owner never had that channel
    found = shift_of(book(places, labels), book(other, labels), 2)
    assert found.tolist() == [-FARTHEST, 0.0, 0.0]


def test_nobody_is_shifted_by_classes_that_are_not_shared():
    own, other = book(np.zeros((5, 1)), np.zeros(5, int)), book(np.ones((5, 1)), np.ones(5, int))
    assert shift_of(own, other, 2).tolist() == [0.0]
    assert shift_of(book(np.zeros((0, 1)), np.zeros(0, int)), other, 2).tolist() == [0.0]


def test_codebooks_of_a_ledger_are_shifted_as_they_are_written():
    """A commit writes int16 records; what that rounds is no shift."""
    model = taught(200, 7)
    own = model.codebook()
    model.union.set("b", Codebook.decode(own.encode(), own.form))
    model.settle()
    assert model.union.shifts["b"].tolist() == [0.0, 0.0]


def test_a_shift_is_no_way_around_trust():
    """Far from all others a codebook harms nobody; shifted among them it would."""
    rng = np.random.default_rng(9)
    labels = np.repeat([0, 1], 40)
    places = np.array([[0.4], [0.5]])[labels] + 0.01 * rng.normal(size=(80, 1))
    own = book(places, labels, "")
    honest = book(places + 0.2, labels, "honest")
    apart = np.where(np.arange(80) % 2, 0.5, 0.1)[:, None]
    far = np.concatenate([places + apart, places + 0.3])
    weights = np.concatenate([np.full(80, 60.0), np.full(80, 9.0)])
    hidden = References("hidden", far, np.concatenate([labels, 1 - labels]), weights)
    assert shift_of(own, hidden, 2) == pytest.approx([-0.3], abs=0.02)
    found = aligned(own, [honest, hidden], np.array([3000.0]), 2)
    assert found["honest"] == pytest.approx([-0.2], abs=0.01)
    assert found["hidden"].tolist() == [0.0]


def seen_by(site, ys):
    """What a site has seen lately, with prototypes of its own nowhere."""
    recent = RecentSamples(2)
    for x, y in zip(site, ys, strict=True):
        recent.add(x, int(y), np.zeros(0), np.zeros(0, np.int64), np.zeros(0))
    return recent


def in_spells(samples, seed, length, offset=(0.0, 0.0)):
    """Such rows, so many of a label at a time."""
    xs, ys = rows(samples, seed, offset)
    turns = [np.flatnonzero(ys == label) for label in (0, 1)]
    spells = [np.array_split(turn, len(turn) // length) for turn in turns]
    order = np.concatenate([spell for both in zip(*spells, strict=False) for spell in both])
    return xs[order], ys[order]


def test_spells_are_about_one_by_chance_and_as_long_as_they_are():
    by_chance = [seen_by(*rows(200, seed)).spells for seed in range(20)]
    assert 0.8 < min(by_chance) < 1.0 < max(by_chance) < 1.25
    assert seen_by(*in_spells(200, 1, 20)).spells > 8
    one_label = seen_by(np.zeros((100, 2)), np.zeros(100))
    assert 2 < one_label.spells < 3
    assert RecentSamples(2).spells == 1.0


@pytest.mark.parametrize(("offset", "kept"), [((0.12, 0.0), True), ((0.0, 0.0), False)])
def test_where_labels_come_in_spells_a_shift_must_be_borne_out(offset, kept):
    """Half of the time the site's samples say that the codebook stands elsewhere, half that not."""
    there = book(CLOUDS[np.repeat(np.arange(4), 5)], LABELS[np.repeat(np.arange(4), 5)])
    found = {"b": np.array([0.12, 0.0])}
    for site, spells in ((rows(200, 3, offset), False), (in_spells(200, 3, 20, offset), True)):
        shifts = borne_out(found, [there], seen_by(*site), np.full(2, 400.0), 2)
        assert shifts["b"].any() == (kept or not spells)
