"""What one step of a site's model tells, and a copy of its union for other threads."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protoledger.gateway.learner.base import Floats, check_features, check_many
from protoledger.gateway.training.commits import winner
from protoledger.gateway.union.voting import Panel


@dataclass(frozen=True, slots=True)
class Outcome:
    """One sample's predictions, made before it was learnt from; None where nothing could say.

    Attributes:
        predicted: The class index that the gateway answers, here.
        own: What it would have answered without any other owner.
        committed: That of the others' codebooks and its own last committed state; None for a sample
            without a label.
        label: The true class index, if there was one.
        judged: Owners that vote, do not vote, or are held back from this sample on.
        anywhere: The class index of all trusted owners' vote.
        confidence: How often such an answer was right.
        margin: By how much its probability leads the next.
        unknown: Whether the answer is no more than a guess.
        new: Whether the sample is far from all prototypes.
        expert: Whose answer it is.
        decisive: The other owner whose prototypes weighed most for the answer, if it differs from
            `own`.
        drifted: Whether the learner noticed with this sample that what it learnt holds no more.
        probabilities: Of each class, see `SiteAnswer`; `predicted` is the likeliest.
    """

    predicted: int | None
    own: int | None
    committed: int | None = None
    label: int | None = None
    judged: tuple[str, ...] = ()
    anywhere: int | None = None
    confidence: float = 0.0
    margin: float = 0.0
    unknown: bool = True
    new: bool = False
    expert: str = ""
    decisive: str | None = None
    drifted: bool = False
    probabilities: tuple[float, ...] = ()

    @property
    def right(self) -> bool | None:
        """Whether the answer was right; None without a label."""
        return None if self.label is None else self.predicted == self.label

    @property
    def own_right(self) -> bool | None:
        """Whether the site alone would have been right; None without a label."""
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
