"""What happened at a gateway since its model was new: counted, saved with the model, reported."""

from collections.abc import Mapping
from typing import Any

import msgspec

from protoledger.gateway.training.outcome import Outcome


class Counters(msgspec.Struct, forbid_unknown_fields=True):
    """Sums since the model was new.

    Attributes:
        samples: labelled samples, each predicted before it was learnt.
        right: of these, predicted right by the gateway (here).
        own_right: those that the site alone would have predicted right.
        anywhere_right: those that all trusted owners' vote predicted right.
        same_label: those that had the label of the sample before: what repeating it would reach.
        unlabelled: samples without a label, which are predicted and not learnt from.
        helped: samples where the gateway was right and the site alone would not have been.
        hurt: samples where the site alone would have been right and the gateway was not.
        helped_by: `helped` by the other owner whose prototypes weighed most for the answer.
        hurt_by: `hurt`, the same.
        drifts: how often the learner noticed that what it learnt holds no more.
        commits: commits of this gateway that stand on the chain.
        gas: what they cost together.
        commits_rejected: commits that the chain refused for good.
        counted_version: the newest commit that is counted; one may be reported twice.
        outside: samples of the oracle, learnt from but not counted above.
        oracle_round: the oracle's newest round that was learnt from.
        cited_round: the newest round that a commit of this gateway named.
        last_label: class of the last labelled sample, −1 before the first.
    """

    samples: int = 0
    right: int = 0
    own_right: int = 0
    anywhere_right: int = 0
    same_label: int = 0
    unlabelled: int = 0
    helped: int = 0
    hurt: int = 0
    helped_by: dict[str, int] = msgspec.field(default_factory=dict)
    hurt_by: dict[str, int] = msgspec.field(default_factory=dict)
    drifts: int = 0
    commits: int = 0
    gas: int = 0
    commits_rejected: int = 0
    counted_version: int = 0
    outside: int = 0
    oracle_round: int = 0
    cited_round: int = 0
    last_label: int = -1

    def count(self, outcome: Outcome) -> None:
        """Count one sample."""
        self.drifts += outcome.drifted
        if outcome.label is None:
            self.unlabelled += 1
            return
        right, own_right = bool(outcome.right), bool(outcome.own_right)
        self.samples += 1
        self.right += right
        self.own_right += own_right
        self.anywhere_right += outcome.anywhere == outcome.label
        self.same_label += outcome.label == self.last_label
        self.last_label = outcome.label
        self.helped += right and not own_right
        self.hurt += own_right and not right
        if (owner := outcome.decisive) is not None and right != own_right:
            by = self.helped_by if right else self.hurt_by
            by[owner] = by.get(owner, 0) + 1

    @property
    def kappa_temporal(self) -> float:
        """Accuracy between that of repeating the last label (0) and perfection (1).

        Source: Žliobaitė, Bifet, Read, Pfahringer, Holmes, "Evaluation methods and decision theory
        for classification of streaming data with temporal dependence", Machine Learning 98, 2015.
        """
        return kappa_temporal(self.right, self.same_label, self.samples)

    def as_dict(self) -> Mapping[str, Any]:
        """Return them by name."""
        return msgspec.structs.asdict(self)


def kappa_temporal(right: float, same_label: float, samples: float) -> float:
    """Return (right − same label) / (samples − same label); 0 where that is not defined.

    >>> kappa_temporal(95, 90, 100)
    0.5
    """
    left = samples - same_label
    return (right - same_label) / left if left else 0.0
