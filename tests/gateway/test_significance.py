"""Commit tests: what they prove, and how often they are wrong when looked at after every sample."""

import math
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoledger.gateway.training.significance import (
    TEST_NAMES,
    EProcess,
    Evidence,
    McNemarTest,
    make_test,
)

names = pytest.mark.parametrize("name", TEST_NAMES)
counts = st.integers(0, 60)


def false_alarms(name, runs=120, samples=600, discordant=0.3, seed=1):
    """How many null streams, looked at after every sample, end in a commit."""
    rng = np.random.default_rng(seed)
    alarms = 0
    for _ in range(runs):
        test = make_test(name, 0.05)
        labels = rng.integers(2, size=samples).tolist()
        for kind, label in zip(rng.random(samples), labels, strict=True):
            test.observe(kind < discordant / 2, discordant / 2 <= kind < discordant, label)
            if test.significant:
                alarms += 1
                break
    return alarms / runs


def test_the_default_keeps_its_error_under_repeated_looks():
    assert false_alarms("e-process") <= 0.05


def clumps(rng, samples, rate, correlation):
    """Errors of a model that is wrong for a while, then right for a while."""
    stays = rate + (1 - rate) * correlation, rate * (1 - correlation)
    wrong, found = rng.random() < rate, []
    for draw in rng.random(samples):
        wrong = draw < stays[0] if wrong else draw < stays[1]
        found.append(wrong)
    return found


@pytest.mark.parametrize("correlation", [0.5, 0.9])
def test_errors_in_clumps_are_no_improvement(correlation):
    rng, alarms, runs = np.random.default_rng(2), 0, 40
    for _ in range(runs):
        test = make_test("e-process", 0.05)
        streams = (clumps(rng, 1000, 0.2, correlation) for _ in range(2))
        for one, other in zip(*streams, strict=True):
            test.observe(not one, not other, int(rng.integers(2)))
            if test.significant:
                alarms += 1
                break
    assert alarms / runs <= 0.08


@pytest.mark.parametrize("spell", [20, 100])
def test_two_models_that_are_right_in_turn_for_a_spell_of_labels(spell):
    """As at night and by day: within a spell, all that differs is in one's favour."""
    rng, alarms, runs = np.random.default_rng(3), 0, 40
    for _ in range(runs):
        test = make_test("e-process", 0.05)
        for number in range(1000):
            if number % spell == 0:
                favoured = rng.random() < 0.5
            differs = rng.random() < 0.3
            ours, theirs = not differs or favoured, not differs or not favoured
            test.observe(ours, theirs, number // spell % 2)
            if test.significant:
                alarms += 1
                break
    assert alarms / runs <= 0.05


@pytest.mark.parametrize("name", ["mcnemar", "interval"])
def test_the_others_do_not(name):
    assert false_alarms(name, runs=60) > 0.10


@pytest.mark.parametrize("name", ["e-process", "mcnemar", "interval"])
def test_a_gain_is_found(name):
    rng = np.random.default_rng(5)
    test = make_test(name)
    for kind in rng.random(400):
        test.observe(kind < 0.16, 0.16 <= kind < 0.20, int(rng.integers(2)))
    assert test.significant


@pytest.mark.parametrize("name", ["e-process", "mcnemar", "interval"])
@given(wins=counts, losses=counts, ties=counts)
def test_no_loser_is_ever_significant(name, wins, losses, ties):
    test = make_test(name)
    fewer, more = min(wins, losses), max(wins, losses)
    evidence = Evidence(fewer, more, ties, bets_won=fewer, bets_lost=more, runs=fewer + more)
    test.reset(evidence)
    assert not test.significant


@given(wins=counts, losses=counts)
def test_wealth_is_a_fair_game(wins, losses):
    """The mean of the two possible next wealths is the present one."""

    def wealth(w, n):
        test = EProcess()
        test.reset(Evidence(bets_won=w, bets_lost=n), first=True)  # bets that are independent
        return test.wealth

    after = (wealth(wins + 1, losses) + wealth(wins, losses + 1)) / 2
    assert after == pytest.approx(wealth(wins, losses))


@given(wins=counts, losses=counts)
def test_mcnemar_is_exact(wins, losses):
    n = wins + losses
    test = McNemarTest()
    test.reset(Evidence(wins, losses))
    exact = Fraction(sum(math.comb(n, k) for k in range(wins, n + 1)), 2**n)
    assert test.p_value() == pytest.approx(float(exact), rel=1e-9)


@names
@given(outcomes=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_looking_between_changes_nothing_and_counts_restore(name, outcomes):
    looked, silent, resumed = make_test(name), make_test(name), make_test(name)
    cut = len(outcomes) // 2
    for number, (candidate, committed) in enumerate(outcomes):
        if number == cut:  # a restart in the middle of a run
            resumed.reset(
                msgspec.msgpack.decode(msgspec.msgpack.encode(silent.evidence), type=Evidence)
            )
        looked.observe(candidate, committed, number // 3 % 2)
        _ = looked.significant
        silent.observe(candidate, committed, number // 3 % 2)
        if number >= cut:
            resumed.observe(candidate, committed, number // 3 % 2)
    assert looked.significant == silent.significant == resumed.significant
    found = looked.evidence
    assert found == silent.evidence == resumed.evidence
    assert found.wins + found.losses + found.ties == len(outcomes)


@names
def test_reset_forgets(name):
    test = make_test(name)
    for sample in range(120):
        test.observe(True, False, sample % 2)
    assert test.significant
    test.reset()
    assert not test.significant
    assert test.evidence == Evidence()


def test_enormous_evidence_does_not_overflow():
    test = EProcess()
    test.reset(Evidence(bets_won=1_000_000, runs=1_000_000))
    assert test.significant
    assert math.isfinite(test.wealth)
    test.reset(Evidence(bets_lost=1_000_000, runs=1_000_000))
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
        EProcess().reset(Evidence(wins=-1))
