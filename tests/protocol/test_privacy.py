"""What T agents and a gateway that deviates can learn: exact ranks, for both codes."""

import itertools
import random

import numpy as np
import pytest

from protoledger.protocol.plans import Plan, fewest
from protoledger.protocol.proofs.proven import quorum
from tests.support.views import View, packed_beyond, proven_surplus, random_challenge

SIZES = [(4, 1), (5, 1), (6, 1), (7, 2)]
MORE = [(7, 1), (8, 1), (8, 2), (10, 2)]


def colluders_of(collusion, agents):
    """All T-subsets: of holders, of others, and mixed ones."""
    return itertools.combinations(range(agents), collusion)


@pytest.mark.parametrize(("positions", "collusion"), SIZES)
def test_one_set_tells_its_sums_and_nothing_else(positions, collusion):
    """Every prefix of answers, with reports, explanations and an absent contributor."""
    rng = random.Random(1)
    view = View(positions, collusion)
    for colluders in colluders_of(collusion, positions):
        honest = [n for n in range(positions) if n not in colluders]
        challenge = random_challenge(view, rng)
        for chosen in (honest, honest[1:]):
            rows = view.boxes(colluders, honest) + view.explanations(honest, challenge)
            base = view.known(colluders, honest)
            sums = [view.total(chosen, o) for o in (0, 1)]
            rows += [view.opened(c, chosen, o) for c in colluders for o in (0, 1)]
            order = rng.sample(honest, len(honest))
            for count, j in enumerate(order, start=1):
                rows += [*view.reports(j, chosen, challenge)]
                rows += [view.opened(j, chosen, o) for o in (0, 1)]
                opens = count + len(colluders) >= view.q
                assert view.leak(rows, base + (sums if opens else []), honest) == 0
                if opens:
                    assert view.leak(rows, base, honest) == 2  # the check can fail


@pytest.mark.parametrize(("positions", "collusion", "agents"), [(4, 1, 6), (6, 1, 8), (7, 2, 9)])
def test_contributors_without_a_position_are_hidden_as_well(positions, collusion, agents):
    rng = random.Random(2)
    view = View(positions, collusion, agents, rows=1)
    subsets = list(colluders_of(collusion, agents))
    for colluders in rng.sample(subsets, min(len(subsets), 8)):
        honest = [n for n in range(agents) if n not in colluders]
        challenge = random_challenge(view, rng)
        rows = view.boxes(colluders, honest) + view.explanations(honest, challenge)
        for j in range(positions):
            rows += [*view.reports(j, honest, challenge)]
            rows += [view.opened(j, honest, o) for o in (0, 1)]
        base = view.known(colluders, honest) + [view.total(honest, o) for o in (0, 1)]
        assert view.leak(rows, base, honest) == 0


def test_one_colluder_more_than_t_learns_everything():
    for positions, collusion in SIZES:
        view = View(positions, collusion)
        colluders = list(range(collusion + 1))
        honest = list(range(collusion + 1, positions))
        base = view.known(colluders, honest)
        assert view.leak(view.boxes(colluders, honest), base, honest) > 0


def test_different_challenges_would_tell_secrets():
    """Why ρ is committed to before anybody shares."""
    rng = random.Random(3)
    view = View(6, 1, rows=4)
    honest = list(range(1, 6))
    rows = view.boxes([0], honest)
    for j in honest:
        rows += [*view.reports(j, honest, random_challenge(view, rng))]
    nonlinear = slice(view.at["u"], view.at["x"]), slice(view.at["w"], view.width)
    only_r = [r for r in rows if not any(r[:, part].any() for part in nonlinear)]
    assert view.leak(only_r, view.known([0], honest), honest) == 15


def sets_for(rng, honest, least, how_many):
    """Sets of honest contributors of at least `least`; often a set, another, and both together."""
    if rng.random() < 0.5:
        one = rng.sample(honest, rng.randint(least, len(honest)))
        other = [n for n in honest if n not in one]
        if len(other) >= least:
            return [frozenset(one), frozenset(other), frozenset(honest)]
    return [frozenset(rng.sample(honest, rng.randint(least, len(honest)))) for _ in range(how_many)]


