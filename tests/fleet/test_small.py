"""A small fleet on booted hosts: a first and a second run; a host off, one added, one replaced."""

import pytest

from protoledger.dashboard.server.login import write_password
from tests.fleet.deployment import changed

pytestmark = pytest.mark.fleet

AGENTS = ["attic-pi-1", "attic-pi-2", "attic-pi-3"]
SPARE = "attic-pi-4"
PROTOLEDGER = "/opt/protoledger/current/bin/protoledger"
FOREIGN = "table ip foreign { chain forward { type filter hook forward priority 0; accept; }; }"

# the broker refuses a client's certificate after the handshake, when TLS 1.3 is complete for it
KNOCK = """
import socket, ssl
context = ssl.create_default_context(cafile="/root/old/ca.crt")
context.load_cert_chain("/root/old/tls.crt", "/root/old/private/tls.key")
try:
    with socket.create_connection(("{host}", 8883), 20) as plain:
        print(context.wrap_socket(plain, server_hostname="{host}").recv(1))
except OSError as error:
    print(error)
"""

# a browser's steps on the page of a gateway, by its address and the fleet's authority
LOOK = """
import http.client, json, ssl
context = ssl.create_default_context(cafile="/etc/protoledger/ca.crt")
def ask(method, path, body=None, **headers):
    connection = http.client.HTTPSConnection("{host}", 8765, context=context, timeout=60)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer.status, answer.getheader("set-cookie", ""), answer.read()
first = ask("GET", "/api/views/now")[0]
status, cookie, _ = ask("POST", "/login", "password={password}", origin="https://{host}:8765")
_, _, body = ask("GET", "/api/views/now", cookie=cookie.partition(";")[0])
print(first, status, json.loads(body)["sites"][0]["state"])
"""


@pytest.fixture(scope="module")
def fleet(boot):
    deployment = boot({"attic": AGENTS}, spare=(SPARE,))
    deployment.play("build", inside=False)
    return deployment


def restarts(fleet, name):
    unit = "protoledger-gateway" if name.endswith("gateway") else "protoledger-edge"
    unit = "mosquitto" if name == "hub" else unit
    shown = ("systemctl", "show", "--property=ExecMainStartTimestampMonotonic", "--value", unit)
    return fleet.machines[name].ssh(*shown).strip()


def rules(fleet, name):
    return fleet.machines[name].ssh("nft", "list", "ruleset")


def checks(fleet, name):
    config = ("--config", "/etc/protoledger/agent.yaml")
    return fleet.machines[name].ssh(
        PROTOLEDGER, "edge", "check", "--no-sensors", *config, check=False
    )


def test_site_yml_makes_a_fleet_that_completes_rounds(fleet):
    hub = fleet.machines["hub"]
    (hub.root / "root/foreign.nft").write_text(FOREIGN + "\n")
    fleet.play("site")
    machines = fleet.machines
    assert hub.ssh("systemctl", "is-active", "mosquitto", "protoledger-chain")
    assert machines["attic-gateway"].ssh("systemctl", "is-active", "protoledger-gateway")
    for agent in AGENTS:
        assert machines[agent].ssh("systemctl", "is-active", "protoledger-edge")
    assert fleet.wait_for_rounds("attic", 3) >= 3
    assert fleet.status("attic")["chain"] != "none"


def test_the_second_run_changes_nothing(fleet):
    fleet.machines["hub"].ssh("nft", "--file", "/root/foreign.nft")
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


def test_a_host_that_is_off_is_skipped_listed_and_caught_up_with(fleet):
    *others, absent = AGENTS
    fleet.machines[absent].power_off()
    setting = {"fleet_sampling": {"read_every_s": 0.5}}
    fleet.agent_changes = setting
    fleet.write_inventory(base_ssh_from=["10.77.0.1", "localhost"])
    log = fleet.play("site")
    assert f"skipped, because they do not answer: {absent}" in " ".join(log.split())
    done = changed(log)
    assert all(done[name] > 0 for name in ("hub", "attic-gateway", *others)), done
    assert done[absent] == 0
    machine = fleet.machines[absent]
    machine.power_on()
    machine.wait_until_up()
    done = changed(fleet.play("site"))
    assert done.pop(absent) > 0
    assert set(done.values()) == {0}
    assert fleet.wait_for_rounds("attic", 3)


def test_the_firewall_owns_its_table_alone_and_is_there_after_a_boot(fleet):
    shown = rules(fleet, "hub")
    assert "table ip foreign" in shown, "rules of others stay when ours are reloaded"
    assert "10.77.0.1" in shown
    assert "127.0.0.1" in shown, "names are resolved on the controller"
    assert "localhost" not in shown
    assert "table inet protoledger" in rules(fleet, AGENTS[-1]), "it has been switched off and on"


def test_an_agent_is_added_without_a_restart_of_broker_or_of_what_it_does_not_concern(fleet):
    before = restarts(fleet, "hub")
    fleet.sites["attic"].append(SPARE)
    fleet.write_inventory(base_ssh_from=["10.77.0.1", "localhost"])
    log = fleet.play("add", "-e", "device=attic-pi-9", check=False)
    assert "device=attic-pi-9 is not an agent that answers" in " ".join(log.split())
    fleet.play("add", "-e", f"device={SPARE}")
    fleet.wait_for_agents("attic", 4)
    assert fleet.wait_for_rounds("attic", 3)
    assert restarts(fleet, "hub") == before
    assert "✓ broker" in checks(fleet, SPARE)


def test_a_replaced_device_is_shut_out_and_its_successor_let_in(fleet):
    machine = fleet.machines[SPARE]
    machine.ssh("systemctl", "stop", "protoledger-edge")
    machine.ssh("mv", "/etc/protoledger", "/root/old")  # the successor is a blank card
    fleet.play("replace", "-e", f"device={SPARE}")
    fleet.wait_for_agents("attic", 4)
    assert fleet.wait_for_rounds("attic", 3)
    assert "✓ broker" in checks(fleet, SPARE)
    knock = KNOCK.format(host=fleet.machines["hub"].address)
    (machine.root / "root/knock.py").write_text(knock)
    assert "REVOKED" in machine.ssh("python3", "/root/knock.py")


def test_a_gateway_s_page_takes_tls_and_a_login_and_can_write_nothing(fleet):
    machine = fleet.machines["attic-gateway"]
    assert "dport 8765" not in rules(fleet, "attic-gateway")
    write_password(fleet.state / "page.password", "only-for-this-test")
    fleet.write_inventory(base_ssh_from=["10.77.0.1", "localhost"], fleet_page=True)
    fleet.play("site")
    assert "dport 8765" in rules(fleet, "attic-gateway")
    assert "dport 8765" not in rules(fleet, AGENTS[0])
    script = LOOK.format(host=machine.address, password="only-for-this-test")
    (machine.root / "root/look.py").write_text(script)
    retry = "for i in $(seq 60); do python3 /root/look.py && exit; sleep 2; done"
    assert machine.ssh("bash", "-c", f"'{retry}'").split() == ["401", "303", "running"]
    own = ("systemctl", "show", "--property=MainPID", "--value", "protoledger-page")
    process = machine.ssh(*own).strip()
    touch = ("nsenter", "-t", process, "-m", "touch", "/var/lib/private/protoledger/x")
    assert "Read-only" in machine.ssh(*touch, "2>&1", check=False)
    assert set(changed(fleet.play("site")).values()) == {0}
    machine.ssh("systemctl", "kill", "--signal=KILL", "protoledger-page")
    assert fleet.wait_for_rounds("attic", 3), "its death harms nothing"
