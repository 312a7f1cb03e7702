"""The papers' ways of merging commits of others, for comparison with the union.

- `replace` (Beis-Penedo et al., arXiv 2311.14136): a gateway replaces its own prototypes by the
  newest ones on the chain.
- `learn` (González-Soto et al., arXiv 2312.12190): a gateway learns received prototypes as if they
  were samples.

Both merge everything into one model, in which prototypes have no owner, so that nothing can be
removed again.
"""

from typing import Final

from protoledger.experiments.collaboration import Collaboration, Gateway
from protoledger.gateway.learner import make_learner

MERGES: Final = ("replace", "learn")


class Learning(Collaboration):
    """Gateways learn received prototypes as samples."""

    def tell(self, gateway: Gateway) -> None:
        """Let all others learn the gateway's prototypes."""
        for other in self.gateways:
            if other is not gateway:
                _teach(other, gateway)


class Replacing(Collaboration):
    """Gateways replace their own prototypes by received ones."""

    def tell(self, gateway: Gateway) -> None:
        """Let all others start again from the gateway's prototypes."""
        for other in self.gateways:
            if other is not gateway:
                form = gateway.book.form
                other.model.learner = make_learner("improved", form.features, form.labels)
                _teach(other, gateway)


def _teach(learner: Gateway, source: Gateway) -> None:
    book = source.book
    for x, y in zip(book.features(), book.classes.tolist(), strict=True):
        learner.model.learner.learn_one(x, y, margin=-1.0)  # each becomes a prototype


def merging(name: str) -> type[Collaboration]:
    """Return the class of runs that merge in this way."""
    return {"replace": Replacing, "learn": Learning}[name]
