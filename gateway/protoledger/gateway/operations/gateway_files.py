"""Reads a gateway's files and collects every error in them, before anything is started."""

from pathlib import Path

from protoledger.contracts.errors import KeyFileError
from protoledger.contracts.keys import load_key
from protoledger.gateway.config import GatewayConfig
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.check.device_files import (
    DeviceFiles,
    credential_problems,
    secret_problem,
    site_and_roster,
)
from protoledger.runtime.yaml_files import read


def read_gateway_files(path: Path) -> DeviceFiles[GatewayConfig]:
    """Read a gateway's file and the files that it names."""
    found = DeviceFiles[GatewayConfig]()
    found.config, mine = read(path, GatewayConfig)
    found.problems[path] = mine
    if (config := found.config) is None:
        return found
    found.site, found.roster = site_and_roster(config.site_file, config.roster_file, found.problems)
    if found.site is not None and found.roster is not None:
        try:
            config.check_against(found.roster, found.site)
        except ConfigurationError as error:
            mine += error.problems
    mine += credential_problems(config.id, config.identity_file, config.credentials, found.roster)
    if config.ledger is not None:
        try:
            load_key(config.ledger.key_file, config.ledger.key_password_file)
        except KeyFileError as error:
            mine.append(secret_problem("ledger.key_file", config.ledger.key_file, error))
    return found
