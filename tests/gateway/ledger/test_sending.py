"""Commits that get stuck: outbid, given up in time, and never doubled."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.client.node import Node
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.codebook.delta import worth_it
from protoledger.gateway.ledger.events import CommitRejected, Committed
from protoledger.gateway.ledger.sending.outbox import Fees, Pending, Wanted
from protoledger.gateway.ledger.store import LedgerStore
from tests.support import chain
from tests.support.ledgers import ALICE, FORM, Site, book, deployed, leading_to


@pytest.fixture
def anvil() -> Iterator[chain.Anvil]:
    with chain.Anvil() as running:
        yield running


@pytest.fixture
def alice(anvil: chain.Anvil, tmp_path: Path) -> Site:
    return Site(anvil, deployed(anvil, ALICE), tmp_path, ALICE)


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def waiting(site: Site) -> dict[str, str]:
    """The transaction that waits in the node's pool."""
    content = site.anvil.rpc("txpool_content")
    assert isinstance(content, dict)
    by_sender = {k.lower(): v for k, v in content["pending"].items()}
    return next(iter(by_sender.get(site.address, {"": {}}).values()))


def landed(site: Site) -> list[str]:
    """All commits that the chain has, by their transactions."""
    node, buffer = Node(site.anvil.url), Buffer(site.deployment.buffer)
    newest = int(str(site.anvil.rpc("eth_blockNumber")), 16)
    logs = node.logs(buffer.address, 0, newest, buffer.topic("Delta"))
    node.close()
    return [log.transaction for log in logs]


def test_a_stuck_commit_is_outbid_and_lands_once(alice: Site) -> None:
    alice.anvil.rpc("evm_setAutomine", False)
    with alice.ledger(stuck_s=0.3) as writer:
        writer.submit(book(1))
        until(lambda: waiting(alice))
        first = waiting(alice)
        until(lambda: waiting(alice)["hash"] != first["hash"])
        second = waiting(alice)
        for fee in ("maxFeePerGas", "maxPriorityFeePerGas"):
            old, new = int(first[fee], 16), int(second[fee], 16)
            assert 1.125 * old <= new <= 1.126 * old + 1
        assert [second[key] for key in ("nonce", "input")] == [first["nonce"], first["input"]]
        alice.anvil.rpc("evm_setAutomine", True)
        alice.anvil.rpc("anvil_mine", "0x1")
        assert writer.flush(60)
    assert len(landed(alice)) == 1
    assert alice.wait(Committed).tx_hash in landed(alice)
    assert alice.count(CommitRejected) == 0


