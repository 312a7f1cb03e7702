"""Rounds as state machines: a hostile scheduler drops, repeats, reorders and forges."""

import contextlib
import random
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protoledger.protocol.errors import (
    AuthenticationError,
    EquivocationError,
    ProtocolError,
    RefusedError,
)
from protoledger.protocol.rounds.evidence import check_evidence
from protoledger.protocol.rounds.states import (
    Answered,
    Completed,
    Failed,
    Idle,
    Shared,
)
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import Delivered, Kept, Kind, Sealed, Signed
from protoledger.protocol.wire.schema import NO_LABEL
from protoledger.protocol.wire.sealing import Session
from tests.support.in_memory_site import (
    GATEWAY,
    Network,
    acquaint,
    make_site,
    names,
    start_agent,
    true_sum,
)

SLOW = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
KINDS = [Kind.BOXES, Kind.DELIVER, Kind.ANSWER]


def lose(*kinds, of=None):
    return lambda sender, send: send.kind in kinds and (of is None or sender in of)


def until(tmp_path, kind, **size):
    """A round that stops before messages of a kind arrive; they are in `seen`."""
    site = make_site(tmp_path, **size)
    net = Network(site, lose=lose(kind))
    net.step(site.gateway.start(1, 0.0))
    net.settle()
    return site, net


@SLOW
@given(
    st.integers(0, 2**32),
    st.sampled_from(["proven", "packed"]),
    st.integers(3, 14),
    st.integers(1, 3),
    st.booleans(),
)
def test_any_order_and_repeats_give_the_exact_sum(tmp_path, seed, code, count, windows, kits):
    if code == "proven" and count < 6:
        return
    rng = random.Random(seed)
    dropouts = 0 if count < 5 else 1
    site = make_site(tmp_path, count, 1, dropouts, seed=seed % 999, windows=windows, validity=code)
    if kits:
        for window in site.inputs.values():
            window.values[:, rng.randrange(2)] = np.nan
            window.labels[:] = rng.choice([NO_LABEL, 0, 1])
    net = Network(site, rng)
    for round_id in (1, 2):
        outcome = net.round(round_id)
        assert isinstance(outcome, Completed), outcome
        assert outcome.sums.tolist() == true_sum(site, outcome.included).tolist()
        for sender, send in rng.sample(net.seen, min(len(net.seen), 30)):
            net.post(sender, [send])  # repeated by the broker
        net.settle()
    assert len(net.outcomes) == 2
    assert {round_id for taken in site.taken.values() for round_id in taken} == {1, 2}
    assert all(len(taken) == len(set(taken)) for taken in site.taken.values())


@SLOW
@given(st.integers(0, 2**32), st.integers(6, 12), st.sampled_from(["proven", "packed"]))
def test_as_many_as_d_may_vanish_after_sharing(tmp_path, seed, count, code):
    """Exactly D disconnections never lose a round: boxes arrive whole or not at all."""
    rng = random.Random(seed)
    site = make_site(tmp_path, count, 1, 1, validity=code, seed=seed % 999)
    gone = rng.sample(names(count), site.terms.plan.missing(site.terms.plan.committee))
    net = Network(site, rng, lose(Kind.ANSWER, of=gone))
    outcome = net.round(1)
    assert isinstance(outcome, Completed), outcome
    assert outcome.included == frozenset(range(count))
    assert outcome.sums.tolist() == true_sum(site, outcome.included).tolist()


def test_who_does_not_share_is_absent_and_the_sum_is_exact(tmp_path):
    site = make_site(tmp_path, 10)
    net = Network(site, lose=lose(Kind.BOXES, of=names(10)[:2]))
    outcome = net.round(1)
    assert outcome.included == frozenset(range(2, 10))
    assert outcome.sums.tolist() == true_sum(site, outcome.included).tolist()


def test_a_committee_answers_for_a_large_site(tmp_path):
    site = make_site(tmp_path, 24)
    net = Network(site)
    outcome = net.round(1)
    assert outcome.included == frozenset(range(24))
    assert outcome.sums.tolist() == true_sum(site, outcome.included).tolist()
    answers = [sender for sender, send in net.seen if send.kind is Kind.ANSWER]
    assert len(answers) == site.terms.plan.committee < 24
    by_agent = [len([1 for who, _ in net.seen if who == name]) for name in names(24)]
    assert max(by_agent) == 2  # boxes and an answer, whatever N


