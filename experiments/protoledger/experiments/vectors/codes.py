"""Vectors of the field, of both codes, and of how windows become contributions."""

from protoledger.experiments.vectors.draws import Content, drawn
from protoledger.experiments.vectors.proven import ProvenCase
from protoledger.experiments.vectors.slow import algebra, wire
from protoledger.experiments.vectors.slow.algebra import P


def field_vectors() -> Content:
    """Return exact products of small matrices and symbols, extremes among them."""
    extremes = [0, 1, P // 2, P // 2 + 1, P - 2, P - 1]
    products: list[Content] = []
    for rows, depth, columns, largest in ((2, 3, 6, 5), (4, 9, 7, P // 2), (3, 127, 4, P // 2)):
        tag = f"matmul {rows} {depth}"
        left = [
            [v - largest for v in drawn(f"{tag} l{r}", depth, 2 * largest + 1)] for r in range(rows)
        ]
        right = [
            (drawn(f"{tag} r{d}", columns - 1) + extremes[d % 6 :])[:columns] for d in range(depth)
        ]
        products.append({"left": left, "right": right, "product": algebra.matmul(left, right)})
    worst = [[P // 2] * 127], [[P - 1, P // 2, P // 2 + 1]] * 127
    products.append({"left": worst[0], "right": worst[1], "product": algebra.matmul(*worst)})
    return {"p": P, "matmul": products}


def code_vectors() -> Content:
    """Return whole rounds' shares, reports, answers and sums by both codes."""
    packed = [
        _packed_case(*sizes)
        for sizes in (
            (1, 2, 3, 6), (1, 3, 5, 7), (2, 3, 6, 10), (4, 5, 10, 21), (20, 5, 28, 45),
        )
    ]  # fmt: skip
    proven = [
        ProvenCase(4, 1, [6], 2, 1).content(),
        ProvenCase(6, 1, [1022, 1], 2, 2).content(),
        ProvenCase(7, 2, [100], 0, 1).content(),
        ProvenCase(10, 2, [1023, 4000], 3, 1).content(),
    ]
    return {"p": P, "packed": packed, "proven": proven}


def _packed_case(parts: int, masks: int, positions: int, length: int) -> Content:
    width = -(-length // parts)
    agents: list[Content] = []
    for n in range(3):
        tag = f"packed {parts} {masks} {positions} {length} {n}"
        vector = drawn(tag, length, 900)
        drawn_masks = [drawn(f"{tag} mask {m}", width) for m in range(masks)]
        shares = algebra.encode(vector, drawn_masks, parts, positions)
        agents.append({"vector": vector, "masks": drawn_masks, "shares": shares})
    sums = [
        [sum(a["shares"][j][c] for a in agents) % P for c in range(width)] for j in range(positions)
    ]
    decoded = [sum(a["vector"][i] for a in agents) % P for i in range(length)]
    quorum = parts + masks
    quorums = [list(range(quorum)), list(range(positions - quorum, positions))]
    for chosen in quorums:
        if algebra.decode({j: sums[j] for j in chosen}, parts, length) != decoded:
            raise AssertionError("the slow decoder contradicts plain sums")
    return {
        "K": parts, "M": masks, "positions": positions, "points": algebra.points(positions),
        "agents": agents, "sums": sums, "quorums": quorums, "decoded": decoded,
    }  # fmt: skip


def schema_vectors() -> Content:
    """Return windows and their contributions, and the digests of schema and terms."""
    channels: list[wire.Channel] = [
        ("temperature", "°C", -10, 50, 0.5),
        ("light", "lx", 0, 1000, 10),
    ]
    labels = ["empty", "one", "many"]
    rows: list[tuple[list[float | None], int | None]] = [
        ([21.0, 100.0], 1),
        ([-10.0, 0.0], None),
        ([-99.0, 1e9], 0),
        ([None, 250.0], 2),
        ([50.0, None], None),
        ([None, None], None),
        ([-9.75, 25.0], 0),
        ([-9.25, 35.0], 0),
    ]
    found = [wire.contribution(channels, row) for row in rows]
    digest = wire.schema_digest(channels, labels)
    # N, T, D, positions, K (null: as many as fit), minimum, B, milliseconds of a window, for boxes,
    # for answers
    numbers: list[tuple[str, list[int | None]]] = [
        ("proven", [6, 1, 1, 6, None, 3, 1, 10000, 1000, 1000]),
        ("packed", [40, 2, 1, 40, 3, 4, 16, 1000, 2000, 500]),
    ]
    private = [True, False]
    terms = [
        {"validity": v, "numbers": n, "private": private,
         "digest": wire.terms_digest(digest, v, n, private).hex()}
        for v, n in numbers
    ]  # fmt: skip
    return {
        "channels": channels,
        "labels": labels,
        "rows": rows,
        "contributions": [[*one, wire.flags([one]).hex()] for one in found],
        "digest": digest.hex(),
        "terms": terms,
    }


def member_vectors() -> Content:
    """Return sets of agents as bytes, good and bad."""
    sets = [[], [0], [7], [8], [0, 2], [1, 3, 5, 8, 13], list(range(20)), [999]]
    return {
        "good": [{"members": s, "hex": wire.bitmap(s).hex()} for s in sets],
        "bad": [
            {"what": "a superfluous zero byte", "hex": "0500", "agents": 20},
            {"what": "only a zero byte", "hex": "00", "agents": 20},
            {"what": "an agent that the roster does not have", "hex": "10", "agents": 4},
            {"what": "far beyond the roster", "hex": "ff" * 128, "agents": 1000},
        ],
    }
