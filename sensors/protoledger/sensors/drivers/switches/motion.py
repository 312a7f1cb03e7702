"""A passive infrared (PIR) motion sensor such as the HC-SR501.

Wiring: VCC to 5V, GND to GND, OUT to the GPIO; OUT is at 3.3 V, so no resistors. The sensor itself
holds OUT high for some seconds after a movement. In the first minute after power-on its output
means nothing.
"""

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from protoledger.sensors.base import DriverOptions
from protoledger.sensors.drivers.switches.switch import SwitchOptions, SwitchSensor, check_pull
from protoledger.sensors.errors import MissingValue

_WAIT_S = 1.0


class MotionOptions(SwitchOptions):
    """Options of the driver `motion`."""

    sample_hz: float = Field(
        10.0, ge=1, le=100, description="How often the pin is looked at; in times a second."
    )
    samples: int = Field(
        1,
        ge=1,
        le=100,
        description="The mean of so many must exceed one half: for a sensor that twitches.",
    )

    @model_validator(mode="after")
    def _pin_can_be_pulled(self) -> Self:
        check_pull(self.pin, "a motion sensor needs a pull-down", "")
        return self


class MotionSensor(SwitchSensor):
    """A PIR sensor; gives `active_value` if anything moved since the last read."""

    Options: ClassVar[type[DriverOptions]] = MotionOptions
    _switch: MotionOptions

    def _open(self) -> Any:
        motion = self._switch
        return self.machine.gpio(
            "MotionSensor",
            pin=motion.pin,
            queue_len=motion.samples,
            sample_rate=motion.sample_hz,
        )

    def _active(self) -> bool:
        # gpiozero would block the read until it has all samples, up to 100 s.
        queue = self._device._queue  # noqa: SLF001 - there is no public way to ask
        if not queue.full.wait(_WAIT_S):
            have, want = len(queue.queue), self._switch.samples
            raise MissingValue(
                f"the motion sensor has taken {have} of its first {want} samples: wait for "
                f"{(want - have) / self._switch.sample_hz:.0f} s more"
            )
        return super()._active()
