"""`protoledger contracts`: what the owner and any reader can do from a command line."""

import csv
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from protoledger.contracts.keys import address_of
from protoledger.gateway.commands.contracts import app
from protoledger.gateway.ledger.events import LedgerFailed
from tests.support import chain
from tests.support.ledgers import ALICE, BOB, OWNER, STRANGER, Site, book, deployed, lie


class Shell:
    """The commands, run against one contract with a key."""

    def __init__(self, site: Site) -> None:
        self.site, self.at = site, ["--rpc", site.anvil.url, "--contract", site.deployment.buffer]

    def read(self, *words: str) -> Result:
        return CliRunner().invoke(app, [words[0], *self.at, *words[1:]])

    def act(self, key: bytes, *words: str) -> Result:
        file = self.site.folder / f"{address_of(key)}.cli"
        file.touch(mode=0o600)
        file.write_text(key.hex())
        return self.read(words[0], "--key", str(file), *words[1:])


@pytest.fixture
def shell(anvil: chain.Anvil, tmp_path: Path) -> Shell:
    site = Site(anvil, deployed(anvil, ALICE, BOB), tmp_path, ALICE)
    with site.ledger() as writer:
        for seed in (1, 2):
            writer.submit(book(seed))
            assert writer.flush(60)
    return Shell(site)


def test_show_lists_every_gateway_from_the_state(shell: Shell):
    shown = shell.read("show").output
    [line] = [line for line in shown.splitlines() if line.startswith(shell.site.address)]
    assert "active    version 2, 11 records, 99 bytes, epoch 1" in line
    assert f"owner {address_of(OWNER)}, oracle {shell.site.deployment.oracle}" in shown
    assert f"{address_of(BOB)} active    version 0" in shown


def test_pause_oracle_and_owner_are_the_owners_to_change(shell: Shell):
    for words in (("pause",), ("unpause",), ("set-oracle", "none")):
        assert shell.act(ALICE, *words).exit_code == 1
    assert shell.act(OWNER, "pause").exit_code == 0
    assert "paused" in shell.read("show").output
    assert shell.act(OWNER, "pause").exit_code == 1
    assert shell.act(OWNER, "unpause").exit_code == 0
    assert "paused" not in shell.read("show").output
    assert shell.act(OWNER, "set-oracle", "none").exit_code == 0
    assert "oracle 0x" + "00" * 20 in shell.read("show").output
    assert shell.act(OWNER, "set-oracle", "nothing").exit_code == 64
    assert shell.act(OWNER, "transfer", address_of(ALICE)).exit_code == 0
    assert shell.act(BOB, "accept").exit_code == 1
    assert f"owner {address_of(OWNER)}" in shell.read("show").output  # until it is accepted
    assert shell.act(ALICE, "accept").exit_code == 0
    assert f"owner {address_of(ALICE)}" in shell.read("show").output


@pytest.mark.parametrize("suffix", ["csv", "npz"])
def test_export_writes_what_was_committed(shell: Shell, tmp_path: Path, suffix: str):
    file = tmp_path / f"out.{suffix}"
    done = shell.read("export", str(file))
    assert done.exit_code == 0, done.output
    assert "11 prototypes of 1 gateways" in done.output
    expected = book(2)
    if suffix == "npz":
        with np.load(file) as arrays:
            assert set(arrays["owner"]) == {shell.site.address}
            assert (arrays["id"] == expected.ids).all()
            assert (arrays["label"] == expected.classes).all()
            assert (arrays["weight"] == expected.weights).all()
            assert (arrays["features"] == expected.features()).all()
    else:
        with file.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [int(row["id"]) for row in rows] == expected.ids.tolist()
        found = [[float(row[f"feature_{i}"]) for i in range(2)] for row in rows]
        assert np.abs(np.array(found) - expected.features()).max() < 1e-5
    assert shell.read("export", str(tmp_path / "out.pickle")).exit_code == 64
    nobody = shell.read("export", str(file), "--gateway", address_of(STRANGER))
    assert "0 prototypes of 0 gateways" in nobody.output


SITE = """\
site: attic
fleet_key: "{key}"
broker: {{host: broker.local, ca_file: ca.crt}}
channels:
  - {{name: temperature, unit: °C, low: -10, high: 50, step: 0.1}}
  - {{name: light, low: 0, high: 1, step: 0.01}}
labels: [{labels}]
round: {{every_s: 10}}
"""


@pytest.mark.parametrize("suffix", ["csv", "npz"])
def test_export_for_a_site_has_its_channels_units_and_labels(
    shell: Shell, tmp_path: Path, suffix: str
):
    expected = book(2)
    labels = ["empty", '"cooking, or so"', "asleep"]
    site, file = tmp_path / "site.yaml", tmp_path / f"out.{suffix}"
    site.write_text(SITE.format(key="0" * 64, labels=", ".join(labels)))
    done = shell.read("export", str(file), "--site", str(site))
    assert done.exit_code == 0, done.output
    names = [name.strip('"') for name in labels]
    low, width = np.array([-10.0, 0.0]), np.array([60.0, 1.0])
    if suffix == "npz":
        with np.load(file) as arrays:
            assert arrays["columns"].tolist() == ["temperature (°C)", "light"]
            assert arrays["labels"].tolist() == names
            assert np.allclose(arrays["features"], low + width * expected.features())
    else:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        found = [[float(row["temperature (°C)"]), float(row["light"])] for row in rows]
        assert np.allclose(found, low + width * expected.features(), rtol=1e-5, atol=1e-5)
        assert [row["class"] for row in rows] == [names[one] for one in expected.classes]
    site.write_text(SITE.format(key="0" * 64, labels="one, " + ", ".join(labels)))
    other = shell.read("export", str(file), "--site", str(site))
    assert other.exit_code == 78
    assert "it is of another deployment" in other.output


