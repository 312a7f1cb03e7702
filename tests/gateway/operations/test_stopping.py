"""A gateway that is stopped, or hears no label for long, commits what the chain lacks, and once.

The gateway is whole, on a real chain, and without a broker: its model was learnt before.
"""

import json
import multiprocessing
import os
import signal

import numpy as np
import pytest

from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.client.deployment import deploy
from protoledger.contracts.client.node import Node
from protoledger.contracts.keys import address_of
from protoledger.emulator.options import Options
from protoledger.emulator.processes.broker import BrokerAddress
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.emulator.site_files import plan_sites, write_gateway, write_sites
from protoledger.emulator.sources.catalogue import open_source
from protoledger.emulator.sources.dealing import deal
from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.ledger.events import CodebookChanged
from protoledger.gateway.ledger.sending.outbox import Outbox
from protoledger.gateway.ledger.store import LedgerStore
from protoledger.gateway.operations.events import EventStream
from protoledger.gateway.service import Service
from protoledger.gateway.training.store import Store
from protoledger.gateway.training.trainer import Trainer
from protoledger.protocol.wire.schema import Sample, Schema
from protoledger.runtime.mqtt.loop import LinkLoop
from protoledger.runtime.site import load
from tests.support.chain import KEYS, Anvil, free_port
from tests.support.site_of import change

OWNER, OURS = (bytes.fromhex(key) for key in KEYS[:2])


@pytest.fixture(scope="module")
def anvil():
    with Anvil() as running:
        yield running


@pytest.fixture(autouse=True)
def signals():
    """A gateway takes the process's signals; give them back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    kept[signal.SIGHUP] = signal.getsignal(signal.SIGHUP)
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


class Home:
    """A gateway's files, with a model that was learnt and never committed."""

    def __init__(self, folder, anvil):
        self.anvil = anvil
        dealt = deal(open_source("house"), sites=1, agents=3, rounds=5, seed=1)
        options = Options(sites=1, agents=3, rounds=5, seed=1)
        schema = Schema(dealt.channels, dealt.labels)
        (files,) = plan_sites(folder, dealt)
        nobody = BrokerAddress("127.0.0.1", free_port(), None, client_certificates=False)
        authority = CertificateAuthority(folder / "tls")
        write_sites([files], dealt, options, nobody, authority)
        sizes = len(schema.channels), len(schema.labels)
        made = deploy(anvil.url, OWNER, schema.digest, *sizes, [address_of(OURS)])
        self.contract = made.buffer
        chain = {"rpc_url": anvil.url, "chain_id": made.chain_id, "contract": made.buffer}
        chain |= {"poll_s": 0.05}
        files.chain_key_file.touch(mode=0o600)
        files.chain_key_file.write_text(OURS.hex())
        write_gateway(files, options, nobody, authority, chain)
        self.file, self.chain = files.gateway_file, {**chain, "key_file": files.chain_key_file.name}
        self.change(rounds=None, learner={"kernels": {"enabled": False}})
        config = load(self.file, GatewayConfig)
        random = np.random.default_rng(1)
        low = np.array([channel.low for channel in schema.channels])
        high = np.array([channel.high for channel in schema.channels])
        counts = np.full(len(low), 3)
        with Store(config.store_file, schema.digest) as store:
            trainer = Trainer(config, schema, store)
            for number in range(8):
                at = 0.2 + 0.6 * (number % 2) + 0.05 * random.normal(size=len(low))
                trainer.take([Sample(low + at * (high - low), counts, number % 2)])
            trainer.save()
            assert not trainer.model.commits.due, "the test asks for no commit yet"

    def change(self, **values):
        change(self.file, **values)

    def config(self):
        return load(self.file, GatewayConfig)

    @property
    def version(self):
        """What the chain has of this gateway."""
        node, buffer = Node(self.anvil.url), Buffer(self.contract)
        found = buffer.standing(node, address_of(OURS)).head.version
        node.close()
        return found

    def serve(self, until="chain"):
        """Run the gateway until it tells something, then stop it; returns all that it told."""
        told = []

        class Heard:
            def write(self, line):
                told.append(json.loads(line))
                if told[-1]["event"] == until:
                    service.stop()

            def flush(self):
                pass

        service = Service(self.config(), EventStream(Heard()))
        if until is None:
            service.stop()
        service.run()
        return told


