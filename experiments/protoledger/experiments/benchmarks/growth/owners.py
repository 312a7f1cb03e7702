"""What one site spends on other owners: judging, the veto, a vote; and what an index would.

Owners' codebooks are drawn from clouds that all of them see; each has prototypes of its own, so
that as many prototypes vote as there are. CPU time, of this process.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.spatial import cKDTree

from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.learner.base import Live
from protoledger.gateway.learner.vote import TOGETHER
from protoledger.gateway.union.recent import KEPT, RecentSamples
from protoledger.gateway.union.union import MOST_PROTOTYPES, Union
from protoledger.gateway.union.voting import Panel

if TYPE_CHECKING:
    from collections.abc import Callable

    from protoledger.gateway.learner.base import Floats

CLASSES: Final = 4
CLOUDS: Final = 3
"""Of each class."""
OWN: Final = 64
ASKED: Final = 200


class Neighbourhood:
    """A site's own prototypes and samples, and other owners' codebooks of the same world.

    Args:
        owners: how many others.
        prototypes: of each.
        features: of a prototype.
        seed: of all that is drawn.
    """

    def __init__(self, owners: int, prototypes: int, features: int, seed: int) -> None:
        self._random = np.random.default_rng([seed, owners])
        self._centres = np.random.default_rng(1).random((CLASSES * CLOUDS, features))
        self.metric = np.ones(features) / features * 20
        places, classes = self.rows(OWN)
        self.own = Live(classes, np.full(OWN, 5.0), places)
        self.books = {f"owner-{n:05}": self._book(prototypes) for n in range(owners)}
        self.recent = RecentSamples(features)
        squares = np.full(1, np.inf)
        for x, y in zip(*self.rows(KEPT), strict=True):
            self.recent.add(x, int(y), squares, np.zeros(1, np.int64), np.ones(1))

    def rows(self, many: int) -> tuple[Floats, np.ndarray]:
        """Return samples and their classes."""
        cloud = self._random.integers(0, len(self._centres), many)
        x = self._centres[cloud] + self._random.normal(0, 0.12, (many, self._centres.shape[1]))
        return x, (cloud % CLASSES).astype(np.int64)

    def _book(self, many: int) -> Codebook:
        x, y = self.rows(many)
        weights = self._random.integers(1, 60, many)
        return Codebook.from_prototypes(np.arange(many), y, weights, x, labels=CLASSES)

    def union(self, most: int) -> Union:
        """Return a union that has been told of all of them, and has not judged."""
        union = Union(self._centres.shape[1], CLASSES)
        union.site, union.most = "site", most
        for name, book in self.books.items():
            union.set(name, book)
        return union


def of_owners(
    owners: int, prototypes: int, features: int, seed: int, *, bound: bool = True
) -> dict[str, float]:
    """Return CPU milliseconds of judging all, of the veto and of a vote; see the columns' names."""
    world = Neighbourhood(owners, prototypes, features, seed)
    union = world.union(MOST_PROTOTYPES if bound else owners * prototypes)
    judging = _ms(lambda: union.settle(world.own, world.metric, world.recent))
    union._until_vetoed = 0  # noqa: SLF001 - what is asked between two judgements
    veto = _ms(lambda: union.settle(world.own, world.metric, world.recent))
    x, y = world.rows(ASKED)
    own = ((x[:, None] - world.own.features) ** 2 * world.metric).sum(axis=2)

    def vote() -> np.ndarray:
        shares = [
            union.shares(one, squares, world.own, world.metric)
            for one, squares in zip(x, own, strict=True)
        ]
        return np.array(shares)

    vote()
    right = float((vote().argmax(axis=1) == y).mean())
    return {
        "voting": float(union.voting),
        "judging_ms": judging,
        "veto_ms": veto,
        "vote_ms": _ms(vote) / ASKED,
        "right": right,
    }


def of_index(prototypes: int, features: int, seed: int) -> dict[str, float]:
    """Return CPU milliseconds of a vote by the kernel, and of a k-d tree's: asked, and built.

    The tree is asked for as many as vote. Features that are missing, and a metric that changes with
    what is learnt, are left out: it bears neither without being built again.
    """
    world = Neighbourhood(0, 1, features, seed)
    places, classes = world.rows(prototypes)
    strengths = np.sqrt(np.arange(1.0, prototypes + 1))
    panel = Panel.of(places, classes, strengths, TOGETHER)
    scaled = places * np.sqrt(world.metric)
    x, _ = world.rows(ASKED)
    asked = x * np.sqrt(world.metric)
    tree = cKDTree(scaled)

    def brute() -> None:
        for one in x:
            panel.shares(one, world.metric, CLASSES)

    def by_tree() -> None:
        for one in asked:
            squares, rows = tree.query(one, min(TOGETHER.voters, prototypes))
            weights = strengths[rows] / (squares**2 + TOGETHER.softening)
            np.bincount(classes[rows], weights, CLASSES)

    brute()
    return {
        "kernel_ms": _ms(brute) / ASKED,
        "tree_ms": _ms(by_tree) / ASKED,
        "build_ms": _ms(lambda: cKDTree(scaled)),
    }


def _ms(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) * 1000
