"""The sampler against the exact distribution, and what it must not be made of."""

import ast
import inspect
import math
import random
from fractions import Fraction

import pytest

from protoledger.protocol.noise import sampler
from protoledger.protocol.noise.sampler import discrete_gaussian

DRAWS = 20_000


def masses(variance, most):
    """The probabilities of 0, 1, … most, exactly but for rounding to floats."""
    weights = [math.exp(-(x * x) / (2 * variance)) for x in range(20 * math.isqrt(variance) + 20)]
    total = weights[0] + 2 * sum(weights[1:])
    return [w / total for w in weights[: most + 1]]


class UnreadError(Exception):
    """A draw beyond those that a branch has decided on."""


def chances(of, depth):
    """Play all branches of so many draws; the exact chance of True, and of not having ended."""

    def explore(decided, mass):
        script = iter(decided)

        def below(n):
            try:
                return next(script)
            except StopIteration:
                raise UnreadError(n) from None

        try:
            return (mass, Fraction(0)) if of(below) else (Fraction(0), Fraction(0))
        except UnreadError as open_draw:
            (n,) = open_draw.args
        if len(decided) == depth:
            return Fraction(0), mass
        found = [explore([*decided, value], mass / n) for value in range(n)]
        return sum(yes for yes, _ in found), sum(left for _, left in found)

    return explore([], Fraction(1))


@pytest.mark.parametrize(("above", "under"), [(0, 3), (1, 3), (1, 2), (2, 3), (1, 1)])
def test_a_coin_of_probability_exp_is_exact(above, under):
    """Every sequence of draws is played: no statistics."""
    yes, left = chances(lambda below: sampler._bernoulli_exp(above, under, below), 5)
    assert left < Fraction(1, 100)
    assert float(yes) - 1e-12 <= math.exp(-above / under) <= float(yes + left) + 1e-12


@pytest.mark.parametrize("variance", [1, 2, 5, 40, 1000])
def test_draws_are_spread_as_the_distribution_says(variance):
    """χ² over the values that are likely; a seed, so that it passes always or never."""
    seeded = random.Random(variance)
    drawn = [discrete_gaussian(variance, seeded.randrange) for _ in range(DRAWS)]
    most = 3 * math.isqrt(variance) + 1
    exact = masses(variance, most)
    wanted = {x: DRAWS * exact[abs(x)] for x in range(-most, most + 1)}
    found = {x: drawn.count(x) for x in wanted}
    statistic = sum((found[x] - w) ** 2 / w for x, w in wanted.items())
    cells = len(wanted)
    assert abs(statistic - cells) < 5 * math.sqrt(2 * cells)
    assert DRAWS - sum(found.values()) < 0.01 * DRAWS


def test_large_variances_have_their_moments():
    seeded, variance = random.Random(7), 10**12
    drawn = [discrete_gaussian(variance, seeded.randrange) for _ in range(4000)]
    assert abs(sum(drawn) / 4000) < 4 * 10**6 / math.sqrt(4000)
    spread = sum(x * x for x in drawn) / 4000 / variance
    assert abs(spread - 1) < 4 * math.sqrt(2 / 4000)


def test_an_offset_would_be_noticed():
    """The test above can fail: the same draws, shifted by one."""
    seeded = random.Random(5)
    drawn = [1 + discrete_gaussian(5, seeded.randrange) for _ in range(DRAWS)]
    exact = masses(5, 6)
    statistic = sum(
        (drawn.count(x) - DRAWS * exact[abs(x)]) ** 2 / (DRAWS * exact[abs(x)])
        for x in range(-6, 7)
    )
    assert statistic > 1000


def test_no_float_decides_anything():
    tree = ast.parse(inspect.getsource(sampler))
    divisions = [n for n in ast.walk(tree) if isinstance(n, ast.Div)]
    floats = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and type(n.value) is float]
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert (divisions, floats, imported) == ([], [], {"math", "secrets"})
    used = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    assert used == {"isqrt", "randbelow"}
