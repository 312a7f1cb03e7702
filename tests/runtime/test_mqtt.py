"""LinkLoop over a real Mosquitto that comes, goes, refuses and sends nonsense."""

import math
import socket
import subprocess
import threading
import time

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from protoledger.emulator.processes.broker import LOOPBACK, find_mosquitto, free_port
from protoledger.runtime.mqtt.client import (
    FIRST_RIVAL_S,
    LONGEST_RIVAL_S,
    RIVAL_S,
    RIVAL_TIMES,
    Arrived,
    Link,
    LinkDown,
    LinkUp,
    Refused,
)
from protoledger.runtime.mqtt.loop import LinkLoop
from protoledger.runtime.site import BrokerConfig, CredentialsConfig

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto is not installed")


class Broker:
    """A plain Mosquitto on loopback that a test starts and kills."""

    def __init__(self, folder):
        self.port = free_port()
        self.file = folder / "m.conf"
        self.acl = folder / "m.acl"
        self.acl.write_text("topic readwrite open/#\ntopic readwrite will/#\n")
        lines = [f"listener {self.port} {LOOPBACK}", "allow_anonymous true", "user root"]
        self.file.write_text("\n".join([*lines, f"acl_file {self.acl}", ""]))
        self.process = None

    def start(self):
        command = [find_mosquitto(), "-c", self.file]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def broker(tmp_path):
    broker = Broker(tmp_path)
    broker.start()
    yield broker
    broker.stop()


def link(port, name, topics=("open/#",)):
    config = BrokerConfig(host=LOOPBACK, port=port, plaintext=True)
    return Link(name, config, CredentialsConfig(), list(topics), (f"will/{name}", b"gone"))


def collect(links, wanted, timeout_s=60.0):
    """Serve until an event that fits comes; returns all until then."""
    seen, deadline = [], time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        seen += links.wait(0.2)
        if any(wanted(event) for event in seen):
            return seen
    raise AssertionError(f"not seen within {timeout_s} s: {seen}")


def up(name):
    return lambda event: event == LinkUp(name)


def down(event):
    return isinstance(event, LinkDown)


def test_messages_flow_and_a_refused_publish_is_told(broker):
    one, two = link(broker.port, "one"), link(broker.port, "two")
    with LinkLoop([one, two]) as links:
        deadline = time.monotonic() + 60
        while not (one._up and two._up) and time.monotonic() < deadline:
            links.wait(0.1)
        one.publish("open/a", b"hello", expiry_s=2)
        seen = collect(links, lambda e: isinstance(e, Arrived) and e.client == "two")
        assert Arrived("two", "open/a", b"hello") in seen
        one.publish("forbidden/a", b"hello", expiry_s=2)
        seen = collect(links, lambda e: isinstance(e, Refused))
        assert "Not authorized" in next(e for e in seen if isinstance(e, Refused)).reason
        for n in range(3):  # no longer acknowledged: they arrive, or are refused without a word
            one.publish("forbidden/a", b"hello", expiry_s=2)
            one.publish("open/a", b"%d" % n, expiry_s=2)
        last = Arrived("two", "open/a", b"2")
        seen = collect(links, lambda e: e == last)
        assert [e.payload for e in seen if e.client == "two"] == [b"0", b"1", b"2"]
        assert not any(isinstance(e, Refused) for e in seen)
        assert not one._unanswered


def test_a_link_starts_without_a_broker_and_comes_back_after_each_loss(tmp_path):
    broker = Broker(tmp_path)
    one = link(broker.port, "one")
    try:
        with LinkLoop([one]) as links:
            collect(links, lambda e: isinstance(e, LinkDown))
            one.publish("open/a", b"too early", expiry_s=2)  # dropped, not kept
            broker.start()
            collect(links, up("one"))
            for _ in range(2):
                broker.stop()
                collect(links, lambda e: isinstance(e, LinkDown))
                one.publish("open/a", b"lost", expiry_s=2)
                broker.start()
                collect(links, up("one"))
            one.publish("open/a", b"new", expiry_s=2)
            seen = collect(links, lambda e: isinstance(e, Arrived))
            payloads = [e.payload for e in seen if isinstance(e, Arrived)]
            assert payloads == [b"new"], "nothing of a former connection is sent again"
    finally:
        broker.stop()


