"""Key files: made with mode 0600, refused if anyone else may read them."""

import os
import stat
from pathlib import Path

from protoledger.protocol.errors import ConfigurationError

_CREDENTIALS = Path("/run/credentials")


def write_secret(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write a file that only its owner can read, whole or not at all.

    The mode is set when the file is created: there is no moment at which others could open it.

    Args:
        path: of the file; must not exist, so that no key is ever overwritten.
        data: what to write.
        replace: the file may exist; readers then see the old one or the new one.

    Raises:
        FileExistsError: it exists, and `replace` is not set.
        OSError: its folder is missing or not writable; nothing is left behind then.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.new") if replace else path
    if replace:
        draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if not replace:  # a new key is nowhere else: it is to outlive a power cut
                file.flush()
                os.fsync(file.fileno())
        if replace:
            draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def read_secret(path: Path) -> bytes:
    """Read a key file.

    Raises:
        ConfigurationError: if it is missing, or others may read it; says what to do.
    """
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO) and not _is_credential(path):
            raise ConfigurationError(
                f"{path} can be read by others (mode {stat.S_IMODE(mode):04o}); "
                f"run: chmod 600 {path}"
            )
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


def _is_credential(path: Path) -> bool:
    """Whether systemd made the file, for a unit's `LoadCredential`.

    It lets the unit's user in by an access control list, whose mask shows as the group's bits; all
    others are kept out by the folder.
    """
    return path.parent.parent == _CREDENTIALS
