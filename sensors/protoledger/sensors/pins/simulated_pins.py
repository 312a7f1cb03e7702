"""The parts on the pins of a simulated Pi, made of gpiozero's mock pins.

Imported when the first pin is opened, because it needs gpiozero.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from gpiozero import OutputDevice, SharedMixin
from gpiozero.pins import SPI, mock
from gpiozero.pins.spi import SPISoftwareBus

Wave = Callable[[str, float, float], float]
"""Gives the present value of a named signal between two bounds."""

_SCLK, _MOSI, _MISO, _SELECT = 11, 10, 9, (8, 7)
_SOUND_M_PER_S = 343.26


def new_header() -> Any:
    """The 40 pins of a Pi 4B, with nothing connected."""
    return _Header(revision="c03112", pin_class=mock.MockPin)


def connect(
    pins: Any, kind: str, arguments: dict[str, object], wave: Wave
) -> Callable[[], None] | None:
    """Connect the part that a gpiozero device expects, before the device is opened.

    Args:
        pins: from `new_header`.
        kind: name of gpiozero's class.
        arguments: those that the device will be opened with.
        wave: the signal.

    Returns:
        A function that must be called several times a second to move the signal, or None.
    """
    match kind:
        case "DistanceSensor":
            echo = _new_pin(pins, arguments["echo"], mock.MockPin)
            _new_pin(pins, arguments["trigger"], _Sonar, echo_pin=echo).wave = wave
        case "GPIODevice":  # of the driver `light`
            _new_pin(pins, arguments["pin"], _Charging).wave = wave
        case "MCP3008":
            _connect_converter(pins, _SELECT[int(str(arguments["device"]))], wave)
        case _:
            return _switch(pins.pin(arguments["pin"]), arguments, wave)
    return None


def _new_pin(pins: Any, number: object, kind: type, **arguments: object) -> Any:
    """Replace a pin by one of another kind."""
    pins.pins.pop(pins.pin(number).info, None)
    return pins.pin(number, pin_class=kind, **arguments)


def _connect_converter(pins: Any, select: int, wave: Wave) -> None:
    """Put an MCP3008 on the bus, unless another of its inputs is open already."""
    if not isinstance(pins.pin(_SCLK), mock.MockSPIClockPin):
        _new_pin(pins, _SCLK, mock.MockSPIClockPin)
    if not isinstance(pins.pin(select), mock.MockSPISelectPin):
        _new_pin(pins, select, mock.MockSPISelectPin)
        _Converter(_SCLK, _MOSI, _MISO, select, pin_factory=pins).wave = wave


def _switch(pin: Any, arguments: dict[str, object], wave: Wave) -> Callable[[], None]:
    """Drive a pin so that it is active for a third of the time."""
    low_is_active = bool(arguments.get("pull_up", False)) or arguments.get("active_state") is False

    def drive() -> None:
        if pin.function == "input":
            active = wave(pin.info.name, -1.0, 1.0) > 0.5
            (pin.drive_low if active == low_is_active else pin.drive_high)()

    return drive


class _Header(mock.MockFactory):  # type: ignore[misc] # gpiozero has no types
    """A header whose SPI bus is its own: gpiozero shares one among all headers of a process."""

    def _get_spi_class(self, *_shared: bool, **_hardware: bool) -> type:
        return _Spi


class _Bus(SPISoftwareBus):  # type: ignore[misc] # as above
    @classmethod
    def _shared_key(cls, *pins: int, pin_factory: Any = None) -> tuple[object, ...]:
        return (pin_factory, *pins)


class _Spi(SharedMixin, mock.MockSPIInterface):  # type: ignore[misc] # as above
    """One chip's interface, which all open inputs of that chip share."""

    @classmethod
    def _shared_key(cls, *pins: int, pin_factory: Any, **named: int) -> tuple[object, ...]:
        return (pin_factory, *pins, *sorted(named.items()))

    def __init__(
        self, clock_pin: int, mosi_pin: int, miso_pin: int, select_pin: int, *, pin_factory: Any
    ) -> None:
        self._bus = self._select = None  # what `close` looks at
        SPI.__init__(self, pin_factory=pin_factory)
        self._clock_phase = self._lsb_first = False
        self._bits_per_word = 8
        self._bus = _Bus(clock_pin, mosi_pin, miso_pin, pin_factory=pin_factory)
        self._select = OutputDevice(select_pin, active_high=False, pin_factory=pin_factory)


class _Sonar(mock.MockTriggerPin):  # type: ignore[misc] # gpiozero has no types
    """TRIG of an HC-SR04; the measured distance moves between 0.5 m and 1.5 m."""

    wave: Wave

    def _echo(self) -> None:
        metres = self.wave(self.info.name, 0.5, 1.5)
        self.echo_time = 2 * metres / _SOUND_M_PER_S
        with suppress(Exception):  # gpiozero's, when the sensor is closed before its echo
            super()._echo()


class _Charging(mock.MockChargingPin):  # type: ignore[misc] # as above
    """A capacitor that an LDR charges within 1 ms to 6 ms."""

    wave: Wave | None = None

    def _charge(self) -> None:
        if self.wave is not None:
            self.charge_time = self.wave(self.info.name, 0.001, 0.006)
        with suppress(Exception):  # as above
            super()._charge()


class _Converter(mock.MockSPIDevice):  # type: ignore[misc] # as above
    """An MCP3008 with a voltage between 1.3 V and 2.5 V on each input."""

    wave: Wave

    def on_bit(self) -> None:
        """Answer once the start bit, the mode and the channel were received."""
        if self.rx_bit == 12:
            channel = self.rx_word() & 7
            level = self.wave(f"{self.select_pin.info.name} {channel}", 1.3, 2.5)
            self.tx_word(round(level / 3.3 * 1023), 12)
