"""Every learner as a classifier of scikit-learn, with `partial_fit`.

A model learns in one pass, in the order of the rows; `fit` begins again, `partial_fit` goes on.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from protoledger.gateway.learner import Classifier, make_learner
from protoledger.gateway.learner.base import Floats


class ILVQClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # it has no types
    """Incremental learning vector quantisation; a few dozen prototypes vote.

    Args:
        learner: The name of a learner: `improved`, `reference`, or one that a package adds.
        capacity: Most prototypes; the reference knows no limit.

    Attributes:
        classes_: The labels, sorted.
        n_features_in_: Length of a sample.
        model_: The learner, whose class indices are places in `classes_`.

    >>> model = ILVQClassifier().fit([[19.0], [23.0], [19.2], [22.8]], ["no", "yes", "no", "yes"])
    >>> model.predict([[22.9]]).tolist(), model.classes_.tolist()
    (['yes'], ['no', 'yes'])
    """

    classes_: NDArray[Any]
    n_features_in_: int
    model_: Classifier

    def __init__(self, learner: str = "improved", capacity: int = 128) -> None:
        self.learner = learner
        self.capacity = capacity

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803 - scikit-learn's name
        """Forget what was learnt, and learn the rows of X in turn.

        Raises:
            ValueError: X or y is not as scikit-learn's classifiers take it.
        """
        rows, labels = self._checked(X, y, first=True)
        self._begin(np.unique(labels))
        return self._learn(rows, labels)

    def partial_fit(
        self,
        X: ArrayLike,  # noqa: N803
        y: ArrayLike,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Go on with the rows of X.

        Args:
            X: (n, d) samples.
            y: (n,) labels.
            classes: All labels that there will be; needed at the first call.

        Raises:
            ValueError: `classes` is missing, or another one than at first; or see `fit`.
        """
        first = not hasattr(self, "model_")
        if first and classes is None:
            raise ValueError("the first call of partial_fit needs classes: all labels to come")
        rows, labels = self._checked(X, y, first=first)
        if first:
            self._begin(np.unique(np.asarray(classes)))
        elif classes is not None and not np.array_equal(self.classes_, np.unique(classes)):
            raise ValueError(f"classes are {classes!r} now, and were {self.classes_!r} before")
        return self._learn(rows, labels)

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """Return the label of each row."""
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False)
        chosen: NDArray[Any] = self.classes_[self.model_.predict_many(rows)]
        return chosen

    def predict_proba(self, X: ArrayLike) -> Floats:  # noqa: N803
        """Return each label's share of the vote at each row, in the order of `classes_`."""
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False)
        return np.array([self.model_.predict_proba_one(row) for row in rows])

    def _checked(
        self,
        X: ArrayLike,  # noqa: N803
        y: ArrayLike,
        *,
        first: bool,
    ) -> tuple[Floats, NDArray[Any]]:
        if y is None:
            raise ValueError("it requires y to be passed, but the target y is None")
        rows, labels = validate_data(self, X, y, reset=first, dtype=np.float64)
        check_classification_targets(labels)
        return rows, column_or_1d(labels, warn=True)

    def _begin(self, classes: NDArray[Any]) -> None:
        self.classes_ = classes
        self.model_ = make_learner(
            self.learner,
            self.n_features_in_,
            len(classes),
            capacity=max(self.capacity, 2, len(classes)),
        )

    def _learn(self, rows: Floats, labels: NDArray[Any]) -> Self:
        at = np.searchsorted(self.classes_, labels).clip(max=len(self.classes_) - 1)
        if not (self.classes_[at] == labels).all():
            unknown = np.setdiff1d(labels, self.classes_)
            raise ValueError(f"the labels {unknown!r} are not among classes {self.classes_!r}")
        self.model_.learn_many(rows, at)
        return self
