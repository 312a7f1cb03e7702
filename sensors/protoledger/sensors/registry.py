"""Find a driver by its name and open it.

A built-in driver is imported when it is first used. A third party adds a driver by a Python entry
point in the group `protoledger.sensors`: its name is the driver's, its value is a `Sensor` class. A
built-in name cannot be replaced; see `protoledger.plugins`.
"""

import difflib
from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from protoledger.plugins import BrokenPluginError, Group, UnknownPluginError
from protoledger.sensors.base import DriverOptions, Resource, Sensor
from protoledger.sensors.errors import BadOptions, DriverBroken, SensorError, UnknownDriver
from protoledger.sensors.filters import FilterOptions
from protoledger.sensors.needs import Needs
from protoledger.sensors.pins.machine import HardwareSensor, Machine

_BUILT_IN = {
    "am2302": "protoledger.sensors.drivers.dht:Dht22Sensor",
    "button": "protoledger.sensors.drivers.switches.button:ButtonSensor",
    "circuitpython": "protoledger.sensors.drivers.circuitpython:CircuitPythonSensor",
    "cpu_temperature": "protoledger.sensors.drivers.kernel.cpu_temperature:CpuTemperatureSensor",
    "derived": "protoledger.sensors.synthetic.derived:DerivedSensor",
    "dht11": "protoledger.sensors.drivers.dht:Dht11Sensor",
    "dht22": "protoledger.sensors.drivers.dht:Dht22Sensor",
    "digital": "protoledger.sensors.drivers.switches.digital:DigitalSensor",
    "distance": "protoledger.sensors.drivers.distance:DistanceSensor",
    "ds18b20": "protoledger.sensors.drivers.kernel.ds18b20:Ds18b20Sensor",
    "http": "protoledger.sensors.drivers.network.http:HttpSensor",
    "hwmon": "protoledger.sensors.drivers.kernel.hwmon:HwmonSensor",
    "iio": "protoledger.sensors.drivers.kernel.iio:IioSensor",
    "light": "protoledger.sensors.drivers.light:LightSensor",
    "mcp3008": "protoledger.sensors.drivers.mcp3008:Mcp3008Sensor",
    "mock": "protoledger.sensors.synthetic.mock:MockSensor",
    "motion": "protoledger.sensors.drivers.switches.motion:MotionSensor",
    "mqtt": "protoledger.sensors.drivers.network.mqtt:MqttSensor",
    "replay": "protoledger.sensors.synthetic.replay:ReplaySensor",
}
DRIVERS = Group("protoledger.sensors", "driver", _BUILT_IN)


def driver_names() -> list[str]:
    """All drivers that `open_sensor` would find, sorted."""
    return DRIVERS.names()


def find_driver(driver: str) -> type[Sensor]:
    """Load a driver's class without opening anything.

    Raises:
        UnknownDriver: no driver has this name.
        DriverBroken: it cannot be imported, or is not a `Sensor` class with `Options`.
    """
    try:
        found: type[Sensor] = DRIVERS.find_class(driver, Sensor)
    except UnknownPluginError as error:
        raise UnknownDriver(str(error)) from None
    except BrokenPluginError as error:
        raise DriverBroken(str(error)) from error
    options = getattr(found, "Options", None)
    if not (isinstance(options, type) and issubclass(options, DriverOptions)):
        raise DriverBroken(f"driver {driver!r} has no Options, a subclass of sensors.DriverOptions")
    return found


def check_options(driver: str, options: Mapping[str, object]) -> tuple[type[Sensor], DriverOptions]:
    """Find the driver and check its options, without opening anything.

    Raises:
        BadOptions: names every wrong option, its value and what to do.
        UnknownDriver, DriverBroken: see `find_driver`.
    """
    found = find_driver(driver)
    try:
        return found, found.Options.model_validate(dict(options))
    except ValidationError as error:
        lines = explain(error, found.Options, options, "options")
        raise BadOptions(f"driver {driver!r}", lines) from None
    except Exception as error:  # a third party's validator may raise anything
        raise _broken(driver, "checked its options", error) from error


