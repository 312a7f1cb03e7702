"""Any sensor that has a CircuitPython driver of Adafruit's: SCD4x, BME680, SGP40 and many more.

Wiring: SDA to GPIO2, SCL to GPIO3, VIN to 3V3, GND to GND; `sudo raspi-config nonint do_i2c 0`
turns I2C on. The driver's package has to be installed beside protoledger: `pip install
adafruit-circuitpython-scd4x`. Its documentation names the class and the properties:

    driver: circuitpython
    options: {chip: adafruit_scd4x.SCD4X, quantity: CO2, unit: ppm,
              start: start_periodic_measurement, ready: data_ready}

Several sensors may read properties of one chip: they share the object, and its bus.
"""

import importlib
import math
from typing import Any, ClassVar

from pydantic import Field, field_validator

from protoledger.sensors.base import DriverOptions, Reading, Resource
from protoledger.sensors.errors import (
    BadOptions,
    DeviceGone,
    HardwareUnavailable,
    MissingValue,
    ReadFailed,
)
from protoledger.sensors.needs import I2C, Needs
from protoledger.sensors.pins.machine import HardwareSensor, Machine
from protoledger.sensors.pins.shared_chip import SharedChips

_NAME = r"[A-Za-z][A-Za-z0-9_]*"


class CircuitPythonOptions(DriverOptions):
    """Options of the driver `circuitpython`."""

    chip: str = Field(
        pattern=rf"^adafruit_[a-z0-9_]+(\.[a-z0-9_]+)*\.{_NAME}$",
        description="The driver's class with its module: adafruit_sht4x.SHT4x.",
    )
    quantity: str = Field(
        pattern=rf"^{_NAME}$", description="The property to read: temperature, CO2, lux."
    )
    index: int | None = Field(
        None, ge=0, le=31, description="For a property of several numbers: which one, from 0."
    )
    address: int | None = Field(
        None, ge=0x03, le=0x77, description="The I2C address, if it is not the usual one."
    )
    arguments: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="Further arguments of the class."
    )
    start: str | None = Field(
        None, pattern=rf"^{_NAME}$", description="A method to call once after opening the chip."
    )
    ready: str | None = Field(
        None, pattern=rf"^{_NAME}$", description="A property that is true while there is a value."
    )
    unit: str = Field("", description="Unit of the property, as the chip's documentation says.")

    @field_validator("arguments")
    @classmethod
    def _names(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        if wrong := [name for name in arguments if not name.isidentifier()]:
            raise ValueError(f"{wrong[0]!r} is not the name of an argument")
        return arguments

    @property
    def device(self) -> str:
        """The chip as people call it."""
        at = "" if self.address is None else f" at 0x{self.address:02x}"
        return f"{self.chip.rpartition('.')[2]}{at} on I2C"


def _close(chip: Any) -> None:
    for name in ("deinit", "exit"):
        if callable(method := getattr(chip, name, None)):
            method()
            return


_CHIPS: SharedChips[Any] = SharedChips(_close)


class CircuitPythonSensor(HardwareSensor):
    """A property of a chip, in the unit that its options name.

    Args:
        options: checked.
        machine: on whose I2C bus the chip is.

    Raises:
        HardwareUnavailable: there is no I2C, or the chip's package is not installed.
        BadOptions: the package has no such class, or the class no such arguments.
    """

    Options: ClassVar[type[DriverOptions]] = CircuitPythonOptions

    def __init__(self, options: CircuitPythonOptions, machine: Machine | None = None) -> None:
        super().__init__(options, machine)
        self._chip_options = options
        self.unit = options.unit
        key = (self.machine, options.chip, options.address)
        self._chip = _CHIPS.acquire(key, self._open)

    @classmethod
    def resources(cls, options: DriverOptions, /) -> tuple[Resource, ...]:
        """The bus, which chips share, and the property, which they do not."""
        assert isinstance(options, CircuitPythonOptions)  # noqa: S101 - the registry checked it
        part = "" if options.index is None else f" {options.index}"
        return (
            *(Resource(pin, "I2C") for pin in ("GPIO2", "GPIO3")),
            Resource(f"{options.quantity}{part} of {options.device}"),
        )

    @classmethod
    def needs(cls, _options: DriverOptions, /) -> Needs:
        """The I2C bus."""
        return I2C

    def _open(self) -> Any:
        options = self._chip_options
        chip = self.machine.circuitpython(options.chip, options.quantity)
        if chip is None:
            chip = self._real_chip(_load(options.chip))
        if options.start is not None:
            method = getattr(chip, options.start, None)
            if not callable(method):
                raise BadOptions(f"{options.chip} has no method {options.start!r}: correct `start`")
            method()
        return chip

    def _real_chip(self, chip_class: Any) -> Any:
        options = self._chip_options
        address = {} if options.address is None else {"address": options.address}
        bus = self.machine.i2c()
        try:
            return chip_class(bus, **address, **options.arguments)
        except TypeError as error:
            raise BadOptions(f"{options.chip}: {error}: correct `address` or `arguments`") from None
        except (ValueError, OSError, RuntimeError) as error:  # no device at this address
            raise DeviceGone(
                f"{options.device} does not answer ({error}): check its wires and its address, for "
                "example with i2cdetect -y 1"
            ) from error

    def _measure(self) -> Reading:
        options = self._chip_options
        with self._chip as chip:
            if options.ready is not None and not getattr(chip, options.ready):
                raise MissingValue(f"{options.device} has no new value yet")
            try:
                found = getattr(chip, options.quantity)
            except AttributeError:
                names = ", ".join(_properties(chip)) or "none"
                raise ReadFailed(
                    f"{options.chip} has no property {options.quantity!r}, but {names}"
                ) from None
        return Reading(_number(found, options))

    def _release(self) -> None:
        self._chip.release()


def _load(name: str) -> Any:
    module, _, class_name = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), class_name)
    except ImportError as error:
        package = module.partition(".")[0].removeprefix("adafruit_").replace("_", "-")
        raise HardwareUnavailable(
            f"{module} cannot be imported ({error}): install adafruit-circuitpython-{package} "
            "beside protoledger"
        ) from None
    except AttributeError:
        raise BadOptions(
            f"the module {module} has no class {class_name!r}: correct `chip`"
        ) from None
    if not isinstance(found, type):
        raise BadOptions(f"{name} is not a class: correct `chip`")
    return found


def _properties(chip: Any) -> list[str]:
    kind = type(chip)
    return sorted(
        name for name in dir(kind)
        if isinstance(getattr(kind, name, None), property) and not name.startswith("_")
    )  # fmt: skip


def _number(found: Any, options: CircuitPythonOptions) -> float:
    if isinstance(found, tuple | list):
        if options.index is None or options.index >= len(found):
            raise ReadFailed(
                f"{options.quantity} has {len(found)} numbers: set `index` to one of 0 to "
                f"{len(found) - 1}"
            )
        found = found[options.index]
    if found is None:
        raise MissingValue(f"{options.device} has no value yet")
    try:
        number = float(found)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ReadFailed(f"{options.quantity} of {options.device} is not a finite number")
    return number
