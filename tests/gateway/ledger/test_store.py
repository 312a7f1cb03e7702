"""The ledger's tables: brought up to date, and kept for a chain's successor."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from protoledger.contracts.keys import address_of
from protoledger.gateway.commands.contracts import app
from protoledger.gateway.ledger.client import Ledger
from protoledger.gateway.ledger.events import CodebookChanged, Committed, SuccessorNamed
from protoledger.gateway.ledger.store import SCHEMA_VERSION, LedgerStore
from tests.support import chain
from tests.support.ledgers import ALICE, OWNER, SCHEMA, Site, book, deployed

VERSION_1 = """
CREATE TABLE ledger_pin (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE ledger_wanted (id INTEGER PRIMARY KEY CHECK (id = 1), snapshot BLOB NOT NULL,
    note TEXT NOT NULL, oracle_round INTEGER NOT NULL, serial INTEGER NOT NULL);
CREATE TABLE ledger_pending (id INTEGER PRIMARY KEY CHECK (id = 1), nonce INTEGER NOT NULL,
    raw BLOB NOT NULL, tx_hash TEXT NOT NULL, base INTEGER NOT NULL, delta BLOB NOT NULL,
    snapshot BLOB NOT NULL, note TEXT NOT NULL, oracle_round INTEGER NOT NULL);
CREATE TABLE ledger_attempts (tx_hash TEXT PRIMARY KEY, nonce INTEGER NOT NULL,
    max_fee INTEGER NOT NULL, tip INTEGER NOT NULL, current INTEGER NOT NULL);
CREATE TABLE ledger_samples (oracle TEXT PRIMARY KEY, next_block INTEGER NOT NULL,
    round INTEGER NOT NULL);
CREATE TABLE ledger_scanned (block INTEGER PRIMARY KEY, hash TEXT NOT NULL);
CREATE TABLE ledger_gateways (block INTEGER NOT NULL, log_index INTEGER NOT NULL,
    owner TEXT NOT NULL, added INTEGER NOT NULL, PRIMARY KEY (block, log_index));
CREATE TABLE ledger_versions (owner TEXT NOT NULL, version INTEGER NOT NULL,
    block INTEGER NOT NULL, tx_hash TEXT NOT NULL, snapshot BLOB NOT NULL, lie TEXT NOT NULL,
    PRIMARY KEY (owner, version));
INSERT INTO ledger_pin VALUES ('account', '0xme'), ('genesis', '0x1'), ('contract', '0x2');
INSERT INTO ledger_versions VALUES ('0xme', 1, 5, '0xaa', x'01', ''),
    ('0xme', 2, 6, '0xab', x'02', '');
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.db"
    database = sqlite3.connect(path)
    database.executescript(VERSION_1)
    database.commit()
    database.close()
    return path


def test_a_store_of_version_1_keeps_what_was_on_its_way(old: Path) -> None:
    database = sqlite3.connect(old)
    database.execute("INSERT INTO ledger_pending VALUES (1, 3, x'00', '0x', 2, x'', x'09', 'n', 7)")
    database.commit()
    database.close()
    for _ in range(2):  # the second time there is nothing to do
        store = LedgerStore(old)
        wanted = store.outbox.wanted()
        assert wanted is not None
        assert (wanted.snapshot, wanted.note, wanted.oracle_round) == (b"\x09", "n", 0)
        assert store.outbox.pending() is None
        assert (store.pinned("schema"), store.pinned("genesis")) == (str(SCHEMA_VERSION), "0x1")
        assert store.pinned("contract") is None  # the new one has another interface
        store.close()


def test_a_store_of_version_1_wants_what_it_had_committed(old: Path) -> None:
    store = LedgerStore(old)
    wanted = store.outbox.wanted()
    assert wanted is not None
    assert wanted.snapshot == b"\x02"
    store.close()


def test_a_store_of_a_later_version_is_left_alone(old: Path) -> None:
    LedgerStore(old).close()
    database = sqlite3.connect(old)
    database.execute("UPDATE ledger_pin SET value = '99' WHERE name = 'schema'")
    database.commit()
    database.close()
    with pytest.raises(sqlite3.DatabaseError, match="newer release"):
        LedgerStore(old)


@pytest.fixture(scope="module")
def anvil() -> Iterator[chain.Anvil]:
    with chain.Anvil() as running:
        yield running


def test_a_gateway_follows_the_contracts_successor(anvil: chain.Anvil, tmp_path: Path) -> None:
    made = deployed(anvil, ALICE)
    alice = Site(anvil, made, tmp_path, ALICE)
    with alice.ledger() as writer:
        writer.submit(book(1))
        assert writer.flush(60)
    key = tmp_path / "owner"
    key.touch(mode=0o600)
    key.write_text(OWNER.hex())
    words = ["migrate", "--key", str(key), "--contract", made.buffer, "--rpc", anvil.url]
    terms = ["--schema-hash", SCHEMA.hex(), "--features", "2", "--labels", "3"]
    said = CliRunner().invoke(app, [*words, *terms])
    assert said.exit_code == 0, said.output
    successor = said.output.split("successor: ")[1].split()[0]
    shown = CliRunner().invoke(app, ["show", "--contract", made.buffer, "--rpc", anvil.url])
    assert f"successor {successor}" in shown.output
    for _ in range(2):  # and after a restart with the old file
        alice.events.clear()
        with alice.ledger() as writer:
            alice.wait(CodebookChanged, lambda e: e.codebook == book(1))
            assert writer.flush(60)
    config = alice.config(contract=successor)
    with Ledger(config, tmp_path / "fresh.db", SCHEMA, 2, 3, alice.events.append):
        alice.wait(CodebookChanged, lambda e: (e.version, e.codebook) == (1, book(1)))
    assert address_of(ALICE) == alice.address


def test_a_successor_for_other_channels_is_named(anvil: chain.Anvil, tmp_path: Path) -> None:
    made = deployed(anvil, ALICE)
    alice = Site(anvil, made, tmp_path, ALICE)
    key = tmp_path / "owner"
    key.touch(mode=0o600)
    key.write_text(OWNER.hex())
    words = ["migrate", "--key", str(key), "--contract", made.buffer, "--rpc", anvil.url]
    terms = ["--schema-hash", "11" * 32, "--features", "3", "--labels", "3"]
    said = CliRunner().invoke(app, [*words, *terms])
    assert said.exit_code == 0, said.output
    with alice.ledger() as writer:
        assert not alice.wait(SuccessorNamed).followed
        writer.submit(book(1))  # the old contract goes on until the site file is the new one
        assert writer.flush(60)
        assert alice.wait(Committed).version == 1
