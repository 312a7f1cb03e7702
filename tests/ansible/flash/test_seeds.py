"""The files for a card's first boot: every value a string, static addresses, hidden networks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ANSIBLE = Path(__file__).parents[3] / "ansible"
FILES = ("user-data", "meta-data", "network-config")
DEFAULTS = yaml.safe_load((ANSIBLE / "roles/flash/defaults/main.yml").read_text())


STATIC = {
    "flash_address": "192.168.1.31/24",
    "flash_gateway": "192.168.1.1",
    "flash_dns": ["192.168.1.1", "9.9.9.9"],
}
HOSTS = {
    "42": {
        "flash_keymap": "no",
        "flash_user": "on",
        "flash_wifi_ssid": "0x10",
        "flash_wifi_country": "NO",
    },
    "by-wire": {"flash_wifi_ssid": ""},
    "static-wire": {"flash_wifi_ssid": "", **STATIC},
    "static-wifi": {
        "flash_wifi_ssid": "home",
        "flash_wifi_hidden": True,
        "flash_psk": "",
        **STATIC,
    },
}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Render the templates for all hosts; gives the files as YAML readers see them."""
    folder = tmp_path_factory.mktemp("seeds")
    (folder / "templates").symlink_to(ANSIBLE / "roles/flash/templates")
    rendered = ", ".join(f"'{name}': lookup('template', '{name}.j2')" for name in FILES)
    copy = {
        "content": f"{{{{ {{{rendered}}} | to_json }}}}",
        "dest": f"{folder}/{{{{ inventory_hostname }}}}.json",
        "mode": "0600",
    }
    needs = {"groups": ["gpio"], "config": []}
    given = {**DEFAULTS, "flash_user": "pi", "flash_psk": "f0" * 32, "fleet_needs": needs}
    given |= {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts = {host: {**given, **changes} for host, changes in HOSTS.items()}
    playbook, inventory = folder / "play.yml", folder / "hosts.yml"
    play = {"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.copy": copy}]}
    playbook.write_text(yaml.safe_dump([play]))
    inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", inventory, playbook],
        cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env={
            **os.environ, "ANSIBLE_HOME": str(folder / "home"),
            "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = {host: json.loads((folder / f"{host}.json").read_text()) for host in HOSTS}
    return {h: {name: yaml.safe_load(text) for name, text in f.items()} for h, f in found.items()}


def test_values_that_yaml_reads_as_something_else_stay_strings(seeds):
    files = seeds["42"]
    assert files["user-data"]["hostname"] == "42"
    assert files["user-data"]["keyboard"]["layout"] == "no"
    assert files["user-data"]["users"][0]["name"] == "on"
    assert files["user-data"]["users"][0]["groups"] == ["users", "adm", "sudo", "gpio"]
    assert files["meta-data"]["local-hostname"] == "42"
    assert files["meta-data"]["instance-id"].startswith("42-")
    wifi = files["network-config"]["wifis"]["wlan0"]
    assert wifi["regulatory-domain"] == "NO"
    assert wifi["access-points"] == {"0x10": {"password": "f0" * 32}}


def test_a_card_without_wifi_asks_dhcp(seeds):
    network = seeds["by-wire"]["network-config"]
    assert network == {"version": 2, "ethernets": {"eth0": {"dhcp4": True, "optional": True}}}


def test_a_static_address_and_a_hidden_network(seeds):
    expected = {
        "dhcp4": False,
        "optional": True,
        "addresses": ["192.168.1.31/24"],
        "routes": [{"to": "default", "via": "192.168.1.1"}],
        "nameservers": {"addresses": ["192.168.1.1", "9.9.9.9"]},
    }
    assert seeds["static-wire"]["network-config"]["ethernets"]["eth0"] == expected
    wifi = seeds["static-wifi"]["network-config"]["wifis"]["wlan0"]
    points = wifi.pop("access-points")
    assert points == {"home": {"hidden": True}}
    assert wifi.pop("regulatory-domain") == "GB"
    assert wifi == expected


@pytest.mark.parametrize("name", ["Attic", "site-1.agent-1", "under_score", "-a", "a-", "a" * 64])
def test_a_name_that_is_no_host_name_is_refused(name):
    assert not matches(name)


@pytest.mark.parametrize("name", ["42", "no", "attic-pi-1", "a" * 63])
def test_a_host_name_is_accepted(name):
    assert matches(name)


def matches(name: str) -> bool:
    import re

    tasks = yaml.safe_load((ANSIBLE / "roles/fleet/tasks/main.yml").read_text())
    condition = tasks[0]["ansible.builtin.assert"]["that"]
    found = re.search(r"match\('(.*)'\)", condition)
    return re.match(found[1], name) is not None
