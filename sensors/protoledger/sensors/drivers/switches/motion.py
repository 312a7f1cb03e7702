"""A passive infrared (PIR) motion sensor such as the HC-SR501.

Wiring: VCC to 5V, GND to GND, OUT to the GPIO; OUT is at 3.3 V, so no resistors. The sensor itself
holds OUT high for some seconds after a movement. In the first minute after power-on its output
means nothing.
"""

from typing import Any, ClassVar

from pydantic import Field

from protoledger.sensors.base import DriverOptions
from protoledger.sensors.drivers.switches.switch import SwitchOptions, SwitchSensor


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
