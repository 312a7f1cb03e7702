"""A deployment on booted hosts: its inventory, and the playbooks run against it.

The controller is this checkout's own Ansible, run in the fleet's network namespace, where nothing
but the fleet can be reached. What needs the internet, packing the wheels, is done before.
"""

import contextlib
import json
import os
import re
import sqlite3
import sys
import time
from pathlib import Path

import yaml

from protoledger.contracts.tools.toolchain import binary
from tests.fleet.golden import CACHE, ROOT, USER
from tests.fleet.machines import Machines, run

PYTHON = "3.13"  # Trixie's
_TOOLS = Path(sys.executable).parent
_CHANNELS = [
    {"name": "temperature", "unit": "°C", "low": -20, "high": 60, "step": 0.1},
    {"name": "light", "unit": "", "low": 0, "high": 1, "step": 0.01},
]


class PlaybookError(AssertionError):
    """A playbook that should have succeeded did not."""


class Deployment:
    """Hosts by their part, and the controller's folder.

    Args:
        machines: the open fleet.
        sites: agents of each site; its gateway is called SITE-gateway.
        hub: the host of broker and chain.
        release: version to install.
        source: the checkout to build it from.
    """

    def __init__(
        self,
        machines: Machines,
        sites: dict[str, list[str]],
        *,
        hub: str = "hub",
        monitoring: bool = False,
    ) -> None:
        self.machines = machines
        self.sites = {site: list(agents) for site, agents in sites.items()}
        self.hub = hub
        self.monitoring = monitoring
        self.agent_changes: dict[str, object] = {}
        self.state = machines.folder / "state"
        self.inventory = machines.folder / "inventory.yml"
        # packed wheels are kept from run to run; all else of the controller's folder is new
        self.state.mkdir(mode=0o700)
        (self.state / "releases").symlink_to(CACHE / "releases")
        (CACHE / "releases").mkdir(exist_ok=True)
        self.write_inventory()

    def write_inventory(self, **changes: object) -> None:
        """Write the inventory; `changes` are variables of all hosts."""
        anvil = binary("anvil")
        variables = {
            "ansible_user": USER,
            "ansible_ssh_private_key_file": str(self.machines.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.machines.folder}/known_hosts",
            "fleet_state": str(self.state),
            "fleet_machine": os.uname().machine,
            "fleet_python": PYTHON,
            "fleet_controllers": ["10.77.0.1"],
            "fleet_channels": _CHANNELS,
            "fleet_labels": ["empty", "occupied"],
            "fleet_sites": {site: self._site() for site in self.sites},
            "chain_client": "anvil",
            "chain_binary": str(anvil),
            "chain_sha256": run("sha256sum", anvil).stdout.split()[0],
            **changes,
        }
        groups: dict[str, dict] = {
            "brokers": {"hosts": {self.hub: None}},
            "chain": {"hosts": {self.hub: None}},
            "gateways": {"hosts": {f"{site}-gateway": None for site in self.sites}},
            "agents": {
                "hosts": {a: self._agent(a) for agents in self.sites.values() for a in agents}
            },
        }
        if self.monitoring:
            groups["monitoring"] = {"hosts": {self.hub: None}}
        for site, agents in self.sites.items():
            hosts = dict.fromkeys([f"{site}-gateway", *agents])
            groups[f"site_{site}"] = {"hosts": hosts, "vars": {"fleet_site": site}}
        used = {self.hub, *groups["gateways"]["hosts"], *groups["agents"]["hosts"]}
        hosts = {name: {"ansible_host": self.machines[name].address} for name in sorted(used)}
        content = {"all": {"hosts": hosts, "vars": variables, "children": groups}}
        self.inventory.write_text(yaml.safe_dump(content, sort_keys=False))

    def _site(self) -> dict:
        return {
            "broker": {"host": self.machines[self.hub].address},
            # three agents are the fewest that may be added up: of four, one may be off
            "aggregation": {"validity": "packed"},
            "round": {"window_s": 1.0, "every_s": 1.0, "share_s": 3.0, "answer_s": 3.0},
        }

    def _agent(self, name: str) -> dict:
        seed = sum(name.encode())
        mock = {"driver": "mock", "options": {"seed": seed, "period_reads": 20, "noise": 0.3}}
        light = {"seed": seed, "level": 0.5, "amplitude": 0.4, "waveform": "square"}
        label = {"level": 0.5, "amplitude": 0.5, "waveform": "square", "period_reads": 20}
        return {
            "fleet_sensors": [
                {"channel": "temperature", **mock},
                {"channel": "light", "driver": "mock", "options": {**light, "period_reads": 20}},
            ],
            "fleet_label": {"driver": "mock", "options": label},
            "fleet_sampling": {"read_every_s": 0.25},
            **self.agent_changes,
        }

    def play(self, name: str, *options: str, check: bool = True, inside: bool = True) -> str:
        """Run a playbook and give its output.

        Raises:
            PlaybookError: with the end of the output.
        """
        command = [*(self.machines.inside if inside else ()), _TOOLS / "ansible-playbook"]
        playbook = ROOT / "ansible/playbooks" / f"{name}.yml"
        command += ["--inventory", self.inventory, playbook, *options]
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible/ansible.cfg"),
            "ANSIBLE_LOCAL_TEMP": str(self.machines.folder / "ansible"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.machines.folder / "cp"),
            "ANSIBLE_HOME": str(self.machines.folder / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "NO_COLOR": "1",
        }
        begin = time.monotonic()
        done = run(*command, check=False, cwd=ROOT, env=environment)
        log = done.stdout + done.stderr
        ended = "" if done.returncode == 0 else f", exit code {done.returncode}"
        sys.stderr.write(f"\nfleet: {name}.yml took {time.monotonic() - begin:.0f} s{ended}\n")
        (self.machines.folder / f"{name}.out").write_text(log)
        if check and done.returncode != 0:
            raise PlaybookError(f"{name}: {done.returncode}\n{log[-6000:]}")
        return log

    def rounds(self, site: str) -> int:
        """Count the rounds that the site's gateway completed."""
        return int(self.status(site).get("completed", 0))

    def status(self, site: str) -> dict:
        """Read what the site's gateway says of itself; empty if it says nothing."""
        path = "/var/lib/protoledger/gateway.db.status.json"
        text = self.machines[f"{site}-gateway"].ssh("cat", path, check=False)
        return json.loads(text) if text else {}

    def wait_for_rounds(self, site: str, more: int, timeout_s: float = 120.0) -> int:
        """Wait until so many more rounds have completed, in spite of restarts; gives the last one.

        Raises:
            AssertionError: with the gateway's own words, if they do not.
        """
        first = self.status(site).get("last_round", 0)
        deadline = time.monotonic() + timeout_s
        while (last := self.status(site).get("last_round", 0)) < first + more:
            if time.monotonic() > deadline:
                log = self.machines[f"{site}-gateway"].ssh(
                    "journalctl", "--no-pager", "--lines=30", "--unit=protoledger-gateway"
                )
                raise AssertionError(f"{site}: {last - first} of {more} rounds\n{log}")
            time.sleep(0.5)
        return last

    def wait_for_agents(self, site: str, number: int, timeout_s: float = 60.0) -> None:
        """Wait until so many agents are there.

        Raises:
            AssertionError: with what the gateway says, if they are not.
        """
        deadline = time.monotonic() + timeout_s
        while (said := self.status(site)).get("agents_here") != number:
            assert time.monotonic() < deadline, said
            time.sleep(0.5)

    def account(self, gateway: str) -> str:
        """Tell a gateway's address on the chain."""
        told = json.loads((self.state / "devices" / f"{gateway}.json").read_text())
        return str(told["chain"])

    def contracts(self) -> str:
        """Show how every codebook stands."""
        record = json.loads((self.state / "chain/deployment.json").read_text())
        url = f"http://{self.machines[self.hub].address}:8545"
        command = [_TOOLS / "protoledger", "contracts", "show"]
        command += ["--contract", record["buffer"], "--rpc", url]
        return run(*self.machines.inside, *command).stdout

    def committed(self, account: str) -> bool:
        """Whether a gateway has put a codebook on the chain."""
        found = re.search(rf"{account} active\s+version (\d+)", self.contracts())
        return found is not None and int(found[1]) > 0

    def followed(self, site: str) -> set[str]:
        """Name the accounts whose codebooks the site's gateway has folded."""
        store = self.machines[f"{site}-gateway"].root / "var/lib/private/protoledger/gateway.db"
        with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
            return {row[0] for row in database.execute("SELECT owner FROM ledger_versions")}


def changed(log: str) -> dict[str, int]:
    """Read how many tasks changed something on each host from a playbook's recap."""
    recap = log[log.index("PLAY RECAP") :]
    return {m[1]: int(m[2]) for m in re.finditer(r"(?m)^(\S+)\s+: ok=\d+\s+changed=(\d+)", recap)}
