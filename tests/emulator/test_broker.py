"""A real Mosquitto with our access list, and the embedded broker that stands in for it.

`make mochi` builds a broker of another make, which the same tests then hold to the same list:
`.venv/bin/python -m pytest -m long tests/emulator/test_broker.py`.
"""

import socket
import ssl
import stat
import time
from contextlib import ExitStack

import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from protoledger.emulator.errors import BrokerError, ProgramMissingError
from protoledger.emulator.processes import broker as broker_module
from protoledger.emulator.processes.broker import (
    ExternalBroker,
    Mosquitto,
    find_mosquitto,
    parse_host_port,
    try_connection,
)
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.emulator.processes.children import Children
from protoledger.emulator.processes.embedded_broker import EmbeddedBroker
from protoledger.protocol.wire.messages import Kind
from protoledger.protocol.wire.topics import agent_subscriptions, gateway_subscriptions, topic
from protoledger.runtime.broker.access_list import NameRefusedError, acl_text, checked_name
from protoledger.runtime.broker.limits import BrokerLimits
from tests.support.broker_client import Client, until
from tests.support.raw_client import RawClient, packet, text
from tests.support.strict_brokers import STRICT, strict_broker

needs_mosquitto = pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto not installed")
GATEWAY, A1, A2 = "a.gateway", "a.agent-1", "a.agent-2"
B_GATEWAY, B1 = "b.gateway", "b.agent-1"
ACL = acl_text("a", GATEWAY, [A1, A2]) + "\n" + acl_text("b", B_GATEWAY, [B1])
SETTLED_S = 0.4  # what has not arrived by then is not coming


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return CertificateAuthority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module", params=["embedded", *STRICT])
def either(request, tmp_path_factory, authority):
    folder = tmp_path_factory.mktemp("broker")
    with Children(folder / "logs") as children:
        if request.param == "embedded":
            yield EmbeddedBroker(folder, authority, children).start(60.0)
        else:
            yield strict_broker(request.param)(folder, authority, ACL, children).start(60.0)


@pytest.fixture(scope="module", params=STRICT)
def kind(request):
    return strict_broker(request.param)


@pytest.fixture(scope="module")
def where(kind, tmp_path_factory, authority):
    folder = tmp_path_factory.mktemp("strict")
    with Children(folder / "logs") as children:
        yield kind(folder, authority, ACL, children).start(60.0)


@pytest.fixture
def clients(authority):
    with ExitStack() as stack:

        def connect(where, client_id, **options):
            client = Client(where, authority, client_id, **options)
            stack.callback(client.close)
            return client

        yield connect


# ---- what all brokers do


def test_a_delivery_reaches_its_receiver_with_its_expiry(either, clients):
    sender = clients(either, GATEWAY)
    receiver = clients(either, A2, topics=["protoledger/v1/a/#"])
    expiries = []
    receiver.paho.on_message = lambda _c, _u, m: expiries.append(
        (len(m.payload), m.properties.MessageExpiryInterval)
    )
    receiver.ready()
    properties = Properties(PacketTypes.PUBLISH)
    properties.MessageExpiryInterval = 30
    for size in (0, 1, 1_000_000):
        name = topic("a", Kind.DELIVER, GATEWAY, A2)
        assert sender.ready().publish(name, b"\x00" * size, properties=properties)
    until(lambda: len(expiries) == 3)
    assert [size for size, _ in expiries] == [0, 1, 1_000_000]
    assert all(28 <= expiry <= 30 for _, expiry in expiries)


def test_presence_is_retained_and_the_will_is_sent(either, clients):
    name = topic("a", None, A1)
    agent = clients(either, A1, will=(name, b"0")).ready()
    agent.publish(name, b"1", retain=True)
    gateway = clients(either, GATEWAY, topics=gateway_subscriptions("a", [A1, A2])).ready()
    until(lambda: (name, b"1") in gateway.received)
    agent.vanish()
    until(lambda: (name, b"0") in gateway.received)
    late = clients(either, GATEWAY, topics=gateway_subscriptions("a", [A1, A2])).ready()
    until(lambda: (name, b"0") in late.received)


def test_a_burst_arrives_whole_and_in_order(either, clients):
    sender = clients(either, GATEWAY).ready()
    receiver = clients(either, A2, topics=agent_subscriptions("a", A2, GATEWAY, None)).ready()
    name = topic("a", Kind.DELIVER, GATEWAY, A2)
    for i in range(3000):
        sender.paho.publish(name, b"%d" % i, qos=1)
    until(lambda: sum(n == name for n, _ in receiver.received) == 3000)
    assert [p for n, p in receiver.received if n == name] == [b"%d" % i for i in range(3000)]


