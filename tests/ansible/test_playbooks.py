"""Playbooks without hosts: syntax, documented arguments, the inventory, and our modules."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import ansible.module_utils
import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible.module_utils import basic
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import filter_loader
from ansible.template import Templar, trust_as_template

from protoledger.contracts.errors import ToolMissingError
from protoledger.contracts.tools.local_node import LocalNode
from protoledger.runtime.broker.limits import joined, limits_of
from protoledger.runtime.identity_files import create_identity, load_identity, load_roster
from protoledger.runtime.site import SiteConfig

ANSIBLE = Path(__file__).parents[2] / "ansible"
TOOLS = Path(sys.executable).parent
ROLES = sorted(path.name for path in (ANSIBLE / "roles").iterdir())
PLAYBOOKS = sorted((ANSIBLE / "playbooks").glob("*.yml"))


@pytest.fixture
def call(tmp_path):
    """Run tools of Ansible with the project's settings and nothing of the user's."""
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "ANSIBLE_NOCOLOR": "1",
    }

    def run(tool: str, *words: str | Path) -> subprocess.CompletedProcess:
        return subprocess.run(
            [str(TOOLS / tool), *map(str, words)],
            cwd=ANSIBLE, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            env=environment,
        )  # fmt: skip

    return run


@pytest.fixture
def module(capsys, monkeypatch):
    """Run one of the modules in this process, as Ansible would in another; gives its result."""
    monkeypatch.setattr(
        ansible.module_utils, "__path__",
        [*ansible.module_utils.__path__, str(ANSIBLE / "plugins/module_utils")],
    )  # fmt: skip

    def run(which: str, *, ok: bool = True, **arguments) -> dict:
        given = {"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_remote_tmp": "/tmp"}}
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", json.dumps(given).encode())
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy")
        file = ANSIBLE / "plugins/modules" / f"{which}.py"
        spec = importlib.util.spec_from_file_location(which, file)
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        with pytest.raises(SystemExit) as left:
            loaded.main()
        output = capsys.readouterr().out
        assert (left.value.code == 0) is ok, output
        return json.loads(output.splitlines()[-1])

    return run


def test_the_syntax_of_all_playbooks(call):
    done = call(
        "ansible-playbook", "--syntax-check", "--inventory", ANSIBLE / "inventory.example.yml",
        "-e", "host=attic-pi-1", *PLAYBOOKS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("role", ROLES)
def test_every_default_of_a_role_is_documented(role):
    folder = ANSIBLE / "roles" / role
    specs = yaml.safe_load((folder / "meta/argument_specs.yml").read_text())["argument_specs"]
    documented = {name for entry in specs.values() for name in entry.get("options", {})}
    assert all(
        option["description"]
        for entry in specs.values()
        for option in entry.get("options", {}).values()
    )
    defaults = folder / "defaults/main.yml"
    names = set(yaml.safe_load(defaults.read_text())) if defaults.exists() else set()
    derived = {"fleet_site_content", "fleet_members", "fleet_kit_file", "fleet_needs"}
    assert names - derived <= documented


def test_the_example_inventory_is_one_that_the_roles_take(call):
    done = call("ansible-inventory", "--inventory", ANSIBLE / "inventory.example.yml", "--list")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    hosts = told["_meta"]["hostvars"]
    assert {hosts[name]["fleet_site"] for name in told["gateways"]["hosts"]} == {"attic", "cellar"}
    variables = hosts["hub"]
    for name, site in variables["fleet_sites"].items():
        SiteConfig.model_validate(
            {
                **site,
                "site": name,
                "fleet_key": "0" * 64,
                "channels": variables["fleet_channels"],
                "labels": variables["fleet_labels"],
                "broker": {**site["broker"], "ca_file": "ca.crt"},
            }
        )
    kits = {hosts[name]["fleet_kit"] for name in told["agents"]["hosts"]}
    assert all(
        (ANSIBLE.parent / "edge/protoledger/edge/kits" / f"{kit}.yaml").is_file() for kit in kits
    )


def test_an_authority_is_made_once_and_its_keys_are_private(module, tmp_path):
    folder = tmp_path / "state"
    first = module("fleet_authority", folder=str(folder))
    assert first["changed"]
    assert not module("fleet_authority", folder=str(folder))["changed"]
    for name in ("pki/ca.key", "fleet.key"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert first["fleet_key"] == load_identity(folder / "fleet.key").public_key.hex()


def test_a_certificate_is_signed_again_only_for_a_reason(module, tmp_path):
    state, device = str(tmp_path / "state"), str(tmp_path / "device")
    module("fleet_authority", folder=state)
    keys = module("fleet_keys", folder=device, name="attic-pi-1", kinds=["tls", "identity"])
    given = {"folder": state, "name": "attic-pi-1", "request": keys["request"]}
    assert module("fleet_certificate", **given)["reason"] == "none yet"
    assert module("fleet_certificate", **given)["reason"] == ""
    assert module("fleet_certificate", **given, renew_days=398)["reason"] == "397 days left"
    assert module("fleet_certificate", **given, addresses=["192.0.2.1"])["reason"] == "other names"
    module("fleet_authority", folder=state, revoke=["attic-pi-1"])
    given["addresses"] = ["192.0.2.1"]
    assert module("fleet_certificate", **given)["reason"] == "revoked"
    other = module("fleet_keys", folder=device, name="other", kinds=["tls"])["request"]
    told = module("fleet_certificate", ok=False, **{**given, "request": other, "renew_days": 398})
    assert "the request of attic-pi-1 is for 'CN=other'" in told["msg"]


def test_keys_are_never_replaced_and_never_told(module, tmp_path):
    device = tmp_path / "device"
    given = {"folder": str(device), "name": "attic-gateway", "kinds": ["tls", "identity", "chain"]}
    first = module("fleet_keys", **given)
    second = module("fleet_keys", **given)
    assert (first["changed"], second["changed"]) == (True, False)
    assert {**first, "request": "", "changed": 0} == {**second, "request": "", "changed": 0}
    for name in ("identity", "chain"):
        secret = (device / f"{name}.key").read_text().strip()
        assert secret not in json.dumps(first)
    assert first["identity"] == load_identity(device / "identity.key").public_key.hex()
    assert not (device / "tls.key").stat().st_mode & 0o077


def site(**changes) -> dict:
    channel = {"name": "temperature", "low": -10, "high": 50, "step": 0.1}
    broker = {"host": "192.0.2.1", "ca_file": "ca.crt"}
    content = {"site": "attic", "fleet_key": "0" * 64, "channels": [channel], "labels": ["a", "b"]}
    return {**content, "broker": broker, "aggregation": {"dropouts": 0}, **changes}


def test_a_roster_is_signed_and_refused_before_agents_would(module, tmp_path):
    state = tmp_path / "state"
    key = module("fleet_authority", folder=str(state))["fleet_key"]
    (state / "devices").mkdir()
    for device in ("attic-gateway", "attic-pi-1", "attic-pi-2", "attic-pi-3"):
        public = create_identity(tmp_path / device).public_key.hex()
        told = {"id": device, "public_key": public, "channels": ["temperature"], "votes": True}
        (state / "devices" / f"{device}.json").write_text(json.dumps(told))
    agents = ["attic-pi-1", "attic-pi-2", "attic-pi-3"]
    given = {"folder": str(state), "site": site(fleet_key=key), "gateway": "attic-gateway"}
    assert module("fleet_roster", **given, agents=agents)["changed"]
    assert not module("fleet_roster", **given, agents=agents)["changed"]
    roster = load_roster(state / "sites/attic/roster.json", bytes.fromhex(key))
    assert [member.id for member in roster.agents] == agents
    told = module("fleet_roster", ok=False, **given, agents=agents[:2])
    assert "measured by 2 agents, but minimum_contributors is 3" in told["msg"]
    told = module("fleet_roster", ok=False, **given, agents=[*agents, "attic-pi-9"])
    assert "attic-pi-9 has no public key yet" in told["msg"]


def test_contracts_are_deployed_once_and_gateways_let_in(module, tmp_path):
    try:
        node = LocalNode("anvil")
    except ToolMissingError as error:
        pytest.skip(str(error))
    gateways = ["0x" + f"{number:040x}" for number in (11, 12)]
    with node:
        given = {
            "folder": str(tmp_path / "state"),
            "rpc_url": node.url,
            "channels": site()["channels"],
            "labels": ["a", "b"],
            "fund": "node",
        }
        first = module("fleet_contracts", **given, gateways=gateways[:1])
        assert first["changed"]
        assert not module("fleet_contracts", **given, gateways=gateways[:1])["changed"]
        second = module("fleet_contracts", **given, gateways=gateways)
        assert second["changed"]
        assert second["deployment"] == first["deployment"]
        gone = module("fleet_contracts", **given, gateways=gateways[:1], revoked=gateways[1:])
        assert gone["changed"]
        told = module("fleet_contracts", ok=False, **{**given, "labels": ["a"]}, gateways=[])
        assert "the channels or labels are others" in told["msg"]


@pytest.fixture(scope="module")
def filters() -> dict:
    path = ANSIBLE / "plugins/filter/fleet.py"
    spec = importlib.util.spec_from_file_location("fleet_filters", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded.FilterModule().filters()


def test_the_broker_allows_what_the_sites_need_and_no_more(filters):
    """The same numbers as the emulator's broker has, from the inventory."""
    inventory = yaml.safe_load((ANSIBLE / "inventory.example.yml").read_text())["all"]["vars"]
    sites, channels = inventory["fleet_sites"], inventory["fleet_channels"]
    agents = {"attic": 4, "cellar": 30}
    members = {name: {"agents": [f"{name}-{i}" for i in range(n)]} for name, n in agents.items()}
    found = filters["broker_limits"](sites, members, channels, inventory["fleet_labels"])
    wanted = []
    for name, count in agents.items():
        own = {**sites[name], "broker": {**sites[name]["broker"], "ca_file": "ca.crt"}}
        shared = {"site": name, "fleet_key": "0" * 64, "channels": channels}
        site = SiteConfig(**own, **shared, labels=inventory["fleet_labels"])
        wanted.append(limits_of(site.terms_of(count)))
    assert found == asdict(joined(wanted))
    assert found["packet_bytes"] == wanted[1].packet_bytes < 2**20
    with pytest.raises(AnsibleFilterError, match=r"(?s)fleet_sites\.cellar: .*round\.windows"):
        filters["broker_limits"](
            {"cellar": {**sites["cellar"], "round": {"windows": 4097}}}, members, channels, []
        )


