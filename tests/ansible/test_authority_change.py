"""Certificates signed ahead, another authority and another fleet key, as the modules make them."""

import shutil
import subprocess
import time

import pytest
from cryptography import x509

from protoledger.runtime.identity_files import load_identity
from protoledger.runtime.pki import succession
from protoledger.runtime.pki.certificates import Authority
from tests.ansible.test_playbooks import module as _module

module = _module


@pytest.fixture
def state(module, tmp_path):
    folder = tmp_path / "state"
    module("fleet_authority", folder=str(folder))
    return folder


def signed(module, state, name, **changes):
    keys = module("fleet_keys", folder=str(state.parent / name), name=name, kinds=["tls"])
    given = {"folder": str(state), "name": name, "request": keys["request"], "overlap_days": 60}
    return module("fleet_certificate", **{**given, **changes})


def verified(state, bundle, crls, certificate):
    """Whether OpenSSL, given these authorities and lists, accepts a certificate."""
    files = {"ca.pem": bundle, "crl.pem": crls, "device.pem": certificate}
    for name, text in files.items():
        (state / name).write_text(text)
    words = ["openssl", "verify", "-crl_check", "-purpose", "sslclient", "-CAfile", "ca.pem"]
    words += ["-CRLfile", "crl.pem", "device.pem"]
    return subprocess.run(words, cwd=state, capture_output=True, check=False).returncode == 0


def test_what_follows_is_signed_once_and_revoked_with_the_device(module, state):
    first = signed(module, state, "attic-pi-1")
    assert (first["changed"], first["superseded"]) == (True, [])
    ahead = state / "pki/ahead/attic-pi-1.pem"
    assert ahead.read_text().count("BEGIN CERTIFICATE") == 10
    assert not signed(module, state, "attic-pi-1")["changed"]
    ahead.unlink()  # a fleet from before certificates were signed ahead
    again = signed(module, state, "attic-pi-1")
    assert (again["changed"], again["reason"]) == (True, "")
    assert again["certificate"] == first["certificate"]
    module("fleet_authority", folder=str(state), revoke=["attic-pi-1"])
    authority = Authority(state / "pki")
    assert authority.revoked() == authority.serials("attic-pi-1")
    assert len(authority.revoked()) == 11
    replaced = signed(module, state, "attic-pi-1")
    assert replaced["reason"] == "revoked"
    assert set(map(int, replaced["superseded"])) == authority.revoked()
    assert not authority.serials("attic-pi-1") & authority.revoked()
    assert not module("fleet_authority", folder=str(state), revoke=[])["changed"]


def test_both_authorities_are_trusted_during_the_change_and_one_after_it(module, state):
    old = signed(module, state, "attic-pi-1")["certificate"]
    gone = signed(module, state, "attic-pi-2")["certificate"]
    given = {"folder": str(state)}
    before = module("fleet_authority", **given)["authority"]
    staged = module("fleet_authority", **given, change="stage")
    assert staged["changed"]
    assert staged["authority"].startswith(before)
    assert staged["authority"].count("BEGIN CERTIFICATE") == 2
    assert not module("fleet_authority", **given, change="stage")["changed"]
    assert not signed(module, state, "attic-pi-1")["changed"], "the old one signs until the switch"
    switched = module("fleet_authority", **given, change="switch", revoke=[])
    assert not module("fleet_authority", **given, change="switch")["changed"]
    assert not module("fleet_authority", **given, change="stage")["changed"], "one at a time"
    new = signed(module, state, "attic-pi-1")
    assert new["reason"] == "none yet"
    revoked = module("fleet_authority", **given, revoke=["attic-pi-2"])
    assert revoked["authority"] == switched["authority"]
    both = (revoked["authority"], revoked["revoked"])
    assert verified(state, *both, old)
    assert verified(state, *both, new["certificate"])
    assert not verified(state, *both, gone), "the old authority's device can still be revoked"
    dropped = module("fleet_authority", **given, change="drop")
    alone = (dropped["authority"], dropped["revoked"])
    assert dropped["changed"]
    assert not verified(state, *alone, old)
    assert verified(state, *alone, new["certificate"])
    assert not module("fleet_authority", **given, change="drop")["changed"]
    time.sleep(1)  # an authority's name has the second in which it was made
    assert module("fleet_authority", **given, change="stage")["changed"], "and again, years later"


@pytest.mark.parametrize("after", [1, 2])
def test_a_switch_that_is_interrupted_is_finished(state, after):
    """Power fails after the first or second of three renames."""
    succession.stage(state, "fleet", 3650)
    following = (state / "pki/next/ca.crt").read_text()
    (state / "pki/next").rename(state / "pki.switching")
    if after == 2:
        (state / "pki").rename(state / "pki.switching/previous")
    succession.recover(state)
    assert (state / "pki/ca.crt").read_text() == following
    assert (state / "pki/previous/ca.key").exists()
    assert succession.trusted(state).count("BEGIN CERTIFICATE") == 2
    subjects = {
        x509.load_pem_x509_certificate((state / folder / "ca.crt").read_bytes()).subject
        for folder in ("pki", "pki/previous")
    }
    assert len(subjects) == 2, "OpenSSL looks lists of revoked certificates up by name"


def test_the_fleet_s_key_is_another_one_when_asked(module, state):
    given = {"folder": str(state)}
    before = module("fleet_authority", **given)["fleet_key"]
    after = module("fleet_authority", **given, new_fleet_key=True)
    assert after["changed"]
    assert after["fleet_key"] != before
    assert load_identity(state / "fleet.key").public_key.hex() == after["fleet_key"]
    assert (state / "fleet.key").stat().st_mode & 0o777 == 0o600
    assert module("fleet_authority", **given)["fleet_key"] == after["fleet_key"]


def test_check_mode_changes_nothing(module, state, tmp_path):
    kept = tmp_path / "kept"
    shutil.copytree(state, kept)
    for options in ({"change": "stage"}, {"new_fleet_key": True}, {"revoke_serials": ["7"]}):
        told = module("fleet_authority", folder=str(state), _ansible_check_mode=True, **options)
        assert told["changed"]
    names = [path.relative_to(kept) for path in kept.rglob("*") if path.is_file()]
    assert all((kept / name).read_bytes() == (state / name).read_bytes() for name in names)
    assert len(names) == sum(path.is_file() for path in state.rglob("*"))
