"""Files with secrets: written with mode 0600, and refused if other users may read them."""

import os
import stat
from pathlib import Path

from protoledger.protocol.errors import ConfigurationError

_CREDENTIALS = Path("/run/credentials")


def write_secret(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write a file that only its owner can read, whole or not at all.

    The file is created with its final mode, so other users can open it at no moment.

    Args:
        path: the file; it must not exist unless `replace` is set, so that no key is overwritten.
        data: its content.
        replace: whether to replace an existing file; readers then see the old one or the new one.

    Raises:
        FileExistsError: if the file exists and `replace` is not set.
        OSError: if its folder is missing or not writable; no partial file remains.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.new") if replace else path
    if replace:
        draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if not replace:  # a new key exists nowhere else, so it must survive a power cut
                file.flush()
                os.fsync(file.fileno())
        if replace:
            draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def read_secret(path: Path) -> bytes:
    """Read a file with a secret.

    Raises:
        ConfigurationError: if it is missing, or other users may read it; says what to do.
    """
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO) and not _is_credential(path):
            raise ConfigurationError(
                f"{path} can be read by other users (mode {stat.S_IMODE(mode):04o}); "
                f"run: chmod 600 {path}"
            )
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


def _is_credential(path: Path) -> bool:
    """Tell whether systemd created the file for a unit's `LoadCredential`.

    systemd grants the unit's user access by an access control list, whose mask appears as the
    group's mode bits. The folder's own mode keeps all other users out.
    """
    return path.parent.parent == _CREDENTIALS
