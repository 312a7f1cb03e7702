"""An attack: the attacker's own prototypes, each at the other end of every channel."""

from collections.abc import Sequence

import numpy as np

from protoledger.experiments.variants.attacks import CodebookAttack
from protoledger.gateway.codebook.codebook import Codebook


class Mirror(CodebookAttack):
    """Every feature f becomes 1 − f."""

    def codebook(
        self,
        own: Codebook,
        others: Sequence[Codebook],  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> Codebook:
        """Return its own codebook, mirrored."""
        return Codebook.from_prototypes(
            own.ids, own.classes, own.weights, 1 - own.features(), labels=own.form.labels
        )
