"""The ledger client before nodes that limit ranges, rates, history, tips and finality."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protoledger.contracts.client.binding import Buffer
from protoledger.gateway.ledger.events import (
    CommitRejected,
    Committed,
    LedgerAvailable,
    LedgerUnavailable,
    OwnerLied,
)
from tests.support import chain
from tests.support.faulty_node import FaultyNode, Raw
from tests.support.ledgers import (
    ALICE,
    STRANGER,
    Once,
    Site,
    book,
    deployed,
    first_commit,
    send,
)


# Anvil's time for a block grows with their number: thousands of them would take minutes.
@pytest.mark.parametrize(("most", "mined"), [(1, 40), (10, 400), (500, 1200)])
def test_ranges_are_halved_and_remembered(
    sites: tuple[Site, Site], proxy: FaultyNode, most: int, mined: int
) -> None:
    alice, bob = sites
    alice.anvil.mine(mined)
    send(alice, ALICE, first_commit(alice))
    proxy.most_blocks = most
    with bob.ledger(rpc_url=proxy.url):
        bob.sees(ALICE, book(1))
    answered = proxy.calls["eth_getLogs"] - proxy.faults["range"]
    assert mined // most <= answered <= 2 * mined // most + 8
    assert proxy.faults["range"] <= 16 + answered // 8


def test_a_long_first_scan_keeps_what_it_has_read(
    sites: tuple[Site, Site], proxy: FaultyNode
) -> None:
    alice, bob = sites
    alice.anvil.mine(400)
    send(alice, ALICE, first_commit(alice))
    alice.anvil.mine(400)
    proxy.most_blocks, asked = 20, list[int]()

    def seldom(method: str, params: list[Any], _forward: Callable[..., Any]) -> Any:
        if method == "eth_getLogs":
            asked.append(int(params[0]["fromBlock"], 16))
            if len(asked) % 5 == 0:
                return Raw(b"too many requests", 429)
        return None

    proxy.by_order = seldom
    with bob.ledger(rpc_url=proxy.url):
        bob.sees(ALICE, book(1))
    assert asked.count(min(asked)) <= 12  # the halving; never the whole again


def pruned_below(block: int) -> Callable[..., Any]:
    """A node that has dropped the events of earlier blocks (EIP-4444)."""

    def pruned(method: str, params: list[Any], _forward: Callable[..., Any]) -> Any:
        if method == "eth_getLogs" and int(params[0]["fromBlock"], 16) < block:
            return {"error": {"code": 4444, "message": "pruned history unavailable"}}
        return None

    return pruned


def test_pruned_history_is_no_obstacle_where_a_checkpoint_stands(
    sites: tuple[Site, Site], proxy: FaultyNode
) -> None:
    alice, bob = sites
    send(alice, ALICE, first_commit(alice))
    call = Buffer(alice.deployment.buffer).encode("checkpoint", alice.address, book(1).encode())
    send(alice, STRANGER, call)
    alice.anvil.mine(30)
    cut = alice.anvil.height() - 10

    proxy.by_order = pruned_below(cut)
    with bob.ledger(rpc_url=proxy.url) as writer:
        bob.sees(ALICE, book(1))
        writer.submit(book(5))
        assert writer.flush(60)


def test_without_a_checkpoint_a_pruned_owner_is_named_until_there_is_one(
    sites: tuple[Site, Site], proxy: FaultyNode
) -> None:
    alice, bob = sites
    send(alice, ALICE, first_commit(alice))
    alice.anvil.mine(30)
    cut = alice.anvil.height() - 10

    proxy.by_order = pruned_below(cut)
    with bob.ledger(rpc_url=proxy.url) as writer:
        assert "contracts checkpoint" in bob.wait(OwnerLied).evidence
        writer.submit(book(5))
        assert writer.flush(60)
        call = Buffer(alice.deployment.buffer).encode("checkpoint", alice.address, book(1).encode())
        send(alice, STRANGER, call)
        bob.sees(ALICE, book(1))


@pytest.mark.parametrize("method", ["eth_call", "eth_getLogs", "eth_getBlockByNumber"])
def test_a_replica_that_lacks_a_block_once_makes_nobody_disbelieved(
    sites: tuple[Site, Site], proxy: FaultyNode, method: str
) -> None:
    alice, bob = sites
    proxy.by_order = once = Once(
        lambda asked, *_: (
            {"error": {"code": -32000, "message": "header not found"}} if asked == method else None
        )
    )
    with alice.ledger() as writer, bob.ledger(rpc_url=proxy.url):
        for seed in (1, 2, 3):
            writer.submit(book(seed))
            once.armed = True
            assert writer.flush(60)
            bob.sees(ALICE, book(seed))
    assert once.hits >= 1
    assert not bob.count(OwnerLied)


@pytest.mark.parametrize("kind", ["http", "body", "word", "null"])
def test_a_node_that_limits_its_rate_is_obeyed(
    sites: tuple[Site, Site], proxy: FaultyNode, kind: str
) -> None:
    alice, _ = sites
    rate, bucket = 8.0, {"left": 8.0, "at": time.monotonic()}
    answers = {
        "http": Raw(b"slow down", 429, retry_after="1"),
        "body": {"error": {"code": -32005, "message": "project ID request rate exceeded"}},
        "word": {"error": {"code": "SERVER", "message": "compute units per second capacity"}},
        "null": {"error": {"code": None, "message": "rate limited"}},
    }

    def limited(*_: object) -> Any:
        now = time.monotonic()
        bucket["left"] = min(rate, bucket["left"] + rate * (now - bucket["at"]))
        bucket["at"] = now
        if bucket["left"] < 1:
            return answers[kind]
        bucket["left"] -= 1
        return None

    proxy.by_order = limited
    with alice.ledger(rpc_url=proxy.url) as writer:
        writer.submit(book(1))
        assert writer.flush(90)
    said = [event.reason for event in alice.events if isinstance(event, LedgerUnavailable)]
    assert all("limits requests" in reason for reason in said)  # called what it is


@pytest.mark.parametrize("told", [True, False])
def test_a_least_tip_is_learnt_at_once(
    sites: tuple[Site, Site], proxy: FaultyNode, told: bool
) -> None:
    alice, _ = sites
    import rlp

    sent = list[int]()

    def picky(method: str, params: list[Any], _forward: Callable[..., Any]) -> Any:
        if method != "eth_sendRawTransaction":
            return None
        tip = int.from_bytes(rlp.decode(bytes.fromhex(params[0][4:]))[2])
        sent.append(tip)
        if tip >= 30 * 10**9:
            return None
        least = ", minimum needed 30000000000" if told else ""
        text = f"transaction underpriced: gas tip cap {tip}{least}"
        return {"error": {"code": -32000, "message": text}}

    proxy.by_order = picky
    with alice.ledger(rpc_url=proxy.url) as writer:
        writer.submit(book(1))
        assert writer.flush(60)
        writer.submit(book(2))
        assert writer.flush(60)
    assert len(sent) <= (3 if told else 8)
    assert not alice.count(CommitRejected)


def test_a_tip_beyond_the_limit_is_told_and_mended_by_the_setting(
    sites: tuple[Site, Site], proxy: FaultyNode
) -> None:
    alice, _ = sites
    import rlp

    def picky(method: str, params: list[Any], _forward: Callable[..., Any]) -> Any:
        if method != "eth_sendRawTransaction":
            return None
        if int.from_bytes(rlp.decode(bytes.fromhex(params[0][4:]))[2]) >= 30 * 10**9:
            return None
        return {"error": {"code": -32000, "message": "FeeTooLow, minimum needed 30000000000"}}

    proxy.by_order = picky
    with alice.ledger(rpc_url=proxy.url, max_fee_gwei=20) as writer:
        writer.submit(book(1))
        assert "`max_fee_gwei` is 20.0" in alice.wait(CommitRejected).reason
    with alice.ledger(rpc_url=proxy.url, max_fee_gwei=100, stuck_s=0.5) as writer:
        assert writer.flush(60)
    assert alice.count(Committed) == 1


def test_an_idle_client_with_a_websocket_asks_next_to_nothing(
    node_kind: type[chain.Anvil | chain.Geth], tmp_path: Path
) -> None:
    with node_kind(block_time_s=1) as anvil, FaultyNode(anvil.url) as proxy:
        site = Site(anvil, deployed(anvil, ALICE), tmp_path, ALICE)
        with site.ledger(rpc_url=proxy.url, ws_url=anvil.ws_url, poll_s=0.2) as writer:
            writer.submit(book(1))
            assert writer.flush(60)
            site.wait(LedgerAvailable)
            time.sleep(1)
            before, blocks = sum(proxy.calls.values()), anvil.height()
            time.sleep(10)
            asked = sum(proxy.calls.values()) - before
            made = anvil.height() - blocks
    assert asked < made  # fewer requests than blocks


def test_finalized_blocks_are_believed_instead(sites: tuple[Site, Site]) -> None:
    alice, _ = sites
    with alice.ledger(finalized=True) as writer:
        writer.submit(book(1))
        for _ in range(60):  # the commit is sent at some time: blocks must come after it
            alice.anvil.mine(100)
            if writer.flush(1):
                return
    raise AssertionError("no finalized block was believed")


def test_confirmations_on_a_chain_without_blocks_are_named(sites: tuple[Site, Site]) -> None:
    alice, _ = sites
    with alice.ledger(confirmations=2, stuck_s=0.3) as writer:
        writer.submit(book(1))
        assert "`confirmations: 0`" in alice.wait(CommitRejected).reason
        alice.anvil.mine(2)
        assert writer.flush(60)


def test_a_rented_nodes_key_is_shown_nowhere(
    sites: tuple[Site, Site], caplog: pytest.LogCaptureFixture
) -> None:
    alice, _ = sites
    caplog.set_level("DEBUG", "protoledger")
    nobody = f"127.0.0.1:{chain.free_port()}/v3/s3cret"
    urls = {"rpc_url": f"http://me:s3cret@{nobody}", "rpc_urls": [f"http://{nobody}?k=s3cret"]}
    config = alice.config(**urls, ws_url=f"ws://{nobody}")
    assert config.rpc_url.endswith("s3cret")
    with alice.ledger(**urls, ws_url=f"ws://{nobody}"):
        said = alice.wait(LedgerUnavailable).reason
    assert "http://127.0.0.1" in said
    assert "s3cret" not in f"{said} {config!r} {config} {caplog.text}"


def test_blocks_that_carry_their_signers_are_blocks(
    sites: tuple[Site, Site], proxy: FaultyNode
) -> None:
    alice, bob = sites

    def signed(method: str, _params: list[Any], forward: Callable[..., Any]) -> Any:
        if method != "eth_getBlockByNumber":
            return None
        found = forward()
        found["result"]["extraData"] = "0x" + "d8" * 97  # as Clique, Polygon and BSC have it
        return found

    proxy.by_order = signed
    with alice.ledger(rpc_url=proxy.url) as writer, bob.ledger(rpc_url=proxy.url):
        writer.submit(book(1))
        assert writer.flush(60)
        bob.sees(ALICE, book(1))
    assert not alice.count(LedgerUnavailable)
