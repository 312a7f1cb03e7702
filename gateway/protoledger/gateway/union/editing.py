"""Editing: prototypes that all others contradict do not vote.

Source: Wilson, IEEE Trans. SMC 2 (1972). A prototype that is contradicted clearly goes, whatever
its weight. Those that stand for a single sample go if they are contradicted at all: that helps
where classes overlap and costs elsewhere, so it is done only if it pays: if more prototypes, each
left out of its own vote, are classified right by those that stay than by all. Neither concerns a
class that the other owners hardly cover.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from protoledger.gateway.learner.base import Engine, Floats
from protoledger.gateway.union.influence import Booleans, LeaveOneOut, References
from protoledger.gateway.union.many import leave_one_out

LONE: Final = 1.0
"""Strength of a prototype that stands for a single sample."""
CLEARLY: Final = 0.6
"""By how much another class's share of the vote exceeds that of a prototype's own, to drop it."""
PAYS: Final = 0.01
"""Share of all prototypes, by strength, that editing must bring."""


def edited(
    own: References,
    voting: Sequence[References],
    metric: Floats,
    n_classes: int,
    engine: Engine = "auto",
) -> list[References]:
    """Return what remains of the voting codebooks, in their order.

    Args:
        own: the gateway's own prototypes, which stay.
        voting: the codebooks that vote with them.
        metric: (d,) weight of each feature.
        n_classes: number of labels.
        engine: what computes.

    >>> import numpy as np
    >>> places = np.array([[0.0], [0.2], [0.4], [0.8], [1.0]])
    >>> own = References("", places, np.array([0, 0, 0, 1, 1]), np.full(5, 2.0))
    >>> lone = References("b", np.array([[0.1], [0.9]]), np.array([1, 1]), np.array([1.0, 2.0]))
    >>> [book.features.tolist() for book in edited(own, [lone], np.ones(1), 2)]
    [[[0.9]]]
    """
    books = leave_one_out([own, *voting], metric, n_classes, engine)
    clear = [
        book.where((margins > -CLEARLY) | uncovered)
        for book, margins, uncovered in _contradicted(books)
    ]
    if any(len(some.classes) < len(book.classes) for some, book in zip(clear, voting, strict=True)):
        voting, books = clear, leave_one_out([own, *clear], metric, n_classes, engine)
    kept, gone = list[References](), list[References]()
    for book, margins, uncovered in _contradicted(books):
        stays = (margins > 0) | uncovered | (book.strengths > LONE)
        kept.append(book.where(stays))
        gone.append(book.where(~stays))
    if not any(len(book.classes) for book in gone):
        return list(voting)
    books = leave_one_out([own, *kept, *gone], metric, n_classes, engine)
    with_all, with_kept = range(len(books.books)), range(len(kept) + 1)
    total = sum(float(book.strengths.sum()) for book in books.books)
    brought = sum(
        float(book.strengths.dot(books.right(number, with_kept)))
        - float(book.strengths.dot(books.right(number, with_all)))
        for number, book in enumerate(books.books)
    )
    return kept if brought > PAYS * total else list(voting)


def _contradicted(books: LeaveOneOut) -> Iterator[tuple[References, Floats, Booleans]]:
    """Yield each codebook but the own, its prototypes' margins, and which classes are uncovered."""
    everyone = range(len(books.books))
    for number in everyone[1:]:
        book = books.books[number]
        coverage = books.coverage([other for other in everyone if other != number])
        yield book, books.margins(number, everyone), coverage[book.classes] < 1
