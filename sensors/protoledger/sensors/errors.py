"""What can go wrong with a sensor: one tree, in which each class is also a builtin.

The two branches decide what a caller does. After a `TransientSensorError` the next read may
succeed: leave the channel out of this window and go on. After a `PermanentSensorError` no read will
succeed until a person corrects the configuration, the wiring or the file.
"""

# ruff: noqa: N818 - the names say what happened, as the builtins beside them do


class SensorError(Exception):
    """Anything a driver raises."""


class TransientSensorError(SensorError):
    """This read failed; a later one may succeed."""


class PermanentSensorError(SensorError):
    """No later read will succeed until a person changes something."""


class ReadTimeout(TransientSensorError, TimeoutError):
    """The sensor did not answer in time."""


class ReadFailed(TransientSensorError, OSError):
    """The answer holds no value: a wrong checksum, a bus error, text that is not a number."""


class MissingValue(TransientSensorError, LookupError):
    """There is no value for this read: an empty cell of a recording, a missed pulse."""


class DeviceGone(TransientSensorError, ConnectionError):
    """The device does not answer now; it is read again once it is back."""


class SensorMissing(PermanentSensorError, LookupError):
    """The device or file named in the options does not exist."""


class PinInUse(PermanentSensorError, OSError):
    """A pin is held by another sensor, another process or the kernel."""


class HardwareUnavailable(PermanentSensorError, OSError):
    """This machine has no such pins or buses, or a library that reaches them is missing."""


class SensorClosed(PermanentSensorError, RuntimeError):
    """A sensor was used after `close()`."""


class UnknownDriver(PermanentSensorError, LookupError):
    """No driver has this name."""


class DriverBroken(PermanentSensorError, ImportError):
    """A driver cannot be loaded, is not a `Sensor` class, or raised something unexpected."""


class BadOptions(PermanentSensorError, ValueError):
    """A driver's options or filters are unknown, of the wrong type or out of range.

    Args:
        what: the driver that the options belong to.
        problems: one line each, `options.pin = 28: what is wrong; what to do`.
    """

    def __init__(self, what: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(f"{what}: {'; '.join(problems)}" if problems else what)
        self.problems = problems


class BadRecording(PermanentSensorError, ValueError):
    """A recording cannot be parsed; the message names lines and columns."""


class BadRow(PermanentSensorError, IndexError):
    """`seek` was called with a negative row."""


class EndOfRecording(PermanentSensorError, EOFError):
    """The recording has no more rows."""
