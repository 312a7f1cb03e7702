"""What one gateway knows: its learner, the union with the other owners, and its commits.

The order is test-then-train (Gama, Sebastião, Rodrigues, "On evaluating stream learning
algorithms", Machine Learning 90, 2013): each labelled sample is predicted by the gateway's own
prototypes, by the union and by the last committed state before it is learnt from.
The model does no I/O and belongs to one thread; readers beside it take a `snapshot`. `step` and
`settle` change it, the other methods answer from what was settled last.
"""

from dataclasses import dataclass
from typing import Literal, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.config import TestName
from protoledger.gateway.errors import CodebookError, ModelStateError
from protoledger.gateway.learner import Mode, make_learner, restore_learner
from protoledger.gateway.learner.base import Floats, check_features, check_label, check_many
from protoledger.gateway.learner.saved import pack, unpack
from protoledger.gateway.learner.vote import margin_of
from protoledger.gateway.training.commits import Commits, winner
from protoledger.gateway.union.union import Union
from protoledger.gateway.union.voting import Panel


@dataclass(frozen=True, slots=True)
class Outcome:
    """One sample's predictions, made before it was learnt from; None where nothing could say.

    Attributes:
        predicted: The union's class index: what the gateway answers.
        own: That of the gateway's own prototypes.
        committed: That of the others' codebooks and its own last committed state; None for a sample
            without a label.
        label: The true class index, if there was one.
        judged: Owners that vote, do not vote, or are held back from this sample on.
    """

    predicted: int | None
    own: int | None
    committed: int | None = None
    label: int | None = None
    judged: tuple[str, ...] = ()

    @property
    def right(self) -> bool | None:
        """Whether the answer was right; None without a label."""
        return None if self.label is None else self.predicted == self.label

    @property
    def own_right(self) -> bool | None:
        """Whether the own prototypes were right; None without a label."""
        return None if self.label is None else self.own == self.label

    @property
    def committed_right(self) -> bool | None:
        """Whether the committed state was right; None without a label."""
        return None if self.label is None else self.committed == self.label


@dataclass(frozen=True, slots=True, eq=False)
class UnionSnapshot:
    """The union at one moment, for readers in other threads.

    Attributes:
        panel: All prototypes that vote.
        metric: float64 (d,), weight of each feature.
        n_classes: Number of labels.
    """

    panel: Panel
    metric: Floats
    n_classes: int

    def predict_one(self, x: ArrayLike) -> int | None:
        """Return the class index at x, None without any vote.

        Raises:
            SampleError: x is not a finite vector of d numbers.
        """
        vector = check_features(x, len(self.metric))
        return winner(self.panel.shares(vector, self.metric, self.n_classes))

    def predict_many(self, xs: ArrayLike) -> NDArray[np.int64]:
        """Return the class indices of many samples, int64 (n,); −1 without any vote.

        Raises:
            SampleError: xs is not finite, or has no d columns.
        """
        rows, _ = check_many(xs, None, len(self.metric), self.n_classes)
        return self.panel.winners(rows, self.metric, self.n_classes)


class _Saved2(msgspec.Struct, forbid_unknown_fields=True, tag="site-2", tag_field="kind"):
    mode: Mode
    learner: bytes
    transactions: Literal["limited", "unlimited"]
    test: TestName
    alpha: float
    counts: tuple[int, int, int]
    codebook: bytes
    version: int
    former: dict[str, list[bytes]]
    defended: bool = True


class _Saved(msgspec.Struct, forbid_unknown_fields=True, tag="site-3", tag_field="kind"):
    mode: Mode
    learner: bytes
    test: TestName
    alpha: float
    counts: tuple[int, int, int]
    codebook: bytes
    version: int
    former: dict[str, list[bytes]]
    defended: bool = True


