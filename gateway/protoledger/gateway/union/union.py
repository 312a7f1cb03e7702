"""Prediction with one's own prototypes and those of all trusted owners on the ledger.

Each owner keeps a namespace: codebooks are never merged, so one that changes or disappears takes
all of its influence with it. All vote together, in the gateway's own learnt metric. Who votes, and
in which version, is for `trust` to say; `editing` leaves out what all others contradict. A vote's
strength is that of its prototype's weight; but a weight is a claim, so nobody's prototypes count as
heavier, or are more, or stand for more samples, than the second largest of all owners'.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.learner.base import Engine, Floats, Live
from protoledger.gateway.learner.vote import ALONE, TOGETHER, Reach, strengths_of
from protoledger.gateway.union.editing import edited
from protoledger.gateway.union.influence import OWN, Block, Court
from protoledger.gateway.union.trust import Verdict, judge
from protoledger.gateway.union.voting import Beside, Panel

JUDGED_AFTER: Final = 64
"""Own samples between two judgements, at least; a remote change is judged at once."""
HEAVY: Final = 4.0
MANY: Final = 128
"""A weight, and a number of prototypes and of samples, that are believed of anybody."""


@dataclass(slots=True)
class _Owner:
    """An owner's codebooks.

    Attributes:
        newest: as the ledger has it.
        older: what votes so far, if it is another.
        refused: what waited when the newest came.
    """

    newest: Codebook
    older: Codebook | None = None
    refused: Codebook | None = None


class Union:
    """Own prototypes and trusted remote codebooks, voting together.

    Args:
        n_features: Length of a sample.
        n_classes: Number of labels.
        defended: Whether codebooks are judged, edited and their weights doubted. Only to compare
            with: without it every codebook votes, whatever is in it.

    Attributes:
        trust: The verdict on each present owner, with the evidence; as of the last vote.
        engine: What computes.

    >>> union = Union(n_features=1, n_classes=2)
    >>> union.set("b", Codebook.from_prototypes([0], [1], [9], [[1.0]], labels=2))
    >>> own = Live(np.array([0]), np.array([5.0]), np.array([[0.0]]))
    >>> x, metric = np.array([0.9]), np.ones(1)
    >>> int(union.shares(x, np.array([0.81]), own, metric).argmax())
    1
    >>> union.set("b", None)
    >>> int(union.shares(x, np.array([0.81]), own, metric).argmax())
    0
    """

    def __init__(self, n_features: int, n_classes: int, *, defended: bool = True) -> None:
        self.defended = defended
        self.n_features = n_features
        self.n_classes = n_classes
        self.engine: Engine = "auto"
        self.trust: dict[str, Verdict] = {}
        self._owners: dict[str, _Owner] = {}
        self._panel = _nobody(n_features)
        self._until_judged = 0

    @property
    def owners(self) -> tuple[str, ...]:
        """Owners whose codebooks are present, trusted or not, sorted."""
        return tuple(sorted(self._owners))

    def former(self) -> Mapping[str, Sequence[Codebook]]:
        """Older codebooks that still count: what votes in place of the newest, what was refused.

        Given to `set` in this order, and then the newest, they lead to the same state.
        """
        return {
            name: [book for book in (owner.older, owner.refused) if book is not None]
            for name, owner in self._owners.items()
            if owner.older is not None
        }

    def set(self, owner: str, codebook: Codebook | None) -> None:
        """Take an owner's codebook in place of its last one, or none: then nothing of it stays.

        Raises:
            ValueError: The codebook has another number of features or labels.
        """
        self._until_judged = 0
        if codebook is None:
            self._owners.pop(owner, None)
            self.trust.pop(owner, None)
            return
        form = codebook.form
        if (form.features, form.labels) != (self.n_features, self.n_classes):
            raise ValueError(
                f"{owner} has a codebook of {form.features} features and {form.labels} labels; "
                f"here they are {self.n_features} and {self.n_classes}"
            )
        known = self._owners.setdefault(owner, _Owner(codebook))
        if known.newest == codebook:
            return
        if known.older is None:
            known.older = known.newest
        else:
            known.refused = known.newest
        known.newest = codebook
        if known.older == codebook:
            known.older = known.refused = None

    def own_changed(self) -> None:
        """Note that the gateway has learnt a sample; after enough of them all are judged anew."""
        self._until_judged -= 1

    def shares(self, x: Floats, own_squares: Floats, own: Live, metric: Floats) -> Floats:
        """Return each class's share of the union's vote at x, all 0 where nobody votes.

        Args:
            x: (d,) a checked sample.
            own_squares: (n,) squared distances to the gateway's own prototypes.
            own: The gateway's own prototypes.
            metric: (d,) weight of each feature.
        """
        self.settle(own, metric)
        mine = Beside(own_squares, own.classes, strengths_of(own.weights))
        return self._panel.shares(x, metric, self.n_classes, mine, self.engine, self._reach())

    def others(self, x: Floats, own: Live, metric: Floats) -> Beside:
        """Return the other owners' prototypes that are nearest to x, and vote."""
        self.settle(own, metric)
        return self._panel.nearest(x, metric, self.engine)

    def settle(self, own: Live, metric: Floats) -> tuple[str, ...]:
        """Judge all owners, if something has changed.

        Returns:
            Owners that from now on vote, do not vote, or wait in another version, sorted; `trust`
            has the evidence.
        """
        if self._until_judged > 0:
            return ()
        before = self.trust
        self._judge(own, metric)
        return tuple(
            name
            for name, verdict in sorted(self.trust.items())
            if (known := before.get(name, Verdict())).votes != verdict.votes
            or known.waits != verdict.waits
        )

    def judge_anew(self) -> None:
        """Forget the last verdicts: also when the model is saved, so that a restored one agrees."""
        self._until_judged = 0

    def panel(self, own: Live, metric: Floats) -> Panel:
        """Return all prototypes that vote now, the gateway's own among them, as copies."""
        self.settle(own, metric)
        remote = self._panel
        return Panel.of(
            np.concatenate((own.features, remote.columns.T)),
            np.concatenate((own.classes, remote.classes)),
            np.concatenate((strengths_of(own.weights), remote.strengths)),
            self._reach(),
        )

    def _reach(self) -> Reach:
        return TOGETHER if len(self._panel) else ALONE

    def _judge(self, own: Live, metric: Floats) -> None:
        if not self.defended:
            self._believe_all()
            return
        believed = self._believed(own)
        blocks = [Block(OWN, own.features, own.classes, strengths_of(own.weights))]
        newest, older, refused = dict[str, int](), dict[str, int](), dict[str, int]()
        for name in self.owners:
            owner = self._owners[name]
            for book, places in (
                (owner.newest, newest),
                (owner.older, older),
                (owner.refused, refused),
            ):
                if book is not None:
                    places[name] = len(blocks)
                    blocks.append(believed.block(name, book))
        court = Court(blocks, metric, self.n_classes, self.engine)
        self.trust = judge(court, newest, older, refused)
        voting = []
        for name, verdict in self.trust.items():
            if not verdict.waits:
                self._owners[name].older = self._owners[name].refused = None
            if verdict.votes:
                voting.append(blocks[older[name] if verdict.waits else newest[name]])
        voting = edited(blocks[0], voting, metric, self.n_classes, self.engine)
        self._panel = _joined(voting, self.n_features)
        self._until_judged = max(JUDGED_AFTER, sum(len(block.classes) for block in blocks) // 4)

    def _believe_all(self) -> None:
        blocks = list[Block]()
        for name in self.owners:
            self._owners[name].older = None
            blocks.append(_Believed().block(name, self._owners[name].newest))
        self.trust = {name: Verdict() for name in self.owners}
        self._panel = _joined(blocks, self.n_features)
        self._until_judged = JUDGED_AFTER

    def _believed(self, own: Live) -> "_Believed":
        weights = [own.weights, *(owner.newest.weights for owner in self._owners.values())]
        return _Believed(
            heaviest=_second(HEAVY, [float(block.max()) for block in weights if len(block)]),
            most=int(_second(MANY, list(map(len, weights)))),
            samples=_second(MANY, [float(block.sum()) for block in weights]),
        )


@dataclass(frozen=True, slots=True)
class _Believed:
    """What is believed of anybody: a claim of more is cut to the second largest of all owners'.

    Nobody can raise that alone.

    Attributes:
        heaviest: weight of a prototype.
        most: number of prototypes.
        samples: sum of the weights.
    """

    heaviest: float = math.inf
    most: int = sys.maxsize
    samples: float = math.inf

    def block(self, owner: str, codebook: Codebook) -> Block:
        """Return a codebook as far as it is believed."""
        rows = np.sort(np.argsort(-codebook.weights, kind="stable")[: self.most])
        weights = np.minimum(codebook.weights[rows].astype(np.float64), self.heaviest)
        if (claimed := float(weights.sum())) > self.samples:
            weights *= self.samples / claimed
        features, classes = codebook.features()[rows], codebook.classes[rows]
        return Block(owner, features, classes, strengths_of(weights))


def _second(least: float, claims: Sequence[float]) -> float:
    return max([least, *sorted(claims)[-2:-1]])


def _joined(blocks: list[Block], n_features: int) -> Panel:
    if not blocks:
        return _nobody(n_features)
    return Panel.of(
        np.concatenate([block.features for block in blocks]),
        np.concatenate([block.classes for block in blocks]),
        np.concatenate([block.strengths for block in blocks]),
    )


def _nobody(n_features: int) -> Panel:
    return Panel.of(np.zeros((0, n_features)), np.zeros(0, np.int64), np.zeros(0))
