"""Identities and rosters as files: keys have mode 0600, and a roster is replaced atomically."""

from pathlib import Path

from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.identity import Identity, Member, Roster, sign_roster
from protoledger.runtime.key_files import read_secret, write_secret


def create_identity(path: Path) -> Identity:
    """Generate a signing key and store it in a new file of mode 0600.

    Raises:
        FileExistsError: if the file exists; an identity is never overwritten.
    """
    identity = Identity.generate()
    write_secret(path, identity.text() + b"\n")
    return identity


def load_identity(path: Path) -> Identity:
    """Read a signing key.

    Raises:
        ConfigurationError: if the file is missing, other users may read it, or it holds no key.
    """
    try:
        return Identity.parse(read_secret(path).strip())
    except ConfigurationError as error:
        raise _named(path, error) from error


def load_roster(path: Path, fleet_key: bytes) -> Roster:
    """Read a roster file and check the fleet's signature.

    Raises:
        ConfigurationError: if the file is missing, malformed or not signed by `fleet_key`.
    """
    try:
        return Roster.parse(path.read_bytes(), fleet_key)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except ConfigurationError as error:
        raise _named(path, error) from error


def write_roster(
    path: Path, site: str, gateway: Member, agents: tuple[Member, ...], fleet: Identity
) -> None:
    """Write a roster signed by the fleet's key; it replaces an older file atomically.

    Raises:
        ConfigurationError: if a name or key is malformed.
    """
    data = sign_roster(site, gateway, agents, fleet)
    draft = path.with_name(path.name + ".new")
    draft.write_bytes(data)
    draft.replace(path)


def _named(path: Path, error: ConfigurationError) -> ConfigurationError:
    text = str(error)
    return ConfigurationError(text if text.startswith(str(path)) else f"{path} {text}")
