"""A SIGKILL at any moment neither loses a commit nor doubles it, nor the report of it."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from protoledger.contracts.client.binding import Buffer, DeltaLog
from protoledger.contracts.client.node import Node
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.ledger.events import (
    CodebookChanged,
    Committed,
)
from protoledger.gateway.ledger.following.copy import ChainCopy
from protoledger.gateway.ledger.sending.outbox import Outbox
from tests.support.ledgers import (
    ALICE,
    FORM,
    Site,
    book,
)


def commit_for_ever(site: Site, first: int, said: int) -> None:
    """In a child: submit book after book, telling each number once it is decided."""
    with site.ledger("killed.db") as ledger:
        for seed in range(first, first + 10_000):
            ledger.submit(book(seed))
            os.write(said, f"{seed}\n".encode())
            ledger.flush(60)


def kill_while_committing(site: Site, kills: int) -> None:
    # Forked, not spawned: web3 is loaded already, so that a life takes a tenth of a second.
    random, first = np.random.default_rng(5), 1
    fork = multiprocessing.get_context("fork")
    for _ in range(kills):
        read, write = os.pipe()
        child = fork.Process(target=commit_for_ever, args=(site, first, write))
        child.start()
        os.close(write)
        with os.fdopen(read, "rb") as lines:
            said = [lines.readline() for _ in range(random.integers(1, 4))]
            time.sleep(random.uniform(0.0, 0.1))
            child.kill()
            said += lines.read().split()
        child.join()
        first = int(said[-1]) + 1 if said else first
    # The last one told was decided for certain; the next may have been, just before the kill.
    decided = {book(seed).state_hash() for seed in (first - 1, first)}
    node, buffer = Node(site.anvil.url), Buffer(site.deployment.buffer)
    before = buffer.standing(node, site.address).head
    nonce = node.nonce(site.address)
    with site.ledger("killed.db") as ledger:
        assert ledger.flush(60)
    after = buffer.standing(node, site.address).head
    assert after.state_hash in decided
    told = [event.version for event in site.events if isinstance(event, CodebookChanged)]
    assert told[-1] == after.version
    assert after.version - before.version == node.nonce(site.address) - nonce <= 2
    assert after.version >= kills // 2  # it did commit between the kills
    logs = node.logs(buffer.address, 0, int(str(site.anvil.rpc("eth_blockNumber")), 16))
    mined = [log for log in logs if type(buffer.decoded(log)).__name__ == "DeltaLog"]
    assert len(mined) == after.version
    node.close()


PHASES = {
    "decided": (Outbox, "want"),
    "numbered": (Node, "nonce"),
    "priced": (Node, "estimate_gas"),
    "stored": (Outbox, "begin"),
    "sent": (Node, "send"),
    "receipt": (Node, "receipt"),
    "folded": (ChainCopy, "fold"),
    "told and forgotten": (Outbox, "finish"),
}


def die_in(site: Site, phase: str, *, after: bool) -> None:
    """In a child: submit a book, and be killed just before or after a phase's only step."""
    owner, name = PHASES[phase]
    honest = getattr(owner, name)

    def dying(*args: object, **kwargs: object) -> object:
        result = honest(*args, **kwargs) if after else None
        os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)
    with site.ledger("killed.db") as ledger:
        ledger.submit(book(1))
        ledger.flush(60)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_sigkill_in_each_phase_neither_loses_nor_doubles(
    sites: tuple[Site, Site], phase: str, *, after: bool
) -> None:
    alice, _ = sites
    child = multiprocessing.get_context("fork").Process(
        target=die_in, args=(alice, phase), kwargs={"after": after}
    )
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    node, buffer = Node(alice.anvil.url), Buffer(alice.deployment.buffer)
    nonce = node.nonce(alice.address)
    with alice.ledger("killed.db") as ledger:
        assert ledger.flush(60)
    decided = (phase, after) != ("decided", False)
    head = buffer.standing(node, alice.address).head
    assert head.version == decided
    assert head.state_hash == (book(1) if decided else Codebook.empty(FORM)).state_hash()
    assert node.nonce(alice.address) - nonce <= 1
    logs = node.logs(buffer.address, 0, int(str(alice.anvil.rpc("eth_blockNumber")), 16))
    assert len([e for log in logs if isinstance(e := buffer.decoded(log), DeltaLog)]) == decided
    node.close()


def test_sigkill_neither_loses_nor_doubles(sites: tuple[Site, Site]) -> None:
    kill_while_committing(sites[0], 12)


@pytest.mark.long
def test_sigkill_many_times(sites: tuple[Site, Site]) -> None:
    kill_while_committing(sites[0], 200)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("point", ["before sending", "after sending"])
def test_a_kill_between_stored_and_told(
    sites: tuple[Site, Site], point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two instructions that matter most, hit exactly."""
    alice, _ = sites
    honest = Node.send

    def dying(self: Node, raw: bytes) -> None:
        if point == "after sending":
            honest(self, raw)
        raise SystemExit

    monkeypatch.setattr(Node, "send", dying)
    with alice.ledger() as writer:
        writer.submit(book(1))
        assert not writer.flush(3)
        writer.submit(book(2))
    assert alice.count(Committed) == 0
    monkeypatch.setattr(Node, "send", honest)
    with alice.ledger() as writer:
        assert writer.flush(60)
        assert alice.sees(ALICE, book(2)).version == 2
    assert [e.version for e in alice.events if isinstance(e, Committed)] == [1, 2]
