"""A round by the proven code, written out: shares, reports, answers, sums."""

from collections.abc import Sequence

from protoledger.experiments.vectors.draws import Content, drawn, seed
from protoledger.experiments.vectors.slow import algebra, wire
from protoledger.experiments.vectors.slow.algebra import ROWS, P

MINIMUM = 3


class ProvenCase:
    """One round by the proven code.

    Args:
        positions: ν.
        collusion: T.
        steps: by channel.
        labels: how many.
        windows: B.
        name: what its random numbers are drawn by, beside ν and T.
    """

    agents = 3
    minimum = MINIMUM

    def __init__(
        self,
        positions: int,
        collusion: int,
        steps: list[int],
        labels: int,
        windows: int,
        name: str = "",
    ) -> None:
        self.positions, self.collusion = positions, collusion
        self.steps, self.labels, self.windows = steps, labels, windows
        self.private = [True] * len(steps)
        self.name = name
        self.quorum = max(-(-(positions + collusion + 1) // 2), 2 * collusion + 1)
        self.widths = [top.bit_length() for top in steps]
        self.bits = windows * (sum(self.widths) + labels)
        self.coordinates = windows * (len(steps) + labels)
        self.digest, self.rho = seed(f"{name}digest {positions}"), seed(f"{name}rho {positions}")
        sizes = self.bits, self.bits + windows, self.coordinates
        self.asked = algebra.challenge(sizes, self.digest, self.rho)
        self.used: list[list[list[int]]] = []
        """By agent and position: shares of bits that count."""
        self.masks: list[list[list[int]]] = []
        """By agent and position: shares of g."""

    def content(self) -> Content:
        """Return the case."""
        agents = [self.agent(n) for n in range(self.agents)]
        opened = self.opened(agents)
        answers = [self._answer(j, opened) for j in range(self.positions)]
        sums = [
            algebra.at_zero({j: answers[j][i] for j in range(self.quorum)})
            for i in range(len(opened))
        ]
        return {
            **self.sizes(), "minimum": self.minimum, "agents": agents, "opened": opened,
            "answers": answers, "sums": sums,
        }  # fmt: skip

    def sizes(self) -> Content:
        """Return what a round is about, before anybody contributes."""
        return {
            "positions": self.positions, "T": self.collusion, "q": self.quorum,
            "steps": self.steps, "labels": self.labels, "windows": self.windows,
            "announce_digest": self.digest.hex(), "rho": self.rho.hex(),
            "commitment": wire.commitment(self.rho).hex(),
        }  # fmt: skip

    def rows(self, n: int) -> list[wire.Row]:
        """Draw an agent's values and votes; the second declares less."""
        tag = self._tag(n)
        rows: list[wire.Row] = []
        for w in range(self.windows):
            raw = drawn(f"{tag} v{w}", len(self.steps))
            values = [v % (top + 1) for v, top in zip(raw, self.steps, strict=True)]
            vote = drawn(f"{tag} l{w}", 1, self.labels)[0] if self.labels else -1
            rows.append((values, vote))
        if n == 1:
            rows[0] = ([-1, *rows[0][0][1:]], -1)
        return rows

    def vector(self, rows: Sequence[wire.Row]) -> list[int]:
        """Return the bits of a contribution."""
        vector: list[int] = []
        for values, vote in rows:
            for value, top in zip(values, self.steps, strict=True):
                vector += algebra.bits_of(max(0, value), top)[0]
            vector += [int(vote == one) for one in range(self.labels)]
        return vector

    def _tag(self, n: int) -> str:
        return f"{self.name}proven {self.positions} {self.collusion} {n}"

    def agent(self, n: int) -> Content:
        """Return what an agent shares, and each holder's report on it."""
        tag, rows = self._tag(n), self.rows(n)
        low = [self.vector(rows) + drawn(f"{tag} low 0", ROWS)]
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

    def counts(self, agents: Sequence[Content]) -> list[int]:
        """Return by coordinate how many declared it."""
        counts = [0] * self.coordinates
        sizes = [1] * len(self.steps) + [self.labels]
        for agent in agents:
            for w in range(self.windows):
                flags = [v >= 0 for v in (*agent["values"][w], agent["votes"][w])]
                spread = [f for f, size in zip(flags, sizes, strict=True) for _ in range(size)]
                for i, flag in enumerate(spread):
                    counts[w * len(spread) + i] += flag
        return counts

    def opened(self, agents: Sequence[Content]) -> list[int]:
        """Return the coordinates that enough declared."""
        private = ([*self.private, *[True] * self.labels]) * self.windows
        least = [self.minimum if needs else 1 for needs in private]
        counts = self.counts(agents)
        return [i for i, count in enumerate(counts) if count >= least[i]]

    def _answer(self, j: int, opened: Sequence[int]) -> list[int]:
        used = [sum(one[j][b] for one in self.used) % P for b in range(self.bits)]
        values = algebra.worth(used, self.steps, self.labels, self.windows)
        g = [sum(one[j][i] for one in self.masks) % P for i in range(self.coordinates)]
        return [(values[i] + g[i]) % P for i in opened]