# -- what is opened ------------------------------------------------------------------------------


def presence_says(site, who):
    for name in site.agents:
        site.gateway.presence(name, online=name in who, now=0.0)


@pytest.mark.parametrize("code", ["proven", "packed"])
def test_the_broker_s_word_on_presence_opens_nobody_alone(tmp_path, code):
    """Three of six carry a channel and vote; two of these are said to be offline."""
    site = make_site(tmp_path, validity=code, dropouts=0 if code == "packed" else 1)
    for name in names(6)[3:]:
        site.inputs[name].values[:, 0] = np.nan
        site.inputs[name].labels[:] = NO_LABEL
    for target in range(3):
        others = {names(6)[n] for n in range(3) if n != target}
        presence_says(site, set(names(6)) - others)
        if not site.gateway.ready:
            continue
        outcome = Network(site).round(target + 1)
        if isinstance(outcome, Failed):
            continue
        sums = outcome.sums.tolist()
        assert sums[:2] == [0, 0]
        assert sums[4:] == [0, 0]
        assert sums[3] == len(outcome.included) or code == "packed"
    presence_says(site, set(names(6)))
    outcome = Network(site).round(9)
    assert outcome.sums.tolist() == true_sum(site, range(6)).tolist()


def test_a_channel_that_is_not_private_is_opened_for_one(tmp_path):
    from protoledger.protocol.wire.schema import Channel, Schema

    schema = Schema((Channel("a", "", 0, 9, 1, private=False), Channel("b", "", 0, 9, 1)), ())
    site = make_site(tmp_path, schema=schema)
    for name in names(6)[1:]:
        site.inputs[name].values[:, 0] = np.nan
    outcome = Network(site).round(1)
    assert outcome.sums.tolist()[:2] == [int(site.inputs[names(6)[0]].values[0, 0]), 1]


def test_kept_windows_are_asked_for_by_a_signed_index_and_opened_by_the_same_rule(tmp_path):
    site = make_site(tmp_path)
    seen = []
    for name in names(6):
        site.agents[name]._contribute = lambda announce, name=name: (
            seen.append(announce.kept),
            site.inputs[name],
        )[1]
    outcome = Network(site).round(1, Kept(7, 3))
    assert outcome.kept == Kept(7, 3)
    assert seen == [Kept(7, 3)] * 6


def test_a_gateway_reports_what_agents_keep(tmp_path):
    site = make_site(tmp_path)
    for name in names(6)[:4]:
        site.agents[name]._kept = lambda: Kept(5, 12)
    Network(site).round(6)
    assert site.gateway.kept == dict.fromkeys(range(4), Kept(5, 12))


# -- one set, one answer -------------------------------------------------------------------------


def delivered(site, net, agent, members, declared=None):
    """The gateway's machine delivers to one agent another set than it really has."""
    state, session = site.gateway.state, site.gateway_session
    opening, number = state.opening, names(len(site.agents)).index(agent)
    bits = {n: site.terms.layout.pack_declared(state.declared[row])
            for row, n in enumerate(state.members)}  # fmt: skip
    bits.update(declared or {})
    said = Delivered(
        opening.announce.round_id,
        opening.digest,
        messages.pack_members(set(members)),
        b"".join(bits[n] for n in sorted(members)),
    )
    signed = messages.decode(session.sign(Kind.DELIVER, said), Signed)
    boxes = {}
    for sender, send in net.seen:
        if send.kind is Kind.BOXES:
            sealed = messages.decode(send.payload, Sealed)
            n = names(len(site.agents)).index(sender)
            epoch = opening.announce.session
            plain = session.open(sealed, opening.marks[n], epoch=epoch, bound=opening.digest)
            boxes[n] = messages.decode(plain, messages.Boxes).boxes[opening.seats[number]]
    body = messages.Delivery(
        signed.signature, said.members, said.declared, state.rho,
        tuple(boxes[n] for n in sorted(members)),
    )  # fmt: skip
    session._last_sealed.clear()
    return session.seal(
        agent, opening.marks[number], Kind.DELIVER, opening.announce.round_id,
        epoch=opening.announce.session, bound=opening.digest, plain=messages.encode(body),
    )  # fmt: skip


