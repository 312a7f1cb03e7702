"""A chain that is not the gateway's: rounds and learning go on, and what is wrong is said."""

import json
from itertools import pairwise

import pytest

from protoledger.contracts.keys import create_key
from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.operations.health import read_status, status_path
from protoledger.runtime.exits import Exit
from protoledger.runtime.site import load
from tests.support import chain
from tests.support.broker_client import until
from tests.support.site_of import Running, change, command, running_site


@pytest.mark.timeout(240)
def test_a_wrong_chain_ends_neither_rounds_nor_learning(tmp_path):
    with running_site(tmp_path) as (files, _), chain.Anvil() as anvil:
        path = files.gateway_file
        create_key(path.parent / "chain.key")
        nowhere = "0x" + "12" * 20
        node = {"rpc_url": anvil.url, "chain_id": 31337, "contract": nowhere}
        ledger = node | {"key_file": "chain.key", "contradiction_s": 0.2}
        change(path, ledger=ledger)
        store = load(path, GatewayConfig).store_file
        agents = [word for agent in files.agents for word in ("-c", files.agent_file(agent))]

        def completed():
            status = read_status(status_path(store))
            return status.completed if status is not None and "log" in status.chain else 0

        with Running(["gateway", "run", "--events", "-c", path]) as gateway:
            with Running(["edge", "run", *agents]):
                until(completed, 120)
                seen = completed()
                until(lambda: completed() > seen, 60)
            said = command("contracts", "forget", store)
            assert said.returncode == Exit.CONFIGURATION, said.stdout + said.stderr
            assert "stop it first" in said.stderr
            assert gateway.poll() is None
    assert gateway.process.returncode == 0
    events = [json.loads(line) for line in gateway.output.splitlines()]
    (failed,) = [event for event in events if event["event"] == "ledger_failed"]
    assert "there is no contract" in failed["reason"]
    after = [event for event in events[events.index(failed) :] if event["event"] == "round"]
    assert all(one["samples"] < other["samples"] for one, other in pairwise(after))
    assert gateway.errors.count("without the chain") == 1
