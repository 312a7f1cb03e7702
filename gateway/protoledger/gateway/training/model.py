"""What one gateway knows: its learner, the union with the other owners, and when to commit.

The order is test-then-train (Gama, Sebastião, Rodrigues, "On evaluating stream learning
algorithms", Machine Learning 90, 2013): each labelled sample is predicted by the gateway's own
prototypes, by the union and by the last committed state before it is learnt from. The commit test
sees the candidate against the committed state, both as the ledger's int16 records give them back,
and both beside the other owners' codebooks: what it asks is what a commit would change elsewhere.
So nothing is committed that others have committed already, and who sees one class only, and is
never wrong by itself, commits where the others get that class wrong.
The model does no I/O and belongs to one thread; readers beside it take a `snapshot`.
"""

from dataclasses import dataclass
from typing import Literal, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from protoledger.gateway.codebook.codebook import MAX_STEPS, STEPS_PER_RANGE, Codebook, RecordFormat
from protoledger.gateway.errors import CodebookError, ModelStateError
from protoledger.gateway.learner import Mode, make_learner, restore_learner
from protoledger.gateway.learner.base import Floats, check_features, check_label, check_many
from protoledger.gateway.learner.saved import pack, unpack
from protoledger.gateway.learner.vote import margin_of, strengths_of
from protoledger.gateway.training.significance import TestName, make_test
from protoledger.gateway.union.union import Union
from protoledger.gateway.union.voting import Panel

