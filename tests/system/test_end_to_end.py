"""Whole deployments of real processes: what crosses a network in the field crosses one here."""

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from rich.console import Console

from protoledger.contracts.keys import address_of, create_key, load_key
from protoledger.emulator.options import Options
from protoledger.emulator.processes.broker import Mosquitto, find_mosquitto
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.emulator.processes.children import ChildEvent, Children
from protoledger.emulator.processes.outside import aggregates
from protoledger.emulator.progress import true_sums
from protoledger.emulator.report import make_report, summary_table
from protoledger.emulator.run import Emulation
from protoledger.emulator.site_files import plan_sites, write_gateway, write_sites
from protoledger.emulator.sources.catalogue import open_source
from protoledger.emulator.sources.dealing import DealPlan, Dealt, SiteRows, deal
from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.ledger.client import Ledger
from protoledger.gateway.ledger.config import LedgerConfig
from protoledger.gateway.ledger.events import CodebookChanged
from protoledger.gateway.training.model import SiteModel
from protoledger.gateway.training.store import Store
from protoledger.protocol.wire.schema import Channel, Schema
from protoledger.runtime.broker.access_list import acl_text
from protoledger.runtime.site import load

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto is not installed")


class KeptEmulation(Emulation):
    """Looks at chain and stores after the workers have ended, while the chain still runs."""

    def _classify_holdout(self):
        super()._classify_holdout()
        self.on_chain = self._rebuild_from_chain()
        self.in_stores = {}
        for site in self.sites:
            with Store(site.folder / "gateway.db", self.schema.digest) as store:
                model = SiteModel.restore(store.model()[0])
            owner = address_of(load_key(site.chain_key_file))
            self.in_stores[owner] = (model.commits.version, model.commits.base.encode())

    def _rebuild_from_chain(self):
        """A stranger with nothing but the contract's address folds every codebook."""
        config = load(self.sites[0].gateway_file, GatewayConfig).ledger
        key_file = self.folder / "stranger.key"
        create_key(key_file)
        found = {}

        def note(event):
            if isinstance(event, CodebookChanged):
                found[event.owner] = (event.version, event.codebook.encode())

        stranger = LedgerConfig(**{**config.model_dump(), "key_file": key_file})
        database = self.folder / "stranger.db"
        sizes = len(self.dealt.channels), len(self.dealt.labels)
        with Ledger(stranger, database, self.schema.digest, *sizes, note):
            deadline = time.monotonic() + 60
            committed = sum(bool(s.version) for s in self.progress.sites.values())
            while len(found) < committed and time.monotonic() < deadline:
                time.sleep(0.05)
        return found


def test_what_gateways_learn_crosses_the_chain_and_sums_are_exact():
    emulation = KeptEmulation(
        Options(sites=2, agents=4, rounds=60, batch=4, source="bananas", test="always", seed=3),
        say=lambda _text: None,
    )
    emulation.run(lambda _progress: None)
    sites = emulation.progress.sites.values()
    assert all(site.rounds == 60 and site.failed == 0 for site in sites)
    assert all(site.sum_error == 0 for site in sites)
    assert all(site.mean_error <= 0.5 for site in sites)
    assert all(site.samples == 240 for site in sites)
    assert all(site.commits > 0 and site.rejected == 0 for site in sites)
    assert all(site.merged for site in sites), "each site took over the other's codebook"
    assert emulation.on_chain == {o: v for o, v in emulation.in_stores.items() if v[0]}
    assert len(emulation.on_chain) == 2
    assert all(accuracy > 0.6 for accuracy in emulation.holdout.values())
    assert not emulation.folder.exists()


def test_many_agents_in_small_groups_with_dropouts():
    emulation = Emulation(
        Options(sites=1, agents=24, rounds=20, drop_rate=0.01, round_seconds=6),
        say=lambda _text: None,
    )
    emulation.run(lambda _progress: None)
    (site,) = emulation.progress.sites.values()
    assert site.rounds >= 15
    assert site.sum_error == 0
    assert site.mean_error <= 0.5


