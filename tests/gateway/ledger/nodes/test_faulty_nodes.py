"""The ledger client before nodes that lag, restart and answer nonsense."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.client.node import Node
from protoledger.contracts.keys import address_of
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.ledger import client
from protoledger.gateway.ledger.events import (
    CodebookDropped,
    CommitRejected,
    Committed,
    LedgerAvailable,
    LedgerFailed,
    LedgerUnavailable,
    NodeDisagrees,
    OwnerLied,
)
from tests.support.faulty_node import FaultyNode, Forward, Raw, behind, syncing
from tests.support.ledgers import (
    ALICE,
    FORM,
    OWNER,
    STRANGER,
    Once,
    Site,
    book,
    leading_to,
    lie,
    no_logs,
    send,
    until,
)


@pytest.mark.parametrize("answer", [[], None])
def test_events_that_are_left_out_once_are_read_again(
    sites: tuple[Site, Site], proxy: FaultyNode, answer: object
) -> None:
    alice, bob = sites

    def lacking(method: str, params: list[Any], forward: Callable[..., Any]) -> Any:
        return {"result": answer} if no_logs(method, params, forward) is not None else None

    proxy.by_order = once = Once(lacking)
    buffer = Buffer(alice.deployment.buffer)
    with alice.ledger(rpc_url=proxy.url) as writer, bob.ledger(rpc_url=proxy.url):
        for seed in (1, 2, 3):
            once.armed = True
            writer.submit(book(seed), f"n{seed}")
            assert writer.flush(60)
            bob.sees(ALICE, book(seed))
        once.armed = True
        send(alice, OWNER, buffer.encode("removeGateway", alice.address))
        bob.wait(CodebookDropped)
    assert once.hits >= 3  # a removal stands in the state, and no event is asked for
    assert [e.note for e in alice.events if isinstance(e, Committed)] == ["n1", "n2", "n3"]


def _without(field: str) -> Callable[[dict[str, Any]], Any]:
    return lambda log: log.pop(field)


SHAPES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no block hash": _without("blockHash"),
    "no topics": _without("topics"),
    "a pending log": lambda log: log.update(blockNumber=None, blockHash=None, logIndex=None),
    "cut data": lambda log: log.update(data=log["data"][:70]),
    "another contract's": lambda log: log.update(address="0x" + "11" * 20),
    "a short topic": lambda log: log.update(topics=["0x12"]),
}


BODIES: dict[str, Any] = {
    "a number": {"result": 5},
    "an object": {"result": {}},
    "a list of numbers": {"result": [1, 2]},
    "a word as code": {"error": {"code": "RATE_LIMITED", "message": "slow down"}},
    "null as code": {"error": {"code": None, "message": "slow down"}},
    "an error that is text": {"error": "no"},
    "HTML": Raw(b"<html>502</html>"),
    "a list": Raw(b"[1,2]"),
    "deep JSON": Raw(b"[" * 100_000),
    "cut JSON": Raw(b'{"jsonrpc": "2.0", "id": 1, "result": ['),
    "no bytes": Raw(b""),
}


@pytest.mark.parametrize("shape", [*SHAPES, *BODIES])
def test_a_wrong_shape_is_an_outage_and_passes(
    sites: tuple[Site, Site], proxy: FaultyNode, shape: str
) -> None:
    alice, _ = sites

    def misshapen(method: str, _params: list[Any], forward: Callable[..., Any]) -> Any:
        found = forward()
        if method != "eth_getLogs" or not found["result"]:
            return None
        if shape in BODIES:
            return BODIES[shape]
        for log in found["result"]:
            SHAPES[shape](log)
        return found

    proxy.by_order = once = Once(misshapen)
    with alice.ledger(rpc_url=proxy.url) as writer:
        once.armed = True
        writer.submit(book(1), "one")
        assert writer.flush(60)
    assert once.hits == 1
    assert [e.note for e in alice.events if isinstance(e, Committed)] == ["one"]
    assert not alice.count(LedgerFailed)


@pytest.mark.parametrize(
    "method", ["eth_getBlockByNumber", "eth_chainId", "eth_call", "eth_getCode"]
)
@pytest.mark.parametrize("answer", [None, 7, "0x", "0xzz", [], {"a": 1}])
def test_nonsense_to_any_question_is_an_outage(
    sites: tuple[Site, Site], proxy: FaultyNode, method: str, answer: object
) -> None:
    alice, _ = sites
    proxy.by_order = once = Once(
        lambda asked, _params, _forward: {"result": answer} if asked == method else None
    )
    once.armed = True
    with alice.ledger(rpc_url=proxy.url, contradiction_s=30) as writer:
        writer.submit(book(1))
        assert writer.flush(60)
    assert not alice.count(LedgerFailed)


def test_a_syncing_node_is_an_outage(sites: tuple[Site, Site], proxy: FaultyNode) -> None:
    alice, bob = sites
    with alice.ledger(rpc_url=proxy.url) as writer, bob.ledger(rpc_url=proxy.url):
        writer.submit(book(1))
        assert writer.flush(60)
        bob.sees(ALICE, book(1))
        proxy.by_order = lambda *_: Raw(b"bad gateway", 502)
        alice.wait(LedgerUnavailable)
        done_at = time.monotonic() + 1.5  # five times what a contradiction may last if it is synced

        def finishing(method: str, params: list[Any], forward: Forward) -> Any:
            if method == "eth_syncing" and time.monotonic() > done_at:
                proxy.by_order = None  # what was asked before was answered out of its old state
                return {"result": False}
            return syncing(method, params, forward)

        proxy.by_order = finishing
        writer.submit(book(2))
        assert writer.flush(60)
        bob.sees(ALICE, book(2))
    for site in sites:
        assert not site.count(LedgerFailed)
        assert not site.count(CodebookDropped)


def test_a_node_without_its_first_block_is_waited_for(
    sites: tuple[Site, Site], proxy: FaultyNode
) -> None:
    """It comes into use while it syncs: nothing is kept that a later answer contradicts."""
    alice, _ = sites
    asked = Counter[str]()

    def beginning(method: str, params: list[Any], forward: Forward) -> Any:
        asked[method] += 1
        if method == "eth_syncing":
            return syncing(method, params, forward)
        first = method == "eth_getBlockByNumber" and params[0] == "0x0"
        return {"result": None} if first else None

    proxy.by_order = beginning
    with alice.ledger(rpc_url=proxy.url) as writer:
        writer.submit(book(1))
        assert "no block 0" in alice.wait(LedgerUnavailable).reason
        until(lambda: asked["eth_syncing"] > 5)  # longer than what a contradiction may last
    assert not alice.count(LedgerFailed)
    proxy.by_order = None
    with alice.ledger(rpc_url=proxy.url) as writer:
        assert writer.flush(60)
        writer.submit(book(2))
        assert writer.flush(60)
    assert alice.count(Committed) == 2
    assert not alice.count(LedgerFailed)


@pytest.mark.parametrize("late", [False, True])
def test_a_contradiction_that_stays_is_reported_once_and_may_end(
    sites: tuple[Site, Site], proxy: FaultyNode, monkeypatch: pytest.MonkeyPatch, *, late: bool
) -> None:
    monkeypatch.setattr(client, "_LONGEST_RETRY_S", 0.2)
    alice, bob = sites

    def without_contract(method: str, *_: object) -> Any:
        return {"result": "0x"} if method == "eth_getCode" else None

    proxy.by_order = None if late else without_contract
    with alice.ledger(rpc_url=proxy.url) as writer, bob.ledger():
        if late:  # it was the right one before
            writer.submit(book(1))
            assert writer.flush(60)
            proxy.by_order = lambda *_: Raw(b"bad gateway", 502)
            alice.wait(LedgerUnavailable)
            proxy.by_order = without_contract
        assert "no contract" in alice.wait(LedgerFailed).reason
        assert not writer.supplies()["chain_reachable"]
        writer.submit(book(2))
        assert not writer.flush(60), "it waits for what cannot come"
        available = alice.count(LedgerAvailable)
        time.sleep(1)  # several looks
        assert alice.count(LedgerFailed) == 1
        proxy.by_order = None
        bob.sees(ALICE, book(2))
        assert alice.count(LedgerAvailable) == available + 1
        assert writer.supplies()["chain_reachable"]
        assert writer.flush(60)


@pytest.mark.parametrize("passed_on", [True, False])
@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"code": -32603, "message": "internal error"}},
        {"error": {"code": -32005, "message": "rate limit exceeded"}},
        Raw(b"", 504),
        Raw(None),
    ],
)
def test_a_transaction_answered_with_an_error_is_reported_once(
    sites: tuple[Site, Site], proxy: FaultyNode, answer: Any, passed_on: bool
) -> None:
    alice, _ = sites

    def erring(method: str, _params: list[Any], forward: Callable[..., Any]) -> Any:
        if method != "eth_sendRawTransaction":
            return None
        if passed_on:
            forward()
        return answer

    proxy.by_order = once = Once(erring)
    with alice.ledger(rpc_url=proxy.url, stuck_s=1) as writer:
        once.armed = True
        writer.submit(book(1), "one")
        assert writer.flush(60)
        writer.submit(book(2), "two")
        assert writer.flush(60)
    assert [(e.version, e.note) for e in alice.events if isinstance(e, Committed)] == [
        (1, "one"),
        (2, "two"),
    ]


def test_another_process_with_the_same_key_is_named(sites: tuple[Site, Site]) -> None:
    alice, _ = sites
    twin = Site(alice.anvil, alice.deployment, alice.folder, ALICE)
    with alice.ledger("a.db") as one, twin.ledger("b.db") as other:
        for number in range(12):
            one.submit(book(100 + number))
            other.submit(book(200 + number))
            assert one.flush(60)
            assert other.flush(60)
            said = [e.reason for e in alice.events + twin.events if isinstance(e, CommitRejected)]
            if any("another process" in reason and "key" in reason for reason in said):
                return
    raise AssertionError("nobody was told")


def test_a_lagging_replica_drops_nobody(sites: tuple[Site, Site], proxy: FaultyNode) -> None:
    alice, bob = sites
    turn, late = {"n": 0}, behind(2)

    def alternating(method: str, params: list[Any], forward: Callable[..., Any]) -> Any:
        turn["n"] += 1
        return late(method, params, forward) if turn["n"] % 3 == 0 else None

    alice.anvil.mine(3)
    with alice.ledger(rpc_url=proxy.url, stuck_s=2) as writer, bob.ledger(rpc_url=proxy.url):
        writer.submit(book(1), "n1")
        assert writer.flush(60)
        proxy.by_order = alternating
        for seed in (2, 3, 4):
            writer.submit(book(seed), f"n{seed}")
            time.sleep(0.5)
            alice.anvil.mine(3)
        proxy.by_order = None
        assert writer.flush(60)
        bob.sees(ALICE, book(4))
    assert not bob.count(CodebookDropped)
    assert not alice.count(LedgerFailed)
    notes = [e.note for e in alice.events if isinstance(e, Committed)]
    assert len(notes) == len(set(notes))


def test_the_second_node_takes_over(sites: tuple[Site, Site], proxy: FaultyNode) -> None:
    alice, bob = sites
    with alice.ledger(rpc_url=proxy.url, rpc_urls=[alice.anvil.url]) as writer, bob.ledger():
        writer.submit(book(1))
        assert writer.flush(60)
        for fault in (Raw(b"gone", 502), Raw(None), {"result": 5}):
            proxy.by_order = lambda *_, fault=fault: fault
            seed = 2 + alice.count(Committed)
            writer.submit(book(seed))
            assert writer.flush(60)
            bob.sees(ALICE, book(seed))
    assert not alice.count(LedgerUnavailable)


def elsewhere(method: str, params: list[Any], forward: Forward) -> Any:
    """Another hash for each block but the first and the newest."""
    if method != "eth_getBlockByNumber" or params[0] in {"latest", "0x0"}:
        return None
    found = forward()
    if found["result"]:
        found["result"]["hash"] = "0x" + "ab" * 32
    return found


def test_a_node_that_contradicts_most_is_named(
    sites: tuple[Site, Site], proxy: FaultyNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protoledger.contracts.client.nodes._COMPARE_EVERY_S", 0.2)
    alice, _ = sites
    proxy.by_order = elsewhere
    with FaultyNode(alice.anvil.url) as third:
        urls = [proxy.url, third.url]
        with alice.ledger(rpc_url=alice.anvil.url, rpc_urls=urls) as writer:
            named = alice.wait(NodeDisagrees)
            assert named.url == proxy.url
            assert "ab" * 32 in named.reason
            writer.submit(book(1))
            assert writer.flush(60)


def test_of_two_nodes_that_contradict_each_other_both_are_named(
    sites: tuple[Site, Site], proxy: FaultyNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no majority: the one in use is kept."""
    monkeypatch.setattr("protoledger.contracts.client.nodes._COMPARE_EVERY_S", 0.2)
    alice, bob = sites
    proxy.by_order = elsewhere
    with alice.ledger(rpc_urls=[proxy.url]) as writer, bob.ledger():
        for url in (alice.anvil.url, proxy.url):
            alice.wait(NodeDisagrees, lambda e, url=url: e.url == url)
        writer.submit(book(1))
        assert writer.flush(60)
        bob.sees(ALICE, book(1))
    assert not alice.count(LedgerUnavailable) + alice.count(LedgerFailed)


