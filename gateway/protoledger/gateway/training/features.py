"""From a decoded window to the learner's sample.

Every site scales by the channels' declared ranges, low → 0 and high → 1, so that prototypes mean
the same everywhere and need no statistics of the data to be exchanged.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from protoledger.protocol.wire.schema import Sample, Schema

STANDS_IN: Final = 3
"""Windows for which a channel's last value stands in for one that nobody read."""


class Scaler:
    """Turns channel units into ranges, and fills in what was read a moment ago.

    A channel that nobody read takes its last value for `STANDS_IN` windows; then it is missing
    (NaN), as one is that was never read.

    Args:
        schema: the site's channels.
        keeps: whether the last value stands in for ever, and the middle of the range before the
            first: for a learner that takes complete samples only.

    Attributes:
        missing: names of the channels that the last sample lacks.

    >>> from protoledger.protocol.wire.schema import Channel
    >>> scaler = Scaler(Schema((Channel("t", "°C", 0, 40, 0.1),), ("cold", "hot")))
    >>> unread = Sample(np.array([np.nan]), np.array([0]), 0)
    >>> scaler.sample(unread), scaler.missing
    (array([nan]), ('t',))
    >>> scaler.sample(Sample(np.array([10.0]), np.array([3]), 0))
    array([0.25])
    >>> [float(scaler.sample(unread)[0]) for _ in range(4)]
    [0.25, 0.25, 0.25, nan]
    """

    def __init__(self, schema: Schema, *, keeps: bool = False) -> None:
        self._low = np.array([channel.low for channel in schema.channels])
        self._range = np.array([channel.high - channel.low for channel in schema.channels])
        self._names = tuple(channel.name for channel in schema.channels)
        self._keeps = keeps
        self._last = np.full(len(schema.channels), 0.5 if keeps else np.nan)
        self._ago = np.zeros(len(schema.channels), np.int64)
        self.missing: tuple[str, ...] = ()

    def scale(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scale rows of values, shape (…, C), to channel ranges."""
        scaled: NDArray[np.float64] = (values - self._low) / self._range
        return scaled

    def sample(self, sample: Sample) -> NDArray[np.float64]:
        """Return the features of shape (C,)."""
        scaled = self.scale(sample.values)
        unread = np.isnan(scaled)
        self._ago = np.where(unread, self._ago + 1, 0)
        self._last = np.where(unread, self._last, scaled)
        if not self._keeps:
            self._last[self._ago > STANDS_IN] = np.nan
        absent = np.isnan(self._last)
        self.missing = tuple(name for name, gone in zip(self._names, absent, strict=True) if gone)
        return self._last.copy()
