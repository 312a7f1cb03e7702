"""Read the small text files through which the kernel shows a sensor.

The kernel's drivers do the timing, the bus and the checksum. The file may not exist, may block for
a second, may give an I/O error and may contain anything.
"""

import errno
import math
from pathlib import Path

from protoledger.sensors.errors import DeviceGone, ReadFailed, ReadTimeout

# A file of sysfs has at most one page.
_PAGE = 4096
_GONE = {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOTDIR, errno.EREMOTEIO}


def read_text(path: Path) -> str:
    """Read a whole file, without the line break at its end.

    Raises:
        DeviceGone: there is no such file, or its device does not exist any more.
        ReadTimeout: the device did not answer the kernel.
        ReadFailed: an I/O error, or the file is not ASCII text of at most one page.
    """
    try:
        with path.open("rb", buffering=0) as file:
            content = file.read(_PAGE + 1) or b""
    except OSError as error:
        said = error.strerror or type(error).__name__
        if error.errno in _GONE:
            raise DeviceGone(f"{path}: {said}; is the device plugged in, its overlay on?") from None
        if error.errno == errno.ETIMEDOUT:
            raise ReadTimeout(f"{path}: {said}; check the wiring") from None
        raise ReadFailed(f"{path}: {said}; check the wiring") from None
    if len(content) > _PAGE:
        raise ReadFailed(f"{path} is longer than {_PAGE} bytes: this is not a sensor's file")
    try:
        return content.decode("ascii").strip()
    except UnicodeDecodeError:
        raise ReadFailed(f"{path} holds {len(content)} bytes that are not text") from None


def read_number(path: Path) -> float:
    """Read a file that contains one finite number.

    Raises:
        DeviceGone, ReadTimeout, ReadFailed: see `read_text`.
    """
    text = read_text(path)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or "_" in text:
        raise ReadFailed(f"{path} holds {len(text)} characters that are not a number")
    return number