def describe(
    driver: str, options: Mapping[str, object]
) -> tuple[tuple[Resource, ...], FilterOptions]:
    """Return what a sensor with these options would occupy, and the driver's own filters.

    Raises:
        BadOptions, UnknownDriver, DriverBroken: see `check_options`.
    """
    found, checked = check_options(driver, options)
    try:
        return tuple(found.resources(checked)), found.default_filters(checked)
    except Exception as error:
        raise _broken(driver, "returned its resources and filters", error) from error


def needs(driver: str, options: Mapping[str, object]) -> Needs:
    """Tell what a sensor with these options needs of the system; see `Sensor.needs`.

    Raises:
        BadOptions, UnknownDriver, DriverBroken: see `check_options`.

    >>> needs("ds18b20", {"pin": 4}).config
    ('dtoverlay=w1-gpio,gpiopin=4',)
    """
    found, checked = check_options(driver, options)
    try:
        told = found.needs(checked)
    except Exception as error:
        raise _broken(driver, "told its needs", error) from error
    if not isinstance(told, Needs):
        raise DriverBroken(f"driver {driver!r} gave {told!r} as its needs: it must be a Needs")
    return told


def states(driver: str, options: Mapping[str, object]) -> Mapping[str, float]:
    """Return the values of a sensor that has only a few, by option; see `Sensor.states`.

    Raises:
        BadOptions, UnknownDriver, DriverBroken: see `check_options`.
    """
    found, checked = check_options(driver, options)
    try:
        return dict(found.states(checked))
    except Exception as error:
        raise _broken(driver, "returned its states", error) from error


def inputs(driver: str, options: Mapping[str, object]) -> frozenset[str]:
    """Return the names of readings that a sensor is computed from; see `Sensor.inputs`.

    Raises:
        BadOptions, UnknownDriver, DriverBroken: see `check_options`.
    """
    found, checked = check_options(driver, options)
    try:
        return frozenset(found.inputs(checked))
    except Exception as error:
        raise _broken(driver, "returned its inputs", error) from error


def open_sensor(
    driver: str, options: Mapping[str, object], machine: Machine | None = None
) -> Sensor:
    """Check the options and open the sensor; the caller closes it.

    Args:
        driver: its name.
        options: as `check_options` takes them.
        machine: whose pins and files a `HardwareSensor` reads; by default this computer.

    Raises:
        BadOptions, UnknownDriver, DriverBroken: see `check_options`; `DriverBroken` also if the
            constructor raises anything that is not a `SensorError`.
        SensorError: the driver could not acquire its device.

    >>> with open_sensor("mock", {"level": 21.5, "unit": "°C"}) as sensor:
    ...     sensor.read().value, sensor.unit
    (21.5, '°C')
    """
    found, checked = check_options(driver, options)
    try:
        return found(checked, machine) if issubclass(found, HardwareSensor) else found(checked)
    except SensorError:
        raise
    except Exception as error:
        raise _broken(driver, "opened its device", error) from error


def _broken(driver: str, what: str, error: Exception) -> DriverBroken:
    return DriverBroken(
        f"driver {driver!r} raised {type(error).__name__} when it {what}: {error}; report this to "
        "its author"
    )


def explain(
    error: ValidationError, model: type[BaseModel], given: Mapping[str, object], under: str
) -> tuple[str, ...]:
    """Describe each thing that a model refused: its key below `under`, its value, what to do."""
    known = list(model.model_fields)
    lines = []
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            close = difflib.get_close_matches(key, known, n=1)
            names = f"known are {', '.join(known)}" if known else "there are none"
            say = f"unknown key; {f'did you mean {close[0]!r}?' if close else names}"
        else:
            missing = item["type"] == "missing"
            say = "is missing" if missing else item["msg"].removeprefix("Value error, ")
            field = model.model_fields.get(str(item["loc"][0])) if item["loc"] else None
            say += f"; {field.description}" if field and field.description else ""
        seen = f" = {given[key]!r}" if key in given else ""
        lines.append(f"{under}.{key}{seen}: {say}" if key else f"{under}: {say}")
    return tuple(lines)
