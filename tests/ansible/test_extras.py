"""What is the owner's own survives updates: further wheels, settings, lines of the access list."""

from pathlib import Path

import pytest
import yaml

from tests.ansible.test_playbooks import filters as _filters
from tests.ansible.test_playbooks import module as _module

module, filters = _module, _filters
ROOT = Path(__file__).parents[2]


@pytest.fixture
def pack(module, tmp_path):
    given = {
        "source": str(ROOT),
        "folder": str(tmp_path / "releases"),
        "version": "1",
        "part": "edge",
    }
    given |= {"machine": "aarch64", "python": "3.13", "_ansible_check_mode": True}

    def run(*wheels: Path, ok: bool = True) -> dict:
        return module("fleet_release", ok=ok, **given, extra=[str(wheel) for wheel in wheels])

    return run


def test_wheels_of_other_packages_are_part_of_a_release(pack, tmp_path):
    wheels = [
        tmp_path / "my_driver-1.2-py3-none-any.whl",
        tmp_path / "smbus2-0.5.0-1-py3-none-any.whl",
    ]
    for wheel in wheels:
        wheel.write_bytes(b"PK")
    assert pack(*wheels)["requirements"] == ["my_driver==1.2", "smbus2==0.5.0"]
    assert pack()["requirements"] == []
    for name in ("gone-1-py3-none-any.whl", "my_driver-1.2.tar.gz"):
        assert f"{name} is no wheel that exists" in pack(tmp_path / name, ok=False)["msg"]
    install = yaml.safe_load((ROOT / "ansible/roles/release/tasks/install.yml").read_text())
    [pip] = [task for task in install if "ansible.builtin.pip" in task]
    assert "release_packed.requirements" in pip["ansible.builtin.pip"]["name"]


@pytest.mark.parametrize("role", ["edge", "gateway"])
def test_further_settings_are_joined_to_the_file_last(role):
    content = yaml.safe_load((ROOT / f"ansible/roles/{role}/vars/main.yml").read_text())
    text = " ".join(content[f"{role}_file"].split())
    assert text.endswith(f"| combine({role}_extra, recursive=true) }}}}")


def test_lines_of_the_access_list_are_kept_and_cannot_widen_what_stands_before_them(filters):
    sites = {"attic": {"gateway": "attic-gateway", "agents": ["attic-pi-1"]}}
    extra = "user home-assistant\ntopic read homeassistant/#\n"
    text = filters["access_list"](sites, extra)
    assert text.endswith(extra)
    assert filters["access_list"](sites) in text
    with pytest.raises(Exception, match="its first line must be `user NAME`"):
        filters["access_list"](sites, "topic read #")
