"""Trust: what an owner's prototypes do to this gateway's vote, with the evidence.

It asks not how much an owner resembles the gateway: on each labelled sample where its prototypes
are among the voters, the union votes with and without the owner. A gambler bets that the owner
costs more than two right answers in a hundred such samples; at a wealth of 1,000, begun anew
whenever it falls below 1 (an e-detector: Shin, Ramdas, Rinaldo, New England Journal of Statistics
in Data Science 2, 2023), the owner stops voting. It votes on in the shadow, and comes back when a
second gambler, betting the opposite, has made 20. An owner that is merely different, or a little
worse, loses nothing.
"""

from dataclasses import dataclass
from typing import Final

STAKE: Final = 0.5
TOLERATED: Final = 0.02
"""Net harm per sample in which an owner took part that is no reason to exclude it."""
EXCLUDE_AT: Final = 1_000.0
RETURN_AT: Final = 20.0


@dataclass(slots=True)
class Trust:
    """What one owner's votes did on this gateway's labelled samples.

    Attributes:
        asked: Samples in which its prototypes were among the voters.
        helped: Of these, how many the union gets right only with the owner.
        harmed: Of these, how many it gets right only without.
        harm_wealth: The accuser's wealth, ≥ 1.
        help_wealth: The defender's wealth, ≥ 1; counts while excluded.
        excluded: Whether the owner's prototypes do not vote now.

    >>> trust = Trust()
    >>> changes = [trust.observe(right_with=False, right_without=True) for _ in range(18)]
    >>> changes.index(True) + 1, trust.excluded
    (18, True)
    """

    asked: int = 0
    helped: int = 0
    harmed: int = 0
    harm_wealth: float = 1.0
    help_wealth: float = 1.0
    excluded: bool = False

    def observe(self, *, right_with: bool, right_without: bool) -> bool:
        """Take in a sample in which the owner took part; return whether `excluded` changed."""
        harm = int(right_without) - int(right_with)
        self.asked += 1
        self.harmed += harm > 0
        self.helped += harm < 0
        self.harm_wealth = max(1.0, self.harm_wealth * (1 + STAKE * (harm - TOLERATED)))
        self.help_wealth = max(1.0, self.help_wealth * (1 + STAKE * (TOLERATED - harm)))
        wealth, bar = (
            (self.help_wealth, RETURN_AT) if self.excluded else (self.harm_wealth, EXCLUDE_AT)
        )
        if wealth < bar:
            return False
        self.excluded = not self.excluded
        self.harm_wealth = self.help_wealth = 1.0
        return True