def test_verify_and_watch_name_a_liar(shell: Shell):
    good = shell.read("verify")
    assert good.exit_code == 0, good.output
    assert f"{shell.site.address} active version 2: as claimed" in good.output
    other = Site(shell.site.anvil, deployed(shell.site.anvil, ALICE), shell.site.folder, ALICE)
    lie(other)
    shell = Shell(other)
    bad = shell.read("verify")
    assert bad.exit_code == 1
    assert "lie: the delta of version 2" in bad.output
    seen = shell.read("watch", "--seconds", "0").output
    assert f"contracts revoke {other.address} --contract {other.deployment.buffer}" in seen
    # the command that it names
    assert shell.act(OWNER, "revoke", other.address).exit_code == 0
    assert shell.read("verify").exit_code == 0  # it counts no more


def test_anybody_may_checkpoint(shell: Shell):
    stored = shell.act(STRANGER, "checkpoint", shell.site.address)
    assert stored.exit_code == 0, stored.output
    assert "checkpoint 2" in shell.read("show").output
    assert shell.act(STRANGER, "checkpoint", shell.site.address).exit_code == 1
    assert shell.act(STRANGER, "checkpoint", address_of(BOB)).exit_code == 78
    assert "prototypes, version 2" in shell.read("watch", "--seconds", "0").output


def test_a_reset_chain_is_forgotten_by_the_command_that_the_error_names(tmp_path: Path):
    with chain.Anvil() as old:
        site = Site(old, deployed(old, ALICE), tmp_path, ALICE)
        with site.ledger("gateway.db") as writer:
            writer.submit(book(1))
            assert writer.flush(60)
    time.sleep(1.1)  # its block 0 is dated: one of the same second is the same
    with chain.Anvil() as new:
        site = Site(new, deployed(new, BOB, ALICE), tmp_path, ALICE)
        with site.ledger("gateway.db"):
            failed = site.wait(LedgerFailed)
        command = f"protoledger contracts forget {tmp_path / 'gateway.db'}"
        assert command in failed.reason
        said = CliRunner().invoke(app, command.split()[2:])
        assert said.exit_code == 0
        assert "committed" in said.output
        with site.ledger("gateway.db") as writer:
            assert writer.flush(60)
            assert site.sees(ALICE, book(1)).version == 1


@pytest.mark.parametrize("content", [None, b"", b"no database", b"SQLite format 3\0" + bytes(99)])
def test_only_a_gateways_store_is_made_to_forget(tmp_path: Path, content: bytes | None):
    file = tmp_path / "x.db"
    if content is not None:
        file.write_bytes(content)
    said = CliRunner().invoke(app, ["forget", str(file)])
    assert said.exit_code == 78
    assert "x.db" in said.output
    assert file.exists() == (content is not None)
    assert content is None or file.read_bytes() == content


@pytest.mark.parametrize("command", ["show", "watch", "verify"])
def test_a_wrong_address_is_a_configuration_error(shell: Shell, command: str):
    for address, said in (
        (shell.site.deployment.oracle, "is no PrototypeBuffer"),
        ("0x" + "12" * 20, "there is no contract"),
    ):
        words = [command, "--rpc", shell.site.anvil.url, "--contract", address]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 78, done.output
        assert said in done.output


def test_refusals_are_named_with_what_to_do(shell: Shell):
    stranger = shell.act(ALICE, "pause")
    assert "only the contract's owner" in stranger.output
    assert shell.act(OWNER, "pause").exit_code == 0
    assert "is paused" in shell.act(OWNER, "pause").output
    assert shell.act(OWNER, "unpause").exit_code == 0
    told = shell.act(OWNER, "revoke", "0x" + "34" * 20)
    assert "PrototypeBufferNotAGateway(account 0x3434" in told.output
    nowhere = shell.act(OWNER, "set-oracle", "0x" + "34" * 20)
    assert (nowhere.exit_code, "no contract" in nowhere.output) == (78, True)
    wrong = CliRunner().invoke(app, ["show", "--rpc", "127.0.0.1:1", "--contract", "0x" + "1" * 40])
    assert (wrong.exit_code, "http://HOST:PORT" in wrong.output) == (64, True)
    away = ["show", "--rpc", f"http://127.0.0.1:{chain.free_port()}", "--contract", "0x" + "1" * 40]
    gone = CliRunner().invoke(app, away)
    assert (gone.exit_code, "refused" in gone.output) == (69, True)
    assert len(gone.output) < 200


def test_nothing_committed_yet_is_said(anvil: chain.Anvil, tmp_path: Path):
    site = Site(anvil, deployed(anvil, ALICE), tmp_path, ALICE)
    assert "nobody has committed" in Shell(site).read("verify").output
