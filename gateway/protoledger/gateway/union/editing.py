"""Editing: prototypes that all others contradict do not vote.

Source: Wilson, IEEE Trans. SMC 2 (1972). Whoever is contradicted clearly goes, whatever weight it
claims. Those that stand for a single sample go if they are contradicted at all: that helps where
classes overlap and costs elsewhere, so it is done only if it pays: if more prototypes, each kept
out of its own vote, are classified right by those that stay than by all. Neither concerns a class
that the other owners hardly know.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from protoledger.gateway.learner.base import Engine, Floats
from protoledger.gateway.union.influence import Block, Booleans, Court

LONE: Final = 1.0
"""Strength of a prototype that stands for a single sample."""
CLEARLY: Final = 0.6
"""By how much another class's share of the vote exceeds that of a prototype's own, to drop it."""
PAYS: Final = 0.01
"""Share of all prototypes, by strength, that editing must bring."""


def edited(
    own: Block, voting: Sequence[Block], metric: Floats, n_classes: int, engine: Engine = "auto"
) -> list[Block]:
    """Return what remains of the voting codebooks, in their order.

    Args:
        own: the gateway's own prototypes, which stay.
        voting: the codebooks that vote with them.
        metric: (d,) weight of each feature.
        n_classes: number of labels.
        engine: what computes.

    >>> import numpy as np
    >>> places = np.array([[0.0], [0.2], [0.4], [0.8], [1.0]])
    >>> own = Block("", places, np.array([0, 0, 0, 1, 1]), np.full(5, 2.0))
    >>> lone = Block("b", np.array([[0.1], [0.9]]), np.array([1, 1]), np.array([1.0, 2.0]))
    >>> [block.features.tolist() for block in edited(own, [lone], np.ones(1), 2)]
    [[[0.9]]]
    """
    court = Court([own, *voting], metric, n_classes, engine)
    clear = [
        block.where((margins > -CLEARLY) | strange)
        for block, margins, strange in _contradicted(court)
    ]
    if any(
        len(some.classes) < len(block.classes) for some, block in zip(clear, voting, strict=True)
    ):
        voting, court = clear, Court([own, *clear], metric, n_classes, engine)
    kept, gone = list[Block](), list[Block]()
    for block, margins, strange in _contradicted(court):
        stays = (margins > 0) | strange | (block.strengths > LONE)
        kept.append(block.where(stays))
        gone.append(block.where(~stays))
    if not any(len(block.classes) for block in gone):
        return list(voting)
    court = Court([own, *kept, *gone], metric, n_classes, engine)
    with_all, with_kept = range(len(court.blocks)), range(len(kept) + 1)
    total = sum(float(block.strengths.sum()) for block in court.blocks)
    brought = sum(
        float(block.strengths.dot(court.right(number, with_kept)))
        - float(block.strengths.dot(court.right(number, with_all)))
        for number, block in enumerate(court.blocks)
    )
    return kept if brought > PAYS * total else list(voting)


def _contradicted(court: Court) -> Iterator[tuple[Block, Floats, Booleans]]:
    """Yield each codebook but the own, its prototypes' margins, and whose classes are strange."""
    everybody = range(len(court.blocks))
    for number in everybody[1:]:
        block = court.blocks[number]
        familiar = court.familiar([other for other in everybody if other != number])
        yield block, court.margins(number, everybody), familiar[block.classes] < 1
