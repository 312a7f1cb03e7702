"""The messages of a round as they go over the wire: MessagePack arrays, decoded strictly.

Three envelopes carry them all. `Signed` is for what everyone of a site may read and only one may
say (session keys, announce, include, result), `Revealed` for what was foreseen when it was signed
(`protoledger.protocol.rounds.hash_chain`), `Sealed` for two parties (share, received, partial,
sum). Unknown versions, missing or further fields, trailing bytes and wrong lengths are refused
here.
"""

import hashlib
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from protoledger.protocol.errors import DecodeError

VERSION = 2
MAX_BYTES = 16 * 2**20
TAG_BYTES = 16
MARK_BYTES = 4
"""Of a session's nonce, to tell it from a party's others."""

Payload = bytes | bytearray
Octets = Payload | memoryview

Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Nonce = Annotated[bytes, Meta(min_length=16, max_length=16)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
RoundId = Annotated[int, Meta(ge=1, le=2**62)]
Members = Annotated[bytes, Meta(max_length=128)]
"""A set of roster positions, one bit each, lowest first."""


class Kind(IntEnum):
    """What a message is; the number goes into signatures and nonces, never reuse one."""

    KEY = 1
    ANNOUNCE = 2
    SHARE = 3
    RECEIVED = 4
    INCLUDE = 5
    SUM = 6
    RESULT = 7
    PARTIAL = 8


class _Wire(Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """The base of all messages; bytes do not print, as they may be shares, sums or preimages."""

    def __repr__(self) -> str:
        shown = (f"{name}={_shown(getattr(self, name))}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({', '.join(shown)})"


def _shown(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    return f"<{len(value)} parts>" if isinstance(value, tuple | list) else repr(value)


class Signed(_Wire, frozen=True):
    """A body and its sender's Ed25519 signature over domain, kind, site, sender and body."""

    version: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    kind: Kind
    sender: Name
    body: bytes
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


class Revealed(_Wire, frozen=True):
    """An announce, include or result that a signed announce foresaw: its preimage makes it."""

    version: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    kind: Kind
    round_id: RoundId
    preimage: Hash


class Sealed(_Wire, frozen=True):
    """A body under the pair's ChaCha20-Poly1305 key; the header is authenticated with it."""

    version: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    kind: Kind
    round_id: RoundId
    sender: Name
    receiver: Name
    box: Annotated[memoryview, Meta(min_length=TAG_BYTES)]


class SessionKey(_Wire, frozen=True):
    """A party's key for as long as its process runs; published retained."""

    roster: Hash
    nonce: Nonce
    public_key: Annotated[bytes, Meta(min_length=32, max_length=32)]


class Announce(_Wire, frozen=True):
    """The gateway opens a round.

    `session` is the nonce of the gateway's session; `terms` hashes what a site must agree on,
    windows and deadlines among it; `present` are the agents that the gateway believes to be there:
    they get the round's positions, and nobody waits for another's share. `sessions` are the marks
    of their sessions, in ascending number: an agent that restarted must not share another vector in
    a round that its former process has shared in. `course` is the end of a hash chain, see
    `protoledger.protocol.rounds.hash_chain`.
    """

    round_id: RoundId
    session: Nonce
    roster: Hash
    terms: Hash
    present: Members
    sessions: Annotated[bytes, Meta(max_length=8 * 128 * MARK_BYTES)]
    course: Hash


class Include(_Wire, frozen=True):
    """The gateway fixes, once, whose shares are summed."""

    round_id: RoundId
    announce: Hash
    members: Members


class Result(_Wire, frozen=True):
    """How a round ended; an empty reason is success. Never a value."""

    round_id: RoundId
    announce: Hash
    included: Annotated[int, Meta(ge=0, le=1024)]
    reason: Annotated[str, Meta(max_length=256)]


_Body = TypeVar("_Body", bound=_Wire)

encode = msgspec.msgpack.Encoder().encode
_DECODERS: dict[type[_Wire], msgspec.msgpack.Decoder[_Wire]] = {
    shape: msgspec.msgpack.Decoder(shape)
    for shape in (Signed, Revealed, Sealed, SessionKey, Announce, Include, Result)
}


def decode(data: Payload, shape: type[_Body]) -> _Body:
    """Decode bytes from outside.

    Raises:
        DecodeError: if they are anything but exactly one message of that shape.
    """
    if len(data) > MAX_BYTES:
        raise DecodeError(f"{shape.__name__}: {len(data)} bytes exceed {MAX_BYTES}")
    try:
        message = _DECODERS[shape].decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"{shape.__name__}: {error}") from error
    if not isinstance(message, shape):  # pragma: no cover - the decoder is of that shape
        raise DecodeError(f"{shape.__name__}: found {type(message).__name__}")
    return message


def frame(
    kind: Kind, round_id: int, sender: str, receiver: str, size: int
) -> tuple[bytearray, memoryview]:
    """Lay out a `Sealed` message whose box, of `size` bytes, is encrypted into its place.

    A share may be long, and building the message around it would copy it twice.
    """
    head = encode([VERSION, int(kind), round_id, sender, receiver, b""])[:-2]
    if size < 2**8:
        head += b"\xc4" + size.to_bytes(1, "big")
    elif size < 2**16:
        head += b"\xc5" + size.to_bytes(2, "big")
    else:
        head += b"\xc6" + size.to_bytes(4, "big")
    payload = bytearray(len(head) + size)
    payload[: len(head)] = head
    return payload, memoryview(payload)[len(head) :]


def digest(body: Announce | Include) -> bytes:
    """Return what seals are bound to: the SHA-256 of a body's encoding."""
    return hashlib.sha256(encode(body)).digest()


def is_revealed(data: Payload) -> bool:
    """Whether the envelope of an announce, include or result is `Revealed`: an array of four."""
    return data[:1] == b"\x94"


def pack_members(positions: set[int] | frozenset[int]) -> bytes:
    r"""Encode a set of positions.

    >>> pack_members({0, 2}), sorted(unpack_members(b"\x05", agents=3))
    (b'\x05', [0, 2])
    """
    bits = sum(1 << p for p in positions)
    return bits.to_bytes(-(-bits.bit_length() // 8), "little")


@lru_cache(maxsize=256)
def unpack_members(data: bytes, agents: int) -> frozenset[int]:
    """Decode a set of positions.

    Raises:
        DecodeError: on a position that the roster does not have, or a superfluous zero byte.
    """
    bits = int.from_bytes(data, "little")
    if bits.bit_length() > agents or (data and not data[-1]):
        raise DecodeError(f"member set {data.hex()} does not fit {agents} agents")
    return frozenset(p for p in range(agents) if bits >> p & 1)
