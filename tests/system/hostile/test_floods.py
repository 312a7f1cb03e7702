"""One certificate against a site: too much, too large, never read. Honest rounds go on.

Real Mosquitto with TLS, limited as the site's terms say; gateway and agents are real processes.
With `-m long` the same on a broker of another make, where `make mochi` was run.
"""

import contextlib
import os
import threading
import time
import urllib.request

import pytest

from protoledger.emulator.processes.children import Children
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import Kind
from protoledger.protocol.wire.topics import ONLINE, topic
from tests.support.live_site import LiveSite
from tests.support.ports import free_port
from tests.support.raw_client import PUBACK, PUBLISH, RawClient
from tests.support.site_of import change
from tests.support.strict_brokers import STRICT, strict_broker

HONEST = 6
KINDS = [Kind.BOXES, Kind.KEY, None]
AGENTS = HONEST + 1 + len(KINDS)
"""Each flood has an enemy of its own: who has just been left out is not read at once."""


@pytest.fixture(scope="module", params=STRICT)
def site(request, tmp_path_factory):
    kind = strict_broker(request.param)
    folder = tmp_path_factory.mktemp("floods")
    with Children(folder / "logs") as children:
        port = free_port()
        found = LiveSite(folder, children, AGENTS, metrics_port=port, kind=kind)
        found.metrics = port
        found.enemies = found.files.agents[HONEST:]
        change(found.files.gateway_file, wait_for_agents_s=1.0)  # the enemies never come
        found.start_gateway()
        found.start_agents("agents", found.files.agents[:HONEST])
        found.rounds(1, list(range(HONEST)))
        yield found


def connect(site, number=0):
    return RawClient(site.where, site.authority, site.enemies[number])


def mine(site, kind, number=0):
    return topic(site.files.name, kind, site.enemies[number])


def metrics(site):
    with urllib.request.urlopen(f"http://127.0.0.1:{site.metrics}/metrics", timeout=60) as page:
        return page.read().decode()


# mochi-mqtt limits no bytes, and forgets what it sent under an id that its client publishes under
@pytest.mark.parametrize("site", ["mosquitto"], indirect=True)
def test_one_certificate_does_not_take_the_broker_s_memory(site):
    """It publishes what it reads itself, as large as may be, and acknowledges nothing."""
    enemy, limits = connect(site), site.limits
    enemy.subscribe(topic(site.files.name, Kind.KEY, "+"))
    payload = os.urandom(limits.packet_bytes - 200)
    # 2.0.21 lets a queue be longer than it is told, by as many as may be in flight; 2.0.11 does not
    most = 2 * limits.inflight_messages + limits.queued_messages
    sent = most + 200
    kept = []
    for number in range(1, sent + 1):
        enemy.socket.sendall(enemy.message(mine(site, Kind.KEY), payload, number))
        # the broker has taken it when it acknowledges it; ours it gets none
        while True:
            head, body = enemy.receive()
            if head >> 4 == PUBLISH:
                kept.append(body)
            elif head >> 4 == PUBACK:
                break
    assert len(kept) <= limits.inflight_messages + AGENTS + 1  # retained hellos came first
    site.rounds(1)
    drained, before = [], len(kept)
    while kept:
        for body in kept:
            enemy.acknowledge(body)
        drained, kept = drained + kept, []
        enemy.socket.settimeout(3.0)
        try:
            while len(kept) < limits.inflight_messages:
                head, body = enemy.receive()
                kept += [body] if head >> 4 == PUBLISH else []
        except TimeoutError:
            pass
    large = [body for body in drained if len(body) > len(payload)]
    queued = len(large) - before
    assert len(large) <= most
    assert queued * len(payload) <= limits.queued_bytes
    assert len(large) < sent  # else the limit was not reached, and this test says nothing
    enemy.close()
    site.rounds(2)


def test_a_packet_beyond_the_limit_ends_its_sender_s_connection(site):
    enemy = connect(site)
    enemy.socket.sendall(enemy.message(mine(site, Kind.BOXES), bytes(site.limits.packet_bytes), 1))
    farewells = []
    with contextlib.suppress(OSError):
        while True:
            farewells.append(enemy.receive())
    # at most a DISCONNECT that says why: the packet is too large
    assert farewells in ([], [(0xE0, b"\x95")], [(0xE0, b"\x95\x00")])
    enemy.close()
    site.rounds(1)


def boxes(site, sender):
    """Well-formed, of a round to come, and sealed by nobody."""
    seal = [3, int(Kind.BOXES), 2**40, sender, site.files.gateway, os.urandom(60)]
    return messages.encode(seal)


def hello(_site, sender):
    return messages.encode([3, int(Kind.KEY), sender, os.urandom(90), os.urandom(64)])


@pytest.mark.parametrize("kind", KINDS, ids=["BOXES", "KEY", "presence"])
def test_a_flood_does_not_end_rounds_and_its_sender_is_named(site, kind):
    make = {Kind.BOXES: boxes, Kind.KEY: hello, None: lambda _site, _sender: ONLINE}[kind]
    number = 1 + KINDS.index(kind)
    enemy, stop, sender = connect(site, number), threading.Event(), site.enemies[number]
    named = f"{sender} floods the broker"
    before = site.log("gateway").count(named)

    def flood():
        while not stop.is_set():
            chunk = [
                enemy.message(mine(site, kind, number), make(site, sender)) for _ in range(200)
            ]
            enemy.socket.sendall(b"".join(chunk))
            time.sleep(0.02)

    thread = threading.Thread(target=flood, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 120
        while site.log("gateway").count(named) == before:
            assert time.monotonic() < deadline, site.logs()
            time.sleep(0.1)
        flooding = f'protoledger_agent_flooding{{agent="{sender}"}} 1.0'
        while flooding not in metrics(site):
            assert time.monotonic() < deadline, metrics(site)
            time.sleep(0.1)
        if kind is Kind.KEY:  # agents read each other's hellos, and this one's no more
            while site.log("agents").count(named) < HONEST:
                assert time.monotonic() < deadline, site.logs()
                time.sleep(0.1)
        site.rounds(3, list(range(HONEST)))
    finally:
        stop.set()
        thread.join(60)
        enemy.close()
    site.rounds(1)