def test_a_second_set_is_refused_and_proves_what_the_gateway_did(tmp_path):
    site, net = until(tmp_path, Kind.ANSWER, count=10)
    agent = site.agents[names(10)[0]]
    assert isinstance(agent.state, Answered)
    before = agent.state
    with pytest.raises(EquivocationError) as caught:
        agent.handle(Kind.DELIVER, GATEWAY, delivered(site, net, names(10)[0], range(9)), 0.1)
    assert agent.state is before
    assert "two sets" in check_evidence(site.roster, *caught.value.evidence)
    with pytest.raises(ProtocolError):
        check_evidence(site.roster, caught.value.evidence[0], caught.value.evidence[0])


def test_a_repeated_delivery_gets_the_same_bytes(tmp_path):
    site, net = until(tmp_path, Kind.ANSWER)
    name = names(6)[0]
    (first,) = [s.payload for who, s in net.seen if who == name and s.kind is Kind.ANSWER]
    (again,) = [s for who, s in net.seen if s.kind is Kind.DELIVER and s.receiver == name]
    (send,) = site.agents[name].handle(Kind.DELIVER, GATEWAY, again.payload, 0.2)
    assert send.payload == first


def test_sets_that_are_too_small_get_no_answer(tmp_path):
    site, net = until(tmp_path, Kind.DELIVER, count=10)
    assert site.terms.fewest(10, 10) == 8
    name = names(10)[0]
    agent = site.agents[name]
    with pytest.raises(RefusedError, match="at least 8"):
        agent.handle(Kind.DELIVER, GATEWAY, delivered(site, net, name, range(7)), 0.1)
    with pytest.raises(RefusedError, match="with this agent"):
        agent.handle(Kind.DELIVER, GATEWAY, delivered(site, net, name, range(1, 10)), 0.1)
    bits = site.terms.layout.pack_declared(np.zeros((1, 3), dtype=bool))
    with pytest.raises(RefusedError, match="declared"):
        agent.handle(Kind.DELIVER, GATEWAY, delivered(site, net, name, range(10), {0: bits}), 0.1)
    assert isinstance(agent.state, Shared)


def test_another_rho_than_the_announce_committed_to_is_refused(tmp_path):
    site, net = until(tmp_path, Kind.DELIVER)
    state = site.gateway.state
    site.gateway.state = replace(state, rho=bytes(32))
    payload = delivered(site, net, names(6)[0], range(6))
    with pytest.raises(RefusedError, match="ρ"):
        site.agents[names(6)[0]].handle(Kind.DELIVER, GATEWAY, payload, 0.1)


def test_a_box_moved_between_declarations_does_not_open(tmp_path):
    """Declared bits are bound to the box: the gateway cannot have a value counted as another's."""
    site, net = until(tmp_path, Kind.ANSWER, count=10)
    state = site.gateway.state
    bits = site.terms.layout.pack_declared(np.zeros((1, 3), dtype=bool))
    site2 = site.agents[names(10)[1]]
    own, said = bytes(4 * state.opening.code.share_length), state.declared[1]
    site2.state = Shared(state.opening, own, site.terms.layout.pack_declared(said), 9.0)
    payload = delivered(site, net, names(10)[1], range(10), {0: bits})
    site2._session._last_sealed.clear()
    (send,) = site2.handle(Kind.DELIVER, GATEWAY, payload, 0.1)
    assert send.kind is Kind.ANSWER  # with agent 0 named as one whose box does not open


# -- announces -----------------------------------------------------------------------------------


def changed_announce(site, **changes):
    announce = msgspec.structs.replace(site.gateway.state.opening.announce, **changes)
    return site.gateway_session.sign(Kind.ANNOUNCE, announce)


