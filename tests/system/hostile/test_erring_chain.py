"""A whole deployment on a node that errs: what gateways learn crosses it as on a good one."""

from collections.abc import Callable
from typing import Any

import pytest

from protoledger.emulator.options import Options
from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.emulator.run import Emulation
from tests.support import chain
from tests.support.faulty_node import FaultyNode
from tests.support.ledgers import no_logs

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto is not installed"),
]


def test_a_deployment_ends_on_a_node_that_leaves_events_out_and_errs() -> None:
    """Two short answers of 497 once made it wait for ever; here every other one is short."""
    with_events = 0

    def often(method: str, params: list[Any], forward: Callable[..., Any]) -> Any:
        nonlocal with_events
        short = no_logs(method, params, forward)
        with_events += short is not None
        return short if with_events % 2 else None

    with chain.Anvil() as anvil, FaultyNode(anvil.url, seed=7) as proxy:
        emulation = Emulation(
            Options(
                sites=2,
                agents=4,
                rounds=60,
                batch=4,
                source="bananas",
                test="always",
                seed=3,
                round_seconds=6,
                chain=proxy.url,
            ),
            say=lambda _text: None,
        )

        def err(_progress: object) -> None:  # from the first round on: the contracts stand
            proxy.by_order, proxy.rate = often, 0.1

        emulation.run(err)
    sites = emulation.progress.sites.values()
    assert all(site.commits > 0 and site.rejected == 0 for site in sites)
    assert all(site.merged for site in sites), "each site took over the other's codebook"
    assert with_events >= 3
    assert sum(proxy.faults.values()) >= 2
