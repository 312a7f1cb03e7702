"""Anything that puts a pin high or low: reed contact, float switch, the digital output of a module.

Wiring: GND to GND, its output to the GPIO. The output must not exceed 3.3 V. A bare contact
connects the GPIO to GND: `pull: up`.
"""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from protoledger.sensors.base import DriverOptions
from protoledger.sensors.drivers.switches.switch import SwitchOptions, SwitchSensor, check_pull


class DigitalOptions(SwitchOptions):
    """Options of the driver `digital`."""

    pull: Literal["up", "down", "none"] = Field(
        "down",
        description="The Pi's own resistor; the opposite level is active. `none` for an output "
        "that drives both levels: then set `active` too.",
    )
    active: Literal["high", "low"] | None = Field(
        None, description="The level that counts as active; for `pull: none` only."
    )
    bounce_s: float = Field(0.0, ge=0, le=0.3, description="Changes shorter than this are ignored.")

    @model_validator(mode="after")
    def _one_says_what_is_active(self) -> Self:
        if (self.pull == "none") != (self.active is not None):
            raise ValueError(
                f"pull = {self.pull!r} with active = {self.active!r}: say `active` with "
                f"`pull: none`, and only then"
            )
        if self.pull != "up":
            check_pull(self.pin, f"pull is {self.pull!r}", ", or set `pull: up`")
        return self


class DigitalSensor(SwitchSensor):
    """A pin; gives `active_value` or `idle_value`, without a unit."""

    Options: ClassVar[type[DriverOptions]] = DigitalOptions
    _switch: DigitalOptions

    def _open(self) -> Any:
        digital = self._switch
        return self.machine.gpio(
            "DigitalInputDevice",
            pin=digital.pin,
            pull_up={"up": True, "down": False, "none": None}[digital.pull],
            active_state=digital.active == "high" if digital.pull == "none" else None,
            bounce_time=digital.bounce_s or None,
        )
