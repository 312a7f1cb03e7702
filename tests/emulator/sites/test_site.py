"""A site's folder: what is written, and what is refused, by people and machines that err or lie."""

import json
import shutil
import stat
import time

import pytest
from typer.testing import CliRunner

from protoledger.emulator.sites import beginning, devices, publish
from protoledger.emulator.sites.folder import SiteFolder
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.exits import Exit
from protoledger.runtime.identity_files import load_roster
from protoledger.runtime.pki.certificates import Authority, request_for
from protoledger.runtime.pki.requests import read_request
from tests.support.site_command import approve, init, site_command

site = pytest.fixture(site_command)


@pytest.fixture
def house(site, tmp_path):
    """A site of three whose devices have made requests, none approved."""
    code, text = init(site)
    assert code == Exit.OK, text
    code, text = site("request", *sorted((tmp_path / "house/devices").iterdir()))
    assert code == Exit.OK, text
    return tmp_path / "house"


def content(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def test_all_is_private_and_the_owners_secrets_stay_with_the_owner(site, house):
    approve(site, house)
    assert {stat.S_IMODE(p.stat().st_mode) for p in house.rglob("*") if p.is_dir()} == {0o700}
    opened = [p for p in house.rglob("*") if stat.S_IMODE(p.stat().st_mode) & 0o077]
    assert {path.suffix for path in opened} <= {".crt", ".pem"}  # public, in closed folders
    secrets = [(house / "owner" / name).read_bytes() for name in ("pki/ca.key", "fleet.key")]
    outside = [p for part in ("devices", "broker") for p in content(house / part)]
    assert len(outside) > 20
    assert not [p for p in outside if any(secret.strip() in p.read_bytes() for secret in secrets)]


def test_paths_are_relative_so_that_a_device_s_folder_can_be_copied(site, house, tmp_path):
    approve(site, house)
    shutil.copytree(house / "devices/house-1", tmp_path / "pi")
    shutil.rmtree(house)
    assert str(tmp_path) not in "".join(p.read_text() for p in (tmp_path / "pi").iterdir())
    from protoledger.edge.check.agent_files import read_agent_files

    assert read_agent_files(tmp_path / "pi/agent.yaml").text == ""


def test_the_roster_needs_all_devices_and_names_what_is_missing(site, house):
    code, text = approve(site, house, "house-1", "house-2", "house-gateway")
    assert code == Exit.OK
    assert "not approved yet: house-3" in text
    assert not (house / "roster.json").exists()
    approve(site, house, "house-3")
    key = SiteFolder.read(house).site.fleet_key
    roster = load_roster(house / "roster.json", bytes.fromhex(key))
    assert [agent.id for agent in roster.agents] == ["house-1", "house-2", "house-3"]
    assert all(agent.votes for agent in roster.agents)
    assert roster.agents[0].channels == ("temperature", "humidity")


def test_doing_it_again_changes_nothing(site, house):
    approve(site, house)
    before = content(house)
    for again in (lambda: approve(site, house), lambda: site("renew", "--site", house)):
        code, text = again()
        assert code == Exit.OK
        assert "nothing to do" in text
        changed = [p for p, data in content(house).items() if before.get(p) != data]
        assert [p for p in changed if p.parent.name != "requests"] == []


@pytest.mark.parametrize(
    "name", ["../x", "a b", "", ".", "..", "x" * 300, "Haus", "häus", "-x", "a/b", "a\nb", "$(x)"]
)
def test_hostile_names_are_refused_and_leave_nothing(site, tmp_path, name):
    code, text = site("init", "--broker", "b", "--kit", "climate", "--", name)
    assert code == Exit.CONFIGURATION
    assert "cannot be a name" in text
    code, text = site("init", "h", "--broker", "b", "--kit", "climate", f"--agent={name}")
    assert code == Exit.CONFIGURATION
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["42", "no", "0x10", "1e3", "null", "2026-01-01", "0"])
def test_names_that_yaml_reads_as_something_else(site, tmp_path, name):
    code, text = init(site, name)
    assert code == Exit.OK, text
    code, text = site("request", *sorted((tmp_path / name / "devices").iterdir()))
    assert code == Exit.OK, text
    code, text = approve(site, tmp_path / name)
    assert code == Exit.OK, text
    code, text = site("check", "--site", tmp_path / name, "--no-broker", "--no-chain")
    assert code == Exit.OK, text


