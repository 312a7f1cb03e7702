"""A simulated Raspberry Pi: every driver works on it, on any computer, with signals that change.

gpiozero's mock pins stand for the header; a thread moves them as presses, movements, echoes, a
charging capacitor and an SPI converter would. A DHT answers without a pin. The kernel's files are
in a temporary folder and are written when a driver asks for it. All signals are slow sine waves of
the time, so that people see on the terminal that values change.
"""

import math
import tempfile
import threading
import time
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protoledger.sensors.pins.machine import (
    DhtChip,
    Example,
    Fetched,
    Machine,
    Messages,
    hush,
)
from protoledger.sensors.pins.messages import HomeBroker, Message, Request
from protoledger.sensors.pins.shared_chip import Lease, SharedChips

if TYPE_CHECKING:
    from collections.abc import Callable

_PERIOD_S = 60.0
_DRIVEN_EVERY_S = 0.1


def wave(name: str, low: float, high: float) -> float:
    """The present value of a sine between low and high; each name has its own phase."""
    phase = zlib.crc32(name.encode()) / 2**32
    swing = math.sin(math.tau * (time.monotonic() / _PERIOD_S + phase))
    return (low + high) / 2 + (high - low) / 2 * swing


class SimulatedMachine(Machine):
    """A Raspberry Pi 4B to which every device that a driver asks for is connected.

    Close it after its sensors.


    >>> from protoledger.sensors import open_sensor
    >>> with SimulatedMachine() as pi:
    ...     with open_sensor("dht22", {"pin": 4, "quantity": "temperature"}, pi) as sensor:
    ...         print(15 < sensor.read().value < 30, sensor.unit)
    True °C
    """

    def __init__(self) -> None:
        # Removed with this object, at the latest when the process ends.
        self._folder = tempfile.TemporaryDirectory(prefix="protoledger-pi-")
        super().__init__(Path(self._folder.name))
        self._pins: Any = None
        self._driven: dict[str, Callable[[], None]] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._brokers: SharedChips[Messages] = SharedChips(lambda broker: broker.close())
        self._servers: SharedChips[Fetched] = SharedChips(lambda document: document.close())

    def _gpio(self, kind: str, arguments: dict[str, object]) -> Any:
        import gpiozero  # noqa: PLC0415 - a laptop need not have it

        from protoledger.sensors.pins import simulated_pins  # noqa: PLC0415

        if self._pins is None:
            hush(gpiozero)
            warnings.filterwarnings("ignore", category=gpiozero.SPISoftwareFallback)
            self._pins = simulated_pins.new_header()
        # gpiozero's software SPI asks for a default pin factory, whichever it is
        if gpiozero.Device.pin_factory is None:
            gpiozero.Device.pin_factory = self._pins
        driven = simulated_pins.connect(self._pins, kind, arguments, wave)
        device = getattr(gpiozero, kind)(pin_factory=self._pins, **arguments)
        if driven is not None:
            self._driven[str(arguments["pin"])] = driven
            if self._thread is None:
                self._thread = threading.Thread(target=self._drive, name="pins", daemon=True)
                self._thread.start()
        return device

    def _drive(self) -> None:
        while not self._stop.wait(_DRIVEN_EVERY_S):
            for drive in tuple(self._driven.values()):
                with suppress(Exception):  # gpiozero raises while it is being closed
                    drive()

    def dht(self, model: str, pin: int) -> DhtChip:
        """Return a DHT that always answers."""
        return _SimulatedDht(f"{model} {pin}")

    def w1_devices(self, wanted: str) -> Path:
        """The folder of 1-wire devices; it contains the wanted one."""
        folder = super().w1_devices(wanted)
        thousandths = round(wave(wanted, 18.0, 24.0) * 16) * 1000 // 16
        bits = "55 01 4b 46 7f ff 0c 10 c5"
        _write(
            folder / wanted / "w1_slave",
            f"{bits} : crc=c5 YES\n{bits} t={thousandths}\n",
        )
        return folder

    def iio_devices(self, wanted: str) -> Path:
        """The folder of IIO devices; it contains the wanted one, with all common channels."""
        folder = super().iio_devices(wanted)
        device = folder / f"iio:device{zlib.crc32(wanted.encode())}"
        _write(device / "name", wanted)
        _write(device / "in_temp_input", round(wave(wanted + "t", 18.0, 24.0) * 1000))
        _write(device / "in_humidityrelative_input", round(wave(wanted + "h", 35e3, 65e3)))
        _write(device / "in_pressure_input", round(wave(wanted + "p", 99.0, 103.0), 4))
        _write(device / "in_illuminance_raw", round(wave(wanted + "l", 100.0, 900.0)))
        _write(device / "in_illuminance_scale", 0.833333)
        for number in range(8):
            name = f"voltage{number}"
            _write(device / f"in_{name}_raw", round(wave(wanted + name, 400.0, 1600.0)))
        _write(device / "in_voltage_scale", 2)
        return folder

    def hwmon_devices(self, wanted: str) -> Path:
        """The folder of hardware monitors; it contains the wanted one."""
        folder = super().hwmon_devices(wanted)
        device = folder / f"hwmon{zlib.crc32(wanted.encode())}"
        _write(device / "name", wanted)
        for number in range(3):
            _write(device / f"temp{number}_input", round(wave(f"{wanted}t{number}", 18e3, 24e3)))
            _write(
                device / f"humidity{number}_input", round(wave(f"{wanted}h{number}", 35e3, 65e3))
            )
            for kind in ("in", "curr", "power", "energy", "fan"):
                level = wave(f"{wanted}{kind}{number}", 400.0, 1600.0)
                _write(device / f"{kind}{number}_input", round(level))
        return folder

    def circuitpython(self, chip: str, name: str) -> Any:
        """Return a chip whose properties are all readings."""
        return _SimulatedChip(chip, name)

    def mqtt(self, address: HomeBroker) -> Lease[Messages]:
        """Return a broker on which each topic has a message every moment."""
        return self._brokers.acquire(address, _SimulatedBroker)

    def http(self, request: Request, example: Example) -> Lease[Fetched]:
        """Return a document that contains what the driver looks for."""
        return self._servers.acquire(
            (request, example), lambda: _SimulatedDocument(request.url, example)
        )

    def cpu_temperature(self) -> Path:
        """The file with the processor's temperature."""
        file = super().cpu_temperature()
        _write(file, round(wave("cpu", 42e3, 55e3)))
        return file

    def close(self) -> None:
        """Stop the signals and remove the folder; a second call does nothing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._pins is not None:
            import gpiozero  # noqa: PLC0415 - as above

            if gpiozero.Device.pin_factory is self._pins:
                gpiozero.Device.pin_factory = None
            self._pins.close()
            self._pins = None
        self._folder.cleanup()


class _SimulatedDht:
    """Stands in for an object of adafruit_dht."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def temperature(self) -> float:
        return round(wave(self._name + "t", 18.0, 24.0), 1)

    @property
    def humidity(self) -> float:
        return round(wave(self._name + "h", 35.0, 65.0), 1)

    def exit(self) -> None:
        pass


class _SimulatedChip:
    """Stands in for an object of one of Adafruit's drivers: one property, and any method."""

    def __init__(self, chip: str, name: str) -> None:
        self._chip = chip
        self._names = {name}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self.__dict__["_names"]:
            return wave(self._chip + name, 18.0, 24.0)
        return lambda: None


class _SimulatedBroker:
    """Stands in for a `BrokerConnection`."""

    def __init__(self) -> None:
        self._examples: dict[str, Example] = {}

    def watch(self, topic: str, example: Example) -> None:
        self._examples[topic] = example

    def unwatch(self, topic: str) -> None:
        pass

    def last(self, topic: str) -> Message:
        payload = self._examples[topic](wave(topic, 18.0, 24.0))
        return Message(payload, time.monotonic(), retained=False)

    def problem(self, _topic: str) -> str:
        return ""

    def close(self) -> None:
        self._examples.clear()


class _SimulatedDocument:
    """Stands in for `Documents`."""

    def __init__(self, url: str, example: Example) -> None:
        self._url = url
        self._example = example

    def get(self) -> bytes:
        return self._example(wave(self._url, 18.0, 24.0))

    def close(self) -> None:
        pass


def _write(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{content}\n", encoding="ascii")
