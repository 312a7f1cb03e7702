"""A push button, as a reading or as an agent's label source.

Wiring: one leg to the GPIO, the other to GND; the Pi's own pull-up resistor is used. If the other
leg goes to 3V3 instead of GND: `pull_up: false`.
"""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from protoledger.sensors.base import DriverOptions
from protoledger.sensors.drivers.switches.switch import SwitchOptions, SwitchSensor, check_pull


class ButtonOptions(SwitchOptions):
    """Options of the driver `button`."""

    mode: Literal["press", "toggle"] = Field(
        "press",
        description="`press`: active while pressed, or pressed since the last read; `toggle`: each "
        "press changes between idle (at the start) and active.",
    )
    pull_up: bool = Field(default=True, description="The button connects to GND, not to 3V3.")
    bounce_s: float = Field(
        0.02, ge=0, le=0.3, description="Contacts chatter: changes shorter than this are ignored."
    )

    @model_validator(mode="after")
    def _pin_can_be_pulled(self) -> Self:
        if not self.pull_up:
            check_pull(
                self.pin, "pull_up: false needs a pull-down", ", or connect the button to GND"
            )
        return self


class ButtonSensor(SwitchSensor):
    """A button; gives `active_value` or `idle_value`, without a unit."""

    Options: ClassVar[type[DriverOptions]] = ButtonOptions
    _switch: ButtonOptions

    def _open(self) -> Any:
        button = self._switch
        return self.machine.gpio(
            "Button", pin=button.pin, pull_up=button.pull_up, bounce_time=button.bounce_s or None
        )

    def _active(self) -> bool:
        return self._edges % 2 == 1 if self._switch.mode == "toggle" else super()._active()
