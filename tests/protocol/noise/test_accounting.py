"""What rounds cost, against other ways to compute it, and the real loss of real noise."""

import decimal
import math
from decimal import Decimal

import numpy as np
import pytest

from protoledger.protocol.code.layout import Layout
from protoledger.protocol.noise.accounting import UNIT, epsilon_of, units_of
from protoledger.protocol.noise.mechanism import Noise, Privacy

DELTA = Decimal("1e-5")


def by_grid(rho, delta):
    """The same bound, in floats, at many orders."""
    alphas = 1 + np.exp(np.linspace(-8, 12, 20001))
    found = rho * alphas + (
        math.log(1 / delta) + (alphas - 1) * np.log(1 - 1 / alphas) - np.log(alphas)
    ) / (alphas - 1)
    return found.min()


@pytest.mark.parametrize("delta", ["1e-3", "1e-5", "1e-9"])
@pytest.mark.parametrize("rho", [1e-6, 1e-3, 0.03, 1.0, 40.0])
def test_epsilon_is_the_best_over_all_orders(rho, delta):
    found = float(epsilon_of(round(rho * UNIT), Decimal(delta)))
    assert math.isclose(found, by_grid(rho, float(delta)), rel_tol=1e-5)
    simple = rho + 2 * math.sqrt(rho * math.log(1 / float(delta)))  # Bun and Steinke, lemma 3.5
    assert found <= simple


@pytest.mark.parametrize("epsilon", ["0.1", "1", "3", "14.4"])
def test_units_are_the_most_that_an_epsilon_allows(epsilon):
    units = units_of(Decimal(epsilon), DELTA)
    assert epsilon_of(units, DELTA) <= Decimal(epsilon) < epsilon_of(units + 2, DELTA)


def test_rounds_add_up():
    """A hundred rounds at ε = 1 compose to 13.9, not to a hundred."""
    units = units_of(Decimal(1), DELTA)
    composed = [float(epsilon_of(n * units, DELTA)) for n in (1, 24, 100, 1000)]
    assert composed == sorted(composed)
    assert [round(x, 1) for x in composed] == [1.0, 5.9, 13.9, 66.3]
    assert epsilon_of(0, DELTA) == 0


def test_the_caller_s_decimals_change_nothing():
    """Two parties derive the same noise, whatever their programs did to `decimal` before."""
    here = units_of(Decimal(1), DELTA)
    with decimal.localcontext(decimal.Context(prec=5, rounding=decimal.ROUND_UP)):
        assert units_of(Decimal(1), DELTA) == here
        assert Privacy(1.0, 1e-5, 10.0).cost == cost_of(1.0)
    assert cost_of(1.0) < here  # a tenth of δ is kept for noise that ends


def cost_of(epsilon):
    return Privacy(epsilon, 1e-5, 10.0).cost


def noise(epsilon=1.0, budget=10.0, steps=(4,), labels=0, agents=10, clip=None, windows=1):
    plain = Layout(windows, steps, labels, (True,) * len(steps))
    return Noise(Privacy(epsilon, 1e-5, budget, clip), plain, agents, 1, agents - 1)


def summed(one, honest):
    """The distribution of the noise of so many agents: by convolution, as it really is drawn."""
    (variance, *_), (bound, *_) = one.variances, one.bounds
    at = np.arange(-bound, bound + 1, dtype=float)
    single = np.exp(-(at**2) / (2 * variance))
    single /= single.sum()
    total = np.ones(1)
    for _ in range(honest):
        total = np.convolve(total, single)
    return total


