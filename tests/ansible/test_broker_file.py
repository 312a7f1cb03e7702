"""The playbooks and `protoledger site` write one Mosquitto file, and its service takes it."""

import importlib.util
import os
import subprocess
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError

from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.emulator.sites.beginning import Wish, begin_site
from protoledger.emulator.sites.devices import members_of
from protoledger.emulator.sites.publish import INSTALLED, planned_terms
from protoledger.runtime.broker.limits import limits_of
from tests.support.ports import free_port, is_refused

ROOT = Path(__file__).parents[2]
LIMIT_S = 60


@pytest.fixture(scope="module")
def filters():
    path = ROOT / "ansible/plugins/filter/fleet.py"
    spec = importlib.util.spec_from_file_location("fleet_filters", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded.FilterModule().filters()


@pytest.fixture
def house(tmp_path):
    port = free_port()
    agents = ["h-1", "h-2", "h-3"]
    wish = Wish("house", "hub.local", port, ["climate"], agents, "h-gateway", "", 10.0)
    return begin_site(tmp_path, wish)


def settings(text):
    return sorted(line for line in text.splitlines() if line and not line.startswith("#"))


def both(filters, house):
    """The file of `protoledger site`, and the role's; for the folder where the files are."""
    site = (house.broker / "service.conf").read_text().replace(INSTALLED, str(house.broker))
    terms = planned_terms(house.site, house.plan.gateway, members_of(house))
    limits = asdict(limits_of(terms))
    role = filters["broker_configuration"](str(house.broker), house.plan.port, limits)
    return {"site": site, "role": role}


def test_both_write_the_same(filters, house):
    texts = both(filters, house)
    assert settings(texts["site"]) == settings(texts["role"])
    assert "require_certificate true" in settings(texts["role"])


@pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto is not installed")
@pytest.mark.parametrize("writer", ["site", "role"])
def test_debian_s_service_starts_with_it(filters, house, tmp_path, writer):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/protoledger.conf").write_text(both(filters, house)[writer])
    own = [
        f"pid_file {tmp_path}/mosquitto.pid",
        "persistence true",
        f"persistence_location {tmp_path}/",
        f"log_dest file {tmp_path}/mosquitto.log",
        *(["user root"] if os.geteuid() == 0 else []),
        f"include_dir {tmp_path}/conf.d",
    ]
    (tmp_path / "mosquitto.conf").write_text("\n".join([*own, ""]))
    broker = subprocess.Popen([find_mosquitto(), "-c", tmp_path / "mosquitto.conf"])
    try:
        end = time.monotonic() + LIMIT_S
        while is_refused(house.plan.port) and broker.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        log = (tmp_path / "mosquitto.log").read_text()
        assert not is_refused(house.plan.port), log
        assert "Error" not in log
    finally:
        broker.terminate()
        broker.wait(LIMIT_S)


def test_further_lines_of_the_access_list_survive_and_give_nobody_else_rights(filters):
    sites = {"attic": {"gateway": "g", "agents": ["a-1"]}}
    plain = filters["access_list"](sites)
    more = filters["access_list"](sites, "\nuser homeassistant\ntopic read homeassistant/#\n")
    assert more.startswith(plain)
    added = more.removeprefix(plain).strip().splitlines()
    assert added == ["user homeassistant", "topic read homeassistant/#"]
    with pytest.raises(AnsibleFilterError, match="user NAME"):
        filters["access_list"](sites, "topic readwrite #")
