"""Avalanche's validators in houses of their own, whose lines are cut; test_parted runs this file.

Accepted blocks are final, so a side without four fifths of the stake must stand still, and no block
of one side may be undone by the other.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from protoledger.contracts.keys import address_of
from protoledger.emulator.processes.chain import call
from protoledger.emulator.processes.children import Children
from protoledger.emulator.processes.networks.avalanche import VALIDATORS, Avalanche
from protoledger.gateway.ledger.events import CommitRejected, Committed, LedgerFailed
from tests.emulator.networks.test_validators import Validator, others
from tests.support import chain
from tests.support.houses import Houses
from tests.support.ledgers import ALICE, BOB, Site, book, deployed, until


@pytest.fixture(scope="module")
def houses() -> Iterator[Houses]:
    with Houses(VALIDATORS) as made:
        yield made


@pytest.fixture(scope="module")
def network(houses: Houses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Avalanche]:
    folder = tmp_path_factory.mktemp("avalanche")
    with Children(folder / "logs") as children:
        found = Avalanche(children, folder / "chain", places=houses.places())
        found.start()
        found.fund([address_of(bytes.fromhex(key)) for key in chain.KEYS])
        yield found


@pytest.fixture
def pair(network: Avalanche, tmp_path: Path) -> tuple[Site, Site]:
    """Alice asks validator 0 first and Bob validator 4; both know all others."""
    made = deployed(Validator(network, 0), ALICE, BOB)
    alice, bob = (
        Site(Validator(network, at), made, tmp_path, key) for at, key in ((0, ALICE), (4, BOB))
    )
    return alice, bob


def newest(network: Avalanche, number: int) -> dict[str, Any]:
    block = call(network.addresses[number].url, "eth_getBlockByNumber", "latest", False)
    assert isinstance(block, dict)
    return block


def agree(network: Avalanche) -> bool:
    return len({newest(network, number)["hash"] for number in range(VALIDATORS)}) == 1


def test_four_go_on_and_the_gateway_of_the_fifth_asks_them(
    houses: Houses, network: Avalanche, pair: tuple[Site, Site]
) -> None:
    alice, bob = pair
    with alice.ledger() as writer, bob.ledger(rpc_urls=others(network, 4)) as reader:
        writer.submit(book(1))
        bob.sees(ALICE, book(1))
        before = newest(network, 4)["number"]
        houses.part([0, 1, 2, 3], [4])
        reader.submit(book(12))  # its own validator takes it, and can do nothing with it
        alice.sees(BOB, book(12))
        writer.submit(book(2))
        bob.sees(ALICE, book(2))
        reader.submit(book(13))
        alice.sees(BOB, book(13))
        assert newest(network, 4)["number"] == before  # it was parted, and accepted nothing
        houses.join()
    until(lambda: agree(network), 300)
    assert not any(site.count(LedgerFailed) for site in pair)


def test_two_and_three_both_stand_still_and_nothing_is_undone(
    houses: Houses, network: Avalanche, pair: tuple[Site, Site]
) -> None:
    alice, bob = pair
    with (
        alice.ledger(rpc_urls=[network.addresses[1].url]) as writer,
        bob.ledger(rpc_urls=[network.addresses[3].url, network.addresses[2].url]) as other,
    ):
        writer.submit(book(1), "before")
        assert writer.flush(60)
        bob.sees(ALICE, book(1))
        until(lambda: agree(network))
        final = [newest(network, number) for number in range(VALIDATORS)]
        houses.part([0, 1], [2, 3, 4])
        writer.submit(book(2), "parted")
        other.submit(book(12), "parted")
        time.sleep(30)
        assert [newest(network, number)["hash"] for number in range(VALIDATORS)] == [
            block["hash"] for block in final
        ]
        houses.join()
        assert writer.flush(300)
        assert other.flush(300)
        bob.sees(ALICE, book(2))
        alice.sees(BOB, book(12))
    until(lambda: agree(network), 300)
    number = final[0]["number"]
    for at in range(VALIDATORS):
        block = call(network.addresses[at].url, "eth_getBlockByNumber", number, False)
        assert isinstance(block, dict)
        assert block["hash"] == final[0]["hash"]
    assert [e.note for e in alice.events if isinstance(e, Committed)] == ["before", "parted"]
    assert [e.note for e in bob.events if isinstance(e, Committed)] == ["parted"]
    assert not any(site.count(LedgerFailed) + site.count(CommitRejected) for site in pair)