def test_filters_take_variables_as_ansible_hands_them_out():
    """Its lists and dictionaries template their items when they are looked at, and not before."""
    filter_loader.add_directory(str(ANSIBLE / "plugins/filter"))
    variables = trusted(
        yaml.safe_load((ANSIBLE / "inventory.example.yml").read_text())["all"]["vars"]
    )
    variables["members"] = {site: {"agents": list("abcdef")} for site in variables["fleet_sites"]}
    variables["sensors"] = [{"driver": "mcp3008", "options": {"channel": 0}}]
    templar = Templar(loader=DataLoader(), variables=variables)

    def evaluated(expression: str):
        return templar.template(trusted("{{ " + expression + " }}"))

    found = evaluated("fleet_sites | broker_limits(members, fleet_channels, fleet_labels)")
    assert found["packet_bytes"] > 0
    assert evaluated("sensors | fleet_needs({'groups': ['x']})")["groups"] == ["gpio", "spi", "x"]
    options = "{'opt': '/o', 'etc': '/e', 'private': '/p', 'file': 'f', 'keys': ['identity.key'],"
    options += " 'needs': (sensors | fleet_needs), 'watchdog_s': 60}"
    assert "char-spi" in evaluated(f"'edge' | service_unit('a', {options})")
    assert evaluated("sensors | service_files([], '/run')") == variables["sensors"]


