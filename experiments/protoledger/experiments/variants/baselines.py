"""Defences of robust federated learning, adapted to codebooks: baselines beside our own.

They were made for vectors of parameters: of equal length, and a coordinate means the same in each.
Codebooks are neither; two that answer alike may have no prototype in common. So a codebook stands
for what it answers: at a place, a score for each class, larger the nearer its nearest prototype of
that class is, all scores of sum 1. A coordinate is a class at a place, and codebooks are compared
at the places of the gateway's own prototypes, which no other owner chooses.

- `median` (Yin et al., arXiv 1803.01498): the median of the owners' scores, by coordinate.
- `krum` (Blanchard et al., NeurIPS 2017): the one codebook that is nearest to its nearest others.
- `foolsgold` (Fung et al., arXiv 1808.04866): owners that answer all too alike count less.
- `flame` (Nguyen et al., USENIX Security 2022): owners that point another way than most are left
  out, the rest clipped to the median norm, and noise added.

They know no attacker's name and no history of trust, and look at all codebooks alike.
"""

from abc import abstractmethod
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from protoledger.experiments.variants.sharing import Sharing
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.learner.base import Floats
from protoledger.gateway.training.model import SiteModel

_NEAR = 1e-6
"""Squared distance below which a prototype is as good as at the place itself."""
FLAME_NOISE: Final = 0.001
"""Standard deviation of FLAME's noise over the median norm; its λ for images and text."""


class _Kept(Sharing):
    """Keeps the owners' codebooks; subclasses say how their scores become one."""

    def __init__(self) -> None:
        self._books: dict[str, Codebook] = {}

    def receive(self, model: SiteModel, owner: str, codebook: Codebook) -> None:  # noqa: ARG002
        """Keep the codebook in place of the owner's last one."""
        self._books[owner] = codebook

    def predict(self, model: SiteModel, xs: Floats) -> NDArray[np.int64]:
        """Return the class of the highest score that all codebooks lead to."""
        own = model.codebook()
        books = [own, *(self._books[name] for name in sorted(self._books))]
        books = [book for book in books if len(book)]
        if not books:
            return np.full(len(xs), -1)
        metric = model.learner.metric()
        seen = own.features() if len(own) else np.concatenate([b.features() for b in books])
        places = np.nan_to_num(seen, nan=0.5)
        at_places = np.array([scores(book, places, metric) for book in books])
        asked = np.array([scores(book, xs, metric) for book in books])
        classes: NDArray[np.int64] = self._joined(asked, at_places, own=len(own) > 0).argmax(axis=1)
        return classes

    def predict_here(self, model: SiteModel, xs: Floats) -> NDArray[np.int64]:
        """Return the same: these defences have one answer."""
        return self.predict(model, xs)

    @abstractmethod
    def _joined(self, asked: Floats, at_places: Floats, *, own: bool) -> Floats:
        """Return one owner's worth of scores, shape (rows, classes), from those of all.

        Args:
            asked: Scores of each owner for the rows, shape (owners, rows, classes).
            at_places: The same at the gateway's own places.
            own: Whether the first owner is the gateway itself; if not, it has learnt nothing.
        """


class MedianSharing(_Kept):
    """The coordinate-wise median of all owners' scores."""

    def _joined(self, asked: Floats, at_places: Floats, *, own: bool) -> Floats:  # noqa: ARG002
        middle: Floats = np.median(asked, axis=0)
        return middle


class KrumSharing(_Kept):
    """The codebook whose answers are nearest to those of its nearest others."""

    def _joined(self, asked: Floats, at_places: Floats, *, own: bool) -> Floats:  # noqa: ARG002
        chosen: Floats = asked[krum(at_places.reshape(len(at_places), -1))]
        return chosen


class FoolsGoldSharing(_Kept):
    """All owners' scores, those of owners that answer all too alike with less weight."""

    def _joined(self, asked: Floats, at_places: Floats, *, own: bool) -> Floats:
        first = 1 if own else 0  # nobody suspects itself
        centred = at_places[first:] - 1.0 / at_places.shape[2]
        weights = np.ones(len(asked))
        weights[first:] = foolsgold(centred.reshape(len(centred), at_places[0].size))
        joined: Floats = np.tensordot(weights, asked, axes=1)
        return joined


