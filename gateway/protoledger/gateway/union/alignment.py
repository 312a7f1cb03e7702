"""Where another owner's sensors stand: a shift of its prototypes by channel, before they vote here.

Sensors of two sites that mean the same seldom read the same: one is nearer to the window, another
is calibrated by half a degree more. An owner's prototypes then lie beside this site's samples of
the same class. A prototype is the mean of what it has won, so a class's prototypes, weighed by
their wins, have the mean of its samples; how the means of a class differ between the owner and this
site, averaged over the classes, is the shift. It is the mean of a random-effects analysis
(DerSimonian, Laird, Controlled Clinical Trials 7, 1986), but that weights are those of samples:
its variance is what samples scatter, or what classes disagree, whichever is more. So owners that
mean other things by their labels, whose classes differ in other directions each, are not shifted.

A shift that is no more than chance is none: it is shrunk by its variance (James, Stein, 4th
Berkeley Symposium, 1961, by channel), to 0 where it is within two standard errors. Nor does it
lead around trust: an owner whose prototypes would be quarantined where they are shifted to votes
from where they are.

All this takes a site's samples for independent. In a room they follow each other, and the means of
a few days differ by weather and habits as much as by sensors. Labels show it, by coming in spells;
a shift then also needs that with it the owner's codebook is clearly more often right on the site's
own recent samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from protoledger.gateway.learner.base import Engine, Floats
from protoledger.gateway.learner.vote import ALONE
from protoledger.gateway.union.influence import References
from protoledger.gateway.union.many import leave_one_out
from protoledger.gateway.union.recent import RecentSamples
from protoledger.gateway.union.trust import MOST_INFLUENCE
from protoledger.gateway.union.veto import FEWEST, clear_cost, elected, nearest_in

ERRORS: Final = 2.0
"""Standard errors within which a shift is none."""
FARTHEST: Final = 0.5
"""How far an owner's prototypes are shifted at most, in ranges of a channel."""
SPELLS: Final = 2.0
"""How many times longer than by chance a site's runs of equal labels are, from which on its own
samples must bear a shift out."""
TINY: Final = 1e-12


def aligned(
    own: References,
    voting: Sequence[References],
    metric: Floats,
    n_classes: int,
    engine: Engine = "auto",
) -> dict[str, Floats]:
    """Return by how much each owner's prototypes are shifted, float64 (d,) by owner.

    Args:
        own: the site's own prototypes.
        voting: the codebooks that vote with them.
        metric: (d,) weight of each feature.
        n_classes: number of labels.
        engine: what computes.
    """
    mine = ClassMoments.of(own, n_classes)
    shifts = {book.owner: shift(mine, ClassMoments.of(book, n_classes)) for book in voting}
    if not any(found.any() for found in shifts.values()):
        return shifts
    moved = [replace(book, features=book.features + shifts[book.owner]) for book in voting]
    judged = leave_one_out([own, *moved], metric, n_classes, engine)
    for number, book in enumerate(voting, 1):
        others = [other for other in range(len(judged.books)) if other != number]
        if shifts[book.owner].any() and judged.influence(number, others) > MOST_INFLUENCE:
            shifts[book.owner] = np.zeros_like(metric)
    return shifts


def borne_out(
    shifts: Mapping[str, Floats],
    voting: Sequence[References],
    recent: RecentSamples,
    metric: Floats,
    n_classes: int,
) -> dict[str, Floats]:
    """Return the shifts of those owners that a site's own samples do not doubt, none of the others.

    Args:
        shifts: what `aligned` returned.
        voting: the codebooks that vote, as they are.
        recent: the site's last labelled samples.
        metric: (d,) weight of each feature.
        n_classes: number of labels.
    """
    found = dict(shifts)
    if len(recent) < FEWEST or recent.spells < SPELLS:
        return found
    for book in voting:
        if not len(book.classes) or not found[book.owner].any():
            continue
        moved = replace(book, features=book.features + found[book.owner])
        there, here = (
            elected([nearest_in(recent.xs, each, metric)], n_classes, ALONE) == recent.ys
            for each in (book, moved)
        )
        if not clear_cost(there, here, recent.blocks):
            found[book.owner] = np.zeros_like(metric)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class ClassMoments:
    """Of each class and feature of a codebook: float64 (K, d) each.

    Attributes:
        weights: how many samples its prototypes stand for.
        means: their mean.
        squares: their squared deviations from it.
    """

    weights: Floats
    means: Floats
    squares: Floats

    @classmethod
    def of(cls, book: References, n_classes: int) -> Self:
        """Return a codebook's."""
        there = ~np.isnan(book.features)
        features = np.where(there, book.features, 0.0)
        wins = there * book.strengths[:, None] ** 2
        of_class = (book.classes == np.arange(n_classes)[:, None]).astype(np.float64)
        weights = of_class @ wins
        means = of_class @ (wins * features) / np.maximum(weights, TINY)
        squares = of_class @ (wins * (features - means[book.classes]) ** 2)
        return cls(weights, means, squares)


def shift(own: ClassMoments, theirs: ClassMoments) -> Floats:
    """Return what to add to an owner's prototypes so that they stand as this site's sensors do.

    Returns:
        float64 (d,), in ranges of the channels; 0 where no class has prototypes of both.

    >>> places = np.array([[0.1], [0.2], [0.8], [0.9]])
    >>> classes, strengths = np.array([0, 0, 1, 1]), np.full(4, 5.0)
    >>> own = ClassMoments.of(References("", places, classes, strengths), 2)
    >>> there = References("b", places + 0.2, classes, strengths)
    >>> shift(own, ClassMoments.of(there, 2)).round(3).tolist()
    [-0.199]
    >>> turned = References("c", places, 1 - classes, strengths)
    >>> shift(own, ClassMoments.of(turned, 2)).tolist()
    [0.0]
    """
    both = own.weights + theirs.weights
    weights = own.weights * theirs.weights / np.maximum(both, TINY)
    apart = np.where(weights > 0, own.means - theirs.means, 0.0)
    total = np.maximum(weights.sum(axis=0), TINY)
    found = (weights * apart).sum(axis=0) / total
    scatter = (own.squares + theirs.squares).sum(axis=0) / np.maximum(both.sum(axis=0), TINY)
    classes = (weights > 0).sum(axis=0)
    disagree = ((weights / total * (apart - found)) ** 2).sum(axis=0)
    disagree *= classes / np.maximum(classes - 1, 1)
    variance = np.maximum(scatter / total, disagree)
    found *= np.maximum(1 - ERRORS**2 * variance / np.maximum(found**2, TINY), 0.0)
    bounded: Floats = np.clip(found, -FARTHEST, FARTHEST)
    return bounded
