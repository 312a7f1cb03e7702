"""Whom the ledger client believes: liars, how they come back, and what checkpoints save."""

import pytest

from protoledger.contracts.client.answers import Log
from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.client.heads import Head
from protoledger.contracts.client.node import Node
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.ledger.events import (
    CodebookChanged,
    CodebookDropped,
    CommitRejected,
    Committed,
    OwnerLied,
)
from protoledger.gateway.ledger.store import LedgerStore
from tests.support.ledgers import (
    ALICE,
    BOB,
    FORM,
    OWNER,
    Site,
    book,
    leading_to,
    lie,
    send,
)


def test_a_liar_is_named_and_ignored(sites: tuple[Site, Site]) -> None:
    alice, bob = sites
    buffer, honest = Buffer(alice.deployment.buffer), book(1)
    delta = Codebook.empty(FORM).delta_to(honest)
    with bob.ledger() as follower:
        send(alice, ALICE, buffer.commit(leading_to(honest, 1), delta))
        bob.sees(ALICE, honest)
        send(alice, ALICE, buffer.commit(leading_to(book(9), 2), honest.delta_to(book(2))))
        lied = bob.wait(OwnerLied)
        assert (lied.owner, lied.version) == (alice.address, 2)
        assert bob.wait(CodebookDropped).owner == alice.address
        send(alice, ALICE, buffer.commit(leading_to(honest, 3), b"\0"))
        follower.submit(book(5))  # the follower itself goes on
        bob.sees(BOB, book(5))
    assert bob.count(OwnerLied) == 1
    with alice.ledger() as writer:  # what is built on a lie cannot be mended by its own key
        writer.submit(book(3))
        assert alice.wait(CommitRejected).permanent


def test_a_liar_comes_back_when_the_owner_adds_it_again(sites: tuple[Site, Site]) -> None:
    alice, bob = sites
    buffer = lie(alice)
    with bob.ledger():
        lied = bob.wait(OwnerLied)
        assert f"contracts revoke {alice.address} --contract {buffer.address}" in lied.evidence
        send(alice, OWNER, buffer.encode("removeGateway", alice.address))
        send(alice, OWNER, buffer.encode("addGateways", [alice.address]))
        with alice.ledger() as writer:
            writer.submit(book(3))
            assert writer.flush(60)
            assert alice.wait(Committed).version == 5  # 4 is the empty codebook of the epoch
        bob.sees(ALICE, book(3))
    with bob.ledger("anew.db"):  # whoever reads the chain from its start agrees
        assert bob.sees(ALICE, book(3)).version == 5


def test_a_checkpoint_shows_what_a_claim_stood_for(sites: tuple[Site, Site]) -> None:
    alice, bob = sites
    with bob.ledger():
        buffer = lie(alice)
        bob.wait(OwnerLied)
        snapshot = book(8).encode()
        send(alice, BOB, buffer.encode("checkpoint", alice.address, snapshot))
        assert bob.sees(ALICE, book(8)).version == 3
        with alice.ledger() as writer:
            writer.submit(book(9))
            assert writer.flush(60)
        assert bob.sees(ALICE, book(9)).version == 4
    assert bob.count(OwnerLied) == 1


def test_a_checkpoint_of_no_codebook_saves_no_liar(sites: tuple[Site, Site]) -> None:
    alice, bob = sites
    # The contract checks ids and classes; a prototype without features is for readers to refuse.
    buffer, junk = Buffer(alice.deployment.buffer), b"\0\1\0\0\1\x80\0\x80\0"
    delta = Codebook.empty(FORM).delta_to(book(1))
    head = Head(Codebook.hash_of(junk), 1, 1, 1, "active")
    send(alice, ALICE, buffer.commit(head, delta))
    send(alice, BOB, buffer.encode("checkpoint", alice.address, junk))
    for database in ("", "anew.db"):
        bob.events.clear()
        with bob.ledger(database) as follower:
            assert "malformed" in bob.wait(OwnerLied).evidence
            follower.submit(book(4 + len(database)))
            assert follower.flush(60)
    assert not [e for e in bob.events if isinstance(e, CodebookChanged) and not e.own]


