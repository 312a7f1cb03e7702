"""Attacks of a malicious gateway: codebooks that it may commit, and errors in its data.

A codebook attack knows all honest codebooks. Its weights are the largest that a record can hold,
except in `swapped`, which keeps the attacker's honest prototypes and weights and changes only their
labels. Others add attacks by entry points in the group `protoledger.attacks`: a subclass of
`CodebookAttack` or `DataAttack` that is made without arguments.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.learner.base import Floats
from protoledger.plugins import BrokenPluginError, Group

HEAVIEST: Final = 65_535
AGENTS: Final = 6
"""Agents of a site of which one reports false readings."""
MANY: Final = 128


class CodebookAttack(ABC):
    """A gateway that commits something else than it has learnt."""

    @abstractmethod
    def codebook(
        self, own: Codebook, others: Sequence[Codebook], rng: np.random.Generator
    ) -> Codebook:
        """Return the codebook that the attacker commits.

        Args:
            own: The attacker's own prototypes, honestly learnt.
            others: The codebooks that honest gateways have committed.
            rng: The only source of randomness.
        """


class DataAttack(ABC):
    """A gateway that learns honestly from false samples."""

    @abstractmethod
    def sample(
        self, x: Floats, y: int, labels: int, rng: np.random.Generator
    ) -> tuple[Floats, int]:
        """Return the sample and label that the gateway sees instead of the honest ones.

        Args:
            x: (d,) the sample, each channel in 0 to 1; not to be written to.
            y: Its class index.
            labels: Number of classes.
            rng: The only source of randomness.
        """


class Swapped(CodebookAttack):
    """Its own prototypes, each with the next label."""

    def codebook(
        self,
        own: Codebook,
        others: Sequence[Codebook],  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Codebook:
        """Return its own codebook with other labels."""
        return _book(own.features(), (own.classes + 1) % own.form.labels, own, own.weights)


class Scattered(CodebookAttack):
    """Random places and labels."""

    def codebook(
        self,
        own: Codebook,
        others: Sequence[Codebook],  # noqa: ARG002
        rng: np.random.Generator,
    ) -> Codebook:
        """Return random prototypes."""
        form = own.form
        return _book(rng.random((MANY, form.features)), rng.integers(form.labels, size=MANY), own)


class Boundary(CodebookAttack):
    """Prototypes between two classes, on the side of one with the label of the other."""

    def codebook(
        self, own: Codebook, others: Sequence[Codebook], rng: np.random.Generator
    ) -> Codebook:
        """Return prototypes near the boundaries of all that is known."""
        known = _known(own, others)
        return own if known is None else _book(*_boundary(*known, rng), own)


class Flood(CodebookAttack):
    """As many false prototypes as a ledger takes, where honest ones are."""

    wrong_share = 1.0

    def codebook(
        self, own: Codebook, others: Sequence[Codebook], rng: np.random.Generator
    ) -> Codebook:
        """Return a full codebook."""
        known, form = _known(own, others), own.form
        if known is None:
            return own
        x, y = known
        rows = rng.integers(len(x), size=form.max_records)
        label = (y[rows] + rng.integers(1, form.labels, size=len(rows))) % form.labels
        if self.wrong_share < 1:
            label = np.where(rng.random(len(rows)) < self.wrong_share, label, y[rows])
        return _book(x[rows] + 0.02 * rng.normal(size=(len(rows), form.features)), label, own)


class MixedFlood(Flood):
    """The same, where four of five have the right label."""

    wrong_share = 0.2


class _Flipped(DataAttack):
    """Some labels are wrong."""

    share: float

    def sample(
        self, x: Floats, y: int, labels: int, rng: np.random.Generator
    ) -> tuple[Floats, int]:
        """Return the sample, and at times another label."""
        if rng.random() < self.share:
            y = int((y + rng.integers(1, labels)) % labels)
        return x, y


class Flipped1(_Flipped):
    """1 % of the labels are wrong."""

    share = 0.01


class Flipped2(_Flipped):
    """2 % of the labels are wrong."""

    share = 0.02


class Flipped10(_Flipped):
    """10 % of the labels are wrong."""

    share = 0.1


class LyingAgent(DataAttack):
    """An agent reports, for each channel, the end of the range that is farther from the truth.

    That is the largest error that is not refused. The gateway sees the mean over all agents.
    """

    def sample(
        self,
        x: Floats,
        y: int,
        labels: int,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> tuple[Floats, int]:
        """Return the mean that one liar has moved."""
        extreme = np.where(x < 0.5, 1.0, 0.0)
        return x + (extreme - x) / AGENTS, y


_CODEBOOK: Final = {
    "swapped": Swapped,
    "random": Scattered,
    "boundary": Boundary,
    "flood": Flood,
    "mixed flood": MixedFlood,
}
_DATA: Final = {
    "1 % flipped": Flipped1,
    "2 % flipped": Flipped2,
    "10 % flipped": Flipped10,
    "lying agent": LyingAgent,
}
ATTACKS: Final = Group(
    "protoledger.attacks",
    "attack",
    {name: f"{__name__}:{kind.__name__}" for name, kind in {**_CODEBOOK, **_DATA}.items()},
)


def codebook_attacks() -> tuple[str, ...]:
    """Return the names of all attacks by codebooks, the built-in ones first."""
    return (*_CODEBOOK, *(name for name in ATTACKS.added() if _is_a(name, CodebookAttack)))


def data_attacks() -> tuple[str, ...]:
    """Return the names of all attacks by false samples, the built-in ones first."""
    return (*_DATA, *(name for name in ATTACKS.added() if _is_a(name, DataAttack)))


def make_attack(name: str) -> CodebookAttack | DataAttack:
    """Return an attack by its name.

    Raises:
        UnknownPluginError: there is none of this name; the message lists those that are installed.
        BrokenPluginError: it cannot be imported, or is of neither kind.
    """
    kind: Any = ATTACKS.find(name)
    if not (isinstance(kind, type) and issubclass(kind, CodebookAttack | DataAttack)):
        raise BrokenPluginError(
            f"attack {name!r} is {kind!r}: it must be a subclass of CodebookAttack or DataAttack"
        )
    made: CodebookAttack | DataAttack = kind()
    return made


def _is_a(name: str, kind: type) -> bool:
    return isinstance(make_attack(name), kind)


def _known(
    own: Codebook, others: Sequence[Codebook]
) -> tuple[NDArray[np.float64], NDArray[np.int64]] | None:
    known = [book for book in (own, *others) if len(book)]
    if not known:
        return None
    x = np.concatenate([book.features() for book in known])
    return x, np.concatenate([book.classes for book in known])


def _boundary(
    x: NDArray[np.float64], y: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Place prototypes between two classes, on the side of one with the label of the other."""
    places, labels = list[NDArray[np.float64]](), list[int]()
    for row in rng.integers(len(x), size=MANY):
        others = np.flatnonzero(y != y[row])
        if len(others):
            nearest = others[((x[others] - x[row]) ** 2).sum(axis=1).argmin()]
            share = rng.uniform(0.25, 0.5)
            places.append(x[row] * (1 - share) + x[nearest] * share)
            labels.append(int(y[nearest]))
    return np.array(places).reshape(-1, x.shape[1]), np.array(labels, np.int64)


def _book(
    x: NDArray[np.float64],
    y: NDArray[np.int64],
    like: Codebook,
    weights: NDArray[np.int64] | None = None,
) -> Codebook:
    heavy = np.full(len(x), HEAVIEST) if weights is None else weights
    return Codebook.from_prototypes(np.arange(len(x)), y, heavy, x, labels=like.form.labels)
