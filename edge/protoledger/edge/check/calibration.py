"""`edge calibrate`: compare a sensor with one or two reference values, and print what to configure.

The sensor is read without filters and without its present calibration. Each point is the median of
several reads, so that a single spike does not count.
"""

import statistics
import time
from collections.abc import Callable, Sequence

from protoledger.edge.config import AgentConfig, InputConfig, SensorConfig
from protoledger.protocol.errors import ConfigurationError
from protoledger.sensors import (
    Calibration,
    Machine,
    ReadFailed,
    Reading,
    TransientSensorError,
    calibrate,
    open_sensor,
)
from protoledger.sensors.registry import inputs

_TRIES_PER_READ = 5
# A reading that moves by more than this part of the distance between the points is not steady.
_STEADY = 0.05


def find_sensor(config: AgentConfig, name: str) -> SensorConfig | InputConfig:
    """Find a sensor by its channel or its name.

    Raises:
        ConfigurationError: there is none, or it is computed from others.
    """
    known: dict[str, SensorConfig | InputConfig]
    known = {sensor.channel: sensor for sensor in config.sensors}
    known |= {sensor.name: sensor for sensor in config.inputs}
    if name not in known:
        raise ConfigurationError(f"no sensor fills {name!r}: there are {', '.join(known)}")
    if inputs(known[name].driver, known[name].options):
        raise ConfigurationError(f"{name!r} is computed from others: calibrate those")
    return known[name]


def compare(
    sensor: SensorConfig | InputConfig,
    references: Sequence[float],
    *,
    samples: int,
    pause_s: float,
    machine: Machine | None,
    ask: Callable[[str], None],
    say: Callable[[str], None],
) -> Calibration:
    """Read a sensor at each reference value.

    Args:
        sensor: which one.
        references: one or two true values, in the unit that the channel is to have.
        samples: reads per point.
        pause_s: between reads.
        machine: see `open_sensor`.
        ask: shows a text and waits until the person has done it.
        say: shows a text.

    Raises:
        SensorError: the sensor cannot be opened or does not answer.
        ValueError: both points are the same.
    """
    points, spreads = [], []
    with open_sensor(sensor.driver, sensor.options, machine) as opened:
        for reference in references:
            ask(f"Bring the sensor to {reference:g} and wait until it is steady.")
            values = []
            for _ in range(samples):
                values.append(_read(opened.read, pause_s))
                time.sleep(pause_s)
            points.append((statistics.median(values), reference))
            spreads.append(max(values) - min(values))
            say(f"read {points[-1][0]:.6g} {opened.unit}".rstrip() + f", spread {spreads[-1]:.3g}")
    found = calibrate(points)
    distance = abs(points[-1][0] - points[0][0])
    if len(points) == 2 and max(spreads) > _STEADY * distance:
        say("The readings were not steady: wait longer, or take points that are farther apart.")
    return found


def lines(found: Calibration, unit: str | None) -> str:
    """What to write below the sensor in the agent's file."""
    text = f"    calibration:\n      scale: {found.scale:.9g}\n      offset: {found.offset:.9g}\n"
    return text + (f"      unit: {unit!r}\n" if unit is not None else "")


def _read(read: Callable[[], Reading], pause_s: float) -> float:
    error: Exception | None = None
    for _ in range(_TRIES_PER_READ):
        try:
            return read().value
        except TransientSensorError as failed:
            error = failed
            time.sleep(pause_s)
    raise ReadFailed(f"the sensor does not answer: {error}")
