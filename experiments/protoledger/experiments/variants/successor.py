"""What followed the papers' ways: prototypes filtered, clustered and gossiped (arXiv 2411.09267).

Fernández-Piñeiro, Fernández-Veiga, Díaz-Redondo, Fernández-Vilas, González-Soto, "Towards efficient
compression and communication for prototype-based decentralized learning", 2024. There is no ledger.
From time to time a node draws some others and sends each its whole set of prototypes, and a
receiver learns those as samples. Two things save bytes: a set goes to a node only if it is far, by
the Jensen-Shannon distance, from the last set that came from there; and what is more than enough is
clustered first.

- `gossip`: as the paper has it.
- `gossip-all`: without filter and clusters, which the paper compares itself with.
- `filtered`: on a ledger. A gateway commits its clustered prototypes when they are far from what
  the ledger has of it, and the others learn them. So their filter takes the place of our commit
  test, and gas is counted; the other two take none.

The paper's text says less than its authors' program (`pablofp7/ilvq_optimization` on GitHub), which
this follows in: the threshold of 0.5 (base 2) between densities over features *and* class; a node
that nothing came from yet is always sent to; clusters by DBSCAN with one point as enough, class by
class, so wide that 50 to 60 % of the prototypes are left; a cluster's mean stands for it; the
newest set of each sender counts. What is otherwise here:

- Nodes send once a round of 15 rows to `NEIGHBOURS` others; theirs draw after each sample whether
  to send, with probabilities from 0 to 1, to one to four of four. Any other may be drawn, as there.
- They compare densities (Epanechnikov, bandwidth n^(−1/(d+4))) at 5,000 uniformly random points.
  Of 18 features two in three of such comparisons found no density at any point. Here the
  points are the prototypes of both sets, kernels are Gaussian and their width goes with a channel's
  spread (Scott's rule), and a class is no number. At the end of a run of four gateways the medians
  are .71 and .75 (theirs) on phishing, .09 and .05 on bananas, .41 and .43 with Dirichlet shares.
- They cluster the learner's set when it exceeds a limit of 50 to 500. Our learner has a limit of
  its own, so what is sent is clustered, above `CROWD`.
- They learn received prototypes one by one while they wait for samples, as many as time permits.
  Here each is learnt once.
- Sets are sent as our records of 16-bit integers; theirs are pickled floats, four times as long.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from protoledger.experiments.variants.sharing import Offer, Sharing
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.learner.base import Floats
from protoledger.gateway.training.model import SiteModel

NEIGHBOURS: Final = 2
"""To how many others a set is sent in a round, at most."""
FAR: Final = 0.5
"""Jensen-Shannon distance above which a set is worth sending."""
CROWD: Final = 50
"""Prototypes above which they are clustered."""
LEFT: Final = 0.6
"""Share of them that is left, at most."""
_ELSEWHERE: Final = 1e3
"""Added to the distance of prototypes of different classes, so that they are never merged."""
_NARROW: Final = 0.01
"""The least spread of a channel that a kernel's width is taken from, in ranges."""


class _Learnt(Sharing):
    """Learns received prototypes as samples, and remembers the last set of each other."""

    def __init__(self) -> None:
        self._last: dict[str, Codebook] = {}

    def receive(self, model: SiteModel, owner: str, codebook: Codebook) -> None:
        """Learn the owner's prototypes; the learner decides which it founds one of its own on."""
        for x, y in zip(codebook.features(), codebook.classes.tolist(), strict=True):
            model.learner.learn_one(x, y)
        self._last[owner] = codebook


class GossipSharing(_Learnt):
    """Clustered prototypes go to a few others, if they say something new to them."""

    def offer(
        self,
        model: SiteModel,
        others: Sequence[str],
        rng: np.random.Generator,
        *,
        owed: bool = False,  # noqa: ARG002 - the end is a round as any
    ) -> Sequence[Offer]:
        """Offer them to those that were drawn and are far from here, as far as this one knows."""
        own, drawn = condensed(model.codebook()), _drawn(others, rng)
        last = self._last
        far = tuple(
            name for name in drawn if name not in last or js_distance(own, last[name]) > FAR
        )
        return (Offer(own, far),) if far and len(own) else ()


