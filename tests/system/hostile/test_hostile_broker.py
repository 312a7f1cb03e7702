"""A site on a real Mosquitto, with a broker's evil twin in between.

Agents run as in the field (`protoledger.edge.host`), the gateway as in
`protoledger.gateway.rounds`, each host in a thread; what they refuse is noted on the way. After
every attack the next round must work.
"""

import contextlib
import itertools
import random
import secrets
import struct
import threading
import time

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protoledger.edge import host as edge_host
from protoledger.edge.agent import Agent
from protoledger.edge.config import AgentConfig
from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.emulator.processes.children import Children
from protoledger.protocol.errors import (
    AuthenticationError,
    ConfigurationError,
    DecodeError,
    FloodError,
    LateError,
    RefusedError,
)
from protoledger.protocol.rounds.states import Completed, Failed
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.identity import Identity
from protoledger.protocol.wire.messages import Kind
from protoledger.protocol.wire.schema import Window
from protoledger.protocol.wire.sealing import Session
from protoledger.protocol.wire.topics import topic
from protoledger.runtime.identity_files import load_identity, write_roster
from protoledger.runtime.site import load
from tests.support.broker_site import AGENTS, TO_AGENTS, TO_GATEWAY, Hall
from tests.support.relay import Late

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto is not installed")


@pytest.fixture(scope="module")
def hall(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hall")
    on_stop = edge_host.on_stop
    edge_host.on_stop = lambda _: None  # only a main thread may set handlers
    try:
        with Children(folder / "logs") as children:
            found = Hall(folder, children)
            yield found
            found.close()
    finally:
        edge_host.on_stop = on_stop


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
    kinds = {"boxes": "answer", "answer": "boxes", "announce": "result", "result": "announce"}
    if "/deliver/" in name:  # the one kind with a receiver has no twin
        return [Late(name, payload[:2] + bytes([payload[2] ^ 4]) + payload[3:])]
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


REPEATED = [kind for kind in TO_AGENTS + TO_GATEWAY if kind is not Kind.DELIVER]


@pytest.mark.parametrize("kind", REPEATED, ids=lambda kind: kind.name)
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
        assert "needed" in outcome.reason
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
        999, stranger.mark, hall.roster.digest, bytes(32), messages.pack_members({0, 1, 2}),
        bytes(48), (0, 1, 2), bytes(32), None, (), (),
    )  # fmt: skip
    insider = hall.parties[hall.names[3]].session
    deliver = topic("site-1", Kind.DELIVER, hall.gateway, hall.victim)
    lies = [
        (Kind.KEY, "site-1.nobody", stranger.hello, AuthenticationError),
        (Kind.KEY, hall.names[4], bytes(4000), AuthenticationError),
        (Kind.ANNOUNCE, hall.gateway, stranger.sign(Kind.ANNOUNCE, announce), AuthenticationError),
        (Kind.ANNOUNCE, hall.gateway, insider.sign(Kind.ANNOUNCE, announce), AuthenticationError),
        (Kind.ANNOUNCE, hall.names[3], insider.sign(Kind.ANNOUNCE, announce), RefusedError),
        (Kind.ANSWER, hall.names[3], b"\0", RefusedError),
        (Kind.DELIVER, deliver, b"", None),
        (Kind.DELIVER, deliver, secrets.token_bytes(1_000_000), RefusedError),
        (Kind.DELIVER, deliver, secrets.token_bytes(100), DecodeError),
    ]
    for kind, sender, payload, expected in lies:
        hall.forget()
        name = sender if kind is Kind.DELIVER else topic("site-1", kind, sender)
        hall.relay.inject(hall.victim, name, payload)
        deadline = time.monotonic() + (60 if expected else 0.1)
        while not hall.parties[hall.victim].refused and time.monotonic() < deadline:
            time.sleep(0.005)
        found = [error for _, error in hall.parties[hall.victim].refused]
        assert [type(error) for error in found] == ([expected] if expected else []), kind
    hall.works()


def test_a_forged_hello_counts_for_nobody(hall):
    stranger = Session(hall.names[3], Identity(Ed25519PrivateKey.generate()), hall.roster)
    for name in (hall.victim, hall.gateway):
        hall.relay.inject(name, topic("site-1", Kind.KEY, hall.names[3]), stranger.hello)
    time.sleep(0.2)
    hall.works()


