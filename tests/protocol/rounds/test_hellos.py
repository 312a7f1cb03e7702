"""Hellos that some have and others lack: no agent and no broker stops rounds with them for long."""

import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protoledger.protocol.errors import DecodeError, FloodError, ProtocolError, RefusedError
from protoledger.protocol.rounds.blame import Blame
from protoledger.protocol.rounds.relaying import Relays
from protoledger.protocol.rounds.states import Completed, Idle
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.identity import Identity, Member
from protoledger.protocol.wire.messages import (
    MOST_RELAYED,
    RELAYED_BYTES,
    Announce,
    Boxes,
    Kind,
    Signed,
)
from protoledger.protocol.wire.sealing import HELLOS_AT_ONCE, Session
from protoledger.runtime.identity_files import load_roster, write_roster
from tests.support.in_memory_site import (
    GATEWAY,
    Network,
    acquaint,
    make_roster,
    make_site,
    names,
    start_agent,
    true_sum,
)

SITES = [(6, 1, 3), (10, 1, 3), (12, 1, 11), (20, 2, 19)]


def complete(net, rounds, everybody):
    for round_id in rounds:
        net.now += 60.0
        last = net.round(round_id)
        assert isinstance(last, Completed), last
        assert last.included == frozenset(everybody)


def forget(site, agent, other):
    site.sessions[agent]._peers.pop(other)


@pytest.mark.parametrize(("count", "collusion", "liar"), SITES)
def test_a_hello_at_the_edge_of_the_budget_stops_no_rounds(tmp_path, count, collusion, liar):
    """Its sender's budget is spent at some, and not yet at others, by a few milliseconds."""
    site, me = make_site(tmp_path, count, collusion, 1, collusion + 2), names(count)[liar]
    net, rng = Network(site), random.Random(count)
    net.now = 100.0
    complete(net, [1], range(count))
    fresh = None
    for number in range(int(HELLOS_AT_ONCE) + 1):
        fresh = Session(me, site.identities[me], site.roster)
        for other in site.sessions.values():
            heard = other.me == GATEWAY or number < HELLOS_AT_ONCE or rng.random() < 0.4
            if other.me != me and heard:
                other.heard(me, fresh.hello, 200.0 + 2.0 * (number == HELLOS_AT_ONCE))
    lacking = [n for n, s in site.sessions.items() if n != me and not s.knows(me, fresh.mark)]
    assert len(lacking) > 2
    for other in site.sessions.values():
        fresh.heard(other.me, other.hello, 300.0)
    site.sessions[me] = fresh
    start_agent(site, me)
    net.lose = lambda who, send: who == me and send.kind is Kind.KEY
    net.now = 300.0
    complete(net, range(2, 8), range(count))
    assert not site.gateway.blame.unseated(8)


@pytest.mark.parametrize(("count", "collusion", "liar"), SITES)
def test_a_hello_that_is_displaced_before_the_announce_stops_no_rounds(
    tmp_path, count, collusion, liar
):
    """Five times junk, between the gateway's choice and the announce, at everybody else."""
    site, me = make_site(tmp_path, count, collusion, 1, collusion + 2), names(count)[liar]
    net, rng = Network(site), random.Random(1)
    lost = 0
    for round_id in range(1, 13):
        net.now += 60.0
        acquaint(site, net.now)
        before = len(net.outcomes)
        net.step(site.gateway.start(round_id, net.now))
        for _ in range(5):
            junk = rng.randbytes(200)
            for name, session in site.sessions.items():
                if name != me:
                    session.heard(me, junk, net.now)
        net.settle()
        while len(net.outcomes) == before:
            net.tick(0.6)
        lost += not isinstance(net.outcomes[-1], Completed)
    assert lost == 0
    assert not site.gateway.blame.unseated(13)


def test_what_agents_lack_is_in_the_next_announce_and_in_no_later_one(tmp_path):
    """A broker lets half of the holders have no hello of an agent that everybody knew."""
    site = make_site(tmp_path, 6)
    net, victim = Network(site), names(6)[4]
    complete(net, [1, 2], range(6))
    assert announced_size(net) == 0
    for name in names(6)[:3]:
        forget(site, name, victim)
    last = net.round(3)
    assert not isinstance(last, Completed)  # three of six lack it, and say so
    assert {a for a, rounds in site.taken.items() if 3 in rounds} == set(names(6)[3:])
    complete(net, [4, 5], range(6))
    assert not site.gateway.blame.unseated(6)  # nobody is blamed for it
    assert announced_size(net) == 0


