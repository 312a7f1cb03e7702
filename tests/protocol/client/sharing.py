"""Both codes ("A contribution", "Two codes", "The smallest set" in docs/protocol.md)."""

import hashlib
import secrets

from .packing import RefusedError

P = 2**31 - 1


def points(count):
    return [(j // 2 + 1) * (-1) ** j for j in range(count)]


def dot(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True)) % P


def evaluate(coefficients, at, lowest=0):
    """Polynomials by column, rows of coefficients from degree `lowest`, at one point."""
    powers = [pow(at, lowest + k, P) for k in range(len(coefficients))]
    return [dot(powers, column) for column in zip(*coefficients, strict=True)]


def uniform(count):
    return [secrets.randbelow(P) for _ in range(count)]


def to_bytes(symbols):
    return b"".join(s.to_bytes(4, "little") for s in symbols)


def from_bytes(data, count):
    symbols = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
    if len(data) != 4 * count or any(s >= P for s in symbols):
        raise RefusedError(f"not {count} symbols")
    return symbols


class Layout:
    """What a round's vector consists of: B windows of C channels and a vote."""

    def __init__(self, steps, labels, private, windows):
        self.steps, self.labels, self.private, self.windows = steps, labels, private, windows
        self.widths = [s.bit_length() for s in steps]
        self.bits = windows * (sum(self.widths) + labels)
        self.length = windows * (len(steps) + labels)
        self.flags = windows * (len(steps) + 1)

    def weights(self, steps):
        b = steps.bit_length()
        return [2**i for i in range(b - 1)] + [steps - 2 ** (b - 1) + 1]

    def bits_of(self, rows):
        """`rows`: (values or −1, vote or −1) a window."""
        out = []
        for values, vote in rows:
            for value, steps in zip(values, self.steps, strict=True):
                weights = self.weights(steps)
                last = value > 2 ** (len(weights) - 1) - 1
                rest = max(0, value) - last * weights[-1]
                out += [rest >> i & 1 for i in range(len(weights) - 1)] + [int(last)]
            out += [int(vote == one) for one in range(self.labels)]
        return out

    def coordinates_of(self, rows):
        return [
            c
            for values, vote in rows
            for c in [*(max(0, v) for v in values), *(int(vote == n) for n in range(self.labels))]
        ]

    def pack_flags(self, rows):
        bits = [v >= 0 for values, vote in rows for v in (*values, vote)]
        return sum(1 << i for i, bit in enumerate(bits) if bit).to_bytes(
            -(-self.flags // 8), "little"
        )

    def unpack_flags(self, data):
        """One list a window: C channels, then the vote."""
        number, each = int.from_bytes(data, "little"), len(self.steps) + 1
        if len(data) != -(-self.flags // 8) or number >> self.flags:
            raise RefusedError("declared bits of another length")
        bits = [bool(number >> i & 1) for i in range(self.flags)]
        rows = [bits[i : i + each] for i in range(0, self.flags, each)]
        if not self.labels and any(row[-1] for row in rows):
            raise RefusedError("a vote at a site without labels")
        return rows

    def spread(self, rows, sizes):
        return [f for row in rows for f, size in zip(row, sizes, strict=True) for _ in range(size)]

    def counts(self, declared):
        """By coordinate, how many members declare it."""
        sizes = [1] * len(self.steps) + [self.labels]
        return [
            sum(column) for column in zip(*(self.spread(d, sizes) for d in declared), strict=True)
        ]

    def openable(self, declared, minimum):
        needed = [minimum if p else 1 for p in self.private] + [minimum] * self.labels
        counts = self.counts(declared)
        return [count >= needed[i % len(needed)] for i, count in enumerate(counts)]


class Proven:
    """The proven code for so many positions."""

    def __init__(self, layout, positions, collusion):
        self.layout, self.positions, self.collusion = layout, positions, collusion
        self.q = max(-(-(positions + collusion + 1) // 2), 2 * collusion + 1)
        self.share_length = layout.bits + 4 + layout.length + 4
        self.depth = self.q - collusion

    def draw(self, rows):
        """Coefficients of (x, m) from degree 0 and of (g, w) from degree 1."""
        width, high = self.layout.bits + 4, self.layout.length + 4
        return (
            [self.layout.bits_of(rows) + uniform(4)]
            + [uniform(width) for _ in range(self.collusion)],
            [uniform(high) for _ in range(self.q - 1)],
        )

    def shares(self, drawn):
        low, high = drawn
        return [evaluate(low, a) + evaluate(high, a, 1) for a in points(self.positions)]

    def challenge(self, announce_digest, rho):
        bits, conditions = self.layout.bits, self.layout.bits + self.layout.windows
        width = bits + conditions + self.layout.length
        over = b"protoledger challenge v3\0" + announce_digest + rho
        data = hashlib.shake_128(over).digest(16 * width)
        found = [int.from_bytes(data[i : i + 4], "little") & P for i in range(0, 16 * width, 4)]
        rows = [[s % P for s in found[r * width : (r + 1) * width]] for r in range(4)]
        return [(r[:bits], r[bits : bits + conditions], r[bits + conditions :]) for r in rows]

    def _used(self, x, declared):
        flags = self.layout.spread(declared, [*self.layout.widths, self.layout.labels])
        return [symbol if flag else 0 for symbol, flag in zip(x, flags, strict=True)]

    def _votes(self, x):
        each, labels = self.layout.bits // self.layout.windows, self.layout.labels
        return [
            sum(x[w * each + each - labels : w * each + each]) for w in range(self.layout.windows)
        ]

    def report(self, share, declared, challenge):
        bits, length = self.layout.bits, self.layout.length
        x, m = self._used(share[:bits], declared), share[bits : bits + 4]
        g, w = share[bits + 4 : bits + 4 + length], share[bits + 4 + length :]
        c = [(b * b - b) % P for b in x]
        c += [v - row[-1] for v, row in zip(self._votes(x), declared, strict=True)]
        r = [(dot(s, x) + m[i]) % P for i, (s, _, _) in enumerate(challenge)]
        z = [(dot(q, c) + dot(u, g) + w[i]) % P for i, (_, q, u) in enumerate(challenge)]
        return r + z

    def answer(self, shares, declared, minimum):
        bits, length = self.layout.bits, self.layout.length
        total = [0] * length
        for share, flags in zip(shares, declared, strict=True):
            x, at = self._used(share[:bits], flags), 0
            for w in range(self.layout.windows):
                first = w * (len(self.layout.steps) + self.layout.labels)
                for channel, steps in enumerate(self.layout.steps):
                    weights = self.layout.weights(steps)
                    total[first + channel] += dot(weights, x[at : at + len(weights)])
                    at += len(weights)
                for label in range(self.layout.labels):
                    total[first + len(self.layout.steps) + label] += x[at]
                    at += 1
            for i, symbol in enumerate(share[bits + 4 : bits + 4 + length]):
                total[i] += symbol
        opened = self.layout.openable(declared, minimum)
        return [t % P for t, open_ in zip(total, opened, strict=True) if open_]

    def explain(self, drawn, declared, challenge):
        """Coefficients of one's own R from degree 0, then of Z from degree 1."""
        low, high = drawn
        bits, length = self.layout.bits, self.layout.length
        x = [self._used(row[:bits], declared) for row in low]
        c = [[0] * (bits + self.layout.windows) for _ in range(2 * self.collusion + 1)]
        for i, one in enumerate(x):
            for k, other in enumerate(x):
                for b in range(bits):
                    c[i + k][b] += one[b] * other[b]
            for b in range(bits):
                c[i][b] -= one[b]
            for w, votes in enumerate(self._votes(one)):
                c[i][bits + w] += votes - (declared[w][-1] if i == 0 else 0)
        r = [
            (dot(s, x[k]) + low[k][bits + i]) % P
            for k in range(self.collusion + 1)
            for i, (s, _, _) in enumerate(challenge)
        ]
        z = []
        for k in range(1, self.q):
            for i, (_, q, u) in enumerate(challenge):
                own = dot(q, c[k]) if k < len(c) else 0
                z.append((own + dot(u, high[k - 1][:length]) + high[k - 1][length + i]) % P)
        return r + z  # fmt: skip


class Packed:
    """The packed code for so many positions."""

    def __init__(self, layout, positions, collusion, dropouts, parts=None):
        self.layout, self.positions = layout, positions
        masks = (positions + collusion) // 2
        while masks < positions - 1 and (
            smallest(positions, collusion, positions, masks + 1 - collusion) >= positions
        ):
            masks += 1
        self.masks = masks
        self.parts = parts or max(1, positions - masks - dropouts)
        self.share_length = -(-layout.length // self.parts)
        self.depth = masks + 1 - collusion

    def draw(self, rows):
        vector = self.layout.coordinates_of(rows)
        vector += [0] * (self.parts * self.share_length - len(vector))
        cut = [vector[i : i + self.share_length] for i in range(0, len(vector), self.share_length)]
        return cut + [uniform(self.share_length) for _ in range(self.masks)]

    def shares(self, drawn):
        return [evaluate(drawn, a) for a in points(self.positions)]

    def answer(self, shares, declared, minimum):
        counts = self.layout.counts(declared)
        fine = [
            open_ or count == 0
            for open_, count in zip(self.layout.openable(declared, minimum), counts, strict=True)
        ]
        fine += [True] * (self.parts * self.share_length - len(fine))
        opened = [all(fine[i :: self.share_length]) for i in range(self.share_length)]
        total = [sum(column) % P for column in zip(*shares, strict=True)]
        return [t for t, open_ in zip(total, opened, strict=True) if open_]  # fmt: skip


def smallest(positions, collusion, present, depth):
    """The smallest set, before the site's minimum."""
    h, d = positions - collusion, depth
    if 3 * d > 2 * h:
        return collusion + 2
    return max(collusion + 2, collusion + (present - collusion) * (2 * h - d) // (2 * h) + 1)
