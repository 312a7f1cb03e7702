"""The messages of a round as they go over the wire: MessagePack arrays, decoded strictly.

Two envelopes carry them all. `Signed` is for what everyone of a site may read and only one may say
(session keys, announce, result), `Sealed` for two parties (boxes, deliver, answer). A message has
one encoding: unknown versions, missing or further fields, trailing bytes, wrong lengths and longer
forms of a number or string than the shortest are refused here.
"""

import hashlib
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from protoledger.protocol.errors import DecodeError

VERSION = 3
MAX_BYTES = 16 * 2**20
TAG_BYTES = 16
MARK_BYTES = 16
"""Of the digest of a whole hello, which tells a session from all others of its party."""
MOST_ASKED = 64
"""Explanations that one announce can ask for."""
MOST_RELAYED = 64
"""Hellos that one announce can carry."""
RELAYED_BYTES = 256
"""Of one: a hello that holds is shorter."""

Payload = bytes | bytearray
Octets = Payload | memoryview

Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Mark = Annotated[bytes, Meta(min_length=MARK_BYTES, max_length=MARK_BYTES)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
RoundId = Annotated[int, Meta(ge=1, le=2**62)]
Number = Annotated[int, Meta(ge=0, le=999)]
"""Of an agent in the roster."""
Members = Annotated[bytes, Meta(max_length=128)]
"""A set of roster positions, one bit each, lowest first."""


class Kind(IntEnum):
    """What a message is; the number goes into signatures and nonces, never reuse one."""

    KEY = 1
    ANNOUNCE = 2
    BOXES = 3
    DELIVER = 4
    ANSWER = 5
    RESULT = 6
    BOX = 7
    """A share for one holder, inside a contributor's boxes."""


class Wire(Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """The base of all messages; bytes do not print, as they may be shares, sums or ρ."""

    def __repr__(self) -> str:
        shown = (f"{name}={_shown(getattr(self, name))}" for name in self.__struct_fields__)
        return f"{type(self).__name__}({', '.join(shown)})"


def _shown(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    return f"<{len(value)} parts>" if isinstance(value, tuple | list) else repr(value)


class Signed(Wire, frozen=True):
    """A body and its sender's Ed25519 signature over domain, kind, site, sender and body."""

    version: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    kind: Kind
    sender: Name
    body: bytes
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


class Sealed(Wire, frozen=True):
    """A body under the pair's ChaCha20-Poly1305 key; the header is authenticated with it."""

    version: Annotated[int, Meta(ge=VERSION, le=VERSION)]
    kind: Kind
    round_id: RoundId
    sender: Name
    receiver: Name
    box: Annotated[memoryview, Meta(min_length=TAG_BYTES)]


class SessionKey(Wire, frozen=True):
    """A party's key for a while; published retained."""

    roster: Hash
    nonce: Annotated[bytes, Meta(min_length=16, max_length=16)]
    public_key: Annotated[bytes, Meta(min_length=32, max_length=32)]


class Kept(Wire, frozen=True):
    """Windows of an outage, by the round that was the last before it: `number` of them, or group.

    In an agent's boxes it says how many are waiting; in an announce it asks for the group of B
    windows with this number, from 1.
    """

    anchor: RoundId
    number: Annotated[int, Meta(ge=1, le=2**31)]


class Asked(Wire, frozen=True):
    """The gateway asks an agent to explain its contribution to a round, under that round's ρ."""

    agent: Number
    round_id: RoundId
    rho: Hash


class Announce(Wire, frozen=True):
    """The gateway opens a round.

    Attributes:
        round_id: greater than any before in this session.
        session: the mark of the gateway's hello.
        roster: digest of the roster.
        terms: digest of what a site must agree on, windows and deadlines among it.
        present: the agents that may contribute.
        marks: of their hellos, in ascending number: an agent that restarted must not share another
            vector in a round that its former process has shared in, and nobody may show two keys.
        holders: agents of `present` by position.
        commitment: of ρ, see `proofs.challenge`.
        kept: None for live windows, or which ones of an outage.
        asked: agents whose contributions nobody could prove.
        hellos: of those present, whose marks are new, or that somebody said it lacks.
    """

    round_id: RoundId
    session: Mark
    roster: Hash
    terms: Hash
    present: Members
    marks: Annotated[bytes, Meta(max_length=1000 * MARK_BYTES)]
    holders: Annotated[tuple[Number, ...], Meta(min_length=1, max_length=64)]
    commitment: Hash
    kept: Kept | None
    asked: Annotated[tuple[Asked, ...], Meta(max_length=MOST_ASKED)]
    hellos: Annotated[
        tuple[Annotated[bytes, Meta(max_length=RELAYED_BYTES)], ...], Meta(max_length=MOST_RELAYED)
    ]


class CentredAnnounce(Announce, frozen=True):
    """An announce where privacy clips values: around what, sealed for each of those present.

    Attributes:
        centres: a symbol for each channel, in ascending number of those present.
    """

    centres: Annotated[tuple[Annotated[bytes, Meta(max_length=2**13)], ...], Meta(max_length=1000)]


class Explanation(Wire, frozen=True):
    """The coefficients of a contributor's own checks of a round."""

    round_id: RoundId
    coefficients: Annotated[bytes, Meta(max_length=2**14)]


class Boxes(Wire, frozen=True):
    """What an agent contributes; sealed for the gateway.

    Attributes:
        declared: which channels and votes it fills.
        kept: what it kept of an outage, if it waits for rounds that ask for it.
        explanation: of the contribution that the announce asked for.
        lacking: agents whose hellos it lacks; then it takes no part, and the rest is empty.
        boxes: sealed shares by position; empty for its own.
    """

    declared: Annotated[bytes, Meta(max_length=2**19)]
    kept: Kept | None
    explanation: Explanation | None
    lacking: Members
    boxes: Annotated[tuple[bytes, ...], Meta(max_length=64)]


class Delivered(Wire, frozen=True):
    """What the gateway signs about a round's set: two of them for one announce are evidence."""

    round_id: RoundId
    announce: Hash
    members: Members
    declared: bytes


class Delivery(Wire, frozen=True):
    """What a holder gets; sealed for it.

    Attributes:
        signature: the gateway's, over `Delivered`.
        members: the set.
        declared: the declared bits of its members, in ascending number.
        rho: ρ.
        boxes: for this holder, of the members in ascending number; empty for its own.
    """

    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]
    members: Members
    declared: bytes
    rho: Hash
    boxes: Annotated[tuple[bytes, ...], Meta(max_length=1000)]


class Answer(Wire, frozen=True):
    """What a holder answers, once a round; sealed for the gateway.

    Attributes:
        unopened: members whose box could not be opened; then there are no sums.
        reports: symbols, a report for each member in ascending number (zeros for itself and for
            those that are unopened); empty for the packed code.
        sums: one symbol for each that may be opened.
    """

    unopened: Members
    reports: bytes
    sums: bytes


class Result(Wire, frozen=True):
    """How a round ended; an empty reason is success. Never a value."""

    round_id: RoundId
    announce: Hash
    included: Annotated[int, Meta(ge=0, le=1000)]
    excluded: Members
    reason: Annotated[str, Meta(max_length=256)]


Body = SessionKey | Announce | Delivered | Result
_Shape = TypeVar("_Shape", bound=Wire)

encode = msgspec.msgpack.Encoder().encode
SHAPES: tuple[type[Wire], ...] = (
    Signed,
    Sealed,
    SessionKey,
    Announce,
    CentredAnnounce,
    Boxes,
    Delivered,
    Delivery,
    Answer,
    Result,
)
_DECODERS: dict[type[Wire], msgspec.msgpack.Decoder[Wire]] = {
    shape: msgspec.msgpack.Decoder(shape) for shape in SHAPES
}


def decode(data: Octets, shape: type[_Shape]) -> _Shape:
    """Decode bytes from outside.

    Raises:
        DecodeError: if they are anything but the one encoding of a message of that shape.
    """
    if len(data) > MAX_BYTES:
        raise DecodeError(f"{shape.__name__}: {len(data)} bytes exceed {MAX_BYTES}")
    try:
        message = _DECODERS[shape].decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"{shape.__name__}: {error}") from error
    if not isinstance(message, shape):  # pragma: no cover - the decoder is of that shape
        raise DecodeError(f"{shape.__name__}: found {type(message).__name__}")
    if not _is_canonical(message, data):
        raise DecodeError(f"{shape.__name__}: an encoding that is not the shortest")
    return message


def _is_canonical(message: Wire, data: Octets) -> bool:
    if not isinstance(message, Sealed):
        return encode(message) == data
    # without a copy of the box, which may be long
    head = _head(message.kind, message.round_id, message.sender, message.receiver, len(message.box))
    return len(data) == len(head) + len(message.box) and data[: len(head)] == head


def _head(kind: Kind, round_id: int, sender: str, receiver: str, size: int) -> bytes:
    head = encode([VERSION, int(kind), round_id, sender, receiver, b""])[:-2]
    if size < 2**8:
        return head + b"\xc4" + size.to_bytes(1, "big")
    if size < 2**16:
        return head + b"\xc5" + size.to_bytes(2, "big")
    return head + b"\xc6" + size.to_bytes(4, "big")


def frame(
    kind: Kind, round_id: int, sender: str, receiver: str, size: int
) -> tuple[bytearray, memoryview]:
    """Lay out a `Sealed` message whose box, of `size` bytes, is encrypted into its place.

    A box may be long, and building the message around it would copy it twice.
    """
    head = _head(kind, round_id, sender, receiver, size)
    payload = bytearray(len(head) + size)
    payload[: len(head)] = head
    return payload, memoryview(payload)[len(head) :]


def digest(body: Announce | Delivered) -> bytes:
    """Return what seals are bound to: the SHA-256 of a body's encoding."""
    return hashlib.sha256(encode(body)).digest()


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
