"""Every case of nodes that err, on Geth: minutes; `make geth`, then

`pytest -m long tests/gateway/ledger/nodes/test_geth_cases.py`.

The cases are those that run on Anvil in each `make test`. `ON_ANVIL_ALONE` names what Geth cannot
be made to do, and why.
"""

from types import ModuleType

import pytest

from protoledger.contracts.errors import ToolMissingError
from protoledger.contracts.tools.toolchain import geth
from protoledger.gateway.ledger.events import CommitRejected, Committed
from tests.gateway.ledger import test_ledger, test_oracle_samples, test_trust
from tests.gateway.ledger.nodes import (
    test_faulty_nodes,
    test_hostile_nodes,
    test_limits,
    test_reading_commands,
)
from tests.support import chain
from tests.support.ledgers import Site, book

pytestmark = pytest.mark.long
ON_ANVIL_ALONE = {
    "test_an_outage_loses_nothing_and_the_newest_wins": (
        "stops the node and starts it on what it kept: Geth's developer chain begins again"
    ),
    "test_another_chain_or_schema_ends_the_client_with_78": "compares two chains of one number",
    "test_the_recursion_limit_stays_as_it_was": "asks no node",
    "test_an_answer_byte_by_byte_ends": "asks no node",
    "test_nobody_is_told_to_wait_for_days": "asks no node",
    "test_the_module_is_cheap_to_import": "asks no node",
    "test_a_gateway_learns_from_them_and_names_the_round_once": "asks no node",
}


def _adopt(module: ModuleType) -> None:
    """Make a module's tests this one's, where `node_kind` is Geth."""
    for name, test in vars(module).items():
        if name.startswith("test_") and callable(test) and name not in ON_ANVIL_ALONE:
            globals()[name] = test


for _cases in (
    test_faulty_nodes,
    test_limits,
    test_hostile_nodes,
    test_reading_commands,
    test_ledger,
    test_trust,
    test_oracle_samples,
):
    _adopt(_cases)


dripping = test_hostile_nodes.dripping
alice = test_oracle_samples.alice


@pytest.fixture(scope="module")
def node_kind() -> type[chain.Geth]:
    try:
        geth()
    except ToolMissingError as error:
        pytest.skip(str(error))
    return chain.Geth


def test_geths_own_least_tip_is_learnt(sites: tuple[Site, Site]) -> None:
    """In Geth's own words, and not a proxy's."""
    alice, _ = sites
    alice.anvil.rpc("miner_setGasPrice", hex(25 * 10**9))
    try:
        with alice.ledger() as writer:
            writer.submit(book(1))
            assert writer.flush(60)
        with alice.ledger(tip_gwei=1.0, max_fee_gwei=20) as writer:
            writer.submit(book(2))
            assert "max_fee_gwei" in alice.wait(CommitRejected).reason
    finally:
        alice.anvil.rpc("miner_setGasPrice", hex(1))
    with alice.ledger(stuck_s=1) as writer:
        assert writer.flush(60)
    assert alice.count(Committed) == 2
