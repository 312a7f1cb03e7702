"""Ed25519 identities of devices, and the roster that the fleet's key signs.

A device makes its identity itself and hands out the public half. The roster names a site's gateway
and agents with those halves and the channels each agent carries; its hash goes into every key
derivation, so that parties with different rosters cannot talk to each other by accident.

Signatures are libsodium's: it takes half of OpenSSL's time for them, and refuses keys and points of
low order and what is not encoded canonically.
"""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Meta, Struct
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from protoledger.protocol.errors import AuthenticationError, ConfigurationError
from protoledger.protocol.wire.topics import NAME_PATTERN, is_name

_KEY_DOMAIN = b"protoledger roster v1\0"

Key = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Meta(pattern=NAME_PATTERN)]


class Identity:
    """A device's signing key; its private half never prints.

    >>> me = Identity(Ed25519PrivateKey.generate())
    >>> verify(me.public_key, b"text", me.sign(b"text"))
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = SigningKey(key.private_bytes_raw())
        self.public_key = bytes(self._key.verify_key)

    def __repr__(self) -> str:
        return f"Identity({self.public_key.hex()[:8]}…)"

    def sign(self, data: bytes) -> bytes:
        """Return the 64-byte signature over `data`; the caller separates domains."""
        return self._key.sign(data).signature

    @classmethod
    def generate(cls) -> "Identity":
        """Make a new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def parse(cls, text: bytes) -> "Identity":
        """Read a key as `text` writes it.

        Raises:
            ConfigurationError: it is not 64 hexadecimal digits.
        """
        if not re.fullmatch(rb"[0-9a-f]{64}", text):
            raise ConfigurationError("is no key: expected 64 hexadecimal digits")
        return cls(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text.decode())))

    def text(self) -> bytes:
        """Write the private half as 64 hexadecimal digits, for a key file and nothing else."""
        return bytes(self._key).hex().encode()


@lru_cache(maxsize=2048)
def _parsed(public_key: bytes) -> VerifyKey:
    return VerifyKey(public_key)


def verify(public_key: bytes, data: bytes, signature: bytes) -> None:
    """Check an Ed25519 signature.

    Raises:
        AuthenticationError: if it does not hold.
    """
    try:
        _parsed(public_key).verify(data, signature)
    except (CryptoError, ValueError) as error:
        raise AuthenticationError("the signature does not hold") from error


class Member(Struct, frozen=True, forbid_unknown_fields=True):
    """One device of a roster.

    `channels` are the ones that its kit measures, `votes` says that it has a label source.
    """

    id: Name
    public_key: Key
    channels: tuple[str, ...] = ()
    votes: bool = False


class _RosterBody(Struct, frozen=True, forbid_unknown_fields=True):
    version: Annotated[int, Meta(ge=1, le=1)]
    site: Name
    gateway: Member
    agents: Annotated[tuple[Member, ...], Meta(min_length=2, max_length=1000)]


class _RosterFile(_RosterBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    signature: Annotated[str, Meta(pattern=r"^[0-9a-f]{128}$")]


def _body_bytes(body: _RosterBody) -> bytes:
    members = [
        [m.id, m.public_key, sorted(m.channels), m.votes] for m in (body.gateway, *body.agents)
    ]
    return _KEY_DOMAIN + msgspec.msgpack.encode([body.version, body.site, members])


@dataclass(frozen=True)
class Roster:
    """A verified roster: the position of an agent in `agents` is its position in the protocol."""

    site: str
    gateway: Member
    agents: tuple[Member, ...]
    digest: bytes

    @cached_property
    def positions(self) -> dict[str, int]:
        """Position by agent id."""
        return {member.id: position for position, member in enumerate(self.agents)}

    @cached_property
    def public_keys(self) -> dict[str, bytes]:
        """Identity key by id, the gateway's among them."""
        return {m.id: bytes.fromhex(m.public_key) for m in (self.gateway, *self.agents)}

    def check_owner(self, device: str, identity: Identity) -> Identity:
        """Return a device's identity if it is the one of the roster: nobody heeds another.

        Raises:
            ConfigurationError: if the roster lists another key, or not this device.
        """
        listed = self.public_keys.get(device)
        if listed != identity.public_key:
            has = f"has {listed.hex()[:8]}…" if listed else "does not name it"
            raise ConfigurationError(
                f"the key of {device} is {identity.public_key.hex()[:8]}…, the roster {has}; "
                f"sign a roster with this key, or restore the other"
            )
        return identity

    @classmethod
    def parse(cls, data: bytes, fleet_key: bytes) -> "Roster":
        """Read a roster and check the fleet's signature.

        Raises:
            ConfigurationError: if it is malformed or not signed by `fleet_key`.
        """
        try:
            content = msgspec.json.decode(data, type=_RosterFile)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"is no roster: {error}") from error
        signed = _body_bytes(content)
        try:
            verify(fleet_key, signed, bytes.fromhex(content.signature))
        except AuthenticationError as error:
            raise ConfigurationError(
                f"is not signed by the fleet's key {fleet_key.hex()[:8]}…; "
                f"sign it again with `protoledger keys roster`"
            ) from error
        ids = [content.gateway.id, *(a.id for a in content.agents)]
        # msgspec searches a pattern, and `$` lets a newline follow
        if strange := [name for name in (content.site, *ids) if not is_name(name)]:
            raise ConfigurationError(f"{strange[0]!r} is no name of a site or device")
        if twice := sorted(name for name, count in Counter(ids).items() if count > 1):
            raise ConfigurationError(f"names a device twice: {', '.join(twice)}")
        digest = hashlib.sha256(signed).digest()
        return cls(content.site, content.gateway, content.agents, digest)


def sign_roster(site: str, gateway: Member, agents: tuple[Member, ...], fleet: Identity) -> bytes:
    """Return a roster signed by the fleet's key, as `Roster.parse` reads it.

    Agents are put in the order of their ids.

    Raises:
        ConfigurationError: if a name or key is malformed.
    """
    ordered = tuple(sorted(agents, key=lambda member: member.id))
    body = _RosterBody(version=1, site=site, gateway=gateway, agents=ordered)
    signature = fleet.sign(_body_bytes(body)).hex()
    content = _RosterFile(
        version=1, site=site, gateway=gateway, agents=ordered, signature=signature
    )
    data = msgspec.json.format(msgspec.json.encode(content), indent=2)
    try:
        msgspec.json.decode(data, type=_RosterFile)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"roster of {site!r}: {error}") from error
    return data + b"\n"
