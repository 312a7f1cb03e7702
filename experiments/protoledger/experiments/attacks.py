"""Attacks of a malicious gateway: codebooks that it may commit, and errors in its data.

A codebook attack knows all honest codebooks. Its weights are the largest that a record can hold,
except in `swapped`, which keeps the attacker's honest prototypes and weights and changes only their
labels.
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
"""Agents of a site of which one reports false readings."""
MANY: Final = 128


def codebook(
    attack: CodebookAttack, own: Codebook, others: Sequence[Codebook], rng: np.random.Generator
) -> Codebook:
    """Return the codebook that an attacker commits.

    Args:
        attack: the kind of attack.
        own: the attacker's own prototypes, honestly learnt.
        others: the codebooks that honest gateways have committed.
        rng: source of randomness.
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
    if attack == "mixed flood":  # four of five have the right label
        wrong = np.where(rng.random(len(rows)) < 0.2, wrong, y[rows])
    return _book(x[rows] + 0.02 * rng.normal(size=(len(rows), form.features)), wrong, own)


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


def sample(
    attack: DataAttack, x: NDArray[np.float64], y: int, labels: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], int]:
    """Return the sample and label that a gateway sees instead of the honest ones.

    A lying agent reports, for each channel, the end of the range that is farther from the true
    value: the largest error that is not refused. The gateway sees the mean over all agents.
    """
    if attack == "lying agent":
        extreme = np.where(x < 0.5, 1.0, 0.0)
        return x + (extreme - x) / AGENTS, y
    share = float(attack.partition(" ")[0]) / 100
    if rng.random() < share:
        y = int((y + rng.integers(1, labels)) % labels)
    return x, y
