"""What a play needs of the roles' variables is there: Ansible finds out only when a task is run."""

import re
from pathlib import Path

import pytest
import yaml

ANSIBLE = Path(__file__).parents[2] / "ansible"


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
