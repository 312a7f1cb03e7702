"""An HC-SR04 ultrasonic distance sensor.

Wiring: VCC to 5V, GND to GND, TRIG to one GPIO, ECHO through 330 Ω to the other and from there
through 470 Ω to GND: ECHO is at 5 V, which would harm the Pi. An HC-SR04P at 3V3 needs none.
"""

import threading
import time
from collections.abc import Callable
from typing import ClassVar, Self

from pydantic import Field, model_validator

from protoledger.sensors.base import DriverOptions, Reading, Resource
from protoledger.sensors.errors import ReadTimeout
from protoledger.sensors.needs import PINS, Needs
from protoledger.sensors.pins.machine import HardwareSensor, Machine, Pin, averaged, close_device

# gpiozero pings every 0.06 s and waits 0.1 s for an echo.
_SILENCE_S = 1.0


class DistanceOptions(DriverOptions):
    """Options of the driver `distance`."""

    echo: Pin = Field(description="GPIO number of ECHO.")
    trigger: Pin = Field(description="GPIO number of TRIG.")
    max_m: float = Field(2.0, gt=0, le=5, description="Larger distances read as this, in metres.")
    samples: int = Field(9, ge=1, le=50, description="A reading is the median of this many echoes.")

    @model_validator(mode="after")
    def _two_pins(self) -> Self:
        if self.echo == self.trigger:
            raise ValueError(f"echo and trigger are both GPIO{self.echo}: they must differ")
        if self.echo in (2, 3):
            raise ValueError(
                f"echo = {self.echo}: the board always pulls GPIO2 and GPIO3 up, which an echo "
                "cannot: take another pin for ECHO"
            )
        return self


class DistanceSensor(HardwareSensor):
    """A distance in metres, from 0.02 to `max_m`.

    Args:
        options: checked.
        machine: whose pins they are.
        clock: monotonic seconds.
    """

    Options: ClassVar[type[DriverOptions]] = DistanceOptions
    unit = "m"

    def __init__(
        self,
        options: DistanceOptions,
        machine: Machine | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(options, machine)
        self._clock = clock
        self._heard = threading.Event()
        self._heard_at: float | None = None
        # Without `partial` gpiozero's read would wait for ever for the first echo.
        self._device = self.machine.gpio(
            "DistanceSensor",
            echo=options.echo,
            trigger=options.trigger,
            max_distance=options.max_m,
            queue_len=options.samples,
            partial=True,
        )
        self._listen()

    @classmethod
    def resources(cls, options: DriverOptions, /) -> tuple[Resource, ...]:
        """Its two pins."""
        assert isinstance(options, DistanceOptions)  # noqa: S101 - the registry checked it
        return (Resource(f"GPIO{options.echo}"), Resource(f"GPIO{options.trigger}"))

    @classmethod
    def needs(cls, _options: DriverOptions, /) -> Needs:
        """Access to pins."""
        return PINS

    def _listen(self) -> None:
        """Record when echoes come: without echoes gpiozero keeps returning the last distance."""
        ping = self._device._read  # noqa: SLF001 - gpiozero's thread calls it for each ping

        def noted() -> float | None:
            share: float | None = ping()
            if share is not None:
                # gpiozero averages the first echo only after this function has returned.
                if self._heard_at is not None:
                    self._heard.set()
                self._heard_at = self._clock()
            return share

        self._device._read = noted  # noqa: SLF001

    def _measure(self) -> Reading:
        heard = self._heard.wait(_SILENCE_S) and self._heard_at is not None
        if not heard or self._clock() - (self._heard_at or 0.0) > _SILENCE_S:
            raise ReadTimeout(
                f"no echo for {_SILENCE_S:g} s: check TRIG, ECHO and the 5 V; or there is nothing "
                f"within its 4 m"
            )
        return Reading(float(averaged(lambda: self._device.distance)))

    def _release(self) -> None:
        close_device(self._device)
