"""The deployment that is soaked: two sites, a broker and a chain, each process on its own.

The first site's agents play recordings, row by round, so that every decoded sum can be compared
with what they read. The second site's agents read live sensors into windows, keep those of an
outage in a spool, and write a status file. Each agent and gateway reaches the broker, and each
gateway the chain, over a link that can be cut (`links`).
"""

import contextlib
import sys

import psutil
import yaml

from protoledger.contracts.client.deployment import deploy
from protoledger.contracts.keys import address_of, create_key, load_key
from protoledger.contracts.tools.anvil_state import keep_first_block
from protoledger.contracts.tools.toolchain import binary
from protoledger.emulator.options import Options
from protoledger.emulator.processes import chain as chains
from protoledger.emulator.processes.broker import BrokerAddress, Mosquitto, find_mosquitto
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.emulator.processes.children import SERVERS, WORKERS
from protoledger.emulator.site_files import plan_sites, write_gateway, write_sites
from protoledger.emulator.sources.catalogue import open_source
from protoledger.emulator.sources.dealing import deal
from protoledger.protocol.wire.schema import Schema
from protoledger.protocol.wire.terms import Terms
from protoledger.runtime.broker.access_list import acl_text
from protoledger.runtime.broker.limits import joined, limits_of
from tests.support.site_of import change

AGENTS = 5
EVERY_S = 5.0
HALF_S = 2.0
STOPPING_S = 300.0
RETRY_S = 5.0
"""As systemd's RestartSec in the unit."""


