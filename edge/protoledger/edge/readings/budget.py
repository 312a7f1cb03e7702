"""What an agent's contributions have cost in privacy, in a file: no restart gives any of it back.

A round is paid for here before its boxes leave, whatever becomes of it: a failed round, or one that
a gateway repeats, may have told as much as one that completed. What cannot be written down is not
contributed, and nothing is once the budget is spent. Costs are units of ρ (`protocol.noise`), which
do not depend on ε, δ or the budget: a site that changes them keeps what its agents have spent.
"""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protoledger.edge.readings.spent import replace_file
from protoledger.edge.status import PrivacyState
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.noise.mechanism import Privacy

log = logging.getLogger(__name__)

_MOST_DIGITS = 20


class PrivacyBudget:
    """An agent's budget.

    Args:
        path: the file; made with the first round.
        privacy: the site's.
        limit: units of ρ that the agent may spend, for ever.

    Raises:
        ConfigurationError: if the file holds anything else than a number.
    """

    def __init__(self, path: Path, privacy: Privacy, limit: int) -> None:
        self._path, self._privacy, self._limit = path, privacy, limit
        self._told = ""
        self._state: PrivacyState | None = None
        try:
            self._spent = self._read()
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{path}: {error}; it holds the units of privacy that this agent has spent: "
                f"restore it from a backup, or write {limit}, for all of them"
            ) from error

    @property
    def state(self) -> PrivacyState:
        """What is spent, and how many rounds are left."""
        if self._state is None:
            privacy, spent = self._privacy, self._spent
            left = max(0, self._limit - spent) // max(1, privacy.cost)
            ends = privacy.epsilon_after(spent), privacy.epsilon_after(self._limit)
            self._state = PrivacyState(*ends, left)
        return self._state

    def charge(self, units: int) -> bool:
        """Spend units of ρ; False if the budget or the disk does not allow it."""
        try:
            # another process may spend of it too: one that replaces this one, or of another site
            with _alone(self._path.parent):
                spent = max(self._spent, self._read()) + units
                if spent > self._limit:
                    self._tell(
                        f"its privacy budget is spent (ε {self.state.epsilon_spent:.3g} of "
                        f"{self.state.epsilon_budget:.3g}): it contributes no more, and still "
                        f"helps others' rounds; a larger privacy.budget in the site file, on all "
                        f"devices, ends that, and weakens what was promised"
                    )
                    return False
                replace_file(self._path, f"{spent}\n")
        except (OSError, ValueError) as error:
            self._tell(f"{error}; nothing is contributed without it")
            return False
        self._spent, self._told, self._state = spent, "", None
        return True

    def _tell(self, what: str) -> None:
        if what != self._told:
            log.warning("%s: %s", self._path, what)
        self._told = what

    def _read(self) -> int:
        try:
            text = self._path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return 0
        if not (text.isdecimal() and len(text) <= _MOST_DIGITS):
            raise ValueError(f"should hold a number, found {text[:20]!r}")
        return int(text)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from charging meanwhile: two that read the same sum would lose one."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)  # gives the lock back
