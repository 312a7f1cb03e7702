"""Choose a channel's range and resolution from data, in round numbers.

A channel's range is the data's with a margin of 5 % on each side. Its step is the smallest of 1, 2
and 5 times a power of ten that divides the range into at most 2^16 steps; there are at least 2^14.
Sums over some 16,000 agents then stay below half of the field's prime.
"""

import math
from decimal import Decimal

from protoledger.emulator.errors import DataSourceError
from protoledger.protocol.wire.schema import Channel

MOST_STEPS = 65_536
_MARGIN = 0.05
# Two cells of slack on each side, in steps: low and high are moved outwards to multiples of a cell.
_CELL_STEPS = 100


def plan_channel(name: str, unit: str, smallest: float, largest: float) -> Channel:
    """Give a channel whose values lie from `smallest` to `largest` (finite) its range and step.

    A constant channel gets a range of 10 % of its value, or of 1 around zero.

    Raises:
        DataSourceError: the values are so large or small that a float64 cannot hold their squares.

    >>> plan_channel("co2", "ppm", 412.75, 2028.5)
    Channel(name='co2', unit='ppm', low=330.0, high=2110.0, step=0.05, private=True)
    """
    magnitude = max(abs(smallest), abs(largest))
    if magnitude > 1e100 or 0 < magnitude < 1e-100:
        raise DataSourceError(
            f"channel {name!r}: values up to {magnitude:g} are outside of 1e-100 to 1e100, the "
            "range of computation: choose another unit"
        )
    span = largest - smallest
    # Below a billionth of the magnitude, float64's own resolution would show.
    if span < 1e-9 * magnitude or not magnitude:
        span = 0.1 * magnitude or 1.0
    middle = smallest / 2 + largest / 2
    half = span * (0.5 + _MARGIN)
    step = _nice_step(2 * half / (MOST_STEPS - 4 * _CELL_STEPS))
    cell = step * _CELL_STEPS
    low = cell * math.floor(Decimal(middle - half) / cell)
    high = cell * math.ceil(Decimal(middle + half) / cell)
    return Channel(name, unit, float(low), float(high), float(step))


def _nice_step(smallest: float) -> Decimal:
    """The smallest of 1, 2, 5 × 10^k that is not below `smallest`."""
    exponent = math.floor(math.log10(smallest)) - 1
    wanted = Decimal(smallest)
    for power in range(exponent, exponent + 3):
        for factor in (1, 2, 5):
            step = Decimal(factor).scaleb(power)
            if step >= wanted:
                return step
    return Decimal(1).scaleb(exponent + 3)
