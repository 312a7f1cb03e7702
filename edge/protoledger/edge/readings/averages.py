"""Reduces the readings of a window to one mean for each channel, and one label."""

import collections
import math

import numpy as np
from numpy.typing import NDArray

from protoledger.protocol.wire.schema import NO_LABEL


def means(readings: NDArray[np.float64]) -> list[float]:
    """Average readings of shape (R, C) by channel, ignoring NaN; NaN where all are NaN."""
    good = np.isfinite(readings)
    counts = good.sum(axis=0)
    sums = np.where(good, readings, 0.0).sum(axis=0)
    return [float(s / c) if c else math.nan for s, c in zip(sums, counts, strict=True)]


def most_frequent(labels: list[int]) -> int:
    """Return the most frequent label; `NO_LABEL` if there is none, or a tie."""
    given = collections.Counter(label for label in labels if label != NO_LABEL).most_common(2)
    tied = len(given) == 2 and given[0][1] == given[1][1]
    return given[0][0] if given and not tied else NO_LABEL
