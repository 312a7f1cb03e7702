"""The ledger client against a real Anvil: landing, following, outages, reorgs, lies."""

import http.server
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from protoledger.contracts.client.account import Account
from protoledger.contracts.client.answers import Log
from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.client.node import Node
from protoledger.contracts.errors import KeyFileError, RevertedError
from protoledger.contracts.keys import create_key
from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.errors import LedgerError
from protoledger.gateway.ledger.events import (
    CodebookChanged,
    CodebookDropped,
    CommitRejected,
    Committed,
    LedgerAvailable,
    LedgerFailed,
    LedgerUnavailable,
    OwnerLied,
)
from tests.support import chain
from tests.support.ledgers import (
    ALICE,
    FORM,
    OWNER,
    STRANGER,
    Site,
    book,
    deployed,
    leading_to,
    send,
)


def test_a_commit_reaches_the_other_gateway_as_it_was(sites: tuple[Site, Site]) -> None:
    alice, bob = sites
    with alice.ledger() as writer, bob.ledger():
        writer.submit(book(1), "first")
        assert writer.flush(60)
        assert bob.sees(ALICE, book(1)).version == 1
        own = alice.sees(ALICE, book(1))
        assert own.own
        assert not bob.sees(ALICE, book(1)).own
        done = alice.wait(Committed)
        assert (done.version, done.records, done.note) == (1, 11, "first")
        assert done.payload_bytes == 11 * 9
        assert 30_000 < done.gas_used < 36_000

        writer.submit(book(2))
        assert writer.flush(60)
        assert bob.sees(ALICE, book(2)).version == 2
        told = alice.count(CodebookChanged)
        writer.submit(book(2))  # nothing to say: nothing is sent, but the learner hears of it
        assert writer.flush(60)
        assert alice.count(Committed) == 2
        assert alice.count(CodebookChanged) == told + 1
        assert alice.events[-1] == alice.sees(ALICE, book(2))
    assert isinstance(alice.events[0], LedgerAvailable)


def test_what_a_tolerance_leaves_out_is_not_in_the_committed_state(
    sites: tuple[Site, Site],
) -> None:
    alice, _ = sites
    old = Codebook.from_prototypes([1, 2], [0, 1], [4, 4], [[0.1, 0.2], [0.5, 0.5]], labels=3)
    new = Codebook.from_prototypes([1, 2], [0, 1], [4, 4], [[0.104, 0.2], [0.6, 0.5]], labels=3)
    with alice.ledger(tolerance=0.005) as writer:
        for wanted in (old, new):
            writer.submit(wanted)
            assert writer.flush(60)
        seen = alice.wait(CodebookChanged, lambda e: e.version == 2).codebook
    base = Codebook.empty(FORM).apply(Codebook.empty(FORM).delta_to(old, tolerance=0.005))
    assert seen == base.apply(base.delta_to(new, tolerance=0.005))
    assert seen != new
    assert (seen.records[0] == base.records[0]).all()
    assert np.abs(seen.features() - new.features()).max() <= 0.005


def test_a_websocket_is_a_hint_to_look_at_once(sites: tuple[Site, Site]) -> None:
    alice, bob = sites
    hinted = bob.anvil.ws_url
    with alice.ledger() as writer, bob.ledger(poll_s=30, ws_url=hinted):
        bob.wait(LedgerAvailable)
        time.sleep(0.5)  # until it has subscribed
        for seed in (1, 2):
            writer.submit(book(seed))
            bob.sees(ALICE, book(seed))  # long before the next look
    for nobody in (f"ws://127.0.0.1:{chain.free_port()}", hinted):
        bob.events.clear()
        with bob.ledger("b.db", ws_url=nobody):  # works as well without
            bob.sees(ALICE, book(2))


def test_who_is_not_whitelisted_is_rejected_for_good_and_pays_nothing(
    sites: tuple[Site, Site],
) -> None:
    alice, _ = sites
    stranger = Site(alice.anvil, alice.deployment, alice.folder, STRANGER)
    balance = alice.anvil.rpc("eth_getBalance", stranger.address, "latest")
    with stranger.ledger() as writer:
        writer.submit(book(1))
        rejected = stranger.wait(CommitRejected)
        assert rejected.permanent
        assert "NotAGateway" in rejected.reason
        assert writer.flush(60)
        assert alice.anvil.rpc("eth_getBalance", stranger.address, "latest") == balance
        send(
            alice,
            OWNER,
            Buffer(alice.deployment.buffer).encode("addGateways", [stranger.address]),
        )
        writer.submit(book(2))
        stranger.sees(STRANGER, book(2))


