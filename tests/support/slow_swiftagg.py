"""SwiftAgg+ and its wire format once more, slowly, and without a line of `protocol`.

The algebra is galois's (polynomials over GF(2³¹−1), Lagrange interpolation), MessagePack and HKDF
are written out below, Ed25519, X25519 and ChaCha20-Poly1305 are the library's: what
`tests/support/make_vectors.py` writes with it is an independent opinion on what the protocol must
do. galois takes seconds to load, so only functions import it.
"""

import functools
import hashlib
import hmac
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

P = 2**31 - 1


@functools.cache
def gf():
    import galois

    return galois.GF(P)


def points(count):
    """1, −1, 2, −2, … as field elements."""
    return [(j // 2 + 1) % P if j % 2 == 0 else P - (j // 2 + 1) for j in range(count)]


def polynomials(vector, masks, parts):
    """The paper's F_n, one polynomial a column; `masks` are T rows of ⌈L/K⌉ symbols."""
    import galois

    width = -(-len(vector) // parts)
    padded = list(vector) + [0] * (parts * width - len(vector))
    rows = [padded[k * width : (k + 1) * width] for k in range(parts)] + [list(m) for m in masks]
    return [galois.Poly([row[c] for row in rows], field=gf(), order="asc") for c in range(width)]


def encode(vector, masks, parts, collusion, dropouts):
    """Shares of a vector: ν rows of ⌈L/K⌉ symbols."""
    columns = polynomials(vector, masks, parts)
    at = gf()(points(parts + collusion + dropouts))
    values = [column(at) for column in columns]
    return [[int(value[j]) for value in values] for j in range(len(at))]


def decode(sums, parts, length):
    """The first K coefficients through every given position's values, cut to `length`."""
    import galois

    positions = sorted(sums)
    at = points(max(positions) + 1)
    x = gf()([at[j] for j in positions])
    width = len(sums[positions[0]])
    parted = [[0] * width for _ in range(parts)]
    for c in range(width):
        y = gf()([sums[j][c] for j in positions])
        ascending = [int(v) for v in galois.lagrange_poly(x, y).coeffs[::-1]]
        for k in range(parts):
            parted[k][c] = ascending[k] if k < len(ascending) else 0
    return [symbol for row in parted for symbol in row][:length]


def matmul(left, right):
    """Matrix product of lists modulo p; entries of `left` may be negative."""
    field = gf()
    product = field([[v % P for v in row] for row in left]) @ field(right)
    return [[int(v) for v in row] for row in product]


def pack(value):
    """MessagePack, the shortest form of each value; floats are always 64 bits."""
    match value:
        case None | bool():
            return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
        case int():
            return _pack_int(value)
        case float():
            return b"\xcb" + struct.pack(">d", value)
        case str():
            data = value.encode()
            return _head(len(data), 0xA0, 31, (0xD9, 0xDA, 0xDB)) + data
        case bytes():
            return _head(len(value), 0, -1, (0xC4, 0xC5, 0xC6)) + value
        case list() | tuple():
            head = _head(len(value), 0x90, 15, (None, 0xDC, 0xDD))
            return head + b"".join(pack(item) for item in value)
    raise TypeError(type(value))


def _pack_int(value):
    if value < 0:
        raise ValueError("the wire has no negative numbers")
    if value < 128:
        return bytes([value])
    for tag, form, bits in ((0xCC, ">B", 8), (0xCD, ">H", 16), (0xCE, ">I", 32), (0xCF, ">Q", 64)):
        if value < 1 << bits:
            return bytes([tag]) + struct.pack(form, value)
    raise ValueError(value)


def _head(size, fixed, most, tags):
    if size <= most:
        return bytes([fixed | size])
    for tag, form, bits in zip(tags, (">B", ">H", ">I"), (8, 16, 32), strict=True):
        if tag is not None and size < 1 << bits:
            return bytes([tag]) + struct.pack(form, size)
    raise ValueError(size)


def hkdf(secret, salt, info):
    """RFC 5869 with SHA-256, 64 bytes."""
    extracted = hmac.new(salt, secret, hashlib.sha256).digest()
    first = hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()
    return first + hmac.new(extracted, first + info + b"\x02", hashlib.sha256).digest()


def bitmap(members):
    data = bytearray(max(members, default=-1) // 8 + 1)
    for member in members:
        data[member // 8] |= 1 << member % 8
    return bytes(data)


def signed(site, kind, sender, body, private):
    """A `Signed` envelope: returns (signed bytes, signature, envelope)."""
    over = b"protoledger message v1\0" + pack([kind, site, sender, body])
    signature = Ed25519PrivateKey.from_private_bytes(private).sign(over)
    return over, signature, pack([2, kind, sender, body, signature])


def course(session, round_id, last, steps):
    """Preimages of a course from its last one, by step; that of step 0 is its end."""
    found = [last]
    for step in range(steps, 0, -1):
        over = b"protoledger course v1\0" + session + struct.pack(">QI", round_id, step) + found[0]
        found.insert(0, hashlib.sha256(over).digest())
    return found


def roster_digest(site, members):
    """`members`: (id, public key in hexadecimal, channels, votes), the gateway first."""
    rows = [[i, key, sorted(channels), votes] for i, key, channels, votes in members]
    signed_bytes = b"protoledger roster v1\0" + pack([1, site, rows])
    return signed_bytes, hashlib.sha256(signed_bytes).digest()


def seal_key(private, public, roster, parties, epoch, direction):
    """`parties`: two (name, session nonce); returns (info, shared secret, key)."""
    shared = X25519PrivateKey.from_private_bytes(private).exchange(
        X25519PublicKey.from_public_bytes(public)
    )
    first, second = sorted(parties)
    info = b"protoledger seal v2\0" + pack([list(first), list(second), epoch])
    both = hkdf(shared, roster, info)
    return info, shared, both[:32] if direction[0] == first[0] else both[32:]


def sealed(key, site, kind, round_id, sender, receiver, bound, plain):
    """A `Sealed` message: returns (nonce, associated data, envelope)."""
    nonce = struct.pack(">QB3x", round_id, kind)
    header = pack([2, kind, site, round_id, sender, receiver, bound])
    box = ChaCha20Poly1305(key).encrypt(nonce, plain, header)
    return nonce, header, pack([2, kind, round_id, sender, receiver, box])


def symbols(channels, label_count, rows):
    """Rows of (values or None by channel, label or None) as one vector of symbols."""
    out = []
    for values, label in rows:
        for (_, _, low, high, step), value in zip(channels, values, strict=True):
            if value is None:
                out += [0, 0]
                continue
            most = round((high - low) / step)
            out += [max(0, min(most, round((value - low) / step))), 1]
        out += [int(label == one) for one in range(label_count)]
    return out


def schema_digest(channels, labels):
    rows = [[n, u, float(low), float(high), float(step)] for n, u, low, high, step in channels]
    return hashlib.sha256(b"protoledger schema v1" + pack([rows, list(labels)])).digest()


def terms_digest(schema, numbers, private):
    return hashlib.sha256(
        b"protoledger terms v1" + pack([schema, list(numbers), list(private)])
    ).digest()