class FlameSharing(_Kept):
    """FLAME: cosine clustering, clipping to the median norm, noise.

    What was adapted, and why:

    - FLAME's vectors are updates, a local model less the last global one. Codebooks have no global
      model, so an owner's vector is its scores less those of knowing nothing, 1 / K each. Its
      direction is what it answers, and its norm how sure it is of that.
    - Directions, norms and their median are taken at the gateway's own places, as all owners are
      compared here; a clipped owner's scores shrink towards knowing nothing wherever it is asked.
    - HDBSCAN with FLAME's parameters (a cluster is more than half of all, one neighbour is enough,
      one cluster is allowed) finds the closest majority of single linkage. That is what `majority`
      computes. The gateway itself is a vector among others, and may be left out, as in FLAME.
    - Noise goes onto the joined scores, where FLAME adds it to the joined model. It is drawn from a
      fixed seed, because asking twice must answer the same; a run's seeds vary all else.
    """

    def _joined(self, asked: Floats, at_places: Floats, *, own: bool) -> Floats:  # noqa: ARG002
        level = 1.0 / asked.shape[2]
        vectors = (at_places - level).reshape(len(at_places), -1)
        norms = np.linalg.norm(vectors, axis=1)
        bound = float(np.median(norms))
        let_in = majority(vectors)
        shrunk = np.minimum(1.0, bound / np.maximum(norms[let_in], 1e-12))
        joined = level + np.tensordot(shrunk / let_in.sum(), asked[let_in] - level, axes=1)
        noise = np.random.default_rng(0).normal(0.0, FLAME_NOISE * bound, joined.shape)
        noisy: Floats = joined + noise
        return noisy


def scores(book: Codebook, xs: Floats, metric: Floats) -> Floats:
    """Return what a codebook answers, of shape (rows of xs, classes), each row of sum 1.

    >>> book = Codebook.from_prototypes([0, 1], [0, 2], [5, 5], [[0.0], [1.0]], labels=3)
    >>> scores(book, np.array([[0.5], [0.0]]), np.ones(1)).round(3).tolist()
    [[0.5, 0.0, 0.5], [1.0, 0.0, 0.0]]
    """
    apart = np.nan_to_num((xs[:, None] - book.features()[None]) ** 2) @ metric
    found = np.zeros((len(xs), book.form.labels))
    for label in np.unique(book.classes):
        found[:, label] = 1.0 / (apart[:, book.classes == label].min(axis=1) + _NEAR)
    shares: Floats = found / found.sum(axis=1, keepdims=True)
    return shares


def krum(vectors: Floats) -> int:
    """Return the number of the vector that Krum chooses.

    Of n vectors (n − 3) / 2 may be false, and one where there are fewer than five: then it holds
    only if honest ones are nearer to each other than to it.

    >>> krum(np.array([[0.0], [9.0], [0.1], [0.15]]))
    2
    """
    count = len(vectors)
    apart = ((vectors[:, None] - vectors[None]) ** 2).sum(axis=2)
    false = max(1, (count - 3) // 2)
    nearest = np.sort(apart, axis=1)[:, 1 : 1 + max(1, count - false - 2)]
    return int(nearest.sum(axis=1).argmin())


def majority(vectors: Floats) -> NDArray[np.bool_]:
    """Return which vectors are of the majority that points most nearly the same way; all of two.

    >>> majority(np.array([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.2], [2.0, -0.1]])).tolist()
    [True, True, False, True]
    """
    count = len(vectors)
    if count < 3:
        return np.ones(count, np.bool_)
    directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    apart = np.clip(1.0 - directions @ directions.T, 0.0, 2.0)
    np.fill_diagonal(apart, 0.0)
    tree = linkage(squareform(apart, checks=False), "single")
    wide = next(height for _, _, height, size in tree if size > count // 2)
    groups = fcluster(tree, wide, "distance")
    most: NDArray[np.bool_] = groups == np.bincount(groups).argmax()
    return most


def foolsgold(vectors: Floats) -> Floats:
    """Return each vector's weight from 0 to 1: less, the more another one points the same way.

    >>> foolsgold(np.array([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0]])).round(2).tolist()
    [0.0, 0.0, 1.0]
    """
    if len(vectors) < 2:
        return np.ones(len(vectors))
    directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    alike = directions @ directions.T
    np.fill_diagonal(alike, -1.0)
    most = alike.max(axis=1)
    # who is alike to one that is more alike to others is forgiven by the ratio
    ratio = np.divide(most[:, None], most[None], out=np.ones_like(alike), where=most[None] > 0)
    alike = np.where(most[None] > most[:, None], alike * ratio, alike)
    weights = np.clip(1.0 - alike.max(axis=1), 0.0, 1.0)
    if not weights.any():
        return np.ones(len(vectors))
    weights = np.clip(weights / weights.max(), 1e-5, 1 - 1e-5)
    confident: Floats = np.clip(np.log(weights / (1 - weights)) + 0.5, 0.0, 1.0)
    return confident
