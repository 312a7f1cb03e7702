"""The oracle's reporter: quorums, forged reports, exchanges, and the commands."""

import base64
import hashlib
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from protoledger.contracts.client.deployment import Deployment, deploy
from protoledger.contracts.client.node import Node
from protoledger.contracts.errors import KeyFileError
from protoledger.contracts.keys import address_of
from protoledger.contracts.oracle.binding import Oracle, feed_id
from protoledger.contracts.oracle.exchange import open_exchange
from protoledger.contracts.oracle.reporter import Reporter, ReporterConfig, load_reporter
from protoledger.contracts.oracle.sources import (
    CsvConfig,
    HttpConfig,
)
from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.gateway.commands.oracle import app
from tests.support import chain
from tests.support.ports import is_refused

OWNER, *KEYS = (bytes.fromhex(key) for key in chain.KEYS)


FEED = "outdoor"


@pytest.fixture(scope="module")
def anvil() -> Iterator[chain.Anvil]:
    with chain.Anvil() as running:
        yield running


class Site:
    """An oracle with a feed, and CSV sources that a test writes."""

    def __init__(self, anvil: chain.Anvil, folder: Path, reporters: int, quorum: int) -> None:
        self.anvil, self.folder = anvil, folder
        self.made: Deployment = deploy(anvil.url, OWNER, bytes(32), 2, 3, [])
        self.oracle, self.node = Oracle(self.made.oracle), Node(anvil.url)
        self.keys = KEYS[:reporters]
        accounts = [address_of(key) for key in self.keys]
        liars = ["--faults", str((quorum - 1) // 2), "--quorum", str(quorum)]
        self.run("reporters", *accounts, *liars, key=OWNER)
        bounds = ["--minimum=-60", "--maximum=60"]
        self.run("add-feed", FEED, "--decimals", "2", *bounds, key=OWNER)

    def run(self, *words: str, key: bytes | None = None, code: int = 0) -> str:
        at = ["--oracle", self.made.oracle, "--rpc", self.anvil.url]
        if key is not None:
            file = self.folder / f"{address_of(key)}.key"
            file.touch(mode=0o600)
            file.write_text(key.hex())
            at += ["--key", str(file)]
        done = CliRunner().invoke(app, [*words, *at])
        assert done.exit_code == code, done.output
        return done.output

    def says(self, key: bytes, text: str) -> None:
        self.file(key).write_text(f"t\n{text}\n")

    def file(self, key: bytes) -> Path:
        return self.folder / f"{address_of(key)}.csv"

    def config(self, key: bytes, **changes: object) -> ReporterConfig:
        feed = {
            "feed": FEED,
            "source": {"kind": "csv", "file": self.file(key), "column": "t"},
            "minimum": "-60",
            "maximum": "60",
        }
        values = {
            "rpc_url": self.anvil.url,
            "chain_id": self.made.chain_id,
            "oracle": self.made.oracle,
            "key_file": self.folder / "unused",
            "exchange": self.folder,
            "feeds": [feed | changes],
        }
        return ReporterConfig.model_validate(values)

    def reporter(self, key: bytes, **changes: object) -> Reporter:
        return Reporter(self.config(key, **changes), key, self.node)

    def state(self) -> tuple[int, int]:
        found = self.oracle.feed(self.node, feed_id(FEED))
        return found.round_id, found.answer


def test_a_request_is_answered_once(anvil: chain.Anvil, tmp_path: Path) -> None:
    site = Site(anvil, tmp_path, 1, 1)
    [key] = site.keys
    site.says(key, "21.507")
    reporter = site.reporter(key)
    assert reporter.step() == []
    assert "no answer yet" in site.run("read", FEED)
    site.run("request", FEED, key=OWNER)
    assert reporter.step() == [(FEED, 2151)]
    assert reporter.step() == []
    assert site.state() == (1, 2151)
    assert "outdoor: 21.51, round 1" in site.run("read", FEED)
    site.run("read", "nothing", code=1)


def test_age_and_deviation_make_a_report_due(anvil: chain.Anvil, tmp_path: Path) -> None:
    site = Site(anvil, tmp_path, 1, 1)
    [key] = site.keys
    site.says(key, "20")
    moving = site.reporter(key, deviation="0.5")
    assert moving.step() == [(FEED, 2000)]
    for text, expected in (("20.49", []), ("20.5", [(FEED, 2050)]), ("20.4", [])):
        site.says(key, text)
        assert moving.step() == expected
    regular = site.reporter(key, every_s=1)
    time.sleep(0.1)
    assert regular.step() == [(FEED, 2040)]  # the last one was dated back by more than a second


@pytest.mark.parametrize(
    "text", ["", "nan", "inf", "-inf", "1e999999", "21,5", "x", "61", "-61", "9" * 70]
)
def test_what_is_no_plausible_number_is_told_once_and_never_written(
    anvil: chain.Anvil, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(anvil, tmp_path, 1, 1)
    [key] = site.keys
    reporter = site.reporter(key)
    site.run("request", FEED, key=OWNER)
    site.says(key, text)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert reporter.step() == []
        assert site.state() == (0, 0)
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        site.says(key, "3.25")
        assert reporter.step() == [(FEED, 325)]  # the request was not forgotten
        assert "reports again" in caplog.records[-1].message


def test_a_quorum_gives_the_median_and_one_of_them_pays(anvil: chain.Anvil, tmp_path: Path) -> None:
    site = Site(anvil, tmp_path, 3, 3)
    for key, text in zip(site.keys, ("20", "21", "59"), strict=True):
        site.says(key, text)
    reporters = [site.reporter(key) for key in site.keys]
    site.run("request", FEED, key=OWNER)
    done = []
    deadline = time.monotonic() + 60
    while not done and time.monotonic() < deadline:
        for reporter in reporters:
            done += reporter.step()
    assert site.state() == (1, 2100)
    for _ in range(3):
        for reporter in reporters:
            done += reporter.step()
    assert len(done) == 1
    assert site.state() == (1, 2100)


def test_forged_reports_in_the_exchange_are_passed_over(anvil: chain.Anvil, tmp_path: Path) -> None:
    site = Site(anvil, tmp_path, 2, 2)
    mine, other = site.keys
    now, feed = int(time.time()), feed_id(FEED)
    stranger = bytes(31) + b"\x77"
    forged = site.oracle.sign(stranger, site.made.chain_id, feed, 1, 5900, now - 2)
    elsewhere = site.oracle.sign(other, 1, feed, 1, 5900, now - 2)
    old = site.oracle.sign(other, site.made.chain_id, feed, 1, 5900, now - 3000)
    later = site.oracle.sign(other, site.made.chain_id, feed, 2, 5900, now - 2)
    site.says(mine, "20")
    reporter = site.reporter(mine, every_s=1)
    for name, report in (("a", forged), ("b", elsewhere), ("c", old), ("d", later)):
        raw = {
            "reporter": address_of(other) if name == "b" else report.reporter,
            "round_id": report.round_id,
            "answer": report.answer,
            "observed_at": report.observed_at,
            "signature": report.signature.hex(),
        }
        file = tmp_path / f"{feed.hex()}.{address_of(other)}.json"
        file.write_text(json.dumps(raw))
        assert reporter.step() == []
        file.write_text("{" + "x" * 10)
        assert reporter.step() == []
    assert site.state() == (0, 0)
    site.says(other, "22")
    partner = site.reporter(other, every_s=1)
    deadline = time.monotonic() + 60
    while site.state()[0] == 0:
        assert time.monotonic() < deadline
        partner.step()
        reporter.step()
    assert site.state() == (1, 2000)  # the lower one of two


def test_who_may_not_report_does_not_start(anvil: chain.Anvil, tmp_path: Path) -> None:
    site = Site(anvil, tmp_path, 1, 1)
    with pytest.raises(KeyFileError, match="is no reporter"):
        site.reporter(KEYS[2])
    bad = tmp_path / "bad.yaml"
    bad.write_text("rpc_url: http://x\nfeeds: []\n")
    assert CliRunner().invoke(app, ["run", "--config", str(bad)]).exit_code == 78


def test_the_command_reports_until_it_is_stopped(anvil: chain.Anvil, tmp_path: Path) -> None:
    site = Site(anvil, tmp_path, 1, 1)
    [key] = site.keys
    site.says(key, "12.5")
    site.run("request", FEED, key=OWNER)
    site.run("request", FEED, key=key)  # writes the key file, and asks twice for one answer
    config = site.config(key).model_dump(mode="json")
    config["key_file"] = str(tmp_path / f"{address_of(key)}.key")
    file = tmp_path / "reporter.yaml"
    file.write_text(json.dumps(config | {"poll_s": 0.1}))  # JSON is YAML
    command = [sys.executable, "-m", "protoledger", "oracle", "run", "--config", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 60
            while site.state() != (1, 1250):
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.05)
            time.sleep(0.5)
        finally:
            process.terminate()
        told = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    assert told.count("outdoor: answered 1250") == 1
    assert key.hex() not in told
    assert site.state() == (1, 1250)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    """A Mosquitto that asks for a password; gives its port."""
    if find_mosquitto() is None:
        pytest.skip("Mosquitto is not installed")
    port, passwords = chain.free_port(), tmp_path / "passwords"
    salt = bytes(12)
    hashed = hashlib.pbkdf2_hmac("sha512", b"secret", salt, 101, 64)
    coded = [base64.b64encode(each).decode() for each in (salt, hashed)]
    passwords.write_text(f"reporter:$7$101${'$'.join(coded)}\n")
    passwords.chmod(0o600)
    file = tmp_path / "mosquitto.conf"
    user = "user root\n" if os.geteuid() == 0 else ""
    file.write_text(
        f"{user}listener {port} 127.0.0.1\npassword_file {passwords}\nallow_anonymous false\n"
    )
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(
        [str(find_mosquitto()), "-c", str(file)], stdout=nowhere, stderr=nowhere
    )
    try:
        deadline = time.monotonic() + 60
        while is_refused(port):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


def test_sites_without_a_common_folder_meet_at_a_broker(
    anvil: chain.Anvil, tmp_path: Path, broker: int
) -> None:
    site = Site(anvil, tmp_path, 2, 2)
    password = tmp_path / "password"
    password.write_text("secret\n")
    password.chmod(0o600)
    at = {
        "host": "127.0.0.1",
        "port": broker,
        "plaintext": True,
        "username": "reporter",
        "password_file": str(password),
    }
    reporters = []
    for number, key in enumerate(site.keys):
        site.says(key, f"{20 + number}")
        config = site.config(key).model_dump() | {"exchange": None, "exchange_broker": at}
        reporters.append(Reporter(ReporterConfig.model_validate(config), key, site.node))
    site.run("request", FEED, key=OWNER)
    deadline = time.monotonic() + 60
    while site.state() != (1, 2000):  # the lower median of two
        assert time.monotonic() < deadline
        for reporter in reporters:
            reporter.step()
        time.sleep(0.05)
    for reporter in reporters:
        reporter.close()
        reporter.close()


def test_a_broker_that_is_away_keeps_no_reporter_from_starting(
    anvil: chain.Anvil, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(anvil, tmp_path, 2, 2)
    key = site.keys[0]
    site.says(key, "20")
    at = {"host": "127.0.0.1", "port": chain.free_port(), "plaintext": True}
    config = site.config(key).model_dump() | {"exchange": None, "exchange_broker": at}
    reporter = Reporter(ReporterConfig.model_validate(config), key, site.node)
    site.run("request", FEED, key=OWNER)
    for _ in range(3):
        assert reporter.step() == []
    reporter.close()
    assert caplog.text.count("not connected") == 1


@pytest.mark.parametrize(
    "payload",
    [b"", b"x", b"[]", b"{}", b"[" * 3000, b'{"reporter": "0x1"}', b"\xff", b" " * 5000],
)
def test_what_is_no_report_is_passed_over(payload: bytes, tmp_path: Path) -> None:
    feed, name = feed_id(FEED), "0x" + "ab" * 20
    (tmp_path / f"{feed.hex()}.{name}.json").write_bytes(payload)
    assert open_exchange(tmp_path, None).reports(feed) == []


def test_a_reporters_file_tells_all_that_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "reporter.yaml"
    for content, told in (
        ("a: [", ["no YAML"]),
        ("7", ["expected keys and values"]),
        ("rpc_url: x\nchain_id: -1\nfeds: []\n", ["rpc_url", "chain_id", "'feeds'", "oracle"]),
    ):
        file.write_text(content)
        done = CliRunner().invoke(app, ["run", "--config", str(file)])
        assert done.exit_code == 78
        assert all(each in done.output for each in told), done.output
        assert "pydantic" not in done.output
    done = CliRunner().invoke(app, ["run", "--config", str(tmp_path / "none.yaml")])
    assert (done.exit_code, "No such file" in done.output) == (78, True)


def test_files_are_relative_to_the_reporters_own(tmp_path: Path) -> None:
    file = tmp_path / "reporter.yaml"
    feed = {
        "feed": FEED,
        "source": {"kind": "http", "url": "http://a/b", "path": "x.y"},
        "minimum": 0,
        "maximum": 1,
    }
    second = feed | {"feed": "b", "source": {"kind": "csv", "file": "t.csv", "column": "t"}}
    values = {
        "rpc_url": "http://a",
        "chain_id": 1,
        "oracle": "0x" + "12" * 20,
        "key_file": "r.key",
        "exchange": "x",
        "feeds": [feed, second],
    }
    file.write_text(json.dumps(values))
    loaded = load_reporter(file)
    assert (loaded.key_file, loaded.exchange) == (tmp_path / "r.key", tmp_path / "x")
    http_source, csv_source = (each.source for each in loaded.feeds)
    assert isinstance(http_source, HttpConfig)
    assert http_source.path == "x.y"
    assert isinstance(csv_source, CsvConfig)
    assert csv_source.file == tmp_path / "t.csv"
    file.write_text(json.dumps(values | {"exchange_broker": {"host": "b"}}))
    with pytest.raises(KeyFileError, match="only one"):
        load_reporter(file)


def test_a_folder_that_is_missing_is_told_at_the_start(anvil: chain.Anvil, tmp_path: Path) -> None:
    site = Site(anvil, tmp_path, 1, 1)
    config = site.config(site.keys[0]).model_dump() | {"exchange": tmp_path / "none"}
    with pytest.raises(KeyFileError, match="no folder"):
        Reporter(ReporterConfig.model_validate(config), site.keys[0], site.node)


def test_names_that_do_not_fit_are_usage_errors(anvil: chain.Anvil, tmp_path: Path) -> None:
    site = Site(anvil, tmp_path, 1, 1)
    bounds = ["--minimum=-60", "--maximum=60"]
    assert "32 bytes" in site.run("add-feed", "ü" * 17, *bounds, key=OWNER, code=64)
    assert "UnknownFeed" in site.run("request", "nothing", key=OWNER, code=1)
    assert "'outdoor'" in site.run("add-feed", FEED, *bounds, key=OWNER, code=1)