class Deployment:
    """Processes by name, which can be killed, stopped and started again under that name.

    Args:
        folder: where all files go.
        children: owns the processes.
        links: between devices, broker and chain.
        seconds: how long it is to run, for the length of the recordings.
        seed: of the readings.
    """

    def __init__(self, folder, children, links, seconds, seed):
        self.folder, self.children, self.links = folder, children, links
        rounds = int(1.5 * seconds / EVERY_S) + 100
        self.options = Options(
            sites=2, agents=AGENTS, rounds=rounds, round_seconds=2 * HALF_S, seed=seed
        )
        self.dealt = deal(open_source("house"), sites=2, agents=AGENTS, rounds=rounds, seed=seed)
        self.schema = Schema(self.dealt.channels, self.dealt.labels)
        self.sites = plan_sites(folder, self.dealt)
        self.recorded, self.live = self.sites
        self.authority = CertificateAuthority(folder / "tls")
        self.commands: dict[str, tuple[list, int]] = {}
        self.starts: dict[str, int] = {}
        self.pids: dict[str, int] = {}
        self._names: dict[str, str] = {}

    @property
    def agents(self):
        """All agents' names."""
        return [agent for site in self.sites for agent in site.agents]

    @property
    def gateways(self):
        """All gateways' names."""
        return [site.gateway for site in self.sites]

    @property
    def spared(self):
        """Never killed: an agent of each site, and the second site's gateway."""
        return [self.recorded.agents[0], self.live.agents[0], self.live.gateway]

    def role(self, child: str) -> str:
        """Return the name of which a child is one of the lives."""
        return self._names.get(child, child)

    def begin(self):
        """Start everything for the first time."""
        where = self._first_broker()
        write_sites(self.sites, self.dealt, self.options, where, self.authority)
        ledger = self._first_chain()
        for site in self.sites:
            timing = {"windows": 1, "every_s": EVERY_S, "window_s": EVERY_S}
            change(
                site.folder / "site.yaml", round=timing | {"share_s": HALF_S, "answer_s": HALF_S}
            )
            for agent in site.agents:
                self._prepare(site, agent, site.agent_file(agent), where.port)
                command = [sys.executable, "-m", "protoledger", "edge", "run", "-c"]
                self.commands[agent] = ([*command, site.agent_file(agent)], WORKERS)
            port = self.links.add(f"{site.gateway}-chain", self._chain_port)
            own = {**ledger, "rpc_url": f"http://127.0.0.1:{port}"}
            write_gateway(site, self.options, where, self.authority, own)
            self._prepare(site, site.gateway, site.gateway_file, where.port)
            change(site.gateway_file, rounds=None, wait_for_agents_s=60.0)
            command = [sys.executable, "-m", "protoledger", "gateway", "run", "--events"]
            command += ["--event-sums", "-c", site.gateway_file]
            self.commands[site.gateway] = (command, WORKERS)
        for name in (*self.agents, *self.gateways):
            self.start(name)

    def start(self, name: str) -> None:
        """Start a process, as often as wanted."""
        number = self.starts[name] = self.starts.get(name, 0) + 1
        child = name if number == 1 else f"{name}-{number}"
        command, layer = self.commands[name]
        if name == "chain":
            keep_first_block(self.folder / "chain/state.json")
        self._names[child] = name
        self.pids[name] = self.children.start(child, command, layer=layer)

    def kill(self, name: str) -> None:
        """Cut its power."""
        self.pids.pop(name, None)
        self.children.kill(self._child(name))

    def stop(self, name: str) -> None:
        """Tell it to end, as systemd does, and wait for as long as it takes.

        Anvil writes its state when it ends; one that was killed before would come back without
        its last blocks.
        """
        process = psutil.Process(self.pids.pop(name))
        process.terminate()
        with contextlib.suppress(psutil.Error):
            process.wait(STOPPING_S)
        self.children.kill(self._child(name))  # what is left of its group

    def _child(self, name):
        number = self.starts[name]
        return name if number == 1 else f"{name}-{number}"

    def _first_broker(self) -> BrokerAddress:
        access = "\n".join(acl_text(s.name, s.gateway, s.agents) for s in self.sites)
        terms = Terms(self.schema, self.options.plan, 3, 1, 10_000, 10_000, 10_000)
        limits = joined([limits_of(terms)] * len(self.sites))
        folder = self.folder / "broker"
        where = Mosquitto(folder, self.authority, access, self.children, limits).start(60.0)
        self._take("broker", [find_mosquitto(), "-c", folder / "mosquitto.conf"])
        return where

    def _first_chain(self) -> dict[str, object]:
        folder = self.folder / "chain"
        folder.mkdir()
        state = folder / "state.json"
        found = chains.Anvil(self.children, state=state).start(60.0)
        self._chain_port = int(found.url.rpartition(":")[2])
        self.chain_url = found.url
        self._take("chain", [binary("anvil"), *chains.options(self._chain_port, state=state)])
        owner = create_key(folder / "owner.key")
        gateways = [address_of(create_key(site.chain_key_file)) for site in self.sites]
        for account in (address_of(owner), *gateways):
            chains.fund(found.url, account)
        features, labels = len(self.dealt.channels), len(self.dealt.labels)
        key = load_key(folder / "owner.key")
        made = deploy(found.url, key, self.schema.digest, features, labels, gateways, fund_wei=0)
        self.contract, self.owners = made.buffer, dict(zip(self.gateways, gateways, strict=True))
        return {
            "chain_id": made.chain_id,
            "contract": made.buffer,
            "genesis_hash": made.genesis_hash,
        }

    def _take(self, name, command):
        """Note how a server that the emulator has started is started again on its port."""
        child = next(c for c in reversed(self.children.running()) if c.startswith(name))
        self.starts[name], self._names[child] = 1, name
        self.commands[name] = (command, SERVERS)
        self.pids[name] = self.children._children[child].process.pid

    def _prepare(self, site, device, path, broker_port):
        """Give a device a link and a site file of its own; live sensors at the second site."""
        port = self.links.add(device, broker_port)
        shared = yaml.safe_load((site.folder / "site.yaml").read_text())
        shared["broker"]["port"] = port
        own = site.folder / f"{device}.site.yaml"
        own.write_text(yaml.safe_dump(shared))
        change(path, site_file=own.name)
        if device == site.gateway:
            return
        content = yaml.safe_load(path.read_text())
        content["status_file"] = f"{device}.status.json"
        loop = {"loop": True}
        if site is self.live:
            content["spool_file"] = f"{device}.spool.db"
            content["sampling"] = {"read_every_s": 1.0}
            loop["pace"] = "call"
        for sensor in (*content["sensors"], content["label"]):
            sensor["options"] |= loop
        path.write_text(yaml.safe_dump(content))
