"""Who may look: a password file with a slow hash, sessions in memory, and a limit on guesses.

The hash is scrypt (RFC 7914) with the parameters that OWASP's password storage cheat sheet gives
for 16 MiB. A restart ends all sessions. Guesses are limited for each address (in IPv6: each network
of 64 bits, which one machine may have) and for all together. A guess counts from its start, so that
many at once are no more than one by one. The limit for all does not hold for addresses from which
somebody logged in before: guesses from elsewhere cannot keep them out.
"""

import base64
import hashlib
import hmac
import ipaddress
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from protoledger.runtime.key_files import read_secret, write_secret

N, R, P = 2**14, 8, 5
FEWEST_CHARACTERS: Final = 10
MOST_CHARACTERS: Final = 1024
SESSION_S: Final = 12 * 3600.0
SESSIONS: Final = 1000
WINDOW_S: Final = 60.0
GUESSES: Final = 5
"""Wrong passwords from one address in a minute."""
GUESSES_OF_ALL: Final = 30
KNOWN: Final = 100
"""Addresses of which it is remembered that somebody logged in from there."""


def _hash(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    most = 256 * n * r  # what OpenSSL may take: twice what it needs
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=most, dklen=32)


def write_password(path: Path, password: str) -> None:
    """Write a password file, mode 0600; one that is there is replaced.

    Raises:
        ValueError: the password is too short or too long.
        OSError: the file cannot be written.
    """
    if not FEWEST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        raise ValueError(
            f"a password has {FEWEST_CHARACTERS} to {MOST_CHARACTERS} characters, this one has "
            f"{len(password)}"
        )
    salt = secrets.token_bytes(16)
    content = {
        "kdf": "scrypt", "n": N, "r": R, "p": P,
        "salt": base64.b64encode(salt).decode(),
        "hash": base64.b64encode(_hash(password, salt, N, R, P)).decode(),
    }  # fmt: skip
    write_secret(path, json.dumps(content).encode() + b"\n", replace=True)


class PasswordFile:
    """A password's slow hash.

    Args:
        n: scrypt's cost.
        r: its block size.
        p: its parallelism.
        salt: of the hash.
        digest: the hash.
    """

    def __init__(self, n: int, r: int, p: int, salt: bytes, digest: bytes) -> None:
        self._cost, self._salt, self._digest = (n, r, p), salt, digest

    def __repr__(self) -> str:
        """Show no part of the hash."""
        return "PasswordFile(…)"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a password file.

        Raises:
            ValueError: it is none.
            ConfigurationError: it cannot be read, or others may read it.
        """
        text = read_secret(path)
        try:
            content = json.loads(text.decode("ascii"))
            n, r, p = (int(content[name]) for name in ("n", "r", "p"))
            salt, digest = (base64.b64decode(content[name]) for name in ("salt", "hash"))
            sound = content["kdf"] == "scrypt" and 2**10 <= n <= 2**20 and len(digest) == 32
            sound = sound and n & (n - 1) == 0 and 1 <= r <= 32 and 1 <= p <= 16
        except (KeyError, TypeError, ValueError):
            sound = False
        if not sound:
            raise ValueError(
                f"{path} is no password file; make one: protoledger dashboard --new-password {path}"
            )
        return cls(n, r, p, salt, digest)

    def matches(self, password: str) -> bool:
        """Whether this is the password; takes a tenth of a second."""
        if len(password) > MOST_CHARACTERS:
            return False
        return hmac.compare_digest(_hash(password, self._salt, *self._cost), self._digest)


class Sessions:
    """Who is logged in, and who guesses.

    Args:
        clock: monotonic seconds.

    >>> sessions = Sessions()
    >>> token = sessions.begin()
    >>> sessions.holds(token), sessions.holds("another"), sessions.end(token), sessions.holds(token)
    (True, False, None, False)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[bytes, float] = {}
        self._guesses: list[tuple[float, str]] = []
        self._known: dict[str, None] = {}

    def begin(self) -> str:
        """Begin a session; returns its token, of which only a hash is kept."""
        self._forget()
        while len(self._until) >= SESSIONS:
            del self._until[next(iter(self._until))]
        token = secrets.token_urlsafe(32)
        self._until[_key(token)] = self._clock() + SESSION_S
        return token

    def holds(self, token: str) -> bool:
        """Whether a token is of a session that goes on."""
        until = self._until.get(_key(token))
        return until is not None and self._clock() < until

    def end(self, token: str) -> None:
        """End a session, if it is one."""
        self._until.pop(_key(token), None)

    def may_guess(self, address: str) -> bool:
        """Whether an address may try a password now; if so, it counts as a wrong one until `right`.

        Args:
            address: the client's, IPv4 or IPv6.
        """
        since, network = self._clock() - WINDOW_S, _network(address)
        self._guesses = [one for one in self._guesses if one[0] > since]
        if sum(one == network for _, one in self._guesses) >= GUESSES:
            return False
        if network not in self._known:
            unknown = sum(one not in self._known for _, one in self._guesses)
            if unknown >= GUESSES_OF_ALL:
                return False
        self._guesses.append((self._clock(), network))
        return True

    def right(self, address: str) -> None:
        """Take back the newest guess of an address: it was right."""
        network = _network(address)
        for place in reversed(range(len(self._guesses))):
            if self._guesses[place][1] == network:
                del self._guesses[place]
                break
        self._known.pop(network, None)
        self._known[network] = None
        while len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]

    def _forget(self) -> None:
        now = self._clock()
        self._until = {key: until for key, until in self._until.items() if until > now}


def _network(address: str) -> str:
    """Return what one guesser may have of addresses."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if known.version == 4:
        return address
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network((known, 64), strict=False))


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
