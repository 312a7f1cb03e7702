"""Floods, garbage, frozen states and plans: what is refused changes nothing."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoledger.protocol.errors import (
    ConfigurationError,
    DecodeError,
    FloodError,
    LateError,
    ProtocolError,
)
from protoledger.protocol.plans import Plan, choose_committee, choose_validity, default_collusion
from protoledger.protocol.rounds.states import (
    AGENT_TRANSITIONS,
    GATEWAY_TRANSITIONS,
    Idle,
    Waiting,
)
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import Kind, Sealed, Signed
from tests.protocol.rounds.test_rounds import KINDS, SLOW, until
from tests.support.in_memory_site import (
    GATEWAY,
    Network,
    make_site,
    names,
)

# -- floods and garbage --------------------------------------------------------------------------


def test_hellos_are_limited_before_they_cost_a_signature(tmp_path, monkeypatch):
    from protoledger.protocol.wire import sealing

    site = make_site(tmp_path)
    checked = []
    real = sealing.verify
    monkeypatch.setattr(sealing, "verify", lambda *a: (checked.append(1), real(*a))[1])
    refused = 0
    name = names(6)[0]
    for _ in range(300):
        site.sessions[name].renew()
        with contextlib.suppress(FloodError):
            site.gateway.handle(Kind.KEY, name, site.sessions[name].hello, 1.0)
            continue
        refused += 1
    assert refused > 280
    assert not checked
    assert len(site.gateway_session._peers[name].hellos) <= sealing.HELLOS_KEPT


def test_messages_are_limited_before_they_are_opened(tmp_path):
    site = make_site(tmp_path)
    site.gateway.start(1, 0.0)
    name = names(6)[0]
    errors = []
    for _ in range(100):
        with pytest.raises(ProtocolError) as caught:
            site.gateway.handle(Kind.BOXES, name, b"garbage", 0.1)
        errors.append(type(caught.value))
    assert errors.count(FloodError) == 92


@SLOW
@given(st.data())
def test_changed_bytes_are_refused_and_change_nothing(tmp_path, data):
    lost = data.draw(st.sampled_from(KINDS))
    site, net = until(tmp_path, lost)
    waiting = [(sender, send) for sender, send in net.seen if send.kind is lost]
    sender, send = data.draw(st.sampled_from(waiting))
    payload = bytearray(send.payload)
    damage = data.draw(st.sampled_from(["flip", "cut", "add", "empty"]))
    if damage == "flip":
        index = data.draw(st.integers(0, len(payload) - 1))
        payload[index] ^= 1 << data.draw(st.integers(0, 7))
    elif damage == "cut":
        del payload[data.draw(st.integers(0, len(payload) - 1)) :]
    elif damage == "add":
        payload += data.draw(st.binary(min_size=1, max_size=9))
    else:
        payload.clear()
    target = send.receiver or GATEWAY
    machine = site.gateway if target == GATEWAY else site.agents[target]
    before = machine.state
    with pytest.raises(ProtocolError):
        machine.handle(send.kind, sender, bytes(payload), 0.1)
    assert machine.state is before


def test_states_are_frozen(tmp_path):
    site, _ = until(tmp_path, Kind.DELIVER)
    for state in (site.gateway.state, site.agents[names(6)[0]].state, site.gateway.state.opening):
        for name in state.__dataclass_fields__:
            with pytest.raises(AttributeError):
                setattr(state, name, None)
    site, _ = until(tmp_path, Kind.BOXES)
    with pytest.raises(TypeError):
        site.gateway.state.boxes[0] = None


def test_the_tables_name_every_transition_that_rounds_make():
    """Whoever follows the tables alone gets from the first state back to it."""
    for table, first in ((AGENT_TRANSITIONS, Idle), (GATEWAY_TRANSITIONS, Waiting)):
        states = {state for state, _ in table} | {s for to in table.values() for s in to}
        reached, fresh = {first}, [first]
        while fresh:
            state = fresh.pop()
            for (source, _), targets in table.items():
                if source is state:
                    fresh += [t for t in targets if t not in reached]
                    reached |= set(targets)
        assert reached == states


def test_encodings_that_are_not_the_shortest_are_refused(tmp_path):
    site = make_site(tmp_path)
    (opening,) = site.gateway.start(1, 0.0).send
    signed = messages.decode(opening.payload, Signed)
    body = signed.body
    assert body[1] == 1  # the round as a positive fixint
    longer = body[:1] + b"\xcc\x01" + body[2:]
    with pytest.raises(DecodeError, match="shortest"):
        messages.decode(longer, messages.Announce)
    sealed = messages.encode(Sealed(3, Kind.ANSWER, 1, "a", "b", memoryview(bytes(16))))
    assert messages.decode(sealed, Sealed).round_id == 1
    with pytest.raises(DecodeError, match="shortest"):
        messages.decode(sealed.replace(b"\xc4\x10", b"\xc5\x00\x10"), Sealed)


def test_secrets_do_not_print(tmp_path):
    site, net = until(tmp_path, Kind.DELIVER)
    agent = site.agents[names(6)[0]]
    text = repr(agent.state) + repr(agent._session) + repr(net.seen) + repr(site.identities)
    text += repr(agent._session._peers) + repr(site.gateway.state) + repr(agent._memory)
    assert str(int(agent.state.own[0])) not in text
    assert site.gateway.state.rho.hex() not in text
    assert repr(site.gateway.state.rho)[2:20] not in text
    assert "ChaCha" not in text


# -- plans ---------------------------------------------------------------------------------------


def test_what_cannot_be_is_refused_by_name():
    with pytest.raises(ConfigurationError, match="agents"):
        Plan(2, 1, 0, "packed", 2)
    with pytest.raises(ConfigurationError, match="collusion"):
        Plan(6, 0, 0, "proven", 6)
    with pytest.raises(ConfigurationError, match="collusion 2 with validity: proven: 7"):
        Plan(6, 2, 0, "proven", 6)
    with pytest.raises(ConfigurationError, match="committee"):
        Plan(6, 1, 0, "proven", 7)


@pytest.mark.parametrize("agents", range(3, 70))
def test_every_size_of_site_has_a_plan_that_keeps_the_rules(agents):
    collusion = default_collusion(agents)
    validity = choose_validity(agents, collusion, 1)
    committee = choose_committee(agents, collusion, 1, validity)
    plan = Plan(agents, collusion, 1, validity, committee)
    for holders in range(plan.least_positions, committee + 1):
        assert plan.missing(holders) >= 0
        assert 2 * plan.quorum(holders) > holders + collusion
        if validity == "packed":
            assert 2 * (plan.masks(holders) + 1) > holders + collusion
            assert plan.parts(holders) >= 1
    if agents >= 5:
        assert plan.missing(committee) >= 1
    assert agents < 8 or plan.corrects(committee)


def test_late_messages_are_late(tmp_path):
    site = make_site(tmp_path)
    net = Network(site)
    net.round(1)
    late = [error for *_, error in net.refused]
    assert all(isinstance(error, LateError) for error in late), late