def test_an_outbid_attempt_may_land_too(alice: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, sent = Node.send, list[bytes]()

    def only_the_first(self: Node, raw: bytes) -> None:
        if raw not in sent:
            sent.append(raw)
        if raw == sent[0]:
            honest(self, raw)

    monkeypatch.setattr(Node, "send", only_the_first)
    alice.anvil.rpc("evm_setAutomine", False)
    with alice.ledger(stuck_s=0.2) as writer:
        writer.submit(book(1), "first")
        until(lambda: len(sent) >= 3)
        alice.anvil.rpc("evm_setAutomine", True)
        alice.anvil.rpc("anvil_mine", "0x1")
        assert writer.flush(60)
        assert alice.wait(Committed).note == "first"
        assert [alice.wait(Committed).tx_hash] == landed(alice)
        writer.submit(book(2))
        sent.clear()
        assert writer.flush(60)
    assert [e.version for e in alice.events if isinstance(e, Committed)] == [1, 2]


def test_after_its_deadline_the_newest_codebook_goes_instead(
    alice: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Node.send
    monkeypatch.setattr(Node, "send", lambda _self, _raw: None)
    with alice.ledger(stuck_s=0.2, deadline_s=0.8) as writer:
        writer.submit(book(1))
        until(lambda: not writer.flush(0.05))
        writer.submit(book(2))
        assert "not mined within 0.8 s" in alice.wait(CommitRejected).reason
        monkeypatch.setattr(Node, "send", honest)
        assert writer.flush(60)
        assert alice.sees(ALICE, book(2)).version == 1
    assert len(landed(alice)) == 1


def test_a_chain_that_asks_too_much_is_waited_for(alice: Site) -> None:
    alice.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(50 * 10**9))
    alice.anvil.rpc("anvil_mine", "0x1")
    with alice.ledger(max_fee_gwei=20) as writer:
        writer.submit(book(1))
        rejected = alice.wait(CommitRejected)
        assert not rejected.permanent
        assert "`max_fee_gwei` is 20.0" in rejected.reason
        assert not landed(alice)
        alice.anvil.rpc("anvil_setNextBlockBaseFeePerGas", hex(10**9))
        alice.anvil.rpc("anvil_mine", "0x1")
        assert writer.flush(60)
    assert len(landed(alice)) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("point", ["before sending", "after sending"])
def test_a_kill_while_outbidding(alice: Site, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, sent = Node.send, list[bytes]()

    def dying(self: Node, raw: bytes) -> None:
        sent.append(raw)
        if raw == sent[0] or point == "after sending":
            honest(self, raw)
        if raw != sent[0]:
            raise SystemExit

    alice.anvil.rpc("evm_setAutomine", False)
    monkeypatch.setattr(Node, "send", dying)
    with alice.ledger(stuck_s=0.2) as writer:
        writer.submit(book(1))
        assert not writer.flush(3)
    assert len(set(sent)) == 2
    monkeypatch.setattr(Node, "send", honest)
    alice.anvil.rpc("evm_setAutomine", True)
    alice.anvil.rpc("anvil_mine", "0x1")
    with alice.ledger() as writer:
        assert writer.flush(60)
    assert len(landed(alice)) == 1
    assert [e.tx_hash for e in alice.events if isinstance(e, Committed)] == landed(alice)


def test_the_queue_holds_the_newest_only(tmp_path: Path) -> None:
    store = LedgerStore(tmp_path / "a.db")
    outbox = store.outbox
    for number in range(1000):
        outbox.want(bytes([number % 256]) * 100, str(number), 0)
    wanted = outbox.wanted()
    assert wanted is not None
    assert (wanted.note, wanted.serial) == ("999", 1000)
    outbox.drop_wanted(Wanted(b"", "", 0, 999))  # an older one that was decided meanwhile
    assert outbox.wanted() == wanted
    head = leading_to(book(1), 1)
    pending = Pending(3, b"raw", "0x1", head, b"delta", b"snapshot", "", 0)
    outbox.begin(pending, wanted, Fees(10, 1), 11)
    assert outbox.wanted() is None
    again = Pending(3, b"raw2", "0x2", head, b"delta", b"snapshot", "", 0)
    outbox.replace(again, Fees(12, 2), 11)
    assert outbox.attempts() == ["0x2", "0x1"]
    assert outbox.offered(3) == Fees(12, 2)
    store.close()
    store = LedgerStore(tmp_path / "a.db")  # all of it is on disk
    outbox = store.outbox
    assert outbox.pending() == again
    assert outbox.attempts() == ["0x2", "0x1"]
    outbox.refused("0x2")  # in no pool, so it need not be outbid
    assert outbox.offered(3) == Fees(10, 1)
    outbox.finish("given up", again=True)
    assert outbox.wanted() is not None
    assert outbox.offered(3) == Fees(10, 1)  # so that a newer one can outbid it
    assert outbox.offered(4) is None
    assert outbox.is_own("0x1")
    assert not outbox.late("0x" + "11" * 20)  # given up, and not seen on the chain
    store.close()


def test_a_commit_waits_until_it_writes_enough(alice: Site) -> None:
    base, changed = book(1), book(1)
    with alice.ledger(least_records=4) as writer:
        writer.submit(base)
        assert writer.flush(60)
        for moved in range(1, 5):
            features = base.features()
            features[:moved] += 0.25
            changed = Codebook.from_prototypes(
                base.ids, base.classes, base.weights, features, labels=3
            )
            writer.submit(changed)
            assert writer.flush(60)
            assert len(landed(alice)) == (1 if moved < 4 else 2)
        assert alice.sees(ALICE, changed).version == 2


@pytest.mark.parametrize(("size", "least", "enough"), [(4, 9, 2), (5, 9, 3), (1, 9, 1), (9, 2, 2)])
def test_half_of_a_small_codebook_is_always_enough(size: int, least: int, enough: int) -> None:
    target = book(1, size)
    for written in range(1, size + 1):
        part = Codebook.from_prototypes(
            target.ids[:written],
            target.classes[:written],
            target.weights[:written],
            target.features()[:written],
            labels=3,
        )
        delta = Codebook.empty(FORM).delta_to(part)
        assert worth_it(delta, target, least) == (written >= enough)
    assert not worth_it(b"", target, 1)
    assert worth_it(target.delta_to(Codebook.empty(FORM)), Codebook.empty(FORM), least)
