"""Noise in the sums, from docs/protocol.md: how much of it, what is shared, what sums tell.

ρ and ε are decimals of fifty digits. The best α of the conversion is found where its derivative is
zero, which is where ρ(α − 1)² = ln(1/δ) − ln α.
"""

import math
from collections.abc import Sequence
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import NamedTuple

from protoledger.experiments.vectors.slow.algebra import P

UNITS = 10**9
_DIGITS, _HALVINGS = 50, 200


class NoisySite(NamedTuple):
    """What a site's noise follows from: N, T, minimum, B, channels, labels, and its privacy."""

    agents: int
    collusion: int
    minimum: int
    windows: int
    steps: list[int]
    private: list[bool]
    labels: int
    epsilon: float
    delta: float
    budget: float
    clip: float | None


class Amounts(NamedTuple):
    """How much noise: the account's units, and by channel and then by label the rest."""

    cost: int
    budget: int
    rounds: int
    widths: list[int]
    variances: list[int]
    bounds: list[int]
    steps: list[int]


def epsilon_of(units: int, delta: Decimal) -> Decimal:
    """Return the ε of so many units of ρ, at least one, for all of that δ."""
    with localcontext(Context(prec=_DIGITS)):
        rho, nats = Decimal(units) / UNITS, -delta.ln()
        low, high = Decimal(1), 1 / delta
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if rho * (middle - 1) ** 2 < nats - middle.ln():
                low = middle
            else:
                high = middle
        rest = nats + (high - 1) * (1 - 1 / high).ln() - high.ln()
        return rho * high + rest / (high - 1)


def units_of(epsilon: float, delta: float) -> int:
    """Return the most units of ρ whose ε, with nine tenths of δ, is no more than that."""
    counted = Decimal(repr(delta)) * 9 / 10
    low, high = 0, 1
    while epsilon_of(high, counted) <= Decimal(repr(epsilon)):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if epsilon_of(middle, counted) <= Decimal(repr(epsilon)):
            low = middle
        else:
            high = middle
    return low


def amounts(site: NoisySite) -> Amounts:
    """Return how much noise each agent of a site adds."""
    cost, budget = units_of(site.epsilon, site.delta), units_of(site.budget, site.delta)
    rounds = budget // cost
    widths = [_width(site, c) for c in range(len(site.steps))]
    variances = [_variance(site, cost, w, c) for c, w in enumerate(widths)]
    variances += [_label_variance(site, cost)] * site.labels
    draws = site.agents * len(variances) * site.windows * rounds
    with localcontext(Context(prec=_DIGITS)):
        tails = (Decimal(10 * draws) / Decimal(repr(site.delta))).ln()
        nats = math.ceil(tails + Decimal(repr(site.budget)) + 1)
    bounds = [math.isqrt(2 * nats * v) + 1 if v else 0 for v in variances]
    wide = zip([*widths, *[1] * site.labels], bounds, strict=True)
    return Amounts(cost, budget, rounds, widths, variances, bounds, [w + 2 * k for w, k in wide])


def _width(site: NoisySite, channel: int) -> int:
    steps = site.steps[channel]
    if site.clip is None or not site.private[channel]:
        return steps
    return min(steps, 2 * math.ceil(Fraction(repr(site.clip)) * steps))


def _variance(site: NoisySite, cost: int, width: int, channel: int) -> int:
    if not site.private[channel]:
        return 0
    parts = sum(site.private) * site.windows * (2 if site.labels else 1)
    return _least(site, width * width, Fraction(cost - 1, UNITS * parts))


def _label_variance(site: NoisySite, cost: int) -> int:
    parts = site.windows * (2 if any(site.private) else 1)
    return _least(site, 2, Fraction(cost - 1, UNITS * parts))


def _least(site: NoisySite, squared: int, rho: Fraction) -> int:
    return max(5, math.ceil(squared / (2 * rho * (site.minimum - site.collusion))))


def refused(site: NoisySite, validity: str, window_ms: int) -> bool:
    """Say whether a site may have no noise."""
    if site.agents < 10 or window_ms < 3_600_000 or validity != "proven":
        return True
    cost = units_of(site.epsilon, site.delta)
    if cost < 2 or units_of(site.budget, site.delta) < cost:
        return True
    return max(amounts(site).steps) * site.agents > (P - 1) // 2


def lowest(site: NoisySite, much: Amounts, centre: Sequence[int] | None) -> list[int]:
    """Return l, by channel: the value that counts as zero."""
    if centre is None:
        return [0] * len(site.steps)
    rows = zip(centre, much.widths, site.steps, strict=True)
    return [min(max(c - width // 2, 0), steps - width) for c, width, steps in rows]


def shared(
    site: NoisySite,
    much: Amounts,
    centre: Sequence[int] | None,
    window: tuple[Sequence[int], int],
    drawn: Sequence[int],
) -> list[int]:
    """Return what an agent shares for a window.

    Args:
        site: the site.
        much: its noise.
        centre: by channel, None without clipping.
        window: values in steps and a label's number, −1 for what is not declared.
        drawn: x, by channel and then by label.
    """
    values, vote = window
    least, out = lowest(site, much, centre), []
    for value, low, width in zip(values, least, much.widths, strict=True):
        out.append(-1 if value < 0 else min(max(value, low), low + width) - low)
    out += [-1 if vote < 0 else int(vote == label) for label in range(site.labels)]
    rows = zip(out, drawn, much.bounds, strict=True)
    return [-1 if v < 0 else v + x + k for v, x, k in rows]


def estimates(
    site: NoisySite,
    much: Amounts,
    centre: Sequence[int] | None,
    sums: Sequence[int | None],
    counts: Sequence[int],
) -> list[int | None]:
    """Return what the gateway takes a window's sums for; None for what was not opened."""
    found: list[int | None] = []
    least = lowest(site, much, centre)
    for c, (low, width) in enumerate(zip(least, much.widths, strict=True)):
        total, n = sums[c], counts[c]
        if total is not None:
            total = min(max(total - n * (much.bounds[c] - low), n * low), n * (low + width))
        found.append(total)
    votes = sums[len(least) :]
    first = [vote is not None and votes.count(vote) == 1 and vote == _most(votes) for vote in votes]
    for label, vote in enumerate(votes):
        voters = counts[len(least) + label]
        found.append(None if vote is None else voters * first[label])
    return found


def _most(votes: Sequence[int | None]) -> int:
    return max(vote for vote in votes if vote is not None)
