"""The ledger client's tests that hold for every node, against Geth."""

import pytest

from protoledger.contracts.errors import ToolMissingError
from protoledger.contracts.tools.toolchain import geth
from tests.gateway.ledger.test_kills import (
    test_a_kill_between_stored_and_told,
    test_a_sigkill_in_each_phase_neither_loses_nor_doubles,
    test_sigkill_neither_loses_nor_doubles,
)
from tests.gateway.ledger.test_ledger import (
    test_a_commit_reaches_the_other_gateway_as_it_was,
    test_a_contract_names_its_refusal,
    test_a_pause_is_waited_out,
    test_a_removed_gateway_is_dropped_and_comes_back,
    test_a_restart_tells_what_it_knows_before_it_asks_the_chain,
    test_logs_that_a_node_kept_back_make_nobody_a_liar,
    test_two_processes_with_one_key_neither_lose_nor_double,
    test_what_a_tolerance_leaves_out_is_not_in_the_committed_state,
    test_who_is_not_whitelisted_is_rejected_for_good_and_pays_nothing,
)
from tests.gateway.ledger.test_trust import (
    test_a_checkpoint_shows_what_a_claim_stood_for,
    test_a_fresh_gateway_begins_at_the_checkpoints,
    test_a_liar_comes_back_when_the_owner_adds_it_again,
    test_a_liar_is_named_and_ignored,
)
from tests.support import chain

__all__ = [
    "test_a_checkpoint_shows_what_a_claim_stood_for",
    "test_a_commit_reaches_the_other_gateway_as_it_was",
    "test_a_contract_names_its_refusal",
    "test_a_fresh_gateway_begins_at_the_checkpoints",
    "test_a_kill_between_stored_and_told",
    "test_a_liar_comes_back_when_the_owner_adds_it_again",
    "test_a_liar_is_named_and_ignored",
    "test_a_pause_is_waited_out",
    "test_a_removed_gateway_is_dropped_and_comes_back",
    "test_a_restart_tells_what_it_knows_before_it_asks_the_chain",
    "test_a_sigkill_in_each_phase_neither_loses_nor_doubles",
    "test_logs_that_a_node_kept_back_make_nobody_a_liar",
    "test_sigkill_neither_loses_nor_doubles",
    "test_two_processes_with_one_key_neither_lose_nor_double",
    "test_what_a_tolerance_leaves_out_is_not_in_the_committed_state",
    "test_who_is_not_whitelisted_is_rejected_for_good_and_pays_nothing",
]


@pytest.fixture(scope="module")
def node_kind() -> type[chain.Geth]:
    try:
        geth()
    except ToolMissingError as error:
        pytest.skip(str(error))
    return chain.Geth
