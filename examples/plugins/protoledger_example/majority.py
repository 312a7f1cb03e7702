"""A way of sharing: every owner has one vote, whatever its prototypes say they weigh."""

import numpy as np

from protoledger.experiments.variants.sharing import Sharing
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.training.model import SiteModel


class Majority(Sharing):
    """Each owner answers with its nearest prototype; the answer of most wins, ties the lowest."""

    def __init__(self) -> None:
        self.books: dict[str, Codebook] = {}

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
