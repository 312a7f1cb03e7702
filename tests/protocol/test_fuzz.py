"""Nothing that comes from outside raises anything but the protocol's errors, or stays behind.

Decoders get any bytes and damaged real ones. The machines get any sequence of real messages of
several rounds and sessions, damaged, misdirected, repeated and out of order: after each refusal the
machine must be as it was before, and however long it goes on its memory is bounded by the roster.
"""

import collections
import functools
import json
import random
import tempfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from protoledger.protocol.code import field
from protoledger.protocol.errors import ConfigurationError, DecodeError, LateError, ProtocolError
from protoledger.protocol.rounds.states import Completed, Failed
from protoledger.protocol.wire import messages, topics
from protoledger.protocol.wire.identity import Identity
from protoledger.protocol.wire.messages import Kind
from protoledger.protocol.wire.sealing import Session
from protoledger.runtime.identity_files import load_roster, write_roster
from tests.support.in_memory_site import GATEWAY, Network, make_site, names, true_sum

SHORT, LONG = 200, 100_000
STARTS = 0.1
"""How often a gateway that waits starts a round before the next message."""
AGENTS = 8
STEPS = 150
CASES = settings(
    deadline=None, suppress_health_check=list(HealthCheck), max_examples=SHORT, database=None
)
SHAPES = list(messages._DECODERS)
VECTORS = Path(__file__).parent / "vectors"


def known_messages():
    """Real bytes to damage: the good vectors' envelopes and bodies."""
    good = json.loads((VECTORS / "messages.json").read_text(encoding="utf-8"))
    found = [case["hex"] for case in good["signed"] + good["sealed"]]
    found += [case["body"] for case in good["signed"]]
    return [bytes.fromhex(text) for text in found]


REAL = known_messages()


def damage(rng, payload, others=(b"",)):
    """One of the things that a network or an enemy does to bytes."""
    data = bytearray(payload)
    match rng.randrange(9):
        case 0 if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 1 if data:
            del data[rng.randrange(len(data)) :]
        case 2:
            data += rng.randbytes(rng.randrange(1, 9))
        case 3 if data:
            at = rng.randrange(len(data))
            data[at:at] = rng.randbytes(rng.randrange(1, 4))
        case 4 if data:
            at = rng.randrange(len(data))
            del data[at : at + rng.randrange(1, 40)]
        case 5:
            other = rng.choice(others)
            data[rng.randrange(len(data) + 1) :] = other[rng.randrange(len(other) + 1) :]
        case 6:
            data[:] = rng.randbytes(rng.randrange(300))
        case 7 if data:
            data[rng.randrange(len(data))] = rng.choice([0, 0x7F, 0x80, 0xC0, 0xC1, 0xFF])
        case _:
            data *= 2
    return bytes(data)


