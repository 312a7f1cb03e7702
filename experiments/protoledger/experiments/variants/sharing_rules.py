"""The rules that every way of sharing keeps; see `Sharing`.

python -m protoledger.conformance sharing my_package:MySharing
"""

import copy
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from protoledger.conformance import Suite, expect, plain
from protoledger.experiments.variants.sharing import Offer, Sharing
from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.training.model import SiteModel

FEATURES, LABELS, SAMPLES = 2, 3, 90
CENTRES = np.array([[0.2, 0.2], [0.8, 0.3], [0.5, 0.9]])

OTHERS = ("b", "c", "d")

Make = Callable[[], Sharing]


def _stream(seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    ys = rng.integers(LABELS, size=SAMPLES)
    return CENTRES[ys] + 0.05 * rng.normal(size=(SAMPLES, FEATURES)), ys


def _taught(seed: int, classes: tuple[int, ...] = (0, 1, 2)) -> SiteModel:
    model = SiteModel(FEATURES, LABELS)
    for x, y in zip(*_stream(seed), strict=True):
        if int(y) in classes:
            model.step(x, int(y))
    return model


def _right(sharing: Sharing, model: SiteModel) -> float:
    xs, ys = _stream(9)
    return float(np.mean(sharing.predict(model, xs) == ys))


def is_a_way_of_sharing(make: Make) -> None:
    """It is a subclass of Sharing that is made without arguments."""
    expect(isinstance(make(), Sharing), f"it made {make()!r}")


def offers_its_own_prototypes(make: Make) -> None:
    """It offers what it has learnt, as records, to the ledger or to others; twice the same."""
    told = []
    for _ in range(2):
        sharing, model, rng = make(), _taught(1), np.random.default_rng(5)
        found = [
            one for owed in (False, True) for one in sharing.offer(model, OTHERS, rng, owed=owed)
        ]
        expect(len(found) > 0, f"after {SAMPLES} samples it had nothing to offer")
        for one in found:
            expect(isinstance(one, Offer), f"it offered {one!r}")
            expect(one.codebook.form == model.form, f"it offered {one.codebook.form}")
            expect(set(one.to or ()) <= set(OTHERS), f"it offered something to {one.to}")
        told.append([(one.codebook, one.to) for one in found])
    expect(told[0] == told[1], "two runs offer otherwise")


def others_are_learnt_from(make: Make) -> None:
    """A gateway that has seen nothing answers as those whose codebooks it received."""
    sharing, model = make(), SiteModel(FEATURES, LABELS)
    for seed in (1, 2, 3):
        sharing.receive(model, f"owner-{seed}", _taught(seed).codebook())
    share = _right(sharing, model)
    expect(share > 0.8, f"{share:.0%} of its answers are right, 80 % are needed")


def predicts_a_class_a_row(make: Make) -> None:
    """A prediction is an integer for each row, −1 where nothing is known."""
    sharing, xs = make(), _stream(9)[0]
    for model in (SiteModel(FEATURES, LABELS), _taught(1)):
        found = sharing.predict(model, xs)
        expect(found.shape == (SAMPLES,), f"it returned shape {found.shape}")
        expect(found.dtype.kind == "i", f"it returned {found.dtype}")
        expect(bool(((found >= -1) & (found < LABELS)).all()), "a class is not declared")


def asking_changes_nothing(make: Make) -> None:
    """Two predictions in a row are the same, and change no state."""
    sharing, model = make(), _taught(1)
    sharing.receive(model, "b", _taught(2).codebook())
    xs = _stream(9)[0]
    first = sharing.predict(model, xs)
    state = model.state()
    expect(np.array_equal(sharing.predict(model, xs), first), "the second is another")
    expect(model.state() == state, "predict changed the gateway's model")


def goes_on_learning(make: Make) -> None:
    """A gateway that has received codebooks goes on learning and can be saved."""
    sharing, model = make(), _taught(1, classes=(0, 1))
    for round_ in range(3):
        sharing.receive(model, "b", _taught(2).codebook())
        for x, y in zip(*_stream(4 + round_), strict=True):
            model.step(x, int(y))
    share = _right(sharing, model)
    expect(share > 0.7, f"{share:.0%} of its answers are right, 70 % are needed")
    SiteModel.restore(model.state())


def takes_any_codebook(make: Make) -> None:
    """An empty codebook, the same one again, and one of false labels are taken without an error."""
    sharing, model = make(), _taught(1)
    book = _taught(2).codebook()
    for one in (Codebook.empty(RecordFormat(FEATURES, LABELS)), book, book, _turned(book)):
        sharing.receive(model, "b", one)
        sharing.predict(model, _stream(9)[0])


def is_deterministic(make: Make) -> None:
    """The same commits in the same order lead to the same answers."""
    told = []
    for _ in range(2):
        sharing, model = make(), _taught(1)
        for seed in (2, 3):
            sharing.receive(model, f"owner-{seed}", _taught(seed).codebook())
        told.append(sharing.predict(model, _stream(9)[0]).tolist())
    expect(told[0] == told[1], "two runs answer otherwise")


def is_each_gateways_own(make: Make) -> None:
    """A deep copy, as experiments branch off, shares nothing with the original."""
    sharing, model = make(), _taught(1)
    twin, other = copy.deepcopy(sharing), SiteModel.restore(model.state())
    twin.receive(other, "b", _turned(_taught(2).codebook()))
    fresh = make().predict(_taught(1), _stream(9)[0])
    expect(np.array_equal(sharing.predict(model, _stream(9)[0]), fresh), "the original changed")


def _turned(book: Codebook) -> Codebook:
    return Codebook.from_prototypes(
        book.ids, (book.classes + 1) % LABELS, book.weights, book.features(), labels=LABELS
    )


SUITE = Suite(
    plain,
    (
        is_a_way_of_sharing,
        offers_its_own_prototypes,
        others_are_learnt_from,
        predicts_a_class_a_row,
        asking_changes_nothing,
        goes_on_learning,
        takes_any_codebook,
        is_deterministic,
        is_each_gateways_own,
    ),
)