def announced_size(net):
    """How many hellos the last announce carried."""
    (signed,) = [send.payload for _, send in net.seen if send.kind is Kind.ANNOUNCE][-1:]
    return len(messages.decode(messages.decode(signed, Signed).body, Announce).hellos)


def test_who_lacks_a_hello_spends_the_round_and_no_window(tmp_path):
    site = make_site(tmp_path)
    net, me = Network(site), names(6)[0]
    complete(net, [1], range(6))
    forget(site, me, names(6)[1])
    (opening,) = site.gateway.start(2, net.now).send
    agent = site.agents[me]
    (said,) = agent.handle(Kind.ANNOUNCE, GATEWAY, opening.payload, net.now)
    assert said.kind is Kind.BOXES
    assert isinstance(agent.state, Idle)
    assert site.taken[me] == [1]
    # the hello comes, and the announce again: a nonce is used once
    agent.handle(Kind.KEY, names(6)[1], site.sessions[names(6)[1]].hello, net.now)
    with pytest.raises(RefusedError, match="a round after 2"):
        agent.handle(Kind.ANNOUNCE, GATEWAY, opening.payload, net.now)
    site.gateway.handle(Kind.BOXES, me, said.payload, net.now)
    assert site.gateway.state.awaited == frozenset(range(1, 6))


def lie(site, me, lacking, **changed):
    """Boxes that say that hellos are lacking."""
    opening = site.gateway.state.opening
    body = Boxes(b"", None, None, messages.pack_members(lacking), ())
    body = Boxes(**{f: getattr(body, f) for f in body.__struct_fields__} | changed)
    session = site.sessions[me]
    payload = session.seal(
        GATEWAY, site.gateway_session.mark, Kind.BOXES, opening.announce.round_id,
        epoch=site.gateway_session.mark, bound=opening.digest, plain=messages.encode(body),
    )  # fmt: skip
    return site.gateway.handle(Kind.BOXES, me, payload, 0.0)


def test_lies_about_what_is_lacking_are_refused(tmp_path):
    site = make_site(tmp_path)
    complete(Network(site), [1], range(6))
    site.gateway.start(2, 60.0)
    me = iter(names(6))
    with pytest.raises(DecodeError):  # itself
        lie(site, next(me), {0})
    with pytest.raises(DecodeError):  # somebody who is not in the roster
        lie(site, next(me), {9})
    with pytest.raises(DecodeError):  # and shares
        lie(site, next(me), {0}, boxes=(b"",) * 6)
    with pytest.raises(DecodeError):  # and declares
        lie(site, next(me), {0}, declared=b"\1")
    assert site.gateway.state.awaited == frozenset(range(6))
    lie(site, next(me), {0, 1})
    assert 4 not in site.gateway.state.awaited
    site.gateway.expire(1e9)
    site.gateway.start(3, 2e9)
    assert sorted(site.gateway.state.opening.hellos) == [0, 1]
    with pytest.raises(RefusedError, match="what the announce carries"):
        lie(site, names(6)[4], {1})


def test_a_holder_that_says_it_lacks_hellos_is_excused_once_in_64_rounds():
    blame = Blame(collusion=1)
    unseated = []
    for round_id in range(1, 5):
        blame.excuse(2)
        blame.silent(2, round_id)
        unseated.append(blame.until(2))
    assert unseated == [0, 2 + 2, 3 + 4, 4 + 8]
    for round_id in (20, 40, 64):  # a liar that answers in between
        blame.answered(2)
        blame.excuse(2)
        blame.silent(2, round_id)
        assert blame.until(2) == round_id + 2
    blame.answered(2)
    blame.excuse(2)
    blame.silent(2, 65)
    assert blame.until(2) == 64 + 2
    blame.answered(2)
    blame.silent(2, 100)  # it lacks nothing, and is silent
    assert blame.until(2) == 100 + 2


