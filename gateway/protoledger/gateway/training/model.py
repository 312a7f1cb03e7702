"""What one gateway knows: its learner, the union with the other owners, and its commits.

The order is test-then-train (Gama, Sebastião, Rodrigues, "On evaluating stream learning
algorithms", Machine Learning 90, 2013): each labelled sample is predicted by all experts and by the
last committed state before it is learnt from. The experts are the gateway's own learner, alone, and
the union of all owners in four ways: as it is, without the owners that the site's own samples
contradict, and both corrected for the site's own mix of classes; see `answers` for how one answers.
The model does no I/O and belongs to one thread; readers beside it take a `snapshot`. `step` and
`settle` change it, the other methods answer from what was settled last.
"""

import copy
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.config import TestName
from protoledger.gateway.errors import CodebookError, LearnerUnavailableError, ModelStateError
from protoledger.gateway.learner import Classifier, Mode, make_learner, restore_learner
from protoledger.gateway.learner.base import Floats, check_features, check_label
from protoledger.gateway.learner.saved import dump, load, pack, unpack
from protoledger.gateway.learner.vote import margin_of, strengths_of, without_missing
from protoledger.gateway.training.answers import (
    BINS,
    FAR,
    Choice,
    ExpertVotes,
    ShareCalibration,
    SiteAnswer,
    by_mix,
    mix_ratio,
)
from protoledger.gateway.training.commits import Commits, Omissions, winner
from protoledger.gateway.training.outcome import Outcome, UnionSnapshot
from protoledger.gateway.training.saved import SavedModel, SavedModel2
from protoledger.gateway.union.recent import RecentSamples
from protoledger.gateway.union.union import Union

if TYPE_CHECKING:
    from collections.abc import Callable

UNION: Final = ("here", "union", "union by mix", "without vetoed")
"""The experts that other owners take part in; the first, by mix, and the last are without vetoed
owners, and with prototypes shifted to where this site's sensors stand."""
ALONE: Final = "alone"
"""The other expert: the learner `apart`, which chooses among its own."""


