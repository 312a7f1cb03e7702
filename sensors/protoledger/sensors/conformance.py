"""The rules that every driver keeps, checked with one sensor that opens.

    python -m protoledger.conformance sensors my_package:Driver '{"bus": 1}'

A `HardwareSensor` is opened on a simulated machine; any other driver needs options with which it
opens here.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError

from protoledger.conformance import Suite, expect, expect_error
from protoledger.sensors.base import DriverOptions, Reading, Resource, Sensor
from protoledger.sensors.errors import SensorClosed, TransientSensorError
from protoledger.sensors.filters import FilterOptions
from protoledger.sensors.needs import Needs
from protoledger.sensors.pins.machine import HardwareSensor
from protoledger.sensors.pins.simulation import SimulatedMachine

READS = 5


@dataclass(frozen=True, slots=True)
class _Driver:
    """A driver and the options that it is checked with."""

    kind: type[Sensor]
    given: Mapping[str, Any]

    def options(self) -> DriverOptions:
        return self.kind.Options.model_validate(dict(self.given))

    @contextmanager
    def opened(self) -> Iterator[Sensor]:
        """Open it, and close it at the end."""
        if issubclass(self.kind, HardwareSensor):
            with SimulatedMachine() as machine, self.kind(self.options(), machine) as sensor:
                yield sensor
        else:
            with self.kind(self.options()) as sensor:
                yield sensor


def _is_a_sensor(driver: _Driver) -> None:
    """It is a subclass of Sensor with Options."""
    expect(
        isinstance(driver.kind, type) and issubclass(driver.kind, Sensor), f"it is {driver.kind!r}"
    )
    options = getattr(driver.kind, "Options", None)
    expect(
        isinstance(options, type) and issubclass(options, DriverOptions),
        f"its Options are {options!r}, which is no subclass of DriverOptions",
    )


def _options_are_described(driver: _Driver) -> None:
    """Every option has a description."""
    fields = driver.kind.Options.model_fields.items()
    mute = [name for name, field in fields if not field.description]
    expect(not mute, f"{', '.join(mute)} have none")


def _options_are_strict(driver: _Driver) -> None:
    """The options given are right, an unknown one is refused, and none can be changed."""
    options = driver.options()
    unknown = {**driver.given, "no_such_option": 1}
    expect_error(
        ValidationError, lambda: driver.kind.Options.model_validate(unknown), "no_such_option"
    )
    for name in type(options).model_fields:
        change = partial(setattr, options, name, 0)
        expect_error(ValidationError, change, f"setting {name}")


def _declares_without_opening(driver: _Driver) -> None:
    """Resources, needs, filters, inputs and states are known without opening anything."""
    kind, options = driver.kind, driver.options()
    resources = tuple(kind.resources(options))
    expect(all(isinstance(one, Resource) for one in resources), f"resources are {resources!r}")
    expect(isinstance(kind.needs(options), Needs), f"needs are {kind.needs(options)!r}")
    filters = kind.default_filters(options)
    expect(isinstance(filters, FilterOptions), f"filters are {filters!r}")
    inputs, states = kind.inputs(options), kind.states(options)
    expect(all(isinstance(name, str) for name in inputs), f"inputs are {inputs!r}")
    finite = all(math.isfinite(value) for value in states.values())
    expect(finite and set(states) <= set(kind.Options.model_fields), f"states are {states!r}")


def _reads(driver: _Driver) -> None:
    """A read returns a finite Reading, or raises a TransientSensorError."""
    with driver.opened() as sensor:
        expect(isinstance(sensor.unit, str), f"its unit is {sensor.unit!r}")
        for _ in range(READS):
            try:
                reading = sensor.read()
            except TransientSensorError:
                continue
            expect(isinstance(reading, Reading), f"a read returned {type(reading).__name__}")
            expect(math.isfinite(reading.value), "a reading is not finite")


def _closes(driver: _Driver) -> None:
    """close() may be called twice, and a read after it raises SensorClosed."""
    with driver.opened() as sensor:
        sensor.close()
        sensor.close()
        expect(sensor.closed, "closed is false after close()")
        expect_error(SensorClosed, sensor.read, "read() after close()")


def _opens_again(driver: _Driver) -> None:
    """What was closed, by an error too, can be opened again."""
    for _ in range(3):
        try:
            with driver.opened():
                raise KeyError  # noqa: TRY301 - an error inside the block is the case
        except KeyError:
            continue


def _prepare(found: Any, options: Mapping[str, Any]) -> _Driver:
    return _Driver(found, options)


SUITE = Suite(
    _prepare,
    (
        _is_a_sensor,
        _options_are_described,
        _options_are_strict,
        _declares_without_opening,
        _reads,
        _closes,
        _opens_again,
    ),
)
