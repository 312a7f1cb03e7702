"""What a Pi can read, behind one interface: a driver in, readings out.

`open_sensor(driver, options)` finds a driver by its name (built in, or a third party's Python entry
point), checks its options and hands back a `Sensor`. The agent in `edge` reads it once or more a
window and never learns what is behind it: a chip, a simulated chip (`mock`) or a recording
(`replay`). Nothing here imports another part of the project, or anything heavy.
"""

from sensors.base import DriverOptions, Quality, Reading, SeekableSensor, Sensor
from sensors.errors import PermanentSensorError, SensorError, TransientSensorError
from sensors.registry import driver_names, open_sensor

__all__ = [
    "DriverOptions",
    "PermanentSensorError",
    "Quality",
    "Reading",
    "SeekableSensor",
    "Sensor",
    "SensorError",
    "TransientSensorError",
    "driver_names",
    "open_sensor",
]
