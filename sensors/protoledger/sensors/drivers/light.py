"""A light-dependent resistor (LDR) that charges a capacitor: no analogue input needed.

Wiring: LDR between 3V3 and the GPIO, a 1 µF capacitor between the GPIO and GND. The capacitor is
discharged, then the time is measured until it is charged through the LDR: the brighter, the
shorter.

gpiozero's own LightSensor waits for an edge that lgpio does not report once the pin has been an
output, and so always reads 0 (gpiozero issue 1135). Therefore this driver polls the pin.
"""

import time
from collections.abc import Callable
from typing import ClassVar

from pydantic import Field, field_validator

from protoledger.sensors.base import DriverOptions, Reading, Resource
from protoledger.sensors.errors import HardwareUnavailable
from protoledger.sensors.needs import PINS, Needs
from protoledger.sensors.pins.machine import HardwareSensor, Machine, Pin, close_device

_EMPTYING_S = 0.1


class LightOptions(DriverOptions):
    """Options of the driver `light`."""

    pin: Pin = Field(description="GPIO number (not the number on the header).")
    charge_s: float = Field(
        0.01, gt=0, le=1, description="A capacitor that takes longer to fill means dark, 0."
    )

    @field_validator("pin")
    @classmethod
    def _pin_can_float(cls, pin: int) -> int:
        if pin in (2, 3):
            raise ValueError(
                "the board always pulls GPIO2 and GPIO3 up, which charges the capacitor: take "
                "another pin"
            )
        return pin


class LightSensor(HardwareSensor):
    """Brightness from 0 (dark) to 1, without a unit; a read takes 0.1 s and `charge_s` at most.

    Args:
        options: checked.
        machine: whose pin it is.
        clock: monotonic seconds.
    """

    Options: ClassVar[type[DriverOptions]] = LightOptions

    def __init__(
        self,
        options: LightOptions,
        machine: Machine | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(options, machine)
        self._light = options
        self._clock = clock
        self._device = self.machine.gpio("GPIODevice", pin=options.pin)
        try:
            self._device.pin.function = "input"
            self._device.pin.pull = "floating"
        except Exception as error:
            close_device(self._device)
            raise HardwareUnavailable(
                f"GPIO{options.pin} cannot be left floating ({error}): take another pin"
            ) from error

    @classmethod
    def resources(cls, options: DriverOptions, /) -> tuple[Resource, ...]:
        """Its pin."""
        assert isinstance(options, LightOptions)  # noqa: S101 - the registry checked it
        return (Resource(f"GPIO{options.pin}"),)

    @classmethod
    def needs(cls, _options: DriverOptions, /) -> Needs:
        """Access to pins."""
        return PINS

    def _measure(self) -> Reading:
        pin, limit = self._device.pin, self._light.charge_s
        pin.function = "output"
        pin.state = False
        time.sleep(_EMPTYING_S)
        pin.function = "input"
        begin = self._clock()
        while not pin.state:
            if self._clock() - begin >= limit:
                return Reading(0.0)
            time.sleep(0)  # lets other threads run
        return Reading(max(0.0, 1.0 - (self._clock() - begin) / limit))

    def _release(self) -> None:
        close_device(self._device)
