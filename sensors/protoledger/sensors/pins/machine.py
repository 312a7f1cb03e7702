"""The machine whose pins and buses the drivers read: a Pi, or in `simulation` a simulated one.

A hardware driver asks its `Machine` for a gpiozero device, a DHT object or a folder of the kernel,
and works the same on either machine. The libraries are imported when a device is opened, so a
laptop without them can load every driver.
"""

import atexit
import io
import os
import shutil
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Protocol, Self, TypeVar

from pydantic import Field

from protoledger.sensors.base import DriverOptions, Reading, Sensor
from protoledger.sensors.errors import HardwareUnavailable, PinInUse, ReadFailed, SensorError
from protoledger.sensors.pins.messages import HomeBroker, Message, Request
from protoledger.sensors.pins.mqtt_messages import BrokerConnection
from protoledger.sensors.pins.shared_chip import Lease, SharedChips

Pin = Annotated[int, Field(ge=0, le=27)]
_Value = TypeVar("_Value")

_TRIES = 5
_BUSY_S = 0.1

_NO_PINS = (
    "the pins of this machine cannot be reached ({error}): on a Pi install the packages "
    "python3-lgpio and protoledger[edge] and be in the group gpio; elsewhere use simulated pins"
)


class DhtChip(Protocol):
    """What is used of an object of adafruit_dht; its properties raise RuntimeError."""

    @property
    def temperature(self) -> float | None:
        """In °C."""

    @property
    def humidity(self) -> float | None:
        """In percent."""

    def exit(self) -> None:
        """Release the pin."""


Example = Callable[[float], bytes]
"""Makes a message that carries a number; a simulated machine sends it."""


class Messages(Protocol):
    """What a driver uses of a connection to a broker; see `BrokerConnection`."""

    def watch(self, topic: str, example: Example, /) -> None:
        """Subscribe to a topic."""

    def unwatch(self, topic: str, /) -> None:
        """End one use of a topic."""

    def last(self, topic: str, /) -> Message | None:
        """The last message of a topic."""

    def problem(self, topic: str, /) -> str:
        """Why no message of a topic can come now; empty if one can."""

    def close(self) -> None:
        """Disconnect."""


class Fetched(Protocol):
    """What a driver uses of a document that is fetched; see `Documents`."""

    def get(self) -> bytes:
        """Return the document; raises `TransientSensorError`."""

    def close(self) -> None:
        """Release what is held."""