def test_an_authority_that_did_not_issue_it_is_not_fooled(either, tmp_path):
    other = CertificateAuthority(tmp_path / "other")
    assert "certificate verify failed" in try_connection(either.host, either.port, other.file)


# ---- what certificates and the access list add


REFUSED = r"(?i)alert|EOF|reset|pipe"  # how much of the reason arrives is a matter of timing
CONNECT = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x03abc"


def answer_to(where, context):
    """What the broker says to a CONNECT over this TLS; an OSError if it does not let us in."""
    with (
        socket.create_connection((where.host, where.port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=where.host) as tls,
    ):
        tls.sendall(CONNECT)
        if answer := tls.recv(4):
            return answer
        raise ConnectionResetError("reset")


def tls_context(where, credentials=None):
    context = ssl.create_default_context(cafile=str(where.authority))
    if credentials is not None:
        context.load_cert_chain(credentials.certificate, credentials.key)
    return context


def test_a_certificate_of_ours_enters(where, authority):
    assert answer_to(where, tls_context(where, authority.client(A1)))[:1] == b"\x20"


def test_without_a_certificate_nobody_enters(where):
    with pytest.raises(OSError, match=REFUSED):
        answer_to(where, tls_context(where))


def test_another_authority_s_certificate_does_not_enter(where, tmp_path):
    forged = CertificateAuthority(tmp_path / "other").client(A1)
    with pytest.raises(OSError, match=REFUSED):
        answer_to(where, tls_context(where, forged))


def test_the_broker_s_certificate_is_no_client_s(where, authority):
    with pytest.raises(OSError, match=REFUSED):
        answer_to(where, tls_context(where, authority.server()))


def test_tls_below_1_2_is_refused(where, authority):
    context = tls_context(where, authority.client(A1))
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError, match=r"(?i)ssl"):
        answer_to(where, context)


MAY_NOT_WRITE = [
    (A1, topic("a", Kind.BOXES, A2)),  # in another's name
    (A1, topic("a", Kind.KEY, A2)),
    (A1, topic("a", None, A2)),
    (A1, topic("a", Kind.DELIVER, GATEWAY, A2)),
    (A1, topic("a", Kind.DELIVER, A1, A2)),
    (A1, topic("a", Kind.ANNOUNCE, A1)),  # as if it were the gateway
    (A1, topic("a", Kind.ANNOUNCE, GATEWAY)),
    (A1, topic("a", Kind.RESULT, GATEWAY)),
    (A1, topic("b", Kind.BOXES, A1)),  # into another site
    (A1, topic("b", Kind.DELIVER, B_GATEWAY, B1)),
    (GATEWAY, topic("a", Kind.ANSWER, A1)),
    (GATEWAY, topic("b", Kind.DELIVER, GATEWAY, B1)),
    (GATEWAY, topic("b", Kind.ANNOUNCE, GATEWAY)),
    (A1, "elsewhere"),
    (A1, "$SYS/broker/uptime"),
]


def test_who_may_not_write(where, clients):
    everyone = {
        i: clients(where, i, topics=["#"]).ready() for i in (GATEWAY, A1, A2, B_GATEWAY, B1)
    }
    for client_id, name in MAY_NOT_WRITE:
        if name.startswith("$SYS"):  # Mosquitto acknowledges it, mochi-mqtt says nothing
            everyone[client_id].paho.publish(name, b"forged", qos=1)
        else:
            assert not everyone[client_id].publish(name, b"forged"), (client_id, name)
    time.sleep(SETTLED_S)
    assert not any(p == b"forged" for c in everyone.values() for _, p in c.received)


def test_who_may_write_and_who_then_reads(where, clients):
    everyone = {i: clients(where, i, topics=["#", "$SYS/#"]) for i in (GATEWAY, A1, A2, B1)}
    for client in everyone.values():
        client.ready()
        until(lambda c=client: c.connected)
    site = {GATEWAY, A1, A2}
    expected = {
        topic("a", Kind.KEY, A1): site,
        topic("a", None, A1): {GATEWAY},
        topic("a", Kind.BOXES, A1): {GATEWAY},
        topic("a", Kind.ANSWER, A1): {GATEWAY},
    }
    by_gateway = {
        topic("a", Kind.ANNOUNCE, GATEWAY): {A1, A2},
        topic("a", Kind.RESULT, GATEWAY): {A1, A2},
        topic("a", Kind.DELIVER, GATEWAY, A2): {A2},
    }
    for writer, topics in ((A1, expected), (GATEWAY, by_gateway)):
        for name, readers in topics.items():
            payload = name.encode()
            assert everyone[writer].publish(name, payload), name
            for reader in readers:
                until(lambda r=reader, n=name, p=payload: (n, p) in everyone[r].received)
    time.sleep(SETTLED_S)
    for name, readers in (expected | by_gateway).items():
        got = {i for i, c in everyone.items() if (name, name.encode()) in c.received}
        assert got == readers, name
    assert not any(n.startswith("$SYS") for c in everyone.values() for n, _ in c.received)


