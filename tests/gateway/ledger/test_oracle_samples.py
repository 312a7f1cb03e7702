"""Labelled samples from the oracle: signed, submitted, told once, learnt from, and cited."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from protoledger.contracts.client.account import Account
from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.client.deployment import Sender
from protoledger.contracts.client.node import Node
from protoledger.contracts.keys import address_of
from protoledger.contracts.oracle.binding import Oracle, feed_id
from protoledger.gateway.commands.oracle import app
from protoledger.gateway.ledger.events import CommitRejected, SamplesArrived, SamplesRefused
from protoledger.gateway.training.model import SiteModel
from protoledger.gateway.training.store import Store
from protoledger.gateway.training.trainer import Counters, Trainer
from tests.support import chain
from tests.support.faulty_node import FaultyNode
from tests.support.ledgers import (
    ALICE,
    FORM,
    OWNER,
    SCHEMA,
    STRANGER,
    Once,
    Site,
    book,
    deployed,
    no_logs,
)


@pytest.fixture
def alice(anvil: chain.Anvil, tmp_path: Path) -> Site:
    site = Site(anvil, deployed(anvil, ALICE), tmp_path, ALICE)
    run(site, "reporters", address_of(STRANGER), "--faults", "0", key=OWNER)
    return site


def run(site: Site, *words: str, key: bytes, code: int = 0) -> str:
    file = site.folder / f"{address_of(key)}.cli"
    file.touch(mode=0o600)
    file.write_text(key.hex())
    at = ["--oracle", site.deployment.oracle, "--rpc", site.anvil.url, "--key", str(file)]
    done = CliRunner().invoke(app, [*words, *at])
    assert done.exit_code == code, done.output
    return done.output


def submit(site: Site, samples: bytes, number: int) -> None:
    """A reporter sends a batch past the command."""
    oracle, node, source = Oracle(site.deployment.oracle), Node(site.anvil.url), feed_id("barn")
    newest = site.anvil.rpc("eth_getBlockByNumber", "latest", False)
    assert isinstance(newest, dict)
    # Geth's developer chain dates each block a second later, so many blocks outrun the clock
    now = max(int(time.time()), int(newest["timestamp"], 16)) - 2
    signed = oracle.sign_batch(STRANGER, site.deployment.chain_id, source, number, now, samples)
    call = oracle.encode("submitBatch", source, number, now, samples, [signed])
    sender = Sender(node, Account(STRANGER))
    sender.send(oracle.address, call, 1_000_000)
    sender.wait()
    node.close()


def test_a_batch_is_told_once_and_cited(alice: Site) -> None:
    file = alice.folder / "barn.csv"
    file.write_text("class,a,b\n0,0.25,0.5\n2,1,-0.5\n")
    words = ("batch", str(file), "--source", "barn", "--labels", "3")
    with alice.ledger() as ledger:
        run(alice, *words, key=STRANGER)
        arrived = alice.wait(SamplesArrived)
        assert (arrived.round, arrived.source) == (1, "barn")
        assert arrived.rows.features().tolist() == [[0.25, 0.5], [1.0, -0.5]]
        assert arrived.rows.classes.tolist() == [0, 2]
        ledger.submit(book(1), "", arrived.round)
        assert ledger.flush(60)
    node = Node(alice.anvil.url)
    assert Buffer(alice.deployment.buffer).standing(node, alice.address).oracle_round == 1
    node.close()
    with alice.ledger() as ledger:
        run(alice, *words, key=STRANGER)
        alice.wait(SamplesArrived, lambda event: event.round == 2)
        ledger.submit(book(2))
        assert ledger.flush(60)
    assert alice.count(SamplesArrived) == 2
    alice.events.clear()
    with alice.ledger("deaf.db", learn_from_oracle=False) as ledger:
        ledger.submit(book(3))
        assert ledger.flush(60)
    assert alice.count(SamplesArrived) == 0


@pytest.mark.parametrize("answer", [[], None])
def test_a_batch_that_a_node_left_out_is_read_again(
    alice: Site, proxy: FaultyNode, answer: object
) -> None:
    def lacking(method: str, params: list[Any], forward: Callable[..., Any]) -> Any:
        return {"result": answer} if no_logs(method, params, forward) is not None else None

    proxy.by_order = once = Once(lacking)
    with alice.ledger(rpc_url=proxy.url):
        for number in (1, 2):
            once.armed = True
            submit(alice, book(number).encode(), number)
            assert alice.wait(SamplesArrived, lambda e, n=number: e.round == n).rows == book(number)
    assert once.hits == 2
    assert alice.count(SamplesArrived) == 2


def test_who_is_no_reporter_and_what_is_no_table_is_refused(alice: Site) -> None:
    file = alice.folder / "barn.csv"
    words = ("batch", str(file), "--source", "barn", "--labels", "3")
    file.write_text("class,a,b\n0,0.25,0.5\n")
    assert "NotAReporter" in run(alice, *words, key=ALICE, code=1)
    for text, why in (
        ("", "first column"),
        ("a,class\n1,0\n", "first column"),
        ("class,a,b\n0,1\n", "line 2"),
        ("class,a,b\n0,1,x\n", "could not convert"),
        ("class,a,b\n0,1,nan\n", "not a number"),
        ("class,a,b\n3,1,1\n", "from 0 to 2"),
    ):
        file.write_text(text)
        assert why in run(alice, *words, key=STRANGER, code=65)


def test_a_batch_of_another_format_is_told_and_passed_over(alice: Site) -> None:
    with alice.ledger():
        submit(alice, b"\xff" * FORM.record_bytes, 1)
        assert alice.wait(SamplesRefused).round == 1
        submit(alice, book(5).encode(), 2)
        assert alice.wait(SamplesArrived).rows == book(5)
    assert alice.count(SamplesRefused) == 1


def test_a_gateway_learns_from_them_and_names_the_round_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "gateway.db", SCHEMA)
    trainer = Trainer.__new__(Trainer)  # its parts only, without a site's files
    trainer.counters, trainer.unsaved = Counters(), False
    trainer.model, trainer._store = SiteModel(2, 3), store
    trainer.take_outside(book(1, 30), 4)
    assert (trainer.counters.outside, trainer.counters.samples) == (30, 0)
    assert trainer.prototypes > 0
    assert trainer.round_to_cite == 4
    trainer.cite(trainer.round_to_cite)
    assert trainer.round_to_cite == 0
    trainer.take_outside(book(2), 3)  # of a chain that was rewound
    assert trainer.round_to_cite == 0
    store.close()


def test_a_batch_is_taken_by_a_chain_that_has_been_idle(
    alice: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that makes blocks only for transactions has an old newest block, and an old clock."""
    monkeypatch.setattr("protoledger.contracts.oracle.batches.CLOCK_S", 0)
    time.sleep(2.1)
    table = alice.folder / "samples.csv"
    table.write_text("class,a,b\n1,0.5,0.25\n", encoding="utf-8")
    payer = alice.folder / "payer"
    payer.touch(mode=0o600)
    payer.write_text(ALICE.hex())
    words = ["batch", str(table), "--source", "barn", "--labels", "3", "--payer", str(payer)]
    node = Node(alice.anvil.url)
    before = node.nonce(address_of(STRANGER)), node.nonce(alice.address)
    assert "done in block" in run(alice, *words, key=STRANGER)
    after = node.nonce(address_of(STRANGER)), node.nonce(alice.address)
    node.close()
    assert (after[0] - before[0], after[1] - before[1]) == (0, 1)  # the payer paid


def test_a_round_that_the_oracle_does_not_know_costs_no_commit(alice: Site) -> None:
    """The chain was reset, or the oracle changed: what was learnt from is not there any more."""
    with alice.ledger() as writer:
        writer.submit(book(1), oracle_round=50)
        assert writer.flush(60)
        assert alice.sees(ALICE, book(1)).version == 1
        refused = alice.wait(CommitRejected)
    assert not refused.permanent
    assert "round 50, latest 0" in refused.reason
