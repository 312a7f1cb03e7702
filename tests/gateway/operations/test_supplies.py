"""What metrics say of the chain, the account and a commit that waits."""

import math
from types import SimpleNamespace

from protoledger.contracts.errors import RpcError
from protoledger.gateway.ledger.supplies import GAS_OF_A_COMMIT, Supplies

HEAD = SimpleNamespace(base_fee=10**9)


class Rich:
    """A node that counts how often it is asked, and may refuse."""

    def __init__(self, wei):
        self.wei, self.asked, self.refuses = wei, 0, False

    def tip(self):
        return 10**9

    def balance(self, _account):
        self.asked += 1
        if self.refuses:
            raise RpcError("eth_getBalance", -32000, "busy")
        return self.wei


def supplies():
    now = [100.0]
    return Supplies(clock=lambda: now[0]), now


def test_before_the_first_answer_every_number_is_there():
    kept, _ = supplies()
    found = kept.values(idle=True)
    assert found["chain_reachable"] == found["commit_waiting_seconds"] == 0
    assert math.isnan(found["commits_affordable"])


def test_the_balance_is_told_in_commits_and_asked_for_seldom():
    kept, now = supplies()
    node = Rich(7 * GAS_OF_A_COMMIT * 2 * 10**9 + 5)
    for _ in range(1000):
        kept.look(node, "0x1", HEAD)
        now[0] += 1.0
    assert node.asked == 2
    assert kept.values(idle=True)["commits_affordable"] == 7


def test_a_node_that_refuses_is_asked_again_and_the_last_number_stays():
    kept, now = supplies()
    node = Rich(GAS_OF_A_COMMIT * 2 * 10**9)
    kept.look(node, "0x1", HEAD)
    node.refuses = True
    now[0] += 601.0
    kept.look(node, "0x1", HEAD)
    assert kept.values(idle=True)["commits_affordable"] == 1
    node.refuses, node.wei = False, 0
    now[0] += 61.0
    kept.look(node, "0x1", HEAD)
    assert kept.values(idle=True)["commits_affordable"] == 0


def test_a_commit_waits_from_the_moment_on_at_which_there_was_none():
    kept, now = supplies()
    kept.values(idle=True)
    now[0] += 30.0
    assert kept.values(idle=False)["commit_waiting_seconds"] == 30.0
    now[0] += 30.0
    assert kept.values(idle=False)["commit_waiting_seconds"] == 60.0
    assert kept.values(idle=True)["commit_waiting_seconds"] == 0.0