@pytest.fixture
def home(tmp_path, anvil):
    return Home(tmp_path, anvil)


def commits(told):
    return [event["version"] for event in told if event["event"] == "committed"]


def owed(told):
    return [event["reason"] for event in told if event["event"] == "owed"]


def test_a_gateway_that_is_stopped_commits_what_the_chain_lacks(home):
    told = home.serve()
    assert (owed(told), commits(told), home.version) == (["the gateway stops"], [1], 1)
    again = home.serve()
    assert (owed(again), commits(again), home.version) == ([], [], 1)
    assert again[-1]["commits"] == 1


def test_a_commit_is_reported_though_its_event_comes_last(home, monkeypatch):
    """After the codebook's own, when the ledger has said already that nothing waits."""
    kept, take, honest = [], LinkLoop.wait, Service._on_ledger

    def wait(links, seconds):
        events = [*kept, *take(links, 0.0 if kept else seconds)]
        ends = [n + 1 for n, event in enumerate(events) if isinstance(event, CodebookChanged)]
        end = min(ends, default=len(events))
        kept[:] = events[end:]
        return events[:end]

    def on_ledger(service, event):
        honest(service, event)
        if isinstance(event, CodebookChanged):
            assert service._ledger.flush(10.0)

    monkeypatch.setattr(LinkLoop, "wait", wait)
    monkeypatch.setattr(Service, "_on_ledger", on_ledger)
    told = home.serve()
    assert (commits(told), home.version, told[-1]["commits"]) == ([1], 1, 1)


def test_a_gateway_that_hears_no_label_commits_without_being_stopped(home):
    home.change(commit={"quiet_hours": 1e-6, "stop_s": None})
    told = home.serve("committed")
    assert (owed(told), commits(told), home.version) == (["no labelled sample for 1e-06 h"], [1], 1)


def test_null_commits_nothing_at_the_end(home):
    home.change(commit={"stop_s": None})
    assert owed(home.serve()) == []
    assert home.version == 0


def test_a_chain_that_does_not_answer_gets_it_at_the_next_start(home):
    nowhere = {**home.chain, "rpc_url": f"http://127.0.0.1:{free_port()}"}
    home.change(ledger=nowhere, commit={"stop_s": 0.2})
    assert owed(home.serve(None)) == ["the gateway stops"]
    store = LedgerStore(home.config().store_file)
    assert not store.outbox.idle
    store.close()
    home.change(ledger=home.chain)
    told = home.serve("committed")
    assert (owed(told), commits(told), home.version) == ([], [1], 1)


def die(home, owner, name, after):
    """In a child: be killed just before or after a step, while the gateway stops."""
    honest = getattr(owner, name)

    def dying(*args, **kwargs):
        if after:
            honest(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, dying)
    home.serve()


@pytest.mark.parametrize(
    ("owner", "name", "after"),
    [(Outbox, "want", False), (Outbox, "want", True), (Node, "send", False), (Node, "send", True)],
    ids=["before it is decided", "decided", "signed", "sent"],
)
def test_a_kill_while_it_stops_neither_loses_nor_doubles(home, owner, name, after):
    arguments = (home, owner, name, after)
    child = multiprocessing.get_context("fork").Process(target=die, args=arguments)
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    told = home.serve("chain" if (name, after) == ("want", False) else "committed")
    assert (commits(told), home.version) == ([1], 1)
    again = home.serve()
    assert (owed(again), commits(again), home.version) == ([], [], 1)
    assert again[-1]["commits"] == 1
