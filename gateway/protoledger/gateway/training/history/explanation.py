"""Why a site answers what it answers: the nearest prototypes, whose they are, what each added.

The answer is a vote of the nearest prototypes, so this is the whole of it and no model of it: each
voter's share of the vote, where its prototype was written, and the answers that would be given if
an owner had never been there. Only the voters' distances are given, never the sample.
"""

from typing import Final

import numpy as np

from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.vote import (
    ALONE,
    TOGETHER,
    measure,
    nearest,
    vote,
    without_missing,
)
from protoledger.gateway.training.commits import winner
from protoledger.gateway.training.history.provenance import Provenance
from protoledger.gateway.training.model import UNION, SiteModel
from protoledger.gateway.union.influence import OWN, References, own_references

KEPT_BOOKS: Final = frozenset({"here", "without vetoed"})
"""Experts of which the owners that this site contradicts are no part; others' prototypes are
shifted there to where this site's sensors stand."""


def explain(model: SiteModel, x: Floats, provenance: Provenance) -> dict[str, object]:
    """Explain what the model answers at x, before it learns from it.

    Args:
        model: settled; unchanged.
        x: (d,) a checked sample; NaN for a channel that it lacks.
        provenance: of the other owners' prototypes.

    Returns:
        What the page, `gateway explain` and the JSON API show; classes are indices, and the owner
        of the site's own prototypes is empty.
    """
    answer = model.answer(x)
    books = _voters(model, answer.expert)
    learner = model.learner if answer.expert in UNION else model.apart
    complete, metric = without_missing(x, learner.metric())
    reach = TOGETHER if len(books) > 1 else ALONE
    classes = np.concatenate([book.classes for book in books])
    strengths = np.concatenate([book.strengths for book in books])
    owners = np.repeat(np.arange(len(books)), [len(book.classes) for book in books])
    remote = [measure(book.features.T, metric, complete) for book in books[1:]]
    squares = np.concatenate([learner.distances(x), *remote])
    rows = nearest(squares, reach.voters)
    weighed = strengths[rows] / (squares[rows] + reach.softening)
    shares = weighed / weighed.sum() if len(rows) else weighed

    def without(gone: set[int]) -> dict[str, object]:
        left = np.where(np.isin(owners, list(gone)), np.inf, squares)
        there = np.isfinite(left)
        alone = len(books) - len(gone) < 2
        found = vote(
            left[there], classes[there], strengths[there], model.form.labels,
            ALONE if alone else reach,
        )  # fmt: skip
        likely = model.as_answered(found, answer.expert)
        best = winner(likely)
        return {
            "answer": best,
            "probability": 0.0 if best is None else round(float(likely[best]), 4),
        }

    starts = np.cumsum([0, *(len(book.classes) for book in books)])
    voters = [
        _voter(books[owners[row]], int(row - starts[owners[row]]), provenance)
        | {
            "class": int(classes[row]),
            "weight": round(float(strengths[row]) ** 2, 1),
            "distance": round(float(np.sqrt(squares[row])), 4),
            "share": round(float(share), 4),
        }
        for row, share in zip(rows, shares, strict=True)
    ]
    taking_part = sorted({int(owners[row]) for row in rows} - {0})
    left_out = [{"owner": books[at].owner, **without({at})} for at in taking_part]
    if len(books) > 1:
        left_out.append({"owner": "*", **without(set(range(1, len(books))))})
    return {
        "answer": answer.label,
        "anywhere": answer.anywhere,
        "alone": answer.alone,
        "expert": answer.expert,
        "by_prototypes": answer.expert in {*UNION, "prototypes"},
        "probabilities": [round(float(p), 4) for p in answer.probabilities],
        "confidence": round(answer.confidence, 4),
        "unknown": answer.unknown,
        "new": answer.new,
        "nearest": voters,
        "without": left_out,
    }


def _voters(model: SiteModel, expert: str) -> list[References]:
    """Return the books that an expert lets vote, the own one first."""
    union = model.union
    if expert not in UNION:
        return [own_references(model.apart.live())]
    own, books = own_references(model.learner.live()), union.books
    if expert in KEPT_BOOKS:
        books = tuple(b for b in union.books_here if b.owner not in union.vetoed)
    return [own, *(b for b in books if len(b.classes))]


def _voter(book: References, row: int, provenance: Provenance) -> dict[str, object]:
    number = row if book.ids is None else int(book.ids[row])
    if book.owner == OWN:
        return {"owner": OWN, "id": number}
    found = provenance.of(book.owner, number)
    origin = {} if found is None else {
        "version": found.version, "block": found.block, "tx": found.tx_hash, "exact": found.exact,
    }  # fmt: skip
    return {"owner": book.owner, "id": number, **origin}
