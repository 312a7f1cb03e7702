"""Commit tests: is what was learnt since the last commit better than what is on the ledger?

All tests see the same paired outcomes: on one labelled sample, was the candidate right, was the
last committed state right? Only samples where exactly one was right say anything. A gateway looks
after every sample and commits at the first yes, so a test must stay valid under repeated looks:
of these, only the e-process does.

Sources: e-process by betting against a fair coin, mixed over bets (Shafer, "Testing by betting",
JRSS A 184, 2021; Ramdas et al., "Game-theoretic statistics and safe anytime-valid inference",
Statistical Science 38, 2023); McNemar's exact test (Psychometrika 12, 1947); a confidence interval
on the gain in accuracy, as Beis-Penedo et al. (arXiv 2311.14136) limit their transactions.
"""

import math
from statistics import NormalDist
from typing import ClassVar, Final, get_args

import numpy as np

from protoledger.gateway.config import TestName

TEST_NAMES: Final[tuple[TestName, ...]] = get_args(TestName)
INTERVAL_MINIMUM: Final = 30
"""Fewer outcomes than this and a normal interval is no approximation at all."""


class CommitTest:
    """Counts of paired outcomes since the last commit; what they prove is the subclasses' matter.

    Args:
        alpha: Bound on the rate of false alarms, 0 < alpha < 1.

    Attributes:
        wins: Samples that only the candidate got right.
        losses: Samples that only the committed state got right.
        ties: All others.

    Raises:
        ValueError: alpha is out of its range.
    """

    name: ClassVar[TestName]
    counts_ties: ClassVar[bool] = False

    def __init__(self, alpha: float = 0.05) -> None:
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")
        self.alpha = alpha
        self.wins = self.losses = self.ties = 0
        self._verdict: bool | None = None

    def observe(self, candidate_right: bool, committed_right: bool) -> None:  # noqa: FBT001 - a pair
        """Take in one labelled sample that neither had learnt from when they predicted it."""
        if candidate_right == committed_right:
            self.ties += 1
        elif candidate_right:
            self.wins += 1
        else:
            self.losses += 1
        if self.counts_ties or candidate_right != committed_right:
            self._verdict = None

    @property
    def significant(self) -> bool:
        """Whether the candidate has proved better."""
        if self._verdict is None:
            self._verdict = self._judge()
        return self._verdict

    def reset(self, wins: int = 0, losses: int = 0, ties: int = 0) -> None:
        """Start over, as after a commit; or go on from saved counts.

        Raises:
            ValueError: A count is negative.
        """
        if min(wins, losses, ties) < 0:
            raise ValueError(f"counts cannot be negative: {wins}, {losses}, {ties}")
        self.wins, self.losses, self.ties = wins, losses, ties
        self._verdict = None

    def _judge(self) -> bool:
        raise NotImplementedError


class EProcess(CommitTest):
    """Wealth of a gambler who bets that the candidate wins; 1/alpha is proof.

    If the candidate is no better, each discordant outcome is a coin that favours it by at most
    one half whatever came before, the wealth is a supermartingale, and by Ville's inequality it
    ever reaches 1/alpha with probability ≤ alpha: looking after every sample is free. The stakes
    are an equal mixture of ten fractions of the wealth, so that a small gain is found as well.

    >>> test = EProcess(alpha=0.05)
    >>> looks = []
    >>> for _ in range(8):
    ...     test.observe(True, False)
    ...     looks.append(test.significant)
    >>> looks.index(True) + 1  # seven wins in a row
    7
    """

    name = "e-process"
    _stakes = (np.arange(10) + 0.5) / 10

    @property
    def wealth(self) -> float:
        """What the gambler owns, having begun with 1."""
        return math.exp(min(self._log_wealth(), 700.0))

    def _log_wealth(self) -> float:
        logs = self.wins * np.log1p(self._stakes) + self.losses * np.log1p(-self._stakes)
        top = float(logs.max())
        return top + math.log(float(np.exp(logs - top).mean()))

    def _judge(self) -> bool:
        return self._log_wealth() >= -math.log(self.alpha)


class McNemarTest(CommitTest):
    """Exact, one-sided: how probable are so many wins among the discordant if a coin decided?

    Valid for one look at a time fixed beforehand; repeated looks find far more than alpha.

    >>> test = McNemarTest(alpha=0.05)
    >>> test.reset(wins=4), test.significant, test.reset(wins=5), test.significant
    (None, False, None, True)
    """

    name = "mcnemar"

    def _judge(self) -> bool:
        return self.wins > self.losses and self.p_value() <= self.alpha

    def p_value(self) -> float:
        """Return P(at least this many wins) for a fair coin."""
        n = self.wins + self.losses
        log_half = n * math.log(0.5)
        terms = (
            math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + log_half
            for k in range(self.wins, n + 1)
        )
        return min(1.0, math.fsum(math.exp(term) for term in terms))


class IntervalTest(CommitTest):
    """The normal interval of level 1 − alpha around the gain in accuracy lies above 0.

    Needs 30 outcomes. Valid for one look only, as McNemar's.

    >>> test = IntervalTest(alpha=0.05)
    >>> test.reset(wins=10, losses=2, ties=88)
    >>> test.significant
    True
    """

    name = "interval"
    counts_ties = True

    def _judge(self) -> bool:
        n = self.wins + self.losses + self.ties
        if n < INTERVAL_MINIMUM:
            return False
        gain = (self.wins - self.losses) / n
        variance = ((self.wins + self.losses) / n - gain**2) / n
        half_width = NormalDist().inv_cdf(1 - self.alpha / 2) * math.sqrt(max(variance, 0.0))
        return gain > half_width


class AlwaysTest(CommitTest):
    """Says yes after any outcome: every change is committed."""

    name = "always"
    counts_ties = True

    def _judge(self) -> bool:
        return self.wins + self.losses + self.ties > 0


def make_test(name: TestName, alpha: float = 0.05) -> CommitTest:
    """Return a new commit test.

    Raises:
        ValueError: The name is unknown, or alpha is out of its range.
    """
    for kind in (EProcess, McNemarTest, IntervalTest, AlwaysTest):
        if kind.name == name:
            return kind(alpha)
    raise ValueError(f"there is no commit test {name!r}; choose one of {', '.join(TEST_NAMES)}")
