"""Flashing where sudo asks for a password (`ansible-playbook -K`), with a sudo that we wrote."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.plugins.action import ActionBase

PLUGIN = Path(__file__).parents[3] / "ansible/plugins/action/flash_write.py"
SUDO = """#!/bin/sh
if [ "$1" = --stdin ]; then read -r password; else password=; fi
[ "$password" = "open sesame" ] || { echo "sudo: a password is required" >&2; exit 1; }
while [ "${1#--}" != "$1" ]; do shift; done
exec "$@"
"""
SCRIPT = """
import json, sys
print(json.dumps({"bytes": 1, "sha256": "f0", "words": sys.argv[1:]}))
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Run the action as a user who is not root; gives its result."""
    spec = importlib.util.spec_from_file_location("flash_write", PLUGIN)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    (tmp_path / "sudo").write_text(SUDO)
    (tmp_path / "sudo").chmod(0o755)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(loaded.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(ActionBase, "run", lambda *_: {})

    def run(asked: str = "", **variables: str) -> dict:
        action = object.__new__(loaded.ActionModule)
        action._play_context = SimpleNamespace(become_pass=asked)
        given = {"script": str(script), "device": "/dev/x", "image": "i", "sha256": "f0",
                 "sha256_file": "i.sha256", "signature": "", "keyring": "", "largest_gib": 1,
                 "fixed": True}  # fmt: skip
        action._task = SimpleNamespace(args=given, check_mode=False)
        return action.run(None, variables)

    return run


def test_the_password_reaches_sudo_and_nothing_else(write):
    for done in (write("open sesame"), write(ansible_become_password="open sesame")):
        assert done["changed"]
        assert "open sesame" not in json.dumps(done)
        words = " ".join(done["words"])
        assert "--sha256 f0 --sha256-file i.sha256 --largest-gib 1 --fixed" in words
        assert "--signature" not in words


def test_without_a_password_sudo_does_not_wait_for_one(write):
    assert "a password is required" in write()["msg"]
    assert "a password is required" in write("wrong")["msg"]
