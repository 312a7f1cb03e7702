"""The page on gateways' hosts: its service, what the firewall opens, and what is packed for it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).parents[2] / "ansible"
UNIT = ROOT / "roles/gateway/templates/protoledger-page.service.j2"
HOST = {"ansible_managed": "managed", "inventory_hostname": "attic-gateway"}


def variables(**changes):
    roles = ("fleet", "gateway")
    found = [
        yaml.safe_load((ROOT / f"roles/{role}/defaults/main.yml").read_text()) for role in roles
    ]
    merged = {name: value for one in found for name, value in one.items() if "{{" not in str(value)}
    return {**merged, **HOST, **changes}


def render(text, **given):
    return Templar(loader=DataLoader(), variables=given).template(trust_as_template(text))


@pytest.fixture(scope="module")
def unit():
    return render(UNIT.read_text(), **variables())


def settings(unit):
    found = {}
    for line in unit.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_the_service_asks_for_tls_and_a_login_and_has_no_secret_on_its_command_line(unit):
    (command,) = settings(unit)["ExecStart"]
    for words in ("--host 0.0.0.0", "--port 8765", "--certificate /etc/protoledger/page.crt",
                  "--key ${CREDENTIALS_DIRECTORY}/tls.key",
                  "--password-file ${CREDENTIALS_DIRECTORY}/password"):  # fmt: skip
        assert words in command
    handed = settings(unit)["LoadCredential"]
    assert sorted(one.partition(":")[0] for one in handed) == ["password", "tls.key"]
    assert all("/private/page/" in one for one in handed), "not the gateway's keys"


def test_the_service_can_change_nothing_of_the_gateway(unit):
    found = settings(unit)
    assert found["User"] == ["protoledger-gateway"], "whose files it reads"
    assert found["DynamicUser"] == ["yes"]
    assert found["ReadOnlyPaths"] == ["/var/lib/private/protoledger"]
    assert found["CapabilityBoundingSet"] == [""]
    assert found["InaccessiblePaths"] == ["/etc/protoledger/private /proc"]
    denied = found["SystemCallFilter"][-1].removeprefix("~").split()
    assert {"kill", "tkill", "tgkill", "pidfd_send_signal", "@privileged"} <= set(denied)
    assert not {"PartOf", "Requires", "BindsTo", "Requisite"} & set(found), (
        "neither needs the other"
    )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_takes_the_service(unit, tmp_path):
    path = tmp_path / "protoledger-page.service"
    path.write_text(unit)
    command = ["systemd-analyze", "verify", "--man=no", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    mine = [line for line in done.stderr.splitlines() if path.name in line]
    assert [line for line in mine if "not executable" not in line] == []


@pytest.mark.parametrize(("page", "host", "opened"), [
    (False, "attic-gateway", []),
    (True, "attic-gateway", [{"port": 8765, "from": ["192.0.2.0/24"]}]),
    (True, "attic-pi-1", []),
])  # fmt: skip
def test_the_firewall_opens_the_page_on_gateways_alone_and_only_if_it_is_wanted(page, host, opened):
    defaults = yaml.safe_load((ROOT / "roles/base/defaults/main.yml").read_text())
    given = variables(
        inventory_hostname=host, fleet_page=page, fleet_page_from=["192.0.2.0/24"],
        base_monitors=[], base_gateways=[], base_time_host="",
        groups={"gateways": ["attic-gateway"], "agents": ["attic-pi-1"]},
    )  # fmt: skip
    assert render(defaults["base_open_ports"], **given) == opened


def test_it_is_off_by_default_and_no_password_is_a_variable():
    assert variables()["fleet_page"] is False
    specs = yaml.safe_load((ROOT / "roles/gateway/meta/argument_specs.yml").read_text())
    assert "page_password" not in specs["argument_specs"]["page"]["options"]
    tasks = yaml.safe_load((ROOT / "roles/gateway/tasks/page_present.yml").read_text())
    (hand,) = [one for one in tasks if one["name"] == "Hand out the password's hash"]
    assert hand["diff"] is False
    assert hand["ansible.builtin.copy"]["mode"] == "0600"


def test_a_gateway_s_release_has_what_the_page_needs():
    text = (ROOT / "roles/release/tasks/install.yml").read_text()
    (task,) = [one for one in yaml.safe_load(text) if "ansible.builtin.pip" in one]
    name, packed = task["ansible.builtin.pip"]["name"], {"requirements": []}
    gateway = render(name, release_part="gateway", release_packed=packed)
    assert gateway == ["protoledger[gateway,dashboard]"]
    edge = render(name, release_part="edge", release_packed=packed)
    assert edge == ["protoledger[edge]"]


def test_without_a_password_file_nothing_is_done_and_the_command_is_named(tmp_path):
    tasks = str(ROOT / "roles/gateway/tasks/page_present.yml")
    play = [{
        "hosts": "localhost", "gather_facts": False, "connection": "local",
        "vars": {**variables(fleet_page=True), "gateway_page_password_file": str(tmp_path / "none"),
                 "fleet_state": str(tmp_path)},
        "tasks": [{"ansible.builtin.import_tasks": tasks}],
    }]  # fmt: skip
    (tmp_path / "play.yml").write_text(json.dumps(play))
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), tmp_path / "play.yml"],
        cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode != 0
    assert "protoledger dashboard --new-password" in " ".join(done.stdout.split())
    assert "changed=0" in done.stdout
