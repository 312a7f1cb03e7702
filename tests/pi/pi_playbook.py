"""Lets the roles' own tasks write their files here, into a folder for each host."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import yaml

from tests.pi.system.pi_tools import ROOT, BuildError

_ROLES = ROOT / "ansible/roles"
_WRITERS = ("ansible.builtin.copy", "ansible.builtin.template")


def variables(role):
    """Return a role's defaults and variables, as they are written."""
    files = (_ROLES / role / kind / "main.yml" for kind in ("defaults", "vars"))
    found = {}
    for file in files:
        found |= yaml.safe_load(file.read_text()) if file.exists() else {}
    return found


def written_to(folder, host):
    """Return where the files of a host are: below it they have the paths that they have there."""
    return folder / "written" / host


def tasks(folder, role, file, names):
    """Return tasks of a role that write files, changed to write them here, whatever is true."""
    by_name = {task["name"]: task for task in yaml.safe_load((_ROLES / role / file).read_text())}
    here = written_to(folder, "{{ inventory_hostname }}")
    changed = []
    for name in names:
        task = copy.deepcopy(by_name[name])
        for unused in ("notify", "when", "register"):
            task.pop(unused, None)
        (writer,) = (task[kind] for kind in _WRITERS if kind in task)
        writer["dest"] = f"{here}{writer['dest']}"
        if "src" in writer:
            writer["src"] = str(_ROLES / role / "templates" / writer["src"])
        changed.append(task)
    return changed


def fact(folder, name, expression):
    """Return a task that writes an expression as JSON."""
    place = written_to(folder, "{{ inventory_hostname }}") / name
    content = f"{{{{ {expression} | to_json }}}}"
    file = {"dest": str(place), "content": content, "mode": "0600"}
    return {"name": name, "ansible.builtin.copy": file}


def play(folder, hosts, common, wanted):
    """Run tasks for hosts.

    Args:
        folder: of the play's files, and of what it writes.
        hosts: variables by host.
        common: variables of all.
        wanted: the tasks.

    Raises:
        BuildError: one failed.
    """
    for host in hosts:
        for name in ("etc/protoledger", "etc/systemd/system", "etc/logrotate.d"):
            (written_to(folder, host) / name).mkdir(parents=True)
    connection = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "fleet_source": str(ROOT),
    }
    inventory = {"agents": {"hosts": hosts, "vars": {**common, **connection}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    plays = [{"hosts": "agents", "gather_facts": False, "tasks": wanted}]
    (folder / "play.yml").write_text(yaml.safe_dump(plays))
    ended = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "hosts.yml", "play.yml"],
        cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env={**os.environ, "ANSIBLE_HOME": str(folder / "home"),
             "ANSIBLE_CONFIG": str(ROOT / "ansible/ansible.cfg")},
    )  # fmt: skip
    if ended.returncode:
        raise BuildError(ended.stdout + ended.stderr)
