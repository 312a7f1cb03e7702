"""What the ledger has of this gateway, and whether what was learnt since is worth a commit.

The commit test sees each labelled sample predicted twice before it is learnt: with the committed
prototypes and with the candidate's, both beside the other owners' codebooks: it asks what a commit
would change elsewhere. So what others have committed is not committed again, and a gateway that
sees one class only, and is never wrong by itself, commits where the others get that class wrong.

**What is tested is what is committed**: the candidate is the committed codebook with the delta that
a commit would write applied, in int16 records. It stands for some samples, and then a newer one
takes its place, with the evidence so far. What a commit left out is in the next candidate, which
must be worth a commit itself.
"""

from dataclasses import dataclass
from typing import Final, Self

from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.config import TestName
from protoledger.gateway.learner.base import Floats
from protoledger.gateway.ledger.config import OWED_RECORDS, LedgerConfig, default_records
from protoledger.gateway.training.significance import CommitTest, make_test
from protoledger.gateway.union.voting import Beside, Panel

STANDS: Final = 32
"""Labelled samples after which a newer candidate takes the place of one; fewer at the start."""


@dataclass(frozen=True, slots=True)
class Omissions:
    """What a commit leaves out; see `Codebook.delta_to`.

    Attributes:
        tolerance: see there.
        weight_ratio: see there.
        most: records of a commit that the test asks for.
        owed: records of one that a gateway makes because it learns no more.
    """

    tolerance: float
    weight_ratio: float
    most: int
    owed: int = OWED_RECORDS

    @classmethod
    def of(cls, config: LedgerConfig | None, features: int) -> Self:
        """Return what a ledger's configuration says, or what it would say by default."""
        fields = LedgerConfig.model_fields
        if config is None:
            tolerance, ratio = (fields[n].get_default() for n in ("tolerance", "weight_ratio"))
            return cls(tolerance, ratio, default_records(features))
        most, owed = default_records(features), OWED_RECORDS
        if config.records_per_commit is not None:
            most = owed = config.records_per_commit
        return cls(config.tolerance, config.weight_ratio, most, owed)


class Commits:
    """The committed codebook, its rival, and the test between them.

    Args:
        form: The ledger's record format.
        test: The commit test's name; `always` commits whatever changed.
        alpha: The commit test's bound on false alarms.
        omissions: What a commit leaves out; the ledger's default without it.

    Attributes:
        version: The ledger version of the last committed state, 0 before the first.
        base: The last committed state.
        candidate: What a commit would make of it.
        pending: Whether a candidate was offered, and how it ended is not known yet.
        test: The evidence since then.
    """

    def __init__(
        self,
        form: RecordFormat,
        test: TestName,
        alpha: float,
        omissions: Omissions | None = None,
    ) -> None:
        self.form = form
        self.test: CommitTest = make_test(test, alpha)
        self.version = 0
        self.omissions = omissions or Omissions.of(None, form.features)
        self.pending = False
        self._refused: Codebook | None = None
        self._set_base(Codebook.empty(form))

    @property
    def due(self) -> bool:
        """Whether a candidate that differs from the base is to be committed now."""
        return not self.pending and self.test.significant

    def offer(self) -> Codebook | None:
        """Take the candidate as pending, and return it; None if it says nothing new."""
        if self.candidate == self.base:
            return None
        self.pending = True
        return self.candidate

    def offer_owed(self, own: Codebook) -> Codebook | None:
        """Take all that the ledger lacks of these prototypes as pending, and return it.

        None if it lacks nothing, or if this very codebook was offered before and did not land: else
        a gateway that learns no more would offer it for ever.
        """
        owed = self._written(own, self.omissions.owed)
        if owed in (self.base, self._refused):
            return None
        self.set_candidate(owed, 0)
        return self.offer()

    def renew(self, own: Codebook) -> None:
        """Let what a commit of these prototypes would write be the candidate."""
        self.set_candidate(self._written(own, self.omissions.most), 0)

    def _written(self, own: Codebook, most: int) -> Codebook:
        """Return what the base becomes by a commit of these prototypes."""
        omitted = self.omissions
        delta = self.base.delta_to(
            own, tolerance=omitted.tolerance, weight_ratio=omitted.weight_ratio, most=most
        )
        return self.base.apply(delta)

    def set_candidate(self, candidate: Codebook, age: int) -> None:
        """Take a candidate that has stood for so many samples."""
        self.candidate = candidate
        self.age = age
        self._candidate_panel = Panel.of_codebook(candidate)

    @property
    def stale(self) -> bool:
        """Whether a newer candidate should take this one's place."""
        return self.age >= min(STANDS, max(1, self.tested // 2))

    @property
    def tested(self) -> int:
        """Samples of the test so far."""
        found = self.test.evidence
        return found.wins + found.losses + found.ties

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
        if (version, codebook) == (self.version, self.base):
            if self.pending:  # the ledger finds too little in it to be worth a commit
                self.rejected()
            return  # reported again, as after a restart: the evidence since then stands
        self.pending = False
        self.version = version
        self._set_base(codebook)

    def rejected(self) -> None:
        """Note that the pending commit failed: the evidence stands, a newer one may follow."""
        self.pending, self._refused = False, self.candidate

    def compare(self, x: Floats, y: int, metric: Floats, others: Beside) -> int | None:
        """Let the committed state and the candidate predict a labelled sample, and test them.

        Args:
            x: (d,) a checked sample that neither has learnt from, without missing features.
            y: its class index.
            metric: (d,) weight of each feature, 0 where the sample lacks it.
            others: the other owners' nearest.

        Returns:
            The class that the committed state predicts, None without any vote.
        """
        committed = winner(self._base_panel.shares(x, metric, self.form.labels, others))
        proposed = winner(self._candidate_panel.shares(x, metric, self.form.labels, others))
        self.test.observe(proposed == y, committed == y, y)
        self.age += 1
        return committed

    def _set_base(self, codebook: Codebook) -> None:
        self.base, self._refused = codebook, None
        self._base_panel = Panel.of_codebook(codebook)
        self.test.reset(first=not len(codebook))
        self.set_candidate(codebook, STANDS)


def winner(shares: Floats) -> int | None:
    """Return the class with the largest share, None without any vote."""
    best = int(shares.argmax())
    return best if shares[best] > 0 else None
