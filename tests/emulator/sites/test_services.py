"""The units of `protoledger service` and of the playbooks: one text, which systemd understands."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from protoledger.emulator.sites import cli, services
from protoledger.runtime.exits import Exit
from protoledger.runtime.systemd.units import StateInFolder, StateOfSystem, unit_text

ROOT = Path(__file__).parents[3]


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["init", "house", "--broker", "localhost", "--kit", "climate"]
    assert CliRunner().invoke(cli.app, words).exit_code == 0
    folders = [str(p) for p in (tmp_path / "house/devices").iterdir()]
    assert CliRunner().invoke(cli.app, ["request", *folders]).exit_code == 0
    return tmp_path / "house"


def config(house, kind):
    name = "devices/house-1/agent.yaml" if kind == "edge" else "devices/house-gateway/gateway.yaml"
    return house / name


def install(*words):
    return CliRunner().invoke(services.app, ["install", *map(str, words)])


@pytest.mark.parametrize("kind", ["edge", "gateway"])
def test_systemd_understands_the_unit(house, tmp_path, kind):
    done = install(kind, "-c", config(house, kind), "--print")
    assert done.exit_code == Exit.OK
    program = Path(sys.executable).parent / "protoledger"
    assert f"ExecStart={program} {kind} run --config {config(house, kind)}" in done.output
    assert f"ReadWritePaths={config(house, kind).parent}\n" in done.output
    assert ("DeviceAllow=char-gpiochip rw" in done.output) == (kind == "edge")
    verify(tmp_path / f"protoledger-{kind}.service", done.output)


def verify(path, text):
    if shutil.which("systemd-analyze") is None:
        return  # what stands in the unit is still compared
    path.write_text(text)
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    mine = [line for line in found.stderr.splitlines() if path.name in line]
    assert [line for line in mine if "not executable" not in line] == []


@pytest.mark.parametrize("kind", ["edge", "gateway"])
def test_the_playbooks_write_the_same_settings(house, tmp_path, kind):
    path = ROOT / "ansible/plugins/filter/fleet.py"
    spec = importlib.util.spec_from_file_location("fleet_filters", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    options = {
        "opt": "/opt/protoledger", "etc": "/etc/protoledger", "file": config(house, kind).name,
        "private": "/etc/protoledger/private", "keys": ["identity.key", "tls.key"],
        "watchdog_s": "120",
    }  # fmt: skip
    if kind == "edge":
        options["needs"] = {"devices": ["char-gpiochip"], "groups": ["gpio"]}
    text = loaded.FilterModule().filters()["service_unit"](kind, "house-1", options)
    verify(tmp_path / f"protoledger-{kind}.service", text)
    assert "LoadCredential=tls.key:/etc/protoledger/private/tls.key\n" in text
    mine = install(kind, "-c", config(house, kind), "--print").output
    own = ("Bind", "Description", "ExecStart", "LoadCred", "ReadWrite", "State", "User", "Working")
    own += ("DynamicUser", "ProtectHome", "RuntimeDirectory")
    shared = [
        [line for line in one.splitlines() if not line.startswith(own)] for one in (text, mine)
    ]
    assert shared[0] == shared[1]
    assert len(shared[0]) > 30


@pytest.mark.parametrize("name", ["a b", 'x"y', "x$y", "x;y", "x\ny", "100%"])
def test_a_path_that_a_unit_would_read_otherwise_is_refused(name):
    folder = StateInFolder("pi", f"/home/pi/{name}")
    with pytest.raises(ValueError, match="cannot stand in a unit"):
        unit_text("edge", "x", folder, command="/x", config=f"/home/pi/{name}/agent.yaml")
    with pytest.raises(ValueError, match="cannot stand in a unit"):
        unit_text("edge", "x", StateOfSystem({}), command="/x", config=f"/{name}/agent.yaml")


def test_errors_say_what_to_do(house, tmp_path, monkeypatch):
    assert install("broker", "-c", config(house, "edge"), "--print").exit_code != Exit.OK
    done = install("edge", "-c", tmp_path / "none.yaml", "--print")
    assert done.exit_code == Exit.CONFIGURATION
    monkeypatch.setattr(services, "UNITS", tmp_path / "no/systemd")
    done = install("edge", "-c", config(house, "edge"))
    assert done.exit_code == Exit.UNAVAILABLE
    assert "systemd" in done.output


def test_installing_enables_and_restarts(house, tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(services, "UNITS", tmp_path)
    monkeypatch.setattr(services.subprocess, "run", lambda command, **_: called.append(command[1:]))
    done = install("edge", "-c", config(house, "edge"))
    assert done.exit_code == Exit.OK, done.output
    name = "protoledger-edge.service"
    assert called == [["daemon-reload"], ["enable", name], ["restart", name]]
    assert "[Install]" in (tmp_path / name).read_text()
    assert not list(tmp_path.glob(".*.new"))
