"""Commit tests: what they prove, and how often they are wrong when looked at after every sample."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoledger.gateway.training.significance import TEST_NAMES, EProcess, McNemarTest, make_test

names = pytest.mark.parametrize("name", TEST_NAMES)
counts = st.integers(0, 60)


def false_alarms(name, runs=400, samples=600, discordant=0.3, seed=1):
    """How many null streams, looked at after every sample, end in a commit."""
    rng = np.random.default_rng(seed)
    alarms = 0
    for _ in range(runs):
        test = make_test(name, 0.05)
        for kind in rng.random(samples):
            test.observe(kind < discordant / 2, discordant / 2 <= kind < discordant)
            if test.significant:
                alarms += 1
                break
    return alarms / runs


def test_the_default_keeps_its_error_under_repeated_looks():
    assert false_alarms("e-process") <= 0.05


@pytest.mark.parametrize("name", ["mcnemar", "interval"])
def test_the_others_do_not(name):
    assert false_alarms(name, runs=150) > 0.10


@pytest.mark.parametrize("name", ["e-process", "mcnemar", "interval"])
def test_a_gain_is_found(name):
    rng = np.random.default_rng(5)
    test = make_test(name)
    for kind in rng.random(400):
        test.observe(kind < 0.16, 0.16 <= kind < 0.20)
    assert test.significant


@pytest.mark.parametrize("name", ["e-process", "mcnemar", "interval"])
@given(wins=counts, losses=counts, ties=counts)
def test_no_loser_is_ever_significant(name, wins, losses, ties):
    test = make_test(name)
    test.reset(min(wins, losses), max(wins, losses), ties)
    assert not test.significant


@given(wins=counts, losses=counts)
def test_wealth_is_a_fair_game(wins, losses):
    """The mean of the two possible next wealths is the present one."""

    def wealth(w, n):
        test = EProcess()
        test.reset(w, n)
        return test.wealth

    after = (wealth(wins + 1, losses) + wealth(wins, losses + 1)) / 2
    assert after == pytest.approx(wealth(wins, losses))


@given(wins=counts, losses=counts)
def test_mcnemar_is_exact(wins, losses):
    n = wins + losses
    test = McNemarTest()
    test.reset(wins, losses)
    exact = Fraction(sum(math.comb(n, k) for k in range(wins, n + 1)), 2**n)
    assert test.p_value() == pytest.approx(float(exact), rel=1e-9)


@names
@given(outcomes=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_looking_between_changes_nothing_and_counts_restore(name, outcomes):
    looked, silent, resumed = make_test(name), make_test(name), make_test(name)
    for candidate, committed in outcomes:
        looked.observe(candidate, committed)
        _ = looked.significant
        silent.observe(candidate, committed)
    resumed.reset(silent.wins, silent.losses, silent.ties)
    assert looked.significant == silent.significant == resumed.significant
    assert looked.wins + looked.losses + looked.ties == len(outcomes)


@names
def test_reset_forgets(name):
    test = make_test(name)
    for _ in range(50):
        test.observe(True, False)
    assert test.significant
    test.reset()
    assert not test.significant
    assert (test.wins, test.losses, test.ties) == (0, 0, 0)


def test_enormous_evidence_does_not_overflow():
    test = EProcess()
    test.reset(wins=1_000_000)
    assert test.significant
    assert math.isfinite(test.wealth)
    test.reset(losses=1_000_000)
    assert not test.significant


@names
@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_an_impossible_alpha(name, alpha):
    with pytest.raises(ValueError, match="alpha"):
        make_test(name, alpha)


def test_an_unknown_name_and_negative_counts():
    with pytest.raises(ValueError, match="e-process, mcnemar, interval, always"):
        make_test("students-t")
    with pytest.raises(ValueError, match="negative"):
        EProcess().reset(wins=-1)
