"""Vectors of the field, of both codes, and of how windows become contributions."""

from collections.abc import Sequence

from protoledger.experiments.vectors.draws import Content, drawn, seed
from protoledger.experiments.vectors.slow import algebra, wire
from protoledger.experiments.vectors.slow.algebra import ROWS, P

MINIMUM = 3


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
        _ProvenCase(4, 1, [6], 2, 1).content(),
        _ProvenCase(6, 1, [1022, 1], 2, 2).content(),
        _ProvenCase(7, 2, [100], 0, 1).content(),
        _ProvenCase(10, 2, [1023, 4000], 3, 1).content(),
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


class _ProvenCase:
    """One round of three contributors by the proven code."""

    def __init__(
        self, positions: int, collusion: int, steps: list[int], labels: int, windows: int
    ) -> None:
        self.positions, self.collusion = positions, collusion
        self.steps, self.labels, self.windows = steps, labels, windows
        self.quorum = max(-(-(positions + collusion + 1) // 2), 2 * collusion + 1)
        self.widths = [top.bit_length() for top in steps]
        self.bits = windows * (sum(self.widths) + labels)
        self.coordinates = windows * (len(steps) + labels)
        self.digest, self.rho = seed(f"digest {positions}"), seed(f"rho {positions}")
        sizes = self.bits, self.bits + windows, self.coordinates
        self.asked = algebra.challenge(sizes, self.digest, self.rho)
        self.used: list[list[list[int]]] = []
        """By agent and position: shares of bits that count."""
        self.masks: list[list[list[int]]] = []
        """By agent and position: shares of g."""

    def content(self) -> Content:
        """Return the case."""
        agents = [self._agent(n) for n in range(3)]
        opened = self._opened(agents)
        answers = [self._answer(j, opened) for j in range(self.positions)]
        sums = [
            algebra.at_zero({j: answers[j][i] for j in range(self.quorum)})
            for i in range(len(opened))
        ]
        return {
            "positions": self.positions, "T": self.collusion, "q": self.quorum,
            "steps": self.steps, "labels": self.labels, "windows": self.windows,
            "announce_digest": self.digest.hex(), "rho": self.rho.hex(),
            "commitment": wire.commitment(self.rho).hex(),
            "minimum": MINIMUM, "agents": agents, "opened": opened, "answers": answers,
            "sums": sums,
        }  # fmt: skip

    def _rows(self, n: int, tag: str) -> list[wire.Row]:
        """Draw values and votes; the second agent declares less."""
        rows: list[wire.Row] = []
        for w in range(self.windows):
            raw = drawn(f"{tag} v{w}", len(self.steps))
            values = [v % (top + 1) for v, top in zip(raw, self.steps, strict=True)]
            vote = drawn(f"{tag} l{w}", 1, self.labels)[0] if self.labels else -1
            rows.append((values, vote))
        if n == 1:
            rows[0] = ([-1, *rows[0][0][1:]], -1)
        return rows

    def _agent(self, n: int) -> Content:
        tag = f"proven {self.positions} {self.collusion} {n}"
        rows = self._rows(n, tag)
        vector: list[int] = []
        for values, vote in rows:
            for value, top in zip(values, self.steps, strict=True):
                vector += algebra.bits_of(max(0, value), top)[0]
            vector += [int(vote == one) for one in range(self.labels)]
        low = [vector + drawn(f"{tag} low 0", ROWS)]
        low += [drawn(f"{tag} low {k}", self.bits + ROWS) for k in range(1, self.collusion + 1)]
        columns = self.coordinates + ROWS
        high = [drawn(f"{tag} high {k}", columns) for k in range(1, self.quorum)]
        lower = algebra.evaluated(low, self.positions)
        higher = algebra.evaluated([[0] * columns, *high], self.positions)
        shares = [a + b for a, b in zip(lower, higher, strict=True)]
        declared = [[v >= 0 for v in (*values, vote)] for values, vote in rows]
        found = [
            algebra.report(share, declared, self.widths, self.labels, self.asked)
            for share in shares
        ]
        self.used.append([used for _, used, _ in found])
        self.masks.append([g for _, _, g in found])
        return {
            "values": [values for values, _ in rows], "votes": [vote for _, vote in rows],
            "declared": wire.flags(rows).hex(), "low": low, "high": high, "shares": shares,
            "reports": [report for report, _, _ in found],
        }  # fmt: skip

    def _opened(self, agents: Sequence[Content]) -> list[int]:
        """Return the coordinates that enough declared."""
        counts = [0] * self.coordinates
        sizes = [1] * len(self.steps) + [self.labels]
        for agent in agents:
            for w in range(self.windows):
                flags = [v >= 0 for v in (*agent["values"][w], agent["votes"][w])]
                spread = [f for f, size in zip(flags, sizes, strict=True) for _ in range(size)]
                for i, flag in enumerate(spread):
                    counts[w * len(spread) + i] += flag
        return [i for i, count in enumerate(counts) if count >= MINIMUM]

    def _answer(self, j: int, opened: Sequence[int]) -> list[int]:
        used = [sum(one[j][b] for one in self.used) % P for b in range(self.bits)]
        values = algebra.worth(used, self.steps, self.labels, self.windows)
        g = [sum(one[j][i] for one in self.masks) % P for i in range(self.coordinates)]
        return [(values[i] + g[i]) % P for i in opened]


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