class GossipAllSharing(_Learnt):
    """All prototypes go to a few others."""

    def offer(
        self,
        model: SiteModel,
        others: Sequence[str],
        rng: np.random.Generator,
        *,
        owed: bool = False,  # noqa: ARG002
    ) -> Sequence[Offer]:
        """Offer them to those that were drawn."""
        own, drawn = model.codebook(), _drawn(others, rng)
        return (Offer(own, drawn),) if len(own) else ()


class FilteredSharing(_Learnt):
    """Clustered prototypes are committed if they are far from the last commit."""

    def offer(
        self,
        model: SiteModel,
        others: Sequence[str],  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
        *,
        owed: bool = False,  # noqa: ARG002
    ) -> Sequence[Offer]:
        """Offer them to the ledger."""
        own, base = condensed(model.codebook()), model.commits.base
        return (Offer(own),) if len(own) and js_distance(own, base) > FAR else ()


def _drawn(others: Sequence[str], rng: np.random.Generator) -> tuple[str, ...]:
    numbers = rng.permutation(len(others))[:NEIGHBOURS]
    return tuple(others[number] for number in sorted(numbers.tolist()))


def js_distance(ours: Codebook, theirs: Codebook) -> float:
    """Return how far two sets of prototypes are, as densities: 0 if alike, 1 if nothing is shared.

    >>> one, other = (
    ...     Codebook.from_prototypes([0, 1], [y, y], [5, 5], [[0.1], [0.9]], labels=3)
    ...     for y in (1, 2)
    ... )
    >>> js_distance(one, one), js_distance(one, other)
    (0.0, 1.0)
    """
    if not len(ours) or not len(theirs):
        return float(len(ours) != len(theirs))
    places, classes = _together(ours, theirs)
    count, features = places.shape
    spread = np.maximum(places.std(axis=0), _NARROW)
    width = spread * (count / 2) ** (-1 / (features + 4))
    apart = (((places[:, None] - places[None]) / width) ** 2).sum(axis=2)
    kernels = np.exp(-apart / 2) * (classes[:, None] == classes[None])
    one, other = (
        density / density.sum()
        for density in (kernels[:, : len(ours)].sum(1), kernels[:, len(ours) :].sum(1))
    )
    middle = (one + other) / 2
    divergence = (_relative(one, middle) + _relative(other, middle)) / 2
    return float(np.sqrt(np.clip(divergence, 0.0, 1.0)))


def _together(ours: Codebook, theirs: Codebook) -> tuple[Floats, NDArray[np.int64]]:
    places = np.nan_to_num(np.concatenate([ours.features(), theirs.features()]), nan=0.5)
    return places, np.concatenate([ours.classes, theirs.classes])


def _relative(shares: Floats, middle: Floats) -> float:
    """Return the Kullback-Leibler divergence in bits; where a share is 0 nothing is added."""
    some = shares > 0
    return float(shares[some] @ np.log2(shares[some] / middle[some]))


def condensed(book: Codebook) -> Codebook:
    """Return a codebook in which prototypes of a class that are near each other became one.

    DBSCAN with one point as enough is single linkage, cut at a distance. The distance is the least
    that leaves no more than `LEFT`. A cluster's id is the lowest of its prototypes', so that a
    later commit writes no more than it must.

    >>> xs = np.linspace(0.0, 1.0, 80).reshape(-1, 1) ** 2
    >>> book = Codebook.from_prototypes(range(80), [0] * 80, [1] * 80, xs, labels=2)
    >>> small = condensed(book)
    >>> len(small), int(small.weights.sum()), small.ids.tolist()[:3]
    (48, 80, [0, 33, 34])
    """
    if len(book) <= CROWD:
        return book
    features = book.features()
    other = pdist(book.classes[:, None].astype(float)) > 0
    tree = linkage(pdist(np.nan_to_num(features, nan=0.5)) + _ELSEWHERE * other, "single")
    merged = min(len(book) - int(LEFT * len(book)), int((tree[:, 2] < _ELSEWHERE).sum()))
    if not merged:
        return book
    cluster = fcluster(tree, tree[merged - 1, 2], "distance")
    _, first, group = np.unique(cluster, return_index=True, return_inverse=True)
    member = group == np.arange(len(first))[:, None]
    known = ~np.isnan(features)
    total, seen = member @ np.where(known, features, 0.0), member @ known.astype(float)
    means = np.divide(total, seen, out=np.full(total.shape, np.nan), where=seen > 0)
    return Codebook.from_prototypes(
        book.ids[first], book.classes[first], member @ book.weights, means, labels=book.form.labels
    )
