"""A site on a real Mosquitto with a relay in between that a test can make evil.

Agents run as in the field (`protoledger.edge.host`), the gateway as in
`protoledger.gateway.rounds`, each host in a thread; what they refuse is noted on the way.
"""

import os
import queue
import threading
import time

from protoledger.edge import host as edge_host
from protoledger.edge.agent import Agent
from protoledger.edge.config import AgentConfig
from protoledger.emulator.options import Options
from protoledger.emulator.processes.broker import BrokerAddress, find_mosquitto, start_listening
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.emulator.progress import opened_sums, true_sums
from protoledger.emulator.site_files import plan_sites, write_gateway, write_sites
from protoledger.emulator.sources.catalogue import open_source
from protoledger.emulator.sources.dealing import deal
from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.rounds import Rounds
from protoledger.gateway.training.store import Store
from protoledger.protocol.errors import ProtocolError
from protoledger.protocol.rounds.states import Completed, Failed
from protoledger.protocol.wire.messages import Kind
from protoledger.protocol.wire.schema import Schema
from protoledger.runtime.identity_files import load_roster
from protoledger.runtime.site import SiteConfig, load
from tests.support.relay import Relay

AGENTS = 10  # with two parts: two groups of five with four positions each, so three are a quorum
ROUND_S = 2.4
TO_AGENTS = [Kind.ANNOUNCE, Kind.DELIVER, Kind.RESULT]
TO_GATEWAY = [Kind.BOXES, Kind.ANSWER]


class Party:
    """One of the machines, with its ears open: what it was given, and what it refused."""

    def __init__(self, name, machine, session):
        self.name, self.session = name, session
        self.refused, self.sealed = [], []
        handle, seal, seal_boxes = machine.handle, session.seal, session.seal_boxes

        def listen(kind, sender, payload, now):
            try:
                return handle(kind, sender, payload, now)
            except ProtocolError as error:
                self.refused.append((kind, error))
                raise

        def note(receiver, mark, kind, round_id, *, plain, **bound):
            self.sealed.append((kind, receiver, bytes(plain)))
            return seal(receiver, mark, kind, round_id, plain=plain, **bound)

        def note_boxes(plains, round_id, **bound):
            plains = list(plains)
            self.sealed += [(Kind.BOX, receiver, bytes(plain)) for receiver, _, plain in plains]
            return seal_boxes(plains, round_id, **bound)

        machine.handle, session.seal, session.seal_boxes = listen, note, note_boxes


