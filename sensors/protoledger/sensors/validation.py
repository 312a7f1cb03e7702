"""Find all errors in the configuration of an agent's sensors before any is opened."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from protoledger.sensors.base import Resource
from protoledger.sensors.errors import BadOptions, SensorError
from protoledger.sensors.probe import check_calibration, check_filters, filters_for
from protoledger.sensors.registry import describe


@dataclass(frozen=True, slots=True)
class WantedSensor:
    """A sensor as it is configured.

    Attributes:
        where: its key in the file, such as "sensors.0".
        driver: its name.
        options: the driver's.
        filters: what differs from the driver's own filters.
        calibration: see `Calibration`.
    """

    where: str
    driver: str
    options: Mapping[str, object] = field(default_factory=dict)
    filters: Mapping[str, object] = field(default_factory=dict)
    calibration: Mapping[str, object] = field(default_factory=dict)


def find_problems(sensors: Iterable[WantedSensor]) -> list[str]:
    """Check drivers, options, filters and clashes of pins of one agent, all at once.

    Returns:
        One line per problem: the key, the value, what is wrong and what to do. Empty if nothing
        is wrong as far as can be known without opening the devices.

    >>> button = WantedSensor("sensors.0", "button", {"pin": 4})
    >>> for line in find_problems([button, WantedSensor("label", "motion", {"pin": 4})]):
    ...     print(line)
    label: GPIO4 is used twice: by 'button' at sensors.0 and by 'motion' here; move one of them
    """
    problems: list[str] = []
    taken: dict[str, tuple[WantedSensor, Resource]] = {}
    for sensor in sensors:
        resources: tuple[Resource, ...] = ()
        check = partial(check_filters, sensor.driver)
        calibration = None
        try:
            calibration = check_calibration(sensor.driver, sensor.calibration)
        except BadOptions as error:
            problems += [f"{sensor.where}.{line}" for line in error.problems]
        try:
            resources, _ = describe(sensor.driver, sensor.options)
            check = partial(filters_for, sensor.driver, sensor.options, calibration=calibration)
        except BadOptions as error:
            problems += [f"{sensor.where}.{line}" for line in error.problems]
        except SensorError as error:
            problems.append(f"{sensor.where}.driver = {sensor.driver!r}: {error}")
        try:
            check(sensor.filters)
        except BadOptions as error:
            problems += [f"{sensor.where}.{line}" for line in error.problems]
        problems += _clashes(sensor, resources, taken)
    return problems


def _clashes(
    sensor: WantedSensor,
    resources: Iterable[Resource],
    taken: dict[str, tuple[WantedSensor, Resource]],
) -> Iterator[str]:
    for resource in resources:
        owner, held = taken.setdefault(resource.name, (sensor, resource))
        if owner is sensor or (held.share and held.share == resource.share):
            continue
        yield (
            f"{sensor.where}: {resource.name} is used twice: by {owner.driver!r} at {owner.where} "
            f"and by {sensor.driver!r} here; move one of them"
        )
