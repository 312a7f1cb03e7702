"""Which changes of its file a running gateway takes up at SIGHUP; all others wait for a restart.

Safe is what concerns people and logs: the log level, Home Assistant, when to ask for a label, when
a quiet or stopped gateway commits. Identity, roster, learner, test and chain are fixed: the session
with the agents, the store and the commits under way are bound to them.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from protoledger.gateway.config import GatewayConfig

log = logging.getLogger(__name__)
Reader = Callable[[], GatewayConfig | None]
_RESTART = "is fixed while the gateway runs; restart it"


@dataclass(frozen=True)
class ReadAgain:
    """Asks the gateway's loop to read its file again."""


def refusals(old: GatewayConfig, new: GatewayConfig) -> list[str]:
    """List the changes that a running gateway cannot take up, each with the reason."""
    was, now = _fixed(old), _fixed(new)
    return [f"{name}: {_RESTART}" for name in now if was[name] != now[name]]


def _fixed(config: GatewayConfig) -> dict[str, object]:
    content: dict[str, object] = {
        name: getattr(config, name)
        for name in GatewayConfig.model_fields
        if name not in {"log_level", "home_assistant"}
    }
    content["learner"] = config.learner.model_copy(update={"ask_below": None})
    content["commit"] = config.commit.model_copy(update={"quiet_hours": None, "stop_s": None})
    return content


def take_up(
    old: GatewayConfig, read: Reader, take: Callable[[GatewayConfig], None]
) -> GatewayConfig:
    """Read the file and hand it to `take` if all its changes are safe; returns what holds now."""
    new = read()
    if new is None:
        return old  # its errors are logged
    if reasons := refusals(old, new):
        log.error("the gateway's file is not read again:\n  %s", "\n  ".join(reasons))
        return old
    take(new)
    logging.getLogger().setLevel(new.log_level.upper())
    log.info("the gateway's file was read again")
    return new