class Hall:
    """A site of ten agents behind the relay."""

    def __init__(self, folder, children):
        self.dealt = deal(open_source("house"), sites=1, agents=AGENTS, rounds=400, seed=9)
        self.schema = Schema(self.dealt.channels, self.dealt.labels)
        options = Options(sites=1, agents=AGENTS, rounds=400, round_seconds=ROUND_S, seed=9)
        authority = CertificateAuthority(folder / "tls")

        def arguments(port):
            file = folder / "mosquitto.conf"
            lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "log_dest stderr"]
            lines += ["persistence false", "max_inflight_messages 0", "set_tcp_nodelay true"]
            lines += ["user root"] if os.geteuid() == 0 else []
            file.write_text("\n".join([*lines, ""]))
            return [find_mosquitto(), "-c", file]

        self.relay = Relay(start_listening(children, arguments, None, 10.0)).__enter__()
        (self.files,) = plan_sites(folder, self.dealt)
        address = BrokerAddress("127.0.0.1", self.relay.port, None, client_certificates=False)
        write_sites([self.files], self.dealt, options, address, authority)
        write_gateway(self.files, options, address, authority, {})
        text = self.files.gateway_file.read_text()
        self.files.gateway_file.write_text(text[: text.index("ledger:")])
        self.names, self.gateway = self.files.agents, self.files.gateway
        self.victim = self.names[0]
        self.parties, self.hosts = {}, []
        self.outcomes = queue.Queue()
        config = load(self.files.gateway_file, GatewayConfig)
        self.site = load(config.site_file, SiteConfig)
        self.roster = load_roster(config.roster_file, bytes.fromhex(self.site.fleet_key))
        self._start_gateway(config)
        self.start_agents(self.names[1:])
        self.victim_host = self.start_agents([self.victim])
        self.settle()

    def start_agents(self, names):
        agents = [Agent(load(self.files.agent_file(name), AgentConfig)) for name in names]
        host = edge_host.AgentHost(agents)
        for agent in agents:
            self.parties[agent.id] = Party(agent.id, agent._rounds, agent._session)
        thread = threading.Thread(target=host.run, daemon=True)
        thread.start()
        self.hosts.append((host, thread))
        return host

    def reboot_victim(self):
        self.victim_host.stop()
        self.hosts[-1][1].join(5)
        self.victim_host = self.start_agents([self.victim])
        self.settle()

    def _start_gateway(self, config):
        self._links = None
        ready = threading.Event()

        def run():
            with Store(config.store_file, self.schema.digest) as store:
                rounds = Rounds(config, self.site, self.roster, store)
                self.parties[self.gateway] = Party(self.gateway, rounds._machine, rounds._session)
                self.machine = rounds._machine
                self._links = edge_host.LinkLoop([rounds.link])
                ready.set()
                with self._links:
                    self._serve(rounds)

        self._gateway_thread = threading.Thread(target=run, daemon=True)
        self._gateway_thread.start()
        assert ready.wait(60)

    def _serve(self, rounds):
        wanted = False
        while True:
            patience = 0.05 if wanted or not rounds.idle else None
            for event in self._links.wait(patience):
                if event is None:
                    return
                if event == "open":
                    wanted = True
                elif (outcome := rounds.handle(event, time.monotonic())) is not None:
                    self.outcomes.put(outcome)
            if not rounds.idle or wanted:
                was_idle = rounds.idle
                if (outcome := rounds.advance(time.monotonic())) is not None:
                    self.outcomes.put(outcome)
                wanted = wanted and not (was_idle and not rounds.idle)

    def close(self):
        self.relay.tamper = lambda *_: None
        for host, _ in self.hosts:
            host.stop()
        self._links.post(None)
        for _, thread in self.hosts:
            thread.join(5)
        self._gateway_thread.join(5)
        self.relay.__exit__()

    def settle(self):
        """Wait until everybody has met everybody."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            marks = {name: party.session.mark for name, party in self.parties.items()}
            if len(self.machine.reachable) == AGENTS and all(
                party.session.knows(other, marks[other])
                and (name != self.gateway or party.session.newest(other) == marks[other])
                for name, party in self.parties.items()
                for other in self.parties
                if other != name
            ):
                time.sleep(0.05)
                return
            time.sleep(0.01)
        raise AssertionError("they do not find each other")

    def round(self):
        """One round; whatever completes must be exact."""
        self._links.post("open")
        outcome = self.outcomes.get(timeout=60)
        if isinstance(outcome, Completed):
            rows = slice(outcome.round_id - 1, outcome.round_id)
            included = sorted(outcome.included)
            read = self.dealt.sites[0].observed[included, rows]
            votes = self.dealt.sites[0].votes[included, rows]
            expected = true_sums(self.schema, read, votes)
            minimum = self.machine._terms.minimum
            assert outcome.sums.tolist() == opened_sums(self.schema, expected, minimum).tolist()
        else:
            assert isinstance(outcome, Failed)
            assert outcome.reason
        return outcome

    def works(self):
        """The next round completes; with everyone, unless the machine was too slow for it."""
        self.relay.tamper = lambda *_: None
        first = self.round()
        assert isinstance(first, Completed), first
        for _ in range(4):
            if self.round().included == frozenset(range(AGENTS)):
                time.sleep(0.03)  # sums beyond the quorum are still under way
                return
        raise AssertionError("somebody stays away")

    def refused(self, name, kind):
        return [error for found, error in self.parties[name].refused if found is kind]

    def forget(self):
        for party in self.parties.values():
            party.refused.clear()

    def recorded(self, kind, **wanted):
        level = f"/{kind.name.lower()}/"
        return [
            seen
            for seen in self.relay.seen
            if level in seen.topic and all(getattr(seen, k) == v for k, v in wanted.items())
        ]
