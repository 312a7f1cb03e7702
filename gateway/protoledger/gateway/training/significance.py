"""Commit tests: is what was learnt since the last commit better than what is on the ledger?

All tests see the same paired outcomes: on one labelled sample, was the candidate right, was the
last committed state right? A gateway looks after every sample and commits at the first yes, so a
test must stay valid under repeated looks: of these, only the e-process does.

Samples follow each other, so outcomes depend on each other: labels come in spells, errors come in
clumps. **The e-process therefore bets once a run** of equal labels (of 32 samples at most), on the
side that won it, and counts its bets for less, the more the sides of neighbouring runs resemble
each other: bets with autocorrelation ρ are worth (1−ρ)/(1+ρ) as many independent ones (Kish's
effective sample size, as for the mean of a stationary series; we add a quarter for what one lag
does not show). ρ is estimated from the bets themselves and shrunk to 0.7 while they are few. What
is assumed: that dependence fades as a geometric series does, and is no longer than that from run
to run. `protoledger experiment threshold` shows how often each test is wrong without that.

Sources: e-process by betting against a fair coin, mixed over bets (Shafer, "Testing by betting",
JRSS A 184, 2021; Ramdas et al., "Game-theoretic statistics and safe anytime-valid inference",
Statistical Science 38, 2023); McNemar's exact test (Psychometrika 12, 1947); a confidence interval
on the gain in accuracy, as Beis-Penedo et al. (arXiv 2311.14136) limit their transactions.
"""

import math
from statistics import NormalDist
from typing import ClassVar, Final, get_args

import msgspec
import numpy as np

from protoledger.gateway.config import TestName

TEST_NAMES: Final[tuple[TestName, ...]] = get_args(TestName)
INTERVAL_MINIMUM: Final = 30
"""Fewer outcomes than this and a normal interval is no approximation at all."""
LONGEST_RUN: Final = 32
"""Samples of equal labels after which another bet begins."""
LONGEST_FIRST: Final = 12
"""The same before a gateway's first commit, of which dependence is not asked."""
PRIOR_BETS: Final = 10.0
PRIOR_CORRELATION: Final = 0.7
"""What the autocorrelation is shrunk to, as if so many bets had shown it."""
MOST_CORRELATION: Final = 0.98
EXTRA: Final = 1.25
"""By what the excess of the variance inflation factor over 1 is multiplied."""


class Evidence(msgspec.Struct, forbid_unknown_fields=True):
    """What a test has seen since the last commit; saved with the model.

    Attributes:
        wins: Samples that only the candidate got right.
        losses: Samples that only the committed state got right.
        ties: All others.
        bets_won: Runs in which the candidate won more samples than it lost.
        bets_lost: Runs in which it lost more.
        runs: All runs that are over.
        products: Sum of the products of each run's side (1, 0, −1) with that of the run before.
        side: The last run's side.
        label: Class of the run that goes on, −1 before the first.
        length: Its samples.
        net: Samples won in it, less samples lost.
    """

    wins: int = 0
    losses: int = 0
    ties: int = 0
    bets_won: int = 0
    bets_lost: int = 0
    runs: int = 0
    products: int = 0
    side: int = 0
    label: int = -1
    length: int = 0
    net: int = 0

    def observe(self, gain: int, label: int, longest: int = LONGEST_RUN) -> None:
        """Take in one sample that the candidate won (1), lost (−1), or neither (0)."""
        self.wins += gain > 0
        self.losses += gain < 0
        self.ties += gain == 0
        if self.length and (label != self.label or self.length >= longest):
            self._end_run()
        self.label, self.length, self.net = label, self.length + 1, self.net + gain

    def _end_run(self) -> None:
        side = (self.net > 0) - (self.net < 0)
        self.runs += 1
        self.bets_won += side > 0
        self.bets_lost += side < 0
        self.products += side * self.side
        self.side, self.length, self.net = side, 0, 0

    def inflation(self) -> float:
        """Return by how much dependence inflates the variance of the bets' sum, ≥ 1."""
        bets = self.bets_won + self.bets_lost
        mean = (self.bets_won - self.bets_lost) / max(self.runs, 1)
        spread = bets - self.runs * mean**2
        alike = max(self.products - max(self.runs - 1, 0) * mean**2, 0.0)
        correlation = (PRIOR_BETS * PRIOR_CORRELATION + alike) / (PRIOR_BETS + spread)
        correlation = min(correlation, MOST_CORRELATION)
        return 1 + EXTRA * ((1 + correlation) / (1 - correlation) - 1)


