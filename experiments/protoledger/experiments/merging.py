"""The papers' ways to take in what others committed, to compare the union with.

- `replace` (Beis-Penedo et al., arXiv 2311.14136): a gateway gives up its own prototypes for those
  that are newest on the chain.
- `learn` (González-Soto et al., arXiv 2312.12190): a gateway learns received prototypes as if they
  were samples.

Either way a model is all there is: no namespaces, so nothing can be taken back.
"""

from typing import Final

from protoledger.experiments.collaboration import Collaboration, Gateway
from protoledger.gateway.learner import make_learner

MERGES: Final = ("replace", "learn")


class Learning(Collaboration):
    """Received prototypes are samples."""

    def tell(self, gateway: Gateway) -> None:
        """Let all others learn what the gateway committed."""
        for other in self.gateways:
            if other is not gateway:
                _teach(other, gateway)


class Replacing(Collaboration):
    """Received prototypes take the place of one's own."""

    def tell(self, gateway: Gateway) -> None:
        """Let all others begin anew from what the gateway committed."""
        for other in self.gateways:
            if other is not gateway:
                form = gateway.book.form
                other.model.learner = make_learner("improved", form.features, form.labels)
                _teach(other, gateway)


def _teach(pupil: Gateway, teacher: Gateway) -> None:
    book = teacher.book
    for x, y in zip(book.features(), book.classes.tolist(), strict=True):
        pupil.model.learner.learn_one(x, y, margin=-1.0)  # as a prototype of its own


def merging(name: str) -> type[Collaboration]:
    """Return the kind of run that merges in this way."""
    return {"replace": Replacing, "learn": Learning}[name]
