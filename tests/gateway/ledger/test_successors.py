"""Contracts that name successors: in the middle of commits, in rows and in circles, and killed."""

from dataclasses import replace

import pytest

from protoledger.contracts.client.binding import Buffer
from protoledger.gateway.ledger.events import (
    CodebookChanged,
    CommitRejected,
    Committed,
    LedgerFailed,
    SuccessorNamed,
)
from protoledger.gateway.ledger.store import LedgerStore
from tests.support import chain
from tests.support.ledgers import ALICE, BOB, OWNER, Site, book, deployed, send


@pytest.fixture(autouse=True)
def looked_for_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protoledger.gateway.ledger.turns._GOVERN_EVERY_S", 0.2)


def name_successor(site: Site, old: str, new: str) -> None:
    """The contract's owner names a deployment that takes the place of another."""
    of_old = replace(site, deployment=replace(site.deployment, buffer=old), events=[])
    send(of_old, OWNER, Buffer(old).encode("setSuccessor", new))


def test_commits_go_on_while_the_contract_moves(
    sites: tuple[Site, Site], anvil: chain.Chain
) -> None:
    """What was submitted just before, and while it moved, stands at the successor, each once."""
    alice, bob = sites
    second = deployed(anvil, ALICE, BOB).buffer
    with alice.ledger() as writer, bob.ledger() as other:
        for seed in range(1, 9):
            writer.submit(book(seed), f"n{seed}")
            other.submit(book(100 + seed))
            if seed == 4:
                name_successor(alice, alice.deployment.buffer, second)
        alice.wait(SuccessorNamed, lambda e: e.followed)
        bob.wait(SuccessorNamed, lambda e: e.followed)
        assert writer.flush(60)
        assert other.flush(60)
        bob.sees(ALICE, book(8))
        alice.sees(BOB, book(108))
    config = {"contract": second}
    fresh = Site(anvil, alice.deployment, alice.folder, OWNER)
    with fresh.ledger("fresh.db", **config):
        fresh.sees(ALICE, book(8))
        fresh.sees(BOB, book(108))
    told = [e.tx_hash for e in alice.events if isinstance(e, Committed)]
    assert len(told) == len(set(told))
    assert not alice.count(LedgerFailed) + bob.count(LedgerFailed)


@pytest.mark.parametrize("named", [0, 1, 2])
def test_a_row_of_successors_is_followed_from_each_of_them(
    sites: tuple[Site, Site], anvil: chain.Chain, named: int
) -> None:
    alice, _ = sites
    row = [alice.deployment.buffer, *(deployed(anvil, ALICE).buffer for _ in range(2))]
    with alice.ledger() as writer:
        writer.submit(book(1))
        assert writer.flush(60)
        name_successor(alice, row[0], row[1])
        alice.wait(SuccessorNamed, lambda e: e.address == row[1])
        name_successor(alice, row[1], row[2])
        alice.wait(SuccessorNamed, lambda e: e.address == row[2])
        writer.submit(book(2))
        assert writer.flush(60)
    alice.events.clear()
    with alice.ledger(contract=row[named]) as writer:  # the file lags by two, by one, by none
        writer.submit(book(3))
        assert writer.flush(60)
        alice.sees(ALICE, book(3))
    assert not alice.count(LedgerFailed)


def test_successors_in_a_circle_are_not_followed(
    sites: tuple[Site, Site], anvil: chain.Chain
) -> None:
    """Each would be left for the other for ever, and nothing would be committed."""
    alice, _ = sites
    first, second = alice.deployment.buffer, deployed(anvil, ALICE).buffer
    name_successor(alice, first, second)
    name_successor(alice, second, first)
    with alice.ledger() as writer:
        assert not alice.wait(SuccessorNamed).followed
        writer.submit(book(1))
        assert writer.flush(60)
        name_successor(alice, second, "0x" + "00" * 20)  # the owner breaks the circle
    alice.events.clear()
    with alice.ledger() as writer:
        assert alice.wait(SuccessorNamed).followed
        assert writer.flush(60)
        alice.wait(CodebookChanged, lambda e: e.codebook == book(1))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("after", ["predecessor", "forgotten"])
def test_a_kill_while_it_moves_leaves_it_where_it_can_go_on(
    sites: tuple[Site, Site], anvil: chain.Chain, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    alice, _ = sites
    second = deployed(anvil, ALICE).buffer
    with alice.ledger() as writer:
        writer.submit(book(1))
        assert writer.flush(60)
    name_successor(alice, alice.deployment.buffer, second)
    honest = LedgerStore._forget

    def killed(self: LedgerStore, *words: object) -> bool:
        if after == "forgotten":
            honest(self, *words)
        raise SystemExit

    monkeypatch.setattr(LedgerStore, "_forget", killed)
    with alice.ledger():
        alice.wait(SuccessorNamed)
    monkeypatch.undo()
    alice.events.clear()
    with alice.ledger() as writer:
        assert alice.wait(SuccessorNamed).followed
        assert writer.flush(60)
        alice.wait(CodebookChanged, lambda e: e.codebook == book(1))
    assert not alice.count(LedgerFailed) + alice.count(CommitRejected)