def trusted(value):
    """Mark text as templates, as Ansible does with what an inventory says."""
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [trusted(item) for item in value]
    return trust_as_template(value) if isinstance(value, str) else value


def test_the_administrator_may_clear_and_nothing_else(filters):
    text = filters["access_list"]({"attic": {"gateway": "attic-gateway", "agents": ["attic-pi-1"]}})
    assert "user attic-pi-1\n" in text
    block = text[text.index("user protoledger-administrator") :].strip().splitlines()[1:]
    at = "topic readwrite protoledger/v1/attic"
    assert block == [f"{at}/presence/+", f"{at}/key/+"]
    with pytest.raises(AnsibleFilterError, match="more than once"):
        filters["access_list"]({"attic": {"gateway": "same", "agents": ["same"]}})


def test_a_site_has_one_gateway_and_no_retired_agents(filters, tmp_path):
    groups = {"gateways": ["attic-gateway"], "agents": ["attic-pi-2", "attic-pi-1", "other"]}
    hostvars = {name: {"fleet_site": "attic"} for names in groups.values() for name in names}
    hostvars["other"] = {}
    found = filters["fleet_members"]("attic", groups, hostvars, str(tmp_path))
    assert found == {"gateway": "attic-gateway", "agents": ["attic-pi-1", "attic-pi-2"]}
    (tmp_path / "retired").mkdir()
    (tmp_path / "retired/attic-pi-1.json").touch()
    found = filters["fleet_members"]("attic", groups, hostvars, str(tmp_path))
    assert found["agents"] == ["attic-pi-2"]
    with pytest.raises(AnsibleFilterError, match=r"site cellar needs one host .* has none"):
        filters["fleet_members"]("cellar", groups, hostvars, str(tmp_path))


