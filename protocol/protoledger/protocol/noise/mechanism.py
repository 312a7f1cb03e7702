"""Noise in a site's rounds: how much each agent adds, and how sums are read.

Neighbours are two contributions of one agent to one round that declare the same and differ in
anything else. What a round tells about one is bounded by ρ; half of it goes to the votes, the rest
to the private channels in equal parts, and each part to the B windows in equal parts. An agent adds
to each value that it declares a discrete Gaussian of the variance

    σ² = Δ² / (2 ρ' h)    h = minimum − T, ρ' the value's part of ρ, Δ how far one agent can move it

so that the noise of h honest agents is enough: no holder opens a sum of which fewer than `minimum`
agents declared a value, and T of them may know their own noise, or add none. A sum of h discrete
Gaussians is no discrete Gaussian, but from σ² = 5 on further from one by nothing that counts
(Kairouz, Liu, Steinke, "The Distributed Discrete Gaussian Mechanism", ICML 2021, arXiv 2102.06387,
theorem 1: τ < 10⁻¹⁷ for 1000 agents; the last unit of a round's ρ is kept for it).

A value must stay in a range that is proven, or a liar could add what it likes and call it noise: a
draw beyond ±K is drawn again. That is another distribution than the one which is accounted for; K
is so large that all of it, over all rounds of the budget, costs less than a tenth of δ.

For the proofs labels are channels, whose values are votes and noise: a vote in a noisy round is not
one-hot. Clipping narrows Δ to an interval around a centre that the gateway announces; a centre that
it chose to learn more only moves the interval, and Δ is its width whatever the centre.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from protoledger.protocol.code import field
from protoledger.protocol.code.field import Symbols
from protoledger.protocol.code.layout import Contribution, Flags, Layout
from protoledger.protocol.noise.accounting import UNIT, epsilon_of, units_of
from protoledger.protocol.noise.sampler import discrete_gaussian

FEWEST_AGENTS = 10
SHORTEST_WINDOW_MS = 3_600_000
LEAST_VARIANCE = 5
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Privacy:
    """What a site promises to its agents.

    Args:
        epsilon: ε of one round's sums.
        delta: δ, of a round and of all rounds together.
        budget: ε of all rounds together, after which an agent contributes no more.
        clip: how far from the last mean a value may be, in parts of its channel's range; None: as
            far as the range.
    """

    epsilon: float
    delta: float
    budget: float
    clip: float | None = None

    @property
    def exact(self) -> list[float | None]:
        """All of it, for the digest of the terms."""
        return [float(self.epsilon), float(self.delta), float(self.budget), self.clip]

    @cached_property
    def counted_delta(self) -> Decimal:
        """Of δ, what the accounting uses; the rest covers that noise ends at K."""
        return Decimal(repr(self.delta)) * 9 / 10

    @cached_property
    def cost(self) -> int:
        """What a round costs, in units of ρ."""
        return units_of(Decimal(repr(self.epsilon)), self.counted_delta)

    def units(self, epsilon: float) -> int:
        """Return what an ε of all rounds together amounts to, in units of ρ."""
        return units_of(Decimal(repr(epsilon)), self.counted_delta)

    @cached_property
    def rounds(self) -> int:
        """How many rounds the budget lasts."""
        return self.units(self.budget) // max(1, self.cost)

    def epsilon_after(self, units: int) -> float:
        """Return the ε of so many units of ρ, at this δ."""
        return float(epsilon_of(units, self.counted_delta))


@dataclass(frozen=True)
class Noise:
    """The noise of a site's rounds.

    Args:
        privacy: what it is for.
        plain: contributions without noise.
        agents: N.
        collusion: T.
        minimum: how many must declare a value whose sum is opened.

    Doctest:

        >>> plain = Layout(windows=1, steps=(100,), labels=2, private=(True,))
        >>> noise = Noise(Privacy(1.0, 1e-5, 10.0), plain, agents=10, collusion=1, minimum=9)
        >>> noise.variances, noise.bounds
        ([41380, 9, 9], [1653, 25, 25])
        >>> given = noise.blind(Contribution(np.array([[50]]), np.array([1])), ())
        >>> given.values.shape, noise.layout.steps
        ((1, 3), (3406, 51, 51))
    """

    privacy: Privacy
    plain: Layout
    agents: int
    collusion: int
    minimum: int

    def problems(self, window_ms: int, validity: str) -> Iterator[str]:
        """Say what speaks against noise at this site, and what to change."""
        if self.agents < FEWEST_AGENTS:
            yield (
                f"privacy with {self.agents} agents: the noise that hides one of so few ruins "
                f"their mean at every epsilon that means anything; it takes {FEWEST_AGENTS}: add "
                f"agents, or remove `privacy`"
            )
        if window_ms < SHORTEST_WINDOW_MS:
            yield (
                f"privacy with round.window_s {window_ms / 1000:g}: each round costs as much of "
                f"the budget, however short, and {self.privacy.rounds} rounds spend it; make "
                f"windows of at least {SHORTEST_WINDOW_MS // 1000} s, or remove `privacy`"
            )
        if validity != "proven":
            yield (
                "privacy with validity: packed: nobody proves that what is added is noise; it "
                "needs proofs: set `validity: proven`, or remove `privacy`"
            )
        if self.privacy.cost < 2 or self.privacy.rounds < 1:
            yield (
                f"privacy.epsilon {self.privacy.epsilon:g} with budget {self.privacy.budget:g}: "
                f"not even one round can be paid; raise the budget to at least epsilon, and "
                f"epsilon to what noise can reach"
            )
        elif not (any(self.plain.private) or self.plain.labels):
            yield "privacy: no channel is private, and there are no labels: nothing to hide"
        elif self.minimum <= self.collusion:
            yield f"minimum_contributors {self.minimum}: no honest agent's noise would be left"
        elif (widest := max(self.layout.steps)) * self.agents > field.HALF:
            yield (
                f"privacy: {self.agents} agents × {widest} steps, noise included, exceed "
                f"{field.HALF}, the largest sum; raise the steps of the widest channels, or "
                f"privacy.epsilon"
            )

    # -- how much --------------------------------------------------------------------------------

    @cached_property
    def widths(self) -> list[int]:
        """By channel, how much one agent may change a value: its range, or the clipped part."""
        clip = self.privacy.clip
        if clip is None:
            return list(self.plain.steps)
        half = [math.ceil(Fraction(repr(clip)) * steps) for steps in self.plain.steps]
        pairs = zip(half, self.plain.steps, self.plain.private, strict=True)
        return [min(steps, 2 * h) if private else steps for h, steps, private in pairs]

    @cached_property
    def variances(self) -> list[int]:
        """Of each agent's noise, by channel and then by label; 0 for none."""
        honest, private = self.minimum - self.collusion, sum(self.plain.private)
        rho = Fraction(self.privacy.cost - 1, UNIT) / self.plain.windows
        half = rho / 2 if self.plain.labels and private else rho

        def enough(squared: int, part: Fraction) -> int:
            return max(LEAST_VARIANCE, math.ceil(squared / (2 * part * honest)))

        channels = [
            enough(width * width, half / private) if needs else 0
            for width, needs in zip(self.widths, self.plain.private, strict=True)
        ]
        # another vote changes two of the labels' sums by one each
        return channels + [enough(2, half)] * self.plain.labels

    @cached_property
    def bounds(self) -> list[int]:
        """K, by channel and then by label: P(|x| > K) ≤ exp(−K²/2σ²) (2004.00010, prop. 25)."""
        draws = self.agents * len(self.variances) * self.plain.windows * self.privacy.rounds
        slack = (Decimal(10 * draws) / Decimal(repr(self.privacy.delta))).ln()
        nats = math.ceil(slack + Decimal(repr(self.privacy.budget)) + 1)
        return [math.isqrt(2 * v * nats) + 1 if v else 0 for v in self.variances]

    @cached_property
    def layout(self) -> Layout:
        """What is shared and proven: labels are channels, and all are as wide as noise needs."""
        widths = [*self.widths, *[1] * self.plain.labels]
        steps = tuple(w + 2 * k for w, k in zip(widths, self.bounds, strict=True))
        private = (*self.plain.private, *[True] * self.plain.labels)
        return Layout(self.plain.windows, steps, 0, private)

    # -- an agent's side -------------------------------------------------------------------------

    @cached_property
    def nothing(self) -> Contribution:
        """What an agent shares that declares nothing."""
        windows, width = self.plain.windows, self.plain.width
        return Contribution(np.full((windows, width), -1), np.full(windows, -1))

    def hides(self, given: Contribution) -> bool:
        """Whether a contribution declares anything that gets noise, and so costs something."""
        return bool(given.declared[:, [*self.plain.private, True]].any())

    def blind(self, given: Contribution, centre: tuple[int, ...]) -> Contribution:
        """Clip a contribution, and add noise to all that it declares."""
        low, high = self._interval(centre)
        values = np.clip(given.values, low, high) - low
        votes = (given.votes[:, None] == np.arange(self.plain.labels)).astype(np.int64)
        voted = np.repeat(given.votes[:, None] >= 0, self.plain.labels, axis=1)
        declared = np.concatenate([given.values >= 0, voted], axis=1)
        shared = np.concatenate([values, votes], axis=1) + self._draw() + np.array(self.bounds)
        return Contribution(np.where(declared, shared, -1), np.full(self.plain.windows, -1))

    def _draw(self) -> Ints:
        """Draw noise for every coordinate of a round: int64 of shape (B, C + labels)."""
        pairs = list(zip(self.variances, self.bounds, strict=True))
        rows = [[self._one(*pair) for pair in pairs] for _ in range(self.plain.windows)]
        return np.array(rows, dtype=np.int64)

    @staticmethod
    def _one(variance: int, bound: int) -> int:
        drawn = bound + 1 if variance else 0
        while abs(drawn) > bound:
            drawn = discrete_gaussian(variance)
        return drawn

    # -- the gateway's side ----------------------------------------------------------------------

    def estimates(
        self, sums: Symbols, opened: Flags, counts: Ints, centre: tuple[int, ...]
    ) -> Symbols:
        """Make of noisy sums what sums without noise could have been.

        All of it works on what is opened anyway, and so tells nothing more: the noise's offset is
        taken off, values end at the interval's ends, and the label with the most votes, if it is
        one alone, gets all of them.

        Args:
            sums: one symbol for each coordinate that was opened.
            opened: bool of shape (B·(C + labels),).
            counts: int64 of the same shape.
            centre: as in `blind`.

        Returns:
            uint32, for the same coordinates.
        """
        low, high = self._interval(centre)
        channels, flat = len(self.plain.steps), np.zeros(opened.size, dtype=np.int64)
        flat[opened] = sums
        found = counts.reshape(-1, self.plain.width)
        rows = flat.reshape(-1, self.plain.width) - found * np.array(self.bounds)
        at = found[:, :channels]
        rows[:, :channels] = np.clip(rows[:, :channels] + at * low, at * low, at * high)
        if self.plain.labels:
            rows[:, channels:] = self._votes(rows[:, channels:], found[:, channels:], opened)
        estimates: Symbols = rows.reshape(-1)[opened].astype(np.uint32)
        return estimates

    def _votes(self, noisy: Ints, counts: Ints, opened: Flags) -> Ints:
        channels = len(self.plain.steps)
        everything = opened.reshape(-1, self.plain.width)[:, channels:].all(axis=1)
        most = noisy == noisy.max(axis=1, keepdims=True)
        clear = everything & (most.sum(axis=1) == 1)
        return np.where(most & clear[:, None], counts.min(axis=1, keepdims=True), 0)

    # -- what values are clipped around ----------------------------------------------------------

    @cached_property
    def first_centre(self) -> tuple[int, ...]:
        """The middle of each range: where clipping starts; empty without clipping."""
        return () if self.privacy.clip is None else tuple(s // 2 for s in self.plain.steps)

    def fits(self, centre: tuple[int, ...]) -> bool:
        """Whether a centre, which came from outside, is one."""
        if len(centre) != len(self.first_centre):
            return False
        return all(0 <= c <= s for c, s in zip(centre, self.plain.steps, strict=False))

    def next_centre(self, centre: tuple[int, ...], rows: Symbols) -> tuple[int, ...]:
        """Return the means of a round's last window, and what was where nothing was opened.

        Args:
            centre: of the round.
            rows: its sums as `Schema.symbols` lays them out.
        """
        last = rows.reshape(self.plain.windows, -1)[-1].tolist()
        pairs = zip(last[::2], last[1::2], strict=False)
        means = [(value + count // 2) // count if count else None for value, count in pairs]
        return tuple(old if new is None else new for old, new in zip(centre, means, strict=False))

    def _interval(self, centre: tuple[int, ...]) -> tuple[Ints, Ints]:
        """Return by channel the least and the largest value that counts."""
        widths, steps = np.array(self.widths), np.array(self.plain.steps)
        if not centre:
            return np.zeros_like(steps), steps
        low = np.clip(np.array(centre) - widths // 2, 0, steps - widths)
        return low, low + widths
