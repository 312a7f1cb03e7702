"""The controller's state as one encrypted file: saved, loaded on another computer, refused."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ansible.test_playbooks import module as _module

module = _module
PASSWORD = "correct horse battery"
ANSIBLE = Path(__file__).parents[2] / "ansible"
BIN = Path(sys.executable).parent


@pytest.fixture
def state(module, tmp_path):
    folder = tmp_path / "state"
    module("fleet_authority", folder=str(folder))
    for name in ("devices", "sites", "sites/attic"):  # as the playbooks make them
        (folder / name).mkdir(mode=0o700)
    (folder / "devices/attic-pi-1.json").write_text('{"id": "attic-pi-1"}')
    (folder / "sites/attic/roster.json").write_text("{}")
    (folder / "releases").mkdir()
    (folder / "releases/edge.tar").write_bytes(b"large")
    return folder


def contents(folder):
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mode & 0o777,
        )
        for path in folder.rglob("*")
        if path.name != ".lock" and "releases" not in path.parts
    }


def test_another_computer_becomes_the_controller(module, state, tmp_path):
    saved, other = tmp_path / "fleet.vault", tmp_path / "other"
    done = module("fleet_controller", folder=str(state), save=str(saved), password=PASSWORD)
    assert "pki/ca.key" in done["files"]
    assert not any(name.startswith("releases") for name in done["files"])
    assert saved.stat().st_mode & 0o777 == 0o600
    for secret in ("pki/ca.key", "fleet.key"):
        assert (state / secret).read_bytes().strip() not in saved.read_bytes()
    assert PASSWORD not in json.dumps(done)
    module("fleet_controller", folder=str(other), load=str(saved), password=PASSWORD)
    assert contents(other) == contents(state)
    assert other.stat().st_mode & 0o777 == 0o700


def test_it_is_refused_by_the_reason(module, state, tmp_path):
    saved, other = tmp_path / "fleet.vault", tmp_path / "other"
    module("fleet_controller", folder=str(state), save=str(saved), password=PASSWORD)

    def reason(**given):
        return module("fleet_controller", ok=False, **{"password": PASSWORD, **given})["msg"]

    assert "is a controller's already" in reason(folder=str(state), load=str(saved))
    wrong = {"folder": str(other), "load": str(saved), "password": "wrong password"}
    assert "is the password right" in reason(**wrong)
    assert not (other / "pki").exists()
    assert "is no controller's" in reason(folder=str(other), save=str(tmp_path / "x"))
    short = {"folder": str(state), "save": str(tmp_path / "x"), "password": "short"}
    assert "fewer than 8" in reason(**short)
    saved.write_bytes(saved.read_bytes()[:-40])
    assert "cannot decrypt it" in reason(folder=str(other), load=str(saved))


@pytest.mark.timeout(300)
def test_the_playbook_saves_and_loads(state, tmp_path):
    """As Ansible packs the module, which has less of Ansible than this process."""
    saved, other = tmp_path / "fleet.vault", tmp_path / "other"
    for words in (f"fleet_state={state} save={saved}", f"fleet_state={other} load={saved}"):
        given = ["-e", words, "-e", json.dumps({"controller_password": PASSWORD})]
        playbook = ["-i", "inventory.example.yml", "playbooks/controller.yml"]
        done = subprocess.run(
            [BIN / "ansible-playbook", *playbook, *given],
            cwd=ANSIBLE,
            env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert PASSWORD not in done.stdout + done.stderr
    assert contents(other) == contents(state)


@pytest.mark.parametrize("path", sorted((ANSIBLE / "plugins").glob("module*/*.py")), ids=str)
def test_a_module_needs_no_more_of_ansible_than_is_packed_with_it(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        outside = [n for n in names if n.split(".")[0] == "ansible" and ".module_utils" not in n]
        assert outside == []
