"""Key files: made with mode 0600, refused if anyone else may read them."""

import os
import stat
from pathlib import Path

from protocol.errors import ConfigurationError


def write_secret(path: Path, data: bytes) -> None:
    """Create a file that only its owner can read; it must not exist.

    Raises:
        FileExistsError: a key is never overwritten.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_secret(path: Path) -> bytes:
    """Read a key file.

    Raises:
        ConfigurationError: if it is missing, or others may read it; says what to do.
    """
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigurationError(
                f"{path} can be read by others (mode {stat.S_IMODE(mode):04o}); "
                f"run: chmod 600 {path}"
            )
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
