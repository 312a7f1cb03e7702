"""Files of a host as the templates write them: renewal, the reboot window, time, the firewall."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError

ROOT = Path(__file__).parents[2]
ANSIBLE = ROOT / "ansible"
TEMPLATES = {
    "renewal": ["protoledger-renewal.service", "protoledger-renewal.timer",
                "protoledger-renewals.socket", "protoledger-renewals@.service"],
    "base": ["protoledger-reboot.service", "protoledger-reboot.timer", "firewall.nft",
             "chrony.conf", "timesyncd.conf"],
    "readonly": ["data.mount", "kept.mount", "protoledger-errors.service", "errors.logrotate"],
}  # fmt: skip
SITES = {"attic-gateway": "attic", "attic-pi-1": "attic", "cellar-pi-1": "cellar"}
GIVEN = {
    "ansible_connection": "local",
    "ansible_python_interpreter": sys.executable,
    "ansible_host": "192.0.2.7",
    "fleet_sites": {"attic": {"broker": {"host": "192.0.2.1"}},
                    "cellar": {"broker": {"host": "hub.local"}}},
    "fleet_controllers": ["192.0.2.9"],
    "base_time_host": "hub",
    "item": "/var/lib/private/protoledger",
    "base_time_sources": ["192.0.2.254"],
    "base_reboot_window": {"days": ["Sun"], "from": "23:30", "to": "01:30"},
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Render all templates for four hosts, by one run of Ansible; gives host → name → text."""
    folder = tmp_path_factory.mktemp("hosts")
    defaults = {}
    for role in ("fleet", "renewal", "base", "readonly"):
        for kind in ("defaults", "vars"):
            file = ANSIBLE / f"roles/{role}/{kind}/main.yml"
            defaults |= yaml.safe_load(file.read_text()) if file.exists() else {}
    rendered = ", ".join(
        f"'{name}': lookup('template', '{ANSIBLE}/roles/{role}/templates/{name}.j2')"
        for role, names in TEMPLATES.items()
        for name in names
    )
    copy = {"content": f"{{{{ {{{rendered}}} | to_json }}}}", "mode": "0600",
            "dest": f"{folder}/{{{{ inventory_hostname }}}}.json"}  # fmt: skip
    hosts = {"hub": {}, **{host: {"fleet_site": site} for host, site in SITES.items()}}
    groups = {"brokers": {"hosts": {"hub": None}}, "gateways": {"hosts": {"attic-gateway": None}}}
    content = {"all": {"hosts": hosts, "vars": {**defaults, **GIVEN}, "children": groups}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(content))
    play = {"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.copy": copy}]}
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "hosts.yml", "play.yml"],
        cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env={**os.environ, "ANSIBLE_HOME": str(folder / "home"),
             "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg")},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return {host: yaml.safe_load((folder / f"{host}.json").read_text()) for host in hosts}


def line(text: str, key: str) -> str:
    [found] = re.findall(rf"(?m)^{key}=(.*)$", text)
    return found


def test_devices_ask_their_site_s_broker_and_restart_what_reads_the_certificate(files):
    asked = {host: line(files[host]["protoledger-renewal.service"], "ExecStart") for host in files}
    assert "--host 192.0.2.1 --port 8884" in asked["attic-pi-1"]
    assert "--restart protoledger-edge" in asked["attic-pi-1"]
    assert "--restart protoledger-gateway" in asked["attic-gateway"]
    assert "--host hub.local " in asked["cellar-pi-1"] + " "
    assert "--host" not in asked["hub"]
    assert "--offered /etc/protoledger/renewals.pem" in asked["hub"]
    assert "--restart mosquitto" in asked["hub"]
    assert asked["hub"].endswith("--copy /etc/mosquitto/protoledger/tls.crt")
    written = line(files["hub"]["protoledger-renewal.service"], "ReadWritePaths").split()
    assert written == ["/etc/protoledger", "/etc/mosquitto/protoledger"]