def test_a_fresh_gateway_begins_at_the_checkpoints(
    sites: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = sites
    buffer, fetched = Buffer(alice.deployment.buffer), list[Log]()
    with alice.ledger() as writer:
        for seed in range(1, 7):
            writer.submit(book(seed))
            assert writer.flush(60)
        call = buffer.encode("checkpoint", alice.address, book(6).encode())
        send(alice, BOB, call)
        writer.submit(book(7))
        assert writer.flush(60)
    honest = Node.logs

    def noting(self: Node, address: str, first: int, last: int, *topics: list[bytes]) -> list[Log]:
        found = honest(self, address, first, last, *topics)
        fetched.extend(found)
        return found

    monkeypatch.setattr(Node, "logs", noting)
    with bob.ledger():
        assert bob.sees(ALICE, book(7)).version == 7
    deltas = [log for log in fetched if type(buffer.decoded(log)).__name__ == "DeltaLog"]
    assert len(deltas) == 1
    alice.events.clear()
    with alice.ledger("lost.db") as writer:  # one's own is folded whole
        assert alice.sees(ALICE, book(7)).version == 7
        writer.submit(book(8))
        assert writer.flush(60)
        assert alice.wait(Committed).version == 8


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_reorg_takes_a_return_and_a_checkpoint_back(sites: tuple[Site, Site], depth: int) -> None:
    alice, bob = sites
    buffer = lie(alice)
    with bob.ledger(), bob.ledger("other.db"):
        bob.wait(OwnerLied)
        call = buffer.encode("checkpoint", alice.address, book(8).encode())
        send(alice, BOB, call)
        bob.sees(ALICE, book(8))
        send(alice, OWNER, buffer.encode("removeGateway", alice.address))
        send(alice, OWNER, buffer.encode("addGateways", [alice.address]))
        bob.sees(ALICE, Codebook.empty(FORM))
        bob.events.clear()
        alice.anvil.reorg(depth)
        alice.anvil.mine(1)
        send(alice, OWNER, buffer.encode("pause"))  # one more, so that all have looked
        with bob.ledger("judge.db"):
            pass
    books = []
    for database in ("other.db", "judge.db", "last.db"):
        bob.events.clear()
        with bob.ledger(database) as client:
            client.submit(book(1))
            bob.wait(CommitRejected)
        changed = [e for e in bob.events if isinstance(e, CodebookChanged)]
        dropped = [e.owner for e in bob.events if isinstance(e, CodebookDropped)]
        present = {e.owner: e.codebook for e in changed if e.owner not in dropped}
        books.append(present.get(alice.address))
    assert books[0] == books[1] == books[2]


def test_the_store_gives_only_codebooks_that_count(sites: tuple[Site, Site]) -> None:
    alice, bob = sites
    buffer, honest = Buffer(alice.deployment.buffer), book(1)
    delta = Codebook.empty(FORM).delta_to(honest)
    store = LedgerStore(bob.folder / f"{bob.address}.db")

    def counting() -> set[str]:
        return set(store.copy.counting())

    with bob.ledger() as follower:
        send(alice, ALICE, buffer.commit(leading_to(honest, 1), delta))
        bob.sees(ALICE, honest)
        follower.submit(book(5))
        bob.sees(BOB, book(5))
        assert counting() == {alice.address, bob.address}
        send(bob, OWNER, buffer.encode("removeGateway", alice.address))
        bob.wait(CodebookDropped)
        assert counting() == {bob.address}
        send(bob, OWNER, buffer.encode("addGateways", [alice.address]))
        bob.wait(CodebookChanged, lambda _: counting() == {alice.address, bob.address})
        send(alice, ALICE, buffer.commit(leading_to(book(9), 3, epoch=2), delta))
        bob.wait(OwnerLied)
        assert counting() == {bob.address}
    store.close()