class CommitTest:
    """Paired outcomes since the last commit; what they prove is the subclasses' matter.

    Args:
        alpha: Bound on the rate of false alarms, 0 < alpha < 1.

    Attributes:
        evidence: What was seen.
        first: Whether nothing is committed yet: then the rival is what the others know.

    Raises:
        ValueError: alpha is out of its range.
    """

    name: ClassVar[TestName]
    bets: ClassVar[bool] = False
    """Whether only runs that are over count."""

    def __init__(self, alpha: float = 0.05) -> None:
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")
        self.alpha = alpha
        self.evidence = Evidence()
        self.first = False
        self._verdict: bool | None = None

    def observe(self, candidate_right: bool, committed_right: bool, label: int) -> None:  # noqa: FBT001 - a pair
        """Take in one labelled sample that neither had learnt from when they predicted it."""
        runs = self.evidence.runs
        longest = LONGEST_FIRST if self.first else LONGEST_RUN
        self.evidence.observe(int(candidate_right) - int(committed_right), label, longest)
        if not self.bets or self.evidence.runs != runs:
            self._verdict = None

    @property
    def significant(self) -> bool:
        """Whether the candidate has proved better."""
        if self._verdict is None:
            self._verdict = self._judge()
        return self._verdict

    def reset(self, evidence: Evidence | None = None, *, first: bool = False) -> None:
        """Start over, as after a commit; or go on from saved evidence.

        Raises:
            ValueError: A count is negative.
        """
        found = evidence or Evidence()
        counts = (found.wins, found.losses, found.ties, found.bets_won, found.bets_lost)
        if min(*counts, found.runs, found.length) < 0:
            raise ValueError(f"counts cannot be negative: {found}")
        self.evidence = found
        self.first = first
        self._verdict = None

    def _judge(self) -> bool:
        raise NotImplementedError


class EProcess(CommitTest):
    """Wealth of a gambler who bets that the candidate wins; 1/alpha is proof.

    If the candidate is no better, each independent bet is a coin that favours it by at most one
    half whatever came before, the wealth is a supermartingale, and by Ville's inequality it ever
    reaches 1/alpha with probability ≤ alpha: looking after every sample is free. The stakes are an
    equal mixture of ten fractions of the wealth, so that a small gain is found as well. Bets are
    counted as in the module's description. Of a gateway's first commit dependence is not asked: it
    is one commit, and what it replaces is nothing.

    >>> test = EProcess(alpha=0.05)
    >>> test.reset(first=True)
    >>> looks = []
    >>> for sample in range(9):
    ...     test.observe(True, False, label=sample % 2)
    ...     looks.append(test.significant)
    >>> looks.index(True)  # the seventh run was won, and is over
    7
    """

    name = "e-process"
    bets = True
    _stakes = (np.arange(10) + 0.5) / 10

    @property
    def wealth(self) -> float:
        """What the gambler owns, having begun with 1."""
        return math.exp(min(self._log_wealth(), 700.0))

    def _log_wealth(self) -> float:
        found = self.evidence
        inflation = 1.0 if self.first else found.inflation()
        won, lost = found.bets_won / inflation, found.bets_lost / inflation
        logs = won * np.log1p(self._stakes) + lost * np.log1p(-self._stakes)
        top = float(logs.max())
        return top + math.log(float(np.exp(logs - top).mean()))

    def _judge(self) -> bool:
        return self._log_wealth() >= -math.log(self.alpha)


class McNemarTest(CommitTest):
    """Exact, one-sided: how probable are so many wins among the discordant if a coin decided?

    Valid for one look at a time fixed beforehand; repeated looks find far more than alpha.

    >>> test = McNemarTest(alpha=0.05)
    >>> test.reset(Evidence(wins=4)), test.significant
    (None, False)
    >>> test.reset(Evidence(wins=5)), test.significant
    (None, True)
    """

    name = "mcnemar"

    def _judge(self) -> bool:
        return self.evidence.wins > self.evidence.losses and self.p_value() <= self.alpha

    def p_value(self) -> float:
        """Return P(at least this many wins) for a fair coin."""
        wins = self.evidence.wins
        n = wins + self.evidence.losses
        log_half = n * math.log(0.5)
        terms = (
            math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + log_half
            for k in range(wins, n + 1)
        )
        return min(1.0, math.fsum(math.exp(term) for term in terms))


class IntervalTest(CommitTest):
    """The normal interval of level 1 − alpha around the gain in accuracy lies above 0.

    Needs 30 outcomes. Valid for one look only, as McNemar's.

    >>> test = IntervalTest(alpha=0.05)
    >>> test.reset(Evidence(wins=10, losses=2, ties=88))
    >>> test.significant
    True
    """

    name = "interval"

    def _judge(self) -> bool:
        found = self.evidence
        n = found.wins + found.losses + found.ties
        if n < INTERVAL_MINIMUM:
            return False
        gain = (found.wins - found.losses) / n
        variance = ((found.wins + found.losses) / n - gain**2) / n
        half_width = NormalDist().inv_cdf(1 - self.alpha / 2) * math.sqrt(max(variance, 0.0))
        return gain > half_width


class AlwaysTest(CommitTest):
    """Says yes after any outcome: every change is committed."""

    name = "always"

    def _judge(self) -> bool:
        return self.evidence.wins + self.evidence.losses + self.evidence.ties > 0


def make_test(name: TestName, alpha: float = 0.05) -> CommitTest:
    """Return a new commit test.

    Raises:
        ValueError: The name is unknown, or alpha is out of its range.
    """
    for kind in (EProcess, McNemarTest, IntervalTest, AlwaysTest):
        if kind.name == name:
            return kind(alpha)
    raise ValueError(f"there is no commit test {name!r}; choose one of {', '.join(TEST_NAMES)}")
