"""A channel that is computed from other readings of the same agent: dew point, a difference.

    - channel: dew_point
      driver: derived
      options: {expression: "dew_point(temperature, humidity)", unit: °C}

The names are those of the agent's other channels, or of its `inputs`: sensors that are read but
fill no channel. A derived reading is good only if all that it needs are; see `expression` for what
may be written.
"""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, field_validator

from protoledger.sensors.base import ComputedSensor, DriverOptions, Reading
from protoledger.sensors.errors import MissingValue
from protoledger.sensors.synthetic.expression import Expression


class DerivedOptions(DriverOptions):
    """Options of the driver `derived`."""

    expression: str = Field(
        min_length=1,
        description="Names of other readings, numbers, + - * / **, and dew_point(°C, %), "
        "absolute_humidity(°C, %) in g/m³, abs, sqrt, log, exp, min, max.",
    )
    unit: str = Field("", description="Unit of the result.")

    @field_validator("expression")
    @classmethod
    def _can_be_computed(cls, text: str) -> str:
        Expression(text)
        return text


class DerivedSensor(ComputedSensor):
    """The value of an expression over readings that `supply` was called with.

    >>> sensor = DerivedSensor(DerivedOptions(expression="inside - outside"))
    >>> sensor.supply({"inside": 21.5, "outside": 4.0})
    >>> sensor.read().value
    17.5
    """

    Options: ClassVar[type[DriverOptions]] = DerivedOptions

    def __init__(self, options: DerivedOptions) -> None:
        super().__init__(options)
        self.unit = options.unit
        self._expression = Expression(options.expression)
        self._readings: Mapping[str, float] = {}

    @classmethod
    def inputs(cls, options: DriverOptions, /) -> frozenset[str]:
        """The names in the expression."""
        assert isinstance(options, DerivedOptions)  # noqa: S101 - the registry checked it
        return Expression(options.expression).names

    def supply(self, readings: Mapping[str, float]) -> None:
        """Take the good readings of this moment."""
        self._readings = readings

    def _measure(self) -> Reading:
        if missing := sorted(self._expression.names - set(self._readings)):
            raise MissingValue(f"it needs {' and '.join(missing)}, which has no good reading now")
        return Reading(self._expression.value(self._readings))
