"""SwiftAgg+ as a computation: exact for every quorum, silent to every T positions."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoledger.protocol.code import field
from protoledger.protocol.code.plans import candidates, choose_partitions
from protoledger.protocol.code.seats import Plan, Seating
from protoledger.protocol.code.shares import Code
from protoledger.protocol.errors import ConfigurationError, QuorumError

P = field.P


@st.composite
def codes(draw):
    dropouts = draw(st.integers(0, 4))
    return Code(draw(st.integers(dropouts + 1, dropouts + 6)), draw(st.integers(1, 4)), dropouts)


@given(codes(), st.integers(1, 40), st.data())
def test_any_quorum_decodes_the_exact_sum(code, length, data):
    contributors = data.draw(st.integers(1, code.positions))
    seed = data.draw(st.integers(0, 2**32 - 1))
    vectors = np.random.default_rng(seed).integers(0, P, (contributors, length)).astype(np.uint32)
    shares = [code.encode(vector) for vector in vectors]
    sums = {j: field.add(np.stack([s[j] for s in shares])) for j in range(code.positions)}
    answering = data.draw(st.permutations(range(code.positions)))[: code.quorum]
    decoded = code.decode({j: sums[j] for j in answering}, length)
    expected = [sum(int(v) for v in column) % P for column in vectors.T]
    assert decoded.tolist() == expected


@given(codes(), st.data())
def test_a_further_sum_is_explained_unless_it_is_wrong(code, data):
    vector = np.arange(5, dtype=np.uint32)
    shares = code.encode(vector)
    order = data.draw(st.permutations(range(code.positions)))
    sums = {j: shares[j] for j in order[: code.quorum]}
    for j in order[code.quorum :]:
        assert code.explains(sums, j, shares[j])
        wrong = shares[j].copy()
        wrong[-1] = (int(wrong[-1]) + 1) % P
        assert not code.explains(sums, j, wrong)


def test_one_answer_less_than_a_quorum_is_refused():
    code = Code(4, 1, 1)
    shares = code.encode(np.arange(8, dtype=np.uint32))
    with pytest.raises(QuorumError, match="4 of 5"):
        code.decode({j: shares[j] for j in range(4)}, 8)


@pytest.mark.parametrize("code", [Code(3, 1, 1), Code(3, 2, 1), Code(3, 3, 2)])
def test_every_t_positions_see_independent_uniform_symbols(code):
    """The mask's coefficients at any T points have full rank: the shares there tell nothing."""
    masks = code._powers[:, code.parts :]
    for colluders in itertools.combinations(range(code.positions), code.collusion):
        field.inverse(masks[list(colluders)])  # raises if singular


def test_no_point_is_zero_or_taken_twice():
    points = Code(30, 5, 5)._powers[:, 1].tolist()
    assert 0 not in points
    assert len(set(points)) == 40


@pytest.mark.parametrize(
    ("agents", "collusion", "dropouts", "partitions", "named"),
    [
        (3, 0, 1, None, "collusion"),
        (3, 1, -1, None, "dropouts"),
        (3, 2, 1, None, "3 agents cannot bear"),
        (5, 1, 3, None, "5 agents cannot bear"),
        (200, 1, 1, None, "127"),
        (10, 1, 3, 2, "two sets"),
        (10, 1, 1, 9, "10 agents cannot bear"),
        (1001, 1, 1, 3, "1000"),
    ],
)
def test_what_cannot_work_names_the_knob(agents, collusion, dropouts, partitions, named):
    with pytest.raises(ConfigurationError, match=named):
        Plan(agents, collusion, dropouts, partitions)


@given(st.integers(4, 300), st.integers(1, 3), st.integers(0, 3), st.integers(1, 4), st.data())
def test_every_agent_has_a_group_and_every_position_a_holder(
    agents, collusion, dropouts, extra, data
):
    try:
        plan = Plan(agents, collusion, dropouts, dropouts + extra)
    except ConfigurationError:
        return
    everyone = [agent for group in range(plan.groups) for agent in plan.members(group)]
    assert sorted(everyone) == list(range(agents))
    seats = Seating(plan, frozenset(range(agents)))
    assert seats.whole_positions == frozenset(range(seats.code.positions))
    for group in range(plan.groups):
        if plan.groups > 1:
            assert len(plan.members(group)) >= seats.code.positions + dropouts
        for child in plan.children(group):
            assert plan.parent(child) == group
    agent = data.draw(st.integers(0, agents - 1))
    near = set(plan.neighbours(agent))
    assert set(plan.members(plan.group_of(agent))) - {agent} <= near
    assert agent not in near


def test_the_choice_of_partitions_is_the_cheapest_there_is():
    for agents, length in itertools.product((6, 10, 50, 300), (10, 1000, 100_000)):
        costs = {c.partitions: c for c in candidates(agents, 1, 1, length)}
        fewest = costs[choose_partitions(agents, 1, 1, length, "bytes")]
        soonest = costs[choose_partitions(agents, 1, 1, length, "latency")]
        assert fewest.sent_bytes == min(c.sent_bytes for c in costs.values())
        assert soonest.latency_us == min(c.latency_us for c in costs.values())
