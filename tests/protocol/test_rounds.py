"""Rounds as state machines: a hostile scheduler drops, repeats, reorders and forges."""

import itertools
import random

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protoledger.protocol.code import field as prime_field
from protoledger.protocol.code.seats import Plan, Seating
from protoledger.protocol.errors import (
    AuthenticationError,
    ConfigurationError,
    ContradictionError,
    DecodeError,
    LateError,
    ProtocolError,
    RefusedError,
)
from protoledger.protocol.rounds.agent import AgentRounds
from protoledger.protocol.rounds.gateway import Completed, Failed, choose_set
from protoledger.protocol.rounds.states import Answered, Idle, Sharing
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import Include, Kind, pack_members
from protoledger.protocol.wire.schema import Window
from protoledger.protocol.wire.sealing import Session
from tests.support.in_memory_site import GATEWAY, SCHEMA, make_site, names

SLOW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Network:
    """Delivers messages in any order; `lose` says whose messages of which kind are lost."""

    def __init__(self, site, rng=None, lose=lambda _sender, _send: False):
        self.site = site
        self.rng = rng or random.Random(0)
        self.lose = lose
        self.flying = []
        self.outcomes = []
        self.refused = []
        self.now = 0.0
        self.seen = []

    def post(self, sender, sends):
        for send in sends:
            self.seen.append((sender, send))
            if self.lose(sender, send):
                continue
            if send.receiver is not None:
                targets = [send.receiver]
            elif sender == GATEWAY:
                targets = list(self.site.agents)
            else:
                targets = [GATEWAY]
            self.flying += [(target, sender, send) for target in targets]

    def deliver(self, target, sender, send):
        try:
            if target == GATEWAY:
                step = self.site.gateway.handle(send.kind, sender, send.payload, self.now)
                self.post(GATEWAY, step.send)
                if step.outcome:
                    self.outcomes.append(step.outcome)
            else:
                agent = self.site.agents[target]
                self.post(target, agent.handle(send.kind, sender, send.payload, self.now))
        except ProtocolError as error:
            self.refused.append((target, sender, send.kind, error))

    def settle(self):
        while self.flying:
            self.deliver(*self.flying.pop(self.rng.randrange(len(self.flying))))

    def tick(self, seconds):
        self.now += seconds
        for name, agent in self.site.agents.items():
            self.post(name, agent.expire(self.now))
        self.settle()
        step = self.site.gateway.expire(self.now)
        self.post(GATEWAY, step.send)
        if step.outcome:
            self.outcomes.append(step.outcome)
        self.settle()

    def round(self, round_id):
        self.outcomes.clear()
        self.post(GATEWAY, self.site.gateway.start(round_id, self.now))
        self.settle()
        for _ in range(6):
            self.tick(0.8)
        assert len(self.outcomes) == 1
        return self.outcomes[0]


def true_sum(site, included, windows=1):
    total = np.zeros(SCHEMA.length * windows, dtype=np.int64)
    for position in included:
        x = site.inputs[site.roster.agents[position].id][0]
        total += np.tile([int(x[0]), 1, int(x[1]), 1, 0, 1], windows)
    return total


def test_a_quiet_round_sums_everyone(tmp_path):
    site = make_site(tmp_path, windows=3)
    outcome = Network(site).round(1)
    assert isinstance(outcome, Completed)
    assert outcome.included == frozenset(range(6))
    assert outcome.sums.tolist() == true_sum(site, range(6), 3).tolist()
    assert all(isinstance(agent.state, Idle) for agent in site.agents.values())


