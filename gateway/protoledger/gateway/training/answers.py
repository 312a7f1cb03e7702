"""What a site answers: which of its experts it follows, how sure it is, and what it has never seen.

A site has two answers. **Here** is what its own mix and meaning of labels say: one of several
experts, chosen by how often it was right on the site's own labelled samples. **Anywhere** is the
vote of all trusted owners, which also knows classes that this site has never seen.

Experts are compared as in prediction with expert advice (Cesa-Bianchi, Lugosi, "Prediction,
Learning, and Games", 2006). We differ from its mixtures, which lost to single experts here: one
answers, by its faded advantage over the first, if that is a clear one. Of a run of equal labels
only the first samples count, because in a long one repeating the last label is always right.

How sure an answer is comes from how often answers with such a share of the vote were right
(histogram binning: Zadrozny, Elkan, ICML 2001).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.learner.base import Floats
from protoledger.gateway.training.commits import winner

LEAD: Final = 0.02
"""Advantage in accuracy from which another expert than the first answers."""
BETS_A_RUN: Final = 16
"""Samples of a run of equal labels that count for or against an expert."""
FADE: Final = 0.99
"""What an expert's earlier advantage counts after another sample."""
BINS: Final = 20
BIN_FADE: Final = 0.998
BIN_PRIOR: Final = 4.0
"""Answers that are taken to have been right as often as their share of the vote says."""
UNSURE: Final = 0.5
"""An answer that is right less often is `unknown`."""
FAR: Final = 9.0
"""A sample so many times as far (d²) from all prototypes as usual is `new`."""
LEAST_LEAD: Final = 0.001
"""By how much the label's probability leads the next at least."""

Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class SiteAnswer:
    """What the model says about one sample; nothing of it has learnt from the sample.

    Attributes:
        label: class index here; None before anything is known.
        anywhere: class index of all trusted owners' vote.
        alone: class index that the site would give without any other owner.
        expert: whose answer the label is.
        probabilities: float64 (n_classes,), of each class; all 0 without a label. The label is the
            likeliest: where such answers were right less often than that would take, it leads by
            `LEAST_LEAD`, and `confidence` is lower than its probability.
        confidence: how often such an answer was right, 0 without a label.
        new: whether the sample is far from all prototypes that this site knows of.
    """

    label: int | None
    anywhere: int | None
    alone: int | None
    expert: str
    probabilities: Floats
    confidence: float
    new: bool

    @property
    def unknown(self) -> bool:
        """Whether the label is no more than a guess."""
        return self.label is None or self.confidence < UNSURE

    @property
    def margin(self) -> float:
        """By how much the most probable class leads the next: 0 to 1."""
        if len(self.probabilities) < 2:
            return self.confidence
        second, first = np.sort(self.probabilities)[-2:]
        return float(first - second)


class Choice:
    """Follows the expert with the largest clear advantage over the first one.

    Args:
        names: the experts.

    Attributes:
        advantages: float64 (experts,), faded mean of (right − first right).

    >>> choice = Choice(["union", "alone"])
    >>> awake = np.array([True, True])
    >>> for sample in range(20):
    ...     choice.settle(np.array([False, True]), awake, label=sample % 2)
    >>> choice.names[choice.choose(awake)]
    'alone'
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.advantages: Floats = np.zeros(len(self.names))
        self.label = -1
        self.run = 0

    def restore(self, advantages: Floats, label: int, run: int) -> None:
        """Take over what was booked; older states have more experts, behind these.

        Raises:
            ValueError: There are fewer.
        """
        if len(advantages) < len(self.names):
            raise ValueError(f"{len(advantages)} experts were saved, here are {len(self.names)}")
        self.advantages = advantages[: len(self.names)]
        self.label, self.run = label, run

    def choose(self, awake: Booleans) -> int:
        """Return the row of the expert to follow among those that may answer."""
        leads = np.where(awake, self.advantages, -np.inf)
        leads[0] = LEAD
        return int(leads.argmax())

    def settle(self, right: Booleans, awake: Booleans, label: int) -> None:
        """Book who was right, now that the label is known."""
        self.run = self.run + 1 if label == self.label else 1
        self.label = label
        if self.run > BETS_A_RUN:
            return
        gains = right.astype(np.float64) - float(right[0])
        faded = FADE * self.advantages + (1 - FADE) * gains
        self.advantages = np.where(awake, faded, self.advantages)


class ShareCalibration:
    """How often answers of each share of the vote were right.

    Attributes:
        counts: float64 (2, BINS): answers, and right answers, older ones fading.

    >>> calibration = ShareCalibration()
    >>> for sample in range(50):
    ...     calibration.settle(0.97, right=sample % 2 == 0)
    >>> bool(0.5 < calibration.confidence(0.97) < 0.6)
    True
    """

    def __init__(self) -> None:
        self.counts: Floats = np.zeros((2, BINS))

    def confidence(self, share: float) -> float:
        """Return how often an answer with such a share of the vote is right."""
        seen, right = self.counts[:, self._bin(share)]
        return float((right + BIN_PRIOR * share) / (seen + BIN_PRIOR))

    def settle(self, share: float, *, right: bool) -> None:
        """Book whether an answer was right."""
        at = self._bin(share)
        self.counts[:, at] *= BIN_FADE
        self.counts[:, at] += 1.0, float(right)

    def probabilities(self, shares: Floats) -> Floats:
        """Return a vote's shares with the winner's as calibrated; all 0 stay so.

        The winner stays the likeliest: a vote that is right less often than another class would
        need to be likelier says nothing for that class.
        """
        best = winner(shares)
        if best is None or len(shares) < 2:
            return shares
        found: Floats = shares.copy()
        found[best] = 0.0
        total = float(found.sum())
        found = found / total if total > 0 else np.full(len(found), 1 / (len(found) - 1))
        found[best] = 0.0
        top = float(found.max())
        least = min((top + LEAST_LEAD) / (1 + top), 1.0)
        likely = max(self.confidence(float(shares[best])), least)
        found *= 1 - likely
        found[best] = likely
        return found

    @staticmethod
    def _bin(share: float) -> int:
        return min(int(share * BINS), BINS - 1)
