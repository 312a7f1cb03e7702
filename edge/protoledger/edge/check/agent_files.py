"""Reads an agent's files and collects every error in them, without opening a sensor.

An agent stops at its first error, but a person wants to correct all errors at once. So `edge run`
calls this after it has failed, and `edge check` always.
"""

from pathlib import Path

from protoledger.edge.config import AgentConfig, InputConfig, SensorConfig
from protoledger.runtime.check.device_files import DeviceFiles, credential_problems, site_and_roster
from protoledger.runtime.yaml_files import read
from protoledger.sensors import WantedSensor, find_problems


def read_agent_files(path: Path) -> DeviceFiles[AgentConfig]:
    """Read an agent's file and the files that it names."""
    found = DeviceFiles[AgentConfig]()
    found.config, mine = read(path, AgentConfig)
    found.problems[path] = mine
    if (config := found.config) is None:
        return found
    found.site, found.roster = site_and_roster(config.site_file, config.roster_file, found.problems)
    if found.site is not None:
        mine += config.problems_with(found.site, found.roster)
    mine += config.problems()
    mine += _sensor_problems(config)
    mine += credential_problems(config.id, config.identity_file, config.credentials, found.roster)
    return found


def _sensor_problems(config: AgentConfig) -> list[str]:
    named: dict[str, SensorConfig | InputConfig]
    named = {f"sensors.{number}": sensor for number, sensor in enumerate(config.sensors)}
    named |= {f"inputs.{number}": sensor for number, sensor in enumerate(config.inputs)}
    wanted = [
        WantedSensor(where, sensor.driver, sensor.options, sensor.filters, sensor.calibration)
        for where, sensor in named.items()
    ]
    if (label := config.label) is not None:
        wanted.append(WantedSensor("label", label.driver, label.options, label.filters))
    return find_problems(wanted)
