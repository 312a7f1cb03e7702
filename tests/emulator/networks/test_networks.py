"""Chains by name, and which node each owner asks first; test_validators has the rest."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from protoledger.contracts.tools import toolchain
from protoledger.emulator.errors import ChainError, ProgramMissingError
from protoledger.emulator.processes.chain import ChainAddress
from protoledger.emulator.processes.children import Children
from protoledger.emulator.processes.networks import CHAINS, Started, clique, start
from protoledger.emulator.processes.networks.avalanche import Avalanche
from protoledger.gateway.ledger.config import LedgerConfig


def test_an_owner_asks_its_own_validator_first_and_the_others_after_it() -> None:
    addresses = [ChainAddress(f"http://n{n}", 7, f"ws://n{n}") for n in range(3)]
    settings = Started(addresses, lambda _: None).settings(1)
    assert settings == {
        "rpc_url": "http://n1",
        "rpc_urls": ["http://n0", "http://n2"],
        "ws_url": "ws://n1",
    }
    rest = {"chain_id": 7, "contract": "0x" + "11" * 20, "key_file": Path("key")}
    assert LedgerConfig.model_validate(settings | rest).rpc_urls == ("http://n0", "http://n2")


def test_on_a_chain_of_one_node_all_ask_it() -> None:
    started = Started([ChainAddress("http://one", 7)] * 3, lambda _: None)
    assert started.settings(2) == {"rpc_url": "http://one"}


@pytest.mark.parametrize("chain", sorted(set(CHAINS) - {"anvil", "geth"}))
def test_validators_that_are_not_built_are_told(
    chain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolchain, "REPOSITORY", tmp_path)
    with ExitStack() as closing:
        children = closing.enter_context(Children(tmp_path / "logs"))
        with pytest.raises(ProgramMissingError, match="make validators"):
            start(chain, children, tmp_path / "chain", 3, closing=closing)


def test_avalanche_has_five_validators_and_no_more(tmp_path: Path) -> None:
    with pytest.raises(ChainError, match="at most 5 sites, not 6"):
        Avalanche(Children(tmp_path / "logs"), tmp_path, 6)


def test_signers_that_begin_apart_are_taken_back_to_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of four made two blocks, and so did the others: nobody takes the other half's chain."""
    blocks, taken_back = [2, 2, 2, 2], list[int]()

    class Halved(clique.Clique):
        def height(self, number: int) -> int:
            return blocks[number]

        def rewind(self, number: int, block: int) -> None:
            taken_back.append(number)
            blocks[number] = block

        def join(self) -> None:
            blocks[:] = [3, 3, 3, 3]

    monkeypatch.setattr(clique, "validator_program", lambda _: tmp_path)
    network = Halved(Children(tmp_path / "logs"), tmp_path, 4, period_s=0)
    network._begin_together()
    network.close()
    assert taken_back == [1, 2, 3]
    monkeypatch.setattr(clique, "_START_S", 0.1)
    blocks[:] = [2, 3, 3, 3]
    monkeypatch.setattr(network, "join", lambda: None)
    with pytest.raises(ChainError, match=r"at blocks \[2, 0, 0, 0\]"):
        network._begin_together()


def test_a_url_that_nobody_answers_is_told(tmp_path: Path) -> None:
    children, closing = Children(tmp_path / "logs"), ExitStack()
    with pytest.raises(ChainError, match="no Ethereum node answers"):
        start("http://127.0.0.1:1", children, tmp_path, 1, closing=closing)
