"""Trust: whose codebook votes, in which version, and the evidence.

Two questions, asked whenever a codebook or the gateway's own prototypes have changed (see `court`
for how they are measured):

- **Does a codebook do harm?** Owners whose codebook costs the other owners' prototypes more than
  `BAR` do not vote. The worst goes first, and the others are asked again without it, so that no
  liar's prototypes bear witness against the honest.
- **Does a new version deny the old one?** One that gets more than `DENIAL` of its predecessor's
  prototypes wrong waits in its shadow, and the old one votes on, until the old one does harm or a
  new one stops denying it. So a gateway that turns malicious changes nothing by doing so, not even
  in regions that it alone knows, and one whose world changed is believed once others see it too.
  Nor may a version deny the one that waited before it: nobody gets through by trying at random.

Verdicts follow from the codebooks that are there, and from nothing else: who mends is back at once,
and who leaves leaves no trace.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from protoledger.gateway.union.influence import Court

BAR: Final = 0.06
"""Share of the others' prototypes that a codebook may turn wrong."""
DENIAL: Final = 0.10
"""Share of its predecessor's prototypes that a new version may get wrong."""
DENIAL_DOUBT: Final = 2.0
"""Prototypes that are taken to stand by every new version."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known about one owner.

    Attributes:
        votes: whether a codebook of it votes.
        harm: share of the other owners' prototypes, the gateway's own counting double, that the
            union gets wrong with that codebook and right without it, less the reverse.
        waits: whether its newest version does not vote, an older one in its place.
        denied: share of an older version's prototypes that the newest gets wrong; 0 if it does
            not wait.
    """

    votes: bool = True
    harm: float = 0.0
    waits: bool = False
    denied: float = 0.0

    def __str__(self) -> str:
        """Say it for an operator."""
        if not self.votes:
            return f"does not vote: its codebook turns {self.harm:.0%} of all others wrong"
        if self.waits:
            return (
                f"its newest codebook waits, for it gets {self.denied:.0%} of its last one's "
                f"prototypes wrong (the last one votes, at a harm of {self.harm:.0%})"
            )
        return f"votes (harm {self.harm:.0%} of all others' prototypes)"


def judge(
    court: Court,
    newest: Mapping[str, int],
    older: Mapping[str, int],
    refused: Mapping[str, int],
) -> dict[str, Verdict]:
    """Decide whose codebook votes, and in which version.

    Args:
        court: all codebooks; block 0 is the gateway's own.
        newest: block of each owner's newest version.
        older: block of the version that votes so far, of owners where that is another.
        refused: block of the version that waited in vain before the newest came.

    >>> import numpy as np
    >>> from protoledger.gateway.union.influence import OWN, Block
    >>> places = np.array([[0.0], [0.2], [1.0], [1.2]])
    >>> own = Block(OWN, places, np.array([0, 0, 1, 1]), np.ones(4))
    >>> liar = Block("b", np.array([[0.1], [1.1]]), np.array([1, 0]), np.full(2, 9.0))
    >>> judge(Court([own, liar], np.ones(1), 2), {"b": 1}, {}, {})
    {'b': Verdict(votes=False, harm=1.0, waits=False, denied=0.0)}
    """
    denied = {
        owner: max(
            court.denial(before, newest[owner], DENIAL_DOUBT)
            for before in (old, *([refused[owner]] if owner in refused else []))
        )
        for owner, old in older.items()
    }
    chosen = {
        owner: older[owner] if denied.get(owner, 0.0) > DENIAL else block
        for owner, block in newest.items()
    }
    harm = _exclude(court, chosen)
    for owner in sorted(older):
        other = newest[owner] if chosen[owner] == older[owner] else older[owner]
        if harm[owner] > BAR:
            rest = [0, *(chosen[name] for name in chosen if name != owner and harm[name] <= BAR)]
            if (instead := court.harm(other, rest)) <= BAR:
                chosen[owner], harm[owner] = other, instead
    return {
        owner: Verdict(
            votes=harm[owner] <= BAR,
            harm=harm[owner],
            waits=block != newest[owner],
            denied=denied[owner] if block != newest[owner] else 0.0,
        )
        for owner, block in chosen.items()
    }


def _exclude(court: Court, chosen: Mapping[str, int]) -> dict[str, float]:
    """Return each owner's harm; where it is beyond the bar, as found when it was excluded."""
    left, found = dict(chosen), dict[str, float]()
    while left:
        harm = {
            owner: court.harm(block, [0, *(left[name] for name in left if name != owner)])
            for owner, block in left.items()
        }
        worst = max(sorted(harm), key=lambda owner: harm[owner])
        if harm[worst] <= BAR:
            return found | harm
        found[worst] = harm[worst]
        del left[worst]
    return found
