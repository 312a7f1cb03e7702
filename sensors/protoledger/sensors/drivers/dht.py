"""DHT11, DHT22 and AM2302: temperature and humidity of the air on one pin.

Wiring: VCC to 3V3, GND to GND, DATA to the GPIO, and 10 kΩ between DATA and VCC (boards with three
pins have it). A DHT gives one pair of values every two seconds. Some of its answers are lost,
because Linux is not a real-time system, and each answer keeps a core busy for a quarter of a
second. The kernel's driver uses interrupts instead: `dtoverlay=dht11,gpiopin=4` and the driver
`iio`. Two sensors, one for each quantity, may name the same pin: they share the chip and its
answers.

The library, adafruit_dht, has three traps. After a failed read of one quantity it returns the old
value of the other without an error; therefore both are read together. Two objects for one pin, or a
helper process (`pulseio`), disturb each other; therefore there is one object per pin, without
`pulseio`. Bits that flip in pairs pass the checksum; therefore jumps are suspect by default.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import ClassVar, Literal

from pydantic import Field

from protoledger.sensors.base import DriverOptions, Reading, Resource
from protoledger.sensors.errors import DeviceGone, PinInUse, ReadFailed, SensorError
from protoledger.sensors.filters import FilterOptions
from protoledger.sensors.needs import PINS, Needs
from protoledger.sensors.pins.machine import HardwareSensor, Machine, Pin

Quantity = Literal["temperature", "humidity"]

# For 2 s after an attempt the library returns the previous values.
_REST_S = 2.1
_UNITS: dict[Quantity, str] = {"temperature": "°C", "humidity": "%"}


class DhtOptions(DriverOptions):
    """Options of the drivers `dht11`, `dht22` and `am2302`."""

    pin: Pin = Field(description="GPIO number of DATA (not the number on the header).")
    quantity: Quantity = Field(description="Which of the two values this sensor reads.")


class _Chip:
    """The one object for a pin, and the values that were not returned yet.

    Args:
        model: as the library calls it.
        machine: whose pin it is.
        pin: GPIO number.
    """

    shared: ClassVar[dict[tuple[Machine, int], "_Chip"]] = {}
    guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, model: str, machine: Machine, pin: int) -> None:
        self.model = model
        self.users = 0
        self._chip = machine.dht(model, pin)
        self._lock = threading.Lock()
        self._answered_at = -math.inf
        self._answer: dict[Quantity, float] | SensorError | None = None
        self._served: set[Quantity] = set()

    @classmethod
    def acquire(cls, model: str, machine: Machine, pin: int) -> "_Chip":
        """Return the chip of a pin, for one more user.

        Raises:
            PinInUse: it is used as a chip of another model.
            HardwareUnavailable: there are no pins, or no library for them.
        """
        with cls.guard:
            chip = cls.shared.get((machine, pin))
            if chip is None:
                chip = cls.shared[machine, pin] = cls(model, machine, pin)
            if chip.model != model:
                raise PinInUse(f"GPIO{pin} is a {chip.model} already: it cannot be a {model} too")
            chip.users += 1
            return chip

    @classmethod
    def release(cls, machine: Machine, pin: int) -> None:
        """End one use; the last one releases the pin."""
        with cls.guard:
            chip = cls.shared[machine, pin]
            chip.users -= 1
            if not chip.users:
                cls.shared.pop((machine, pin)).exit()

    def exit(self) -> None:
        """Release the pin."""
        self._chip.exit()

    def take(
        self, quantity: Quantity, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> float:
        """Return a value that was not returned before; waits for the chip's 2 s pause.

        Raises:
            DeviceGone: the chip does not answer.
            ReadFailed: the answer was damaged.
        """
        with self._lock:
            rest = _REST_S - (clock() - self._answered_at)
            if self._answer is None or quantity in self._served or rest <= 0:
                if rest > 0:
                    sleep(rest)
                self._answer, self._served = self._ask(), set()
                # Taken after the answer: the library notes its own time during the read, and asked
                # too early it returns the previous values again.
                self._answered_at = clock()
            self._served.add(quantity)
            if isinstance(self._answer, SensorError):
                raise self._answer.with_traceback(None)
            return self._answer[quantity]

    def _ask(self) -> dict[Quantity, float] | SensorError:
        try:
            temperature, humidity = self._chip.temperature, self._chip.humidity
        except Exception as error:  # noqa: BLE001 - RuntimeError, and errors of the pin library
            text = str(error)
            if "not found" in text:
                return DeviceGone(f"{self.model} does not answer: check its wires and the 10 kΩ")
            return ReadFailed(f"{self.model}: {text or type(error).__name__}")
        if temperature is None or humidity is None:
            return ReadFailed(f"{self.model} has not answered yet")
        return {"temperature": float(temperature), "humidity": float(humidity)}


class Dht22Sensor(HardwareSensor):
    """A DHT22 or AM2302: °C in steps of 0.1 from −40 to 80, or % in steps of 0.1.

    Args:
        options: checked.
        machine: whose pin it is.
        clock: monotonic seconds.
        sleep: waits for so many seconds.
    """

    Options: ClassVar[type[DriverOptions]] = DhtOptions
    _model: ClassVar[str] = "DHT22"
    _lowest_c: ClassVar[float] = -40.0
    _highest_c: ClassVar[float] = 80.0
    _fastest_c_per_s: ClassVar[float] = 0.5
    _stuck_s: ClassVar[float] = 21_600.0

    def __init__(
        self,
        options: DhtOptions,
        machine: Machine | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(options, machine)
        self._dht = options
        self.unit = _UNITS[options.quantity]
        self._clock = clock
        self._sleep = sleep
        self._chip = _Chip.acquire(self._model, self.machine, options.pin)

    @classmethod
    def resources(cls, options: DriverOptions, /) -> tuple[Resource, ...]:
        """Its pin, which only the other quantity of the same chip may share."""
        assert isinstance(options, DhtOptions)  # noqa: S101 - the registry checked it
        pin = f"GPIO{options.pin}"
        return (Resource(pin, cls._model), Resource(f"{options.quantity} of the chip on {pin}"))

    @classmethod
    def needs(cls, _options: DriverOptions, /) -> Needs:
        """Access to pins."""
        return PINS

    @classmethod
    def default_filters(cls, options: DriverOptions, /) -> FilterOptions:
        """The chip's range, and a rate of change that air does not have but flipped bits have."""
        assert isinstance(options, DhtOptions)  # noqa: S101 - as above
        if options.quantity == "temperature":
            return FilterOptions(
                low=cls._lowest_c,
                high=cls._highest_c,
                max_change_per_s=cls._fastest_c_per_s,
                stuck_after_s=cls._stuck_s,
            )
        # Breath on the sensor raises humidity by a few percent a second; no room has 0 %.
        return FilterOptions(low=1.0, high=100.0, max_change_per_s=5.0, stuck_after_s=cls._stuck_s)

    def _measure(self) -> Reading:
        return Reading(self._chip.take(self._dht.quantity, self._clock, self._sleep))

    def _release(self) -> None:
        _Chip.release(self.machine, self._dht.pin)


class Dht11Sensor(Dht22Sensor):
    """A DHT11: °C from 0 to 60 and whole %, ±2 °C and ±5 %."""

    _model = "DHT11"
    _lowest_c = 0.0
    _highest_c = 60.0
    # Its steps are coarse: 1 °C between two reads, or the same for hours.
    _fastest_c_per_s = 1.0
    _stuck_s = 86_400.0
