"""What a site answers: which of its experts it follows, how sure it is, and what it has never seen.

A site has two answers. **Here** is what its own mix and meaning of labels say: one of several
experts, chosen by how often it was right on the site's own labelled samples. **Anywhere** is the
vote of all trusted owners, which also knows classes that this site has never seen.

Experts are compared as in prediction with expert advice (Cesa-Bianchi, Lugosi, "Prediction,
Learning, and Games", 2006). We differ from its mixtures, which lost to single experts here: one
answers, by its faded advantage over the site alone. Of a run of equal labels only the first samples
count, because in a long one repeating the last label is always right.

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
"""How much more often right than `here` another expert that others take part in must be."""
BEHIND: Final = 0.005
"""How much less often right than the site alone another expert may be: half a sample just now."""
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
OWN_MIX: Final = 0.9
"""How far the site's own mix of classes counts against that of all prototypes that vote."""
FLOOR: Final = 1e-3
"""Added to a union's shares before they are corrected: what has no vote may still be likely."""

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


@dataclass(frozen=True, slots=True, eq=False)
class ExpertVotes:
    """What all experts say about one sample, and which of them is followed.

    Attributes:
        shares: float64 (experts, K).
        awake: bool (experts,), which may answer.
        chosen: the row of the one that does.
        expert: its name.
        alone: class index that the site would give without any other owner.
        anywhere: float64 (K,), the vote of all trusted owners.
        here: float64 (K,), theirs without those that the site's samples contradict.
        distance: squared, to the nearest own prototype.
        usual: what that usually is.
    """

    shares: Floats
    awake: Booleans
    chosen: int
    expert: str
    alone: int | None
    anywhere: Floats
    here: Floats
    distance: float
    usual: float


class Choice:
    """Whether to follow the others at all, and whom of those that they take part in.

    A site is to lose nothing by sharing: as soon as it has been right more often alone, it answers
    alone. Among the others the first is followed, unless one leads it clearly: the best of several
    leads by chance.

    Args:
        names: the experts, the site alone first.

    Attributes:
        advantages: float64 (experts,), faded mean of (right − alone right).

    >>> choice = Choice(["alone", "here", "union"])
    >>> awake = np.full(3, fill_value=True)
    >>> choice.names[choice.choose(awake)]
    'here'
    >>> choice.settle(np.array([True, False, False]), awake, label=1)
    >>> choice.names[choice.choose(awake)]
    'alone'
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.advantages: Floats = np.zeros(len(self.names))
        self.label = -1
        self.run = 0

    def choose(self, awake: Booleans) -> int:
        """Return the row of the expert to follow among those that may answer, 0 without any."""
        leads = np.where(awake, self.advantages, -np.inf)
        leads[1] += LEAD
        best = 1 + int(leads[1:].argmax())
        good = self.advantages[best] > -BEHIND or not awake[0]
        return best if awake[best] and good else 0

    def settle(self, right: Booleans, awake: Booleans, label: int) -> None:
        """Book who was right, now that the label is known."""
        self.run = self.run + 1 if label == self.label else 1
        self.label = label
        if self.run > BETS_A_RUN:
            return
        gains = right.astype(np.float64) - float(right[0])
        faded = FADE * self.advantages + (1 - FADE) * gains
        self.advantages = np.where(awake, faded, self.advantages)


def mix_ratio(seen: NDArray[np.int64], pool: Floats) -> Floats:
    """Return by how much each class is likelier here than among the prototypes that vote.

    Args:
        seen: (K,) the site's labelled samples of each class.
        pool: (K,) how much each class weighs in the vote.

    >>> mix_ratio(np.array([8, 0]), np.array([4.0, 4.0])).round(2).tolist()
    [1.72, 0.28]
    """
    pool = (pool + 1) / (pool + 1).sum()
    own = (seen + 1) / (seen.sum() + len(seen))
    ratio: Floats = (OWN_MIX * own + (1 - OWN_MIX) * pool) / pool
    return ratio


def by_mix(shares: Floats, ratio: Floats) -> Floats:
    """Return a vote's shares corrected by what `mix_ratio` returned: of sum 1, or all 0.

    >>> by_mix(np.array([0.5, 0.5]), np.array([1.5, 0.5])).round(2).tolist()
    [0.75, 0.25]
    """
    corrected: Floats = (shares + FLOOR) * ratio
    return corrected / corrected.sum() if shares.any() else np.zeros_like(shares)


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
