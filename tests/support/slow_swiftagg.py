"""Both codes and the wire format once more, slowly, and without a line of `protocol`.

The algebra is galois's (polynomials over GF(2³¹−1), Lagrange interpolation), MessagePack and HKDF
are written out below, Ed25519, X25519 and ChaCha20-Poly1305 are the library's: what `make_vectors`
writes with it is an independent opinion on what the protocol must do.
galois takes seconds to load, so only functions import it.
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


def encode(vector, masks, parts, positions):
    """Shares of a vector by the packed code: ν rows of ⌈L/K⌉ symbols."""
    columns = polynomials(vector, masks, parts)
    at = gf()(points(positions))
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


def bits_of(value, steps):
    """The bits of a value in 0 … steps, and their weights."""
    count = steps.bit_length()
    weights = [2**i for i in range(count - 1)] + [steps - 2 ** (count - 1) + 1]
    top = value > 2 ** (count - 1) - 1
    rest = value - (weights[-1] if top else 0)
    return [rest >> i & 1 for i in range(count - 1)] + [int(top)], weights


def evaluated(rows, positions):
    """Polynomials with ascending coefficients `rows[k][column]`, at every position's point."""
    import galois

    at = gf()(points(positions))
    columns = [galois.Poly([row[c] for row in rows], field=gf(), order="asc")(at)
               for c in range(len(rows[0]))]  # fmt: skip
    return [[int(column[j]) for column in columns] for j in range(positions)]


def challenge(sizes, announce_digest, rho):
    """Four rows of coefficients for bits, conditions and masks."""
    width = sum(sizes)
    over = b"protoledger challenge v3\0" + announce_digest + rho
    data = hashlib.shake_128(over).digest(4 * 4 * width)
    flat = [int.from_bytes(data[i : i + 4], "little") % 2**31 % P for i in range(0, len(data), 4)]
    rows = [flat[r * width : (r + 1) * width] for r in range(4)]
    a, b = sizes[0], sizes[0] + sizes[1]
    return [r[:a] for r in rows], [r[a:b] for r in rows], [r[b:] for r in rows]


def dot(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True)) % P


def report(share, declared, widths, labels, asked):
    """A holder's report on one contributor: R and Z, four symbols each.

    `widths`: bits of each channel; `declared`: a row of flags a window, the vote's last.
    """
    windows, per_window = len(declared), sum(widths) + labels
    bits = windows * per_window
    used = []
    for w, flags in enumerate(declared):
        spread = [f for f, n in zip(flags, [*widths, labels], strict=True) for _ in range(n)]
        row = share[w * per_window : (w + 1) * per_window]
        used += [x if f else 0 for x, f in zip(row, spread, strict=True)]
    coordinates = windows * (len(widths) + labels)
    m, g = share[bits : bits + 4], share[bits + 4 : bits + 4 + coordinates]
    w_masks = share[bits + 4 + coordinates :]
    conditions = [(x * x - x) % P for x in used]
    for w, flags in enumerate(declared):
        votes = used[(w + 1) * per_window - labels : (w + 1) * per_window] if labels else []
        conditions.append((sum(votes) - int(flags[-1])) % P)
    s, q, u = asked
    r = [(dot(s[i], used) + m[i]) % P for i in range(4)]
    z = [(dot(q[i], conditions) + dot(u[i], g) + w_masks[i]) % P for i in range(4)]
    return r + z, used, g


def worth(used, steps, labels, windows):
    """Coordinates from bits: values by their weights, votes as they are."""
    out, at = [], 0
    for _ in range(windows):
        for top in steps:
            _, weights = bits_of(0, top)
            out.append(dot(weights, used[at : at + len(weights)]))
            at += len(weights)
        out += used[at : at + labels]
        at += labels
    return out


def at_zero(values):
    """The value at zero of the polynomial through values by position."""
    import galois

    positions = sorted(values)
    at = points(max(positions) + 1)
    x, y = gf()([at[j] for j in positions]), gf()([values[j] for j in positions])
    return int(galois.lagrange_poly(x, y)(0))


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
    over = b"protoledger message v3\0" + pack([kind, site, sender, body])
    signature = Ed25519PrivateKey.from_private_bytes(private).sign(over)
    return over, signature, pack([3, kind, sender, body, signature])


def mark(hello):
    return hashlib.sha256(b"protoledger hello v3\0" + hello).digest()[:16]


def roster_digest(site, members):
    """`members`: (id, public key in hexadecimal, channels, votes), the gateway first."""
    rows = [[i, key, sorted(channels), votes] for i, key, channels, votes in members]
    signed_bytes = b"protoledger roster v1\0" + pack([1, site, rows])
    return signed_bytes, hashlib.sha256(signed_bytes).digest()


def seal_key(private, public, roster, parties, epoch, direction):
    """`parties`: two (name, mark of its hello); returns (info, shared secret, key)."""
    shared = X25519PrivateKey.from_private_bytes(private).exchange(
        X25519PublicKey.from_public_bytes(public)
    )
    first, second = sorted(parties)
    info = b"protoledger seal v3\0" + pack([list(first), list(second), epoch])
    both = hkdf(shared, roster, info)
    return info, shared, both[:32] if direction[0] == first[0] else both[32:]


def sealed(key, site, kind, round_id, sender, receiver, bound, plain):
    """A `Sealed` message: returns (nonce, associated data, envelope)."""
    nonce = struct.pack(">QB3x", round_id, kind)
    header = pack([3, kind, site, round_id, sender, receiver, bound])
    box = ChaCha20Poly1305(key).encrypt(nonce, plain, header)
    return nonce, header, pack([3, kind, round_id, sender, receiver, box])


def contribution(channels, row):
    """One window, (values or None by channel, label or None): steps, −1 where there is none."""
    values, label = row
    out = []
    for (_, _, low, high, step), value in zip(channels, values, strict=True):
        most = round((high - low) / step)
        out.append(-1 if value is None else max(0, min(most, round((value - low) / step))))
    return out, -1 if label is None else label


def flags(rows):
    """Declared flags of windows, packed lowest bit first."""
    bits = [v >= 0 for values, label in rows for v in (*values, label)]
    data = bytearray(-(-len(bits) // 8))
    for i, bit in enumerate(bits):
        data[i // 8] |= bit << i % 8
    return bytes(data)


def schema_digest(channels, labels):
    rows = [[n, u, float(low), float(high), float(step)] for n, u, low, high, step in channels]
    return hashlib.sha256(b"protoledger schema v1" + pack([rows, list(labels)])).digest()


def terms_digest(schema, validity, numbers, private):
    return hashlib.sha256(
        b"protoledger terms v3" + pack([schema, validity, list(numbers), list(private)])
    ).digest()
