"""Prediction with one's own prototypes and those of all trusted owners on the ledger.

Each owner keeps a namespace: codebooks are never merged, so one that changes or disappears takes
all of its influence with it. The union is **edited** (Wilson, IEEE Trans. SMC 2, 1972): a lone
prototype, one that stands for a single sample, does not vote where its neighbours in the union
vote for another class. Distances are measured in the gateway's own learnt metric.

Owners that harm the vote are excluded from it; see `trust`.
"""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.codebook import Codebook
from gateway.learner.base import NEAREST, Floats, Live
from gateway.learner.vote import SOFTENING, Voters
from gateway.trust import Trust

POOL: Final = 12
"""Nearest prototypes kept at hand: 5 vote, the others replace edited or questioned ones."""
EDITING_MEMORY: Final = 0.98
REEDIT_AFTER: Final = 16
"""Own samples between two editings; a remote change edits at once."""


@dataclass(frozen=True, slots=True, eq=False)
class _Remote:
    """All remote codebooks in one table; `owner[i]` indexes `owners`."""

    owners: tuple[str, ...]
    voters: Voters
    owner: NDArray[np.int64]


class _Candidate(NamedTuple):
    """A prototype near the sample; `owner` is −1 for the gateway's own."""

    square: float
    row: int
    label: int
    strength: float
    owner: int


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where the last vote was held: what `judge` needs until the gateway learns."""

    squares: Floats
    own: Live
    metric: Floats
    candidates: list[_Candidate]


class Union:
    """Own prototypes and trusted remote codebooks, voting together.

    Args:
        n_features: Length of a sample.
        n_classes: Number of labels.

    Attributes:
        trust: The evidence for and against each present owner.
        editing_gain: Samples that editing got right and its absence wrong, minus the reverse,
            older ones fading; below 0 nothing is edited until editing would have done better.

    >>> union = Union(n_features=1, n_classes=2)
    >>> union.set("b", Codebook.from_prototypes([0], [1], [9], [[1.0]], labels=2))
    >>> own = Live(np.array([0]), np.array([5.0]), np.array([[0.0]]))
    >>> x, metric = np.array([0.9]), np.ones(1)
    >>> int(union.shares(x, np.array([0.81]), own, metric).argmax())
    1
    >>> union.set("b", None)
    >>> int(union.shares(x, np.array([0.81]), own, metric).argmax())
    0
    """

    def __init__(self, n_features: int, n_classes: int) -> None:
        self.n_features = n_features
        self.n_classes = n_classes
        self.trust: dict[str, Trust] = {}
        self.editing_gain = 0.0
        self._books: dict[str, Voters] = {}
        self._remote = self._join()
        self._excluded: list[int] = []
        # Who is edited, as far as it was asked: own rows by number, remote ones by their table's.
        self._own_edited: dict[int, bool] = {}
        self._remote_edited: dict[int, bool] = {}
        self._until_edit = 0
        self._place: _Place | None = None

    @property
    def owners(self) -> tuple[str, ...]:
        """Owners whose codebooks are present, trusted or not, sorted."""
        return self._remote.owners

    def set(self, owner: str, codebook: Codebook | None) -> None:
        """Take an owner's codebook in place of its last one, or none: then nothing of it stays.

        Raises:
            ValueError: The codebook has another number of features or labels.
        """
        if codebook is None:
            self._books.pop(owner, None)
            self.trust.pop(owner, None)
        else:
            form = codebook.form
            if (form.features, form.labels) != (self.n_features, self.n_classes):
                raise ValueError(
                    f"{owner} has a codebook of {form.features} features and {form.labels} labels; "
                    f"here they are {self.n_features} and {self.n_classes}"
                )
            self._books[owner] = voters_of(codebook)
            self.trust.setdefault(owner, Trust())
        self._remote = self._join()
        self._find_excluded()

    def own_changed(self, *, rows: bool) -> None:
        """Note that the gateway has learnt.

        Args:
            rows: Whether rows came, went or changed places; else some only moved, and lone
                prototypes are edited again after a few samples.
        """
        self._until_edit -= 1
        self._place = None
        if rows:
            self._own_edited.clear()

    def shares(self, x: Floats, own_squares: Floats, own: Live, metric: Floats) -> Floats:
        """Return each class's share of the union's vote at x, all 0 where nobody votes.

        Args:
            x: (d,) a checked sample.
            own_squares: (n,) squared distances to the gateway's own prototypes.
            own: The gateway's own prototypes.
            metric: (d,) weight of each feature.
        """
        if self._until_edit <= 0:
            self.edit_anew()
            self._until_edit = REEDIT_AFTER
        squares = np.concatenate((own_squares, self._remote.voters.squares(x, metric)))
        self._place = _Place(squares, own, metric, [])
        self._place.candidates.extend(self._nearest(self._excluded))
        votes = np.array(self._count(self._place.candidates))
        total = float(votes.sum())
        return votes / total if total > 0 else votes

    def judge(self, y: int) -> tuple[str, ...]:
        """Hold the owners that took part in the last vote against the true class.

        Call it between `shares` and the gateway's learning from the same sample.

        Returns:
            Owners whose exclusion began or ended; `trust` has the evidence.
        """
        if self._place is None or not self._books:
            return ()
        candidates = self._place.candidates
        right = self._is_right(candidates, y)
        changed = []
        for number in _owners_among(candidates):
            without = [near for near in candidates if near.owner != number]
            if len(candidates) == POOL and len(without) < NEAREST:
                without = self._nearest([*self._excluded, number])
            changed += self._hold(number, with_it=right, without=self._is_right(without, y))
        for number in self._excluded:
            shadow = self._nearest([other for other in self._excluded if other != number])
            if number in _owners_among(shadow):
                changed += self._hold(number, with_it=self._is_right(shadow, y), without=right)
        self._judge_editing(y, right=right)
        if changed:
            self._find_excluded()
        return tuple(changed)

    def edit_anew(self) -> None:
        """Forget who was edited: also when the model is saved, so that a restored one agrees."""
        self._own_edited.clear()
        self._remote_edited.clear()
        self._until_edit = 0

    def voters(self, own: Live, metric: Floats) -> Voters:
        """Return all prototypes that vote now, as copies, for readers beside the learner."""
        remote = self._remote.voters
        features = np.concatenate((own.features, remote.features))
        classes = np.concatenate((own.classes, remote.classes))
        weights = np.concatenate((own.weights, remote.weights))
        owner = np.concatenate((np.full(len(own.classes), -1), self._remote.owner))
        voting = ~np.isin(owner, self._excluded)
        if self.editing_gain >= 0 and self._books:
            for row in np.flatnonzero(voting & (weights <= 1)):
                voting[row] = not self._is_contradicted(int(row), own, metric)
        return Voters.of(features[voting], classes[voting], weights[voting])

    def _nearest(self, excluded: list[int]) -> list[_Candidate]:
        """Return the prototypes nearest to the present sample, more than can vote."""
        assert self._place is not None  # noqa: S101 - `shares` sets it
        return self._ranked(self._place.squares.copy(), self._place.own, excluded, POOL)

    def _ranked(
        self, squares: Floats, own: Live, excluded: list[int], most: int
    ) -> list[_Candidate]:
        """Return the nearest prototypes first, `most` at most; `squares` may be written to."""
        remote, n_own = self._remote, len(own.classes)
        if excluded:
            squares[n_own:][np.isin(remote.owner, excluded)] = np.inf
        near = squares.argpartition(most)[:most] if len(squares) > most else np.arange(len(squares))
        near = near[squares[near].argsort()]
        found = []
        for row, square in zip(near.tolist(), squares[near].tolist(), strict=True):
            if square == np.inf:
                break
            if row < n_own:
                strength = math.sqrt(max(own.weights[row], 1.0))
                found.append(_Candidate(square, row, int(own.classes[row]), strength, -1))
            else:
                at = row - n_own
                strength = float(remote.voters.strengths[at])
                label, owner = int(remote.voters.classes[at]), int(remote.owner[at])
                found.append(_Candidate(square, row, label, strength, owner))
        return found

    def _count(self, candidates: list[_Candidate], *, turned: bool = False) -> list[float]:
        """Return the votes of the nearest that may vote; with `turned`, edited the other way."""
        votes = [0.0] * self.n_classes
        editing = bool(self._books) and ((self.editing_gain >= 0) != turned)
        voted = 0
        for near in candidates:
            if editing and near.strength <= 1 and self._is_edited(near.row):
                continue
            votes[near.label] += near.strength / (near.square + SOFTENING)
            voted += 1
            if voted == NEAREST:
                break
        return votes

    def _is_right(self, candidates: list[_Candidate], y: int, *, turned: bool = False) -> bool:
        votes = self._count(candidates, turned=turned)
        return votes[y] > 0 and max(votes) == votes[y]

    def _hold(self, number: int, *, with_it: bool, without: bool) -> list[str]:
        owner = self._remote.owners[number]
        changed = self.trust[owner].observe(right_with=with_it, right_without=without)
        return [owner] if changed else []

    def _judge_editing(self, y: int, *, right: bool) -> None:
        """Count for editing what it wins, against it what it loses, and slowly forget."""
        assert self._place is not None  # noqa: S101 - `judge` has looked
        other = self._is_right(self._place.candidates, y, turned=True)
        if right != other:
            self.editing_gain *= EDITING_MEMORY
            self.editing_gain += 1 if right == (self.editing_gain >= 0) else -1

    def _is_edited(self, row: int) -> bool:
        """Return whether this lone prototype must not vote; found once, kept for some samples."""
        assert self._place is not None  # noqa: S101 - `shares` sets it
        n_own = len(self._place.own.classes)
        known, key = (self._own_edited, row) if row < n_own else (self._remote_edited, row - n_own)
        verdict = known.get(key)
        if verdict is None:
            verdict = self._is_contradicted(row, self._place.own, self._place.metric)
            known[key] = verdict
        return verdict

    def _is_contradicted(self, row: int, own: Live, metric: Floats) -> bool:
        """Return whether a prototype's 5 nearest vote for another class than its own."""
        remote, n_own = self._remote.voters, len(own.classes)
        block, at = (own, row) if row < n_own else (remote, row - n_own)
        there, label = block.features[at], int(block.classes[at])
        difference = own.features - there
        difference *= difference
        squares = np.concatenate((difference.dot(metric), remote.squares(there, metric)))
        squares[row] = np.inf
        votes = [0.0] * self.n_classes
        for near in self._ranked(squares, own, self._excluded, NEAREST):
            votes[near.label] += near.strength / (near.square + SOFTENING)
        return max(votes) > votes[label]

    def _find_excluded(self) -> None:
        owners = enumerate(self._remote.owners)
        self._excluded = [number for number, owner in owners if self.trust[owner].excluded]
        self.edit_anew()

    def _join(self) -> _Remote:
        owners = tuple(sorted(self._books))
        books = [self._books[owner] for owner in owners]
        none = Voters.of(np.zeros((0, self.n_features)), np.zeros(0, np.int64), np.zeros(0))
        voters = Voters.of(
            np.concatenate([none.features, *(book.features for book in books)]),
            np.concatenate([none.classes, *(book.classes for book in books)]),
            np.concatenate([none.weights, *(book.weights for book in books)]),
        )
        return _Remote(owners, voters, np.repeat(np.arange(len(books)), [len(b) for b in books]))


def _owners_among(candidates: list[_Candidate]) -> list[int]:
    """Return the owners of the voters, were nobody edited."""
    return sorted({near.owner for near in candidates[:NEAREST] if near.owner >= 0})


def voters_of(codebook: Codebook) -> Voters:
    """Return a codebook's prototypes as reconstructed from its records."""
    return Voters.of(codebook.features(), codebook.classes, codebook.weights.astype(np.float64))
