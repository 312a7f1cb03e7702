"""What the agents in a simulated room read, with the errors of cheap sensors.

An agent's place and parts give each channel a gain and an offset (near the window, above the
radiator), a lag (a first-order filter: the housing warms slowly) and white noise. Some reads fail,
and sometimes a value sticks for a while. One agent of each site has a motion sensor that misses
people who sit still; the labels of the others are true.
"""

import numpy as np
from numpy.typing import NDArray

from protoledger.emulator.sources.dealing import DEFAULT_NOISE, DealPlan
from protoledger.protocol.wire.schema import NO_LABEL, Channel

# Per channel (co2, temperature, humidity, light): deviations among agents of gain and offset, the
# longest lag in minutes, noise in units and in parts of the value. After the data sheets of common
# parts: SCD30 (±30 ppm + 3 %), DHT22 (±0.5 °C, ±2 %), BH1750 (±20 %); a half of it is scatter.
_GAIN = np.array([0.02, 0.0, 0.01, 0.10])
_OFFSET = np.array([15.0, 0.3, 1.2, 0.0])
_LAG_MINUTES = np.array([3.0, 15.0, 8.0, 0.1])
_NOISE = np.array([12.0, 0.08, 0.6, 1.0])
_NOISE_PARTS = np.array([0.01, 0.0, 0.0, 0.03])

_MISSING = 0.01
_NO_VOTE = 0.01
_MISSED_MOTION = 0.15
_STUCK_STARTS = 0.0005
_STUCK_WINDOWS = 12

# Purposes of `DealPlan.generator`; 11 and 12 are in `house`.
_PLACE = 13
_READS = 14


def observe(
    plan: DealPlan,
    site: int,
    clean: NDArray[np.float64],
    labels: NDArray[np.int64],
    channels: tuple[Channel, ...],
    window_minutes: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Read a room with all of a site's agents.

    Args:
        plan: its noise scales the white noise; at 0 no read fails, and all labels are true.
        site: number of the site.
        clean: float64 (T, C), window means of the room.
        labels: int64 (T,), the true classes.
        channels: the C channels, in the order of protoledger.emulator.sources.house.
        window_minutes: length of a window.

    Returns:
        What the agents read, float64 (A, T, C), NaN where a read failed, and their votes,
        int64 (A, T).
    """
    windows = len(clean)
    low = np.array([channel.low for channel in channels])
    high = np.array([channel.high for channel in channels])
    observed = np.empty((plan.agents, *clean.shape))
    votes = np.empty((plan.agents, windows), np.int64)
    keeps = np.empty((plan.agents, len(channels)))
    for agent in range(plan.agents):
        place = plan.generator(_PLACE, site, agent)
        gain = np.exp(_GAIN * place.standard_normal(len(channels)))
        offset = _OFFSET * place.standard_normal(len(channels))
        keeps[agent] = np.exp(
            -window_minutes / (_LAG_MINUTES * place.uniform(0.3, 1, len(channels)))
        )
        observed[agent] = gain * clean + offset
    _lag(observed, keeps)
    for agent in range(plan.agents):
        random = plan.generator(_READS, site, agent)
        scatter = (_NOISE + _NOISE_PARTS * clean) * (plan.noise / DEFAULT_NOISE)
        values = np.clip(observed[agent] + scatter * random.standard_normal(clean.shape), low, high)
        faults = random.random((3, *clean.shape))
        votes[agent] = _vote(labels, faults[2], misses=agent == plan.agents - 1 and agent > 0)
        if plan.noise:
            _stick(values, faults[0] < _STUCK_STARTS)
            values[faults[1] < _MISSING] = np.nan
        else:
            votes[agent] = labels
        observed[agent] = values
    return observed, votes


def _lag(values: NDArray[np.float64], keeps: NDArray[np.float64]) -> None:
    """Filter (A, T, C) along T in place, y = keep · y₋₁ + (1 − keep) · x with keeps (A, C)."""
    for window in range(1, values.shape[1]):
        values[:, window] += keeps * (values[:, window - 1] - values[:, window])


def _stick(values: NDArray[np.float64], starts: NDArray[np.bool_]) -> None:
    """Repeat the value where a stuck spell starts; (T, C) in place."""
    for window, channel in np.argwhere(starts).tolist():
        values[window : window + _STUCK_WINDOWS, channel] = values[window, channel]


def _vote(
    labels: NDArray[np.int64], chances: NDArray[np.float64], *, misses: bool
) -> NDArray[np.int64]:
    votes = labels.copy()
    if misses:
        votes[chances[:, 0] < _MISSED_MOTION] = 0  # "empty"
    votes[chances[:, 1] < _NO_VOTE] = NO_LABEL
    return votes
