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
KEY, ANNOUNCE, BOXES, DELIVER, ANSWER, RESULT, BOX = range(1, 8)


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


def packed_vectors():
    cases = []
    for parts, masks, positions, length in (
        (1, 2, 3, 6), (1, 3, 5, 7), (2, 3, 6, 10), (4, 5, 10, 21), (20, 5, 28, 45),
    ):  # fmt: skip
        width = -(-length // parts)
        agents = []
        for n in range(3):
            tag = f"packed {parts} {masks} {positions} {length} {n}"
            vector = drawn(tag, length, 900)
            drawn_masks = [drawn(f"{tag} mask {m}", width) for m in range(masks)]
            shares = slow.encode(vector, drawn_masks, parts, positions)
            agents.append({"vector": vector, "masks": drawn_masks, "shares": shares})
        sums = [
            [sum(a["shares"][j][c] for a in agents) % P for c in range(width)]
            for j in range(positions)
        ]
        decoded = [sum(a["vector"][i] for a in agents) % P for i in range(length)]
        quorum = parts + masks
        quorums = [list(range(quorum)), list(range(positions - quorum, positions))]
        for chosen in quorums:
            if slow.decode({j: sums[j] for j in chosen}, parts, length) != decoded:
                raise AssertionError("the slow decoder contradicts plain sums")
        cases.append(
            {"K": parts, "M": masks, "positions": positions, "points": slow.points(positions),
             "agents": agents, "sums": sums, "quorums": quorums, "decoded": decoded}
        )  # fmt: skip
    return cases


def proven_vectors():
    cases = []
    for positions, collusion, steps, labels, windows in (
        (4, 1, [6], 2, 1),
        (6, 1, [1022, 1], 2, 2),
        (7, 2, [100], 0, 1),
        (10, 2, [1023, 4000], 3, 1),
    ):
        cases.append(proven_case(positions, collusion, steps, labels, windows))
    return cases


def proven_case(  # noqa: C901 - a recipe, read from top to bottom
    positions, collusion, steps, labels, windows
):
    quorum = max(-(-(positions + collusion + 1) // 2), 2 * collusion + 1)
    widths = [top.bit_length() for top in steps]
    bits, coordinates = windows * (sum(widths) + labels), windows * (len(steps) + labels)
    digest, rho = seed(f"digest {positions}"), seed(f"rho {positions}")
    asked = slow.challenge((bits, bits + windows, coordinates), digest, rho)
    agents = []
    for n in range(3):
        tag = f"proven {positions} {collusion} {n}"
        rows = []
        for w in range(windows):
            values = [
                v % (top + 1)
                for v, top in zip(drawn(f"{tag} v{w}", len(steps)), steps, strict=True)
            ]
            vote = drawn(f"{tag} l{w}", 1, labels)[0] if labels else -1
            rows.append((values, vote))
        if n == 1:
            rows[0] = ([-1, *rows[0][0][1:]], -1)
        vector = []
        for values, vote in rows:
            for value, top in zip(values, steps, strict=True):
                vector += slow.bits_of(max(0, value), top)[0]
            vector += [int(vote == one) for one in range(labels)]
        low = [vector + drawn(f"{tag} low 0", 4)]
        low += [drawn(f"{tag} low {k}", bits + 4) for k in range(1, collusion + 1)]
        high = [drawn(f"{tag} high {k}", coordinates + 4) for k in range(1, quorum)]
        zero = [[0] * (coordinates + 4)]
        shares = [
            a + b
            for a, b in zip(
                slow.evaluated(low, positions), slow.evaluated(zero + high, positions), strict=True
            )
        ]
        declared = [[v >= 0 for v in (*values, vote)] for values, vote in rows]
        found = [slow.report(share, declared, widths, labels, asked) for share in shares]
        agents.append(
            {"values": [values for values, _ in rows], "votes": [vote for _, vote in rows],
             "declared": slow.flags(rows).hex(), "low": low, "high": high, "shares": shares,
             "reports": [r for r, _, _ in found], "used": [u for _, u, _ in found],
             "g": [g for _, _, g in found]}
        )  # fmt: skip
    minimum = 3
    counts = [0] * coordinates
    for agent in agents:
        for w in range(windows):
            sizes = [1] * len(steps) + [labels]
            flags = [v >= 0 for v in (*agent["values"][w], agent["votes"][w])]
            spread = [f for f, size in zip(flags, sizes, strict=True) for _ in range(size)]
            for i, flag in enumerate(spread):
                counts[w * (len(steps) + labels) + i] += flag
    opened = [i for i, count in enumerate(counts) if count >= minimum]
    answers = []
    for j in range(positions):
        used = [sum(a["used"][j][b] for a in agents) % P for b in range(bits)]
        values = slow.worth(used, steps, labels, windows)
        g = [sum(a["g"][j][i] for a in agents) % P for i in range(coordinates)]
        answers.append([(values[i] + g[i]) % P for i in opened])
    sums = [slow.at_zero({j: answers[j][i] for j in range(quorum)}) for i in range(len(opened))]
    for agent in agents:
        del agent["used"], agent["g"]
    return {
        "positions": positions, "T": collusion, "q": quorum, "steps": steps, "labels": labels,
        "windows": windows, "announce_digest": digest.hex(), "rho": rho.hex(),
        "commitment": hashlib.sha256(b"protoledger commitment v3\0" + rho).hexdigest(),
        "minimum": minimum, "agents": agents, "opened": opened, "answers": answers, "sums": sums,
    }  # fmt: skip


def code_vectors():
    return {"p": P, "packed": packed_vectors(), "proven": proven_vectors()}


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
    found = [slow.contribution(channels, row) for row in rows]
    digest = slow.schema_digest(channels, labels)
    # N, T, D, positions, K (null: as many as fit), minimum, B, milliseconds of a window, for boxes,
    # for answers
    numbers = [
        ["proven", [6, 1, 1, 6, None, 3, 1, 10000, 1000, 1000]],
        ["packed", [40, 2, 1, 40, 3, 4, 16, 1000, 2000, 500]],
    ]
    terms = [
        {"validity": v, "numbers": n, "private": [True, False],
         "digest": slow.terms_digest(digest, v, n, [True, False]).hex()}
        for v, n in numbers
    ]  # fmt: skip
    return {
        "channels": channels,
        "labels": labels,
        "rows": rows,
        "contributions": [[values, label, slow.flags([(values, label)]).hex()]
                          for values, label in found],
        "digest": digest.hex(),
        "terms": terms,
    }  # fmt: skip


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
    hellos = {}
    for name, keys in known.items():
        body = slow.pack([roster, keys["nonce"], keys["session_public"]])
        hellos[name] = slow.signed(SITE, KEY, name, body, keys["identity"])[2]
        keys["mark"] = slow.mark(hellos[name])
    rho = seed("rho")
    commitment = hashlib.sha256(b"protoledger commitment v3\0" + rho).digest()
    marks = known[FIRST]["mark"] + known[SECOND]["mark"]
    announces = {
        "live": [7, known[GATEWAY]["mark"], roster, seed("terms"), slow.bitmap([0, 1]), marks,
                 [1, 0], commitment, None, []],
        "kept": [8, known[GATEWAY]["mark"], roster, seed("terms"), slow.bitmap([0, 1]), marks,
                 [0, 1], commitment, [5, 300], [[1, 7, rho]]],
    }  # fmt: skip
    announces = {name: slow.pack(fields) for name, fields in announces.items()}
    announce_digest = hashlib.sha256(announces["live"]).digest()
    delivered = slow.pack([7, announce_digest, slow.bitmap([0, 1]), b"\x07\x03"])
    result = slow.pack([7, announce_digest, 2, b"", ""])
    bodies = [(ANNOUNCE, GATEWAY, body) for body in announces.values()]
    bodies += [(DELIVER, GATEWAY, delivered), (RESULT, GATEWAY, result)]
    for name, keys in known.items():
        hello = slow.pack([roster, keys["nonce"], keys["session_public"]])
        bodies.append((KEY, name, hello))
    envelopes = []
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
    boxes = slow.pack([b"\x07", None, None, [b"", bytes(36)]])
    more = slow.pack([b"\x07", [5, 12], [6, plain], [b"", bytes(36)]])
    signature = bytes.fromhex(envelopes[2]["signature"])
    delivery = slow.pack([signature, slow.bitmap([0, 1]), b"\x07\x03", rho, [b"", bytes(36)]])
    answer = slow.pack([b"", plain, plain])
    digest = hashlib.sha256(delivered).digest()
    sealed = [
        sealed_case(known, roster, BOXES, FIRST, GATEWAY, announce_digest, boxes),
        sealed_case(known, roster, BOXES, SECOND, GATEWAY, announce_digest, more),
        sealed_case(known, roster, DELIVER, GATEWAY, FIRST, announce_digest, delivery),
        sealed_case(known, roster, ANSWER, FIRST, GATEWAY, digest, answer),
        sealed_case(known, roster, BOX, FIRST, SECOND, announce_digest + b"\x07", plain),
    ]
    return {
        "site": SITE,
        "members": members,
        "roster_signed": roster_bytes.hex(),
        "roster": roster.hex(),
        "parties": {
            name: {what: data.hex() for what, data in keys.items()} for name, keys in known.items()
        },
        "announce": announces["live"].hex(),
        "announce_digest": announce_digest.hex(),
        "delivered": delivered.hex(),
        "symbols": numbers,
        "bodies": {"Boxes": [boxes.hex(), more.hex()], "Delivery": [delivery.hex()],
                   "Answer": [answer.hex()]},
        "signed": envelopes,
        "sealed": sealed,
    }  # fmt: skip


def sealed_case(known, roster, kind, sender, receiver, bound, plain):
    epoch = known[GATEWAY]["mark"]
    info, shared, key = slow.seal_key(
        known[sender]["session"],
        known[receiver]["session_public"],
        roster,
        [(name, known[name]["mark"]) for name in (sender, receiver)],
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
    announce, delivered = bytes.fromhex(good["announce"]), bytes.fromhex(good["delivered"])
    envelope = bytes.fromhex(good["signed"][0]["hex"])
    box = bytes.fromhex(good["sealed"][0]["hex"])
    known, hash32, mark = parties(), seed("hash"), seed("mark")[:16]
    sign = [3, ANNOUNCE, GATEWAY, announce, bytes(64)]
    seal = [3, ANSWER, 7, FIRST, GATEWAY, bytes(32)]
    open_ = [7, mark, hash32, hash32, b"\x03", bytes(32), [0, 1], hash32, None, []]
    boxes, delivery, answer = [b"", None, None, []], [bytes(64), b"", b"", hash32, []], [b""] * 3
    shapes = {
        "Signed": [
            ("unknown version", slow.pack([4, *sign[1:]])),
            ("former version", slow.pack([2, *sign[1:]])),
            ("version zero", slow.pack([0, *sign[1:]])),
            ("unknown kind", slow.pack([3, 9, *sign[2:]])),
            ("kind zero", slow.pack([3, 0, *sign[2:]])),
            ("kind as a string", slow.pack([3, "ANNOUNCE", *sign[2:]])),
            ("extra field", slow.pack([*sign, 0])),
            ("missing field", slow.pack(sign[:-1])),
            ("short signature", slow.pack([*sign[:-1], bytes(63)])),
            ("long signature", slow.pack([*sign[:-1], bytes(65)])),
            ("empty sender", slow.pack([3, ANNOUNCE, "", announce, bytes(64)])),
            ("sender of 129 characters", slow.pack([3, ANNOUNCE, "x" * 129, announce, bytes(64)])),
            ("body as a string", slow.pack([3, ANNOUNCE, GATEWAY, "body", bytes(64)])),
            ("sender that is not UTF-8", envelope.replace(b"attic.gateway", b"attic\xffgateway")),
            ("a number that is not the shortest", envelope[:1] + b"\xcc\x03" + envelope[2:]),
            ("trailing byte", envelope + b"\x00"),
            ("the message twice", envelope * 2),
            ("cut", envelope[:-1]),
            ("empty", b""),
            ("a map", b"\x85" + envelope[1:]),
            ("nested to the limit", b"\x91" * 3000),
        ],
        "Sealed": [
            ("former version", slow.pack([2, *seal[1:]])),
            ("unknown kind", slow.pack([3, 77, *seal[2:]])),
            ("round zero", slow.pack([3, ANSWER, 0, *seal[3:]])),
            ("round beyond 2^62", slow.pack([3, ANSWER, 2**62 + 1, *seal[3:]])),
            ("round as a float", slow.pack([3, ANSWER, 7.0, *seal[3:]])),
            ("box shorter than a tag", slow.pack([*seal[:-1], bytes(15)])),
            ("a box in a longer form", slow.pack(seal).replace(b"\xc4 ", b"\xc5\x00 ")),
            ("extra field", slow.pack([*seal, b""])),
            ("missing field", slow.pack(seal[:-1])),
            ("trailing byte", box + b"\xc0"),
            ("cut", box[:-1]),
        ],
        "Announce": [
            ("short session", slow.pack([7, mark[:-1], *open_[2:]])),
            ("short roster", slow.pack([*open_[:2], hash32[:-1], *open_[3:]])),
            ("long terms", slow.pack([*open_[:3], hash32 + b"\0", *open_[4:]])),
            ("members of 129 bytes", slow.pack([*open_[:4], b"\xff" * 129, *open_[5:]])),
            ("no holders", slow.pack([*open_[:6], [], *open_[7:]])),
            ("65 holders", slow.pack([*open_[:6], list(range(65)), *open_[7:]])),
            ("holder 1000", slow.pack([*open_[:6], [1000], *open_[7:]])),
            ("short commitment", slow.pack([*open_[:7], hash32[:-1], *open_[8:]])),
            ("windows of no outage", slow.pack([*open_[:8], [5], []])),
            ("group zero", slow.pack([*open_[:8], [5, 0], []])),
            ("a short rho", slow.pack([*open_[:9], [[1, 7, hash32[:-1]]]])),
            ("no asked", slow.pack(open_[:-1])),
            ("extra field", slow.pack([*open_, 1])),
            ("trailing byte", announce + b"\x00"),
            ("a delivered set", delivered),
        ],
        "Boxes": [
            ("a box as a number", slow.pack([*boxes[:3], [7]])),
            ("65 boxes", slow.pack([*boxes[:3], [b""] * 65])),
            ("an explanation of nothing", slow.pack([b"", None, [], []])),
            ("missing field", slow.pack(boxes[:-1])),
            ("trailing byte", slow.pack(boxes) + b"\0"),
        ],
        "Delivered": [
            ("round zero", slow.pack([0, hash32, b"\x03", b""])),
            ("members as a number", slow.pack([7, hash32, 3, b""])),
            ("trailing byte", delivered + b"\x00"),
            ("an announce", announce),
        ],
        "Delivery": [
            ("short signature", slow.pack([bytes(63), *delivery[1:]])),
            ("short rho", slow.pack([*delivery[:3], hash32[:-1], []])),
            ("no boxes", slow.pack(delivery[:-1])),
        ],
        "Answer": [
            ("sums as a list", slow.pack([b"", b"", []])),
            ("extra field", slow.pack([*answer, b""])),
            ("trailing byte", slow.pack(answer) + b"\0"),
        ],
        "Result": [
            ("more than 1000 included", slow.pack([7, hash32, 1001, b"", ""])),
            ("reason of 257 characters", slow.pack([7, hash32, 0, b"", "x" * 257])),
            ("extra field", slow.pack([7, hash32, 0, b"", "", ""])),
        ],
        "SessionKey": [
            ("short key", slow.pack([hash32, mark, hash32[:-1]])),
            ("long nonce", slow.pack([hash32, mark + b"\0", hash32])),
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
        "seal": bad_seals(good),
    }


def bad_envelopes(good, known):
    announce = bytes.fromhex(good["announce"])
    sign = known[GATEWAY]["identity"]
    valid = bytes.fromhex(good["signed"][0]["hex"])
    flipped = valid[:-1] + bytes([valid[-1] ^ 1])
    as_result = slow.signed(SITE, RESULT, GATEWAY, announce, sign)[1]
    cases = [
        ("another kind than the topic's", RESULT, GATEWAY, valid),
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
            slow.pack([3, 2, GATEWAY, announce, as_result]),
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


def bad_seals(good):
    """Each differs from the good answer in one thing."""
    case = good["sealed"][3]
    key, bound = bytes.fromhex(case["key"]), bytes.fromhex(case["bound"])
    plain = bytes.fromhex(case["plain"])

    def seal(*, site=SITE, kind=ANSWER, round_id=7, sender=FIRST, to=GATEWAY, tied=bound):
        _, _, data = slow.sealed(key, site, kind, round_id, sender, to, tied, plain)
        return data

    honest = seal()
    box = honest[-(len(plain) + 16) :]
    found = [
        ("a changed tag", honest[:-1] + bytes([honest[-1] ^ 0x80])),
        ("of another site", seal(site="cellar")),
        ("bound to another set", seal(tied=bytes(32))),
        ("for another receiver", seal(to=SECOND)),
        ("a box moved to another round", slow.pack([3, ANSWER, 8, FIRST, GATEWAY, box])),
        ("a box moved to another kind", slow.pack([3, BOXES, 7, FIRST, GATEWAY, box])),
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