@SLOW
@given(st.integers(0, 2**32), st.integers(4, 9), st.integers(0, 2), st.booleans())
def test_up_to_d_dropouts_at_any_phase_cost_nothing(tmp_path, seed, count, dropouts, repeats):
    rng = random.Random(seed)
    dropouts = min(dropouts, (count - 2) // 2, count - 3)
    site = make_site(tmp_path, count, 1, dropouts, seed=seed % 1000)
    vanishing = {}
    for name in rng.sample(names(count), dropouts):
        vanishing[name] = rng.randrange(count + 2)  # how many messages it still sends

    def lose(sender, _send):
        if sender not in vanishing:
            return False
        vanishing[sender] -= 1
        return vanishing[sender] < 0

    net = Network(site, rng, lose)
    outcome = net.round(1)
    assert isinstance(outcome, Completed)
    assert outcome.sums.tolist() == true_sum(site, outcome.included).tolist()
    present = {p for p in range(count) if site.roster.agents[p].id not in vanishing}
    assert present <= outcome.included
    vanishing.clear()  # they come back: the next round has everyone
    if repeats:
        for sender, send in list(net.seen):  # the broker repeats the whole first round
            net.post(sender, [send])
    again = net.round(2)
    assert again.included == frozenset(range(count))
    assert again.sums.tolist() == true_sum(site, range(count)).tolist()


@pytest.mark.parametrize("kind", [Kind.SHARE, Kind.RECEIVED, Kind.SUM])
def test_d_plus_one_dropouts_fail_the_round_and_not_the_next(tmp_path, kind):
    site = make_site(tmp_path, 6, 1, 1)
    gone = set(names(6)[:2])
    net = Network(site, lose=lambda sender, send: sender in gone and send.kind is kind)
    outcome = net.round(1)
    if kind is Kind.SHARE:  # they still sum the others' shares: nothing is lost but their vectors
        assert isinstance(outcome, Completed)
        assert outcome.included == frozenset(range(2, 6))
        return
    assert isinstance(outcome, Failed)
    assert "of 5 needed" in outcome.reason
    gone.clear()
    assert isinstance(net.round(2), Completed)


def test_an_agent_known_to_be_gone_is_not_waited_for(tmp_path):
    site = make_site(tmp_path)
    name = names(6)[2]
    site.gateway.presence(name, online=False, now=0.0)
    net = Network(site, lose=lambda sender, _send: sender == name)
    net.post(GATEWAY, site.gateway.start(1, 0.0))
    net.settle()  # no time passes
    assert isinstance(net.outcomes[0], Completed)
    assert net.outcomes[0].included == frozenset({0, 1, 3, 4, 5})


def test_an_agent_that_goes_while_it_is_awaited_is_not_waited_for(tmp_path):
    site = make_site(tmp_path)
    name = names(6)[2]
    net = Network(site, lose=lambda sender, _send: sender == name)
    net.post(GATEWAY, site.gateway.start(1, 0.0))
    net.settle()
    assert not net.outcomes
    for other, agent in site.agents.items():
        net.post(other, agent.presence(name, online=False))
    net.post(GATEWAY, site.gateway.presence(name, online=False, now=0.0).send)
    net.settle()
    assert isinstance(net.outcomes[0], Completed)


def running_round(tmp_path, kind, **kwargs):
    """A round in which messages of a kind never arrive, so that all stand before it."""
    site = make_site(tmp_path, **kwargs)
    net = Network(site, lose=lambda _sender, send: send.kind is kind)
    net.post(GATEWAY, site.gateway.start(1, 0.0))
    net.settle()
    return site, net


def include(site, members):
    digest = site.gateway.state.digest
    body = Include(1, digest, pack_members(set(members)))
    return site.gateway_session.sign(Kind.INCLUDE, body)


def test_an_agent_answers_one_set_a_round(tmp_path):
    site, _ = running_round(tmp_path, Kind.INCLUDE)
    agent = site.agents[names(6)[0]]
    answer = agent.handle(Kind.INCLUDE, GATEWAY, include(site, range(6)), 0.1)
    assert [s.kind for s in answer] == [Kind.SUM]
    assert isinstance(agent.state, Answered)
    with pytest.raises(RefusedError):
        agent.handle(Kind.INCLUDE, GATEWAY, include(site, range(5)), 0.2)


def test_a_set_below_the_minimum_or_without_its_shares_gets_no_answer(tmp_path):
    site, _ = running_round(tmp_path, Kind.INCLUDE)
    agent = site.agents[names(6)[0]]
    with pytest.raises(RefusedError, match="at least 3"):
        agent.handle(Kind.INCLUDE, GATEWAY, include(site, [0, 1]), 0.1)
    del agent.state.held[4]
    with pytest.raises(RefusedError, match=r"\[4\]"):
        agent.handle(Kind.INCLUDE, GATEWAY, include(site, range(6)), 0.1)
    assert isinstance(agent.state, Sharing)


def test_no_peer_can_speak_for_the_gateway(tmp_path):
    site, _ = running_round(tmp_path, Kind.INCLUDE)
    name, other = names(6)[:2]
    forged = site.sessions[other].sign(Kind.INCLUDE, Include(1, site.gateway.state.digest, b"\x3f"))
    with pytest.raises(AuthenticationError):
        site.agents[name].handle(Kind.INCLUDE, GATEWAY, forged, 0.1)
    with pytest.raises(RefusedError):
        site.agents[name].handle(Kind.INCLUDE, other, forged, 0.1)


def test_a_round_is_never_answered_again_not_even_after_it_ended(tmp_path):
    site = make_site(tmp_path)
    net = Network(site)
    net.round(5)
    old = next(send for sender, send in net.seen if send.kind is Kind.ANNOUNCE)
    agent = site.agents[names(6)[0]]
    with pytest.raises(RefusedError, match="after 5"):
        agent.handle(Kind.ANNOUNCE, GATEWAY, old.payload, 9.0)


def test_traffic_of_an_old_session_is_refused_after_a_reboot(tmp_path):
    site, net = running_round(tmp_path, Kind.INCLUDE)
    share = next(s for sender, s in net.seen if s.kind is Kind.SHARE and s.receiver == names(6)[0])
    rebooted = Session(names(6)[0], site.identities[names(6)[0]], site.roster)
    for other in site.sessions.values():
        rebooted.meet(other.me, other.hello())
    digest = site.gateway.state.digest
    with pytest.raises(AuthenticationError):
        rebooted.open(
            messages.decode(share.payload, messages.Sealed),
            epoch=site.gateway_session.nonce,
            bound=digest,
        )


def test_an_agent_that_restarts_in_mid_round_does_not_share_in_it_again(tmp_path):
    """Holders of its former vector's shares and of its new one's would sum nonsense together."""
    site = make_site(tmp_path)
    me, hears = names(6)[0], names(6)[1:3]
    net = Network(site, lose=lambda sender, send: sender == me and send.receiver not in hears)
    (opening,) = site.gateway.start(1, 0.0)
    net.post(GATEWAY, [opening])
    net.settle()
    fresh = Session(me, site.identities[me], site.roster)
    for other in names(6)[1:]:
        fresh.meet(other, site.sessions[other].hello())
        site.sessions[other].meet(me, fresh.hello())
    fresh.meet(GATEWAY, site.gateway_session.hello())
    window = Window(np.array([[1.0, 2.0]]), np.ones(1, dtype=np.int64))
    site.agents[me] = AgentRounds(fresh, site.agents[me]._terms, lambda _announce: window)
    net.lose = lambda _sender, _send: False
    net.deliver(me, GATEWAY, opening)  # by a broker that repeats it; the gateway is not told
    site.inputs[me] = window.values
    for _ in range(6):
        net.tick(0.8)
    (outcome,) = net.outcomes
    assert outcome.included == frozenset(range(1, 6))
    assert outcome.sums.tolist() == true_sum(site, outcome.included).tolist()
    # the announce has told the agent that the gateway knows a former hello of its
    assert (me, Kind.KEY) in [(sender, send.kind) for sender, send in net.seen]
    assert net.round(2).included == frozenset(range(6))


def test_an_announce_names_a_session_for_everyone_present(tmp_path):
    site = make_site(tmp_path)
    site.gateway.start(1, 0.0)
    announce = site.gateway.state.announce
    for marks in (announce.sessions[:-1], announce.sessions + bytes(4), b""):
        bad = msgspec.structs.replace(announce, sessions=marks)
        payload = site.gateway_session.sign(Kind.ANNOUNCE, bad)
        with pytest.raises(RefusedError, match="marks"):
            site.agents[names(6)[0]].handle(Kind.ANNOUNCE, GATEWAY, payload, 0.1)


def test_a_sender_seals_a_round_once_even_if_old_hellos_are_repeated(tmp_path):
    site = make_site(tmp_path)
    first, second = (site.sessions[n] for n in names(6)[:2])
    same = {"epoch": b"e" * 16, "bound": b"x" * 32}
    first.seal(second.me, Kind.SHARE, 7, **same, plain=b"text")
    reborn = Session(second.me, site.identities[second.me], site.roster)
    current = second.hello()
    assert first.meet(second.me, reborn.hello())
    assert first.meet(second.me, current)  # the same pair of sessions, so the same keys
    with pytest.raises(RefusedError, match="after 7"):
        first.seal(second.me, Kind.SHARE, 7, **same, plain=b"other text")


@SLOW
@given(st.data())
def test_changed_bytes_are_refused_and_change_nothing(tmp_path, data):
    lost = data.draw(st.sampled_from([Kind.SHARE, Kind.INCLUDE, Kind.RECEIVED, Kind.SUM]))
    site, net = running_round(tmp_path, lost)
    waiting = [(sender, send) for sender, send in net.seen if send.kind is lost]
    sender, send = data.draw(st.sampled_from(waiting))
    damage = data.draw(st.sampled_from(["flip", "cut", "add", "empty"]))
    payload = bytearray(send.payload)
    if damage == "flip":
        index = data.draw(st.integers(0, len(payload) - 1))
        payload[index] ^= 1 << data.draw(st.integers(0, 7))
    elif damage == "cut":
        del payload[data.draw(st.integers(0, len(payload) - 1)) :]
    elif damage == "add":
        payload += data.draw(st.binary(min_size=1, max_size=9))
    else:
        payload.clear()
    target = send.receiver or (names(6)[0] if sender == GATEWAY else GATEWAY)
    machine = site.gateway if target == GATEWAY else site.agents[target]
    before = machine.state
    held = dict(before.held) if isinstance(before, Sharing) else None
    try:
        machine.handle(send.kind, sender, bytes(payload), 0.1)
    except ProtocolError:
        assert machine.state is before
        assert held is None or held.keys() == before.held.keys()
    else:
        # only an early share for a round that is not yet known waits unopened
        assert send.kind is Kind.SHARE
        assert machine.state is before
        assert held.keys() == before.held.keys()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(messages._DECODERS)), st.binary(max_size=300))
