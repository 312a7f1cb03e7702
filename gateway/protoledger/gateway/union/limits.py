"""What self-reported weights are clipped to, and how many owners a site judges.

Weights are what an owner says of itself: the weight of a prototype, their number and the sum of
their weights are clipped to the second-largest owner's, which no owner can raise alone.

The cost of judging and of a vote grows with the prototypes that take part. Where owners have more
than a bound, each site draws some, by a hash of its name and theirs: for good, so that votes do not
come and go; another draw at each site, so that what every owner knows is heard somewhere; and not
by what an owner's codebook holds, so that none can push itself in.
"""

import hashlib
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.vote import strengths_of
from protoledger.gateway.union.influence import References

HEAVY: Final = 4.0
MANY: Final = 128
"""A weight, and a number of prototypes and of samples, to which nothing is ever clipped."""


@dataclass(frozen=True, slots=True)
class WeightLimits:
    """What codebooks are clipped to.

    Attributes:
        heaviest: weight of a prototype.
        most: number of prototypes.
        samples: sum of the weights.

    >>> limits = WeightLimits.of([np.array([9]), np.array([500]), np.array([40000])])
    >>> book = Codebook.from_prototypes([0], [1], [40000], [[0.5]], labels=2)
    >>> limits.heaviest, (limits.clip("b", book).strengths ** 2).round(3).tolist()
    (500.0, [500.0])
    """

    heaviest: float = math.inf
    most: int = sys.maxsize
    samples: float = math.inf

    @classmethod
    def of(cls, weights: Sequence[Floats | NDArray[np.integer]]) -> Self:
        """Return the limits of all owners' weights, one array an owner."""
        return cls(
            heaviest=_second(HEAVY, [float(book.max()) for book in weights if len(book)]),
            most=int(_second(MANY, list(map(len, weights)))),
            samples=_second(MANY, [float(book.sum()) for book in weights]),
        )

    def clip(self, owner: str, codebook: Codebook) -> References:
        """Return a codebook within these limits."""
        rows = np.sort(np.argsort(-codebook.weights, kind="stable")[: self.most])
        weights = np.minimum(codebook.weights[rows].astype(np.float64), self.heaviest)
        if (reported := float(weights.sum())) > self.samples:
            weights *= self.samples / reported
        features, classes = codebook.features()[rows], codebook.classes[rows]
        return References(owner, features, classes, strengths_of(weights), codebook.ids[rows])


def drawn(sizes: Mapping[str, int], most: int, clipped: int, site: str) -> tuple[str, ...]:
    """Return which owners a site judges: all if they fit, else drawn until the next does not.

    Args:
        sizes: how many prototypes each owner has.
        most: how many all may have together.
        clipped: how many of one owner count.
        site: whose draw it is.

    Returns:
        Their names, sorted.

    >>> drawn({"a": 3, "b": 3, "c": 1}, 7, 128, "site-1")
    ('a', 'b', 'c')
    >>> drawn({"a": 3, "b": 3, "c": 1}, 4, 128, "site-1")
    ('b', 'c')
    """
    sizes = {owner: min(size, clipped) for owner, size in sizes.items()}
    if sum(sizes.values()) <= most:
        return tuple(sorted(sizes))
    left, found = most, list[str]()
    for owner in sorted(sizes, key=lambda owner: _place(site, owner)):
        left -= sizes[owner]
        if left < 0:
            break
        found.append(owner)
    return tuple(sorted(found))


def _place(site: str, owner: str) -> bytes:
    return hashlib.sha256(f"{len(site)} {site} {owner}".encode()).digest()


def _second(least: float, reported: Sequence[float]) -> float:
    return max([least, *sorted(reported)[-2:-1]])
