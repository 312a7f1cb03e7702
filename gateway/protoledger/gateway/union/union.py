"""Prediction with one's own prototypes and those of all trusted owners on the ledger.

Each owner keeps a namespace: codebooks are never merged, so one that changes or disappears takes
all of its influence with it. All vote together: *here* in the gateway's own learnt metric, and from
where the site's own sensors would have put them (`alignment`); *anywhere* as they are, in a metric
that all owners' prototypes have a say in (`elsewhere`). Which owners vote, and in which version, is
decided in `trust`; `editing` leaves out what all others contradict. A vote's strength is that of
its prototype's weight, which is self-reported and therefore clipped (`limits`).

`set` and `own_changed` take changes in, `settle` decides again if anything has changed, and the
other methods answer from what was decided last and change nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.learner.base import Engine, Floats, Live
from protoledger.gateway.learner.vote import ALONE, TOGETHER, Reach, measure, nearest, strengths_of
from protoledger.gateway.union.alignment import aligned, borne_out
from protoledger.gateway.union.editing import edited
from protoledger.gateway.union.elsewhere import between, metric_of
from protoledger.gateway.union.influence import References, own_references
from protoledger.gateway.union.limits import WeightLimits, drawn
from protoledger.gateway.union.many import leave_one_out
from protoledger.gateway.union.recent import RecentSamples
from protoledger.gateway.union.trust import NOT_DRAWN, Candidate, Trust, judge
from protoledger.gateway.union.veto import vetoed
from protoledger.gateway.union.voting import Beside, Panel

if TYPE_CHECKING:
    from numpy.typing import NDArray

JUDGED_AFTER: Final = 64
"""Own samples between two judgements, at least; a remote change is judged at once."""
VETOED_AFTER: Final = 32
"""Own samples after which they are asked again which owners they contradict."""
MOST_PROTOTYPES: Final = 4096
"""Of other owners that are judged and vote. Where there are more, each site draws owners."""


@dataclass(slots=True)
class _Owner:
    """An owner's codebooks.

    Attributes:
        newest: as the ledger has it.
        older: what votes so far, if it is another.
        refused: what was held back when the newest came.
    """

    newest: Codebook
    older: Codebook | None = None
    refused: Codebook | None = None


class Union:
    """Own prototypes and trusted remote codebooks, voting together.

    Args:
        n_features: Length of a sample.
        n_classes: Number of labels.
        defended: Whether codebooks are judged and edited and their weights clipped. Only to compare
            with: without it every codebook votes, whatever is in it.

    Attributes:
        trust: What `settle` decided about each present owner, with the evidence.
        vetoed: Owners that vote and that the site's own recent samples contradict.
        site: A name of this site's own, by which it draws owners where there are too many.
        most: How many prototypes of other owners are judged and vote.
        shifts: What was added to each voting owner's prototypes *here*: float64 (d,), in ranges.
        engine: What computes.

    >>> union = Union(n_features=1, n_classes=2)
    >>> union.set("b", Codebook.from_prototypes([0], [1], [9], [[1.0]], labels=2))
    >>> own = Live(np.array([0]), np.array([5.0]), np.array([[0.0]]))
    >>> x, metric = np.array([0.9]), np.ones(1)
    >>> union.settle(own, metric)
    ()
    >>> int(union.shares(x, np.array([0.81]), own, metric).argmax())
    1
    >>> union.set("b", None)
    >>> union.settle(own, metric)
    ()
    >>> int(union.shares(x, np.array([0.81]), own, metric).argmax())
    0
    """

    def __init__(self, n_features: int, n_classes: int, *, defended: bool = True) -> None:
        self.defended = defended
        self.site = ""
        self.most = MOST_PROTOTYPES
        self.n_features = n_features
        self.n_classes = n_classes
        self.engine: Engine = "auto"
        self.trust: dict[str, Trust] = {}
        self._owners: dict[str, _Owner] = {}
        self.vetoed: frozenset[str] = frozenset()
        self.shifts: dict[str, Floats] = {}
        self._found_shifts = self.shifts  # before the site's own samples were asked
        self._voting: list[References] = []
        self._panel = self._kept = _empty(n_features)
        self._elsewhere: Floats | None = None
        self._kept_names: list[str] = []
        self._kept_owners: NDArray[np.intp] = np.zeros(0, np.intp)
        self._until_judged = 0
        self._until_vetoed = 0

    @property
    def owners(self) -> tuple[str, ...]:
        """Owners whose codebooks are present, trusted or not, sorted."""
        return tuple(sorted(self._owners))

    @property
    def voting(self) -> int:
        """How many prototypes of trusted owners vote."""
        return len(self._panel)

    @property
    def books(self) -> tuple[References, ...]:
        """The trusted owners' codebooks as they vote: edited, and clipped."""
        return tuple(self._voting)

    @property
    def books_here(self) -> tuple[References, ...]:
        """The same, shifted to where this site's sensors stand; the vetoed are among them."""
        return tuple(
            replace(book, features=book.features + self.shifts[book.owner]) for book in self._voting
        )

    @property
    def differs_here(self) -> bool:
        """Whether `shares_here` may differ from `shares`."""
        return self._kept is not self._panel

    def former(self) -> Mapping[str, Sequence[Codebook]]:
        """Older codebooks that still count: what votes in place of the newest, what was held back.

        Given to `set` in this order, and then the newest, they lead to the same state.
        """
        return {
            name: [book for book in (owner.older, owner.refused) if book is not None]
            for name, owner in self._owners.items()
            if owner.older is not None
        }

    def set(self, owner: str, codebook: Codebook | None) -> None:
        """Take an owner's codebook in place of its last one, or none: then nothing of it stays.

        Effective with the next `settle`.

        Raises:
            ValueError: The codebook has another number of features or labels.
        """
        self._until_judged = 0
        if codebook is None:
            self._owners.pop(owner, None)
            self.trust.pop(owner, None)
            return
        form = codebook.form
        if (form.features, form.labels) != (self.n_features, self.n_classes):
            raise ValueError(
                f"{owner} has a codebook of {form.features} features and {form.labels} labels; "
                f"here they are {self.n_features} and {self.n_classes}"
            )
        known = self._owners.setdefault(owner, _Owner(codebook))
        if known.newest == codebook:
            return
        if known.older is None:
            known.older = known.newest
        else:
            known.refused = known.newest
        known.newest = codebook
        if known.older == codebook:
            known.older = known.refused = None

    def own_changed(self) -> None:
        """Note that the gateway has learnt a sample; after enough of them all are judged again."""
        self._until_judged -= 1
        self._until_vetoed -= 1

    def judge_again(self) -> None:
        """Let the next `settle` judge: on saving, so that a restored model does the same."""
        self._until_judged = 0

    def settle(
        self, own: Live, metric: Floats, recent: RecentSamples | None = None
    ) -> tuple[str, ...]:
        """Judge all owners, if something has changed.

        Args:
            own: The gateway's own prototypes.
            metric: (d,) weight of each feature.
            recent: Its last labelled samples, which have a veto; none without.

        Returns:
            Owners that from now on vote, do not vote, or are held back, sorted; `trust` has the
            evidence.
        """
        judging = self._until_judged <= 0
        if not judging and self._until_vetoed > 0:
            return ()
        before, vetoed_before = self.trust, self.vetoed
        if judging:
            self._judge(own, metric)
        self._veto(metric, recent)
        return tuple(
            name
            for name, trust in sorted(self.trust.items())
            if (known := before.get(name, Trust())).votes != trust.votes
            or known.held_back != trust.held_back
            or (name in vetoed_before) != (name in self.vetoed)
        )

    def shares(self, x: Floats, own_squares: Floats, own: Live, metric: Floats) -> Floats:
        """Return each class's share of the vote of all trusted owners at x, all 0 without any.

        Args:
            x: (d,) a checked sample, complete.
            own_squares: (n,) squared distances to the gateway's own prototypes.
            own: The gateway's own prototypes.
            metric: (d,) weight of each feature, 0 where the sample lacks it.
        """
        return self._shares(self._panel, x, own_squares, own, metric)

    def shares_here(self, x: Floats, own_squares: Floats, own: Live, metric: Floats) -> Floats:
        """Return the same, shifted, without the owners that the site's own samples contradict."""
        return self._shares(self._kept, x, own_squares, own, metric)

    def shares_anywhere(self, x: Floats, own: Live, metric: Floats) -> Floats:
        """Return the same of all trusted owners, in the metric that `anywhere` has.

        Args:
            x: (d,) a checked sample, complete.
            own: The gateway's own prototypes.
            metric: (d,) what `anywhere` returned, 0 where the sample lacks a feature.
        """
        squares = measure(own.features.T, metric, x) if len(own.classes) else np.zeros(0)
        return self._shares(self._panel, x, squares, own, metric)

    def anywhere(self, metric: Floats) -> Floats:
        """Return the metric for samples that may be from any site, given the gateway's own."""
        return metric if self._elsewhere is None else between(metric, self._elsewhere)

    def pool(self, own: Live) -> Floats:
        """Return how much each class weighs in the vote that `shares_here` is: float64 (K,)."""
        kept = self._kept
        classes = np.concatenate((own.classes, kept.classes))
        weights = np.concatenate((np.maximum(own.weights, 1.0), kept.strengths**2))
        pool: Floats = np.bincount(classes, weights, self.n_classes).astype(np.float64)
        return pool

    def decisive(self, x: Floats, label: int, metric: Floats) -> str | None:
        """Return the owner whose prototypes among the nearest weigh most for a class, if any."""
        near = measure(self._kept.columns, metric, x)
        rows = nearest(near, TOGETHER.voters)
        rows = rows[self._kept.classes[rows] == label]
        if not len(rows):
            return None
        weights = self._kept.strengths[rows] / (near[rows] + TOGETHER.softening)
        owners = self._kept_owners[rows]
        return self._kept_names[int(np.bincount(owners, weights).argmax())]

    def _shares(
        self, panel: Panel, x: Floats, own_squares: Floats, own: Live, metric: Floats
    ) -> Floats:
        # a learner's arrays may have gaps, which kernels do not take
        mine = Beside(
            np.ascontiguousarray(own_squares),
            np.ascontiguousarray(own.classes),
            np.ascontiguousarray(strengths_of(own.weights)),
        )
        reach = TOGETHER if len(panel) else ALONE
        return panel.shares(x, metric, self.n_classes, mine, self.engine, reach)

    def others(self, x: Floats, metric: Floats) -> Beside:
        """Return the other owners' prototypes that are nearest to x, and vote."""
        return self._panel.nearest(x, metric, self.engine)

    def panel(self, own: Live) -> Panel:
        """Return all trusted prototypes, the gateway's own among them, as copies."""
        remote = self._panel
        return Panel.of(
            np.concatenate((own.features, remote.columns.T)),
            np.concatenate((own.classes, remote.classes)),
            np.concatenate((strengths_of(own.weights), remote.strengths)),
            self._reach(),
        )

    def _reach(self) -> Reach:
        return TOGETHER if len(self._panel) else ALONE

    def _judge(self, own: Live, metric: Floats) -> None:
        if not self.defended:
            self._admit_all(own_references(own))
            return
        remote = (owner.newest.weights for owner in self._owners.values())
        limits = WeightLimits.of([own.weights, *remote])
        books = [own_references(own)]
        candidates = list[Candidate]()

        def place(name: str, book: Codebook | None) -> int | None:
            if book is None:
                return None
            books.append(limits.clip(name, book))
            return len(books) - 1

        sizes = {name: len(owner.newest) for name, owner in self._owners.items()}
        names = drawn(sizes, self.most, limits.most, self.site)
        for name in names:
            owner = self._owners[name]
            books.append(limits.clip(name, owner.newest))
            newest = len(books) - 1
            older, refused = place(name, owner.older), place(name, owner.refused)
            candidates.append(Candidate(name, newest, older, refused))
        if not metric.all() and (found := metric_of(books, self.n_classes)) is not None:
            metric = np.where(metric > 0, metric, found)  # what never varied here may tell there
        judged = leave_one_out(books, metric, self.n_classes, self.engine)
        self.trust = judge(judged, candidates)
        for name in self._owners.keys() - set(names):
            self.trust[name] = NOT_DRAWN
        voting = list[References]()
        for each in candidates:
            trust, owner = self.trust[each.owner], self._owners[each.owner]
            if not trust.held_back:
                owner.older = owner.refused = None
            if trust.votes:
                older = each.older if trust.held_back else None
                voting.append(books[each.newest if older is None else older])
        self._voting = edited(books[0], voting, metric, self.n_classes, self.engine)
        self._panel = _joined(self._voting, self.n_features)
        self._elsewhere = metric_of([books[0], *self._voting], self.n_classes)
        self._found_shifts = aligned(books[0], self._voting, metric, self.n_classes, self.engine)
        self._until_judged = max(JUDGED_AFTER, sum(len(book.classes) for book in books) // 4)

    def _veto(self, metric: Floats, recent: RecentSamples | None) -> None:
        asked = recent if self.defended else None
        self.shifts = self._found_shifts
        if asked is not None:
            self.shifts = borne_out(self.shifts, self._voting, asked, metric, self.n_classes)
        books = self.books_here
        none = frozenset[str]()
        self.vetoed = none if asked is None else vetoed(asked, books, metric, self.n_classes)
        kept = [book for book in books if book.owner not in self.vetoed]
        moved = self.vetoed or any(found.any() for found in self.shifts.values())
        self._kept = _joined(kept, self.n_features) if moved else self._panel
        self._kept_names = [book.owner for book in kept]
        self._kept_owners = np.repeat(np.arange(len(kept)), [len(book.classes) for book in kept])
        self._until_vetoed = max(VETOED_AFTER, len(self._panel) // 8)

    def _admit_all(self, own: References) -> None:
        books = list[References]()
        for name in self.owners:
            self._owners[name].older = None
            books.append(WeightLimits().clip(name, self._owners[name].newest))
        self.trust = {name: Trust() for name in self.owners}
        self._voting = books
        self._found_shifts = {name: np.zeros(self.n_features) for name in self.owners}
        self._panel = _joined(books, self.n_features)
        self._elsewhere = metric_of([own, *books], self.n_classes)
        self._until_judged = JUDGED_AFTER


def _joined(books: list[References], n_features: int) -> Panel:
    if not books:
        return _empty(n_features)
    return Panel.of(
        np.concatenate([book.features for book in books]),
        np.concatenate([book.classes for book in books]),
        np.concatenate([book.strengths for book in books]),
    )


def _empty(n_features: int) -> Panel:
    return Panel.of(np.zeros((0, n_features)), np.zeros(0, np.int64), np.zeros(0))
