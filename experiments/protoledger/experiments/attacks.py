"""What a gateway that turned bad may commit, and what may be wrong with its data.

Codebook attacks know all honest codebooks. Weights are the largest that a record holds, except in
`swapped`, which keeps the attacker's own honest prototypes and weights and only turns the labels.
"""

from collections.abc import Sequence
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.codebook.codebook import Codebook

CodebookAttack = Literal["swapped", "random", "boundary", "flood", "mixed flood"]
DataAttack = Literal["1 % flipped", "2 % flipped", "10 % flipped", "lying agent"]
CODEBOOK_ATTACKS: Final[tuple[CodebookAttack, ...]] = get_args(CodebookAttack)
DATA_ATTACKS: Final[tuple[DataAttack, ...]] = get_args(DataAttack)
HEAVIEST: Final = 65_535
AGENTS: Final = 6
"""Of a site whose one agent lies."""
MANY: Final = 128


def codebook(
    attack: CodebookAttack, own: Codebook, others: Sequence[Codebook], rng: np.random.Generator
) -> Codebook:
    """Return what the attacker commits.

    Args:
        attack: which.
        own: its own prototypes, honestly learnt.
        others: what the honest have committed.
        rng: decides the rest.
    """
    form, labels = own.form, own.form.labels
    if attack == "swapped":
        return _book(own.features(), (own.classes + 1) % labels, own, own.weights)
    if attack == "random":
        return _book(rng.random((MANY, form.features)), rng.integers(labels, size=MANY), own)
    known = [book for book in (own, *others) if len(book)]
    if not known:
        return own
    x = np.concatenate([book.features() for book in known])
    y = np.concatenate([book.classes for book in known])
    if attack == "boundary":
        return _book(*_boundary(x, y, rng), own)
    rows = rng.integers(len(x), size=form.max_records)
    wrong = (y[rows] + rng.integers(1, labels, size=len(rows))) % labels
    if attack == "mixed flood":  # four of five are right
        wrong = np.where(rng.random(len(rows)) < 0.2, wrong, y[rows])
    return _book(x[rows] + 0.02 * rng.normal(size=(len(rows), form.features)), wrong, own)


def _boundary(
    x: NDArray[np.float64], y: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Between prototypes of two classes, on the side of the one, with the label of the other."""
    places, labels = list[NDArray[np.float64]](), list[int]()
    for row in rng.integers(len(x), size=MANY):
        foes = np.flatnonzero(y != y[row])
        if len(foes):
            foe = foes[((x[foes] - x[row]) ** 2).sum(axis=1).argmin()]
            share = rng.uniform(0.25, 0.5)
            places.append(x[row] * (1 - share) + x[foe] * share)
            labels.append(int(y[foe]))
    return np.array(places).reshape(-1, x.shape[1]), np.array(labels, np.int64)


def _book(
    x: NDArray[np.float64],
    y: NDArray[np.int64],
    like: Codebook,
    weights: NDArray[np.int64] | None = None,
) -> Codebook:
    heavy = np.full(len(x), HEAVIEST) if weights is None else weights
    return Codebook.from_prototypes(np.arange(len(x)), y, heavy, x, labels=like.form.labels)


def sample(
    attack: DataAttack, x: NDArray[np.float64], y: int, labels: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], int]:
    """Return what a gateway sees in place of an honest sample.

    A lying agent reports the end of each channel's range that is farther away: as far as it gets
    without being refused. The gateway sees the mean over all agents.
    """
    if attack == "lying agent":
        extreme = np.where(x < 0.5, 1.0, 0.0)
        return x + (extreme - x) / AGENTS, y
    share = float(attack.partition(" ")[0]) / 100
    if rng.random() < share:
        y = int((y + rng.integers(1, labels)) % labels)
    return x, y
