"""A site on a real Mosquitto, with a broker's evil twin in between.

Agents run as in the field (`protoledger.edge.host`), the gateway as in
`protoledger.gateway.rounds`, each host in a thread; what they refuse is noted on the way. After
every attack the next round must work.
"""

import random
import secrets
import struct
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protoledger.edge import host as edge_host
from protoledger.edge.agent import Agent
from protoledger.edge.config import AgentConfig
from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.emulator.processes.children import Children
from protoledger.protocol.code import field
from protoledger.protocol.errors import (
    AuthenticationError,
    ConfigurationError,
    DecodeError,
    LateError,
    RefusedError,
)
from protoledger.protocol.rounds.gateway import Completed, Failed
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.identity import Identity
from protoledger.protocol.wire.messages import Kind
from protoledger.protocol.wire.schema import NO_LABEL, Window
from protoledger.protocol.wire.sealing import Session
from protoledger.protocol.wire.topics import topic
from protoledger.runtime.identity_files import load_identity, write_roster
from protoledger.runtime.site import load
from tests.protocol.test_rounds import Network, true_sum
from tests.support.broker_site import AGENTS, TO_AGENTS, TO_GATEWAY, Hall
from tests.support.in_memory_site import SCHEMA, make_site, names
from tests.support.relay import Late

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto is not installed")


