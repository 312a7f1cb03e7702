"""SwiftAgg+ as a computation: exact for every quorum, silent to every T positions."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import field
from protocol.errors import ConfigurationError, QuorumError
from protocol.swiftagg import Plan

P = field.P


@st.composite
def plans(draw):
    collusion = draw(st.integers(1, 4))
    dropouts = draw(st.integers(0, 4))
    partitions = draw(st.integers(max(1, dropouts - collusion + 1), 6))
    return Plan(collusion + dropouts + partitions, collusion, dropouts)


@given(plans(), st.integers(1, 40), st.data())
def test_any_quorum_decodes_the_exact_sum(plan, length, data):
    contributors = data.draw(st.integers(1, plan.agents))
    seed = data.draw(st.integers(0, 2**32 - 1))
    vectors = np.random.default_rng(seed).integers(0, P, (contributors, length)).astype(np.uint32)
    shares = [plan.encode(vector) for vector in vectors]
    sums = {j: field.add(np.stack([s[j] for s in shares])) for j in range(plan.agents)}
    answering = data.draw(st.permutations(range(plan.agents)))[: plan.quorum]
    decoded = plan.decode({j: sums[j] for j in answering}, length)
    expected = [sum(int(v) for v in column) % P for column in vectors.T]
    assert decoded.tolist() == expected


def test_one_answer_less_than_a_quorum_is_refused():
    plan = Plan(6, 1, 1)
    shares = plan.encode(np.arange(8, dtype=np.uint32))
    with pytest.raises(QuorumError, match="4 of 5"):
        plan.decode({j: shares[j] for j in range(4)}, 8)


@pytest.mark.parametrize("plan", [Plan(5, 1, 1), Plan(6, 2, 1), Plan(7, 3, 2)])
def test_every_t_positions_see_independent_uniform_symbols(plan):
    """The mask's coefficients at any T points have full rank: the shares there tell nothing."""
    masks = plan._powers[:, plan.partitions :]
    for colluders in itertools.combinations(range(plan.agents), plan.collusion):
        field.inverse(masks[list(colluders)])  # raises if singular


def test_no_point_is_zero_or_taken_twice():
    plan = Plan(40, 5, 5)
    points = plan._powers[:, 1].tolist()
    assert 0 not in points
    assert len(set(points)) == 40


@pytest.mark.parametrize(
    ("agents", "collusion", "dropouts", "named"),
    [
        (3, 0, 1, "collusion"),
        (3, 1, -1, "dropouts"),
        (3, 2, 1, "agents − collusion − dropouts"),
        (5, 1, 3, "two sets"),
        (200, 1, 1, "127"),
    ],
)
def test_what_cannot_work_names_the_knob(agents, collusion, dropouts, named):
    with pytest.raises(ConfigurationError, match=named):
        Plan(agents, collusion, dropouts)