class SiteModel:
    """The gateway's model: `step` each sample, and offer a `candidate` after it.

    Args:
        n_features: Channels, 1 to 255.
        n_classes: Labels, 1 to 255.
        mode: Which learner: `improved` or `reference`.
        capacity: Most prototypes of the improved learner.
        test: The commit test's name; `always` commits whatever changed.
        alpha: The commit test's bound on false alarms.
        defended: See `Union`.

    Attributes:
        learner: The gateway's own prototypes.
        union: All owners' codebooks; `set` them there, then `settle`.
        commits: What the ledger has of this gateway; report there what became of a candidate.

    Raises:
        ValueError: A number is out of its range, or a name unknown.

    >>> model = SiteModel(n_features=1, n_classes=2)
    >>> for i in range(40):
    ...     outcome = model.step([i % 2 + 0.01 * (i % 5)], i % 2)
    ...     if (codebook := model.candidate()) is not None:
    ...         model.commits.accepted(codebook, model.commits.version + 1)
    >>> outcome.predicted, outcome.right, model.commits.version
    (1, True, 1)
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        mode: Mode = "improved",
        capacity: int = 128,
        test: TestName = "e-process",
        alpha: float = 0.05,
        defended: bool = True,
    ) -> None:
        self.mode: Mode = mode
        self.learner = make_learner(mode, n_features, n_classes, capacity=capacity)
        self.union = Union(n_features, n_classes, defended=defended)
        self.form = RecordFormat(n_features, n_classes)
        self.commits = Commits(self.form, test, alpha)

    def step(self, x: ArrayLike, y: int | None) -> Outcome:
        """Predict one sample and, if it has a label, test and learn.

        Args:
            x: (d,) the aggregate, normalised by channel (low → 0, high → 1).
            y: Class index, or None.

        Raises:
            SampleError: x or y is not as declared; the model is unchanged.
        """
        vector = check_features(x, self.form.features)
        label = None if y is None else check_label(y, self.form.labels)
        judged = self.settle()
        own, shares = self._predict(vector)
        predicted = winner(shares)
        if label is None:
            return Outcome(predicted, own, judged=judged)
        metric = self.learner.metric()
        others = self.union.others(vector, metric)
        committed = self.commits.compare(vector, label, metric, self.learner.live(), others)
        self.learner.learn_one(vector, label, margin=margin_of(shares, label))
        self.union.own_changed()
        return Outcome(predicted, own, committed, label, judged)

    def settle(self) -> tuple[str, ...]:
        """Judge the owners, if a codebook or enough of one's own prototypes changed.

        Returns:
            Owners that from now on vote, do not vote, or are held back.
        """
        return self.union.settle(self.learner.live(), self.learner.metric())

    def predict_one(self, x: ArrayLike) -> int | None:
        """Return the union's class index for x, None before anything is known.

        Raises:
            SampleError: x is not as declared.
        """
        return winner(self._predict(check_features(x, self.form.features))[1])

    def candidate(self) -> Codebook | None:
        """Return what should be committed now, None if nothing should.

        After a codebook was returned it is pending, and None follows until `commits.accepted` or
        `commits.rejected` reports how it ended.
        """
        return self.commits.offer(self.codebook()) if self.commits.due else None

    def codebook(self) -> Codebook:
        """Return the own prototypes as records; the heaviest, if too many for a ledger."""
        own = self.learner.prototypes()
        rows = np.sort(np.argsort(-own.weights.astype(int), kind="stable")[: self.form.max_records])
        return Codebook.from_prototypes(
            own.ids[rows],
            own.classes[rows],
            own.weights[rows],
            own.features[rows],
            labels=self.form.labels,
        )

    def snapshot(self) -> UnionSnapshot:
        """Return an immutable copy of the union for readers in other threads."""
        panel = self.union.panel(self.learner.live())
        return UnionSnapshot(panel, self.learner.metric(), self.form.labels)

    def state(self) -> bytes:
        """Return all but the remote codebooks, which are the ledger's to give again.

        A pending commit is not part of it: the ledger knows how that ended.
        """
        self.union.judge_again()
        commits, test = self.commits, self.commits.test
        return pack(
            _Saved(
                mode=self.mode,
                learner=self.learner.state(),
                test=test.name,
                alpha=test.alpha,
                counts=(test.wins, test.losses, test.ties),
                codebook=commits.base.encode(),
                version=commits.version,
                defended=self.union.defended,
                former={
                    owner: [book.encode() for book in books]
                    for owner, books in self.union.former().items()
                },
            )
        )

    @classmethod
    def restore(cls, state: bytes) -> Self:
        """Return the saved model; `set` the ledger's codebooks in its union before going on.

        Raises:
            ModelStateError: The bytes are damaged or of another version.
        """
        saved = unpack(state, _Saved, _Saved2)
        learner = restore_learner(saved.mode, saved.learner)
        unlimited = isinstance(saved, _Saved2) and saved.transactions == "unlimited"
        try:
            model = cls(
                learner.n_features,
                learner.n_classes,
                mode=saved.mode,
                capacity=max(2, learner.n_classes),  # of the empty learner, replaced below
                test="always" if unlimited else saved.test,
                alpha=saved.alpha,
                defended=saved.defended,
            )
            codebook = Codebook.decode(saved.codebook, model.form)
            model.commits.accepted(codebook, saved.version)
            model.commits.test.reset(*saved.counts)
            for owner, snapshots in saved.former.items():
                for snapshot in snapshots:
                    model.union.set(owner, Codebook.decode(snapshot, model.form))
        except (CodebookError, ValueError) as error:
            raise ModelStateError(f"a saved model is inconsistent: {error}") from error
        model.learner = learner
        return model

    def _predict(self, x: Floats) -> tuple[int | None, Floats]:
        learner = self.learner
        squares = learner.distances(x)
        shares = self.union.shares(x, squares, learner.live(), learner.metric())
        return learner.predict_one(x), shares
