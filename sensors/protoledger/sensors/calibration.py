"""Convert a driver's value to the quantity of a channel: value × scale + offset.

Two reference values, one near each end of the range, give scale and offset (a two-point
calibration); one reference value gives the offset alone. The filters of a sensor apply to the
result, so `low` and `high` are in the channel's unit; a driver's own filters are converted.
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from protoledger.sensors.filters import FilterOptions


class Calibration(BaseModel):
    """What is done to a driver's value; nothing by default.

    >>> Calibration(scale=1.8, offset=32.0, unit="°F").apply(20.0)
    68.0
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    scale: float = Field(1.0, description="Factor of the driver's value; not 0.")
    offset: float = Field(0.0, description="Added after that, in the unit of the result.")
    unit: str | None = Field(None, description="Unit of the result, if it is not the driver's.")

    @model_validator(mode="after")
    def _scale_is_not_zero(self) -> Self:
        if self.scale == 0:
            raise ValueError("scale is 0: every reading would be the offset")
        return self

    @property
    def idle(self) -> bool:
        """Whether values stay what they are."""
        return self.scale == 1.0 and self.offset == 0.0

    def apply(self, value: float) -> float:
        """The calibrated value; infinite if the numbers are too large."""
        return value * self.scale + self.offset

    def convert(self, filters: FilterOptions) -> FilterOptions:
        """A driver's own filters, which are in its unit, for calibrated values."""
        ends = [None if end is None else self.apply(end) for end in (filters.low, filters.high)]
        low, high = ends if self.scale > 0 else reversed(ends)
        change = filters.max_change_per_s
        return FilterOptions(
            low=low,
            high=high,
            max_change_per_s=None if change is None else change * abs(self.scale),
            stuck_after_s=filters.stuck_after_s,
            median=filters.median,
        )


def calibrate(points: list[tuple[float, float]]) -> Calibration:
    """Find the calibration that turns what was read into the reference values.

    Args:
        points: one or two pairs of the driver's value and the true one.

    Raises:
        ValueError: both points have the same reading or the same reference value.

    >>> calibrate([(1.0, 0.0), (3.0, 100.0)])
    Calibration(scale=50.0, offset=-50.0, unit=None)
    """
    (read, true), *more = points
    if not more:
        return Calibration(offset=true - read)
    (other_read, other_true), *_ = more
    if read == other_read or true == other_true:
        raise ValueError(
            "both points are the same: take reference values near the two ends of the range"
        )
    scale = (other_true - true) / (other_read - read)
    return Calibration(scale=scale, offset=true - scale * read)
