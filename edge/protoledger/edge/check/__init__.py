"""The commands `edge check` and `edge read`, for the person who installs an agent.

`agent_files` reads the agent's files and collects every error in them. `report` checks each thing
that the files name (roster, sensors, pins, spool, broker, clock) and yields the items of
`edge check`. `show` displays live readings for `edge read`. A running agent loads none of this.
"""

from protoledger.edge.check.agent_files import read_agent_files
from protoledger.edge.check.report import check_agent

__all__ = ["check_agent", "read_agent_files"]
