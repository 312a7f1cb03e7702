"""Vectors of what must be refused: by the decoder, the envelope's check, or the seal's."""

from protoledger.experiments.vectors.draws import Content, seed
from protoledger.experiments.vectors.messages import (
    ANNOUNCE,
    ANSWER,
    BOXES,
    FIRST,
    GATEWAY,
    KEY,
    RESULT,
    SECOND,
    SITE,
    message_vectors,
    parties,
)
from protoledger.experiments.vectors.slow import wire
from protoledger.experiments.vectors.slow.algebra import P

Cases = list[tuple[str, bytes]]

HASH, MARK = seed("hash"), seed("mark")[:16]


def bad_vectors() -> Content:
    """Return bytes that every implementation refuses, and why."""
    good = message_vectors()
    announce, delivered = bytes.fromhex(good["announce"]), bytes.fromhex(good["delivered"])
    shapes = {
        "Signed": _signed(announce, bytes.fromhex(good["signed"][0]["hex"])),
        "Sealed": _sealed(bytes.fromhex(good["sealed"][0]["hex"])),
        "Announce": _announces(announce, delivered),
        "Boxes": _boxes(),
        "Delivered": [
            ("round zero", wire.pack([0, HASH, b"\x03", b""])),
            ("members as a number", wire.pack([7, HASH, 3, b""])),
            ("trailing byte", delivered + b"\x00"),
            ("an announce", announce),
        ],
        "Delivery": _deliveries(),
        "Answer": _answers(),
        "Result": [
            ("more than 1000 included", wire.pack([7, HASH, 1001, b"", ""])),
            ("reason of 257 characters", wire.pack([7, HASH, 0, b"", "x" * 257])),
            ("extra field", wire.pack([7, HASH, 0, b"", "", ""])),
        ],
        "SessionKey": [
            ("short key", wire.pack([HASH, MARK, HASH[:-1]])),
            ("long nonce", wire.pack([HASH, MARK + b"\0", HASH])),
        ],
    }
    return {
        "decode": [
            {"shape": shape, "what": what, "hex": data.hex()}
            for shape, cases in shapes.items()
            for what, data in cases
        ],
        "symbols": _symbols(),
        "envelope": _envelopes(good),
        "seal": _seals(good),
    }


def _signed(announce: bytes, envelope: bytes) -> Cases:
    sign = [3, ANNOUNCE, GATEWAY, announce, bytes(64)]
    return [
        ("unknown version", wire.pack([4, *sign[1:]])),
        ("former version", wire.pack([2, *sign[1:]])),
        ("version zero", wire.pack([0, *sign[1:]])),
        ("unknown kind", wire.pack([3, 9, *sign[2:]])),
        ("kind zero", wire.pack([3, 0, *sign[2:]])),
        ("kind as a string", wire.pack([3, "ANNOUNCE", *sign[2:]])),
        ("extra field", wire.pack([*sign, 0])),
        ("missing field", wire.pack(sign[:-1])),
        ("short signature", wire.pack([*sign[:-1], bytes(63)])),
        ("long signature", wire.pack([*sign[:-1], bytes(65)])),
        ("empty sender", wire.pack([3, ANNOUNCE, "", announce, bytes(64)])),
        ("sender of 129 characters", wire.pack([3, ANNOUNCE, "x" * 129, announce, bytes(64)])),
        ("body as a string", wire.pack([3, ANNOUNCE, GATEWAY, "body", bytes(64)])),
        ("sender that is not UTF-8", envelope.replace(b"attic.gateway", b"attic\xffgateway")),
        ("a number that is not the shortest", envelope[:1] + b"\xcc\x03" + envelope[2:]),
        ("trailing byte", envelope + b"\x00"),
        ("the message twice", envelope * 2),
        ("cut", envelope[:-1]),
        ("empty", b""),
        ("a map", b"\x85" + envelope[1:]),
        ("nested to the limit", b"\x91" * 3000),
    ]


def _sealed(box: bytes) -> Cases:
    seal = [3, ANSWER, 7, FIRST, GATEWAY, bytes(32)]
    return [
        ("former version", wire.pack([2, *seal[1:]])),
        ("unknown kind", wire.pack([3, 77, *seal[2:]])),
        ("round zero", wire.pack([3, ANSWER, 0, *seal[3:]])),
        ("round beyond 2^62", wire.pack([3, ANSWER, 2**62 + 1, *seal[3:]])),
        ("round as a float", wire.pack([3, ANSWER, 7.0, *seal[3:]])),
        ("box shorter than a tag", wire.pack([*seal[:-1], bytes(15)])),
        ("a box in a longer form", wire.pack(seal).replace(b"\xc4 ", b"\xc5\x00 ")),
        ("extra field", wire.pack([*seal, b""])),
        ("missing field", wire.pack(seal[:-1])),
        ("trailing byte", box + b"\xc0"),
        ("cut", box[:-1]),
    ]


