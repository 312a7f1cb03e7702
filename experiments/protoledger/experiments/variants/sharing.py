"""Ways of sharing: what a gateway offers, what it does with what others do, and who votes.

- `union` is ours: codebooks are never merged, and trusted owners vote.
- `replace` (Beis-Penedo et al., arXiv 2311.14136): a gateway replaces its own prototypes by the
  newest ones on the chain.
- `learn` (González-Soto et al., arXiv 2312.12190): a gateway learns received prototypes as if they
  were samples.

The papers' ways merge everything into one model, in which prototypes have no owner, so that nothing
can be removed again. `SUCCESSOR` is what the same laboratory did next, see
`protoledger.experiments.variants.successor`: prototypes filtered, clustered and gossiped.
`BASELINES` are defences of federated learning that keep owners apart, see
`protoledger.experiments.variants.baselines`. Others add ways by entry points in the group
`protoledger.sharing`: a subclass of `Sharing` that is made without arguments, once for each
gateway.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.learner import make_learner
from protoledger.gateway.training.model import SiteModel
from protoledger.plugins import Group

UNION: Final = "union"
MERGES: Final = ("replace", "learn")
"""The papers' ways."""
BASELINES: Final = ("median", "krum", "foolsgold", "flame")
"""Defences that others published, adapted to codebooks."""
SUCCESSOR: Final = ("gossip", "gossip-all", "filtered")
"""Those of arXiv 2411.09267: as it is, without its two ways to send less, and on a ledger."""
SHARING: Final = Group(
    "protoledger.sharing",
    "way of sharing",
    {
        UNION: f"{__name__}:UnionSharing",
        "replace": f"{__name__}:ReplaceSharing",
        "learn": f"{__name__}:LearnSharing",
        "gossip": "protoledger.experiments.variants.successor:GossipSharing",
        "gossip-all": "protoledger.experiments.variants.successor:GossipAllSharing",
        "filtered": "protoledger.experiments.variants.successor:FilteredSharing",
        "median": "protoledger.experiments.variants.baselines:MedianSharing",
        "krum": "protoledger.experiments.variants.baselines:KrumSharing",
        "foolsgold": "protoledger.experiments.variants.baselines:FoolsGoldSharing",
        "flame": "protoledger.experiments.variants.baselines:FlameSharing",
    },
)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a gateway gives others of its own prototypes.

    Attributes:
        codebook: The prototypes.
        to: Who gets them straight from the gateway, without a ledger; None is everybody, by a
            commit.
    """

    codebook: Codebook
    to: tuple[str, ...] | None = None


class Sharing(ABC):
    """One gateway's way of sharing; it may keep what it needs to know from one commit to the next.

    >>> model = SiteModel(n_features=1, n_classes=2)
    >>> UnionSharing().receive(
    ...     model, "b", Codebook.from_prototypes([0], [1], [9], [[1.0]], labels=2)
    ... )
    >>> UnionSharing().predict(model, np.array([[0.9]])).tolist()
    [1]
    """

    @abstractmethod
    def receive(self, model: SiteModel, owner: str, codebook: Codebook) -> None:
        """Take what another owner has committed, or sent straight.

        Args:
            model: The gateway's own.
            owner: Whose codebook it is.
            codebook: All that the owner has on the ledger now, not only what is new; or all that
                was in its offer to this gateway.
        """

    def offer(
        self,
        model: SiteModel,
        others: Sequence[str],  # noqa: ARG002 - for those that choose among them
        rng: np.random.Generator,  # noqa: ARG002
        *,
        owed: bool = False,
    ) -> Sequence[Offer]:
        """Return what the gateway gives others now; asked after each round, and once at the end.

        By default it commits what its commit test finds worth it, or at the end what it owes.

        Args:
            model: The gateway's own; nothing is to be learnt here.
            others: The names of all others.
            rng: The run's, seeded.
            owed: Whether the gateway learns no more for some time.
        """
        wanted = model.leftover() if owed else model.candidate()
        return () if wanted is None else (Offer(wanted),)

    def predict(self, model: SiteModel, xs: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the class index of each row of xs, −1 for none; by default, of `model`'s union."""
        model.settle()
        return model.snapshot().predict_many(xs)

    def predict_here(self, model: SiteModel, xs: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return what the gateway answers of its own site; by default, `model`'s answer *here*."""
        model.settle()
        told = [model.predict_one(x) for x in xs]
        return np.array([-1 if label is None else label for label in told], np.int64)


class UnionSharing(Sharing):
    """Codebooks stay their owners', and those of trusted owners vote."""

    def receive(self, model: SiteModel, owner: str, codebook: Codebook) -> None:
        """Put the codebook in place of the owner's last one."""
        model.union.set(owner, codebook)


class LearnSharing(Sharing):
    """Received prototypes are learnt as samples."""

    def receive(self, model: SiteModel, owner: str, codebook: Codebook) -> None:  # noqa: ARG002
        """Learn the owner's prototypes."""
        _teach(model, codebook)


class ReplaceSharing(Sharing):
    """Received prototypes replace the gateway's own."""

    def receive(self, model: SiteModel, owner: str, codebook: Codebook) -> None:  # noqa: ARG002
        """Start again from the owner's prototypes."""
        form = codebook.form
        model.learner = make_learner("improved", form.features, form.labels)
        _teach(model, codebook)


def _teach(model: SiteModel, codebook: Codebook) -> None:
    for x, y in zip(codebook.features(), codebook.classes.tolist(), strict=True):
        model.learner.learn_one(x, y, margin=-1.0)  # each becomes a prototype


def make_sharing(name: str) -> Sharing:
    """Return a gateway's way of sharing by its name.

    Raises:
        UnknownPluginError: there is none of this name; the message lists those that are installed.
        BrokenPluginError: it cannot be imported, or is no `Sharing`.
    """
    kind: Any = SHARING.find_class(name, Sharing)
    made: Sharing = kind()
    return made
