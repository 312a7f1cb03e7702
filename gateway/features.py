"""From a decoded window to the learner's sample.

Every site scales by the channels' declared ranges, low → 0 and high → 1, so that prototypes mean
the same everywhere and need no statistics of the data to be exchanged.
"""

import numpy as np
from numpy.typing import NDArray

from protocol.schema import Sample, Schema


class Scaler:
    """Turns channel units into ranges, and fills in channels that nobody read.

    A missing channel takes its last known value; before the first one there is no sample.

    >>> from protocol.schema import Channel
    >>> scaler = Scaler(Schema((Channel("t", "°C", 0, 40, 0.1),), ("cold", "hot")))
    >>> scaler.sample(Sample(np.array([10.0]), np.array([3]), 0))
    array([0.25])
    >>> scaler.sample(Sample(np.array([np.nan]), np.array([0]), 0))
    array([0.25])
    """

    def __init__(self, schema: Schema) -> None:
        self._low = np.array([channel.low for channel in schema.channels])
        self._range = np.array([channel.high - channel.low for channel in schema.channels])
        self._last = np.full(len(schema.channels), np.nan)

    def scale(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scale rows of values, shape (…, C), to channel ranges."""
        scaled: NDArray[np.float64] = (values - self._low) / self._range
        return scaled

    def sample(self, sample: Sample) -> NDArray[np.float64] | None:
        """Return the features of shape (C,), or None while a channel has never been read."""
        scaled = self.scale(sample.values)
        self._last = np.where(np.isnan(scaled), self._last, scaled)
        return None if np.isnan(self._last).any() else self._last.copy()
