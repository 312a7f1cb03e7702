"""Chain keys from files that nobody else can read.

Two formats: 32 bytes in hex (a line, with or without 0x), or an encrypted keystore (JSON, version
3) with its password in a second file. Keys never come from a command line or the environment.
"""

import json
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from eth_hash.auto import keccak

from protoledger.contracts.errors import KeyFileError
from protoledger.contracts.recursion import limit_kept
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime import key_files as files


def read_secret(path: Path) -> str:
    """Read a file that only its owner may read.

    Raises:
        KeyFileError: it is missing, not a file, or its mode is looser than 0600.
    """
    try:
        return files.read_secret(path).decode().strip()
    except ConfigurationError as error:
        raise KeyFileError(str(error)) from error
    except UnicodeDecodeError:  # its text would show what was read
        raise KeyFileError(f"{path}: is no text, and so no key file") from None


def load_key(path: Path, password_file: Path | None = None) -> bytes:
    """Read a private key.

    Args:
        path: hex or an encrypted keystore, mode 0600 at most.
        password_file: the keystore's password, mode 0600 at most.

    Returns:
        32 secret bytes.

    Raises:
        KeyFileError: a file is missing, open to others, or holds something else; or the password
            is wrong.
    """
    text = read_secret(path)
    if text.startswith("{"):
        return _decrypt(path, text, password_file)
    try:
        key = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        key = b""
    if len(key) != 32 or not any(key):
        raise KeyFileError(f"{path}: holds neither 64 hex digits nor a keystore")
    return key


def _decrypt(path: Path, text: str, password_file: Path | None) -> bytes:
    if password_file is None:
        raise KeyFileError(f"{path}: is an encrypted keystore; name the file with its password")
    with limit_kept():
        from eth_account import Account  # noqa: PLC0415 - half of web3's import time

    try:
        return bytes(Account.decrypt(json.loads(text), read_secret(password_file)))
    except KeyFileError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise KeyFileError(f"{path}: cannot be decrypted: {error}") from error


def create_key(path: Path) -> bytes:
    """Make a key and write it in hex, mode 0600, to a file that must not exist yet.

    Raises:
        KeyFileError: the file exists or cannot be written.
    """
    key = secrets.token_bytes(32)
    try:
        files.write_secret(path, key.hex().encode() + b"\n")
    except FileExistsError as error:
        raise KeyFileError(
            f"{path} exists, and a key is never overwritten: name another"
        ) from error
    except OSError as error:
        raise KeyFileError(f"{path}: cannot write a key there: {error.strerror}") from error
    return key


def address_of(key: bytes) -> str:
    """Tell a key's account, 0x-hex in lower case; web3 is not needed for it.

    >>> address_of(bytes(31) + bytes([1]))
    '0x7e5f4552091a69125d5dfcb7b8c2659029395bdf'
    """
    numbers = ec.derive_private_key(int.from_bytes(key), ec.SECP256K1()).public_key()
    point = numbers.public_numbers()
    return "0x" + keccak(point.x.to_bytes(32) + point.y.to_bytes(32))[12:].hex()
