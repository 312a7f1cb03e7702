"""What gateway and colluders see of a round, as linear rows over what honest agents drew.

Each honest contributor has two bits and a label (secrets), and its polynomials' coefficients
(masks). A row is a symbol that somebody sees, as a combination of those. What a view tells is the
row space after the masks are eliminated; `leak` counts how much of that is beyond what it may tell.

c(x) is not linear in x. It is an unknown polynomial of its own (degree q − 1, zero at zero) that
counts as a secret, apart from its values at colluders, who can compute these.
"""

import numpy as np

from protoledger.protocol.code.field import P
from protoledger.protocol.code.points import points
from protoledger.protocol.proofs.proven import quorum


def eliminate(rows, columns):
    """Bring rows to echelon form in their first columns, in place; returns the rank there."""
    rank = 0
    for column in range(columns):
        some = np.flatnonzero(rows[rank:, column])
        if not some.size:
            continue
        pivot = rank + int(some[0])
        rows[[rank, pivot]] = rows[[pivot, rank]]
        rows[rank] = rows[rank] * pow(int(rows[rank, column]), -1, P) % P
        below = rows[rank + 1 :]
        touched = np.flatnonzero(below[:, column])
        below[touched] = (below[touched] - below[touched, column][:, None] * rows[rank] % P) % P
        rank += 1
        if rank == len(rows):
            break
    return rank


def rank_of(rows):
    rows = np.array(rows, dtype=np.int64) % P
    return eliminate(rows, rows.shape[1]) if rows.size else 0


def told_beyond(learnt, allowed):
    """Dimensions of what was learnt beyond what is allowed."""
    return rank_of(np.concatenate([learnt, allowed])) - rank_of(allowed)


class View:
    """Rows over the unknowns of `agents` contributors; the first ν of them hold positions."""

    OPEN = np.array([[1, 2, 0], [0, 0, 1]])  # coordinates: two bits' worth, and a vote

    def __init__(self, positions, collusion, agents=None, rows=2):
        self.nu, self.t, self.rows = positions, collusion, rows
        self.agents = agents or positions
        self.q = quorum(positions, collusion)
        self.points = points(positions)
        sizes = [("x0", 3), ("u", rows * (self.q - 1)), ("x", 3 * self.t)]
        sizes += [("m", rows * (self.t + 1)), ("g", 2 * (self.q - 1)), ("w", rows * (self.q - 1))]
        self.at, self.width = {}, 0
        for name, size in sizes:
            self.at[name] = self.width
            self.width += size
        self.secret = self.at["x"]

    def row(self, a, **coefficients):
        """A combination of one contributor's polynomials at the point a, e.g. x=[1, 0, 0]."""
        out = np.zeros(self.width, dtype=np.int64)
        for name, weights in coefficients.items():
            low = {"x": 1, "m": 0}.get(name, 1)
            top = self.t if name in "xm" else self.q - 1
            for i, weight in enumerate(weights):
                block = [int(weight) * pow(a, e, P) % P for e in range(low, top + 1)]
                begin = self.at[name] + i * len(block)
                out[begin : begin + len(block)] = block
                if name == "x":
                    out[self.at["x0"] + i] = int(weight) % P
        return out

    def place(self, row, agents):
        """The sum over agents of a row, among all agents' unknowns."""
        out = np.zeros((self.agents, self.width), dtype=np.int64)
        out[sorted(agents)] = row
        return out

    def _units(self, *parts):
        sizes = {"x": 3, "g": 2}
        for name in parts:
            for unit in np.eye(sizes.get(name, self.rows), dtype=np.int64):
                yield name, unit

    def boxes(self, colluders, honest):
        """What colluding holders were given; c(x) too, which they can compute."""
        holders = [j for j in colluders if j < self.nu]
        return [
            self.place(self.row(self.points[j], **{name: unit}), [n])
            for j in holders
            for n in honest
            for name, unit in self._units("x", "m", "g", "w", "u")
        ]

    def reports(self, j, contributors, challenge):
        s, u = challenge
        for n in contributors:
            if n != j:
                yield from self._checks(self.points[j], n, s, u)

    def _checks(self, a, n, s, u):
        for i, unit in enumerate(np.eye(self.rows, dtype=np.int64)):
            yield self.place(self.row(a, x=s[i], m=unit), [n])
            yield self.place(self.row(a, u=unit, g=u[i], w=unit), [n])

    def explanations(self, honest, challenge):
        """The coefficients of R and Z of each: as many values at points as they have."""
        return [
            row
            for n in honest
            for a in range(1, self.q + 1)
            for row in self._checks(a, n, *challenge)
        ]

    def opened(self, j, chosen, coordinate):
        row = self.row(
            self.points[j], x=self.OPEN[coordinate], g=np.eye(2, dtype=np.int64)[coordinate]
        )
        return self.place(row, chosen)

    def total(self, chosen, coordinate):
        out = np.zeros(self.width, dtype=np.int64)
        out[:3] = self.OPEN[coordinate]
        return self.place(out, chosen)

    def known(self, colluders, honest):
        """What colluders know anyway: c(x) at their points."""
        rows = [
            self.place(self.row(self.points[j], u=unit), [n])
            for j in colluders
            if j < self.nu
            for n in honest
            for _, unit in self._units("u")
        ]
        return rows or [self.place(np.zeros(self.width, dtype=np.int64), honest)]

    def leak(self, rows, allowed, honest):
        """Dimensions learnt of the honest secrets beyond what is allowed."""
        table = np.array(rows)[:, honest]
        masks = table[:, :, self.secret :].reshape(len(rows), -1)
        secrets = table[:, :, : self.secret].reshape(len(rows), -1)
        both = np.concatenate([masks, secrets], axis=1) % P
        learnt = both[eliminate(both, masks.shape[1]) :, masks.shape[1] :]
        base = np.array(allowed)[:, honest][:, :, : self.secret].reshape(len(allowed), -1)
        return told_beyond(learnt, base)