def test_two_processes_with_one_key_neither_lose_nor_double(sites: tuple[Site, Site]) -> None:
    alice, bob = sites
    twin = Site(alice.anvil, alice.deployment, alice.folder, ALICE)
    with alice.ledger("a.db") as one, twin.ledger("b.db") as other, bob.ledger():
        for round_ in range(4):
            one.submit(book(10 + round_))
            other.submit(book(20 + round_))
            assert one.flush(60)
            assert other.flush(60)
        last = bob.wait(CodebookChanged, lambda e: e.version == 8)
    assert last.codebook in (book(13), book(23))
    assert alice.count(Committed) + twin.count(Committed) == 8
    assert not bob.count(OwnerLied)


def test_a_removed_gateway_is_dropped_and_comes_back(sites: tuple[Site, Site]) -> None:
    alice, bob = sites
    buffer = Buffer(alice.deployment.buffer)
    with alice.ledger() as writer, bob.ledger():
        writer.submit(book(1))
        bob.sees(ALICE, book(1))
        send(bob, OWNER, buffer.encode("removeGateway", alice.address))
        assert "removed" in bob.wait(CodebookDropped).reason
        writer.submit(book(2))
        assert alice.wait(CommitRejected).permanent
        node = Node(alice.anvil.url)
        assert buffer.standing(node, alice.address).head.status == "removed"
        node.close()
        bob.events.clear()
        send(bob, OWNER, buffer.encode("addGateways", [alice.address]))
        assert bob.sees(ALICE, book(1)).version == 3  # from an empty codebook, in a new epoch
        with bob.ledger("fresh.db"):
            bob.wait(CodebookChanged, lambda e: (e.version, e.codebook) == (3, book(1)))


def test_a_restart_tells_what_it_knows_before_it_asks_the_chain(sites: tuple[Site, Site]) -> None:
    alice, bob = sites
    with alice.ledger() as writer, bob.ledger():
        writer.submit(book(1))
        bob.sees(ALICE, book(1))
    bob.events.clear()
    with bob.ledger(rpc_url="http://127.0.0.1:9"):
        bob.sees(ALICE, book(1))
        bob.wait(LedgerUnavailable)
    bob.events.clear()
    with bob.ledger(), alice.ledger() as writer:
        bob.sees(ALICE, book(1))
        writer.submit(book(2))
        assert bob.sees(ALICE, book(2)).version == 2


def test_an_outage_loses_nothing_and_the_newest_wins(tmp_path: Path) -> None:
    with chain.Anvil(state=tmp_path / "state.json") as anvil:
        deployment = deployed(anvil, ALICE)
        alice = Site(anvil, deployment, tmp_path, ALICE)
        with alice.ledger() as writer:
            writer.submit(book(1))
            assert writer.flush(60)
            anvil.stop()
            alice.wait(LedgerUnavailable)
            for seed in range(2, 9):
                writer.submit(book(seed))
            assert not writer.flush(0.3)
            anvil.start()
            assert writer.flush(60)
            assert alice.sees(ALICE, book(8)).version == 2
    assert alice.count(LedgerUnavailable) == 1
    assert alice.count(LedgerAvailable) == 2


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_reorg_is_folded_anew_and_what_it_lost_lands_again(
    sites: tuple[Site, Site], depth: int
) -> None:
    alice, bob = sites
    alice.anvil.mine(3)  # so that the whitelist stands
    with alice.ledger() as writer, bob.ledger():
        for seed in (1, 2, 3):
            writer.submit(book(seed))
            assert writer.flush(60)
        bob.sees(ALICE, book(3))
        node, buffer = Node(alice.anvil.url), Buffer(alice.deployment.buffer)
        alice.anvil.reorg(depth)
        assert buffer.standing(node, alice.address).head.version <= 3
        deadline = time.monotonic() + 60
        while buffer.standing(node, alice.address).head.state_hash != book(3).state_hash():
            assert time.monotonic() < deadline, "what the reorg took was not committed again"
            time.sleep(0.02)
        alice.anvil.mine(1)
        writer.submit(book(4))
        assert writer.flush(60)
        seen = bob.sees(ALICE, book(4))
        head = buffer.standing(node, alice.address).head
        assert (head.version, head.state_hash) == (seen.version, book(4).state_hash())
        node.close()
    assert not bob.count(OwnerLied)


