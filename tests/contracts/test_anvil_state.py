"""Anvil comes back as the same chain, however often it is started again."""

import json
from pathlib import Path

import pytest

from protoledger.contracts.tools.anvil_state import keep_first_block
from protoledger.emulator.processes.chain import Anvil, call, fund
from protoledger.emulator.processes.children import Children

STARTS = 5
"""Each start after the second was the wrong chain at least every other time."""


def block(number: int, timestamp: int) -> dict[str, object]:
    return {"header": {"number": hex(number), "timestamp": hex(timestamp)}, "transactions": []}


def test_the_first_block_stays_the_first(tmp_path: Path) -> None:
    state, hashes = tmp_path / "state.json", set()
    for life in range(STARTS):
        with Children(tmp_path / f"logs-{life}") as children:
            url = Anvil(children, state=state).start(60.0).url
            first = call(url, "eth_getBlockByNumber", "0x0", False)
            assert isinstance(first, dict)
            hashes.add(first["hash"])
            fund(url, "0x" + "11" * 20)
            call(url, "evm_mine")
            children.stop("chain")  # writes its state
    assert len(hashes) == 1
    assert int(json.loads(state.read_text())["best_block_number"]) >= STARTS


def test_the_one_that_was_there_first_is_remembered(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"blocks": [block(1, 105), block(0, 100)], "rest": 7}))
    assert not keep_first_block(state)
    # a clock that begins in 1970 makes the later one look older
    state.write_text(json.dumps({"blocks": [block(0, 3), block(1, 105), block(0, 100)], "rest": 7}))
    assert keep_first_block(state)
    assert json.loads(state.read_text()) == {"blocks": [block(0, 100), block(1, 105)], "rest": 7}
    assert not keep_first_block(state)


def test_another_chain_in_the_same_place_keeps_its_own(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    for first in (block(0, 100), block(0, 500)):
        state.write_text(json.dumps({"blocks": [first, block(1, 505)]}))
        assert not keep_first_block(state)
        state.write_text(json.dumps({"blocks": [block(0, 900), first, block(1, 505)]}))
        assert keep_first_block(state)
        assert json.loads(state.read_text())["blocks"] == [first, block(1, 505)]


def test_a_state_that_has_several_already_begins_with_the_oldest(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"blocks": [block(0, 300), block(1, 105), block(0, 100)]}))
    assert keep_first_block(state)
    assert json.loads(state.read_text())["blocks"] == [block(0, 100), block(1, 105)]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"blocks": 3}', b'{"blocks": [{"header": 1}]}']
)
def test_what_is_no_state_is_left_as_it_is(content: bytes, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_bytes(content)
    assert not keep_first_block(state)
    assert state.read_bytes() == content
    assert not keep_first_block(tmp_path / "missing.json")