def test_what_an_announce_must_not_be(tmp_path):
    site = make_site(tmp_path)
    site.gateway.start(1, 0.0)
    agent = site.agents[names(6)[0]]
    announce = site.gateway.state.opening.announce
    cases = [
        {"session": b"x" * 16},
        {"roster": bytes(32)},
        {"terms": bytes(32)},
        {"present": messages.pack_members(set(range(1, 6)))},
        {"present": messages.pack_members({0, 1})},
        {"marks": announce.marks[:-16]},
        {"holders": (0, 0, 1, 2)},
        {"holders": (0, 1, 2)},
        {"holders": (0, 1, 2, 9)},
        {"holders": announce.holders[:4], "marks": announce.marks[16:]},
    ]
    for case in cases:
        with pytest.raises(ProtocolError):
            agent.handle(Kind.ANNOUNCE, GATEWAY, changed_announce(site, **case), 0.1)
        assert isinstance(agent.state, Idle)
    assert not site.taken


def test_two_announces_of_a_round_prove_what_the_gateway_did(tmp_path):
    site = make_site(tmp_path)
    (opening,) = site.gateway.start(1, 0.0).send
    agent = site.agents[names(6)[0]]
    agent.handle(Kind.ANNOUNCE, GATEWAY, opening.payload, 0.1)
    with pytest.raises(RefusedError, match="after 1"):
        agent.handle(Kind.ANNOUNCE, GATEWAY, opening.payload, 0.1)
    other = changed_announce(site, commitment=bytes(32))
    with pytest.raises(EquivocationError) as caught:
        agent.handle(Kind.ANNOUNCE, GATEWAY, other, 0.1)
    assert "announced" in check_evidence(site.roster, *caught.value.evidence)


def test_no_peer_can_speak_for_the_gateway(tmp_path):
    site = make_site(tmp_path)
    site.gateway.start(1, 0.0)
    name, other = names(6)[:2]
    forged = site.sessions[other].sign(Kind.ANNOUNCE, site.gateway.state.opening.announce)
    with pytest.raises(AuthenticationError):
        site.agents[name].handle(Kind.ANNOUNCE, GATEWAY, forged, 0.1)
    with pytest.raises(RefusedError):
        site.agents[name].handle(Kind.ANNOUNCE, other, forged, 0.1)


def test_an_agent_that_restarts_in_mid_round_does_not_share_in_it_again(tmp_path):
    site = make_site(tmp_path)
    (opening,) = site.gateway.start(1, 0.0).send
    me = names(6)[0]
    site.sessions[me] = Session(me, site.identities[me], site.roster)
    acquaint(site)
    start_agent(site, me)
    (send,) = site.agents[me].handle(Kind.ANNOUNCE, GATEWAY, opening.payload, 0.1)
    assert send.kind is Kind.KEY
    assert not site.taken


def test_another_session_of_the_gateway_makes_agents_renew_their_keys(tmp_path):
    site = make_site(tmp_path)
    net = Network(site)
    assert isinstance(net.round(500), Completed)
    before = {name: site.sessions[name].mark for name in names(6)}
    reborn = Session(GATEWAY, site.identities[GATEWAY], site.roster)
    site.sessions[GATEWAY] = site.gateway_session = reborn
    site.gateway = type(site.gateway)(reborn, site.terms)
    acquaint(site, now=10.0)
    presence_says(site, set(names(6)))
    assert isinstance(net.round(1), Failed)
    assert all(site.sessions[name].mark != before[name] for name in names(6))
    assert isinstance(net.round(2), Completed)
    old = next(send for _, send in net.seen if send.kind is Kind.ANNOUNCE)
    agent = site.agents[names(6)[0]]
    taken = list(site.taken[names(6)[0]])
    with contextlib.suppress(ProtocolError):  # a hostile broker repeats the old session's rounds
        agent.handle(Kind.ANNOUNCE, GATEWAY, old.payload, 99.0)
    assert site.taken[names(6)[0]] == taken


def test_a_sender_seals_a_round_once(tmp_path):
    site = make_site(tmp_path)
    first, second = (site.sessions[n] for n in names(6)[:2])
    same = {"epoch": b"e" * 16, "bound": b"x" * 32}
    first.seal(second.me, second.mark, Kind.ANSWER, 7, **same, plain=b"text")
    with pytest.raises(RefusedError, match="after 7"):
        first.seal(second.me, second.mark, Kind.ANSWER, 7, **same, plain=b"other text")
    with pytest.raises(RefusedError, match="epoch"):
        first.seal(second.me, second.mark, Kind.ANSWER, 8, epoch=b"f" * 16, bound=b"", plain=b"")