@pytest.fixture(scope="module")
def hall(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hall")
    signals = edge_host.signal  # only a main thread may set handlers
    quiet = SimpleNamespace(signal=lambda *_: None, SIGTERM=signals.SIGTERM, SIGINT=signals.SIGINT)
    edge_host.signal = quiet
    try:
        with Children(folder / "logs") as children:
            found = Hall(folder, children)
            yield found
            found.close()
    finally:
        edge_host.signal = signals


@pytest.fixture(autouse=True)
def calm(hall):
    hall.relay.tamper = lambda *_: None
    hall.forget()
    yield
    hall.relay.tamper = lambda *_: None
    assert hall.relay.errors == []


def kind_of(name):
    level = name.split("/")[3]
    return None if level == "presence" else Kind[level.upper()]


def with_level(name, index, level):
    levels = name.split("/")
    levels[index] = level
    return "/".join(levels)


def once(hall, client, kind, change):
    """Arm the relay: the next message of a kind for a client is what `change` makes of it."""
    fired = threading.Event()

    def tamper(to, name, payload):
        if fired.is_set() or to != client or kind_of(name) is not kind:
            return None
        fired.set()
        return change(name, payload)

    hall.relay.tamper = tamper
    return fired


def flip(name, payload):
    return [Late(name, payload[:-1] + bytes([payload[-1] ^ 0x10]))]


def flip_header(name, payload):
    return [Late(name, payload[:1] + bytes([payload[1] ^ 2]) + payload[2:])]


def truncate(name, payload):
    return [Late(name, payload[: len(payload) // 2])]


def extend(name, payload):
    return [Late(name, payload + b"\0")]


def other_sender(name, payload):
    levels = name.split("/")
    found = levels[4][:-1] + ("5" if levels[4][-1] != "5" else "3")
    return [Late(with_level(name, 4, found), payload)]


def other_kind(name, payload):
    kinds = {"share": "partial", "partial": "share", "received": "sum", "sum": "received"}
    kinds |= {"announce": "include", "include": "result", "result": "announce"}
    return [Late(with_level(name, 3, kinds[name.split("/")[3]]), payload)]


CHANGES = [flip, flip_header, truncate, extend, other_sender, other_kind]


def refusals(hall, name, count):
    """Wait until a party has refused so many messages that were not just late."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        errors = [e for _, e in hall.parties[name].refused if not isinstance(e, LateError)]
        if len(errors) >= count:
            return errors
        time.sleep(0.01)
    raise AssertionError(f"{name} refused only {errors}")


@pytest.mark.parametrize("kind", [Kind.ANNOUNCE, Kind.INCLUDE, Kind.RESULT])
def test_changed_messages_that_are_signed_are_refused_as_well(hall, kind, monkeypatch):
    """Else the gateway says all of this by preimages."""
    monkeypatch.setattr("protoledger.protocol.rounds.hash_chain.Led.foresees", lambda *_: False)
    test_changed_messages_are_refused_and_the_true_one_behind_them_is_not(hall, kind)
    assert not messages.is_revealed(hall.recorded(kind, outward=True)[-1].payload)


@pytest.mark.parametrize("kind", TO_AGENTS + TO_GATEWAY, ids=lambda kind: kind.name)
def test_changed_messages_are_refused_and_the_true_one_behind_them_is_not(hall, kind):
    target = hall.gateway if kind in TO_GATEWAY else hall.victim

    def flood(name, payload):
        return [late for change in CHANGES for late in change(name, payload)] + [
            Late(name, payload)
        ]

    fired = once(hall, target, kind, flood)
    outcome = hall.round()
    assert isinstance(outcome, Completed), outcome
    assert outcome.included == frozenset(range(AGENTS))
    assert fired.wait(60)
    errors = refusals(hall, target, len(CHANGES))
    assert all(isinstance(e, AuthenticationError | DecodeError | RefusedError) for e in errors)
    assert all(str(error) for error in errors)
    hall.works()


@pytest.mark.parametrize("kind", TO_AGENTS + TO_GATEWAY, ids=lambda kind: kind.name)
def test_a_message_that_arrives_only_changed_costs_nobody_else_anything(hall, kind):
    target = hall.gateway if kind in TO_GATEWAY else hall.victim
    fired = once(hall, target, kind, flip)
    outcome = hall.round()
    assert isinstance(outcome, Completed), outcome
    assert len(outcome.included) >= AGENTS - 1
    assert fired.wait(60)
    assert isinstance(refusals(hall, target, 1)[0], AuthenticationError)
    hall.works()


@pytest.mark.parametrize("kind", TO_AGENTS + TO_GATEWAY, ids=lambda kind: kind.name)
def test_a_repeated_message_is_refused(hall, kind):
    target = hall.gateway if kind in TO_GATEWAY else hall.victim
    fired = once(hall, target, kind, lambda name, payload: [Late(name, payload)] * 2)
    assert isinstance(hall.round(), Completed)
    assert fired.wait(60)
    hall.works()
    errors = hall.refused(target, kind)
    assert errors
    assert all(isinstance(error, RefusedError | LateError) for error in errors)


@pytest.mark.parametrize("kind", TO_AGENTS + TO_GATEWAY, ids=lambda kind: kind.name)
def test_a_former_rounds_message_is_refused(hall, kind):
    target = hall.gateway if kind in TO_GATEWAY else hall.victim
    hall.works()
    old = hall.recorded(kind, outward=False, client=target)[-1]
    hall.forget()
    fired = once(
        hall, target, kind, lambda name, new: [Late(old.topic, old.payload), Late(name, new)]
    )
    assert isinstance(hall.round(), Completed)
    assert fired.wait(60)
    hall.works()
    errors = hall.refused(target, kind)
    assert errors
    assert all(isinstance(e, RefusedError | LateError | AuthenticationError) for e in errors)


@pytest.mark.parametrize("kind", TO_AGENTS + TO_GATEWAY, ids=lambda kind: kind.name)
def test_a_kind_that_never_arrives_costs_one_round_at_most(hall, kind):
    hall.relay.tamper = lambda _to, name, _payload: [] if kind_of(name) is kind else None
    outcome = hall.round()
    if kind is Kind.RESULT:
        assert isinstance(outcome, Completed)
    else:
        assert isinstance(outcome, Failed)
        assert "needed" in outcome.reason or "minimum" in outcome.reason
    hall.works()


def test_everything_late_and_out_of_order(hall):
    rng = random.Random(4)
    completed = 0
    for _ in range(6):
        hall.relay.tamper = lambda _to, name, payload: [
            Late(name, payload, rng.choice([0.001, 0.01, 0.03]))
        ]
        completed += isinstance(hall.round(), Completed)
    assert completed
    hall.works()


def test_what_is_invented_is_refused_and_kept_by_nobody(hall):
    stranger = Session(
        hall.names[3], Identity(Ed25519PrivateKey.generate()), hall.roster
    )  # another key under a known name
    announce = messages.Announce(
        999,
        stranger.nonce,
        hall.roster.digest,
        bytes(32),
        messages.pack_members({0, 1, 2}),
        bytes(12),
        bytes(32),
    )
    insider = hall.parties[hall.names[3]].session
    lies = [
        (Kind.KEY, hall.names[3], stranger.hello(), AuthenticationError),
        (Kind.KEY, "site-1.nobody", stranger.hello(), AuthenticationError),
        (Kind.ANNOUNCE, hall.gateway, stranger.sign(Kind.ANNOUNCE, announce), AuthenticationError),
        (Kind.ANNOUNCE, hall.gateway, insider.sign(Kind.ANNOUNCE, announce), AuthenticationError),
        (Kind.ANNOUNCE, hall.names[3], insider.sign(Kind.ANNOUNCE, announce), RefusedError),
        (Kind.RECEIVED, hall.names[3], b"\0", RefusedError),
        (Kind.SHARE, hall.names[2], b"", None),
        (Kind.SHARE, hall.names[2], secrets.token_bytes(100_000), RefusedError),
        (Kind.SHARE, hall.names[2], secrets.token_bytes(100), DecodeError),
    ]
    for kind, sender, payload, expected in lies:
        hall.forget()
        receiver = hall.victim if kind is Kind.SHARE else None
        hall.relay.inject(hall.victim, topic("site-1", kind, sender, receiver), payload)
        deadline = time.monotonic() + (60 if expected else 0.1)
        while not hall.parties[hall.victim].refused and time.monotonic() < deadline:
            time.sleep(0.005)
        found = [error for _, error in hall.parties[hall.victim].refused]
        assert [type(error) for error in found] == ([expected] if expected else []), kind
    hall.works()
    machine = hall.victim_host.agents[hall.victim]._rounds
    for number in range(300):
        box = messages.Sealed(
            messages.VERSION, Kind.SHARE, 2**40 + number, hall.names[4], hall.victim, bytes(99)
        )
        name = topic("site-1", Kind.SHARE, hall.names[4], hall.victim)
        hall.relay.inject(hall.victim, name, messages.encode(box))
    hall.works()
    assert len(machine._early) <= 2 * AGENTS


def test_nonsense_instead_of_packets_costs_a_connection(hall):
    hall.relay.inject_bytes(hall.victim, b"\xf7\xff\xff\xff\xff\xff\x00\x01")
    deadline = time.monotonic() + 1
    while len(hall.machine.reachable) == AGENTS and time.monotonic() < deadline:
        time.sleep(0.01)
    hall.settle()
    hall.works()


def test_a_second_set_and_one_below_the_minimum_get_no_answer(hall):
    session = hall.parties[hall.gateway].session
    began = len(hall.relay.seen)

    def sets(name, payload):
        state = hall.machine.state
        everyone = state.included

        def other(members):
            data = messages.pack_members(frozenset(members))
            body = messages.Include(state.announce.round_id, state.digest, data)
            return Late(name, session.sign(Kind.INCLUDE, body))

        small = other(sorted(everyone)[:2])
        return [small, Late(name, payload), other(everyone - {9}), small]

    fired = once(hall, hall.victim, Kind.INCLUDE, sets)
    assert isinstance(hall.round(), Completed)
    assert fired.wait(60)
    hall.works()
    errors = hall.refused(hall.victim, Kind.INCLUDE)
    assert len(errors) == 3
    assert "at least 3" in str(errors[0])
    assert all(isinstance(error, RefusedError) for error in errors)
    answers = [
        messages.decode(seen.payload, messages.Sealed).round_id
        for seen in hall.relay.seen[began:]
        if seen.outward
        and seen.client == hall.victim
        and kind_of(seen.topic) in {Kind.SUM, Kind.PARTIAL}
    ]
    assert len(set(answers)) == len(answers)


def test_a_second_share_of_another_content_is_refused(hall):
    """A cheating sender seals twice for one holder; the first is what counts."""
    cheat = hall.parties[hall.names[2]].session

    def twice(name, payload):
        sealed = messages.decode(payload, messages.Sealed)
        cheat._last_sealed.clear()
        again = cheat.seal(
            hall.victim,
            Kind.SHARE,
            sealed.round_id,
            epoch=hall.parties[hall.gateway].session.nonce,
            bound=hall.machine.state.digest,
            plain=bytes(len(sealed.box) - 16),
        )
        return [Late(name, payload), Late(name, again)]

    def tamper(to, name, payload):
        mine = to == hall.victim and name.endswith(f"/share/{hall.names[2]}/{hall.victim}")
        return twice(name, payload) if mine else None

    hall.relay.tamper = tamper
    assert isinstance(hall.round(), Completed)
    errors = [str(error) for error in hall.refused(hall.victim, Kind.SHARE)]
    assert any("one share a sender" in text for text in errors), errors
    hall.works()


def test_shares_of_two_polynomials_are_not_taken_for_readings(tmp_path):
    """One holder gets another share than fits the rest: nobody sees it, the sum betrays it."""
    site = make_site(tmp_path)
    cheat, holder = names(6)[2:4]
    seal = site.sessions[cheat].seal

    def lie(receiver, kind, round_id, *, plain, **bound):
        if (receiver, kind) == (holder, Kind.SHARE):
            plain = field.to_bytes(field.uniform(len(plain) // 4))
        return seal(receiver, kind, round_id, plain=plain, **bound)

    site.sessions[cheat].seal = lie
    net = Network(site, random.Random(5))
    wrong = 0
    for round_id in range(1, 11):
        outcome = net.round(round_id)
        if outcome.sums.tolist() != true_sum(site, outcome.included).tolist():
            wrong += 1
            (sample,) = SCHEMA.samples(outcome.sums, len(outcome.included), minimum=3)
            assert not np.isfinite(sample.values).any()
            assert sample.label == NO_LABEL
    assert wrong, "some rounds are decoded without that holder, but not all"


def test_a_former_sessions_traffic_is_refused_after_a_reboot(hall):
    hall.works()
    level = f"/{hall.victim}"
    old = [
        seen
        for seen in hall.relay.seen[-600:]
        if kind_of(seen.topic) in {Kind.SHARE, Kind.PARTIAL, Kind.RECEIVED, Kind.SUM}
        and level in seen.topic
    ]
    assert len(old) > 10
    hall.reboot_victim()
    hellos = [
        messages.decode(messages.decode(seen.payload, messages.Signed).body, messages.SessionKey)
        for seen in hall.recorded(Kind.KEY, outward=True, client=hall.victim)
    ]
    assert hellos[-2].nonce != hellos[-1].nonce
    assert hellos[-2].public_key != hellos[-1].public_key
    hall.forget()
    for seen in old:  # to whom it went then
        client = seen.topic.split("/")[5] if seen.topic.count("/") == 5 else hall.gateway
        hall.relay.inject(client, seen.topic, seen.payload)
    running = hall.recorded(Kind.ANNOUNCE, outward=False, client=hall.victim)[-1]
    hall.relay.inject(hall.victim, running.topic, running.payload)

    def beside(to, name, payload):
        """In the new round, too, each share comes with an old one of its sender before it."""
        if to != hall.victim or kind_of(name) is not Kind.SHARE:
            return None
        twin = next((seen for seen in old if seen.topic == name), None)
        return [Late(name, twin.payload), Late(name, payload)] if twin else None

    hall.relay.tamper = beside
    outcome = hall.round()
    assert isinstance(outcome, Completed)
    hall.works()
    assert any(hall.refused(name, Kind.SHARE) for name in hall.names)
    assert hall.refused(hall.gateway, Kind.SUM) or hall.refused(hall.gateway, Kind.RECEIVED)


def test_a_former_hello_of_an_agent_costs_a_round_and_not_the_agent(hall):
    hall.works()
    old = hall.recorded(Kind.KEY, outward=True, client=hall.victim)[-1]
    hall.reboot_victim()
    for name in (*hall.names[1:], hall.gateway):
        hall.relay.inject(name, old.topic, old.payload)
    time.sleep(0.1)
    hall.round()
    hall.works()


def test_a_former_hello_of_the_gateway_costs_a_round_and_not_the_site(hall):
    session = hall.parties[hall.gateway].session
    former = Session(hall.gateway, session._identity, hall.roster).hello()
    for name in hall.names:
        hall.relay.inject(name, topic("site-1", Kind.KEY, hall.gateway), former)
    time.sleep(0.1)
    assert isinstance(hall.round(), Failed)
    hall.works()


def test_recorded_traffic_tells_no_reading_share_or_sum(hall):
    began = len(hall.relay.seen)
    for party in hall.parties.values():
        party.sealed.clear()
    first = hall.round()
    last = [hall.round() for _ in range(3)][-1]
    rows = range(first.round_id - 1, last.round_id)
    needles = set()
    for values, votes in zip(
        hall.dealt.sites[0].observed[:, rows], hall.dealt.sites[0].votes[:, rows], strict=True
    ):
        vector = hall.schema.symbols(Window(values, votes))
        for symbol, read in zip(vector[::2].tolist(), vector[1::2].tolist(), strict=True):
            if symbol > 1:
                needles |= {struct.pack("<II", symbol, read), struct.pack(">II", symbol, read)}
        for value in values[np.isfinite(values)].tolist():
            needles |= {struct.pack("<d", value), struct.pack(">d", value)}
            needles |= {repr(value).encode()} if len(repr(value)) > 5 else set()
    for party in hall.parties.values():
        for kind, _, plain in party.sealed:
            if kind is not Kind.RECEIVED and len(plain) >= 8:
                needles |= {plain[i : i + 8] for i in range(0, len(plain) - 7, 4)}
    for sums in (first.sums, last.sums):
        data = sums.astype("<u4").tobytes()
        needles |= {data[i : i + 8] for i in range(0, len(data) - 7, 8) if any(data[i : i + 4])}
    needles.discard(bytes(8))
    payloads = [seen.payload for seen in hall.relay.seen[began:]]
    assert len(needles) > 100
    assert len(payloads) > 100
    haystack = b"\xff|\xff".join(payloads)
    assert [needle.hex() for needle in needles if needle in haystack] == []
    assert next(iter(needles)) in haystack + next(iter(needles)), "the search can find something"
    boxes = [
        messages.decode(seen.payload, messages.Sealed).box
        for seen in hall.relay.seen[began:]
        if seen.outward and kind_of(seen.topic) in {Kind.SHARE, Kind.PARTIAL, Kind.SUM}
    ]
    assert len({box[:8] for box in boxes}) == len(boxes), "no key stream is used twice"


def test_recorded_traffic_stays_closed_when_identity_keys_leak_later(hall):
    hall.works()
    hall.settle()
    bound = []
    hall.relay.tamper = lambda *_: bound.append(getattr(hall.machine.state, "digest", None))
    hall.round()
    hall.relay.tamper = lambda *_: None
    shares = hall.recorded(Kind.SHARE, outward=False, client=hall.victim)[-3:]
    (digest,) = set(bound) - {None}
    epoch = hall.parties[hall.gateway].session.nonce
    leaked = {
        name: load_identity(hall.files.folder / f"{name}.identity")
        for name in (*hall.names, hall.gateway)
    }
    thief = Session(hall.victim, leaked[hall.victim], hall.roster)
    for seen in hall.recorded(Kind.KEY):
        sender = seen.topic.split("/")[4]
        if sender != hall.victim:
            thief.meet(sender, seen.payload)
    thief.nonce = hall.parties[hall.victim].session.nonce  # the nonce is public, the key is not
    for seen in shares:
        sealed = messages.decode(seen.payload, messages.Sealed)
        with pytest.raises(AuthenticationError):
            thief.open(sealed, epoch=epoch, bound=digest)


def test_an_agent_does_not_start_with_a_roster_that_the_fleet_did_not_sign(hall, tmp_path):
    config = load(hall.files.agent_file(hall.victim), AgentConfig)
    forged = tmp_path / "roster.json"
    enemy = Identity(Ed25519PrivateKey.generate())
    write_roster(forged, "site-1", hall.roster.gateway, hall.roster.agents, enemy)
    with pytest.raises(ConfigurationError, match="not signed by the fleet"):
        Agent(config.model_copy(update={"roster_file": forged}))


def test_a_former_hello_of_the_gateway_at_one_agent_only(hall):
    session = hall.parties[hall.gateway].session
    former = Session(hall.gateway, session._identity, hall.roster).hello()
    hall.relay.inject(hall.victim, topic("site-1", Kind.KEY, hall.gateway), former)
    time.sleep(0.1)
    assert isinstance(hall.round(), Completed)
    hall.works()


def test_a_former_hello_of_an_agent_at_one_holder_only(hall):
    hall.works()
    old = hall.recorded(Kind.KEY, outward=True, client=hall.victim)[-1]
    hall.reboot_victim()
    hall.relay.inject(hall.names[2], old.topic, old.payload)
    time.sleep(0.1)
    hall.round()
    hall.works()


def test_nothing_is_kept_for_other_groups(hall):
    machine = hall.victim_host.agents[hall.victim]._rounds
    stranger = hall.names[1]  # of the other group: its partial sums may come, its shares never
    box = messages.Sealed(messages.VERSION, Kind.SHARE, 2**40, stranger, hall.victim, bytes(99))
    name = topic("site-1", Kind.SHARE, stranger, hall.victim)
    hall.relay.inject(hall.victim, name, messages.encode(box))
    time.sleep(0.2)
    assert (Kind.SHARE, stranger) not in machine._early
    assert hall.refused(hall.victim, Kind.SHARE)
