"""Trust: which owners' codebooks vote, in which version, and the evidence.

Two questions, asked whenever a codebook or the gateway's own prototypes have changed (see
`influence` for how they are measured):

- **What is its influence?** An owner whose codebook costs the other owners' prototypes more than
  `MOST_INFLUENCE` is quarantined: it does not vote. The worst goes first, and the others are asked
  again without it, so that a quarantined owner's prototypes are no references.
- **Does a new version disagree with its predecessor?** One that gets more than `MOST_DISAGREEMENT`
  of its predecessor's prototypes wrong is held back, and the older version votes on, until that one
  is quarantined or a new one agrees. So a gateway that turns malicious changes nothing by doing so,
  not even in regions that it alone knows, and one whose world changed votes with its new version
  once others have seen the change, too. Nor may a version disagree with the one that was held back
  before it: trying at random gets nobody through.

Decisions follow from the codebooks that are present, and from nothing else: an owner that corrects
its codebook votes again at once, and one that leaves has no effect any more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from protoledger.gateway.union.influence import LeaveOneOut

MOST_INFLUENCE: Final = 0.06
"""Share of the others' prototypes that a codebook may turn wrong."""
MOST_DISAGREEMENT: Final = 0.10
"""Share of its predecessor's prototypes that a new version may get wrong."""
AGREEING: Final = 2.0
"""Prototypes that every new version is taken to agree with: shrinks the share of a small book."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One owner's codebooks, by their places in a `LeaveOneOut`.

    Attributes:
        owner: its name.
        newest: the version that the ledger has.
        older: the version that votes so far, if that is another.
        refused: the version that was held back when the newest came, if there was one.
    """

    owner: str
    newest: int
    older: int | None = None
    refused: int | None = None


@dataclass(frozen=True, slots=True)
class Trust:
    """What was decided about one owner, and why.

    Attributes:
        votes: whether a codebook of it votes; else it is quarantined, or was not drawn.
        influence: share of the other owners' prototypes, the gateway's own counting double, that
            the union gets wrong with that codebook and right without it, less the reverse.
        held_back: whether its newest version does not vote, but an older one.
        disagreement: share of an older version's prototypes that the newest gets wrong; 0 unless it
            is held back.
        drawn: whether this site judges it at all; see `limits.drawn`.
    """

    votes: bool = True
    influence: float = 0.0
    held_back: bool = False
    disagreement: float = 0.0
    drawn: bool = True

    def __str__(self) -> str:
        """Say it for an operator."""
        if not self.drawn:
            return "does not vote here: there are more owners than a site judges"
        if not self.votes:
            return (
                f"quarantined: its codebook turns {self.influence:.0%} of the other prototypes "
                "wrong"
            )
        if self.held_back:
            return (
                f"its newest codebook is held back, for it gets {self.disagreement:.0%} of the "
                f"previous one's prototypes wrong (that one votes, influence {self.influence:.0%})"
            )
        return f"votes (influence {self.influence:.0%} of the other prototypes)"


NOT_DRAWN: Final = Trust(votes=False, drawn=False)


def judge(books: LeaveOneOut, candidates: Sequence[Candidate]) -> dict[str, Trust]:
    """Decide which owners vote, and in which version.

    Args:
        books: all codebooks; book 0 is the gateway's own.
        candidates: the owners.

    >>> import numpy as np
    >>> from protoledger.gateway.union.influence import OWN, References
    >>> places = np.array([[0.0], [0.2], [1.0], [1.2]])
    >>> own = References(OWN, places, np.array([0, 0, 1, 1]), np.ones(4))
    >>> wrong = References("b", np.array([[0.1], [1.1]]), np.array([1, 0]), np.full(2, 9.0))
    >>> judge(LeaveOneOut([own, wrong], np.ones(1), 2), [Candidate("b", newest=1)])
    {'b': Trust(votes=False, influence=1.0, held_back=False, disagreement=0.0, drawn=True)}
    """
    disagreement = {each.owner: _disagreement(books, each) for each in candidates}
    chosen = {
        each.owner: each.older
        if each.older is not None and disagreement[each.owner] > MOST_DISAGREEMENT
        else each.newest
        for each in candidates
    }
    influence = _quarantine(books, chosen)
    for each in sorted(candidates, key=lambda each: each.owner):
        owner, others = each.owner, [name for name in chosen if name != each.owner]
        if each.older is None or influence[owner] <= MOST_INFLUENCE:
            continue
        other = each.newest if chosen[owner] == each.older else each.older
        rest = [0, *(chosen[name] for name in others if influence[name] <= MOST_INFLUENCE)]
        if (instead := books.influence(other, rest)) <= MOST_INFLUENCE:
            chosen[owner], influence[owner] = other, instead
    return {
        each.owner: Trust(
            votes=influence[each.owner] <= MOST_INFLUENCE,
            influence=influence[each.owner],
            held_back=(held_back := chosen[each.owner] != each.newest),
            disagreement=disagreement[each.owner] if held_back else 0.0,
        )
        for each in candidates
    }


def _disagreement(books: LeaveOneOut, each: Candidate) -> float:
    """Return how far the newest version disagrees with those before it, 0 if there are none."""
    if each.older is None:
        return 0.0
    before = [each.older, *([each.refused] if each.refused is not None else [])]
    return max(books.disagreement(old, each.newest, AGREEING) for old in before)


def _quarantine(books: LeaveOneOut, chosen: Mapping[str, int]) -> dict[str, float]:
    """Return each owner's influence; beyond the bar, as found when it was quarantined."""
    left, found = dict(chosen), dict[str, float]()
    while left:
        influences = books.influences([0, *left.values()])
        influence = {owner: influences[book] for owner, book in left.items()}
        worst = max(sorted(influence), key=lambda owner: influence[owner])
        if influence[worst] <= MOST_INFLUENCE:
            return found | influence
        found[worst] = influence[worst]
        del left[worst]
    return found
