"""Which changes of its file a running agent takes up at SIGHUP; all others wait for a restart.

Filters and calibrations act on each reading alone. Everything else is fixed for as long as the
process runs: the session with the gateway is bound to identity and roster, sensors hold their pins,
and windows under way have the old length.
"""

from collections.abc import Iterator, Sequence

from protoledger.edge.config import AgentConfig, InputConfig, LabelConfig, SensorConfig
from protoledger.protocol.wire.identity import Roster
from protoledger.runtime.site import SiteConfig

SAFE = {"log_level", "home_assistant"}
_COMPARED = {"sensors", "inputs", "label"}
_RESTART = "restart the agent"


def refusals(
    old: AgentConfig, new: AgentConfig, sites: Sequence[SiteConfig], rosters: Sequence[Roster]
) -> list[str]:
    """List the changes that a running agent cannot take up, each with the reason.

    Args:
        old: the file that the agent runs with.
        new: the file as it is now.
        sites: the site's file then and now.
        rosters: the roster then and now.
    """
    reasons = [
        f"{name}: is fixed while the agent runs; {_RESTART}"
        for name in AgentConfig.model_fields
        if name not in SAFE | _COMPARED and getattr(old, name) != getattr(new, name)
    ]
    if len(set(map(repr, sites))) > 1:
        reasons.append(f"{new.site_file}: all devices of a site change it together; {_RESTART}")
    if len({roster.digest for roster in rosters}) > 1:
        reasons.append(f"{new.roster_file}: the session is bound to the old roster; {_RESTART}")
    return reasons + list(_sensor_refusals(old, new))


def _sensor_refusals(old: AgentConfig, new: AgentConfig) -> Iterator[str]:
    before, after = dict(_named(old)), dict(_named(new))
    if list(before) != list(after):
        yield f"sensors: {', '.join(before)} became {', '.join(after)}; {_RESTART}"
    for name in before.keys() & after.keys():
        was, now = before[name], after[name]
        if (was.driver, was.options) != (now.driver, now.options):
            yield f"{name}: its driver holds the device with the old options; {_RESTART}"


def _named(config: AgentConfig) -> Iterator[tuple[str, SensorConfig | InputConfig | LabelConfig]]:
    yield from ((sensor.name, sensor) for sensor in config.inputs)
    yield from ((sensor.channel, sensor) for sensor in config.sensors)
    if config.label is not None:
        yield "label", config.label


def tunings(config: AgentConfig) -> dict[str, SensorConfig | InputConfig | LabelConfig]:
    """Return the sensors by the names of their slots."""
    return dict(_named(config))