def test_a_reorg_deeper_than_the_copy_reads_the_chain_anew(
    sites: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("protoledger.gateway.ledger.following.copy.KEPT_VERSIONS", 2)
    alice, bob = sites
    with alice.ledger() as writer, bob.ledger():
        for seed in range(1, 7):
            writer.submit(book(seed))
            assert writer.flush(60)
        bob.sees(ALICE, book(6))
        bob.events.clear()
        alice.anvil.reorg(3)
        bob.sees(ALICE, book(6))  # lost, and committed again
    node, buffer = Node(alice.anvil.url), Buffer(alice.deployment.buffer)
    assert buffer.standing(node, alice.address).head.state_hash == book(6).state_hash()
    assert buffer.standing(node, alice.address).head.version == 4
    node.close()


@pytest.mark.parametrize("running", [True, False])
def test_a_chain_that_a_crash_rewound_is_caught_up_with(
    sites: tuple[Site, Site], *, running: bool
) -> None:
    alice, bob = sites
    with alice.ledger() as writer:
        writer.submit(book(1))
        assert writer.flush(60)
        kept = alice.anvil.height()
        for seed in (2, 3, 4):
            writer.submit(book(seed))
            assert writer.flush(60)
        if running:
            alice.anvil.rewind(kept)
            alice.wait(CodebookChanged, lambda e: (e.version, e.codebook) == (2, book(4)))
    if not running:
        alice.anvil.rewind(kept)
        with alice.ledger():
            alice.wait(CodebookChanged, lambda e: (e.version, e.codebook) == (2, book(4)))
    with bob.ledger():
        assert bob.sees(ALICE, book(4)).version == 2


def test_logs_that_a_node_kept_back_make_nobody_a_liar(
    sites: tuple[Site, Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = sites
    honest, hidden = Node.logs, threading.Event()

    def lagging(self: Node, address: str, first: int, last: int, *topics: list[bytes]) -> list[Log]:
        return [] if hidden.is_set() else honest(self, address, first, last, *topics)

    with bob.ledger():
        bob.wait(LedgerAvailable)
        monkeypatch.setattr(Node, "logs", lagging)
        hidden.set()
        empty = Codebook.empty(FORM)
        buffer = Buffer(alice.deployment.buffer)
        send(alice, ALICE, buffer.commit(leading_to(book(1), 1), empty.delta_to(book(1))))
        time.sleep(0.3)  # bob has looked, and found nothing
        hidden.clear()
        bob.sees(ALICE, book(1))  # without anything newer
        call = buffer.commit(leading_to(book(2), 2), book(1).delta_to(book(2)))
        send(alice, ALICE, call)
        assert bob.sees(ALICE, book(2)).version == 2
    assert not bob.count(OwnerLied)


def test_another_chain_or_schema_ends_the_client_with_78(
    sites: tuple[Site, Site], tmp_path: Path
) -> None:
    alice, _ = sites
    with alice.ledger("pinned.db"):
        alice.wait(LedgerAvailable)
    for database, changes in (
        ("1.db", {"schema": bytes(32)}),
        ("2.db", {"chain_id": 1}),
        ("3.db", {"contract": "0x" + "12" * 20}),
        ("4.db", {"genesis_hash": "0x" + "00" * 32}),
        ("5.db", {"contract": alice.deployment.oracle}),
        ("pinned.db", {"contract": "0x" + "12" * 20}),
    ):
        alice.events.clear()
        with alice.ledger(database, **changes):
            assert alice.wait(LedgerFailed).reason
    with chain.Anvil() as other:
        moved = Site(other, deployed(other, ALICE), tmp_path, ALICE)
        with moved.ledger("pinned.db"):
            assert "block 0" in moved.wait(LedgerFailed).reason


def test_confirmations_hold_back_what_is_young(sites: tuple[Site, Site]) -> None:
    alice, bob = sites
    with alice.ledger(confirmations=2) as writer, bob.ledger():
        writer.submit(book(1))
        bob.sees(ALICE, book(1))
        assert not writer.flush(0.3)
        alice.anvil.mine(2)
        assert writer.flush(60)
        alice.sees(ALICE, book(1))


def test_an_empty_account_waits_for_funds(sites: tuple[Site, Site]) -> None:
    alice, _ = sites
    poor = Site(alice.anvil, alice.deployment, alice.folder, bytes(31) + b"\x55")
    call = Buffer(alice.deployment.buffer).encode("addGateways", [poor.address])
    send(alice, OWNER, call)
    with poor.ledger() as writer:
        writer.submit(book(1))
        assert not poor.wait(CommitRejected).permanent
        alice.anvil.give(poor.address, 10**18)
        assert writer.flush(60)
        assert poor.wait(Committed).version == 1


class Babbler(http.server.BaseHTTPRequestHandler):
    """A server that is no node."""

    answer = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b"7",
        b'{"jsonrpc":"2.0","id":0,"result":null}',
        b'{"jsonrpc":"2.0","id":0,"result":{}}',
        b'{"jsonrpc":"2.0","id":0,"result":"0x"}',
        b'{"jsonrpc":"2.0","id":0,"error":"no"}',
        b'{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"revert this"}}',
    ],
)
def test_babble_is_an_outage_and_not_a_defect(sites: tuple[Site, Site], answer: bytes) -> None:
    alice, _ = sites
    handler = type("Handler", (Babbler,), {"answer": answer})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with alice.ledger(rpc_url=f"http://127.0.0.1:{server.server_port}"):
            alice.wait(LedgerUnavailable)
        server.shutdown()
    assert not alice.count(LedgerFailed)


def test_a_pause_is_waited_out(sites: tuple[Site, Site]) -> None:
    alice, _ = sites
    buffer = Buffer(alice.deployment.buffer)
    send(alice, OWNER, buffer.encode("pause"))
    with alice.ledger() as writer:
        writer.submit(book(1))
        assert not alice.wait(CommitRejected).permanent
        send(alice, OWNER, buffer.encode("unpause"))
        assert writer.flush(60)
    assert alice.count(CommitRejected) == 1


def test_a_contract_names_its_refusal(sites: tuple[Site, Site]) -> None:
    alice, _ = sites
    node, buffer = Node(alice.anvil.url), Buffer(alice.deployment.buffer)
    with pytest.raises(RevertedError) as caught:
        node.call(buffer.address, buffer.commit(leading_to(book(1), 8), b"x"), alice.address)
    known = buffer.explain(caught.value)
    assert (known.name, known.values) == ("PrototypeBufferStaleVersion", (8, 0))
    node.close()


def test_keys_are_read_only_from_closed_files(sites: tuple[Site, Site], tmp_path: Path) -> None:
    alice, _ = sites
    path = tmp_path / "new.key"
    key = create_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyFileError, match="never overwritten"):
        create_key(path)
    for mode in (0o640, 0o604, 0o644):
        path.chmod(mode)
        with pytest.raises(KeyFileError, match="chmod 600") as caught:
            alice.ledger("k.db", key_file=path).start()
        assert key.hex() not in str(caught.value)
    path.chmod(0o600)
    path.write_text("0x" + "00" * 32)
    with alice.ledger("k.db", key_file=path):
        assert alice.wait(LedgerFailed).reason
    assert key.hex() not in repr(Account(key))


def test_another_format_is_refused(sites: tuple[Site, Site]) -> None:
    alice, _ = sites
    with pytest.raises(LedgerError, match="format"):
        alice.ledger().submit(Codebook.empty(RecordFormat(3, 3)))


def test_the_module_is_cheap_to_import() -> None:
    code = "import sys, protoledger.gateway.ledger.client\n"
    code += "sys.exit('web3' in sys.modules or 'eth_abi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
