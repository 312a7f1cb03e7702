"""Several owners on real validators: killed, parted, lying and lagging ones. Minutes; by hand.

`make validators`, then `pytest -m long tests/emulator/networks/test_validators.py`.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.errors import ToolMissingError
from protoledger.contracts.keys import address_of
from protoledger.emulator.errors import ChainError
from protoledger.emulator.processes.chain import call
from protoledger.emulator.processes.children import Children
from protoledger.emulator.processes.networks import program_of
from protoledger.emulator.processes.networks.avalanche import Avalanche
from protoledger.emulator.processes.networks.clique import PERIOD_S, Clique
from protoledger.emulator.processes.networks.network import Network
from protoledger.gateway.ledger.events import (
    CodebookDropped,
    CommitRejected,
    Committed,
    LedgerFailed,
    NodeDisagrees,
)
from tests.gateway.ledger.nodes.test_faulty_nodes import elsewhere
from tests.support import chain
from tests.support.council import Council
from tests.support.faulty_node import FaultyNode, behind
from tests.support.ledgers import ALICE, BOB, OWNER, Site, book, deployed, send, until

pytestmark = pytest.mark.long
OWNERS = 4


class Validator(chain.Chain):
    """One validator, as the ledger's tests know a chain."""

    def __init__(self, network: Network, number: int) -> None:
        self.url = network.addresses[number].url


def built(name: str) -> None:
    try:
        program_of(name)
    except ToolMissingError as error:
        pytest.skip(str(error))


def funded(network: Network) -> None:
    network.start()
    network.fund([address_of(bytes.fromhex(key)) for key in chain.KEYS])


@pytest.fixture(scope="module")
def clique(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clique]:
    built("clique")
    folder = tmp_path_factory.mktemp("clique")
    with Children(folder / "logs") as children:
        network = Clique(children, folder / "chain", OWNERS)
        try:
            funded(network)
            yield network
        finally:
            network.close()


@pytest.fixture(scope="module")
def avalanche(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Avalanche]:
    built("avalanche")
    folder = tmp_path_factory.mktemp("avalanche")
    with Children(folder / "logs") as children:
        network = Avalanche(children, folder / "chain")
        funded(network)
        yield network


@pytest.fixture(params=["clique", "avalanche"])
def network(request: pytest.FixtureRequest) -> Network:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Network)
    return found


def pair(network: Network, folder: Path) -> tuple[Site, Site]:
    """Alice asks validator 0 first, Bob validator 1; both know all others."""
    made = deployed(Validator(network, 0), ALICE, BOB)
    sites = [Site(Validator(network, at), made, folder, key) for at, key in enumerate((ALICE, BOB))]
    return sites[0], sites[1]


def stands_still(network: Network) -> None:
    """Wait until no block comes: signers of the last ones may still have one to make."""
    heights = [network.height(0)]
    while len(heights) < 5 or heights[-1] != heights[-5]:
        time.sleep(PERIOD_S)
        heights.append(network.height(0))


def level(network: Network) -> bool:
    """Whether every validator answers and is at the newest block, but for the last one."""
    try:
        heights = [network.height(number) for number in range(len(network.addresses))]
    except ChainError:  # it has not come up yet
        return False
    return max(heights) - min(heights) <= 1


def others(network: Network, own: int) -> list[str]:
    return [each.url for at, each in enumerate(network.addresses) if at != own]


def test_validators_are_killed_and_come_back(network: Network, tmp_path: Path) -> None:
    """One killed: it goes on. Two: it halts, and what was submitted lands once they are back."""
    alice, bob = pair(network, tmp_path)
    last = len(network.addresses) - 1
    first, second = (
        alice.ledger(rpc_urls=others(network, 0)),
        bob.ledger(rpc_urls=others(network, 1)),
    )
    with first as writer, second:
        writer.submit(book(1), "all")
        bob.sees(ALICE, book(1))
        network.kill(last)
        writer.submit(book(2), "one killed")
        bob.sees(ALICE, book(2))
        network.kill(last - 1)
        stands_still(network)
        writer.submit(book(3), "two killed")
        assert not writer.flush(20)
        network.revive(last)
        network.revive(last - 1)
        assert writer.flush(180)
        bob.sees(ALICE, book(3))
    landed = [e.note for e in alice.events if isinstance(e, Committed)]
    assert landed == ["all", "one killed", "two killed"]
    for site in (alice, bob):
        assert not site.count(LedgerFailed) + site.count(CommitRejected)
    until(lambda: level(network), 180)