@pytest.mark.parametrize("blocks", [1, 6])
def test_a_node_that_stays_behind_is_left_for_one_that_is_ahead(
    sites: tuple[Site, Site], proxy: FaultyNode, monkeypatch: pytest.MonkeyPatch, blocks: int
) -> None:
    """Where blocks come for transactions alone, one is all that a parted node lacks."""
    monkeypatch.setattr("protoledger.contracts.client.nodes._COMPARE_EVERY_S", 0.2)
    alice, bob = sites
    with alice.ledger() as writer:
        for seed in range(1, 8):
            writer.submit(book(seed))
            assert writer.flush(60)
    proxy.by_order = behind(blocks)
    with bob.ledger(rpc_url=proxy.url, rpc_urls=[alice.anvil.url]):
        bob.sees(ALICE, book(7))
    assert not bob.count(LedgerFailed) + bob.count(NodeDisagrees)


def test_a_commit_that_a_parted_node_keeps_goes_by_the_others(
    sites: tuple[Site, Site], proxy: FaultyNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node takes it, agrees about every block, and makes none."""
    monkeypatch.setattr("protoledger.gateway.ledger.sending.sender._RESEND_S", 0.2)
    alice, bob = sites
    proxy.by_order = lambda method, *_: (
        {"result": "0x" + "ab" * 32} if method == "eth_sendRawTransaction" else None
    )
    with alice.ledger(rpc_url=proxy.url, rpc_urls=[alice.anvil.url]) as writer, bob.ledger():
        writer.submit(book(1), "one")
        assert writer.flush(60)
        bob.sees(ALICE, book(1))
    assert [e.note for e in alice.events if isinstance(e, Committed)] == ["one"]
    assert not alice.count(CommitRejected)


def test_old_and_fresh_followers_agree_about_a_gateway_that_was_granted_again(
    sites: tuple[Site, Site],
) -> None:
    alice, bob = sites
    buffer = lie(alice)
    with bob.ledger():
        bob.wait(OwnerLied)
        send(alice, OWNER, buffer.encode("removeGateway", alice.address))
        send(alice, OWNER, buffer.encode("addGateways", [alice.address]))
        bob.sees(ALICE, Codebook.empty(FORM))
        fresh = Site(alice.anvil, alice.deployment, alice.folder, STRANGER)
        with fresh.ledger("fresh.db"):
            fresh.sees(ALICE, Codebook.empty(FORM))
            following = book(9)
            delta = Codebook.empty(FORM).delta_to(following)
            send(alice, ALICE, buffer.commit(leading_to(following, 5, epoch=2), delta))
            assert fresh.sees(ALICE, following).version == bob.sees(ALICE, following).version == 5
    assert fresh.count(OwnerLied) == 0


def test_the_recursion_limit_stays_as_it_was() -> None:
    import subprocess
    import sys

    code = "import sys; from protoledger.contracts.client.node import Node\n"
    code += "before = sys.getrecursionlimit(); Node('http://127.0.0.1:9')\n"
    code += "sys.exit(sys.getrecursionlimit() != before)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert address_of(ALICE)
    assert Node is not None
