"""Files that drivers' options name: the role gives them to the agent's service alone."""

import importlib.util
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError

ROOT = Path(__file__).parents[2]
KIT = yaml.safe_load((ROOT / "edge/protoledger/edge/kits/smart-home.yaml").read_text())
RUN = "/run/credentials/protoledger-edge.service"
FILES = ["home-password", "home-ca.pem"]


@pytest.fixture(scope="module")
def service_files():
    path = ROOT / "ansible/plugins/filter/fleet.py"
    spec = importlib.util.spec_from_file_location("fleet_filters", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded.FilterModule().filters()["service_files"]


def test_the_home_kit_finds_its_password_and_authority_as_credentials(service_files):
    for sensor in [
        *service_files(KIT["sensors"], FILES, RUN),
        service_files(KIT["label"], FILES, RUN),
    ]:
        assert sensor["options"]["password_file"] == f"{RUN}/home-password"
        assert sensor["options"]["ca_file"] == f"{RUN}/home-ca.pem"
        assert sensor["options"]["topic"].startswith("zigbee2mqtt/")


def test_a_file_that_nobody_hands_out_is_refused(service_files):
    with pytest.raises(AnsibleFilterError, match="home-password: no such file is handed out"):
        service_files(KIT["sensors"], ["home-ca.pem"], RUN)
    kept = {"options": {"ca_file": "/etc/ssl/certs/ca.pem"}}
    assert service_files(kept, [], RUN) == kept


@pytest.mark.parametrize("name", ["tls.key", "identity.key", "../x", "a/b"])
def test_a_name_that_would_hide_a_key_or_leave_the_folder_is_refused(service_files, name):
    with pytest.raises(AnsibleFilterError, match="cannot be a file's name"):
        service_files([], [name], RUN)


def test_the_role_writes_them_closed_and_names_them_to_the_unit():
    tasks = yaml.safe_load((ROOT / "ansible/roles/edge/tasks/configure.yml").read_text())
    by_name = {task["name"]: task for task in tasks}
    handed = by_name["Hand out the files that its drivers read"]
    assert handed["no_log"] is True
    assert handed["ansible.builtin.copy"]["mode"] == "0600"
    unit = by_name["Describe its service"]
    assert "edge_files" in unit["vars"]["edge_unit"]["keys"]
