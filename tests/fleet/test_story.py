"""The life of a fleet: two sites from nothing, faults, updates, retirement, rotation, backup.

The tests are chapters: each goes on with the fleet that the one before has left.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fleet.deployment import Deployment, changed
from tests.fleet.golden import ROOT
from tests.fleet.machines import run

pytestmark = pytest.mark.fleet

SITES = {
    "attic": ["attic-pi-1", "attic-pi-2", "attic-pi-3", "attic-pi-4"],
    "cellar": ["cellar-pi-1", "cellar-pi-2", "cellar-pi-3"],
}
UNITS = {"hub": "mosquitto protoledger-chain prometheus"}
PROTOLEDGER = "/opt/protoledger/current/bin/protoledger"


@pytest.fixture(scope="module")
def fleet(boot) -> Deployment:
    deployment = boot(SITES, monitoring=True)
    deployment.play("build", inside=False)
    return deployment


def units(name: str) -> str:
    if name in UNITS:
        return UNITS[name]
    return f"protoledger-{'gateway' if name.endswith('gateway') else 'edge'}"


def test_from_nothing_to_rounds_on_both_sites(fleet):
    fleet.play("site")
    for name, machine in fleet.machines.machines.items():
        assert machine.ssh("systemctl", "is-active", units(name), "prometheus-node-exporter")
        assert "0 loaded units" in machine.ssh("systemctl", "--failed")
    for site in SITES:
        assert fleet.wait_for_rounds(site, 5)


def test_a_commit_lands_and_the_other_site_takes_it_over(fleet):
    """Both sites learn the same here, so whoever is second may have nothing to add."""
    accounts = {site: fleet.account(f"{site}-gateway") for site in SITES}
    deadline = time.monotonic() + 180
    while not any(fleet.committed(accounts[site]) for site in SITES):
        assert time.monotonic() < deadline, fleet.contracts()
        time.sleep(2)
    for site, other in (("attic", "cellar"), ("cellar", "attic")):
        while fleet.committed(accounts[other]) and accounts[other] not in fleet.followed(site):
            assert time.monotonic() < deadline, fleet.followed(site)
            time.sleep(1)


def test_the_second_run_changes_nothing(fleet):
    assert set(changed(fleet.play("site")).values()) == {0}


def test_metrics_are_read_by_the_monitoring_host_alone(fleet):
    hub = fleet.machines["hub"]
    asks = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9090{}').read().decode())"
    path = "/api/v1/query?query=count(up==1)".replace("=count(up==1)", "=count(up%3D%3D1)")
    (hub.root / "root/ask.py").write_text(asks.format(path) + "\n")
    targets = len(fleet.machines.names) + len(SITES)
    deadline = time.monotonic() + 60
    while f',"{targets}"]' not in (told := hub.ssh("python3", "/root/ask.py")):
        assert time.monotonic() < deadline, told
        time.sleep(2)
    address = fleet.machines["attic-gateway"].address
    knock = ("timeout", "3", "bash", "-c", f": </dev/tcp/{address}/9464")
    assert run(*fleet.machines.inside, *knock, check=False).returncode != 0


def test_a_site_goes_on_while_an_agent_has_no_power(fleet):
    agent = fleet.machines["attic-pi-4"]
    agent.power_off()
    assert fleet.wait_for_rounds("attic", 3)  # one of four may be missing
    agent.power_on()
    agent.wait_until_up()
    fleet.wait_for_agents("attic", 4)


def test_a_gateway_without_power_goes_on_where_it_was(fleet):
    gateway = fleet.machines["attic-gateway"]
    before = fleet.status("attic")["last_round"]
    gateway.power_off()
    gateway.power_on()
    gateway.wait_until_up()
    assert fleet.wait_for_rounds("attic", 3) > before


def test_a_cut_link_heals(fleet):
    agent = fleet.machines["cellar-pi-2"]
    agent.unplug()
    time.sleep(5)
    agent.plug_in()
    assert fleet.wait_for_rounds("cellar", 3)


def test_the_broker_may_restart(fleet):
    fleet.machines["hub"].ssh("systemctl", "restart", "mosquitto")
    for site in SITES:
        assert fleet.wait_for_rounds(site, 3)


def source_with(tmp_path_factory, file: str, change: Callable[[str], str]) -> Path:
    """A checkout in which one file is another."""
    source = tmp_path_factory.mktemp("broken") / "protoledger"
    listed = run("git", "-C", ROOT, "ls-files").stdout.splitlines()
    for name in listed:
        if not name.startswith(("tests/", "docs/", "ansible/")) and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    path = source / file
    path.write_text(change(path.read_text()))
    return source


BROKEN = {
    "next-broken": (
        "edge/protoledger/edge/host.py",
        lambda text: text + '\nraise RuntimeError("broken on purpose")\n',
    ),
    # the agent starts, connects and takes part in rounds, with nothing to contribute
    "next-blind": (
        "sensors/protoledger/sensors/synthetic/mock.py",
        lambda text: text.replace(
            "    def _measure(self) -> Reading:\n",
            '    def _measure(self) -> Reading:\n        raise RuntimeError("broken on purpose")\n',
        ),
    ),
}


@pytest.mark.parametrize("release", BROKEN)
def test_a_broken_release_is_stopped_at_the_canary(fleet, tmp_path_factory, release):
    broken = source_with(tmp_path_factory, *BROKEN[release])
    given = ("-e", f"fleet_source={broken}", "-e", f"fleet_release={release}")
    fleet.play("build", *given, inside=False)
    log = fleet.play("update", *given, check=False)
    first, *others = SITES["attic"]
    assert f"{release} is not healthy on {first}, which is back on" in " ".join(log.split())
    for name in (first, *others):
        link = fleet.machines[name].ssh("readlink", "/opt/protoledger/current").strip()
        assert release not in link
        assert fleet.machines[name].ssh("systemctl", "is-active", "protoledger-edge")
    assert fleet.wait_for_rounds("attic", 3)


def test_a_good_release_is_rolled_out(fleet):
    given = ("-e", "fleet_release=next")
    fleet.play("build", *given, inside=False)
    fleet.play("update", *given)
    for name in fleet.machines.names:
        if name != "hub":
            link = fleet.machines[name].ssh("readlink", "/opt/protoledger/current").strip()
            assert link == "releases/next"
    for site in SITES:
        assert fleet.wait_for_rounds(site, 3)


def test_backup_and_restore(fleet):
    fleet.play("backup")
    archives = {path.name.partition("-2")[0] for path in (fleet.state / "backups").iterdir()}
    assert archives == {
        "attic-gateway-protoledger",
        "cellar-gateway-protoledger",
        "hub-protoledger-chain",
    }
    gateway = fleet.machines["attic-gateway"]
    gateway.ssh("systemctl", "stop", "protoledger-gateway")
    gateway.ssh("rm", "-r", "/var/lib/private/protoledger")
    fleet.play("restore", "--limit", "attic-gateway")
    assert fleet.wait_for_rounds("attic", 3) > 3


def test_a_retired_agent_cannot_connect(fleet):
    agent = fleet.machines["attic-pi-4"]
    log = fleet.play("retire", "-e", "device=attic-pi-9", check=False)
    assert "device=attic-pi-9 is not one of the agents" in log.replace("\n", " ")
    fleet.play("retire", "-e", "device=attic-pi-4")
    assert fleet.wait_for_rounds("attic", 3)
    agent.ssh("systemctl", "start", "protoledger-edge", check=False)
    config = "/etc/protoledger/agent.yaml"
    told = agent.ssh(PROTOLEDGER, "edge", "check", "--no-sensors", "--config", config, check=False)
    assert "✗ broker" in told
    assert fleet.status("attic")["agents"] == 3


def test_all_keys_change_and_at_most_a_round_is_lost(fleet):
    for site in SITES:
        fleet.wait_for_rounds(site, 1)
    old = fleet.machines["cellar-pi-1"].ssh("cat", "/etc/protoledger/tls.crt")
    account = fleet.account("attic-gateway")
    fleet.sites["attic"].remove("attic-pi-4")  # as the owner does, once it is retired
    fleet.write_inventory()
    fleet.play("rotate")
    assert fleet.machines["cellar-pi-1"].ssh("cat", "/etc/protoledger/tls.crt") != old
    for site in SITES:
        assert fleet.wait_for_rounds(site, 3)
        assert fleet.status(site)["failed"] <= 1
    assert fleet.account("attic-gateway") == account