def random_challenge(view, rng):
    return [[[rng.randrange(P) for _ in range(w)] for _ in range(view.rows)] for w in (3, 2)]


def proven_surplus(positions, collusion, colluders, contributors, told):
    """Combinations of sums without g, beyond those of one set alone; `told`: a set by holder."""
    q, at = quorum(positions, collusion), points(positions)
    honest = [j for j in range(positions) if j not in colluders]
    columns = []
    for j in honest:  # polynomials that are zero at zero and at colluders, of degree q - 1
        value = at[j]
        for c in colluders:
            value = value * (at[j] - at[c]) % P
        columns.append([value * pow(at[j], e, P) % P for e in range(q - 1 - len(colluders))])
    patterns = {tuple(n in told[j] for j in honest) for n in contributors}
    rows = [
        [column[e] if inside else 0 for column, inside in zip(columns, pattern, strict=True)]
        for pattern in patterns
        if any(pattern)
        for e in range(q - 1 - len(colluders))
    ]
    sets = [told[j] for j in honest]
    largest = max(sum(a == b for a in sets) for b in sets)
    return len(honest) - rank_of(rows) - max(0, largest - (q - 1 - len(colluders)))


def packed_beyond(positions, parts, masks, colluders, contributors, told):
    """Dimensions that a view of the packed code tells beyond the sum over the best one of sets."""
    at, width = points(positions), parts + masks
    index = {n: i for i, n in enumerate(contributors)}

    def place(row, agents):
        out = np.zeros((len(contributors), width), dtype=np.int64)
        out[[index[n] for n in agents]] = row
        return out

    values = [[pow(a, e, P) for e in range(width)] for a in at]
    rows = [place(values[c], [n]) for c in colluders for n in contributors]
    rows += [place(values[j], told[j]) for j in told]
    table = np.array(rows)
    mask_columns = table[:, :, parts:].reshape(len(rows), -1)
    both = np.concatenate([mask_columns, table[:, :, :parts].reshape(len(rows), -1)], axis=1) % P
    learnt = both[eliminate(both, mask_columns.shape[1]) :, mask_columns.shape[1] :]
    if not learnt.size:
        return 0
    found = []
    for chosen in set(told.values()):
        unit = [place([int(i == k) for i in range(width)], chosen)[:, :parts] for k in range(parts)]
        found.append(told_beyond(learnt, np.array(unit).reshape(parts, -1)))
    return min(found)
