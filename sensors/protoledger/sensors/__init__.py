"""Sensors behind one interface: a driver reads a device, a probe judges the reading.

Data flows from a device to a `Sensor` (one driver, `read()` returns a `Reading` or raises
`SensorError`) and from there to a `Probe`, which filters, counts and never raises. An agent (in
`protoledger.edge`) reads probes and contributes only good readings.

`open_sensor` finds a driver by its name, built in or a third party's entry point, checks its
options and opens it; `open_probe` adds filters. `find_problems` checks the configuration of all
sensors of an agent before any is opened. A driver reaches pins and kernel files only through a
`Machine`; on a laptop `SimulatedMachine` takes its place. This package imports no other part of the
project, and no heavy library.
"""

from protoledger.sensors.base import (
    ComputedSensor,
    DriverOptions,
    Quality,
    Reading,
    Resource,
    SeekableSensor,
    Sensor,
)
from protoledger.sensors.calibration import Calibration, calibrate
from protoledger.sensors.errors import (
    DeviceGone,
    HardwareUnavailable,
    MissingValue,
    PermanentSensorError,
    ReadFailed,
    ReadTimeout,
    SensorError,
    SensorMissing,
    TransientSensorError,
)
from protoledger.sensors.filters import FilterOptions
from protoledger.sensors.needs import Needs
from protoledger.sensors.pins.machine import HardwareSensor, Machine, Pin
from protoledger.sensors.pins.shared_chip import Lease, SharedChips
from protoledger.sensors.pins.simulation import SimulatedMachine
from protoledger.sensors.probe import Probe, open_probe
from protoledger.sensors.registry import driver_names, open_sensor
from protoledger.sensors.validation import WantedSensor, find_problems

__all__ = [
    "Calibration",
    "ComputedSensor",
    "DeviceGone",
    "DriverOptions",
    "FilterOptions",
    "HardwareSensor",
    "HardwareUnavailable",
    "Lease",
    "Machine",
    "MissingValue",
    "Needs",
    "PermanentSensorError",
    "Pin",
    "Probe",
    "Quality",
    "ReadFailed",
    "ReadTimeout",
    "Reading",
    "Resource",
    "SeekableSensor",
    "Sensor",
    "SensorError",
    "SensorMissing",
    "SharedChips",
    "SimulatedMachine",
    "TransientSensorError",
    "WantedSensor",
    "calibrate",
    "driver_names",
    "find_problems",
    "open_probe",
    "open_sensor",
]
