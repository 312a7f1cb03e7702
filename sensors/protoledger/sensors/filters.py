"""Decide whether a reading is plausible: range, rate of change, stuck value, median of three.

Cheap sensors fail in known ways: values that no room has, jumps that pass the checksum, a value
that never changes again, single spikes. A filter compares one reading with earlier ones; it does no
I/O and reads no clock. An implausible reading gets a reason and is not contributed. It is not
corrected, and later readings are not compared with it.
"""

import statistics
from collections import deque
from dataclasses import dataclass, field
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Three reads in a row at the new level are not a spike: the room has changed.
_AGREEING_READS = 3


class FilterOptions(BaseModel):
    """Filters of one sensor; `null` turns one off that the driver has by default."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    low: float | None = Field(
        None, description="Readings below it are suspect; in the channel's unit."
    )
    high: float | None = Field(None, description="Readings above it are suspect.")
    max_change_per_s: float | None = Field(
        None,
        gt=0,
        description="A faster change is suspect, until three reads in a row agree on it.",
    )
    stuck_after_s: float | None = Field(
        None, gt=0, description="Exactly the same value for longer than this is suspect."
    )
    median: bool = Field(
        default=False,
        description="Give the median of the last three good readings: spikes vanish, a step shows "
        "one reading later.",
    )

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low = {self.low} is not below high = {self.high}: swap them")
        return self

    def overridden_by(self, wanted: "FilterOptions") -> "FilterOptions":
        """Return these filters, replaced by those that `wanted` sets, also where it sets None.

        Raises:
            ValidationError: `low` of one is not below `high` of the other.
        """
        given = wanted.model_dump(exclude_unset=True)
        return FilterOptions.model_validate({**self.model_dump(), **given})


_NONE = FilterOptions()


@dataclass(slots=True)
class FilterState:
    """The filters of one sensor, and the earlier readings that they compare with.

    >>> state = FilterState(FilterOptions(low=0.0, max_change_per_s=1.0))
    >>> [state.judge(value, 2.0 * i) for i, value in enumerate([20.0, -4.0, 21.0, 90.0])]
    [(20.0, ''), (-4.0, 'below 0'), (21.0, ''), (90.0, 'changed faster than by 1 a second')]
    """

    options: FilterOptions
    _believed: tuple[float, float] | None = None
    _jump: tuple[float, float] | None = None
    _agreeing: int = 0
    _same: tuple[float, float] | None = None
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=3))

    @property
    def idle(self) -> bool:
        """Whether every reading passes as it is."""
        return self.options == _NONE

    def judge(self, value: float, now_s: float) -> tuple[float, str]:
        """Judge a reading that was taken at `now_s` (monotonic seconds).

        Returns:
            The value to use, and why it is implausible: empty for a good reading. The reason
            contains no reading, so it may be logged.
        """
        if reason := self._out_of_range(value) or self._stuck(value, now_s):
            return value, reason
        if reason := self._jumped(value, now_s):
            return value, reason
        self._recent.append(value)
        if self.options.median and len(self._recent) == 3:
            return statistics.median(self._recent), ""
        return value, ""

    def _out_of_range(self, value: float) -> str:
        low, high = self.options.low, self.options.high
        if low is not None and value < low:
            return f"below {low:g}"
        return f"above {high:g}" if high is not None and value > high else ""

    def _stuck(self, value: float, now_s: float) -> str:
        limit = self.options.stuck_after_s
        if self._same is None or self._same[0] != value:
            self._same = (value, now_s)
        spell = now_s - self._same[1]
        return f"the same for {spell:.0f} s" if limit is not None and spell > limit else ""

    def _jumped(self, value: float, now_s: float) -> str:
        # Compared with the last plausible reading, so a longer outage allows a larger change.
        if self._believed is None or self._near(self._believed, value, now_s):
            self._believe(value, now_s)
            return ""
        same_level = self._jump is not None and self._near(self._jump, value, now_s)
        self._agreeing = self._agreeing + 1 if same_level else 1
        self._jump = (value, now_s)
        if self._agreeing >= _AGREEING_READS:
            self._believe(value, now_s)
            self._recent.clear()  # they are of the level before
            return ""
        return f"changed faster than by {self.options.max_change_per_s:g} a second"

    def _near(self, reference: tuple[float, float], value: float, now_s: float) -> bool:
        rate = self.options.max_change_per_s
        # Within less than a second, one step of a coarse sensor would look like a jump.
        spell = max(1.0, now_s - reference[1])
        return rate is None or abs(value - reference[0]) <= rate * spell

    def _believe(self, value: float, now_s: float) -> None:
        self._believed = (value, now_s)
        self._jump, self._agreeing = None, 0
