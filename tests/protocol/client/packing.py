"""MessagePack as docs/protocol.md uses it, and the shapes of messages ("Topics", "Envelopes")."""

import struct


class RefusedError(Exception):
    """A message that the page does not allow."""


def pack(value):
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        for most, head in ((2**7, ""), (2**8, "cc"), (2**16, "cd"), (2**32, "ce"), (2**64, "cf")):
            if 0 <= value < most:
                size = {"": 1, "cc": 1, "cd": 2, "ce": 4, "cf": 8}[head]
                return bytes.fromhex(head) + value.to_bytes(size, "big")
        raise RefusedError(f"number {value}")
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode()
        return _sized(len(data), 0xA0, 32, (0xD9, 0xDA, 0xDB)) + data
    if isinstance(value, bytes):
        return _sized(len(value), None, 0, (0xC4, 0xC5, 0xC6)) + value
    return _sized(len(value), 0x90, 16, (None, 0xDC, 0xDD)) + b"".join(pack(v) for v in value)


def _sized(size, fixed, below, tags):
    if size < below:
        return bytes([fixed | size])
    for tag, width in zip(tags, (1, 2, 4), strict=True):
        if tag is not None and size < 256**width:
            return bytes([tag]) + size.to_bytes(width, "big")
    raise RefusedError(f"size {size}")


def unpack(data):
    """Decode; what does not encode to the same bytes again is refused."""
    try:
        value, end = _read(bytes(data), 0, 0)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise RefusedError(f"no MessagePack: {error}") from error
    if end != len(data) or pack(value) != data:
        raise RefusedError("bytes that are not the one encoding of a message")
    return value


def _read(data, at, depth):
    if depth > 8:
        raise RefusedError("nested too deeply")
    tag, at = data[at], at + 1
    simple = {0xC0: None, 0xC2: False, 0xC3: True}
    if tag < 0x80 or tag in simple:
        return simple.get(tag, tag), at
    if 0xCC <= tag <= 0xCF:
        size = 1 << tag - 0xCC
        return int.from_bytes(_cut(data, at, size), "big"), at + size
    if tag == 0xCB:
        return struct.unpack(">d", _cut(data, at, 8))[0], at + 8
    return _read_sized(data, tag, at, depth)


def _read_sized(data, tag, at, depth):
    """Strings, bytes and arrays: a tag that holds their size, or is followed by it."""
    kinds = {0xC4: ("bin", 1), 0xC5: ("bin", 2), 0xC6: ("bin", 4)}
    kinds |= {0xD9: ("str", 1), 0xDA: ("str", 2), 0xDB: ("str", 4)}
    kinds |= {0xDC: ("array", 2), 0xDD: ("array", 4)}
    if tag in kinds:
        kind, width = kinds[tag]
        size, at = int.from_bytes(_cut(data, at, width), "big"), at + width
    elif 0x90 <= tag < 0xC0:
        kind, size = ("array", tag - 0x90) if tag < 0xA0 else ("str", tag - 0xA0)
    else:
        raise RefusedError(f"type {tag:#x}")
    if kind != "array":
        found = _cut(data, at, size)
        return found if kind == "bin" else found.decode(), at + size
    items = []
    for _ in range(size):
        item, at = _read(data, at, depth + 1)
        items.append(item)
    return items, at


def _cut(data, at, size):
    if at + size > len(data):
        raise RefusedError("cut short")
    return data[at : at + size]


def octets(least, most=None):
    most = least if most is None else most
    return lambda v: isinstance(v, bytes) and least <= len(v) <= most


def text(least, most):
    return lambda v: isinstance(v, str) and least <= len(v) <= most


def whole(least, most):
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and least <= v <= most


def optional(check):
    return lambda v: v is None or check(v)


def many(check, least, most):
    return lambda v: isinstance(v, list) and least <= len(v) <= most and all(map(check, v))


def fields(*checks):
    return lambda v: (
        isinstance(v, list)
        and len(v) == len(checks)
        and all(check(one) for check, one in zip(checks, v, strict=True))
    )


ANY, HASH, MARK, MEMBERS = octets(0, 2**24), octets(32), octets(16), octets(0, 128)
ROUND, NUMBER = whole(1, 2**62), whole(0, 999)
KIND, VERSION = whole(1, 7), whole(3, 3)
KEPT = optional(fields(ROUND, whole(1, 2**31)))
SHAPES = {
    "Signed": fields(VERSION, KIND, text(1, 128), ANY, octets(64)),
    "Sealed": fields(VERSION, KIND, ROUND, text(1, 128), text(1, 128), octets(16, 2**24)),
    "SessionKey": fields(HASH, octets(16), octets(32)),
    "Announce": fields(
        ROUND, MARK, HASH, HASH, MEMBERS, octets(0, 16000), many(NUMBER, 1, 64), HASH, KEPT,
        many(fields(NUMBER, ROUND, HASH), 0, 64), many(octets(0, 256), 0, 64),
    ),
    "Boxes": fields(
        ANY, KEPT, optional(fields(ROUND, octets(0, 2**14))), MEMBERS, many(ANY, 0, 64)
    ),
    "Delivered": fields(ROUND, HASH, MEMBERS, ANY),
    "Delivery": fields(octets(64), MEMBERS, ANY, HASH, many(ANY, 0, 1000)),
    "Answer": fields(MEMBERS, ANY, ANY),
    "Result": fields(ROUND, HASH, whole(0, 1000), MEMBERS, text(0, 256)),
}  # fmt: skip


def decode(data, shape):
    value = unpack(data)
    if not SHAPES[shape](value):
        raise RefusedError(f"no {shape}")
    return value


def pack_members(numbers):
    return sum(1 << n for n in numbers).to_bytes(max(numbers, default=-1) // 8 + 1, "little")


def unpack_members(data, agents):
    bits = int.from_bytes(data, "little")
    if bits.bit_length() > agents or data[-1:] == b"\0":
        raise RefusedError("no set of this roster's agents")
    return [n for n in range(agents) if bits >> n & 1]