def test_decoders_raise_nothing_but_their_own_error(shape, data):
    try:
        message = messages.decode(data, shape)
    except DecodeError:
        return
    assert isinstance(message, shape)


def test_a_symbol_not_below_p_is_refused(tmp_path):
    site, net = running_round(tmp_path, Kind.SUM)
    sender = names(6)[0]
    state = site.gateway.state
    width = 2  # ⌈6 symbols / 4 partitions⌉
    fresh = Session(sender, site.identities[sender], site.roster)
    site.gateway_session.meet(sender, fresh.hello())
    fresh.meet(GATEWAY, site.gateway_session.hello())
    epoch = site.gateway_session.nonce
    plain = b"\xff" * 4 * width
    sealed = fresh.seal(GATEWAY, Kind.SUM, 1, epoch=epoch, bound=state.include_digest, plain=plain)
    with pytest.raises(DecodeError, match="not below p"):
        site.gateway.handle(Kind.SUM, sender, sealed, 0.1)
    assert not state.sums
    assert not net.outcomes


def test_unanswered_rounds_do_not_grow_memory(tmp_path):
    site, _ = running_round(tmp_path, Kind.SHARE)
    agent = site.agents[names(6)[0]]
    peer = site.sessions[names(6)[1]]
    for round_id in range(2, 500):
        sealed = peer.seal(
            agent._session.me, Kind.SHARE, round_id, epoch=b"e" * 16, bound=b"x" * 32, plain=b"y"
        )
        agent.handle(Kind.SHARE, peer.me, sealed, 0.1)
    assert len(agent._early) == 1


