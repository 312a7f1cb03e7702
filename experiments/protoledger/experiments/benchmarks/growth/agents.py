"""What a round takes with so many agents at one site, and what it takes them to meet.

One process in virtual time: the protocol's state machines with real keys, seals and proofs, without
MQTT and TLS (`bench network` has those). Two runs of few and of more rounds tell one round's cost
from what is spent once, when each device checks the hello of each other.
"""

from __future__ import annotations

from typing import Final

from protoledger.emulator.options import Options
from protoledger.emulator.virtual.run import VirtualRun

FEW: Final = 1
LEAST_MORE: Final = 3
MORE_AGENTS: Final = 300
"""So many rounds more at one agent, and fewer with more agents."""
PARTS: Final = {"agent": "agents", "gateway": "gateways' rounds"}


def of_agents(agents: int) -> dict[str, float]:
    """Return CPU milliseconds of a round at an agent and at the gateway; and of meeting."""
    further = max(LEAST_MORE, MORE_AGENTS // agents)
    few, more = (_run(agents, rounds) for rounds in (FEW, FEW + further))
    found = {}
    for name, part in PARTS.items():
        each = (more[part] - few[part]) / further
        met = few[part] - FEW * each
        share = agents if name == "agent" else 1
        found[f"{name}_ms"] = 1000 * each / share
        found[f"{name}_meets_ms"] = 1000 * max(met, 0.0) / share
    found["bytes_of_agent"] = 1e6 * (more["MB"] - few["MB"]) / further / agents
    return found


def _run(agents: int, rounds: int) -> dict[str, float]:
    options = Options(virtual=agents, sites=1, agents=agents, rounds=rounds, round_seconds=60)
    report = VirtualRun(options, lambda _: None).run()
    if report["rounds_completed"] != rounds:
        raise RuntimeError(f"{agents} agents: {report['failures']}")
    return {**report["cpu_seconds"], "MB": report["megabytes"]}