def test_nonsense_instead_of_packets_costs_a_connection(hall):
    hall.relay.inject_bytes(hall.victim, b"\xf7\xff\xff\xff\xff\xff\x00\x01")
    deadline = time.monotonic() + 1
    while len(hall.machine.reachable) == AGENTS and time.monotonic() < deadline:
        time.sleep(0.01)
    hall.settle()
    hall.works()


def test_a_former_sessions_traffic_is_refused_after_a_reboot(hall):
    hall.works()
    level = f"/{hall.victim}"
    old = [
        seen
        for seen in hall.relay.seen[-600:]
        if kind_of(seen.topic) in {Kind.DELIVER, Kind.BOXES, Kind.ANSWER} and level in seen.topic
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

    outcome = hall.round()
    assert isinstance(outcome, Completed)
    hall.works()
    assert hall.refused(hall.gateway, Kind.ANSWER) or hall.refused(hall.gateway, Kind.BOXES)


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
    former = Session(hall.gateway, session._identity, hall.roster).hello
    for name in hall.names:
        hall.relay.inject(name, topic("site-1", Kind.KEY, hall.gateway), former)
    time.sleep(0.1)
    hall.round()
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
        given = hall.schema.contribution(Window(values, votes))
        steps = given.values[given.values > 1].tolist()
        for one, other in itertools.pairwise(steps):
            needles |= {struct.pack("<II", one, other), struct.pack(">II", one, other)}
        for value in values[np.isfinite(values)].tolist():
            needles |= {struct.pack("<d", value), struct.pack(">d", value)}
            needles |= {repr(value).encode()} if len(repr(value)) > 5 else set()
    for party in hall.parties.values():
        for kind, _, plain in party.sealed:
            if kind is Kind.BOX:
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
        if seen.outward and kind_of(seen.topic) in {Kind.BOXES, Kind.DELIVER, Kind.ANSWER}
    ]
    assert len({box[:8] for box in boxes}) == len(boxes), "no key stream is used twice"


def test_recorded_traffic_stays_closed_when_identity_keys_leak_later(hall):
    hall.works()
    hall.settle()
    bound = []
    hall.relay.tamper = lambda *_: bound.append(getattr(hall.machine.state, "opening", None))
    hall.round()
    hall.relay.tamper = lambda *_: None
    (sealed,) = [
        messages.decode(seen.payload, messages.Sealed)
        for seen in hall.recorded(Kind.DELIVER, outward=False, client=hall.victim)[-1:]
    ]
    opening = next(one for one in bound if one is not None)
    leaked = {
        name: load_identity(hall.files.folder / f"{name}.identity")
        for name in (*hall.names, hall.gateway)
    }
    thief = Session(hall.victim, leaked[hall.victim], hall.roster)
    for seen in hall.recorded(Kind.KEY)[-40:]:
        sender = seen.topic.split("/")[4]
        if sender != hall.victim:
            with contextlib.suppress(FloodError):
                thief.heard(sender, seen.payload, 0.0)
    thief.mark = hall.parties[hall.victim].session.mark  # the mark is public, the key is not
    mark = hall.parties[hall.gateway].session.mark
    with pytest.raises(AuthenticationError):
        thief.open(sealed, mark, epoch=opening.announce.session, bound=opening.digest)


def test_an_agent_does_not_start_with_a_roster_that_the_fleet_did_not_sign(hall, tmp_path):
    config = load(hall.files.agent_file(hall.victim), AgentConfig)
    forged = tmp_path / "roster.json"
    enemy = Identity(Ed25519PrivateKey.generate())
    write_roster(forged, "site-1", hall.roster.gateway, hall.roster.agents, enemy)
    with pytest.raises(ConfigurationError, match="not signed by the fleet"):
        Agent(config.model_copy(update={"roster_file": forged}))


def test_a_former_hello_of_the_gateway_at_one_agent_only(hall):
    session = hall.parties[hall.gateway].session
    former = Session(hall.gateway, session._identity, hall.roster).hello
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