def test_a_gateway_whose_validator_is_killed_goes_on_over_the_others(
    network: Network, tmp_path: Path
) -> None:
    alice, bob = pair(network, tmp_path)
    bob.anvil = Validator(network, len(network.addresses) - 1)
    own = len(network.addresses) - 1
    first, second = (
        alice.ledger(rpc_urls=others(network, 0)),
        bob.ledger(rpc_urls=others(network, own)),
    )
    with first as writer, second as reader:
        writer.submit(book(1))
        bob.sees(ALICE, book(1))
        network.kill(own)
        writer.submit(book(2))
        bob.sees(ALICE, book(2))
        reader.submit(book(3))
        alice.sees(BOB, book(3))
        network.revive(own)
    until(lambda: level(network), 180)


def test_a_gateway_on_the_smaller_side_asks_the_larger(clique: Clique, tmp_path: Path) -> None:
    """Its own validator answers, and its chain stands still: it is left for one that is ahead."""
    alice, bob = pair(clique, tmp_path)
    with alice.ledger() as writer, bob.ledger(rpc_urls=others(clique, 1)) as reader:
        writer.submit(book(1))
        bob.sees(ALICE, book(1))
        clique.part([0, 2, 3], [1])
        writer.submit(book(2))
        bob.sees(ALICE, book(2))
        reader.submit(book(12))
        alice.sees(BOB, book(12))
        clique.join()
    until(lambda: level(clique), 180)


def test_halves_of_four_signers_stand_still_only_if_they_weigh_the_same(clique: Clique) -> None:
    """Which it is depends on whose turn it was; both ways out of it are held to."""
    before = min(heights(clique))
    clique.part([0, 1], [2, 3])
    halted = all_stand_still(clique)
    totals = [total_difficulty(clique, number) for number in (0, 2)]
    clique.join()
    if totals[0] == totals[1]:
        time.sleep(10 * PERIOD_S)
        assert heights(clique) == halted
        for number in (0, 1):
            clique.rewind(number, before)
    until(lambda: min(heights(clique)) > max(halted) + OWNERS, 300)


def heights(network: Network) -> list[int]:
    return [network.height(number) for number in range(len(network.addresses))]


def all_stand_still(network: Network) -> list[int]:
    """Wait until no side makes blocks any more; gives the validators' heights."""
    seen = [heights(network)]
    while len(seen) < 8 or seen[-1] != seen[-8]:
        time.sleep(PERIOD_S)
        seen.append(heights(network))
    return seen[-1]


def total_difficulty(clique: Clique, number: int) -> int:
    block = call(clique.addresses[number].url, "eth_getBlockByNumber", "latest", False)
    assert isinstance(block, dict)
    return int(block["totalDifficulty"], 16)


def test_a_gateway_whose_own_node_lags_asks_the_others(network: Network, tmp_path: Path) -> None:
    alice, bob = pair(network, tmp_path)
    with FaultyNode(network.addresses[1].url) as proxy, alice.ledger() as writer:
        writer.submit(book(1))
        assert writer.flush(60)
        for seed in range(2, 8):  # Avalanche makes blocks only for transactions
            writer.submit(book(seed))
            assert writer.flush(60)
        proxy.by_order = behind(6)
        with bob.ledger(rpc_url=proxy.url, rpc_urls=others(network, 1)):
            bob.sees(ALICE, book(7))
    assert not bob.count(LedgerFailed)


def test_an_owners_node_that_lies_is_named_and_left(network: Network, tmp_path: Path) -> None:
    alice, bob = pair(network, tmp_path)
    with FaultyNode(network.addresses[1].url) as proxy, alice.ledger() as writer:
        proxy.by_order = elsewhere
        with bob.ledger(rpc_url=proxy.url, rpc_urls=others(network, 1)):
            writer.submit(book(1))
            assert bob.wait(NodeDisagrees).url == proxy.url
            bob.sees(ALICE, book(1))
            writer.submit(book(2))
            bob.sees(ALICE, book(2))
    assert not bob.count(LedgerFailed)


def test_a_gateway_is_revoked_by_vote(network: Network, tmp_path: Path) -> None:
    council = Council(Validator(network, 0), tmp_path)
    alice, bob = pair(network, tmp_path)
    council.contract = alice.deployment.buffer
    send(alice, OWNER, Buffer(council.contract).encode("transferOwnership", council.safe))
    council.decide(tmp_path / "accept.json", "accept")
    with alice.ledger() as writer, bob.ledger() as reader:
        writer.submit(book(1))
        bob.sees(ALICE, book(1))
        council.decide(tmp_path / "revoke.json", "revoke", alice.address)
        assert bob.wait(CodebookDropped).owner == alice.address
        writer.submit(book(2))
        alice.wait(CommitRejected)
        reader.submit(book(12))
        assert reader.flush(60)