def try_decoders(rng, data):
    """Give bytes to every decoder."""
    for shape in SHAPES:
        try:
            message = messages.decode(data, shape)
        except DecodeError:
            continue
        assert messages.decode(messages.encode(message), shape) == message
    try:
        members = messages.unpack_members(data, agents := rng.randrange(1, 1001))
    except DecodeError:
        pass
    else:
        assert all(0 <= member < agents for member in members)
        assert messages.pack_members(members) == data
    try:
        symbols = field.from_bytes(data, count := rng.choice([0, 1, len(data) // 4]))
    except DecodeError:
        pass
    else:
        assert symbols.size == count
        assert (symbols < field.P).all()
        assert field.to_bytes(symbols) == data


@CASES
@given(st.binary(max_size=400), st.randoms(use_true_random=False))
def test_decoders_of_any_bytes(data, rng):
    try_decoders(rng, data)


@CASES
@given(st.sampled_from(REAL), st.randoms(use_true_random=False))
def test_decoders_of_damaged_messages(data, rng):
    for _ in range(rng.randrange(1, 4)):
        data = damage(rng, data, REAL)
    try_decoders(rng, data)


LEVELS = st.text(alphabet="abz09._-/+#\x00\n Ä", max_size=8) | st.sampled_from(
    ["protoledger", "v1", "attic", "deliver", "key", "presence", GATEWAY, *names(2)]
)


@CASES
@example(topics.topic("attic", Kind.KEY, "pi-1") + "\n")
@given(st.lists(LEVELS, max_size=8).map("/".join) | st.text(max_size=80))
def test_topics(text):
    try:
        address = topics.parse(text)
    except DecodeError:
        return
    assert topics.topic(address.site, address.kind, address.sender, address.receiver) == text
    assert len(text.split("/")) in {5, 6}
    assert not any(character.isspace() or character in "+#\0" for character in text)


@CASES
@given(st.randoms(use_true_random=False))
def test_rosters_of_damaged_files(rng):
    site = template()
    path = site.folder / f"fuzzed-{rng.randrange(4)}.json"
    original = (site.folder / "signed.json").read_bytes()
    data = damage(rng, original, REAL)
    path.write_bytes(data)
    try:
        roster = load_roster(path, site.fleet)
    except ConfigurationError:
        return
    assert roster.digest == site.roster.digest  # only white space differed


@functools.cache
def template():
    """A site with a roster whose fleet's key is known."""
    temporary = tempfile.TemporaryDirectory()  # removed when the process ends
    folder = Path(temporary.name)
    site = make_site(folder, AGENTS)
    fleet = Identity(Ed25519PrivateKey.generate())
    signed = folder / "signed.json"
    write_roster(signed, "attic", site.roster.gateway, site.roster.agents, fleet)
    site.folder, site.fleet, site.temporary = folder, fleet.public_key, temporary
    assert load_roster(signed, site.fleet).digest == site.roster.digest
    return site


class Table:
    """Two rounds of a new site, with the messages that were said in them and before."""

    def __init__(self, folder, seed):
        self.rng = random.Random(seed)
        self.site = make_site(folder, AGENTS)
        self.pool, self.flying = [], []
        self.now, self.round_id = 0.0, 1
        self.met = collections.Counter()
        old = {
            name: Session(name, identity, self.site.roster)
            for name, identity in self.site.identities.items()
        }
        self.pool += [(Kind.KEY, name, session.hello) for name, session in old.items()]
        stale = messages.Announce(
            1, old[GATEWAY].mark, self.site.roster.digest, bytes(32), b"\3", bytes(32), (0, 1),
            bytes(32), None, (), (),
        )  # fmt: skip
        self.pool.append((Kind.ANNOUNCE, GATEWAY, old[GATEWAY].sign(Kind.ANNOUNCE, stale)))
        net = Network(self.site, self.rng)
        net.round(1)
        self.pool += [(send.kind, sender, send.payload) for sender, send in net.seen]
        self.pool += [(Kind.KEY, n, s.hello) for n, s in self.site.sessions.items()]

    def post(self, sender, sends):
        for send in sends:
            self.pool.append((send.kind, sender, send.payload))
            everyone = self.site.agents if sender == GATEWAY else [GATEWAY]
            targets = everyone if send.receiver is None else [send.receiver]
            self.flying += [(target, (send.kind, sender, send.payload)) for target in targets]

    def message(self):
        """A message of the pool: the newest ones more often, damaged or misdirected at times."""
        rng = self.rng
        recent = self.pool[-30:] if rng.random() < 0.6 else self.pool
        kind, sender, payload = rng.choice(recent)
        if rng.random() < 0.3:
            payload = damage(rng, payload, [p for _, _, p in self.pool[-20:]])
        if rng.random() < 0.1:
            kind = rng.choice(list(Kind))
        if rng.random() < 0.1:
            sender = rng.choice([GATEWAY, *names(AGENTS), "attic.agent-99", ""])
        return kind, sender, payload

    def step(self):
        """One event at one party: what was meant for it, what was not, or its clock."""
        rng, site = self.rng, self.site
        name = rng.choice([GATEWAY, *names(AGENTS)])
        draw = rng.random()
        if draw < 0.55 and self.flying:
            name, message = self.flying.pop(rng.randrange(len(self.flying)))
            self.give(name, message)
        elif draw < 0.9:
            self.give(name, self.message())
        elif draw < 0.94:
            who, online = rng.choice([*names(AGENTS), "nobody"]), rng.random() < 0.7
            self.take(GATEWAY, site.gateway.presence(who, online=online, now=self.now))
        elif draw < 0.98:
            self.now += rng.choice([0.01, 0.3])
            self.take(name, self.machine(name).expire(self.now))
        # not at once: messages must find a gateway that waits, too
        ready = site.gateway.deadline is None and site.gateway.ready
        if ready and self.rng.random() < STARTS:
            self.round_id += 1
            self.take(GATEWAY, site.gateway.start(self.round_id, self.now))
        bounded(self.machine(name), site)

    def machine(self, name):
        return self.site.gateway if name == GATEWAY else self.site.agents[name]

    def give(self, name, message):
        machine = self.machine(name)
        before = snapshot(machine)
        self.met[type(machine.state).__name__, message[0].name] += 1
        refused = None
        try:
            self.take(name, machine.handle(*message, self.now))
        except ProtocolError as error:
            refused = error
        if refused is not None:
            assert str(refused)
            assert snapshot(machine) == before, (message[0], refused)

    def take(self, name, result):
        if isinstance(result, list):
            self.post(name, result)
            return
        self.post(name, result.send)
        if result.outcome is not None:
            assert isinstance(result.outcome, Completed | Failed)


def owed(machine):
    debts = getattr(machine, "_debts", None)
    return dict(debts._owed) if debts is not None else {}


def snapshot(machine):
    """All that a message may not change if it is refused."""
    session = machine._session
    rest = [session.mark, dict(session._last_sealed), dict(getattr(machine, "_last_rounds", {}))]
    rest += [id(getattr(machine, "_memory", None)), owed(machine)]
    blame = getattr(machine, "blame", None)
    rest += [blame and (set(blame.excluded), set(blame._edges), dict(blame._until))]
    return id(machine.state), rest


def bounded(machine, site):
    """What a party keeps grows with the roster, and with nothing that the network can choose."""
    session, state = machine._session, machine.state
    assert set(session._peers) <= set(site.identities)
    for peer in session._peers.values():
        assert len(peer.keys) <= 2
        assert len(peer.hellos) <= 4
        assert peer.shared.keys() | peer.bad <= peer.hellos.keys()
    assert len(getattr(machine, "_last_rounds", {})) <= 8
    for key in ("boxes", "answers", "awaited"):
        assert len(getattr(state, key, ())) <= AGENTS


def drive(seed, steps):
    with tempfile.TemporaryDirectory() as folder:
        table = Table(Path(folder), seed)
        for _ in range(steps):
            table.step()
        recover(table)
    return table.met


def recover(table):
    """Whatever happened, the next quiet round is exact."""
    site = table.site
    table.now += 1000
    for name, session in site.sessions.items():
        for other in site.sessions.values():
            session.heard(other.me, other.hello, table.now)
        if name != GATEWAY:
            site.gateway.presence(name, online=True, now=table.now)
    assert not site.gateway.blame.excluded
    site.gateway.blame._until.clear()
    site.gateway.blame._suspended.clear()
    site.gateway._debts._owed.clear()
    for _ in range(2):
        table.now += 100
        for machine in (site.gateway, *site.agents.values()):
            machine.expire(table.now)
    net = Network(site, table.rng)
    net.now = table.now
    outcome = net.round(1_000_000)
    assert isinstance(outcome, Completed), outcome
    assert outcome.included == frozenset(range(AGENTS))
    assert outcome.sums.tolist() == true_sum(site, outcome.included).tolist()


@settings(CASES, max_examples=20)
@given(st.integers(0, 2**32))
def test_machines_of_any_messages(seed):
    drive(seed, STEPS)


def test_late_is_told_apart_from_refused():
    assert issubclass(LateError, ProtocolError)
    assert not issubclass(LateError, DecodeError)


@pytest.mark.long
@settings(CASES, max_examples=LONG // 2)
@given(st.sampled_from(REAL), st.randoms(use_true_random=False))
def test_decoders_long(data, rng):
    for _ in range(rng.randrange(1, 4)):
        data = damage(rng, data, REAL)
    try_decoders(rng, data)


@pytest.mark.long
def test_machines_long():
    met = collections.Counter()
    for seed in range(LONG // 2 // 500):
        met += drive(seed, 500)
    for state in ("Idle", "Shared", "Answered", "Waiting", "Collecting", "Opened"):
        assert sum(met[state, kind.name] for kind in Kind) > 500, met
