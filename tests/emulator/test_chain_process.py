"""A real Anvil, brought up and torn down."""

import http.server
import json
import os
import secrets
import signal
import threading

import pytest

from protoledger.contracts.client.account import Account, checksum
from protoledger.contracts.keys import address_of
from protoledger.contracts.tools.local_node import LocalNode
from protoledger.emulator.errors import ChainError, ProgramMissingError
from protoledger.emulator.processes import chain
from protoledger.emulator.processes.chain import ETHER, Anvil, ChainAddress, call, connect, fund
from protoledger.emulator.processes.children import Children


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with Children(tmp_path_factory.mktemp("chain")) as children:
        yield Anvil(children).start()


def new_account():
    return Account(secrets.token_bytes(32))


def test_it_answers_with_our_chain_id_and_holds_no_known_keys(node):
    assert node.chain_id == 31337
    assert connect(node.url) == ChainAddress(node.url, node.chain_id)
    assert node.ws_url == node.url.replace("http", "ws")
    assert call(node.url, "eth_accounts") == []
    well_known = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert call(node.url, "eth_getBalance", well_known, "latest") == "0x0"


def test_an_anvil_that_is_killed_leaves_no_states_behind(tmp_path, monkeypatch):
    """More blocks than it keeps in memory, and then the end that a power cut is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with LocalNode("anvil") as local:
        local.node.request("anvil_mine", hex(700))
        assert local.node.request("eth_getBlockByNumber", "0x1", False)
        os.kill(local.pid, signal.SIGKILL)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_it_listens_on_loopback_only(node):
    assert node.url.startswith("http://127.0.0.1:")


def test_accounts_are_funded(node):
    account = new_account()
    assert call(node.url, "eth_getBalance", account.address, "latest") == "0x0"
    fund(node.url, account.address, 3 * ETHER)
    assert int(call(node.url, "eth_getBalance", account.address, "latest"), 16) == 3 * ETHER


def test_a_signed_transaction_gets_a_block_at_once(node):
    sender = new_account()
    fund(node.url, sender.address)
    head = int(call(node.url, "eth_blockNumber"), 16)
    raw, hash_ = sender.sign(
        node.chain_id,
        0,
        new_account().address,
        b"",
        gas=21_000,
        max_fee=10**11,
        tip=10**9,
        value=1,
    )
    assert call(node.url, "eth_sendRawTransaction", "0x" + raw.hex()) == hash_
    for _ in range(200):  # the block comes at once, but after the answer
        if call(node.url, "eth_getTransactionReceipt", hash_) is not None:
            break
        threading.Event().wait(0.01)
    assert int(call(node.url, "eth_blockNumber"), 16) == head + 1


def test_blocks_come_by_themselves_when_a_block_time_is_set(tmp_path):
    with Children(tmp_path) as children:
        url = Anvil(children, block_time_s=1, state=tmp_path / "state.json").start().url
        account = new_account()
        fund(url, account.address, 7)
        head = int(call(url, "eth_blockNumber"), 16)
        for _ in range(40):
            if int(call(url, "eth_blockNumber"), 16) > head:
                break
            threading.Event().wait(0.1)
        assert int(call(url, "eth_blockNumber"), 16) > head
    with Children(tmp_path) as children:
        url = Anvil(children, state=tmp_path / "state.json").start().url
        assert call(url, "eth_getBalance", account.address, "latest") == "0x7"


def test_the_address_is_what_eth_account_derives():
    eth_account = pytest.importorskip("eth_account")
    for _ in range(20):
        key = secrets.token_bytes(32)
        found = address_of(key)
        assert checksum(found) == eth_account.Account.from_key(key).address
        assert Account(key).address == found


def test_keys_do_not_print():
    key = secrets.token_bytes(32)
    account = Account(key)
    for text in (repr(account), str(account), f"{account}"):
        assert key.hex() not in text


@pytest.mark.parametrize("key", [bytes(32), b"\xff" * 32, b""])
def test_numbers_that_are_no_keys_are_refused(key):
    with pytest.raises((ValueError, OverflowError)):
        address_of(key)


def test_a_refused_call_says_so(node):
    with pytest.raises(ChainError, match="refused no_such_method"):
        call(node.url, "no_such_method")


def test_nobody_there_and_no_node_there():
    with pytest.raises(ChainError, match="no Ethereum node answers"):
        connect("http://127.0.0.1:1")
    with pytest.raises(ChainError, match="is not the address of a node"):
        connect("file:///etc/passwd")

    class Page(http.server.BaseHTTPRequestHandler):
        body = b"<html>"

        def do_POST(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.body)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        for Page.body in (b"<html>", b"[]", b'"x"', json.dumps({"id": -1}).encode()):
            with pytest.raises(ChainError):
                connect(url)
        server.shutdown()


def test_another_chain_is_refused(node):
    with pytest.raises(ChainError, match="31337, not 1"):
        connect(node.url, expected_chain_id=1)


def test_an_anvil_that_dies_at_once_is_told_with_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr(chain, "options", lambda _port, **_: ["--no-such-option"])
    with Children(tmp_path) as children, pytest.raises(ChainError, match="no-such-option"):
        Anvil(children).start()


def test_a_port_that_was_taken_meanwhile_is_given_up(tmp_path, monkeypatch, node):
    taken = int(node.url.rpartition(":")[2])
    ports = iter([taken, taken, chain.free_port()])
    monkeypatch.setattr(chain, "free_port", lambda: next(ports))
    with Children(tmp_path) as children:
        url = Anvil(children).start().url
        assert url != node.url
        assert children.running() == ["chain-3"]


def test_a_missing_anvil_is_told(tmp_path, monkeypatch):
    def missing(_tool):
        raise chain.ToolMissingError("anvil is not installed; run `make setup`")

    monkeypatch.setattr(chain, "binary", missing)
    with Children(tmp_path) as children, pytest.raises(ProgramMissingError, match="make setup"):
        Anvil(children).start()