def test_outside_data_is_signed_by_a_quorum_and_learnt_from():
    emulation = Emulation(
        Options(sites=2, agents=4, rounds=30, batch=2, source="bananas", oracle=3),
        say=lambda _text: None,
    )
    emulation.run(lambda _progress: None)
    report = make_report(emulation)
    oracle = report["oracle"]
    # one of three reporters may lie: a quorum is 2f + 1
    assert (oracle["reporters"], oracle["quorum"], oracle["batches"]) == (3, 3, 4)
    assert oracle["samples"] == 60  # as many as another site has
    assert oracle["learnt_by_site"] == {"site-1": 60, "site-2": 60}
    assert report["samples"] == 120  # which are not counted as the sites' own
    assert oracle["answers"] >= 1
    channel = emulation.dealt.channels[0]
    assert channel.low <= oracle["answer"] <= channel.high
    shown = Console(file=io.StringIO(), width=120)
    shown.print(summary_table(report))
    assert "3 of 3 reporters" in shown.file.getvalue()


def test_an_outside_sites_aggregates_are_means_of_ranges_and_most_votes():
    channels = (Channel("a", "", 0.0, 10.0, 0.1), Channel("b", "", -1.0, 1.0, 0.1))
    nan = float("nan")
    observed = np.array(
        [
            [[1.0, 0.0], [nan, nan], [5.0, 0.0]],
            [[2.0, nan], [nan, nan], [5.0, 0.0]],
            [[99.0, 1.0], [nan, nan], [5.0, 0.0]],
        ]
    )
    votes = np.array([[1, 0, -1], [1, -1, -1], [0, -1, -1]])
    rows = SiteRows(observed[0], np.zeros(3, int), observed, votes)
    plan = DealPlan(sites=1, agents=3, rounds=3)
    dealt = Dealt("x", plan, channels, ("no", "yes"), (), np.empty((0, 2)), np.empty(0, int))
    found = aggregates(dealt, rows)
    assert found.classes.tolist() == [1, 0]  # the last row has no vote
    assert np.allclose(found.features(), [[13 / 30, 0.75], [0.5, 0.5]], atol=1e-4)


def run_emulate(*arguments):
    command = [sys.executable, "-m", "protoledger", "emulate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_reports_what_it_saw(tmp_path):
    report_file = tmp_path / "report.json"
    ended = run_emulate(
        *("--sites", "2", "--agents", "4", "--rounds", "25", "--drop-rate", "0.05"),
        *("--round-seconds", "1", "--json", report_file, "--keep", tmp_path / "kept"),
    )
    assert ended.returncode == 0, ended.stderr
    report = json.loads(report_file.read_text())
    assert report["rounds_completed"] + report["rounds_failed"] == 50
    assert report["rounds_completed"] > 25
    assert report["aggregate_sum_error_max"] == 0
    assert report["aggregate_error_max"] <= 0.5
    assert report["samples"] <= report["rounds_completed"]
    assert report["bytes_per_agent_round"]["sent"] > 100
    assert set(report["prototypes"]) == {"site-1", "site-2"}
    assert "Summary" in ended.stdout
    kept = sorted(p.name for p in (tmp_path / "kept").iterdir())
    assert {"logs", "site-1", "site-2", "recordings"} <= set(kept)
    for secret in (tmp_path / "kept").rglob("*"):
        if secret.suffix in {".key", ".identity"}:
            assert secret.stat().st_mode & 0o077 == 0, secret


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", "empty"),
        ("a,b,label\n1,2,x\n1,3,x\n", "class"),
        ("a,b,label\n1,2,x\n1,3\n", "line 3"),
    ],
)
def test_a_broken_csv_is_told_before_anything_is_started(tmp_path, content, named):
    path = tmp_path / "rows.csv"
    path.write_text(content)
    ended = run_emulate("--source", path)
    assert ended.returncode == 65
    assert named in ended.stderr
    assert "starting" not in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--agents", "3", "--dropouts", "2"], "dropouts"),
        (["--rounds", "some"], "some"),
        (["--sites", "0"], "sites"),
        (["--noise", "-1"], "noise"),
        (["--json", "/nowhere/r.json"], "/nowhere"),
    ],
)
def test_options_that_cannot_work_are_usage_errors(arguments, named):
    ended = run_emulate(*arguments)
    assert ended.returncode in {2, 64}
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr


def test_interrupting_leaves_no_process_and_no_folder_behind(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "protoledger", "emulate", "--rounds", "5000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    for line in process.stderr:
        if line.startswith("running"):
            break
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
    assert not processes_mentioning(str(tmp_path))


def test_a_child_that_dies_ends_the_run_with_its_last_lines(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "protoledger", "emulate", "--rounds", "5000", "--sites", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    for line in process.stderr:
        if line.startswith("running"):
            break
    time.sleep(1.0)
    agents = [p for p in processes_mentioning(str(tmp_path)) if "faulty_agents" in p[1]]
    os.kill(agents[0][0], signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "site-1.agents ended by signal 9" in errors
    assert not processes_mentioning(str(tmp_path))


def processes_mentioning(text):
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if text in command and process.info["pid"] != os.getpid():
            found.append((process.info["pid"], command))
    return found


class SiteOfProcesses:
    """One site without a ledger: the gateway and every agent are separate processes."""

    def __init__(self, folder, children, agents=5):
        options = Options(sites=1, agents=agents, rounds=100_000, round_seconds=2)
        self.dealt = deal(open_source("house"), sites=1, agents=agents, rounds=2000, seed=5)
        self.schema = Schema(self.dealt.channels, self.dealt.labels)
        self.children = children
        authority = CertificateAuthority(folder / "tls")
        sites = plan_sites(folder, self.dealt)
        self.files = sites[0]
        access = acl_text(self.files.name, self.files.gateway, self.files.agents)
        broker = Mosquitto(folder / "broker", authority, access, children).start()
        write_sites(sites, self.dealt, options, broker, authority)
        write_gateway(self.files, options, broker, authority, {})
        text = self.files.gateway_file.read_text()
        self.files.gateway_file.write_text(text[: text.index("ledger:")] + "rounds: 1900\n")
        self.numbers = itertools.count()

    def start_agent(self, agent):
        name = f"{agent}-{next(self.numbers)}"
        file = self.files.agent_file(agent)
        command = [sys.executable, "-m", "protoledger", "edge", "run", "--config", file]
        self.children.start(name, command)
        return name

    def start_gateway(self):
        name = f"gateway-{next(self.numbers)}"
        command = [sys.executable, "-m", "protoledger", "gateway", "run"]
        command += ["--events", "--event-sums"]
        self.children.start(name, [*command, "--config", self.files.gateway_file])
        return name

    def events(self, sender, kinds=("round", "failed"), timeout_s=120.0):
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            event = self.children.wait_any(0.2)
            if (
                isinstance(event, ChildEvent)
                and event.name == sender
                and event.data["event"] in kinds
            ):
                yield event.data
        raise AssertionError(f"{sender}: nothing more within {timeout_s} s")

    def check(self, event):
        assert event["event"] == "round", event
        rows = slice(event["round"] - 1, event["round"])
        read = self.dealt.sites[0].observed[event["included"], rows]
        votes = self.dealt.sites[0].votes[event["included"], rows]
        assert event["sums"] == true_sums(self.schema, read, votes).tolist()


@pytest.fixture
def site(tmp_path):
    with Children(tmp_path / "logs") as children:
        yield SiteOfProcesses(tmp_path, children)


def test_an_agent_killed_in_the_middle_of_rounds_costs_nothing(site):
    names = {agent: site.start_agent(agent) for agent in site.files.agents}
    gateway = site.start_gateway()
    events = site.events(gateway)
    first = next(events)
    assert first["included"] == [0, 1, 2, 3, 4]
    site.check(first)
    victim = site.files.agents[2]
    for event in itertools.islice(events, 10):
        site.check(event)
    site.children.kill(names[victim])  # SIGKILL, wherever in a round it is
    without = 0
    for event in events:
        site.check(event)  # every round completes, and its sum is that of its announced set
        without = without + 1 if 2 not in event["included"] else 0
        if without == 10:
            break
    site.start_agent(victim)
    back = next(event for event in events if 2 in event["included"])
    site.check(back)


def test_a_gateway_killed_goes_on_with_its_model_and_never_repeats_a_round(site):
    for agent in site.files.agents:
        site.start_agent(agent)
    gateway = site.start_gateway()
    events = site.events(gateway)
    last = next(events)
    began = time.monotonic()
    while time.monotonic() < began + 2.5:  # long enough for two saves
        last = next(events)
    site.children.kill(gateway)
    again = site.start_gateway()
    told = site.events(again)
    after = next(told)
    if after["event"] == "failed":  # agents renewed their keys for the gateway's new session
        after = next(told)
    site.check(after)
    assert after["round"] > last["round"]
    assert after["samples"] > 1, "its counters and model are those of before"
    assert after["samples"] <= last["samples"] + 5