@pytest.mark.parametrize("unit", ["protoledger-renewal.service", "protoledger-renewals@.service"])
def test_the_program_understands_what_the_units_say(files, unit):
    """Without their files both halves say which is missing; words they do not know would be 2."""
    for host in ("hub", "attic-pi-1"):
        words = line(files[host][unit], "ExecStart").replace("%d", "/nowhere")
        words = words.replace("/etc/protoledger", "/nowhere").split()
        assert words[:3] == ["/usr/bin/python3", "-m", "protoledger.runtime.pki.renewal"]
        done = subprocess.run(
            [sys.executable, *words[1:]], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        assert b"No such file or directory" in done.stderr
        assert done.returncode == 65


def test_the_copied_files_need_nothing_of_protoledger():
    allowed = {*sys.stdlib_module_names, "cryptography"}
    for name in ("certificates", "renewal"):
        source = (ROOT / f"runtime/protoledger/runtime/pki/{name}.py").read_text()
        for node in ast.walk(ast.parse(source)):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                own = name == "renewal" and module == "protoledger.runtime.pki.certificates"
                assert own or module.partition(".")[0] in allowed


def test_only_the_hub_answers_devices_and_clocks(files):
    hub, agent = files["hub"]["firewall.nft"], files["attic-pi-1"]["firewall.nft"]
    assert "tcp dport 8884 accept" in hub
    assert "udp dport 123 accept" in hub
    assert "8884" not in agent
    assert "udp dport 123" not in agent
    assert line(files["hub"]["protoledger-renewals.socket"], "ListenStream") == "8884"


def test_the_hub_gives_the_time_and_others_take_it(files):
    assert "server 192.0.2.254 iburst" in files["hub"]["chrony.conf"]
    assert "\nlocal stratum 10\nallow\n" in files["hub"]["chrony.conf"]
    taken = files["attic-pi-1"]["timesyncd.conf"]
    assert line(taken, "NTP") == "192.0.2.7"
    assert line(taken, "FallbackNTP") == ""


def test_state_and_certificates_lie_on_the_data_partition(files):
    mounts = files["attic-pi-1"]
    assert line(mounts["data.mount"], "What") == "/dev/disk/by-label/protoledger-data"
    kept = mounts["kept.mount"]
    assert line(kept, "What") == "/data/kept/var-lib-private-protoledger.mount"
    assert line(kept, "Where") == "/var/lib/private/protoledger"
    assert line(kept, "RequiresMountsFor") == "/data"
    assert "protoledger-edge.service" in line(kept, "RequiredBy")
    role = yaml.safe_load((ANSIBLE / "roles/readonly/defaults/main.yml").read_text())
    assert role["readonly_root"] is False
    assert "{{ fleet_etc }}" in role["readonly_kept"], "renewed certificates are there"
    errors = line(mounts["protoledger-errors.service"], "StandardOutput")
    assert errors == "append:/data/errors.log"
    assert mounts["errors.logrotate"].splitlines()[1] == "/data/errors.log {"
    assert "--priority=err" in mounts["protoledger-errors.service"]


def test_each_host_of_a_site_has_its_own_minutes(files):
    times = {h: line(files[h]["protoledger-reboot.timer"], "OnCalendar") for h in files}
    assert times == {
        "hub": "Sun *-*-* 23:30:00",
        "attic-gateway": "Sun *-*-* 23:45:00",
        "attic-pi-1": "Mon *-*-* 00:00:00",
        "cellar-pi-1": "Sun *-*-* 23:45:00",  # another site's
    }
    assert "/run/reboot-required" in files["hub"]["protoledger-reboot.service"]


@pytest.fixture(scope="module")
def hosts():
    spec = importlib.util.spec_from_file_location("hosts", ANSIBLE / "plugins/filter/hosts.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded.FilterModule().filters()


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/data", "data.mount"),
        ("/etc/protoledger/", "etc-protoledger.mount"),
        ("/srv/a-b/c.d_e", r"srv-a\x2db-c.d_e.mount"),
        ("/srv/é x", r"srv-\xc3\xa9\x20x.mount"),
    ],
)
def test_units_of_mounts_are_named_as_systemd_names_them(hosts, path, unit):
    assert hosts["mount_unit"](path) == unit


@pytest.mark.parametrize("count", [1, 7, 8, 20])
def test_no_two_hosts_that_need_each_other_reboot_together(hosts, count):
    names = ["hub", *(f"a-{i}" for i in range(count)), *(f"b-{i}" for i in range(count))]
    hostvars = {h: {} if h == "hub" else {"fleet_site": h[0]} for h in names}
    window = {"days": ["sat", "Sunday", "Wed"], "from": "03:00", "to": "05:00"}
    given = {}
    for host in names:
        among = hosts["fleet_neighbours"](host, names, hostvars)
        assert host in among
        [given[host]] = hosts["reboot_times"](window, 15, host, among)
    for site in "ab":
        own = [given[h] for h in names if h == "hub" or h[0] == site]
        assert len(set(own)) == len(own)
    assert all(
        re.fullmatch(r"(Wed|Sat|Sun) \*-\*-\* 0[34]:(00|15|30|45):00", t) for t in given.values()
    )


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ({"days": ["Sun"], "from": "03:00", "to": "03:10"}, "has room for 0"),
        ({"days": ["Sun"], "from": "03:00", "to": "03:30"}, "3 hosts need 15 minutes each"),
        ({"days": ["Sol"], "from": "03:00", "to": "05:00"}, "Sol is none of Mon, Tue"),
        ({"from": 180, "to": "05:00"}, "180 is no time"),
        ({"from": "24:00", "to": "05:00"}, "'24:00' is no time"),
        ({"from": "03:00"}, "base_reboot_window.to: None is no time"),
        ({"from": "03:00", "to": "05:00", "day": "Sun"}, "base_reboot_window.day:"),
    ],
)
def test_a_window_that_cannot_be_kept_is_refused(hosts, window, said):
    with pytest.raises(AnsibleFilterError) as caught:
        hosts["reboot_times"](window, 15, "c", ["a", "b", "c"])
    assert said in str(caught.value)
