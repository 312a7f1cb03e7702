"""From a decoded window to the learner's sample.

Every site scales by the channels' declared ranges, low → 0 and high → 1, so that prototypes mean
the same everywhere and need no statistics of the data to be exchanged.
"""

import numpy as np
from numpy.typing import NDArray

from protoledger.protocol.wire.schema import Sample, Schema


class Scaler:
    """Turns channel units into ranges, and fills in channels that nobody read.

    A missing channel takes its last known value; before the first one, the middle of its range.

    >>> from protoledger.protocol.wire.schema import Channel
    >>> scaler = Scaler(Schema((Channel("t", "°C", 0, 40, 0.1),), ("cold", "hot")))
    >>> missing = Sample(np.array([np.nan]), np.array([0]), 0)
    >>> scaler.sample(missing)
    array([0.5])
    >>> scaler.sample(Sample(np.array([10.0]), np.array([3]), 0))
    array([0.25])
    >>> scaler.sample(missing)
    array([0.25])
    """

    def __init__(self, schema: Schema) -> None:
        self._low = np.array([channel.low for channel in schema.channels])
        self._range = np.array([channel.high - channel.low for channel in schema.channels])
        self._last = np.full(len(schema.channels), 0.5)

    def scale(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scale rows of values, shape (…, C), to channel ranges."""
        scaled: NDArray[np.float64] = (values - self._low) / self._range
        return scaled

    def sample(self, sample: Sample) -> NDArray[np.float64]:
        """Return the features of shape (C,)."""
        scaled = self.scale(sample.values)
        self._last = np.where(np.isnan(scaled), self._last, scaled)
        return self._last.copy()
