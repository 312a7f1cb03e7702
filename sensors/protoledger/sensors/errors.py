"""What can go wrong with a sensor: one tree, in which each class is also a builtin.

Two branches decide what a caller does. `TransientSensorError`: this read failed, the next may not;
leave the channel out of this window and go on. `PermanentSensorError`: reading again changes
nothing; a person has to mend the configuration, the wiring or the file.
"""

# ruff: noqa: N818 - the names say what happened, as the builtins beside them do


class SensorError(Exception):
    """Anything a driver raises."""


class TransientSensorError(SensorError):
    """This read failed; a later one may succeed."""


class PermanentSensorError(SensorError):
    """No later read will succeed until somebody changes something."""


class ReadTimeout(TransientSensorError, TimeoutError):
    """The sensor did not answer in the time it has."""


class ReadFailed(TransientSensorError, OSError):
    """The sensor answered, but not with a value: a checksum, a bus error, a number out of reach."""


class MissingValue(TransientSensorError, LookupError):
    """There is no value for this read: an empty cell of a recording, a missed pulse."""


class DeviceGone(TransientSensorError, ConnectionError):
    """The device is not there now; plugged in again, it is read again."""


class SensorMissing(PermanentSensorError, LookupError):
    """The device or the file that the options name is not there."""


class PinInUse(PermanentSensorError, OSError):
    """A pin is held by another sensor, another process or the kernel."""


class HardwareUnavailable(PermanentSensorError, OSError):
    """This machine has no such pins or buses, or a library that reaches them is missing."""


class SensorClosed(PermanentSensorError, RuntimeError):
    """A sensor was used after `close()`."""


class UnknownDriver(PermanentSensorError, LookupError):
    """No driver has this name."""


class DriverBroken(PermanentSensorError, ImportError):
    """A driver was found but cannot be loaded, or is no driver."""


class BadOptions(PermanentSensorError, ValueError):
    """A driver's options or filters are unknown, of the wrong type or out of range.

    Args:
        what: whose they are.
        problems: a line for each, `options.pin = 28: what is wrong; what to do`.
    """

    def __init__(self, what: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(f"{what}: {'; '.join(problems)}" if problems else what)
        self.problems = problems


class BadRecording(PermanentSensorError, ValueError):
    """A recording cannot be read as one: its message names the lines and columns."""


class BadRow(PermanentSensorError, IndexError):
    """A row was sought that no recording can have."""


class EndOfRecording(PermanentSensorError, EOFError):
    """The recording has no more rows."""
