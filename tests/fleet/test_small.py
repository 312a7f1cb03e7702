"""A small fleet on booted hosts: from nothing to completed rounds, and a second run unchanged."""

import pytest

from tests.fleet.deployment import changed

pytestmark = pytest.mark.fleet

AGENTS = ["attic-pi-1", "attic-pi-2", "attic-pi-3"]


@pytest.fixture(scope="module")
def fleet(boot):
    deployment = boot({"attic": AGENTS})
    deployment.play("build", inside=False)
    return deployment


def test_site_yml_makes_a_fleet_that_completes_rounds(fleet):
    fleet.play("site")
    machines = fleet.machines
    assert machines["hub"].ssh("systemctl", "is-active", "mosquitto", "protoledger-chain")
    assert machines["attic-gateway"].ssh("systemctl", "is-active", "protoledger-gateway")
    for agent in AGENTS:
        assert machines[agent].ssh("systemctl", "is-active", "protoledger-edge")
    assert fleet.wait_for_rounds("attic", 3) >= 3
    assert fleet.status("attic")["chain"] != "none"


def test_the_second_run_changes_nothing(fleet):
    assert set(changed(fleet.play("site")).values()) == {0}


def test_private_keys_stay_on_their_devices(fleet):
    for name in (*AGENTS, "attic-gateway"):
        find = ("find", "/etc/protoledger/private", "-type", "f", "-printf", "%m:%u:%f,")
        listed = fleet.machines[name].ssh(*find).strip(",").split(",")
        assert all(entry.startswith("600:root:") for entry in listed), listed
        secret = fleet.machines[name].ssh("cat", "/etc/protoledger/private/identity.key").strip()
        for path in fleet.state.rglob("*"):
            assert not path.is_file() or path.suffix == ".tar" or secret not in path.read_text()


def test_check_and_diff_work_and_change_nothing(fleet):
    log = fleet.play("site", "--check", "--diff")
    assert set(changed(log).values()) == {0}
