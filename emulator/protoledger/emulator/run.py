"""Runs one emulation: starts the processes, watches them, tests the models, stops everything.

The agents and gateways are the same processes that run on real hosts, connected by a real broker
and a real chain. This module starts them, collects their events, and finally classifies the
held-out rows with the models that they have stored.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil

from protoledger.contracts.keys import address_of, create_key, load_key
from protoledger.emulator.errors import ChainError, EmulatorError
from protoledger.emulator.options import Options
from protoledger.emulator.processes.broker import (
    Broker,
    BrokerAddress,
    ExternalBroker,
    Mosquitto,
    find_mosquitto,
    parse_host_port,
)
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.emulator.processes.children import ChildEvent, Children, Ended
from protoledger.emulator.processes.embedded_broker import NOTICE, EmbeddedBroker
from protoledger.emulator.processes.liars import WITHIN_RANGE, as_read
from protoledger.emulator.processes.networks import CHAINS, Started, start
from protoledger.emulator.processes.outside import Outside, split_off
from protoledger.emulator.processes.page import Page
from protoledger.emulator.processes.relay import NAME as RELAY
from protoledger.emulator.processes.relay import RealNetwork
from protoledger.emulator.progress import Progress
from protoledger.emulator.site_files import (
    plan_sites,
    record_deployment,
    write_gateway,
    write_sites,
)
from protoledger.emulator.sources.catalogue import open_source
from protoledger.emulator.sources.dealing import Dealt, deal
from protoledger.protocol.wire.schema import Schema
from protoledger.protocol.wire.terms import Terms
from protoledger.runtime.broker.access_list import acl_text
from protoledger.runtime.broker.limits import joined, limits_of

STALLED_S = 60.0
SETTLE_S = 15.0
ETHER = 10**18


class Emulation:
    """A deployment on this machine.

    Args:
        options: the options of `protoledger emulate`.
        say: receives a line of text at each step.

    Raises:
        DataSourceError: if the source cannot fill the plan; no process has started then.
        ConfigurationError: if the network file has errors, or names devices that do not exist.
    """

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self.options = options
        self.dealt: Dealt = deal(
            open_source(
                options.source, options.label, missing=options.missing, ignore=options.ignore
            ),
            sites=options.sites + bool(options.oracle),
            agents=options.agents,
            rounds=options.rounds,
            batch=options.batch,
            noise=options.noise,
            seed=options.seed,
        )
        outside = None
        if options.oracle:
            self.dealt, outside = split_off(self.dealt)
        self.schema = Schema(self.dealt.channels, self.dealt.labels)
        self._say = say
        self._cleanup = ExitStack()
        self.folder = self._make_folder()
        self.sites = plan_sites(self.folder, self.dealt)
        self.network = None
        if options.network is not None:
            self.network = RealNetwork(options.network, self.sites, options.seed)
        self.outside: Outside | None = None
        if outside is not None:
            self.outside = Outside(self.folder / "oracle", self.dealt, outside, options.oracle)
        self.progress = Progress(
            self.sites,
            self.dealt,
            options.minimum_contributors,
            exact=not self._lies_within,
        )
        # from the process's first instruction on: a person waits for the imports, too
        self.started_at = time.monotonic() - (time.time() - psutil.Process().create_time())
        self.deploy_gas = 0
        self.contract = self._oracle = ""
        self.chain = ""
        self._owner_file = options.chain_key or self.folder / "owner.key"
        self._fund_wei = ETHER // 20 if options.chain_key else 0
        self.holdout: dict[str, float] = {}
        self.holdout_anywhere: dict[str, float] = {}
        self.holdout_as_read: dict[str, float] = {}
        self.oracle: dict[str, object] | None = None

    def run(
        self, show: Callable[[Progress], None], done: Callable[[], None] = lambda: None
    ) -> None:
        """Run to the end; calls `show` whenever something may have changed, and `done` at the end.

        With `--page` it then waits for Ctrl-C, so that the page can be looked at.

        Raises:
            EmulatorError: if a process cannot be started, dies or stalls.
        """
        with self._cleanup, Children(self.folder / "logs") as children:
            page = self._start_page(children)
            address, authority = self._start_broker(children)
            chain = self._start_chain(children)
            ports = self._start_relay(children, address, chain)
            self._say("writing identities, rosters and recordings")
            write_sites(self.sites, self.dealt, self.options, address, authority, ports)
            self._start_agents(children)
            self._start_gateways(children, address, authority, chain)
            self._watch(children, show)
            self._stop_workers(children)
            self._classify_holdout()
            done()
            if page is not None:
                self._say(f"the page stays at {page.url} until Ctrl-C")
                page.wait(children)

    @property
    def stores(self) -> list[tuple[str, Path]]:
        """Each site's name and its gateway's store."""
        return [(site.name, site.folder / "gateway.db") for site in self.sites]

    def _start_page(self, children: Children) -> Page | None:
        if not self.options.page:
            return None
        page = Page(children, self.stores)
        self._say(f"the page is at {page.url}")
        return page

    def _make_folder(self) -> Path:
        if self.options.keep is None:
            folder = Path(tempfile.mkdtemp(prefix="protoledger-"))
            self._cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
            return folder
        folder = self.options.keep.absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise EmulatorError(f"--keep {folder}: is not empty; name another folder")
        return folder

    def _terms(self) -> Terms:
        options = self.options
        return Terms(
            self.schema, options.plan, options.minimum_contributors, options.batch, 1, 1, 1
        )

    def _start_broker(self, children: Children) -> tuple[BrokerAddress, CertificateAuthority]:
        authority = CertificateAuthority(self.folder / "tls")
        wanted = self.options.broker or ("mosquitto" if find_mosquitto() else "embedded")
        broker: Broker
        if wanted == "mosquitto":
            access = "\n".join(acl_text(s.name, s.gateway, s.agents) for s in self.sites)
            limits = joined([limits_of(self._terms())] * len(self.sites))
            broker = Mosquitto(self.folder / "broker", authority, access, children, limits)
        elif wanted == "embedded":
            if self.options.broker is None:
                self._say(NOTICE)
            broker = EmbeddedBroker(self.folder / "broker", authority, children)
        else:
            broker = ExternalBroker(*parse_host_port(wanted), self.options.broker_ca)
        self._say(f"starting the broker: {wanted}")
        return broker.start(), authority

    def _start_chain(self, children: Children) -> Started:
        name, folder = self.options.chain, self.folder / "chain"
        if name in CHAINS:
            self._say(f"starting the chain: {name}")
        state = None
        if self.options.keep is not None and name == "anvil":  # so that it can be started again
            folder.mkdir(mode=0o700)
            state = folder / "state.json"
        owners = len(self.sites)
        return start(name, children, folder, owners, closing=self._cleanup, state=state)

    def _start_relay(
        self, children: Children, broker: BrokerAddress, chain: Started
    ) -> dict[str, int]:
        """Start what leads devices through the network file; their ports by device."""
        if self.network is None:
            return {}
        self._say("starting the relay of the network file")
        nodes = [chain.settings(number) for number in range(len(self.sites))]
        return self.network.start(children, self.folder, (broker.host, broker.port), nodes)

    def _start_agents(self, children: Children) -> None:
        self._say(f"starting {len(self.sites)} × {self.options.agents} agents")
        for number, site in enumerate(self.sites):
            command = [sys.executable, "-m", "protoledger.emulator.processes.faulty_agents"]
            command += ["--drop-rate", str(self.options.drop_rate)]
            command += ["--liars", str(self.options.liars), "--attack", self.options.attack]
            command += ["--seed", str(self.options.seed * 1000 + number)]
            children.start(
                f"{site.name}.agents", [*command, *(site.agent_file(a) for a in site.agents)]
            )

    def _start_gateways(
        self,
        children: Children,
        broker: BrokerAddress,
        authority: CertificateAuthority,
        chain: Started,
    ) -> None:
        self._say("deploying the contracts")
        gateways = [address_of(create_key(site.chain_key_file)) for site in self.sites]
        ledger = self._deploy(chain, gateways)
        self._say(f"starting {len(self.sites)} gateways")
        for number, site in enumerate(self.sites):
            nodes = self.network.nodes[number] if self.network else chain.settings(number)
            own = {**nodes, **ledger}
            write_gateway(site, self.options, broker, authority, own)
            command = [sys.executable, "-m", "protoledger", "gateway", "run"]
            command += ["--events", "--event-sums", "--config"]
            children.start(site.gateway, [*command, site.gateway_file])
        if self.outside is not None:
            self._say(f"starting {self.options.oracle} reporters of outside data")
            self.outside.start(
                children,
                chain.addresses[0],
                self._oracle,
                load_key(self._owner_file),
                self._fund_wei,
            )

    def _deploy(self, chain: Started, gateways: list[str]) -> dict[str, object]:
        from protoledger.contracts.client.deployment import deploy  # noqa: PLC0415 - web3 takes a second to load

        reporters = [] if self.outside is None else self.outside.create_keys()
        url = chain.addresses[0].url
        if self.options.chain_key is None:
            owner = create_key(self._owner_file)
            try:
                chain.fund([address_of(owner), *gateways, *reporters])
            except ChainError as error:
                raise ChainError(
                    f"accounts on {url} cannot be funded ({error}); name a file with the key "
                    f"of an account that has ether: --chain-key FILE"
                ) from error
        made = deploy(
            url,
            load_key(self._owner_file),
            self.schema.digest,
            len(self.dealt.channels),
            len(self.dealt.labels),
            gateways,
            fund_wei=self._fund_wei,
        )
        self.deploy_gas = made.gas_used
        record_deployment(self.folder / "chain", asdict(made))
        self.contract, self.chain, self._oracle = made.buffer, url, made.oracle
        return {
            "chain_id": made.chain_id,
            "contract": made.buffer,
            "genesis_hash": made.genesis_hash,
        }

    def _watch(self, children: Children, show: Callable[[Progress], None]) -> None:
        self._say("running")
        progress = self.progress
        while not progress.finished:
            self._take(children.wait_any(0.25))
            if self.outside is not None:
                self.outside.advance(progress.share)
            show(progress)
            self._check_stalled()
        if missing := progress.incomplete:
            raise EmulatorError(f"rounds that were not reported: {missing}; see the logs")
        self._settle(children)
        show(progress)

    def _settle(self, children: Children) -> None:
        """Wait until every commit is on the chain and all other gateways have taken it over."""
        addresses = {s.gateway: address_of(load_key(s.chain_key_file)) for s in self.sites}
        deadline = time.monotonic() + SETTLE_S
        batches = 0 if self.outside is None else self.outside.batches
        while time.monotonic() < deadline and not (
            self.progress.settled(addresses) and self.progress.received_batches(batches)
        ):
            self._take(children.wait_any(0.1))

    def _take(self, event: ChildEvent | Ended | None) -> None:
        if isinstance(event, ChildEvent):
            self.progress.take(event.name, event.data)

    def _check_stalled(self) -> None:
        patience_s = STALLED_S + 4 * self.options.round_seconds
        if self.network is not None:
            patience_s += self.network.longest_cut_s
        if time.monotonic() - self.progress.news_at > patience_s:
            lagging = ", ".join(s.name for s in self.progress.sites.values() if s.totals is None)
            raise EmulatorError(
                f"no event for {patience_s:.0f} s, waiting for {lagging}; see the logs in "
                f"{self.folder / 'logs'} (--keep DIR keeps them)"
            )

    def _stop_workers(self, children: Children) -> None:
        """Stop gateways and agents one by one, and collect their last events."""
        if self.outside is not None:
            self.outside.stop(children)
            self.oracle = self.outside.report()
        for site in self.sites:
            for name in (site.gateway, f"{site.name}.agents"):
                children.stop(name)
        if self.network is not None:
            children.stop(RELAY)
        while (event := children.wait_any(0.5)) is not None:
            self._take(event)

    def _classify_holdout(self) -> None:
        """Measure the stored models: `here` on held-out rows of the site, `anywhere` on all."""
        from protoledger.gateway.config import GatewayConfig  # noqa: PLC0415 - the run must not wait for these
        from protoledger.gateway.predictor import Predictor  # noqa: PLC0415
        from protoledger.runtime.site import SiteConfig, load  # noqa: PLC0415

        truth = self.dealt.holdout_labels
        for number, site in enumerate(self.sites):
            mine = self.dealt.held_out_at(number)
            predictor = Predictor(
                load(site.gateway_file, GatewayConfig),
                load(site.folder / "site.yaml", SiteConfig),
            )
            here, anywhere = predictor.classes(self.dealt.holdout_values)
            self.holdout[site.name] = _share_right(here[mine], truth[mine])
            self.holdout_anywhere[site.name] = _share_right(anywhere, truth)
            if self._lies_within:
                tops = np.array([channel.high for channel in self.dealt.channels])
                options = self.options
                read = as_read(self.dealt.holdout_values, tops, options.agents, options.liars)
                here, _ = predictor.classes(read)
                self.holdout_as_read[site.name] = _share_right(here[mine], truth[mine])

    @property
    def _lies_within(self) -> bool:
        return bool(self.options.liars) and self.options.attack == WITHIN_RANGE


def _share_right(found: np.ndarray, truth: np.ndarray) -> float:
    return float((found == truth).mean()) if truth.size else 0.0
