"""Read the small text files by which the kernel shows a sensor.

The kernel's drivers do the timing, the bus and the checksum; what is left is to read a file that
may be gone, may block for a second, may answer with an I/O error, and may hold anything.
"""

import errno
import math
from pathlib import Path

from protoledger.sensors.errors import DeviceGone, ReadFailed, ReadTimeout

# A file of sysfs is one page at most; whatever is longer is not one.
_PAGE = 4096
_GONE = {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOTDIR, errno.EREMOTEIO}


def read_text(path: Path) -> str:
    """Read a file whole, without the line break at its end.

    Raises:
        DeviceGone: there is no such file, or no device behind it.
        ReadTimeout: the device did not answer the kernel.
        ReadFailed: it answered wrongly, or the file is no text of at most a page.
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
        raise ReadFailed(f"{path} is longer than {_PAGE} bytes: that is no file of a sensor")
    try:
        return content.decode("ascii").strip()
    except UnicodeDecodeError:
        raise ReadFailed(f"{path} holds {len(content)} bytes that are no text") from None


def read_number(path: Path) -> float:
    """Read a file that holds one finite number.

    Raises:
        DeviceGone, ReadTimeout, ReadFailed: see `read_text`.
    """
    text = read_text(path)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or "_" in text:
        raise ReadFailed(f"{path} holds {len(text)} characters that are no number")
    return number