def test_all_that_is_wrong_is_told_at_once(site, tmp_path):
    code, text = site(
        "init", "A B", "--broker", "u@h", "--kit", "clima", "--kit", "x.yaml", "--chain", "ftp://h"
    )
    assert code == Exit.CONFIGURATION
    for part in ("'A B'", "--broker 'u@h'", "--chain 'ftp://h'", "'clima' is unknown", "x.yaml"):
        assert part in text
    assert list(tmp_path.iterdir()) == []


def test_a_mixture_of_which_nobody_could_open_a_mean_is_refused(site, tmp_path):
    code, text = site("init", "h", "--broker", "b", "--kit", "climate", "--kit", "plant")
    assert code == Exit.CONFIGURATION
    assert "'soil_moisture' is measured by 1 agents" in text
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_and_half_a_site_are_left_alone(site, house, tmp_path):
    before = content(house)
    code, text = init(site)
    assert (code, content(house)) == (Exit.CONFIGURATION, before)
    assert "exists" in text
    (tmp_path / ".attic.new").mkdir()
    code, text = init(site, "attic")
    assert code == Exit.CONFIGURATION
    assert "rm -r" in text
    assert not (tmp_path / "attic").exists()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("writes", [1, 5, 9, 14])
def test_a_full_disk_or_ctrl_c_leaves_no_site(site, tmp_path, monkeypatch, error, writes):
    real, count = beginning.write_secret, [0]

    def write(*arguments, **options):
        count[0] += 1
        if count[0] > writes:
            raise error
        return real(*arguments, **options)

    for module in (beginning, publish):
        monkeypatch.setattr(module, "write_secret", write)
    code, text = init(site)
    assert code == (Exit.IO if isinstance(error, OSError) else Exit.INTERRUPTED)
    assert ("No space left" in text) == isinstance(error, OSError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writes", range(0, 20, 3))
def test_an_interrupted_approval_is_completed_by_the_next(site, house, monkeypatch, writes):
    real, count = devices.write_secret, [0]

    def write(*arguments, **options):
        count[0] += 1
        if count[0] > writes:
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        for module in (devices, publish):
            patched.setattr(module, "write_secret", write)
        code, _ = approve(site, house)
    if writes < 15:
        assert code == Exit.IO
    code, text = approve(site, house)
    assert code == Exit.OK, text
    code, text = site("check", "--site", house, "--no-broker", "--no-chain")
    assert code == Exit.OK, text


def test_a_wrong_clock_signs_nothing(site, tmp_path, monkeypatch):
    class Clock(beginning.dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(1970, 1, 1, 0, 7, tzinfo=tz)

    monkeypatch.setattr(beginning.dt, "datetime", Clock)
    code, text = init(site)
    assert code == Exit.CONFIGURATION
    assert "1970-01-01 00:07" in text
    assert list(tmp_path.iterdir()) == []


def edited(house, device, **changes):
    """Write a request with other fields, as somebody on its way could."""
    path = house / "devices" / device / "request.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_changed_request_is_refused_or_shows_another_fingerprint(site, house):
    path = house / "devices/house-1/request.json"
    honest = read_request(path)
    other = json.loads((house / "devices/house-2/request.json").read_text())
    for changes in (
        {"identity": other["identity"]},
        {"certificate_request": other["certificate_request"]},
        {"signature": other["signature"]},
        {"id": "house-2"},
        {"id": "../../x"},
        {"version": 2},
        {"chain": "00" * 64},
        {"more": 1},
        {"certificate_request": "x"},
        {"certificate_request": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"},
    ):
        before = path.read_bytes()
        edited(house, "house-1", **changes)
        code, text = approve(site, house, "house-1")
        assert code == Exit.CONFIGURATION, changes
        assert "nothing is approved" in text
        path.write_bytes(before)
    # somebody with keys of their own makes a whole request in the device's name
    swapped = house.parent / "mallory"
    swapped.mkdir()
    shutil.copy(house / "devices/house-1/agent.yaml", swapped)
    forged = devices.request_of(swapped)
    assert forged.fingerprint != honest.fingerprint
    shown = ("--fingerprint", honest.fingerprint)
    code, text = site("approve", "--site", house, *shown, swapped / "request.json")
    assert code == Exit.CONFIGURATION
    assert "was the request changed on its way?" in text
    assert not (house / "owner/devices").exists()


def test_a_request_in_another_s_name_is_refused(site, house):
    """Signed by its own identity, but with a certificate request for the gateway's name."""
    folder = house / "devices/house-1"
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from protoledger.protocol.wire.identity import Identity
    from protoledger.runtime.pki import requests

    key = load_pem_private_key((folder / "tls.key").read_bytes(), None)
    asked = request_for(key, "house-gateway").decode()
    me = Identity.parse((folder / "identity.key").read_bytes().strip())
    signed = requests._signed("house-1", asked, me.public_key.hex(), "")
    edited(house, "house-1", certificate_request=asked, signature=me.sign(signed).hex())
    code, text = approve(site, house, "house-1")
    assert code == Exit.CONFIGURATION
    assert "asks for a certificate in the name of 'house-gateway'" in text


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b"{" * 5000, b"x" * 100_000])
def test_what_is_no_request_is_refused(site, house, tmp_path, data):
    (tmp_path / "r.json").write_bytes(data)
    code, text = site("approve", "--site", house, "--yes", tmp_path / "r.json")
    assert code == Exit.CONFIGURATION
    assert "protoledger site request" in text


def test_a_device_that_is_not_the_site_s_and_a_copied_card(site, house, tmp_path):
    (tmp_path / "pi").mkdir()
    (tmp_path / "pi/agent.yaml").write_text("id: stranger\n")
    site("request", tmp_path / "pi")
    code, text = site("approve", "--site", house, "--yes", tmp_path / "pi/request.json")
    assert code == Exit.CONFIGURATION
    assert "'stranger' is no device of this site" in text
    approve(site, house, "house-1")
    for key in ("tls.key", "identity.key"):
        shutil.copy(house / "devices/house-1" / key, house / "devices/house-2" / key)
    site("request", house / "devices/house-2")
    code, text = approve(site, house, "house-2")
    assert code == Exit.CONFIGURATION
    assert "has the identity of house-1" in text


def test_the_owner_is_asked_and_may_refuse(site, house):
    code, text = approve(site, house, "house-1", "house-2", more=())
    assert (code, "nothing to do" in text) == (1, False)  # no answer at all
    answered = site(
        "approve",
        "--site",
        house,
        *(house / f"devices/house-{n}/request.json" for n in (1, 2)),
        typed="n\ny\n",
    )
    assert answered[0] == Exit.OK
    assert [p.stem for p in (house / "owner/devices").iterdir()] == ["house-2"]


def test_keys_change_by_replacing_only(site, house):
    approve(site, house)
    folder = house / "devices/house-2"
    first = read_request(folder / "request.json")
    for key in ("tls.key", "identity.key"):
        (folder / key).unlink()
    site("request", folder)
    code, text = approve(site, house, "house-2")
    assert code == Exit.CONFIGURATION
    assert "site replace house-2" in text
    roster = (house / "roster.json").read_bytes()
    code, text = site("replace", "--site", house, "house-2")
    assert code == Exit.OK, text
    assert (house / "roster.json").read_bytes() == roster  # until the new keys are approved
    authority = Authority(house / "owner/pki")
    assert authority.issued("house-2").serial_number in authority.revoked()
    site("request", folder)
    code, text = approve(site, house, "house-2")
    assert code == Exit.OK, text
    assert read_request(folder / "request.json").fingerprint != first.fingerprint
    assert authority.issued("house-2").serial_number not in authority.revoked()
    code, text = site("check", "--site", house, "--no-broker", "--no-chain")
    assert code == Exit.OK, text


def test_agents_are_added_and_retired(site, house):
    approve(site, house)
    code, text = site("retire", "--site", house, "house-3")
    assert code == Exit.CONFIGURATION
    assert "measured by 2 agents" in text
    code, text = site("add", "--site", house, "house-4", "--kit", "room-occupancy")
    assert code == Exit.CONFIGURATION
    assert "'light': not a channel of the site" in text
    code, text = site("add", "--site", house, "house-4", "house-5", "--kit", "climate")
    assert code == Exit.OK, text
    site("request", house / "devices/house-4", house / "devices/house-5")
    approve(site, house, "house-4", "house-5")
    key = bytes.fromhex(SiteFolder.read(house).site.fleet_key)
    assert len(load_roster(house / "roster.json", key).agents) == 5
    code, text = site("retire", "--site", house, "house-3")
    assert code == Exit.OK, text
    assert len(load_roster(house / "roster.json", key).agents) == 4
    assert "house-3" not in (house / "broker/acl").read_text()
    assert not (house / "devices/house-3").exists()
    code, text = site("add", "--site", house, "house-3", "house-4", "../x", "--kit", "climate")
    assert code == Exit.CONFIGURATION
    for part in ("'house-3' was retired", "'house-4' is a device", "'../x' cannot"):
        assert part in text
    assert site("retire", "--site", house, "house-gateway")[0] == Exit.CONFIGURATION
    code, text = site("check", "--site", house, "--no-broker", "--no-chain")
    assert code == Exit.OK, text


def test_an_edited_site_file_is_handed_out_and_another_schema_refused(site, house):
    approve(site, house)
    path = house / "site.yaml"
    path.write_text(path.read_text().replace("every_s: 10.0", "every_s: 30.0"))
    code, text = site("check", "--site", house, "--no-broker", "--no-chain")
    assert code == Exit.CONFIGURATION
    assert "site.yaml is missing or outdated" in text
    code, text = site("renew", "--site", house)
    assert code == Exit.OK, text
    assert "every_s: 30.0" in (house / "devices/house-1/site.yaml").read_text()
    assert site("check", "--site", house, "--no-broker", "--no-chain")[0] == Exit.OK
    path.write_text(path.read_text().replace("high: 50.0", "high: 60.0"))
    code, text = site("renew", "--site", house)
    assert code == Exit.CONFIGURATION
    assert "deploy new contracts" in text


def test_the_schema_command_prints_the_hash_that_contracts_take(house):
    from protoledger.runtime import command

    def hash_of(path):
        return CliRunner().invoke(command.app, ["schema", str(path)])

    path = house / "site.yaml"
    assert hash_of(path).output.strip() == SiteFolder.read(house).site.schema_hash
    other = path.with_name("other.yaml")  # its schema_hash is outdated, and not what is asked for
    other.write_text(path.read_text().replace("high: 50.0", "high: 60.0"))
    found = hash_of(other)
    assert found.exit_code == Exit.OK
    assert found.output.strip() != hash_of(path).output.strip()
    other.write_text("channels: 3\nlabel: x\n")
    assert hash_of(other).exit_code == Exit.CONFIGURATION


def test_a_certificate_that_ends_soon_is_renewed(site, house, monkeypatch):
    with monkeypatch.context() as patched:
        for module in (devices, beginning):
            patched.setattr(module, "DEVICE_DAYS", 20)
        approve(site, house)
    code, text = site("check", "--site", house, "--no-broker", "--no-chain")
    assert code == Exit.CONFIGURATION
    assert "has 20 days left" in text
    code, text = site("renew", "--site", house)
    assert code == Exit.OK
    assert "signed the certificate of house-1: 20 days left" in text
    assert site("check", "--site", house, "--no-broker", "--no-chain")[0] == Exit.OK


def test_check_finds_what_was_opened_leaked_and_lost(site, house):
    approve(site, house)
    (house / "owner/pki/ca.key").chmod(0o640)
    code, text = site("check", "--site", house, "--no-broker", "--no-chain")
    assert code == Exit.CONFIGURATION
    assert "others can read" in text
    (house / "owner/pki/ca.key").chmod(0o600)
    leaked = house / "devices/house-1/backup"
    shutil.copy(house / "owner/fleet.key", leaked)
    code, text = site("check", "--site", house, "--no-broker", "--no-chain")
    assert code == Exit.CONFIGURATION
    assert f"{leaked} is the owner's secret" in text
    leaked.unlink()
    (house / "owner/pki/ca.crt").unlink()
    assert site("check", "--site", house, "--no-broker", "--no-chain")[0] == Exit.CONFIGURATION


def test_another_folder_is_no_site(site, tmp_path):
    for command in ("check", "renew", "deploy", "chain"):
        code, text = site(command, "--site", tmp_path)
        assert code == Exit.CONFIGURATION
        assert "is not the folder of a site" in text
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_memory_is_refused(site, house):
    path = house / "owner/site.json"
    plan = json.loads(path.read_text())
    for changed in ({**plan, "agents": ["../../x"]}, {**plan, "port": "x"}, [], {**plan, "y": 1}):
        path.write_text(json.dumps(changed))
        assert site("renew", "--site", house)[0] == Exit.CONFIGURATION


def test_two_commands_at_once_wait_for_each_other(house):
    import threading

    held = threading.Event()

    def hold():
        with SiteFolder.locked(house):
            held.set()
            time.sleep(0.3)
            (house / "done").touch()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    with SiteFolder.locked(house):
        assert (house / "done").exists()
    thread.join()


def test_a_request_s_errors_do_not_show_a_key(site, house):
    key = house / "devices/house-1/identity.key"
    secret = key.read_text().strip()
    key.write_text(secret[:-1] + "g\n")
    code, text = site("request", house / "devices/house-1")
    assert code == Exit.CONFIGURATION
    assert secret[:20] not in text
    with pytest.raises(ConfigurationError):
        devices.request_of(house)