def test_keys_are_derived_as_others_derive_them(filters):
    # IEEE 802.11, annex J.4; secp256k1's generator is the public point of the key 1
    key = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"
    assert filters["wifi_key"]("password", "IEEE") == key
    point = (
        "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
        "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
    )
    assert filters["chain_address"](point) == "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf"
    assert filters["chain_address"]("") == ""


def variables():
    """Names that the roles give values; a play sees those of the roles that it uses."""
    files = (ANSIBLE / "roles").glob("*/*/main.yml")
    places = [file for file in files if file.parent.name in {"defaults", "vars"}]
    return {name for file in places for name in yaml.safe_load(file.read_text()) or {}}


def plays():
    for file in sorted((ANSIBLE / "playbooks").glob("*.yml")):
        for play in yaml.safe_load(file.read_text()):
            if "hosts" in play:
                yield pytest.param(play, id=f"{file.name}: {play['name']}")


def unseen(play):
    text = yaml.safe_dump(play)
    if play.get("roles") or "import_role" in text:
        return set()
    return set(re.findall(r"\b[a-z]+_[a-z_]+\b", text)) & variables() - set(play.get("vars", {}))


@pytest.mark.parametrize("play", list(plays()))
def test_a_play_sees_the_variables_that_it_names(play):
    assert unseen(play) == set()


def test_one_that_does_not_is_found():
    task = {"ansible.builtin.command": {"argv": ["{{ fleet_opt }}/current/bin/protoledger"]}}
    assert unseen({"hosts": "gateways", "tasks": [task]}) == {"fleet_opt"}
    assert unseen({"hosts": "gateways", "roles": [{"role": "fleet"}], "tasks": [task]}) == set()
