"""Owners that err and finders of lost cards: what they try is refused, or can be corrected."""

import datetime as dt
import os
import shutil

import pytest
import yaml

from protoledger.emulator.sites import beginning
from protoledger.runtime.exits import Exit
from protoledger.runtime.pki import certificates
from protoledger.runtime.pki.certificates import Authority, alternatives
from tests.support.site_command import approve, init, site_command

site = pytest.fixture(site_command)
CHECK = ("--no-broker", "--no-chain")


@pytest.fixture
def house(site, tmp_path):
    """A site of four, all approved; its path has spaces and letters of other alphabets."""
    (tmp_path / "mein Haus ü").mkdir()
    os.chdir(tmp_path / "mein Haus ü")
    code, text = init(site, "house", "--agents", "4")
    assert code == Exit.OK, text
    made = tmp_path / "mein Haus ü/house"
    assert site("request", *(made / "devices").iterdir())[0] == Exit.OK
    assert approve(site, made)[0] == Exit.OK
    return made


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("hub.local:8884", "has a port"),
        ("hüb.local", "no host name"),
        ("*", "no host name"),
        ("", "no host name"),
        ("a" * 64, "no host name"),
        ("a." * 127 + "a", "no host name"),
        ("-hub", "no host name"),
        ("hub..local", "no host name"),
        ("1.2.3", "no host name"),
        ("http://hub", "no host name"),
        ("[fe80::1]", "no host name"),
        ("fe80::1%eth0", "no address that a certificate"),
        ("0.0.0.0", "no address that a certificate"),
        ("hub\nuser root", "no host name"),
    ],
)
def test_a_broker_that_no_certificate_can_name(site, tmp_path, host, says):
    code, text = site("init", "house", f"--broker={host}", "--kit", "climate")
    assert code == Exit.CONFIGURATION
    assert says in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["http://", "ftp://x", "x:8545", "http://x:99999/k", "http://x:0", "http://[x"]
)
def test_a_chain_that_is_no_address(site, tmp_path, url):
    code, text = init(site, "house", "--chain", url)
    assert code == Exit.CONFIGURATION
    assert "is no node's address" in text
    assert list(tmp_path.iterdir()) == []


def test_too_few_agents_are_told_line_by_line(site):
    code, text = init(site, "house", "--agent", "a", "--agent", "b")
    assert code == Exit.CONFIGURATION
    assert text.startswith("protoledger site: cannot begin a site:\n  ")
    assert len(text.splitlines()) >= 4


@pytest.mark.parametrize("ending", ["replace", "retire"])
def test_keys_of_a_lost_card_never_come_back(site, house, tmp_path, ending):
    old = shutil.copy(house / "devices/house-2/request.json", tmp_path / "old.json")
    card = shutil.copytree(house / "devices/house-2", tmp_path / "card")
    assert site(ending, "--site", house, "house-2")[0] == Exit.OK
    code, text = site("approve", "--site", house, "--yes", old)
    assert code == Exit.CONFIGURATION, text
    assert ("anyone with the lost card" if ending == "replace" else "is no device") in text
    # the finder has the keys, and asks again under another device's name
    assert site("add", "--site", house, "house-9", "--kit", "climate")[0] == Exit.OK
    config = yaml.safe_load((card / "agent.yaml").read_text())
    (card / "agent.yaml").write_text(yaml.safe_dump({**config, "id": "house-9"}))
    assert site("request", card)[0] == Exit.OK
    code, text = site("approve", "--site", house, "--yes", card / "request.json")
    assert code == Exit.CONFIGURATION, text
    assert "keys of house-2, which was replaced or retired" in text


def test_the_broker_moves_with_the_site_s_file(site, house):
    path = house / "site.yaml"
    path.write_text(
        path.read_text().replace("localhost", "hub.local").replace("port: 8883", "port: 9999")
    )
    code, text = site("check", "--site", house, *CHECK)
    assert code == Exit.CONFIGURATION
    assert "site.yaml names hub.local:9999" in text
    code, text = site("renew", "--site", house)
    assert code == Exit.OK, text
    assert "signed the broker's certificate: other names" in text
    assert alternatives(Authority(house / "owner/pki").issued("broker")) == {"hub.local"}
    assert "listener 9999\n" in (house / "broker/mosquitto.conf").read_text()
    assert site("check", "--site", house, *CHECK)[0] == Exit.OK
    path.write_text(path.read_text().replace("hub.local", "hub:8883"))
    code, text = site("renew", "--site", house)
    assert code == Exit.CONFIGURATION
    assert "has a port" in text


def test_another_fleet_s_key_is_refused(site, house):
    path = house / "site.yaml"
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**content, "fleet_key": "ab" * 32}, sort_keys=False))
    assert site("check", "--site", house, *CHECK)[0] == Exit.CONFIGURATION
    code, text = site("renew", "--site", house)
    assert code == Exit.CONFIGURATION, text
    assert f"write fleet_key: '{content['fleet_key']}'" in text
    assert "ab" * 32 not in (house / "devices/house-1/site.yaml").read_text()


@pytest.mark.parametrize("lost", ["pki", "fleet.key", "requests", "devices"])
def test_what_an_owner_lost_is_named_and_nothing_is_made_up(site, house, lost):
    before = {p: p.read_bytes() for p in house.rglob("*") if p.is_file() and p.name != ".lock"}
    (house / "owner" / lost).rename(house.parent / "lost")
    code, text = site("check", "--site", house, *CHECK)
    assert code in {Exit.CONFIGURATION, Exit.IO} or "has not been approved" in text, text
    code, text = site("renew", "--site", house)
    assert code != Exit.OK or "no new roster" in text or "nothing to do" in text, text
    (house.parent / "lost").rename(house / "owner" / lost)
    after = {p: p.read_bytes() for p in house.rglob("*") if p.is_file() and p.name != ".lock"}
    assert after == before


def test_an_authority_that_has_ended_is_named(site, house, monkeypatch):
    now = dt.datetime.now(dt.UTC)

    class Later(dt.datetime):
        @classmethod
        def now(cls, _tz=None):
            return now + dt.timedelta(days=beginning.AUTHORITY_DAYS + 350)

    monkeypatch.setattr(certificates, "datetime", Later)
    code, text = site("check", "--site", house, *CHECK)
    assert code == Exit.CONFIGURATION
    assert "ended 350 days ago" in text