class SiteModel:
    """The gateway's model: `step` each sample, and offer a `candidate` after it.

    Args:
        n_features: Channels, 1 to 255.
        n_classes: Labels, 1 to 255.
        mode: Which learner; see `make_learner`.
        capacity: Most prototypes; the reference knows no limit.
        test: The commit test's name; `always` commits whatever changed.
        alpha: The commit test's bound on false alarms.
        omissions: What a commit leaves out; the ledger's default without it.
        defended: See `Union`.

    Attributes:
        learner: The gateway's own prototypes.
        union: All owners' codebooks; `set` them there, then `settle`.
        commits: What the ledger has of this gateway; report there what became of a candidate.
        recent: Its last labelled samples.
        seen: int64 (n_classes,), labelled samples of each class.
        watch: Called with each checked sample before it is predicted and learnt; changes nothing.

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
        omissions: Omissions | None = None,
        defended: bool = True,
    ) -> None:
        self.mode: Mode = mode
        self._adopt(make_learner(mode, n_features, n_classes, capacity=capacity))
        self.union = Union(n_features, n_classes, defended=defended)
        self.form = RecordFormat(n_features, n_classes)
        self.commits = Commits(self.form, test, alpha, omissions)
        self.recent = RecentSamples(n_features)
        self.seen: NDArray[np.int64] = np.zeros(n_classes, np.int64)
        self.watch: Callable[[Floats], None] | None = None

    def _adopt(self, learner: Classifier) -> None:
        self.learner = learner
        self._apart: Classifier | None = None
        self._choice = Choice((ALONE, *UNION))
        self._calibration = ShareCalibration()

    @property
    def apart(self) -> Classifier:
        """What the site would have learnt without any other owner, and its answer *alone*.

        The same learner as `learner` until another owner votes: then that one founds prototypes
        where the union is unsure, too, which serves others and may cost the site's own answers.
        """
        return self._apart or self.learner

    def step(self, x: ArrayLike, y: int | None) -> Outcome:
        """Predict one sample and, if it has a label, test and learn.

        Args:
            x: (d,) the aggregate, normalised by channel (low → 0, high → 1); NaN for a channel that
                it lacks, if the learner takes such samples.
            y: Class index, or None.

        Raises:
            SampleError: x or y is not as declared; the model is unchanged.
        """
        vector = self._checked(x)
        label = None if y is None else check_label(y, self.form.labels)
        judged = self.settle()
        if self.watch is not None:
            self.watch(vector)
        look = self._look(vector)
        answer = self._answer(look)
        decisive = self._decisive(vector, answer)
        drifts = self.learner.drifts
        committed = None if label is None else self._learn(vector, label, look)
        return Outcome(
            answer.label,
            answer.alone,
            committed,
            label,
            judged,
            anywhere=answer.anywhere,
            confidence=answer.confidence,
            margin=answer.margin,
            unknown=answer.unknown,
            new=answer.new,
            expert=answer.expert,
            decisive=decisive,
            drifted=self.learner.drifts > drifts,
            probabilities=tuple(answer.probabilities.tolist()),
        )

    def settle(self) -> tuple[str, ...]:
        """Judge the owners, if a codebook or enough of one's own prototypes changed.

        Returns:
            Owners that from now on vote, do not vote, or are held back.
        """
        return self.union.settle(self.learner.live(), self.learner.metric(), self.recent)

    def answer(self, x: ArrayLike) -> SiteAnswer:
        """Return what the site says about x.

        Raises:
            SampleError: x is not as declared.
        """
        return self._answer(self._look(self._checked(x)))

    def predict_one(self, x: ArrayLike) -> int | None:
        """Return the site's class index for x, None before anything is known.

        Raises:
            SampleError: x is not as declared.
        """
        return self.answer(x).label

    def candidate(self) -> Codebook | None:
        """Return what should be committed now, None if nothing should.

        After a codebook was returned it is pending, and None follows until `commits.accepted` or
        `commits.rejected` reports how it ended.
        """
        if not self.commits.due:
            return None
        if self.commits.test.name == "always":
            self.commits.renew(self.codebook())
        return self.commits.offer()

    def leftover(self) -> Codebook | None:
        """Return what the ledger lacks of the own prototypes, whatever the test says; pending.

        For a gateway that learns no more for some time: what it owes the others must not wait.
        What one commit cannot hold is left over again once that has landed.
        """
        return None if self.commits.pending else self.commits.offer_owed(self.codebook())

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
        metric = self.learner.metric()
        if self.union.voting:
            metric = self.union.anywhere(metric)
        return UnionSnapshot(panel, metric, self.form.labels)

    def state(self) -> bytes:
        """Return all but the remote codebooks, which are the ledger's to give again.

        A pending commit is not part of it: the ledger knows how that ended.
        """
        self.union.judge_again()
        commits, choice = self.commits, self._choice
        return pack(
            SavedModel(
                mode=self.mode,
                learner=self.learner.state(),
                apart=b"" if self._apart is None else self._apart.state(),
                test=commits.test.name,
                alpha=commits.test.alpha,
                evidence=commits.test.evidence,
                codebook=commits.base.encode(),
                version=commits.version,
                candidate=commits.candidate.encode(),
                candidate_age=commits.age,
                former={
                    owner: [book.encode() for book in books]
                    for owner, books in self.union.former().items()
                },
                defended=self.union.defended,
                seen=self.seen.tolist(),
                recent=self.recent.saved(),
                advantages=dump(choice.advantages, "<f8"),
                last_label=choice.label,
                run=choice.run,
                calibration=dump(self._calibration.counts, "<f8"),
            )
        )

    @classmethod
    def restore(cls, state: bytes) -> Self:
        """Return the saved model; `set` the ledger's codebooks in its union before going on.

        Raises:
            ModelStateError: The bytes are damaged or of another version.
        """
        saved = unpack(state, SavedModel, SavedModel2)
        try:
            learner = restore_learner(saved.mode, saved.learner)
        except LearnerUnavailableError as error:
            raise ModelStateError(f"a saved model needs its learner: {error}") from error
        unlimited = isinstance(saved, SavedModel2) and saved.transactions == "unlimited"
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
            model._adopt(learner)
            codebook = Codebook.decode(saved.codebook, model.form)
            model.commits.accepted(codebook, saved.version)
            if isinstance(saved, SavedModel):
                model._restore_rest(saved)
            for owner, snapshots in saved.former.items():
                for snapshot in snapshots:
                    model.union.set(owner, Codebook.decode(snapshot, model.form))
        except (CodebookError, ValueError) as error:
            raise ModelStateError(f"a saved model is inconsistent: {error}") from error
        return model

    def _restore_rest(self, saved: SavedModel) -> None:
        """Take over what version 2 did not have."""
        classes, form = self.form.labels, self.form
        self.commits.test.reset(saved.evidence, first=not len(self.commits.base))
        self.commits.set_candidate(Codebook.decode(saved.candidate, form), saved.candidate_age)
        if len(saved.seen) != classes or min(saved.seen) < 0:
            raise ModelStateError("a saved model counts other classes than it has")
        self.seen[:] = saved.seen
        self.recent = RecentSamples.restore(saved.recent, form.features, classes)
        if saved.apart:
            self._apart = restore_learner(saved.mode, saved.apart)
            if (self._apart.n_features, self._apart.n_classes) != (form.features, classes):
                raise ModelStateError("a saved model has two learners of different shapes")
        experts = (len(self._choice.names),)
        self._choice.advantages = load(saved.advantages, "<f8", experts, np.float64)
        self._choice.label, self._choice.run = saved.last_label, saved.run
        self._calibration.counts = load(saved.calibration, "<f8", (2, BINS), np.float64)

    def _checked(self, x: ArrayLike) -> Floats:
        return check_features(x, self.form.features, missing=self.learner.takes_missing)

    def _look(self, x: Floats) -> ExpertVotes:
        """Let all experts vote on a checked sample."""
        own = self.learner.opinions(x)
        apart = own if self._apart is None else self._apart.opinions(x)
        alone = apart.shares[apart.chosen]
        live, squares = self.learner.live(), self.learner.distances(x)
        votes = bool(self.union.voting)
        shares = np.zeros((len(self._choice.names), self.form.labels))
        shares[0] = alone
        anywhere = here = own.shares[0]
        if votes:
            metric = self.learner.metric()
            complete, weights = without_missing(x, metric)
            _, everywhere = without_missing(x, self.union.anywhere(metric))
            anywhere = self.union.shares_anywhere(complete, live, everywhere)
            everyone = here = self.union.shares(complete, squares, live, weights)
            if self.union.differs_here:
                here = self.union.shares_here(complete, squares, live, weights)
            ratio = mix_ratio(self.seen, self.union.pool(live))
            shares[1:] = by_mix(here, ratio), everyone, by_mix(everyone, ratio), here
        awake = np.array([alone.any(), *[votes] * len(UNION)])
        chosen = self._choice.choose(awake)
        expert = self._choice.names[chosen] if chosen else self.apart.experts[apart.chosen]
        return ExpertVotes(
            shares, awake, chosen, expert, winner(alone), anywhere, here, own.distance, own.usual
        )

    def _answer(self, look: ExpertVotes) -> SiteAnswer:
        shares = look.shares[look.chosen]
        label = winner(shares)
        sure = 0.0 if label is None else self._calibration.confidence(float(shares[label]))
        return SiteAnswer(
            label=label,
            anywhere=winner(look.anywhere),
            alone=look.alone,
            expert=look.expert,
            probabilities=self._calibration.probabilities(shares),
            confidence=sure,
            new=look.distance > FAR * look.usual,
        )

    def as_answered(self, shares: Floats, expert: str) -> Floats:
        """Return what a vote's shares are as probabilities of one of the experts.

        Args:
            shares: (K,) of a vote, as `vote` returns them.
            expert: whose answer: one of `UNION`, or the learner's.
        """
        if expert in {"here", "union by mix"}:
            ratio = mix_ratio(self.seen, self.union.pool(self.learner.live()))
            return self._calibration.probabilities(by_mix(shares, ratio))
        return self._calibration.probabilities(shares)

    def _decisive(self, x: Floats, answer: SiteAnswer) -> str | None:
        if answer.label is None or answer.label == answer.alone or not self.union.voting:
            return None
        complete, weights = without_missing(x, self.learner.metric())
        return self.union.decisive(complete, answer.label, weights)

    def _learn(self, x: Floats, y: int, look: ExpertVotes) -> int | None:
        """Test and learn a checked, labelled sample; return what the ledger's state predicts."""
        live, squares = self.learner.live(), self.learner.distances(x)
        complete, weights = without_missing(x, self.learner.metric())
        if self.commits.stale:
            self.commits.renew(self.codebook())
        others = self.union.others(complete, weights)
        committed = self.commits.compare(complete, y, weights, others)
        if self.union.voting:
            right = (look.shares.argmax(axis=1) == y) & look.shares.any(axis=1)
            self._choice.settle(right, look.awake, y)
        answer = look.shares[look.chosen]
        self._calibration.settle(float(answer.max()), right=int(answer.argmax()) == y)
        self.recent.add(x, y, squares, live.classes, strengths_of(live.weights))
        self.seen[y] += 1
        if self._apart is None and self.union.voting:
            self._apart = copy.deepcopy(self.learner)
        if self._apart is not None:
            self._apart.learn_one(x, y)
        self.learner.learn_one(x, y, margin=margin_of(look.here, y))
        self.union.own_changed()
        return committed
