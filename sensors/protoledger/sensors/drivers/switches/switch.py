"""What buttons, motion sensors and other parts with two states have in common.

A switch is read every few seconds but may close for a moment in between. Therefore edges are
counted as they come, and a read gives whether the switch was active at any time since the previous
read.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pydantic import Field

from protoledger.sensors.base import DriverOptions, Reading, Resource
from protoledger.sensors.needs import PINS, Needs
from protoledger.sensors.pins.machine import HardwareSensor, Machine, Pin, averaged, close_device

PULLED_UP = (2, 3)
"""GPIO2 and GPIO3 have a resistor of 1.8 kΩ to 3V3 on the board, for I2C."""


def check_pull(pin: int, wanted: str, instead: str) -> None:
    """Refuse a pull resistor that the board does not allow.

    Raises:
        ValueError: the pin is always pulled up.
    """
    if pin in PULLED_UP:
        raise ValueError(
            f"pin = {pin}: the board always pulls GPIO2 and GPIO3 up, and {wanted}: take another "
            f"pin{instead}"
        )


class SwitchOptions(DriverOptions):
    """Options that all switches have."""

    pin: Pin = Field(description="GPIO number (not the number on the header).")
    active_value: float = Field(
        1.0, description="The reading while active; for a label source the number of a label."
    )
    idle_value: float = Field(
        0.0, description="The reading otherwise; as a label source, -1 means no vote."
    )
    hold_s: float = Field(0.0, ge=0, description="How long it counts as active afterwards.")


class SwitchSensor(HardwareSensor):
    """A switch on one pin, by a device of gpiozero that has `is_active` and `when_activated`.

    Args:
        options: checked.
        machine: whose pin it is.
        clock: monotonic seconds.
    """

    Options: ClassVar[type[DriverOptions]] = SwitchOptions

    def __init__(
        self,
        options: SwitchOptions,
        machine: Machine | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(options, machine)
        self._switch = options
        self._clock = clock
        self._edges = 0  # written only by gpiozero's thread, so that no edge is lost
        self._edges_read = 0
        self._last_active: float | None = None
        self._device = self._open()
        self._device.when_activated = self._activated

    @classmethod
    def resources(cls, options: DriverOptions, /) -> tuple[Resource, ...]:
        """Its pin."""
        assert isinstance(options, SwitchOptions)  # noqa: S101 - the registry checked it
        return (Resource(f"GPIO{options.pin}"),)

    @classmethod
    def needs(cls, _options: DriverOptions, /) -> Needs:
        """Access to pins."""
        return PINS

    @classmethod
    def states(cls, options: DriverOptions, /) -> Mapping[str, float]:
        """Active and idle."""
        assert isinstance(options, SwitchOptions)  # noqa: S101 - as above
        return {"active_value": options.active_value, "idle_value": options.idle_value}

    def _open(self) -> Any:
        raise NotImplementedError

    def _activated(self) -> None:
        self._edges += 1

    def _active(self) -> bool:
        now, edges = self._clock(), self._edges
        if averaged(lambda: self._device.is_active) or edges != self._edges_read:
            self._last_active = now
            self._edges_read = edges
            return True
        return self._last_active is not None and now - self._last_active < self._switch.hold_s

    def _measure(self) -> Reading:
        switch = self._switch
        return Reading(switch.active_value if self._active() else switch.idle_value)

    def _release(self) -> None:
        close_device(self._device)
