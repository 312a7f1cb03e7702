"""A way of sharing: every owner has one vote, whatever its prototypes say they weigh."""

from collections.abc import Sequence

import numpy as np

from protoledger.experiments.variants.sharing import Offer, Sharing
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.training.model import SiteModel


class Majority(Sharing):
    """Each owner answers with its nearest prototype; the answer of most wins, ties the lowest."""

    def __init__(self) -> None:
        self.books: dict[str, Codebook] = {}

    def offer(
        self,
        model: SiteModel,
        others: Sequence[str],
        rng: np.random.Generator,
        *,
        owed: bool = False,
    ) -> Sequence[Offer]:
        """Commit when all do, but no prototype that stands for a single sample."""
        offers = super().offer(model, others, rng, owed=owed)
        return [Offer(without_lone(one.codebook)) for one in offers]

    def receive(self, model: SiteModel, owner: str, codebook: Codebook) -> None:  # noqa: ARG002
        """Keep the codebook in place of the owner's last one."""
        self.books[owner] = codebook

    def predict(self, model: SiteModel, xs: np.ndarray) -> np.ndarray:
        """Let the gateway itself and all owners vote."""
        metric = model.learner.metric()
        ballots = np.zeros((len(xs), model.form.labels), np.int64)
        for book in (model.codebook(), *self.books.values()):
            if len(book):
                apart = (metric * (xs[:, None] - book.features()[None]) ** 2).sum(axis=2)
                chosen = book.classes[apart.argmin(axis=1)]
                ballots[np.arange(len(xs)), chosen] += 1
        return np.where(ballots.any(axis=1), ballots.argmax(axis=1), -1)

    def predict_here(self, model: SiteModel, xs: np.ndarray) -> np.ndarray:
        """Answer of this site as of all others."""
        return self.predict(model, xs)


def without_lone(book: Codebook) -> Codebook:
    """Return the prototypes that stand for two samples or more."""
    kept = book.weights > 1
    features = book.features()[kept]
    return Codebook.from_prototypes(
        book.ids[kept], book.classes[kept], book.weights[kept], features, labels=book.form.labels
    )
