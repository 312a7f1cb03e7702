"""What years bring: certificates that end, a controller that is lost, other authorities and keys.

The tests are chapters: each goes on with the fleet that the one before has left.
"""

import re
import shutil
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from protoledger.runtime.pki.certificates import Authority, days_left
from tests.fleet.deployment import changed

pytestmark = pytest.mark.fleet

AGENTS = ["attic-pi-1", "attic-pi-2", "attic-pi-3"]
DEVICES = [*AGENTS, "attic-gateway", "hub"]
CERTIFICATE = "/etc/protoledger/tls.crt"


@pytest.fixture(scope="module")
def fleet(boot):
    deployment = boot({"attic": AGENTS})
    deployment.play("build", inside=False)
    deployment.play("site")
    assert deployment.wait_for_rounds("attic", 3)
    return deployment


def certificate(fleet, name):
    shown = fleet.machines[name].ssh("cat", CERTIFICATE)
    return x509.load_pem_x509_certificate(shown.encode())


def test_a_second_run_changes_nothing_and_timers_wait(fleet):
    assert set(changed(fleet.play("site")).values()) == {0}
    for name in DEVICES:
        machine = fleet.machines[name]
        assert machine.ssh("systemctl", "is-active", "protoledger-renewal.timer")
        machine.ssh("systemctl", "start", "protoledger-renewal")
        told = machine.ssh("journalctl", "--no-pager", "--unit=protoledger-renewal")
        assert re.search(r"nothing newer yet: 39[67] days left", told), told


def test_certificates_are_renewed_without_the_controller(fleet):
    now, authority = datetime.now(UTC), Authority(fleet.state / "pki")
    hub = fleet.machines["hub"]
    offered = hub.root / "etc/protoledger/renewals.pem"
    for name in DEVICES:  # as they will be signed ahead for a year's time
        following = authority._follow(
            authority.issued(name), now - timedelta(hours=1), now + timedelta(days=700)
        )
        with offered.open("ab") as file:
            file.write(following.public_bytes(Encoding.PEM))
    away = fleet.state.with_name("away")
    fleet.state.rename(away)
    try:
        hub.ssh("systemctl", "stop", "protoledger-renewals.socket")
        fleet.machines[AGENTS[0]].ssh("systemctl", "start", "protoledger-renewal", check=False)
        assert days_left(certificate(fleet, AGENTS[0])) < 400
        hub.ssh("systemctl", "start", "protoledger-renewals.socket")
        for name in DEVICES:
            fleet.machines[name].ssh("systemctl", "start", "protoledger-renewal")
            assert days_left(certificate(fleet, name)) > 690
        assert fleet.wait_for_rounds("attic", 3)
        broker = hub.ssh("cat", "/etc/mosquitto/protoledger/tls.crt")
        assert broker == hub.ssh("cat", CERTIFICATE)
    finally:
        away.rename(fleet.state)


def test_another_computer_becomes_the_controller(fleet):
    file = fleet.machines.folder / "fleet.vault"
    password = ("-e", "controller_password=correct-horse-battery")
    fleet.play("site")  # back to the certificates that the controller knows
    fleet.play("controller", "-e", f"save={file}", *password)
    releases = (fleet.state / "releases").readlink()
    shutil.rmtree(fleet.state)
    fleet.play("controller", "-e", f"load={file}", *password)
    (fleet.state / "releases").symlink_to(releases)
    assert set(changed(fleet.play("site")).values()) == {0}


def test_another_authority_while_rounds_go_on(fleet):
    before = certificate(fleet, AGENTS[0]).issuer
    fleet.play("authority")
    issuers = {certificate(fleet, name).issuer for name in DEVICES}
    assert len(issuers) == 1
    assert before not in issuers
    for name in DEVICES:
        trusted = fleet.machines[name].ssh("cat", "/etc/protoledger/ca.crt")
        assert trusted.count("BEGIN CERTIFICATE") == 1
    assert fleet.wait_for_rounds("attic", 3)
    assert set(changed(fleet.play("site")).values()) == {0}


def test_the_fleet_s_key_and_the_account_change_and_the_codebook_is_carried_over(fleet):
    old, site = fleet.account("attic-gateway"), "/etc/protoledger/site.yaml"
    deadline = time.monotonic() + 180
    while not fleet.committed(old):
        assert time.monotonic() < deadline, fleet.contracts()
        time.sleep(2)
    before = fleet.machines[AGENTS[0]].ssh("cat", site)
    fleet.play("rotate", "-e", "also=fleet-key,chain")
    assert fleet.wait_for_rounds("attic", 3)
    assert fleet.machines[AGENTS[0]].ssh("cat", site) != before
    new = fleet.account("attic-gateway")
    assert new != old
    while not fleet.committed(new):
        assert time.monotonic() < deadline + 180, fleet.contracts()
        time.sleep(2)
    assert not fleet.committed(old), "it is removed, not active"
    assert set(changed(fleet.play("site")).values()) == {0}
