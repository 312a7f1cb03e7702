"""A running agent's state, in a small file that `edge check --running` reads.

It has names of sensors, problems and counts, never a reading. Times are those of the monotonic
clock, which all processes of one boot share, because a Pi's own clock may be wrong. The agent never
reads the file.
"""

import logging
from abc import ABC, abstractmethod
from pathlib import Path

import msgspec
from msgspec import Struct

from protoledger.runtime.key_files import write_secret

log = logging.getLogger(__name__)

WRITE_EVERY_S = 5.0
STALE_S = 30.0
"""An agent that has not written its file for so long does not run or hangs."""


class PrivacyState(Struct, frozen=True, forbid_unknown_fields=True):
    """How much an agent has told, where the site has privacy.

    Attributes:
        epsilon_spent: ε of all that it contributed, ever.
        epsilon_budget: ε that it may spend.
        rounds_left: rounds that the rest pays for.
    """

    epsilon_spent: float
    epsilon_budget: float
    rounds_left: int


class AgentStatus(Struct, frozen=True, forbid_unknown_fields=True):
    """An agent's state.

    Attributes:
        id: the agent's.
        pid: of its process.
        written_at: monotonic seconds.
        connected: whether it is connected to the broker.
        last_round: the newest round that it knows; 0 for none.
        answered: rounds that it took part in since it started.
        answered_at: when it took part in one last, monotonic; 0.0 for never.
        sensors: by channel (and `label`) why there is no value; empty for one that answers.
        privacy: where the site has it.
    """

    id: str
    pid: int
    written_at: float
    connected: bool
    last_round: int
    answered: int
    answered_at: float
    sensors: dict[str, str]
    privacy: PrivacyState | None = None


def read_status(path: Path) -> AgentStatus | None:
    """Read a status file; None if it is missing or malformed."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=AgentStatus)
    except (OSError, msgspec.DecodeError):
        return None


class StateFile(ABC):
    """Writes a file about the agent now and then; a full disk costs a line in the log, once.

    Args:
        path: where to; None writes nothing.
    """

    name: str
    every_s: float

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._due = 0.0
        self._failed = False

    @property
    def due(self) -> float | None:
        """When `write` is to be called next, monotonic; None for never."""
        return None if self._path is None else self._due

    def write(self, status: AgentStatus) -> None:
        """Replace the file, atomically."""
        self._due = status.written_at + self.every_s
        if self._path is None:
            return
        try:
            self._put(self._path, status)
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.warning("the %s file cannot be written: %s", self.name, error)
            self._failed = True

    @abstractmethod
    def _put(self, path: Path, status: AgentStatus) -> None:
        """Write the state; raises OSError where that fails."""


class StatusFile(StateFile):
    """The state itself, for `edge check --running`."""

    name = "status"
    every_s = WRITE_EVERY_S

    def _put(self, path: Path, status: AgentStatus) -> None:
        write_secret(path, msgspec.json.encode(status), replace=True)
