"""A course of rounds: one signature, then preimages; and whatever was not foreseen is signed."""

import pytest

from protoledger.protocol.errors import AuthenticationError, RefusedError
from protoledger.protocol.rounds.gateway import Completed
from protoledger.protocol.rounds.hash_chain import ROUNDS, STEPS, Course, Followed, Led
from protoledger.protocol.rounds.states import Sharing
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import VERSION, Announce, Kind, Revealed
from protoledger.protocol.wire.sealing import Session
from tests.protocol.test_rounds import Network, include
from tests.support.in_memory_site import GATEWAY, hello, make_site, names

BY_GATEWAY = {Kind.ANNOUNCE, Kind.INCLUDE, Kind.RESULT}


def said(net, *, revealed):
    """The kinds of what the gateway said so far, signed or revealed."""
    return [
        send.kind
        for sender, send in net.seen
        if sender == GATEWAY
        and send.kind in BY_GATEWAY
        and messages.is_revealed(send.payload) is revealed
    ]


def announce(end=bytes(32)):
    return Announce(7, b"s" * 16, b"r" * 32, b"t" * 32, b"\x07", b"m" * 12, end)


def test_quiet_rounds_need_one_signature(tmp_path):
    net = Network(make_site(tmp_path))
    for number in range(1, ROUNDS + 1):
        assert isinstance(net.round(number), Completed)
    assert said(net, revealed=False) == [Kind.ANNOUNCE]
    assert len(said(net, revealed=True)) == STEPS
    assert isinstance(net.round(ROUNDS + 1), Completed)  # another course
    assert said(net, revealed=False) == [Kind.ANNOUNCE] * 2


def test_who_did_not_hear_the_signed_announce_comes_in_with_the_next_one(tmp_path):
    site = make_site(tmp_path)
    absent = names(6)[4]
    net = Network(site)
    post = net.post

    def deaf(sender, sends):
        post(sender, sends)
        net.flying = [
            (to, who, send)
            for to, who, send in net.flying
            if not (to == absent and send.kind is Kind.ANNOUNCE and not net.hears)
        ]

    net.post, net.hears = deaf, False
    assert 4 not in net.round(1).included
    net.hears = True
    assert net.round(2).included == frozenset(range(6))
    assert said(net, revealed=False).count(Kind.ANNOUNCE) == 2
    assert Kind.INCLUDE in said(net, revealed=False)  # a smaller set was not foreseen


@pytest.mark.parametrize("change", ["agent", "gap", "absence"])
def test_what_was_not_foreseen_begins_another_course(tmp_path, change):
    site = make_site(tmp_path)
    net = Network(site)
    net.round(1)
    number = 2
    if change == "agent":
        name = names(6)[1]
        fresh = Session(name, site.identities[name], site.roster)
        site.gateway.handle(Kind.KEY, name, fresh.hello(), 0.0)
        site.gateway.handle(*hello(site, name), 0.0)
    elif change == "gap":
        number = 3
    else:
        site.gateway.presence(names(6)[5], online=False, now=0.0)
    first = site.gateway._led
    net.post(GATEWAY, site.gateway.start(number, 10.0))
    assert site.gateway._led is not first
    assert said(net, revealed=False) == [Kind.ANNOUNCE] * 2


def test_nothing_is_revealed_after_something_else_was_signed(tmp_path):
    """Later preimages would make statements that the gateway did not make."""
    site = make_site(tmp_path)
    net = Network(site, lose=lambda sender, send: sender == names(6)[0] and send.kind is Kind.SHARE)
    for number in range(1, 5):
        net.round(number)
    kinds = [
        (send.kind, messages.is_revealed(send.payload))
        for sender, send in net.seen
        if sender == GATEWAY and send.kind in BY_GATEWAY
    ]
    assert kinds == [(kind, False) for kind in (Kind.ANNOUNCE, Kind.INCLUDE, Kind.RESULT)] * 4


def test_a_signed_set_beside_the_revealed_one_gets_no_answer(tmp_path):
    site = make_site(tmp_path)
    net = Network(site, lose=lambda _sender, send: send.kind is Kind.INCLUDE)
    net.post(GATEWAY, site.gateway.start(1, 0.0))
    net.settle()
    agent = site.agents[names(6)[0]]
    revealed = next(send for _, send in net.seen if send.kind is Kind.INCLUDE)
    assert messages.is_revealed(revealed.payload)
    other = include(site, range(5))
    agent.handle(Kind.INCLUDE, GATEWAY, revealed.payload, 0.1)
    for again in (other, revealed.payload):
        with pytest.raises(RefusedError):
            agent.handle(Kind.INCLUDE, GATEWAY, again, 0.1)


def test_a_refused_step_is_not_spent(tmp_path):
    """An include that comes before a share is refused; it holds once the share is here."""
    site = make_site(tmp_path)
    net = Network(site, lose=lambda _sender, send: send.kind is Kind.INCLUDE)
    net.post(GATEWAY, site.gateway.start(1, 0.0))
    net.settle()
    agent = site.agents[names(6)[0]]
    payload = next(send.payload for _, send in net.seen if send.kind is Kind.INCLUDE)
    share = agent.state.held.pop(3)
    with pytest.raises(RefusedError):
        agent.handle(Kind.INCLUDE, GATEWAY, payload, 0.1)
    assert isinstance(agent.state, Sharing)
    agent.state.held[3] = share
    assert [send.kind for send in agent.handle(Kind.INCLUDE, GATEWAY, payload, 0.1)] == [Kind.SUM]


def test_a_forged_preimage_is_refused_and_costs_nothing(tmp_path):
    site = make_site(tmp_path)
    net = Network(site)
    net.round(1)
    agent = site.agents[names(6)[0]]
    for number in (2, ROUNDS):
        forged = messages.encode(Revealed(VERSION, Kind.ANNOUNCE, number, b"x" * 32))
        with pytest.raises(AuthenticationError, match="preimage"):
            agent.handle(Kind.ANNOUNCE, GATEWAY, forged, 9.0)
    with pytest.raises(RefusedError, match="a message that agents read"):
        agent.handle(Kind.ANNOUNCE, names(6)[1], forged, 9.0)
    assert net.round(2).included == frozenset(range(6))


def test_a_step_of_another_kind_than_its_topic_is_refused(tmp_path):
    site = make_site(tmp_path)
    net = Network(site)
    net.round(1)
    net.post(GATEWAY, site.gateway.start(2, 9.0))
    payload = net.seen[-1][1].payload
    with pytest.raises(RefusedError, match="RESULT"):
        site.agents[names(6)[0]].handle(Kind.RESULT, GATEWAY, payload, 9.0)


def test_steps_may_be_missed_but_not_repeated():
    led = Led(announce())
    followed = Followed(Course(led.course.first))

    def step(kind, number):
        return messages.decode(led.reveal(kind, number), Revealed)

    late = step(Kind.INCLUDE, 8)
    for kind, number in ((Kind.ANNOUNCE, 8), (Kind.RESULT, 9), (Kind.RESULT, 6 + ROUNDS)):
        followed.check(step(kind, number))
        followed.advance(step(kind, number))
    with pytest.raises(RefusedError):
        followed.check(late)


def test_preimages_do_not_print():
    led = Led(announce())
    text = repr(led) + str(vars(led.course))
    assert not any(preimage.hex() in text for preimage in led._preimages[1:])
    assert "_preimages" not in text
