"""`contracts show`, `verify`, `export`, `watch` on nodes that limit, prune, lag and go away."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from protoledger.contracts.client.binding import Buffer
from protoledger.gateway.commands.contracts import app
from tests.gateway.ledger.nodes.test_limits import pruned_below
from tests.support.faulty_node import FaultyNode, Raw
from tests.support.ledgers import ALICE, STRANGER, Once, Site, book, first_commit, no_logs, send


def run(site: Site, proxy: FaultyNode, *words: str) -> Result:
    where = ["--rpc", proxy.url, "--contract", site.deployment.buffer]
    return CliRunner().invoke(app, [words[0], *where, *words[1:]])


def reads(site: Site, proxy: FaultyNode) -> None:
    """All four commands find Alice's one commit."""
    table = site.folder / "books.csv"
    shown = run(site, proxy, "show")
    assert (shown.exit_code, "active    version 1" in shown.output) == (0, True), shown.output
    verified = run(site, proxy, "verify")
    assert (verified.exit_code, "as claimed" in verified.output) == (0, True), verified.output
    exported = run(site, proxy, "export", str(table))
    assert exported.output.startswith(f"{len(book(1))} prototypes of 1 gateways"), exported.output
    watched = run(site, proxy, "watch", "--seconds", "0")
    assert "prototypes, version 1" in watched.output, watched.output


def test_a_range_limit_is_kept_to(sites: tuple[Site, Site], proxy: FaultyNode) -> None:
    alice, _ = sites
    alice.anvil.mine(60)
    send(alice, ALICE, first_commit(alice))
    alice.anvil.mine(60)
    proxy.most_blocks = 7
    reads(alice, proxy)
    assert proxy.faults["range"]


def test_a_limit_of_requests_is_waited_out(sites: tuple[Site, Site], proxy: FaultyNode) -> None:
    alice, _ = sites
    send(alice, ALICE, first_commit(alice))
    asked = list[str]()

    def seldom(method: str, _params: list[Any], _forward: Callable[..., Any]) -> Any:
        asked.append(method)
        return Raw(b"too many requests", 429, retry_after="1") if len(asked) % 7 == 0 else None

    proxy.by_order = seldom
    reads(alice, proxy)
    assert len(asked) >= 14


def test_events_that_are_left_out_once_are_asked_for_again(
    sites: tuple[Site, Site], proxy: FaultyNode
) -> None:
    alice, _ = sites
    send(alice, ALICE, first_commit(alice))
    table = str(alice.folder / "books.csv")
    for words in (("verify",), ("export", table), ("watch", "--seconds", "0")):
        proxy.by_order = once = Once(no_logs)
        once.armed = True
        done = run(alice, proxy, *words)
        assert (done.exit_code, once.hits) == (0, 1), done.output


def test_pruned_history_is_told_by_verify_and_no_obstacle_to_export(
    sites: tuple[Site, Site], proxy: FaultyNode
) -> None:
    alice, _ = sites
    send(alice, ALICE, first_commit(alice))
    call = Buffer(alice.deployment.buffer).encode("checkpoint", alice.address, book(1).encode())
    send(alice, STRANGER, call)
    alice.anvil.mine(30)
    proxy.by_order = pruned_below(alice.anvil.height() - 10)
    exported = run(alice, proxy, "export", str(alice.folder / "books.csv"))
    assert exported.output.startswith(f"{len(book(1))} prototypes of 1 gateways"), exported.output
    verified = run(alice, proxy, "verify")  # it folds everything, or what a checkpoint stands for
    assert verified.exit_code == 0, verified.output


def test_watch_goes_on_after_an_outage(
    sites: tuple[Site, Site], proxy: FaultyNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, _ = sites
    monkeypatch.setattr("protoledger.gateway.commands.contracts._AGAIN_S", 0.01)
    done, looked = list[Result](), threading.Event()

    def away(method: str, *_: object) -> Any:
        if method == "eth_getBlockByNumber":
            looked.set()
            return {"result": 5}
        return None

    proxy.by_order = None
    watching = threading.Thread(
        target=lambda: done.append(run(alice, proxy, "watch", "--seconds", "20"))
    )
    watching.start()
    proxy.by_order = away
    assert looked.wait(60)
    send(alice, ALICE, first_commit(alice))
    proxy.by_order = None
    watching.join(120)
    [result] = done
    assert result.exit_code == 0, result.output
    assert result.output.count("asking again until it does") <= 1
    assert "prototypes, version 1" in result.output


def test_a_node_that_stays_away_ends_them_with_69(
    sites: tuple[Site, Site], proxy: FaultyNode, tmp_path: Path
) -> None:
    alice, _ = sites
    proxy.by_order = lambda method, *_: {"result": 5} if method == "eth_getBlockByNumber" else None
    for words in (("verify",), ("export", str(tmp_path / "b.csv")), ("watch", "--seconds", "0")):
        assert run(alice, proxy, *words).exit_code == 69
