"""What a site measures, and how a window of readings becomes symbols and sums become samples.

A contribution is, per window, a value for each channel in steps above `low`, and a one-hot vote for
the label. Which of these an agent fills is declared, so that counts are known: sums divided by
counts are means, the label with the most votes wins. Kits may differ.
"""

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from protoledger.protocol.code import field
from protoledger.protocol.code.field import Symbols
from protoledger.protocol.code.layout import Contribution, Flags, Layout
from protoledger.protocol.errors import ConfigurationError

NO_LABEL = -1


@dataclass(frozen=True)
class Channel:
    """One measured quantity.

    Args:
        name: unique in the site.
        unit: as a person reads it, for example °C.
        low: smallest value kept; what is below is clipped.
        high: largest value kept.
        step: resolution, in the same unit.
        private: whether the site file demands that `minimum_contributors` agents carry it.
    """

    name: str
    unit: str
    low: float
    high: float
    step: float
    private: bool = True

    @property
    def steps(self) -> int:
        """The largest symbol of this channel."""
        return round((self.high - self.low) / self.step)


@dataclass(frozen=True)
class Window:
    """What one agent saw in some windows.

    Args:
        values: float64 of shape (B, C) in channel units, NaN where nothing was read.
        labels: int64 of shape (B,), an index into the schema's labels or `NO_LABEL`.
    """

    values: NDArray[np.float64] = dataclasses.field(repr=False)
    labels: NDArray[np.int64] = dataclasses.field(repr=False)


@dataclass(frozen=True)
class Sample:
    """What the gateway decodes of one window.

    Args:
        values: float64 of shape (C,), the mean over the agents that read the channel, NaN if none.
        counts: int64 of shape (C,), how many agents read it.
        label: index of the winning vote, or `NO_LABEL` for none or a tie.
    """

    values: NDArray[np.float64] = dataclasses.field(repr=False)
    counts: NDArray[np.int64] = dataclasses.field(repr=False)
    label: int