def test_a_certificate_decides_whatever_the_client_calls_itself(where, clients):
    """A2 connects under the others' client ids, yet with its own certificate."""
    others = [clients(where, name).ready() for name in (A1, GATEWAY)]
    for name in (A1, GATEWAY):
        impostor = clients(where, name, certificate=A2).ready()
        assert not impostor.publish(topic("a", Kind.BOXES, A1))
        assert impostor.publish(topic("a", Kind.BOXES, A2))
        impostor.close()
    for other in others:
        assert other.lost == 0
    assert others[0].publish(topic("a", Kind.BOXES, A1))


def test_a_certificate_has_one_connection(kind, authority, tmp_path):
    """It opens twice as many as the broker allows; honest clients keep theirs, and get new ones."""
    limits = BrokerLimits(2**16, 64, 100, 2**20, connections=32, memory_bytes=2**25)
    with Children(tmp_path / "logs") as children, ExitStack() as stack:
        broker = kind(tmp_path / "few", authority, ACL, children, limits).start(60.0)

        def connect(name):
            client = Client(broker, authority, name)
            stack.callback(client.close)
            return client.ready()

        honest = [connect(A1), connect(GATEWAY)]
        held = [RawClient(broker, authority, A2, client_id=f"enemy-{i}") for i in range(64)]
        late = connect(B1)
        for client, name in zip([*honest, late], (A1, GATEWAY, B1), strict=True):
            assert client.publish(topic(name[0], Kind.KEY, name))
            assert client.lost == 0
        for client in held:
            client.close()


def test_a_will_in_another_s_name_is_refused(where, clients):
    watcher = clients(where, GATEWAY, topics=gateway_subscriptions("a", [A1, A2])).ready()
    liar = clients(where, A1, will=(topic("a", None, A2), b"forged"))
    until(lambda: liar.connected is not None)
    if liar.connected:
        liar.vanish()
    time.sleep(SETTLED_S)
    assert not any(payload == b"forged" for _, payload in watcher.received)


def test_a_stranger_with_a_valid_certificate_may_nothing(where, clients):
    stranger = clients(where, "nobody", topics=["#"]).ready()
    assert not stranger.publish(topic("a", Kind.BOXES, "nobody"))
    assert clients(where, A1).ready().publish(topic("a", Kind.KEY, A1))
    time.sleep(SETTLED_S)
    assert stranger.received == []


def test_subscriptions_take_no_more_memory_than_the_broker_may(authority, tmp_path):
    """Mosquitto limits nobody's subscriptions: who takes the last of the memory is thrown out."""
    if find_mosquitto() is None:
        pytest.skip("Mosquitto not installed")
    limits = BrokerLimits(2**16, 64, 100, 2**20, connections=32, memory_bytes=2**22)
    with Children(tmp_path / "logs") as children, ExitStack() as stack:
        broker = Mosquitto(tmp_path / "small", authority, ACL, children, limits).start()
        enemy = RawClient(broker, authority, A2)
        many = [
            b"".join(text(f"{n:x}") + b"\0" for n in range(m, m + 500))
            for m in range(1, 2**17, 500)
        ]
        with pytest.raises(OSError, match=f"{REFUSED}|hung up"):  # noqa: PT012 - whichever sees it
            for body in many:
                enemy.socket.sendall(packet(0x82, b"\0\1\0" + body))
                enemy.receive()
        client = Client(broker, authority, A1)
        stack.callback(client.close)
        assert client.ready().publish(topic("a", Kind.KEY, A1))
        assert children.running() == ["broker"]


# ---- bringing it up


@needs_mosquitto
def test_a_broken_configuration_is_told_with_the_log(tmp_path, authority, monkeypatch):
    told = "no_such_option true\n"
    monkeypatch.setattr(broker_module, "configuration", lambda *_, **__: told)
    with Children(tmp_path) as children, pytest.raises(BrokerError, match="no_such_option"):
        Mosquitto(tmp_path, authority, ACL, children).start()


@needs_mosquitto
def test_a_port_that_was_taken_meanwhile_is_given_up(tmp_path, authority, monkeypatch, where):
    ports = iter([where.port, broker_module.free_port()])
    monkeypatch.setattr(broker_module, "free_port", lambda: next(ports))
    with Children(tmp_path) as children:
        assert Mosquitto(tmp_path, authority, ACL, children).start().port != where.port


