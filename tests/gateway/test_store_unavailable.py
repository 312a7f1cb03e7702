"""A store that is locked, or on a full card: one line and exit 74; systemd then tries again."""

import contextlib
import sqlite3
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from protoledger.gateway.commands.gateway import app
from protoledger.gateway.errors import GatewayError, StoreUnavailableError
from protoledger.gateway.service import Service
from protoledger.gateway.training.store import Store
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.exits import Exit
from tests.support.site_command import approve, init, site_command

site = pytest.fixture(site_command)


@pytest.fixture
def gateway(site, tmp_path):
    """The folder of a site's gateway."""
    assert init(site)[0] == Exit.OK
    assert site("request", *(tmp_path / "house/devices").iterdir())[0] == Exit.OK
    assert approve(site, tmp_path / "house")[0] == Exit.OK
    return tmp_path / "house/devices/house-gateway"


def run(gateway):
    command = [
        sys.executable,
        "-m",
        "protoledger",
        "gateway",
        "run",
        "-c",
        gateway / "gateway.yaml",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.timeout(240)
def test_a_store_that_another_process_locks(gateway):
    with contextlib.closing(sqlite3.connect(gateway / "gateway.db")) as other:
        other.execute("CREATE TABLE x (y)")
        other.execute("BEGIN EXCLUSIVE")
        done = run(gateway)
    assert done.returncode == Exit.IO, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{gateway / 'gateway.db'}: database is locked; is the disk full" in done.stderr


def test_a_card_that_fills_up_in_the_middle(gateway, monkeypatch):
    def full(_service):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Service, "run", full)
    done = CliRunner().invoke(app, ["run", "-c", str(gateway / "gateway.yaml")])
    assert done.exit_code == Exit.IO, done.output
    assert "gateway.db: database or disk is full; is the disk full" in done.output


def test_what_can_pass_is_told_from_what_a_person_must_correct(tmp_path):
    with pytest.raises(StoreUnavailableError) as caught:
        Store(tmp_path / "absent/gateway.db", bytes(32))
    assert isinstance(caught.value, GatewayError)
    assert caught.value.filename == str(tmp_path / "absent/gateway.db")
    (tmp_path / "text.db").write_text("no database, " * 100)
    with pytest.raises(ConfigurationError, match="is no store"):
        Store(tmp_path / "text.db", bytes(32))


def test_a_commit_is_on_disk_when_it_returns(tmp_path):
    """Else a power cut takes back the number of a round that was announced."""
    with Store(tmp_path / "gateway.db", bytes(32)) as store:
        (level,) = store._database.execute("PRAGMA synchronous").fetchone()
    assert level == 2  # FULL; in a write-ahead log, NORMAL would not wait for the disk
