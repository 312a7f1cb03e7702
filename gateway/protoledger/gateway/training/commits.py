"""What the ledger has of this gateway, and whether what was learnt since is worth a commit.

The commit test sees each labelled sample predicted twice before it is learnt: with the committed
prototypes and with the candidate's, both as the ledger's int16 records give them back, and both
beside the other owners' codebooks: it asks what a commit would change elsewhere. So what others
have committed is not committed again, and a gateway that sees one class only, and is never wrong by
itself, commits where the others get that class wrong.
"""

import numpy as np

from protoledger.gateway.codebook.codebook import MAX_STEPS, STEPS_PER_RANGE, Codebook, RecordFormat
from protoledger.gateway.config import TestName
from protoledger.gateway.learner.base import Floats, Live
from protoledger.gateway.learner.vote import strengths_of
from protoledger.gateway.training.significance import CommitTest, make_test
from protoledger.gateway.union.voting import Beside, Panel


class Commits:
    """The committed codebook, its rival, and the test between them.

    Args:
        form: The ledger's record format.
        test: The commit test's name; `always` commits whatever changed.
        alpha: The commit test's bound on false alarms.

    Attributes:
        version: The ledger version of the last committed state, 0 before the first.
        base: The last committed state.
        test: The evidence since then.
    """

    def __init__(self, form: RecordFormat, test: TestName, alpha: float) -> None:
        self.form = form
        self.test: CommitTest = make_test(test, alpha)
        self.version = 0
        self._pending = False
        self._set_base(Codebook.empty(form))

    @property
    def due(self) -> bool:
        """Whether a candidate that differs from the base is to be committed now."""
        return not self._pending and self.test.significant

    def offer(self, candidate: Codebook) -> Codebook | None:
        """Take a candidate as pending, and return it; None if it says nothing new."""
        if candidate == self.base:
            return None
        self._pending = True
        return candidate

    def accepted(self, codebook: Codebook, version: int) -> None:
        """Take what the ledger now holds for this gateway; also after a reorganisation.

        Args:
            codebook: The state at that version, which may leave small changes out.
            version: The ledger's version, ≥ 0.

        Raises:
            ValueError: The codebook has another number of features or labels.
        """
        if codebook.form != self.form:
            raise ValueError(f"a committed state of {codebook.form}; here it is {self.form}")
        self._pending = False
        if (version, codebook) == (self.version, self.base):
            return  # reported again, as after a restart: the evidence since then stands
        self.version = version
        self._set_base(codebook)
        self.test.reset()

    def rejected(self) -> None:
        """Note that the pending commit failed: the evidence stands, a newer one may follow."""
        self._pending = False

    def compare(self, x: Floats, y: int, metric: Floats, own: Live, others: Beside) -> int | None:
        """Let the committed state and the candidate predict a labelled sample, and test them.

        Args:
            x: (d,) a checked sample that neither has learnt from.
            y: its class index.
            metric: (d,) weight of each feature.
            own: the gateway's prototypes.
            others: the other owners' nearest.

        Returns:
            The class that the committed state predicts, None without any vote.
        """
        steps = np.rint(own.features.T * STEPS_PER_RANGE)
        quantised = np.ascontiguousarray(np.clip(steps, -MAX_STEPS, MAX_STEPS) / STEPS_PER_RANGE)
        candidate = Panel(quantised, own.classes, strengths_of(own.weights))
        committed = winner(self._base_panel.shares(x, metric, self.form.labels, others))
        proposed = winner(candidate.shares(x, metric, self.form.labels, others))
        self.test.observe(proposed == y, committed == y)
        return committed

    def _set_base(self, codebook: Codebook) -> None:
        self.base = codebook
        self._base_panel = Panel.of_codebook(codebook)


def winner(shares: Floats) -> int | None:
    """Return the class with the largest share, None without any vote."""
    best = int(shares.argmax())
    return best if shares[best] > 0 else None