def _announces(announce: bytes, delivered: bytes) -> Cases:
    open_ = [7, MARK, HASH, HASH, b"\x03", bytes(32), [0, 1], HASH, None, [], []]
    return [
        ("short session", wire.pack([7, MARK[:-1], *open_[2:]])),
        ("short roster", wire.pack([*open_[:2], HASH[:-1], *open_[3:]])),
        ("long terms", wire.pack([*open_[:3], HASH + b"\0", *open_[4:]])),
        ("members of 129 bytes", wire.pack([*open_[:4], b"\xff" * 129, *open_[5:]])),
        ("no holders", wire.pack([*open_[:6], [], *open_[7:]])),
        ("65 holders", wire.pack([*open_[:6], list(range(65)), *open_[7:]])),
        ("holder 1000", wire.pack([*open_[:6], [1000], *open_[7:]])),
        ("short commitment", wire.pack([*open_[:7], HASH[:-1], *open_[8:]])),
        ("windows of no outage", wire.pack([*open_[:8], [5], [], []])),
        ("group zero", wire.pack([*open_[:8], [5, 0], [], []])),
        ("a short rho", wire.pack([*open_[:9], [[1, 7, HASH[:-1]]], []])),
        ("a hello of 257 bytes", wire.pack([*open_[:10], [bytes(257)]])),
        ("65 hellos", wire.pack([*open_[:10], [b""] * 65])),
        ("no hellos", wire.pack(open_[:-1])),
        ("extra field", wire.pack([*open_, 1])),
        ("trailing byte", announce + b"\x00"),
        ("a delivered set", delivered),
    ]


def _boxes() -> Cases:
    boxes: list[object] = [b"", None, None, b"", []]
    return [
        ("a box as a number", wire.pack([*boxes[:4], [7]])),
        ("65 boxes", wire.pack([*boxes[:4], [b""] * 65])),
        ("lacking in 129 bytes", wire.pack([*boxes[:3], bytes(129), []])),
        ("an explanation of nothing", wire.pack([b"", None, [], b"", []])),
        ("missing field", wire.pack(boxes[:-1])),
        ("trailing byte", wire.pack(boxes) + b"\0"),
    ]


def _deliveries() -> Cases:
    delivery: list[object] = [bytes(64), b"", b"", HASH, []]
    return [
        ("short signature", wire.pack([bytes(63), *delivery[1:]])),
        ("short rho", wire.pack([*delivery[:3], HASH[:-1], []])),
        ("no boxes", wire.pack(delivery[:-1])),
    ]


def _answers() -> Cases:
    return [
        ("sums as a list", wire.pack([b"", b"", []])),
        ("extra field", wire.pack([b"", b"", b"", b""])),
        ("trailing byte", wire.pack([b"", b"", b""]) + b"\0"),
    ]


def _symbols() -> list[Content]:
    four = [p.to_bytes(4, "little") for p in (P - 1, P, P + 1, 2**32 - 1)]
    return [
        {"what": "the symbol p", "count": 1, "hex": four[1].hex()},
        {"what": "p + 1 behind p - 1", "count": 2, "hex": (four[0] + four[2]).hex()},
        {"what": "all ones", "count": 1, "hex": four[3].hex()},
        {"what": "a symbol less", "count": 2, "hex": four[0].hex()},
        {"what": "a symbol more", "count": 1, "hex": (four[0] * 2).hex()},
        {"what": "three bytes", "count": 1, "hex": "010203"},
        {"what": "nothing", "count": 1, "hex": ""},
    ]


def _envelopes(good: Content) -> list[Content]:
    known = parties()
    announce = bytes.fromhex(good["announce"])
    sign = known[GATEWAY].identity
    valid = bytes.fromhex(good["signed"][0]["hex"])
    flipped = valid[:-1] + bytes([valid[-1] ^ 1])

    def signed(site: str, kind: int, sender: str, private: bytes) -> bytes:
        return wire.signed(site, kind, sender, announce, private)[2]

    as_result = wire.signed(SITE, RESULT, GATEWAY, announce, sign)[1]
    moved = wire.pack([3, ANNOUNCE, GATEWAY, announce, as_result])
    by_other = signed(SITE, ANNOUNCE, GATEWAY, known[FIRST].identity)
    nobody = "attic.agent-99"
    cases = [
        ("another kind than the topic's", RESULT, GATEWAY, valid),
        ("another sender than the topic's", ANNOUNCE, FIRST, valid),
        ("a changed signature", ANNOUNCE, GATEWAY, flipped),
        ("of another site", ANNOUNCE, GATEWAY, signed("cellar", ANNOUNCE, GATEWAY, sign)),
        ("signed as another kind", ANNOUNCE, GATEWAY, moved),
        ("signed by another", ANNOUNCE, GATEWAY, by_other),
        ("by somebody who is not in the roster", KEY, nobody,
         signed(SITE, KEY, nobody, seed("stranger"))),
    ]  # fmt: skip
    return [{"what": w, "kind": k, "sender": s, "hex": d.hex()} for w, k, s, d in cases]


def _seals(good: Content) -> list[Content]:
    """Each differs from the good answer in one thing."""
    case = good["sealed"][3]
    key, bound = bytes.fromhex(case["key"]), bytes.fromhex(case["bound"])
    plain = bytes.fromhex(case["plain"])

    def seal(*, site: str = SITE, to: str = GATEWAY, tied: bytes = bound) -> bytes:
        return wire.sealed(key, site, ANSWER, 7, FIRST, to, tied, plain)[2]

    honest = seal()
    box = honest[-(len(plain) + 16) :]
    found = [
        ("a changed tag", honest[:-1] + bytes([honest[-1] ^ 0x80])),
        ("of another site", seal(site="cellar")),
        ("bound to another set", seal(tied=bytes(32))),
        ("for another receiver", seal(to=SECOND)),
        ("a box moved to another round", wire.pack([3, ANSWER, 8, FIRST, GATEWAY, box])),
        ("a box moved to another kind", wire.pack([3, BOXES, 7, FIRST, GATEWAY, box])),
    ]
    return [{"what": what, "hex": data.hex()} for what, data in found]
