"""Writes `tests/protocol/vectors/`: `python -m tests.support.make_vectors`. Always the same bytes.

Bytes are hexadecimal, symbols are numbers. Nothing here imports `protocol`: see `slow_swiftagg`.
"""

import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.support import slow_swiftagg as slow

FOLDER = Path(__file__).parents[1] / "protocol" / "vectors"
P = slow.P
SITE, GATEWAY, FIRST, SECOND = "attic", "attic.gateway", "attic.agent-00", "attic.agent-01"
KEY, ANNOUNCE, SHARE, RECEIVED, INCLUDE, SUM, RESULT, PARTIAL = range(1, 9)


def drawn(tag, count, below=P):
    """Numbers that look random and never change."""
    return [
        int.from_bytes(hashlib.sha256(f"{tag} {i}".encode()).digest(), "big") % below
        for i in range(count)
    ]


def seed(tag):
    return hashlib.sha256(tag.encode()).digest()


def field_vectors():
    extremes = [0, 1, P // 2, P // 2 + 1, P - 2, P - 1]
    products = []
    for rows, depth, columns, largest in ((2, 3, 6, 5), (4, 9, 7, P // 2), (3, 127, 4, P // 2)):
        tag = f"matmul {rows} {depth}"
        left = [
            [v - largest for v in drawn(f"{tag} l{r}", depth, 2 * largest + 1)] for r in range(rows)
        ]
        right = [
            (drawn(f"{tag} r{d}", columns - 1) + extremes[d % 6 :])[:columns] for d in range(depth)
        ]
        products.append({"left": left, "right": right, "product": slow.matmul(left, right)})
    worst = [[P // 2] * 127], [[P - 1, P // 2, P // 2 + 1]] * 127
    products.append({"left": worst[0], "right": worst[1], "product": slow.matmul(*worst)})
    return {"p": P, "matmul": products}


def code_vectors():
    cases = []
    for parts, collusion, dropouts, length in (
        (2, 1, 1, 1),
        (2, 1, 1, 7),
        (3, 1, 0, 6),
        (3, 2, 2, 10),
        (4, 1, 1, 6),
        (8, 2, 1, 21),
        (20, 5, 3, 45),
    ):
        quorum, positions = parts + collusion, parts + collusion + dropouts
        width = -(-length // parts)
        agents = []
        for n in range(3):
            tag = f"code {parts} {collusion} {dropouts} {length} {n}"
            vector = drawn(tag, length) if n else [[0, P - 1][i % 2] for i in range(length)]
            masks = [drawn(f"{tag} mask {t}", width) for t in range(collusion)]
            shares = slow.encode(vector, masks, parts, collusion, dropouts)
            agents.append({"vector": vector, "masks": masks, "shares": shares})
        sums = [
            [sum(a["shares"][j][c] for a in agents) % P for c in range(width)]
            for j in range(positions)
        ]
        decoded = [sum(a["vector"][i] for a in agents) % P for i in range(length)]
        quorums = sorted(
            {
                tuple(range(quorum)),
                tuple(range(dropouts, positions)),
                tuple(sorted(sorted(range(positions), key=lambda j: j * 7 % positions)[:quorum])),
            }
        )
        for quorum_positions in quorums:
            chosen = {j: sums[j] for j in quorum_positions}
            if slow.decode(chosen, parts, length) != decoded:
                raise AssertionError("the slow decoder contradicts plain sums")
        cases.append(
            {
                "K": parts,
                "T": collusion,
                "D": dropouts,
                "points": slow.points(positions),
                "agents": agents,
                "sums": sums,
                "quorums": quorums,
                "decoded": decoded,
            }
        )
    return {"p": P, "cases": cases}


def schema_vectors():
    channels = [["temperature", "°C", -10, 50, 0.5], ["light", "lx", 0, 1000, 10]]
    labels = ["empty", "one", "many"]
    rows = [
        [[21.0, 100.0], 1],
        [[-10.0, 0.0], None],
        [[-99.0, 1e9], 0],
        [[None, 250.0], 2],
        [[50.0, None], None],
        [[None, None], None],
        [[-9.75, 25.0], 0],
        [[-9.25, 35.0], 0],
    ]
    found = [slow.symbols(channels, len(labels), [row]) for row in rows]
    digest = slow.schema_digest(channels, labels)
    # N, T, D, K (null for one group of all), minimum, B, milliseconds for shares and for sums
    numbers = [[6, 1, 1, None, 3, 1, 1000, 1000], [40, 2, 2, 3, 4, 16, 2000, 500]]
    terms = [
        {
            "numbers": n,
            "private": [True, False],
            "digest": slow.terms_digest(digest, n, [True, False]).hex(),
        }
        for n in numbers
    ]
    return {
        "channels": channels,
        "labels": labels,
        "rows": rows,
        "symbols": found,
        "digest": digest.hex(),
        "terms": terms,
    }


def member_vectors():
    sets = [[], [0], [7], [8], [0, 2], [1, 3, 5, 8, 13], list(range(20)), [999]]
    return {
        "good": [{"members": s, "hex": slow.bitmap(s).hex() if s else ""} for s in sets],
        "bad": [
            {"what": "a superfluous zero byte", "hex": "0500", "agents": 20},
            {"what": "only a zero byte", "hex": "00", "agents": 20},
            {"what": "an agent that the roster does not have", "hex": "10", "agents": 4},
            {"what": "far beyond the roster", "hex": "ff" * 128, "agents": 1000},
        ],
    }


def parties():
    """Fixed keys of three devices: never use them anywhere."""
    found = {}
    for name in (GATEWAY, FIRST, SECOND):
        identity = Ed25519PrivateKey.from_private_bytes(seed(f"identity {name}"))
        session = X25519PrivateKey.from_private_bytes(seed(f"session {name}"))
        found[name] = {
            "identity": seed(f"identity {name}"),
            "identity_public": identity.public_key().public_bytes_raw(),
            "session": seed(f"session {name}"),
            "session_public": session.public_key().public_bytes_raw(),
            "nonce": seed(f"nonce {name}")[:16],
        }
    return found


def message_vectors():
    known = parties()
    members = [
        [name, known[name]["identity_public"].hex(), [] if name == GATEWAY else ["b", "a"], False]
        for name in known
    ]
    roster_bytes, roster = slow.roster_digest(SITE, members)
    steps, announce = course_vectors(known, roster)
    announce_digest = hashlib.sha256(announce).digest()
    include = slow.pack([7, announce_digest, slow.bitmap([0, 1])])
    include_digest = hashlib.sha256(include).digest()
    result = slow.pack([7, announce_digest, 0, "2 of 5 needed positions sent their sum"])
    envelopes = []
    bodies = [(ANNOUNCE, GATEWAY, announce), (INCLUDE, GATEWAY, include), (RESULT, GATEWAY, result)]
    for name, keys in known.items():
        hello = slow.pack([roster, keys["nonce"], keys["session_public"]])
        bodies.append((KEY, name, hello))
    for kind, sender, body in bodies:
        over, signature, data = slow.signed(SITE, kind, sender, body, known[sender]["identity"])
        envelopes.append(
            {
                "kind": kind,
                "sender": sender,
                "body": body.hex(),
                "signed": over.hex(),
                "signature": signature.hex(),
                "hex": data.hex(),
            }
        )
    numbers = drawn("sealed", 5)
    plain = b"".join(symbol.to_bytes(4, "little") for symbol in numbers)
    boxes = [
        sealed_case(known, roster, SHARE, FIRST, SECOND, announce_digest, plain),
        sealed_case(known, roster, PARTIAL, SECOND, FIRST, include_digest, plain),
        sealed_case(known, roster, RECEIVED, FIRST, GATEWAY, announce_digest, slow.bitmap([0, 1])),
        sealed_case(known, roster, SUM, SECOND, GATEWAY, include_digest, plain),
    ]
    return {
        "site": SITE,
        "members": members,
        "roster_signed": roster_bytes.hex(),
        "roster": roster.hex(),
        "parties": {
            name: {what: data.hex() for what, data in keys.items()} for name, keys in known.items()
        },
        "announce": announce.hex(),
        "announce_digest": announce_digest.hex(),
        "include": include.hex(),
        "include_digest": include_digest.hex(),
        "symbols": numbers,
        "signed": envelopes,
        "revealed": steps,
        "sealed": boxes,
    }


def course_vectors(known, roster):
    """Statements of a course of 32 rounds, and the announce of round 7 that begins it."""
    session = known[GATEWAY]["nonce"]
    marks = known[FIRST]["nonce"][:4] + known[SECOND]["nonce"][:4]
    chain = slow.course(session, 7, seed("course"), 95)

    def announce(number):
        present = slow.bitmap([0, 1])
        return slow.pack([number, session, roster, seed("terms"), present, marks, chain[0]])

    cases = []
    for step in (1, 2, 3, 4, 5, 94, 95):
        number, kind = 7 + step // 3, (ANNOUNCE, INCLUDE, RESULT)[step % 3]
        digest = hashlib.sha256(announce(number)).digest()
        body = {
            ANNOUNCE: announce(number),
            INCLUDE: slow.pack([number, digest, slow.bitmap([0, 1])]),
            RESULT: slow.pack([number, digest, 2, ""]),
        }[kind]
        data = slow.pack([2, kind, number, chain[step]])
        cases.append({"step": step, "kind": kind, "body": body.hex(), "hex": data.hex()})
    return cases, announce(7)


def sealed_case(known, roster, kind, sender, receiver, bound, plain):
    epoch = known[GATEWAY]["nonce"]
    info, shared, key = slow.seal_key(
        known[sender]["session"],
        known[receiver]["session_public"],
        roster,
        [(name, known[name]["nonce"]) for name in (sender, receiver)],
        epoch,
        (sender, receiver),
    )
    nonce, header, data = slow.sealed(key, SITE, kind, 7, sender, receiver, bound, plain)
    return {
        "kind": kind,
        "round": 7,
        "sender": sender,
        "receiver": receiver,
        "bound": bound.hex(),
        "shared_secret": shared.hex(),
        "info": info.hex(),
        "key": key.hex(),
        "nonce": nonce.hex(),
        "associated_data": header.hex(),
        "plain": plain.hex(),
        "hex": data.hex(),
    }


def bad_vectors():
    """Bytes that must be refused: by the decoder, the envelope's check, or the seal's."""
    good = message_vectors()
    announce, include = bytes.fromhex(good["announce"]), bytes.fromhex(good["include"])
    envelope = bytes.fromhex(good["signed"][0]["hex"])
    box = bytes.fromhex(good["sealed"][0]["hex"])
    known, hash32, nonce = parties(), seed("hash"), seed("nonce")[:16]
    sign = [2, ANNOUNCE, GATEWAY, announce, bytes(64)]
    seal = [2, SHARE, 7, FIRST, SECOND, bytes(32)]
    step = [2, INCLUDE, 7, hash32]
    open_ = [7, nonce, hash32, hash32, b"\x03", bytes(8), hash32]
    shapes = {
        "Signed": [
            ("unknown version", slow.pack([3, *sign[1:]])),
            ("former version", slow.pack([1, *sign[1:]])),
            ("version zero", slow.pack([0, *sign[1:]])),
            ("unknown kind", slow.pack([2, 9, *sign[2:]])),
            ("kind zero", slow.pack([2, 0, *sign[2:]])),
            ("kind as a string", slow.pack([2, "ANNOUNCE", *sign[2:]])),
            ("extra field", slow.pack([*sign, 0])),
            ("missing field", slow.pack(sign[:-1])),
            ("short signature", slow.pack([*sign[:-1], bytes(63)])),
            ("long signature", slow.pack([*sign[:-1], bytes(65)])),
            ("empty sender", slow.pack([2, ANNOUNCE, "", announce, bytes(64)])),
            ("sender of 129 characters", slow.pack([2, ANNOUNCE, "x" * 129, announce, bytes(64)])),
            ("body as a string", slow.pack([2, ANNOUNCE, GATEWAY, "body", bytes(64)])),
            ("sender that is not UTF-8", envelope.replace(b"attic.gateway", b"attic\xffgateway")),
            ("trailing byte", envelope + b"\x00"),
            ("the message twice", envelope * 2),
            ("cut", envelope[:-1]),
            ("empty", b""),
            ("a map", b"\x85" + envelope[1:]),
            ("nested to the limit", b"\x91" * 3000),
        ],
        "Revealed": [
            ("former version", slow.pack([1, *step[1:]])),
            ("unknown kind", slow.pack([2, 9, *step[2:]])),
            ("round zero", slow.pack([2, INCLUDE, 0, hash32])),
            ("short preimage", slow.pack([2, INCLUDE, 7, hash32[:-1]])),
            ("long preimage", slow.pack([2, INCLUDE, 7, hash32 + b"\0"])),
            ("extra field", slow.pack([*step, b""])),
            ("missing field", slow.pack(step[:-1])),
            ("trailing byte", slow.pack(step) + b"\0"),
            ("a signed one", envelope),
        ],
        "Sealed": [
            ("former version", slow.pack([1, *seal[1:]])),
            ("unknown kind", slow.pack([2, 77, *seal[2:]])),
            ("round zero", slow.pack([2, SHARE, 0, *seal[3:]])),
            ("round beyond 2^62", slow.pack([2, SHARE, 2**62 + 1, *seal[3:]])),
            ("round as a float", slow.pack([2, SHARE, 7.0, *seal[3:]])),
            ("box shorter than a tag", slow.pack([*seal[:-1], bytes(15)])),
            ("extra field", slow.pack([*seal, b""])),
            ("missing field", slow.pack(seal[:-1])),
            ("trailing byte", box + b"\xc0"),
            ("cut", box[:-1]),
        ],
        "Announce": [
            ("short session", slow.pack([7, nonce[:-1], *open_[2:]])),
            ("short roster", slow.pack([*open_[:2], hash32[:-1], *open_[3:]])),
            ("long terms", slow.pack([*open_[:3], hash32 + b"\0", *open_[4:]])),
            ("members of 129 bytes", slow.pack([*open_[:4], b"\xff" * 129, *open_[5:]])),
            ("marks of 4,097 bytes", slow.pack([*open_[:5], bytes(4097), hash32])),
            ("short course", slow.pack([*open_[:-1], hash32[:-1]])),
            ("no course", slow.pack(open_[:-1])),
            ("no marks", slow.pack([*open_[:5], hash32])),
            ("extra field", slow.pack([*open_, 1])),
            ("trailing byte", announce + b"\x00"),
            ("an include", include),
        ],
        "Include": [
            ("round zero", slow.pack([0, hash32, b"\x03"])),
            ("members as a number", slow.pack([7, hash32, 3])),
            ("trailing byte", include + b"\x00"),
            ("an announce", announce),
        ],
        "Result": [
            ("more than 1024 included", slow.pack([7, hash32, 1025, ""])),
            ("reason of 257 characters", slow.pack([7, hash32, 0, "x" * 257])),
            ("extra field", slow.pack([7, hash32, 0, "", ""])),
        ],
        "SessionKey": [
            ("short key", slow.pack([hash32, nonce, hash32[:-1]])),
            ("long nonce", slow.pack([hash32, nonce + b"\0", hash32])),
        ],
    }
    four = [p.to_bytes(4, "little") for p in (P - 1, P, P + 1, 2**32 - 1)]
    return {
        "decode": [
            {"shape": shape, "what": what, "hex": data.hex()}
            for shape, cases in shapes.items()
            for what, data in cases
        ],
        "symbols": [
            {"what": "the symbol p", "count": 1, "hex": four[1].hex()},
            {"what": "p + 1 behind p - 1", "count": 2, "hex": (four[0] + four[2]).hex()},
            {"what": "all ones", "count": 1, "hex": four[3].hex()},
            {"what": "a symbol less", "count": 2, "hex": four[0].hex()},
            {"what": "a symbol more", "count": 1, "hex": (four[0] * 2).hex()},
            {"what": "three bytes", "count": 1, "hex": "010203"},
            {"what": "nothing", "count": 1, "hex": ""},
        ],
        "envelope": bad_envelopes(good, known),
        "revealed": bad_steps(known),
        "seal": bad_seals(good),
    }


def bad_envelopes(good, known):
    announce = bytes.fromhex(good["announce"])
    sign = known[GATEWAY]["identity"]
    valid = bytes.fromhex(good["signed"][0]["hex"])
    flipped = valid[:-1] + bytes([valid[-1] ^ 1])
    cases = [
        ("another kind than the topic's", INCLUDE, GATEWAY, valid),
        ("another sender than the topic's", ANNOUNCE, FIRST, valid),
        ("a changed signature", ANNOUNCE, GATEWAY, flipped),
        (
            "of another site",
            ANNOUNCE,
            GATEWAY,
            slow.signed("cellar", 2, GATEWAY, announce, sign)[2],
        ),
        (
            "signed as another kind",
            ANNOUNCE,
            GATEWAY,
            slow.pack([2, 2, GATEWAY, announce, slow.signed(SITE, 5, GATEWAY, announce, sign)[1]]),
        ),
        (
            "signed by another",
            ANNOUNCE,
            GATEWAY,
            slow.signed(SITE, ANNOUNCE, GATEWAY, announce, known[FIRST]["identity"])[2],
        ),
        (
            "by somebody who is not in the roster",
            KEY,
            "attic.agent-99",
            slow.signed(SITE, KEY, "attic.agent-99", announce, seed("stranger"))[2],
        ),
    ]
    return [{"what": w, "kind": k, "sender": s, "hex": d.hex()} for w, k, s, d in cases]


def bad_steps(known):
    """For one who knows the announce of round 7 and nothing after it."""
    session = known[GATEWAY]["nonce"]
    chain = slow.course(session, 7, seed("course"), 95)
    other = slow.course(session, 8, seed("course"), 95)
    cases = [
        ("of another course", INCLUDE, 7, other[1]),
        ("another kind's preimage", INCLUDE, 7, chain[2]),
        ("another round's preimage", INCLUDE, 8, chain[1]),
        ("the public end", INCLUDE, 7, chain[0]),
        ("zero", INCLUDE, 7, bytes(32)),
        ("the announce that was signed", ANNOUNCE, 7, chain[0]),
        ("a round before", RESULT, 6, chain[1]),
        ("beyond the course", ANNOUNCE, 39, seed("course")),
    ]
    return [
        {"what": what, "hex": slow.pack([2, kind, number, preimage]).hex()}
        for what, kind, number, preimage in cases
    ]


def bad_seals(good):
    """Each differs from the first good sealed message in one thing."""
    case = good["sealed"][0]
    key, bound = bytes.fromhex(case["key"]), bytes.fromhex(case["bound"])
    plain = bytes.fromhex(case["plain"])

    def seal(*, site=SITE, kind=SHARE, round_id=7, sender=FIRST, to=SECOND, tied=bound):
        _, _, data = slow.sealed(key, site, kind, round_id, sender, to, tied, plain)
        return data

    honest = seal()
    box = honest[-(len(plain) + 16) :]
    other_round = slow.pack([2, SHARE, 8, FIRST, SECOND, box])
    other_kind = slow.pack([2, PARTIAL, 7, FIRST, SECOND, box])
    flipped = honest[:-1] + bytes([honest[-1] ^ 0x80])
    found = [
        ("a changed tag", flipped),
        ("of another site", seal(site="cellar")),
        ("bound to another announce", seal(tied=bytes(32))),
        ("for another receiver", seal(to=GATEWAY)),
        ("a box moved to another round", other_round),
        ("a box moved to another kind", other_kind),
        ("from one who has no session here", seal(sender="attic.agent-99")),
    ]
    return [{"what": what, "hex": data.hex()} for what, data in found]


FILES = {
    "field.json": field_vectors,
    "code.json": code_vectors,
    "schema.json": schema_vectors,
    "members.json": member_vectors,
    "messages.json": message_vectors,
    "bad.json": bad_vectors,
}


def text_of(content):
    return (
        json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace('},{"', '},\n{"')
        + "\n"
    )


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, make in FILES.items():
        (FOLDER / name).write_text(text_of(make()), encoding="utf-8")


if __name__ == "__main__":
    main()
