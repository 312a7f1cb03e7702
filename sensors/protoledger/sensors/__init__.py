"""What a Pi can read, behind one interface: a driver in, readings out.

`open_sensor(driver, options)` finds a driver by its name (built in, or a third party's Python entry
point), checks its options and hands back a `Sensor`, whose reads give a value or raise.
`open_probe` adds the filters: what an agent in `edge` reads, gets an answer from, and counts.
`find_problems` checks all sensors of an agent before any is opened. What is behind a sensor, a
chip, a made-up signal (`mock`) or a recording (`replay`), nobody learns; whose pins and files it
is on, its `Machine` says (`SimulatedMachine` on a laptop). Nothing here imports another part of the
project, or anything heavy.
"""

from protoledger.sensors.base import (
    DriverOptions,
    Quality,
    Reading,
    Resource,
    SeekableSensor,
    Sensor,
)
from protoledger.sensors.errors import PermanentSensorError, SensorError, TransientSensorError
from protoledger.sensors.filters import FilterOptions
from protoledger.sensors.pins.machine import HardwareSensor, Machine
from protoledger.sensors.pins.simulation import SimulatedMachine
from protoledger.sensors.probe import Probe, open_probe
from protoledger.sensors.registry import driver_names, open_sensor
from protoledger.sensors.validation import Wanted, find_problems

__all__ = [
    "DriverOptions",
    "FilterOptions",
    "HardwareSensor",
    "Machine",
    "PermanentSensorError",
    "Probe",
    "Quality",
    "Reading",
    "Resource",
    "SeekableSensor",
    "Sensor",
    "SensorError",
    "SimulatedMachine",
    "TransientSensorError",
    "Wanted",
    "driver_names",
    "find_problems",
    "open_probe",
    "open_sensor",
]