@pytest.mark.parametrize(("epsilon", "steps"), [(1.0, 4), (3.0, 4), (0.5, 20), (8.0, 40)])
def test_the_noise_of_the_honest_is_enough(epsilon, steps):
    """One value, the noise of minimum − T agents as it is drawn, the largest change there is."""
    one = noise(epsilon, steps=(steps,), budget=10 * epsilon)
    honest = one.minimum - one.collusion
    assert honest == 8
    here = np.concatenate([summed(one, honest), np.zeros(steps)])
    there = np.concatenate([np.zeros(steps), summed(one, honest)])
    delta = np.maximum(0, here - math.exp(epsilon) * there).sum()
    assert 0 < delta <= 1e-5
    fewer = np.concatenate([summed(one, 1), np.zeros(steps)])
    shifted = np.concatenate([np.zeros(steps), summed(one, 1)])
    assert np.maximum(0, fewer - math.exp(epsilon) * shifted).sum() > 1e-5
    both = (here > 1e-30) & (there > 1e-30)  # beyond, noise ends
    p, q = np.log(here[both]), np.log(there[both])
    for alpha in (1.5, 2, 8):
        moment = np.exp(alpha * p + (1 - alpha) * q).sum()
        assert math.log(moment) / (alpha - 1) <= one.privacy.cost / UNIT * alpha


@pytest.mark.parametrize("steps", [(4,), (4, 1000), (1, 1, 1)])
@pytest.mark.parametrize("labels", [0, 2, 5])
@pytest.mark.parametrize("windows", [1, 24])
def test_all_values_of_a_round_together_cost_no_more_than_it_says(steps, labels, windows):
    one = noise(steps=steps, labels=labels, windows=windows)
    honest = one.minimum - one.collusion
    lost = sum(w * w / (2 * honest * v) for w, v in zip(one.widths, one.variances, strict=False))
    if labels:  # two of the labels' sums change by one each
        lost += 2 / (2 * honest * one.variances[-1])
    assert windows * lost * UNIT <= one.privacy.cost
    assert min(one.variances) >= 5


@pytest.mark.parametrize("budget", [1.0, 10.0, 60.0])
def test_that_noise_ends_costs_less_than_a_tenth_of_delta(budget):
    one = noise(budget=budget, steps=(4, 100), labels=2)
    privacy = one.privacy
    draws = one.agents * 4 * privacy.rounds
    for variance, bound in zip(one.variances, one.bounds, strict=True):
        beyond = math.erfc((bound - 1) / math.sqrt(2 * variance))
        assert draws * beyond * (1 + math.exp(budget)) < 1e-6


def test_six_deviations_would_not_do():
    """Ending noise at ±6σ would cost more than all of δ within the budget."""
    one = noise(budget=14.0, steps=(4, 1, 1, 1), labels=2)
    draws = one.agents * 6 * one.privacy.rounds
    assert draws * math.erfc(6 / math.sqrt(2)) * (1 + math.exp(14.0)) > 1e-5
    assert all(7 * math.sqrt(v) < k for v, k in zip(one.variances, one.bounds, strict=True))


@pytest.mark.parametrize(
    ("agents", "collusion", "epsilon", "moved"),
    [(10, 1, 1.0, 2.8), (10, 1, 3.0, 3.7), (20, 2, 1.0, 2.0), (50, 3, 1.0, 1.3), (50, 3, 3.0, 1.7)],
)
def test_a_liar_moves_a_sum_by_more_than_its_noise(agents, collusion, epsilon, moved):
    """How far, in standard deviations of the noise that all together add, as the docs say."""
    plain = Layout(1, (1000, 1000), 2, (True, True))
    privacy = Privacy(epsilon, 1e-5, 15 * epsilon)
    one = Noise(privacy, plain, agents, collusion, agents - 1)
    assert round(one.bounds[0] / math.sqrt(agents * one.variances[0]), 1) == moved


def test_clipping_narrows_what_one_agent_may_change():
    wide, narrow = noise(steps=(1000,)), noise(steps=(1000,), clip=0.05)
    assert (wide.widths, narrow.widths) == ([1000], [100])
    assert narrow.variances[0] * 99 < wide.variances[0] < narrow.variances[0] * 101
