"""What is interrupted in the middle is completed by the next run, and costs nothing twice."""

import pytest
from typer.testing import CliRunner

from protoledger.contracts.client import owned
from protoledger.contracts.client.owned import OwnedContracts
from protoledger.contracts.keys import address_of
from protoledger.contracts.tools.local_node import LocalNode
from protoledger.emulator.sites import beginning, cli, devices
from protoledger.emulator.sites.folder import SiteFolder
from protoledger.runtime.exits import Exit
from protoledger.runtime.pki.requests import read_request

SCHEMA = bytes(31) + b"\x07"


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A site of three, all approved."""
    monkeypatch.chdir(tmp_path)
    assert run("init", "house", "--broker", "localhost", "--kit", "climate")[0] == Exit.OK
    folders = sorted((tmp_path / "house/devices").iterdir())
    assert run("request", *folders)[0] == Exit.OK
    assert approve(tmp_path / "house", folders)[0] == Exit.OK
    return tmp_path / "house"


def run(*words):
    done = CliRunner().invoke(cli.app, [str(word) for word in words])
    return done.exit_code, done.output


def approve(house, folders):
    return run("approve", "--site", house, "--yes", *(f / "request.json" for f in folders))


@pytest.mark.parametrize("after", ["_revoke", "_configuration", "_put_away"])
def test_an_interrupted_replacement_is_completed(house, monkeypatch, after):
    text = (house / "devices/house-2/agent.yaml").read_bytes()
    real = getattr(devices, after)

    def interrupted(*arguments):
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(devices, after, interrupted)
        assert run("replace", "--site", house, "house-2")[0] == Exit.INTERRUPTED
    assert run("replace", "--site", house, "house-2")[0] == Exit.OK
    assert (house / "devices/house-2/agent.yaml").read_bytes() == text
    assert run("request", house / "devices/house-2")[0] == Exit.OK
    assert approve(house, [house / "devices/house-2"])[0] == Exit.OK
    assert run("check", "--site", house, "--no-broker", "--no-chain")[0] == Exit.OK


def test_two_requests_of_one_device_in_one_command_are_not_both_approved(house):
    run("replace", "--site", house, "house-2")
    folder, other = house / "devices/house-2", house.parent / "other"
    other.mkdir()
    (other / "agent.yaml").write_bytes((folder / "agent.yaml").read_bytes())
    run("request", folder, other)
    code, text = approve(house, [folder, other])
    assert code == Exit.CONFIGURATION
    assert "has other keys already" in text
    kept = read_request(SiteFolder.read(house).handed_in("house-2"))
    assert kept.fingerprint == read_request(folder / "request.json").fingerprint


def test_an_interrupted_deployment_is_found_and_not_paid_twice(tmp_path, monkeypatch):
    real = owned.deploy

    def interrupted(*arguments, **options):
        real(*arguments, **options)
        raise KeyboardInterrupt

    with LocalNode("anvil") as local:
        contracts = OwnedContracts(tmp_path / "chain", local.url, SCHEMA, 2, 2)
        owner = address_of(contracts.owner())
        contracts.fund([owner])
        gateway = "0x" + "11" * 20
        with monkeypatch.context() as patched:
            patched.setattr(owned, "deploy", interrupted)
            with pytest.raises(KeyboardInterrupt):
                contracts.deploy([gateway])
        assert contracts.record == {}
        sent = contracts.node.nonce(owner)
        record = contracts.deploy([gateway])
        assert contracts.node.nonce(owner) == sent
        assert contracts.record == record
        assert contracts.admit([gateway]) == []
        assert not list(tmp_path.rglob("*intended*"))
        contracts.close()


def test_a_clock_that_went_back_signs_nothing_and_is_named(house, monkeypatch):
    class Clock(beginning.dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 2, tzinfo=tz)

    monkeypatch.setattr(beginning.dt, "datetime", Clock)
    for command in (["renew"], ["check", "--no-broker", "--no-chain"]):
        code, text = run(*command, "--site", house)
        assert code == Exit.CONFIGURATION
        assert "one of the two clocks was wrong" in " ".join(text.split())