class Machine:
    """A Raspberry Pi.

    Args:
        sys_root: where the kernel shows its devices; another folder in tests.
    """

    def __init__(self, sys_root: Path = Path("/sys")) -> None:
        self._sys = sys_root

    def gpio(self, kind: str, **arguments: object) -> Any:
        """Open a device of gpiozero, such as "Button"; the caller closes it.

        Raises:
            PinInUse: another device, process or the kernel holds a pin.
            HardwareUnavailable: there are no pins, or no library for them.
        """
        with _opening(kind, arguments):
            return self._gpio(kind, arguments)

    def dht(self, model: str, pin: int) -> DhtChip:
        """Make the one object of adafruit_dht ("DHT11" or "DHT22") for a pin.

        Raises:
            HardwareUnavailable: there are no pins, or no library for them.
        """
        # Otherwise the library may ask whether to install something, and a service would hang.
        os.environ.setdefault("BLINKA_SKIP_DEPENDENCY_CHECK", "1")
        with _opening(model, {"pin": pin}):
            # On an unknown computer the library prints a warning to standard output.
            with redirect_stdout(io.StringIO()):
                import adafruit_dht  # noqa: PLC0415 - fails where there are no pins
                import board  # noqa: PLC0415

            chip: DhtChip = getattr(adafruit_dht, model)(
                getattr(board, f"D{pin}"), use_pulseio=False
            )
            return chip

    def w1_devices(self, _wanted: str) -> Path:
        """The folder of 1-wire devices; it may not exist."""
        return self._sys / "bus/w1/devices"

    def iio_devices(self, _wanted: str) -> Path:
        """The folder of industrial I/O devices; it may not exist."""
        return self._sys / "bus/iio/devices"

    def hwmon_devices(self, _wanted: str) -> Path:
        """The folder of hardware monitors; it may not exist."""
        return self._sys / "class/hwmon"

    def i2c(self) -> Any:
        """The I2C bus of CircuitPython, `board.I2C()`; all chips share it.

        Raises:
            HardwareUnavailable: there is no such bus, or no library for it.
        """
        os.environ.setdefault("BLINKA_SKIP_DEPENDENCY_CHECK", "1")  # see `dht`
        with _opening("I2C", {}), redirect_stdout(io.StringIO()):
            import board  # noqa: PLC0415 - as in `dht`

            return board.I2C()

    def circuitpython(self, _chip: str, _property: str) -> Any:
        """A simulated chip; None where there is a real bus."""
        return None

    def mqtt(self, address: HomeBroker) -> Lease[Messages]:
        """The connection to a broker, which sensors share; the caller releases it.

        Raises:
            SensorMissing, BadOptions: a file of the login does not exist or cannot be used.
        """
        return _CONNECTIONS.acquire(address, lambda: BrokerConnection(address))

    def http(self, request: Request, _example: Example) -> Lease[Fetched]:
        """The answers to a request, which sensors share; the caller releases them.

        Raises:
            SensorMissing: a file of the request does not exist.
        """
        return _DOCUMENTS.acquire(request, lambda: _documents(request))

    def cpu_temperature(self) -> Path:
        """The file with the processor's temperature in thousandths of °C."""
        return self._sys / "class/thermal/thermal_zone0/temp"

    def close(self) -> None:
        """Nothing to release here: the devices are their sensors' own."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _gpio(self, kind: str, arguments: dict[str, object]) -> Any:
        return getattr(_gpiozero(), kind)(**arguments)


def _documents(request: Request) -> Fetched:
    from protoledger.sensors.pins.http_documents import Documents  # noqa: PLC0415 - loads urllib and ssl

    return Documents(request)


# Not by machine: a broker or a URL is the same for all.
_CONNECTIONS: SharedChips[Messages] = SharedChips(lambda connection: connection.close())
_DOCUMENTS: SharedChips[Fetched] = SharedChips(lambda documents: documents.close())

# One object: sensors that share a chip find each other through their machine.
_THIS_PI = Machine()


class HardwareSensor(Sensor):
    """A driver of a device that is connected to a machine.

    Args:
        options: checked.
        machine: whose pins and files are read; by default this computer.
    """

    def __init__(self, options: DriverOptions, machine: Machine | None = None) -> None:
        super().__init__(options)
        self.machine = machine or _THIS_PI

    def read(self) -> Reading:
        """Take one reading; any exception of a library becomes `ReadFailed`."""
        try:
            return super().read()
        except SensorError:
            raise
        except Exception as error:
            raise ReadFailed(
                f"{type(self).__name__}: {type(error).__name__}: {error}; check the wiring"
            ) from error


def averaged(read: Callable[[], _Value]) -> _Value:
    """Read a gpiozero device that averages a queue, to which its own thread may be appending.

    Iterating over a deque that changes raises RuntimeError; the next attempt mostly succeeds.
    """
    for _ in range(_TRIES - 1):
        with suppress(RuntimeError):
            return read()
    return read()


def close_device(device: Any) -> None:
    """Close a gpiozero device; if the pin is busy, try again.

    lgpio's own thread may still watch the pin for edges, and releases it a moment later.
    """
    for _ in range(_TRIES - 1):
        try:
            device.close()
        except Exception as error:  # lgpio's error has no base class of its own
            if "busy" not in str(error).lower():
                raise
            time.sleep(_BUSY_S)
        else:
            return
    device.close()


@contextmanager
def _opening(kind: str, arguments: dict[str, object]) -> Iterator[None]:
    """Convert what the libraries raise while they acquire pins to `SensorError`."""
    pins = ", ".join(
        f"{key} {value}" for key, value in arguments.items() if isinstance(value, int | str)
    )
    try:
        yield
    except SensorError:
        raise
    except (ImportError, NotImplementedError, AttributeError) as error:
        raise HardwareUnavailable(_NO_PINS.format(error=error)) from error
    except Exception as error:  # lgpio and gpiozero have many errors without a common base
        # A half-made device keeps its pins reserved for as long as the error's frames refer to it.
        traceback.clear_frames(error.__traceback__)
        name, text = type(error).__name__, str(error).strip("'")
        if name == "GPIOPinInUse" or "busy" in text.lower():
            raise PinInUse(
                f"{kind} ({pins}): {text}; is another program, overlay or sensor using the pin?"
            ) from error
        raise HardwareUnavailable(f"{kind} ({pins}) cannot be opened: {name}: {text}") from error


def _gpiozero() -> Any:
    """Import gpiozero and make sure that it uses a pin library that works.

    Raises:
        HardwareUnavailable: no pin library works.
    """
    _give_lgpio_a_folder()
    import gpiozero  # noqa: PLC0415 - a laptop need not have it

    if gpiozero.Device.pin_factory is None:
        with warnings.catch_warnings(record=True) as tried:
            warnings.simplefilter("always")
            try:
                gpiozero.Device.ensure_pin_factory()
            except Exception as error:
                # The first warning is about lgpio, the library that should work.
                said = str(tried[0].message if tried else error)
                said = said.removeprefix("Falling back from ")
                raise HardwareUnavailable(_NO_PINS.format(error=said)) from error
        _refuse_last_resort(gpiozero)
    hush(gpiozero)
    return gpiozero


def hush(gpiozero: Any) -> None:
    """Silence warnings of gpiozero at each ping; the driver `distance` reports missing echoes."""
    warnings.filterwarnings("ignore", category=gpiozero.DistanceSensorNoEcho)
    warnings.filterwarnings("ignore", category=gpiozero.PWMSoftwareFallback)


def _refuse_last_resort(gpiozero: Any) -> None:
    # gpiozero's last fallback writes to registers directly, and does not know those of a Pi 5.
    chosen = type(gpiozero.Device.pin_factory).__name__
    if chosen == "NativeFactory" and "GPIOZERO_PIN_FACTORY" not in os.environ:
        gpiozero.Device.pin_factory.close()
        gpiozero.Device.pin_factory = None
        raise HardwareUnavailable(_NO_PINS.format(error="lgpio is missing"))


def _give_lgpio_a_folder() -> None:
    # When it is imported, lgpio creates a named pipe in the current folder, which may be read-only
    # for a service, and never removes it.
    if "LG_WD" not in os.environ:
        folder = tempfile.mkdtemp(prefix="protoledger-lgpio-")
        os.environ["LG_WD"] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