@dataclass(frozen=True)
class Schema:
    """The channels and labels of a site; every party must have the same ones.

    Doctest:

        >>> schema = Schema((Channel("temperature", "°C", -10, 50, 0.5),), ("empty", "occupied"))
        >>> given = schema.contribution(Window(np.array([[21.0]]), np.array([1])))
        >>> given.values, given.votes
        (array([[62]]), array([1]))
        >>> schema.samples(np.array([186, 3, 0, 3], dtype=np.uint32), agents=3)[0].values
        array([21.])
    """

    channels: tuple[Channel, ...]
    labels: tuple[str, ...]

    @cached_property
    def length(self) -> int:
        """Symbols of one window's sums as a gateway reads them: 2C + labels."""
        return 2 * len(self.channels) + len(self.labels)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over the canonical encoding, 32 bytes: the schema hash of announce and chain."""
        canonical = msgspec.msgpack.encode(
            [
                [
                    [c.name, c.unit, float(c.low), float(c.high), float(c.step)]
                    for c in self.channels
                ],
                list(self.labels),
            ]
        )
        return hashlib.sha256(b"protoledger schema v1" + canonical).digest()

    def check_sums(self, agents: int) -> None:
        """Refuse channels whose sum over all agents could not be distinguished from a negative one.

        Raises:
            ConfigurationError: naming the channels and the knobs.
        """
        limit = field.HALF // agents
        wide = [
            f"channel {c.name!r}, step = {c.step:g}: {agents} agents × {c.steps} steps exceed "
            f"{field.HALF}, the largest sum; "
            f"raise its step to at least {(c.high - c.low) / limit:.3g}"
            for c in self.channels
            if c.steps > limit
        ]
        if wide:
            raise ConfigurationError(*wide)

    @cached_property
    def _lows(self) -> NDArray[np.float64]:
        return np.array([c.low for c in self.channels])

    @cached_property
    def _steps(self) -> NDArray[np.float64]:
        return np.array([c.step for c in self.channels])

    @cached_property
    def _largest(self) -> NDArray[np.float64]:
        return np.array([float(c.steps) for c in self.channels])

    @cached_property
    def _private(self) -> NDArray[np.bool_]:
        return np.array([c.private for c in self.channels])

    def layout(self, windows: int) -> Layout:
        """Return the numbers behind a round of so many windows."""
        return Layout(
            windows,
            tuple(channel.steps for channel in self.channels),
            len(self.labels),
            tuple(channel.private for channel in self.channels),
        )

    def contribution(self, window: Window) -> Contribution:
        """Turn B windows into what is shared: steps above `low`, clipped, and votes.

        What was not read, or is not a number, is not declared.
        """
        steps = (window.values - self._lows) / self._steps
        # of NaN and 0, fmax takes 0; an infinite one is not read
        clipped = np.minimum(np.fmax(np.rint(steps), 0.0), self._largest).astype(np.int64)
        values = np.where(np.isfinite(window.values), clipped, -1)
        return Contribution(values, window.labels)  # `NO_LABEL` is no vote in both

    def symbols(self, sums: Symbols, opened: Flags, counts: NDArray[np.int64]) -> Symbols:
        """Lay out the sums of a round as a gateway reads them: value and count by channel, votes.

        Args:
            sums: a symbol for each coordinate that was opened.
            opened: bool of shape (B·(C + labels),), which ones these are.
            counts: int64 of the same shape, how many declared each.

        Returns:
            uint32 of shape (B·L,); (0, 0) for a channel, and zeros for votes, that were not opened.
        """
        width, values = len(self.channels) + len(self.labels), np.zeros(opened.size, np.uint32)
        values[opened] = sums
        parted = values.reshape(-1, width)
        found = np.where(opened, counts, 0).reshape(-1, width)
        rows = np.zeros((len(parted), self.length), dtype=np.uint32)
        channels = len(self.channels)
        rows[:, 0 : 2 * channels : 2] = parted[:, :channels]
        rows[:, 1 : 2 * channels : 2] = found[:, :channels]
        rows[:, 2 * channels :] = parted[:, channels:]
        return rows.reshape(-1)

    def samples(self, sums: Symbols, agents: int, minimum: int = 1) -> list[Sample]:
        """Turn decoded sums into samples.

        Args:
            sums: uint32 of shape (B·L,).
            agents: how many contributed; a count above it betrays an agent that does not follow
                the protocol, and that channel (or vote) is discarded.
            minimum: a private channel that fewer agents read, or a label that fewer voted on, is
                discarded as well: it would show single readings.
        """
        rows = sums.reshape(-1, self.length).astype(np.int64)
        width = 2 * len(self.channels)
        counts = rows[:, 1:width:2]
        fewest = np.where(self._private, minimum, 1)
        plausible = (counts >= fewest) & (counts <= agents)
        plausible &= rows[:, 0:width:2] <= counts * self._largest.astype(np.int64)
        counts = np.where(plausible, counts, 0)
        means = rows[:, 0:width:2] / np.maximum(counts, 1) * self._steps + self._lows
        values = np.where(plausible, means, np.nan)
        labels = _winners(rows[:, width:], agents, minimum).tolist()
        return [Sample(*one) for one in zip(values, counts, labels, strict=True)]


def _winners(votes: NDArray[np.int64], agents: int, minimum: int) -> NDArray[np.int64]:
    """Return the label that alone has the most of a window's votes (B, labels): int64 (B,)."""
    if not votes.shape[1]:
        return np.full(len(votes), NO_LABEL)
    total, most = votes.sum(axis=1), votes.max(axis=1)
    clear = (votes == most[:, None]).sum(axis=1) == 1
    clear &= (total >= max(1, minimum)) & (total <= agents)
    return np.where(clear, votes.argmax(axis=1), NO_LABEL)