def test_a_missing_mosquitto_is_told(tmp_path, authority, monkeypatch):
    monkeypatch.setattr(broker_module, "find_mosquitto", lambda: None)
    with Children(tmp_path) as children, pytest.raises(ProgramMissingError, match="make setup"):
        Mosquitto(tmp_path, authority, ACL, children).start()


def test_mosquitto_is_found_when_not_on_the_path(monkeypatch):
    found = find_mosquitto()
    monkeypatch.setenv("PATH", "/nonexistent")
    if found is not None and found.parent.name == "sbin":
        assert find_mosquitto() is not None


def test_an_external_broker_is_only_knocked_at(either):
    where = ExternalBroker(either.host, either.port, either.authority).start()
    assert (where.host, where.port) == (either.host, either.port)
    with pytest.raises(BrokerError, match="no MQTT broker at 127"):
        ExternalBroker("127.0.0.1", 1).start(timeout_s=0.2)


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":1883", "host:0", "host:65536", "host:-1", "host:1x", "host:²"]
)
def test_addresses_that_are_none(text):
    with pytest.raises(BrokerError, match="HOST:PORT"):
        parse_host_port(text)


# ---- names, certificates, access list


NAMES = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?", fullmatch=True)


@given(site=NAMES, ids=st.lists(NAMES, min_size=2, max_size=5, unique=True))
def test_every_rule_names_its_client_and_its_site(site, ids):
    gateway, *agents = ids
    blocks = acl_text(site, gateway, agents).split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [f"user {name}" for name in ids]
    for name, block in zip(ids, blocks, strict=True):
        for rule in block.strip().splitlines()[1:]:
            what, access, pattern = rule.split(" ")
            levels = pattern.split("/")
            assert what == "topic"
            assert "/".join(levels[:3]) == f"protoledger/v1/{site}"
            assert "#" not in pattern
            if access == "write":
                assert levels[4] == name
                assert "+" not in levels[:5]


def test_all_that_the_protocol_subscribes_to_is_granted():
    blocks = acl_text("s", "g", ["one", "two"]).split("\n\n")
    granted = [line.removeprefix("topic read ") for line in blocks[1].splitlines()]
    agent = agent_subscriptions("s", "one", "g", ["two"])
    for name in agent + agent_subscriptions("s", "one", "g", None):
        assert any(mqtt.topic_matches_sub(filter_, name) for filter_ in granted), name
    granted = [line.removeprefix("topic read ") for line in blocks[0].splitlines()]
    for name in gateway_subscriptions("s", ["one", "two"]):
        assert any(mqtt.topic_matches_sub(filter_, name) for filter_ in granted), name


@given(st.text(max_size=80))
def test_names_that_could_break_out_are_refused(text):
    try:
        checked_name(text)
    except NameRefusedError:
        return
    assert text.isascii()
    assert not set(text) & set("+#/\\ \n\t\"'%:*?")
    assert text not in {".", ".."}
    assert len(text) <= 64


@pytest.mark.parametrize("name", ["", "a/b", "a+", "#", "a\ntopic write #", "..", "%u", "a b"])
def test_such_names_reach_no_access_list(name):
    for site, gateway, agents in ((name, "g", ["x"]), ("s", name, ["x"]), ("s", "g", [name])):
        with pytest.raises(NameRefusedError):
            acl_text(site, gateway, agents)


def test_an_id_that_occurs_twice_is_refused():
    with pytest.raises(NameRefusedError, match="more than once: x"):
        acl_text("s", "g", ["x", "y", "x"])


def test_keys_are_private_from_the_start(tmp_path):
    authority = CertificateAuthority(tmp_path / "new")
    for issued in (authority.server(), authority.client("a")):
        assert stat.S_IMODE(issued.key.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert not any(path.name.endswith(".new") for path in (tmp_path / "new").iterdir())
    assert not any(b"PRIVATE" in p.read_bytes() for p in (tmp_path / "new").glob("*.crt"))
    assert not (tmp_path / "new" / "ca.key").exists()


def test_certificates_say_what_they_are_for(tmp_path):
    authority = CertificateAuthority(tmp_path / "new", days=2)
    client = x509.load_pem_x509_certificate(authority.client("a").certificate.read_bytes())
    server = x509.load_pem_x509_certificate(authority.server().certificate.read_bytes())
    days = (client.not_valid_after_utc - client.not_valid_before_utc).days
    assert days == 2
    for issued, usage in ((client, "clientAuth"), (server, "serverAuth")):
        extension = issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
        assert [purpose._name for purpose in extension.value] == [usage]
        basic = issued.extensions.get_extension_for_class(x509.BasicConstraints)
        assert not basic.value.ca