def committees():
    for positions, collusion in SIZES + MORE:
        for extra in (0, 3, positions):
            yield positions, collusion, positions + extra


@pytest.mark.parametrize(("positions", "collusion", "agents"), list(committees()))
def test_no_assignment_of_allowed_sets_tells_beyond_one(positions, collusion, agents):
    """A gateway delivers each holder another set: nothing but the sums over one of them."""
    rng = random.Random(agents)
    depth = quorum(positions, collusion) - collusion
    least = fewest(positions, collusion, agents, depth) - collusion
    contributors = list(range(agents - collusion))
    for _ in range(60):
        colluders = rng.sample(range(positions), rng.randint(0, collusion))
        sets = sets_for(rng, contributors, least, rng.choice([2, 3, 4]))
        told = {j: rng.choice(sets) for j in range(positions)}
        assert proven_surplus(positions, collusion, colluders, contributors, told) == 0


def test_smaller_sets_than_allowed_would_tell_more():
    contributors, third = list(range(1, 6)), [{1, 2, 3, 4, 5}, {1, 2}, {3, 4, 5}]
    told = {j: frozenset(third[j % 3]) for j in range(6)}
    assert proven_surplus(6, 1, [0], contributors, told) > 0


def packed_plans():
    for agents, dropouts in ((3, 0), (4, 0), (5, 1), (6, 1), (7, 1), (8, 1)):
        yield Plan(agents, 1, dropouts, "packed", agents), agents
    yield Plan(9, 1, 1, "packed", 6), 6


@pytest.mark.parametrize(("plan", "positions"), list(packed_plans()))
def test_the_packed_code_tells_the_sum_over_one_set_at_most(plan, positions):
    rng = random.Random(plan.agents)
    parts, masks = plan.parts(positions), plan.masks(positions)
    assert 2 * (masks + 1) > positions + plan.collusion
    least = plan.fewest(positions, plan.agents) - plan.collusion
    for _ in range(80):
        colluders = rng.sample(range(positions), rng.randint(0, 1))
        honest = [n for n in range(plan.agents) if n not in colluders]
        sets = sets_for(rng, honest, least, rng.choice([2, 3]))
        told = {j: rng.choice(sets) for j in range(positions) if j not in colluders}
        assert packed_beyond(positions, parts, masks, colluders, honest, told) == 0


def test_masks_as_many_as_the_paper_has_would_tell_an_agent_alone():
    honest = [1, 2, 3, 4]
    told = {j: frozenset(honest if j < 3 else honest[:-1]) for j in honest}
    assert packed_beyond(5, 2, 2, [0], honest, told) > 0


def test_transcripts_of_a_bit_are_the_same_whatever_it_is():
    """All randomness of one contributor in F_5 with the true c(x): ν = 4, T = 1, q = 3."""
    p, at = 5, (1, 2, 3, 4)
    f1, m0, m1, g1, g2, w1, w2 = (
        grid.reshape(-1) for grid in np.meshgrid(*[np.arange(p)] * 7, indexing="ij")
    )
    seen = {}
    for bit, colluder in itertools.product((0, 1), range(4)):
        view, s, q, u = [], 2, 3, 4
        for j, a in enumerate(at):
            x, m, g, w = bit + f1 * a, m0 + m1 * a, g1 * a + g2 * a * a, w1 * a + w2 * a * a
            if j == colluder:
                view += [x % p, m % p, g % p, w % p]
            view += [(s * x + m) % p, (q * x * (x - 1) + u * g + w) % p]
        code = np.zeros(len(f1), dtype=np.int64)
        for column in view:
            code = code * p + column
        seen[bit, colluder] = np.unique(code, return_counts=True)
    for colluder in range(4):
        for values in (0, 1):
            assert np.array_equal(seen[0, colluder][values], seen[1, colluder][values])
