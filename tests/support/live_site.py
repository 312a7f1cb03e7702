"""A site of real processes on a real Mosquitto, limited as its terms say; no chain."""

import sys
import time

from protoledger.emulator.options import Options
from protoledger.emulator.processes.broker import Mosquitto
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.emulator.processes.children import ChildEvent
from protoledger.emulator.progress import opened_sums, true_sums
from protoledger.emulator.site_files import plan_sites, write_gateway, write_sites
from protoledger.emulator.sources.catalogue import open_source
from protoledger.emulator.sources.dealing import deal
from protoledger.protocol.wire.schema import Schema
from protoledger.protocol.wire.terms import Terms
from protoledger.runtime.broker.access_list import acl_text
from protoledger.runtime.broker.limits import limits_of
from protoledger.runtime.identity_files import load_roster
from protoledger.runtime.site import AggregationConfig, SiteConfig, load
from tests.support.site_of import change

ROUNDS = 2000
PATIENCE_S = 180.0
SHARE_S = 10.0


class LiveSite:
    """A broker and a site's files; `start` runs its gateway and agents, each under its name."""

    def __init__(self, folder, children, agents, metrics_port=None, kind=Mosquitto):
        self.children, self.folder = children, folder
        self.dealt = deal(open_source("house"), sites=1, agents=agents, rounds=ROUNDS, seed=3)
        self.schema = Schema(self.dealt.channels, self.dealt.labels)
        options = Options(sites=1, agents=agents, rounds=ROUNDS, round_seconds=2 * SHARE_S, seed=3)
        self.authority = CertificateAuthority(folder / "tls")
        (self.files,) = plan_sites(folder, self.dealt)
        acl = acl_text(self.files.name, self.files.gateway, self.files.agents)
        plan = AggregationConfig().plan(agents)
        self.limits = limits_of(Terms(self.schema, plan, 3, 1, 10_000, 10_000, 10_000))
        broker = kind(folder / "broker", self.authority, acl, children, self.limits)
        self.where = broker.start(60.0)
        write_sites([self.files], self.dealt, options, self.where, self.authority)
        write_gateway(self.files, options, self.where, self.authority, {})
        metrics = {"port": metrics_port} if metrics_port else None
        change(self.files.gateway_file, ledger=None, metrics=metrics)
        site_file = self.files.folder / "site.yaml"
        change(site_file, round={
            "windows": 1, "every_s": 0.5, "share_s": SHARE_S, "answer_s": SHARE_S})  # fmt: skip
        self.site = load(site_file, SiteConfig)
        fleet_key = bytes.fromhex(self.site.fleet_key)
        self.roster = load_roster(self.files.folder / "roster.json", fleet_key)
        self.terms = self.site.terms(self.roster)

    def run(self, name, *words):
        """Start a Python module as a child."""
        self.children.start(name, [sys.executable, "-m", *map(str, words)])

    def start_gateway(self, name="gateway"):
        self.run(name, "protoledger", "gateway", "run", "--events", "--event-sums", "-c",
                 self.files.gateway_file)  # fmt: skip

    def start_agents(self, name, agents):
        """Run some agents in one process."""
        files = [word for one in agents for word in ("-c", self.files.agent_file(one))]
        self.run(name, "protoledger", "edge", "run", *files)

    def rounds(self, count, everybody=None):
        """Wait for so many completed rounds (of these agents) from now on; each must be exact."""
        while self.children.wait_any(0.0) is not None:
            pass  # of rounds before
        completed, deadline = 0, time.monotonic() + PATIENCE_S
        while completed < count:
            assert time.monotonic() < deadline, self.logs()
            event = self.children.wait_any(1.0)
            if not isinstance(event, ChildEvent) or event.data["event"] != "round":
                continue
            included = event.data["included"]
            rows = slice(event.data["round"] - 1, event.data["round"])
            read = self.dealt.sites[0].observed[included, rows]
            votes = self.dealt.sites[0].votes[included, rows]
            true = true_sums(self.schema, read, votes)
            expected = opened_sums(self.schema, true, self.terms.minimum)
            assert event.data["sums"] == expected.tolist()
            completed += everybody in (None, included)

    def log(self, name):
        return (self.folder / "logs" / f"{name}.log").read_text()

    def logs(self):
        running = self.children.running()
        return "\n".join(f"{n}: {line}" for n in running for line in self.children.last_lines(n))