def test_who_holds_no_position_keeps_what_announces_carry_for_when_it_does(tmp_path):
    """Those that leave out what floods them get no hello but by announces."""
    site = make_site(tmp_path, 12)
    net, me = Network(site), names(12)[3]
    complete(net, [1], range(12))
    fresh = site.sessions[me] = Session(me, site.identities[me], site.roster)
    start_agent(site, me)
    for other in site.sessions.values():
        fresh.heard(other.me, other.hello, 100.0)
    site.gateway_session.heard(me, fresh.hello, 100.0)  # and nobody else
    complete(net, [2], range(12))
    assert all(session.knows(me, fresh.mark) for n, session in site.sessions.items() if n != me)


def test_an_announce_carries_hellos_of_those_it_names_only(tmp_path):
    site = make_site(tmp_path)
    site.gateway.start(1, 0.0)
    opening = site.gateway.state.opening
    assert sorted(opening.hellos) == list(range(6))
    fields = {f: getattr(opening.announce, f) for f in opening.announce.__struct_fields__}
    hello = opening.hellos[0]
    stranger = Session(names(6)[0], site.identities[names(6)[0]], site.roster).hello
    for hellos in ((hello, hello), (stranger,), (b"",)):
        forged = site.gateway_session.sign(Kind.ANNOUNCE, Announce(**fields | {"hellos": hellos}))
        with pytest.raises(DecodeError, match="hellos"):
            site.agents[names(6)[1]].handle(Kind.ANNOUNCE, GATEWAY, forged, 0.0)


def test_sums_are_exact_after_hellos_that_only_announces_brought(tmp_path):
    site = make_site(tmp_path, 10)
    for name, session in site.sessions.items():
        for other in names(10):
            if name not in {GATEWAY, other}:
                session._peers.pop(other)
    last = Network(site).round(1)
    assert last.included == frozenset(range(10))
    assert last.sums.tolist() == true_sum(site, range(10)).tolist()


def test_a_flood_of_hellos_that_is_refused_displaces_nothing_that_was_relayed(tmp_path):
    site = make_site(tmp_path)
    net, me, rng = Network(site), names(6)[0], random.Random(2)
    complete(net, [1], range(6))
    floods = 0
    for _ in range(100):
        try:
            site.sessions[me].heard(names(6)[1], rng.randbytes(200), net.now)
        except (FloodError, ProtocolError):
            floods += 1
    assert floods > 80
    complete(net, [2, 3], range(6))


def test_no_announce_carries_more_than_it_may():
    relays = Relays()
    marks = {n: bytes([n % 256, n // 256]) for n in range(200)}
    seen = set()
    for _ in range(4):
        wanted = relays.wanted(marks)
        assert len(wanted) <= MOST_RELAYED
        relays.sent(marks, wanted)
        seen |= set(wanted)
    assert seen == set(marks)
    relays.lacks(0, frozenset(range(200)))
    first = relays.wanted(marks)
    assert len(set(first)) == MOST_RELAYED
    relays.sent(marks, first)
    assert relays.wanted(marks) == []


def test_who_lacks_everybody_keeps_nobody_from_the_few_hellos_that_it_needs():
    """Three liars say each round that they lack all of 300; one agent really lacks one."""
    relays = Relays()
    marks = {n: bytes([n % 256, n // 256]) for n in range(300)}
    for _ in range(8):
        relays.sent(marks, relays.wanted(marks))
    for needed in range(60):
        for liar in (100, 200, 298):
            relays.lacks(liar, frozenset(marks) - {liar})
        relays.lacks(299, frozenset({needed}))
        wanted = relays.wanted(marks)
        assert needed in wanted
        assert len(set(wanted)) == len(wanted) == MOST_RELAYED
        relays.sent(marks, wanted)


def test_the_longest_hello_there_is_fits_an_announce(tmp_path):
    longest = "a" * 64
    fleet = Identity(Ed25519PrivateKey.generate())
    mine = Identity(Ed25519PrivateKey.generate())
    one = Member(longest, mine.public_key.hex(), ("a", "b"))
    _, identities = make_roster(tmp_path, 3)
    others = [Member(n, i.public_key.hex(), ("a", "b")) for n, i in identities.items()]
    path = tmp_path / "other.json"
    write_roster(path, longest, others[0], (one, *others[2:]), fleet)
    session = Session(longest, mine, load_roster(path, fleet.public_key))
    assert len(session.hello) <= RELAYED_BYTES