def test_the_will_is_published_when_a_client_vanishes_and_the_farewell_when_it_leaves(broker):
    watcher = link(broker.port, "watcher", topics=("will/+",))
    with LinkLoop([watcher]) as links:
        collect(links, up("watcher"))
        vanishing = link(broker.port, "vanishing")
        with LinkLoop([vanishing]) as its:
            collect(its, up("vanishing"))
            vanishing.client.socket().close()
        seen = collect(links, lambda e: isinstance(e, Arrived))
        assert Arrived("watcher", "will/vanishing", b"gone") in seen
        leaving = link(broker.port, "leaving")
        with LinkLoop([leaving]) as its:
            collect(its, up("leaving"))
            its.farewell(b"goodbye")
        seen = collect(links, lambda e: isinstance(e, Arrived))
        assert [e.payload for e in seen if isinstance(e, Arrived)] == [b"goodbye"]


def test_events_of_other_threads_wake_the_loop_at_once():
    with LinkLoop([]) as links:
        threading.Timer(0.1, links.post, ["ring"]).start()
        assert links.wait(3600.0) == ["ring"]


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x20\x03\x00\x00\x00\x30\x05\x00\x02\xff\xfe\x00",  # a topic that is no UTF-8
        b"\xff" * 64,
        b"\x20\x03\x00\x00\x00\x90\x7f" + b"\x00" * 8,
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_a_broker_that_sends_nonsense_ends_no_process(nonsense):
    with socket.create_server((LOOPBACK, 0)) as server:

        def answer():
            try:
                while True:
                    peer, _ = server.accept()
                    with peer:
                        peer.recv(1024)
                        peer.sendall(nonsense)
                        peer.recv(1024)
            except OSError:
                return

        threading.Thread(target=answer, daemon=True).start()
        with LinkLoop([link(server.getsockname()[1], "one")]) as links:
            until = time.monotonic() + 1.5
            seen = []
            while time.monotonic() < until:
                seen += links.wait(0.2)
        assert not any(isinstance(event, Arrived) for event in seen)


def test_a_stop_is_seen_while_brokers_hang():
    """TCP is accepted and nothing answers, as with TLS behind a dead proxy."""
    with socket.create_server((LOOPBACK, 0), backlog=64) as server:
        port = server.getsockname()[1]
        with LinkLoop([link(port, f"l{i}") for i in range(5)]) as links:
            links.post("stop")
            assert any("stop" in links.wait(0.5) for _ in range(10))


def test_two_devices_with_one_identity_do_not_throw_each_other_out_for_ever(broker):
    """A copied card: each says what it looks like, and gives way for longer and longer."""
    first, second = link(broker.port, "pi-1"), link(broker.port, "pi-1")
    with LinkLoop([first]) as its, LinkLoop([second]) as others:
        collect(its, up("pi-1"))
        for turn in range(1, RIVAL_TIMES + 1):
            second._retry_at = 0.0
            collect(others, up("pi-1"))
            [lost] = [e for e in collect(its, down) if isinstance(e, LinkDown)]
            waits = first._retry_at - time.monotonic()
            if turn < RIVAL_TIMES:  # an old Mosquitto does not say why: it may be the network
                first._retry_at = 0.0
                collect(its, up("pi-1"))
                collect(others, down)
        assert "another client connects as pi-1" in lost.reason
        assert waits > 0.6 * FIRST_RIVAL_S
        first._retry_at = math.inf
        second._up_at -= RIVAL_S  # its connection holds
        broker.stop()
        [lost] = [e for e in collect(others, down) if isinstance(e, LinkDown)]
        assert "another client" not in lost.reason
        assert second._retry_at - time.monotonic() < FIRST_RIVAL_S / 2


def test_a_broker_that_says_so_is_believed_at_once_and_pauses_are_bounded():
    one = link(1, "pi-1")
    taken, pauses, said = ReasonCode(PacketTypes.DISCONNECT, identifier=142), [], []
    one.attach(said.append, lambda _client: None)
    for _ in range(20):
        one._up, one._up_at = True, time.monotonic() - 1000.0
        one._on_disconnect(one.client, None, None, taken, None)
        pauses.append(one._retry_at - time.monotonic())
    assert all("another client connects as pi-1" in event.reason for event in said)
    assert 0.6 * FIRST_RIVAL_S < pauses[0] < 1.4 * FIRST_RIVAL_S
    assert 0.6 * LONGEST_RIVAL_S < pauses[-1] < 1.4 * LONGEST_RIVAL_S


def test_what_is_flushed_leaves_before_the_next_wait(broker):
    """Whoever learns for a second first keeps nobody waiting for what it has said."""
    one, two = link(broker.port, "one"), link(broker.port, "two")
    with LinkLoop([one]) as sender, LinkLoop([two]) as receiver:
        collect(receiver, up("two"))
        collect(sender, up("one"))
        one.publish("open/x", b"now", expiry_s=5.0)
        sender.flush()
        collect(receiver, lambda event: event == Arrived("two", "open/x", b"now"))
