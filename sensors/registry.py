"""Find a driver by its name and open it.

Built-in drivers are loaded when they are asked for. A third party adds one by a Python entry point
in the group `protoledger.sensors`, whose name is the driver's and whose value is a `Sensor` class;
a built-in name cannot be taken over.
"""

import difflib
import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points

from pydantic import ValidationError

from sensors.base import DriverOptions, Sensor
from sensors.errors import BadOptions, DriverBroken, UnknownDriver

GROUP = "protoledger.sensors"

_BUILT_IN = {
    "mock": "sensors.mock:MockSensor",
    "replay": "sensors.replay:ReplaySensor",
}


def driver_names() -> list[str]:
    """All drivers that `open_sensor` would find, sorted."""
    return sorted({*_BUILT_IN, *entry_points(group=GROUP).names})


def find_driver(driver: str) -> type[Sensor]:
    """Load a driver's class without opening anything.

    Raises:
        UnknownDriver: nobody offers this name.
        DriverBroken: it cannot be imported, or is not a `Sensor` class with `Options`.
    """
    found: object
    try:
        if driver in _BUILT_IN:
            module, _, name = _BUILT_IN[driver].partition(":")
            found = getattr(importlib.import_module(module), name)
        else:
            offers = tuple(entry_points(group=GROUP, name=driver))
            if not offers:
                raise UnknownDriver(_unknown(driver))
            found = offers[0].load()
    except (ImportError, AttributeError) as error:
        raise DriverBroken(f"driver {driver!r} cannot be loaded: {error}; reinstall it") from error
    if not (isinstance(found, type) and issubclass(found, Sensor)):
        raise DriverBroken(f"driver {driver!r} is {found!r}: it must be a subclass of Sensor")
    options = getattr(found, "Options", None)
    if not (isinstance(options, type) and issubclass(options, DriverOptions)):
        raise DriverBroken(f"driver {driver!r} has no Options, a subclass of sensors.DriverOptions")
    return found


def open_sensor(driver: str, options: Mapping[str, object]) -> Sensor:
    """Check the options and open the sensor; the caller closes it.

    Raises:
        BadOptions: names every option that is wrong, its value and the way out.
        UnknownDriver, DriverBroken: see `find_driver`.
        SensorError: the driver could not acquire its device.

    >>> with open_sensor("mock", {"level": 21.5, "unit": "°C"}) as sensor:
    ...     sensor.read().value, sensor.unit
    (21.5, '°C')
    """
    found = find_driver(driver)
    try:
        checked = found.Options.model_validate(dict(options))
    except ValidationError as error:
        raise BadOptions(_explain(driver, found, options, error)) from None
    return found(checked)


def _unknown(driver: str) -> str:
    names = driver_names()
    close = difflib.get_close_matches(driver, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"no driver is called {driver!r}: {hint}there are {', '.join(names)}"


def _explain(
    driver: str, found: type[Sensor], options: Mapping[str, object], error: ValidationError
) -> str:
    known = list(found.Options.model_fields)
    lines = []
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            close = difflib.get_close_matches(key, known, n=1)
            say = f"unknown; did you mean {close[0]!r}?" if close else f"unknown; known: {known}"
        else:
            say = item["msg"]
        seen = f" = {options[key]!r}" if key in options else ""
        lines.append(f"{key}{seen}: {say}" if key else say)
    return f"driver {driver!r}, options: " + "; ".join(lines)