Transactions = Literal["limited", "unlimited"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One sample's predictions, made before it was learnt from; None where nothing could say.

    Attributes:
        predicted: The union's class index: what the gateway answers.
        own: That of the gateway's own prototypes.
        committed: That of the others' codebooks and its own last committed state; None for a sample
            without a label.
        label: The true class index, if there was one.
        judged: Owners that vote, do not vote, or wait in another version from this sample on.
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
class Snapshot:
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
        """Return the class index at x, None where nobody votes.

        Raises:
            SampleError: x is not a finite vector of d numbers.
        """
        vector = check_features(x, len(self.metric))
        return _winner(self.panel.shares(vector, self.metric, self.n_classes))

    def predict_many(self, xs: ArrayLike) -> NDArray[np.int64]:
        """Return the class indices of many samples, int64 (n,); −1 where nobody votes.

        Raises:
            SampleError: xs is not finite, or has no d columns.
        """
        rows, _ = check_many(xs, None, len(self.metric), self.n_classes)
        return self.panel.winners(rows, self.metric, self.n_classes)


class _Saved(msgspec.Struct, forbid_unknown_fields=True, tag="site-2", tag_field="kind"):
    mode: Mode
    learner: bytes
    transactions: Transactions
    test: TestName
    alpha: float
    counts: tuple[int, int, int]
    codebook: bytes
    version: int
    former: dict[str, list[bytes]]
    defended: bool = True


class SiteModel:
    """The gateway's model: `step` each sample, `candidate` after it, `remote` what others commit.

    Args:
        n_features: Channels, 1 to 255.
        n_classes: Labels, 1 to 255.
        mode: Which learner: `improved` or `reference`.
        capacity: Most prototypes of the improved learner.
        transactions: `limited` commits what the test accepts, `unlimited` whatever changed.
        test: The commit test's name; unused when unlimited.
        alpha: The commit test's bound on false alarms.
        defended: See `Union`.

    Attributes:
        version: The ledger version of the last committed state, 0 before the first.

    Raises:
        ValueError: A number is out of its range, or a name unknown.

    >>> model = SiteModel(n_features=1, n_classes=2)
    >>> for i in range(40):
    ...     outcome = model.step([i % 2 + 0.01 * (i % 5)], i % 2)
    ...     if (codebook := model.candidate()) is not None:
    ...         model.committed(codebook, model.version + 1)
    >>> outcome.predicted, outcome.right, model.version
    (1, True, 1)
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        *,
        mode: Mode = "improved",
        capacity: int = 128,
        transactions: Transactions = "limited",
        test: TestName = "e-process",
        alpha: float = 0.05,
        defended: bool = True,
    ) -> None:
        self.mode: Mode = mode
        self.transactions: Transactions = transactions
        self.learner = make_learner(mode, n_features, n_classes, capacity=capacity)
        self.test = make_test(test, alpha)
        self.union = Union(n_features, n_classes, defended=defended)
        self.form = RecordFormat(n_features, n_classes)
        self.version = 0
        self._pending = False
        self._set_base(Codebook.empty(self.form))

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
        judged = self.union.settle(self.learner.live(), self.learner.metric())
        own, shares = self._predict(vector)
        predicted = _winner(shares)
        if label is None:
            return Outcome(predicted, own, judged=judged)
        committed = self._compare(vector, label)
        self.learner.learn_one(vector, label, margin=margin_of(shares, label))
        self.union.own_changed()
        return Outcome(predicted, own, committed, label, judged)

    def predict_one(self, x: ArrayLike) -> int | None:
        """Return the union's class index for x, None before anything is known.

        Raises:
            SampleError: x is not as declared.
        """
        return _winner(self._predict(check_features(x, self.form.features))[1])

    def candidate(self) -> Codebook | None:
        """Return what should be committed now, None if nothing should.

        After a codebook was returned it is pending, and None follows until `committed` or
        `commit_rejected` tells how it ended.
        """
        if self._pending:
            return None
        if self.transactions == "limited" and not self.test.significant:
            return None
        codebook = self.codebook()
        if codebook == self._base:
            return None
        self._pending = True
        return codebook

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

    def committed(self, codebook: Codebook, version: int) -> None:
        """Take what the ledger now holds for this gateway; also after a reorganisation.

        Args:
            codebook: The state at that version, which may leave small changes out.
            version: The ledger's version, ≥ 0.

        Raises:
            ValueError: The codebook has another number of features or labels.
        """
        if codebook.form != self.form:
            raise ValueError(f"a committed state of {codebook.form}; here it is {self.form}")
        self._pending = False
        if (version, codebook) == (self.version, self._base):
            return  # told again, as after a restart: the evidence since then stands
        self.version = version
        self._set_base(codebook)
        self.test.reset()

    def commit_rejected(self) -> None:
        """Note that the pending commit failed: the evidence stands, a newer one may follow."""
        self._pending = False

    def remote(self, owner: str, codebook: Codebook | None) -> None:
        """Take another owner's present codebook, None if it has none any more.

        Raises:
            ValueError: The codebook has another number of features or labels.
        """
        self.union.set(owner, codebook)

    def snapshot(self) -> Snapshot:
        """Return an immutable copy of the union for readers in other threads."""
        metric = self.learner.metric()
        return Snapshot(self.union.panel(self.learner.live(), metric), metric, self.form.labels)

    def state(self) -> bytes:
        """Return all but the remote codebooks, which are the ledger's to give again.

        A pending commit is not part of it: the ledger knows how that ended.
        """
        self.union.judge_anew()
        return pack(
            _Saved(
                mode=self.mode,
                learner=self.learner.state(),
                transactions=self.transactions,
                test=self.test.name,
                alpha=self.test.alpha,
                counts=(self.test.wins, self.test.losses, self.test.ties),
                codebook=self._base.encode(),
                version=self.version,
                defended=self.union.defended,
                former={
                    owner: [book.encode() for book in books]
                    for owner, books in self.union.former().items()
                },
            )
        )

    @classmethod
    def restore(cls, state: bytes) -> Self:
        """Return the saved model; give it the ledger's codebooks by `remote` before going on.

        Raises:
            ModelStateError: The bytes are damaged or of another version.
        """
        saved = unpack(state, _Saved)
        learner = restore_learner(saved.mode, saved.learner)
        try:
            model = cls(
                learner.n_features,
                learner.n_classes,
                mode=saved.mode,
                capacity=max(2, learner.n_classes),  # of the empty learner, replaced below
                transactions=saved.transactions,
                test=saved.test,
                alpha=saved.alpha,
                defended=saved.defended,
            )
            model.committed(Codebook.decode(saved.codebook, model.form), saved.version)
            model.test.reset(*saved.counts)
            for owner, snapshots in saved.former.items():
                for snapshot in snapshots:
                    model.remote(owner, Codebook.decode(snapshot, model.form))
        except (CodebookError, ValueError) as error:
            raise ModelStateError(f"a saved model is inconsistent: {error}") from error
        model.learner = learner
        return model

    def _predict(self, x: Floats) -> tuple[int | None, Floats]:
        learner = self.learner
        squares = learner.distances(x)
        shares = self.union.shares(x, squares, learner.live(), learner.metric())
        return learner.predict_one(x), shares

    def _compare(self, x: Floats, y: int) -> int | None:
        """Feed the commit test; return what the ledger's state predicts."""
        metric, own = self.learner.metric(), self.learner.live()
        steps = np.rint(own.features.T * STEPS_PER_RANGE)
        quantised = np.ascontiguousarray(np.clip(steps, -MAX_STEPS, MAX_STEPS) / STEPS_PER_RANGE)
        candidate = Panel(quantised, own.classes, strengths_of(own.weights))
        others = self.union.others(x, own, metric)
        committed = _winner(self._base_panel.shares(x, metric, self.form.labels, others))
        proposed = _winner(candidate.shares(x, metric, self.form.labels, others))
        self.test.observe(proposed == y, committed == y)
        return committed

    def _set_base(self, codebook: Codebook) -> None:
        self._base = codebook
        self._base_panel = Panel.of_codebook(codebook)


def _winner(shares: Floats) -> int | None:
    winner = int(shares.argmax())
    return winner if shares[winner] > 0 else None
