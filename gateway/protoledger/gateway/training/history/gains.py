"""What each owner brings to this site: its last labelled samples, answered with and without it.

Source: the value of data as what leaving it out changes (leave-one-out; Ghorbani, Zou, "Data
Shapley", ICML 2019), by nearest neighbours (Jia et al., PVLDB 12, 2019). The samples are those on
which `veto` decides, each with the own prototypes from before it was learnt. A gain may be
negative. Owners that know the same cover each other, so gains do not add up to that of all.
"""

from protoledger.gateway.training.model import SiteModel
from protoledger.gateway.union.veto import accuracies


def gains(model: SiteModel) -> dict[str, object] | None:
    """Return how often the site is right with all owners, alone, and what each of them brings.

    Returns:
        `samples`, and as shares `together` (all that vote here), `alone`, and `owners`: for an
        owner that votes, how much would be lost without it; for one that this site contradicts,
        what it would bring. None without labelled samples.
    """
    recent, union = model.recent, model.union
    if not len(recent):
        return None
    books = {book.owner: book for book in union.books_here if len(book.classes)}
    kept = frozenset(books) - union.vetoed
    sets = [kept, frozenset[str](), *(kept ^ {owner} for owner in sorted(books))]
    found = accuracies(
        recent, list(books.values()), model.learner.metric(), model.form.labels, sets
    )
    together, alone, *others = found
    brought = {
        owner: together - other if owner in kept else other - together
        for owner, other in zip(sorted(books), others, strict=True)
    }
    return {
        "samples": len(recent),
        "together": round(together, 4),
        "alone": round(alone, 4),
        "owners": {owner: round(gain, 4) for owner, gain in brought.items()},
    }
