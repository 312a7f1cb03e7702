"""A site's agents in one process, some of whose messages are dropped on purpose.

What runs is `protoledger.edge.host.AgentHost`, as on a Pi. With a drop rate, an agent falls silent
in a round, at a point drawn by chance: before it shares, or before it answers. In the next round it
is back. The last agents can be made to lie (`liars`).
"""

import argparse
import logging
import sys
from pathlib import Path

import msgspec
import numpy as np

from protoledger.edge.agent import Agent
from protoledger.edge.config import AgentConfig
from protoledger.edge.host import AgentHost
from protoledger.emulator.processes.liars import ATTACKS, corrupt
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.rounds.states import Send
from protoledger.protocol.wire.messages import Kind
from protoledger.runtime.exits import Exit
from protoledger.runtime.site import load
from protoledger.sensors import SensorError


class Silence:
    """Drops an agent's messages of a round, from a random one on.

    Args:
        rate: share of the rounds in which this happens.
        generator: source of randomness.
    """

    def __init__(self, rate: float, generator: np.random.Generator) -> None:
        self._rate = rate
        self._generator = generator
        self._left: int | None = None

    def __call__(self, messages: list[Send]) -> list[Send]:
        """Return what is really sent."""
        if any(message.kind is Kind.BOXES for message in messages):
            self._left = None
            if self._generator.random() < self._rate:
                self._left = int(self._generator.integers(0, 2))  # boxes and an answer, or less
        if self._left is None:
            return messages
        sent = messages[: self._left]
        self._left -= len(sent)
        return sent


def main() -> None:
    """Serve until SIGTERM, then write the agents' counters as JSON lines to standard output."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--drop-rate", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--liars", type=int, default=0)
    parser.add_argument("--attack", choices=ATTACKS, default=ATTACKS[0])
    parser.add_argument("configs", nargs="+", type=Path)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    draws = [
        np.random.default_rng((arguments.seed, position))
        for position in range(len(arguments.configs))
    ]
    try:
        host = AgentHost(
            [
                Agent(load(path, AgentConfig), Silence(arguments.drop_rate, draw))
                for path, draw in zip(arguments.configs, draws, strict=True)
            ]
        )
    except (ConfigurationError, SensorError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(Exit.CONFIGURATION)
    for agent in list(host.agents.values())[len(host.agents) - arguments.liars :]:
        corrupt(agent, arguments.attack)
    host.run()
    for agent in host.agents.values():
        traffic = agent.link.traffic
        line = {
            "event": "agent",
            "id": agent.id,
            "answered": agent.answered,
            "sent": traffic.sent,
            "received": traffic.received,
            "refused": dict(agent.refused),
        }
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
