"""MessagePack, digests, envelopes and seals, written out from docs/protocol.md."""

import hashlib
import hmac
import struct
from collections.abc import Iterable, Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

Channel = tuple[str, str, float, float, float]
"""Name, unit, low, high, step."""
Row = tuple[Sequence[int], int]
"""Steps a channel and a label's number, −1 where there is none."""


def pack(value: object) -> bytes:
    """Write MessagePack, the shortest form of each value; floats are always 64 bits.

    Raises:
        TypeError: for what the wire does not have.
        ValueError: for a number beyond 64 bits, or a negative one.
    """
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return _pack_int(value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, list | tuple):
        return _head(len(value), 0x90, 15, (None, 0xDC, 0xDD)) + b"".join(map(pack, value))
    if isinstance(value, str):
        data = value.encode()
        return _head(len(data), 0xA0, 31, (0xD9, 0xDA, 0xDB)) + data
    if not isinstance(value, bytes):
        raise TypeError(type(value))
    return _head(len(value), 0, -1, (0xC4, 0xC5, 0xC6)) + value


def _pack_int(value: int) -> bytes:
    if value < 0:
        raise ValueError("the wire has no negative numbers")
    if value < 128:
        return bytes([value])
    for tag, form, bits in ((0xCC, ">B", 8), (0xCD, ">H", 16), (0xCE, ">I", 32), (0xCF, ">Q", 64)):
        if value < 1 << bits:
            return bytes([tag]) + struct.pack(form, value)
    raise ValueError(value)


def _head(size: int, fixed: int, most: int, tags: Sequence[int | None]) -> bytes:
    if size <= most:
        return bytes([fixed | size])
    for tag, form, bits in zip(tags, (">B", ">H", ">I"), (8, 16, 32), strict=True):
        if tag is not None and size < 1 << bits:
            return bytes([tag]) + struct.pack(form, size)
    raise ValueError(size)


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """Return 64 bytes by RFC 5869 with SHA-256."""
    extracted = hmac.new(salt, secret, hashlib.sha256).digest()
    first = hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()
    return first + hmac.new(extracted, first + info + b"\x02", hashlib.sha256).digest()


def bitmap(members: Sequence[int]) -> bytes:
    """Return a set of agents' numbers as bytes."""
    data = bytearray(max(members) // 8 + 1 if members else 0)
    for member in members:
        data[member // 8] |= 1 << member % 8
    return bytes(data)


def flags(rows: Iterable[Row]) -> bytes:
    """Return the declared bits of windows, packed lowest bit first."""
    bits = [v >= 0 for values, label in rows for v in (*values, label)]
    data = bytearray(-(-len(bits) // 8))
    for i, bit in enumerate(bits):
        data[i // 8] |= bit << i % 8
    return bytes(data)


def contribution(
    channels: Iterable[Channel], row: tuple[Sequence[float | None], int | None]
) -> tuple[list[int], int]:
    """Return one window in steps, from values or None by channel and a label or None."""
    values, label = row
    out = []
    for (_, _, low, high, step), value in zip(channels, values, strict=True):
        most = round((high - low) / step)
        out.append(-1 if value is None else max(0, min(most, round((value - low) / step))))
    return out, -1 if label is None else label


# -- digests and keys ----------------------------------------------------------------------------


def sha256(data: bytes) -> bytes:
    """Return the digest of a body."""
    return hashlib.sha256(data).digest()


def public_of_identity(private: bytes) -> bytes:
    """Return the public key of an Ed25519 private key."""
    return Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def public_of_session(private: bytes) -> bytes:
    """Return the public key of an X25519 private key."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def commitment(rho: bytes) -> bytes:
    """Return what an announce carries of ρ."""
    return hashlib.sha256(b"protoledger commitment v3\0" + rho).digest()


def mark(hello: bytes) -> bytes:
    """Return the mark of a hello."""
    return hashlib.sha256(b"protoledger hello v3\0" + hello).digest()[:16]


def roster_digest(
    site: str, members: Iterable[tuple[str, str, Sequence[str], bool]]
) -> tuple[bytes, bytes]:
    """Return what the fleet signs, and its digest; the gateway comes first."""
    rows = [[i, key, sorted(channels), votes] for i, key, channels, votes in members]
    signed_bytes = b"protoledger roster v1\0" + pack([1, site, rows])
    return signed_bytes, hashlib.sha256(signed_bytes).digest()


def schema_digest(channels: Iterable[Channel], labels: Sequence[str]) -> bytes:
    """Return the digest of channels and labels."""
    rows = [[n, u, float(low), float(high), float(step)] for n, u, low, high, step in channels]
    return hashlib.sha256(b"protoledger schema v1" + pack([rows, list(labels)])).digest()


def terms_digest(
    schema: bytes,
    validity: str,
    numbers: Sequence[int | None],
    private: Sequence[bool],
    privacy: Sequence[float | None] = (),
) -> bytes:
    """Return the digest of all that a site must agree on; privacy is ε, δ, budget and clip."""
    fields: list[object] = [schema, validity, list(numbers), list(private)]
    if privacy:
        fields.append(list(privacy))
    return hashlib.sha256(b"protoledger terms v3" + pack(fields)).digest()


# -- envelopes -----------------------------------------------------------------------------------


def signed(
    site: str, kind: int, sender: str, body: bytes, private: bytes
) -> tuple[bytes, bytes, bytes]:
    """Return what a signature is over, the signature, and the `Signed` envelope."""
    over = b"protoledger message v3\0" + pack([kind, site, sender, body])
    signature = Ed25519PrivateKey.from_private_bytes(private).sign(over)
    return over, signature, pack([3, kind, sender, body, signature])


def seal_key(
    private: bytes,
    public: bytes,
    roster: bytes,
    ends: tuple[tuple[str, bytes], tuple[str, bytes]],
    epoch: bytes,
) -> tuple[bytes, bytes, bytes]:
    """Return info, shared secret and key of one direction.

    Args:
        private: X25519, of one of the two.
        public: X25519, of the other.
        roster: its digest.
        ends: name and mark of its hello, of the sender and of the receiver.
        epoch: mark of the gateway's hello.
    """
    exchange = X25519PrivateKey.from_private_bytes(private).exchange
    shared = exchange(X25519PublicKey.from_public_bytes(public))
    first, second = sorted(ends)
    info = b"protoledger seal v3\0" + pack([list(first), list(second), epoch])
    both = hkdf(shared, roster, info)
    return info, shared, both[:32] if ends[0] == first else both[32:]


def sealed(
    key: bytes,
    site: str,
    kind: int,
    round_id: int,
    sender: str,
    receiver: str,
    bound: bytes,
    plain: bytes,
) -> tuple[bytes, bytes, bytes]:
    """Return nonce, associated data, and the `Sealed` envelope."""
    nonce = struct.pack(">QB3x", round_id, kind)
    header = pack([3, kind, site, round_id, sender, receiver, bound])
    box = ChaCha20Poly1305(key).encrypt(nonce, plain, header)
    return nonce, header, pack([3, kind, round_id, sender, receiver, box])
