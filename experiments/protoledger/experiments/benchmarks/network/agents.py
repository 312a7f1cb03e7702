"""A site's agents in one process, for `protoledger bench network`: no sensors, all else as it is.

What an agent contributes comes out of an array, so that the protocol, the link and the broker are
measured and not some sensors' drivers.
"""

import logging
import sys
from pathlib import Path

import numpy as np

from protoledger.edge.agent import Agent
from protoledger.edge.config import AgentConfig
from protoledger.edge.host import AgentHost
from protoledger.edge.readings.slots import SlotState
from protoledger.edge.readings.windows import Tunings, Windows
from protoledger.protocol.wire.messages import Announce
from protoledger.protocol.wire.schema import NO_LABEL, Schema, Window
from protoledger.runtime.site import RoundConfig, load


class Steady:
    """Windows that are always the same.

    Args:
        schema: of the site.
        count: windows in a round.
    """

    def __init__(self, schema: Schema, count: int) -> None:
        values = np.full((count, len(schema.channels)), 21.0)
        self._window = Window(values, np.full(count, NO_LABEL, dtype=np.int64))

    def take(self, _announce: Announce) -> Window:
        """Return them."""
        return self._window

    def kept(self) -> None:
        """Nothing is kept."""

    def healthy(self, _now: float) -> bool:
        """Nothing is read."""
        return True

    def states(self) -> list[SlotState]:
        """There are no sensors."""
        return []

    def retune(self, _wanted: Tunings) -> None:
        """There are no sensors."""

    def close(self) -> None:
        """Nothing is held."""


def _steady(config: AgentConfig, schema: Schema, rounds: RoundConfig) -> Windows:
    _ = config
    return Steady(schema, rounds.windows)


def main() -> None:
    """Serve until SIGTERM the agents whose files are named one a line in the file given."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    files = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    configs = [load(Path(file), AgentConfig) for file in files]
    AgentHost([Agent(config, opener=_steady) for config in configs]).run()


if __name__ == "__main__":
    main()