@given(st.integers(5, 14), st.integers(0, 2), st.integers(0, 2**32))
def test_the_chosen_set_is_held_by_all_who_sum(count, dropouts, seed):
    rng = random.Random(seed)
    dropouts = min(dropouts, (count - 2) // 2)
    partitions = rng.choice([None, dropouts + 1])
    seats = Seating(Plan(count, 1, dropouts, partitions), frozenset(range(count)))
    reports = {
        p: frozenset(
            q for q in seats.plan.members(seats.plan.group_of(p)) if q == p or rng.random() < 0.8
        )
        for p in seats.holders
        if rng.random() < 0.9
    }
    included, positions = choose_set(reports, seats)
    for group in range(seats.plan.groups):
        members = set(seats.plan.members(group)) & included
        for position in positions:
            assert members <= reports[seats.holder(group, position)]


def test_two_who_hear_nobody_are_left_out():
    everyone = frozenset(range(7))
    seats = Seating(Plan(7, 1, 2), everyone)
    reports = dict.fromkeys(range(5), everyone) | {5: frozenset({5}), 6: frozenset({6})}
    assert choose_set(reports, seats) == (everyone, frozenset(range(5)))


@SLOW
@given(st.integers(0, 2**32), st.integers(6, 40), st.integers(1, 2), st.integers(0, 2))
def test_groups_in_a_tree_sum_exactly_with_dropouts(tmp_path, seed, count, collusion, dropouts):
    rng = random.Random(seed)
    partitions = rng.randint(dropouts + 1, dropouts + 3)
    if count < partitions + collusion + dropouts:
        return
    site = make_site(
        tmp_path, count, collusion, dropouts, collusion + 2, seed % 1000, partitions=partitions
    )
    vanishing = {name: rng.randrange(12) for name in rng.sample(names(count), dropouts)}

    def lose(sender, _send):
        if sender not in vanishing:
            return False
        vanishing[sender] -= 1
        return vanishing[sender] < 0

    outcome = Network(site, rng, lose).round(1)
    assert isinstance(outcome, Completed), outcome
    assert outcome.sums.tolist() == true_sum(site, outcome.included).tolist()
    present = {p for p in range(count) if site.roster.agents[p].id not in vanishing}
    assert present <= outcome.included


def test_agents_that_are_away_take_no_position_with_them(tmp_path):
    """Ten of forty agents are off for good: still D more may vanish while a round runs."""
    site = make_site(tmp_path, 40, 1, 1, partitions=2)
    away = set(names(40)[::5])
    for name in away:
        site.gateway.presence(name, online=False, now=0.0)
    gone = names(40)[1]
    net = Network(site, lose=lambda sender, _send: sender in away or sender == gone)
    outcome = net.round(1)
    assert isinstance(outcome, Completed)
    assert len(outcome.included) >= 31


def test_a_gateway_that_lost_its_store_is_answered_under_other_keys(tmp_path):
    site = make_site(tmp_path)
    net = Network(site)
    assert isinstance(net.round(500), Completed)
    reborn = Session(GATEWAY, site.identities[GATEWAY], site.roster)
    old_hello = site.gateway_session.hello()
    for agent in site.agents.values():
        agent.handle(Kind.KEY, GATEWAY, reborn.hello(), 0.0)
    site.sessions[GATEWAY] = reborn
    terms = site.gateway._terms
    site.gateway = type(site.gateway)(reborn, terms)
    for name, session in site.sessions.items():
        if name != GATEWAY:
            site.gateway.handle(Kind.KEY, name, session.hello(), 0.0)
            site.gateway.presence(name, online=True, now=0.0)
    again = Network(site)
    assert isinstance(again.round(1), Completed)
    old_announce = next(send for _, send in net.seen if send.kind is Kind.ANNOUNCE)
    agent = site.agents[names(6)[0]]
    agent.handle(Kind.KEY, GATEWAY, old_hello, 9.0)  # a hostile broker repeats the old session
    with pytest.raises(RefusedError, match="after 500"):
        agent.handle(Kind.ANNOUNCE, GATEWAY, old_announce.payload, 9.0)


def test_parties_with_other_terms_do_not_understand_each_other(tmp_path):
    site = make_site(tmp_path)
    other = make_site(tmp_path, 6, 2, 1, minimum=4)
    announce = site.gateway.start(1, 0.0)[0]
    agent = site.agents[names(6)[0]]
    agent._terms = other.gateway._terms
    with pytest.raises(RefusedError, match="terms"):
        agent.handle(Kind.ANNOUNCE, GATEWAY, announce.payload, 0.0)


def test_colluders_who_answer_two_sets_do_not_decode_both():
    """T colluders lend their positions to a second set: the honest ones are still too few."""
    for agents, collusion, dropouts in itertools.product(range(4, 12), (1, 2, 3), (0, 1, 2, 3)):
        try:
            code = Plan(agents, collusion, dropouts).code(agents)
        except ConfigurationError:
            continue
        honest = code.positions - collusion
        assert 2 * (code.quorum - collusion) > honest


def test_secrets_do_not_print(tmp_path):
    site, net = running_round(tmp_path, Kind.INCLUDE)
    agent = site.agents[names(6)[0]]
    text = repr(agent.state) + repr(agent._session) + repr(net.seen) + repr(site.identities)
    text += repr(agent._session._peers) + repr(site.gateway.state)
    for share in agent.state.held.values():
        assert str(share.tolist()[0]) not in text
    assert "ChaCha" not in text


def test_a_forged_early_share_neither_displaces_the_true_one_nor_goes_uncounted(tmp_path):
    """The broker hands shares on before the announce, with some of its own after them."""
    site = make_site(tmp_path)
    name, peer = names(6)[:2]
    net = Network(site)
    announce = site.gateway.start(1, 0.0)
    agent = site.agents[name]
    for send in site.agents[peer].handle(Kind.ANNOUNCE, GATEWAY, announce[0].payload, 0.0):
        net.seen.append((peer, send))
        if send.receiver == name:
            agent.handle(Kind.SHARE, peer, send.payload, 0.0)
            forged = messages.Sealed(messages.VERSION, Kind.SHARE, 1, peer, name, bytes(40))
            for _ in range(2):
                agent.handle(Kind.SHARE, peer, messages.encode(forged), 0.0)
    agent.handle(Kind.ANNOUNCE, GATEWAY, announce[0].payload, 0.0)
    assert 1 in agent.state.held
    assert [type(error) for error in agent.take_refused()] == [RefusedError] * 2
    assert agent.take_refused() == []


def test_a_sum_beyond_the_quorum_tells_that_somebody_cheated(tmp_path):
    site = make_site(tmp_path, 8, 1, 2)
    cheat, holder = names(8)[2:4]
    seal = site.sessions[cheat].seal

    def lie(receiver, kind, round_id, *, plain, **bound):
        if (receiver, kind) == (holder, Kind.SHARE):
            plain = prime_field.to_bytes(prime_field.uniform(len(plain) // 4))
        return seal(receiver, kind, round_id, plain=plain, **bound)

    net = Network(site)
    net.round(1)
    assert not [error for *_, error in net.refused if isinstance(error, ContradictionError)]
    assert len([error for *_, error in net.refused if isinstance(error, LateError)]) == 2
    site.sessions[cheat].seal = lie
    net.round(2)
    found = [error for *_, error in net.refused if isinstance(error, ContradictionError)]
    assert found, net.refused
    assert "round 2" in str(found[0])
    late = next(s for sender, s in reversed(net.seen) if s.kind is Kind.SUM)
    sender = next(sender for sender, s in reversed(net.seen) if s is late)
    with pytest.raises(LateError):  # each position is looked at once
        site.gateway.handle(Kind.SUM, sender, late.payload, 9.0)
