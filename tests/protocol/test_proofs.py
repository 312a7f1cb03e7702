"""Every way to cheat is caught, whoever is missing, and nobody honest is blamed for it."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protoledger.protocol.code.correction import fits, locate
from protoledger.protocol.code.field import P
from protoledger.protocol.code.layout import Contribution, Layout, weight_matrix, weights
from protoledger.protocol.code.points import dot, points, solve
from protoledger.protocol.errors import DecodeError
from protoledger.protocol.proofs.challenge import challenge, commitment
from protoledger.protocol.proofs.judging import contradicted, judge, open_sum
from protoledger.protocol.proofs.proven import ProvenCode, quorum
from tests.support.lying import ROWS, contributor_cheats, monomial, parts, shifted

SIZES = [(4, 1), (5, 1), (6, 1), (8, 1), (7, 2), (10, 2), (12, 3)]


class Play:
    """One round of the mathematics alone; a test spoils shares, reports or answers."""

    def __init__(self, rng, positions, collusion, agents=None, windows=1):
        steps = tuple(rng.choice([1, 6, 100, 1022, 2**20 - 1]) for _ in range(2))
        self.layout = Layout(windows, steps, 2, (True, True))
        self.code = ProvenCode(self.layout, positions, collusion)
        self.agents = agents or positions
        self.given = [self.draw(rng) for _ in range(self.agents)]
        self.secrets = [self.code.secret(one) for one in self.given]
        self.shares = [self.code.shares(secret) for secret in self.secrets]
        self.declared = np.array([one.declared for one in self.given])
        self.challenge = challenge(self.layout, rng.randbytes(32), rng.randbytes(32))
        self.seats = {n: n for n in range(min(self.agents, positions))}
        self.minimum = collusion + 2

    def draw(self, rng):
        values = [[rng.randint(-1, steps) for steps in self.layout.steps]]
        votes = [rng.randint(-1, 1)]
        windows = self.layout.windows
        return Contribution(np.array(values * windows), np.array(votes * windows))

    def held(self, position):
        shares = np.array([shares[position] for shares in self.shares])
        return self.code.counted(shares, self.declared)

    def reports(self, positions):
        found = {}
        for j in positions:
            found[j] = self.code.reports(self.held(j), self.declared, self.challenge)
            if j < self.agents:
                found[j][j] = 0  # nobody reports on itself
        return found

    def judge(self, reports):
        return judge(self.code, reports, self.seats, {}, self.code.collusion - 1)

    def answers(self, positions):
        return {j: self.code.answer(self.held(j), self.declared, self.minimum) for j in positions}

    def truth(self):
        total = np.sum([self.layout.coordinates(g).astype(np.int64) for g in self.given], axis=0)
        return (total % P)[self.layout.openable(self.declared, self.minimum)].tolist()


def needed(code):
    return code.quorum + code.collusion


@pytest.mark.parametrize(("positions", "collusion"), SIZES)
def test_honest_rounds_are_proven_and_exact(positions, collusion):
    rng = random.Random(positions)
    for extra in (0, 3):
        play = Play(rng, positions, collusion, positions + extra, windows=rng.choice([1, 3]))
        for count in range(needed(play.code), positions + 1):
            there = sorted(rng.sample(range(positions), count))
            assert all(v.proven and not v.off for v in play.judge(play.reports(there)))
            opened = open_sum(play.code.quorum, play.answers(there), collusion)
            assert opened.sums.tolist() == play.truth()
            assert not opened.off


@pytest.mark.parametrize("name", contributor_cheats())
@pytest.mark.parametrize(("positions", "collusion"), SIZES)
def test_a_contributor_that_cheats_is_caught_whoever_is_missing(name, positions, collusion):
    rng = random.Random(name)
    cheat = contributor_cheats()[name]
    for count in range(needed(ProvenCodeOf(positions, collusion)), positions + 1):
        play = Play(rng, positions, collusion)
        liar = rng.randrange(positions)
        play.given[liar] = Contribution(np.array([[0, 0]]), np.array([0]))
        play.secrets[liar] = play.code.secret(play.given[liar])
        play.declared[liar] = True
        play.shares[liar] = cheat(play.code, play.code.shares(play.secrets[liar]))
        there = sorted(rng.sample(range(positions), count))
        verdicts = play.judge(play.reports(there))
        one_off = name == "one share off"
        for n, verdict in enumerate(verdicts):
            if n != liar:
                assert verdict.proven
                assert not verdict.off
            elif not one_off:
                assert not verdict.proven
            elif verdict.proven:  # corrected, or the one that got the wrong share is away or it
                assert verdict.off <= {1}


def ProvenCodeOf(positions, collusion):  # noqa: N802 - stands for the class
    return ProvenCode(Layout(1, (1,), 0, (True,)), positions, collusion)


def test_what_is_not_declared_counts_as_zero_and_is_no_cheat():
    play = Play(random.Random(5), 6, 1)
    play.given[2] = Contribution(np.array([[-1, -1]]), np.array([-1]))
    play.declared[2] = False
    every_bit = Contribution(np.array(play.layout.steps)[None], np.array([1]))
    play.shares[2] = play.code.shares(play.code.secret(every_bit))
    assert all(verdict.proven for verdict in play.judge(play.reports(range(6))))
    opened = open_sum(play.code.quorum, play.answers(range(6)), 1)
    assert opened.sums.tolist() == play.truth()


@pytest.mark.parametrize(("positions", "collusion"), [(8, 1), (10, 1), (13, 2), (20, 3)])
def test_lying_holders_are_outvoted_and_named(positions, collusion):
    """As many as T, with as many missing as ν ≥ 5T + 1 + 2D allows."""
    rng = random.Random(positions)
    missing = (positions - 5 * collusion - 1) // 2
    for _ in range(10):
        play = Play(rng, positions, collusion)
        there = sorted(rng.sample(range(positions), positions - missing))
        liars = set(rng.sample(there, collusion))
        reports, answers = play.reports(there), play.answers(there)
        for liar in liars:
            for n in rng.sample(range(positions), 3):
                if n != liar:
                    reports[liar] = shifted(reports[liar], (n, rng.randrange(2 * ROWS)))
            if answers[liar].size:
                answers[liar] = shifted(answers[liar], (0,))
        for n, verdict in enumerate(play.judge(reports)):
            assert verdict.proven
            assert verdict.off <= liars - {n}
        opened = open_sum(play.code.quorum, answers, collusion)
        assert opened.sums.tolist() == play.truth()
        assert opened.off <= liars


def test_holders_that_lie_together_never_get_a_false_sum_accepted():
    """Two of ten choose errors that vanish at as many honest points as a polynomial allows."""
    play = Play(random.Random(1), 10, 2)
    play.declared[:] = True
    code = play.code
    for count in range(code.quorum, 11):
        answers = play.answers(range(count))
        roots = [points(10)[j] for j in range(2, 2 + code.quorum - 1)]
        for liar in (0, 1):
            move = 1
            for root in roots:
                move = move * (points(10)[liar] - root) % P
            answers[liar] = shifted(answers[liar], (0,), move)
        opened = open_sum(code.quorum, answers, 2)
        assert opened is None or opened.sums.tolist() == play.truth()
        assert opened is not None or count < code.quorum + 4


@pytest.mark.parametrize(("positions", "collusion"), [(6, 1), (8, 1), (10, 2), (13, 2)])
def test_accomplices_cannot_vouch_for_a_cheat(positions, collusion):
    """T − 1 holders report what would fit a contributor whose mask is not zero at zero."""
    rng = random.Random(positions)
    play = Play(rng, positions, collusion)
    code = play.code
    play.shares[0] = monomial(code, play.shares[0], parts(code)["g"], 0)
    for count in range(needed(code), positions + 1):
        reports = play.reports(range(count))
        accomplices = range(1, collusion)
        keep = [j for j in range(1, count) if j not in accomplices][: code.quorum - 1]
        for liar in accomplices:
            for column in range(ROWS, 2 * ROWS):
                rows = [
                    [pow(points(positions)[j], e, P) for e in range(1, code.quorum)]
                    + [int(reports[j][0, column])]
                    for j in keep
                ]
                found = solve(rows)
                value = sum(
                    c * pow(points(positions)[liar], e, P) for e, c in enumerate(found, start=1)
                )
                reports[liar][0, column] = value % P
        assert not play.judge(reports)[0].proven


def test_an_explanation_shows_which_reports_contradict_it():
    rng = random.Random(9)
    play = Play(rng, 8, 1)
    explained = play.code.explain(play.secrets[3], play.challenge)
    reports = {j: report[3] for j, report in play.reports(range(8)).items() if j != 3}
    assert contradicted(play.code, explained, reports) == frozenset()
    reports[5] = shifted(reports[5], 7)
    assert contradicted(play.code, explained, reports) == {5}
    play.shares[3] = monomial(play.code, play.shares[3], parts(play.code)["g"], 0)
    reports = {j: report[3] for j, report in play.reports(range(8)).items() if j != 3}
    assert len(contradicted(play.code, explained, reports)) == 7


@given(st.integers(1, 2**30), st.data())
def test_bits_are_worth_their_value_and_nothing_beyond_the_range(steps, data):
    value = data.draw(st.integers(0, steps))
    layout = Layout(1, (steps,), 0, (True,))
    bits = layout.bits(Contribution(np.array([[value]]), np.array([-1])))
    assert set(bits.tolist()) <= {0, 1}
    assert layout.worth(bits).tolist() == [value]
    assert sum(weights(steps)) == steps
    assert (weight_matrix(layout) @ bits.astype(np.int64)).tolist() == [value]


@given(st.integers(0, 2**32), st.integers(1, 200), st.integers(1, 9), st.integers(1, 5))
def test_products_are_exact(seed, length, count, rows):
    rng = np.random.default_rng(seed)
    left = rng.integers(P - 3, P, (rows, length)).astype(np.uint32)
    right = rng.integers(P - 3, P, (count, length)).astype(np.uint32)
    exact = right.astype(object) @ left.astype(object).T % P
    assert dot(left, right).tolist() == exact.tolist()


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(0, 3), st.booleans())
def test_errors_are_located_as_far_as_the_code_goes(seed, free, errors, zero):
    rng = random.Random(seed)
    count = free + 2 * errors + rng.randint(0, 2)
    at = points(count + 3)
    positions = tuple(sorted(rng.sample(range(count + 3), count)))
    coefficients = [[rng.randrange(P) for _ in range(3)] for _ in range(free)]
    values = np.array(
        [
            [sum(c[k] * pow(at[j], e + zero, P) for e, c in enumerate(coefficients)) % P
             for k in range(3)]
            for j in positions
        ],
        dtype=np.uint32,
    )  # fmt: skip
    assert fits(positions, values, free, zero=zero)
    off = set(rng.sample(positions, errors))
    for j in off:
        values[positions.index(j), rng.randrange(3)] ^= 1
    values %= np.uint32(P)
    assert locate(positions, values, free, errors, zero=zero) == off


def test_declared_bits_that_do_not_fit_are_refused():
    layout = Layout(1, (6, 6), 2, (True, True))
    assert layout.unpack_declared(b"\x05").tolist() == [[True, False, True]]
    for data in (b"", b"\x05\0", b"\x08", b"\xff"):
        with pytest.raises(DecodeError):
            layout.unpack_declared(data)
    with pytest.raises(DecodeError, match="no labels"):
        Layout(1, (6, 6), 0, (True, True)).unpack_declared(b"\x04")


def test_what_an_agent_must_not_share_is_refused_before_it_does():
    code = ProvenCode(Layout(1, (6,), 2, (True,)), 4, 1)
    for value, vote in ((7, 0), (-2, 0), (0, 2), (0, -2)):
        with pytest.raises(ValueError, match=r"value|vote"):
            code.secret(Contribution(np.array([[value]]), np.array([vote])))
    with pytest.raises(ValueError, match="shape"):
        code.secret(Contribution(np.array([[1, 1]]), np.array([0])))


def test_secrets_do_not_print():
    play = Play(random.Random(1), 4, 1)
    assert str(int(play.secrets[0].low[1, 0])) not in repr(play.secrets[0])


def test_the_challenge_depends_on_all_it_should():
    layout = Layout(1, (6,), 2, (True,))
    first = challenge(layout, bytes(32), bytes(32))
    for digest, rho in ((b"\1" * 32, bytes(32)), (bytes(32), b"\1" * 32)):
        assert not np.array_equal(first.bits, challenge(layout, digest, rho).bits)
    assert commitment(bytes(32)) != commitment(b"\1" * 32)


def test_two_sets_can_never_both_be_opened():
    for positions in range(4, 65):
        for collusion in range(1, 5):
            assert 2 * quorum(positions, collusion) > positions + collusion
