"""Everything that is wrong with a gateway's files, before anything is opened."""

from dataclasses import dataclass, field
from pathlib import Path

from contracts.errors import KeyFileError
from contracts.keys import load_key
from gateway.config import GatewayConfig
from protocol.config import SiteConfig
from protocol.errors import ConfigurationError
from protocol.examining import credential_problems, secret_problem, site_and_roster, told
from protocol.identity import Roster
from protocol.reading import read


@dataclass
class Examined:
    """A gateway's files, as far as they can be used.

    Attributes:
        config: the gateway's file; None if too much of it is wrong.
        site: likewise.
        roster: None if it cannot be read or is not signed.
        problems: by file, `key = value: what is wrong; what to do`.
    """

    config: GatewayConfig | None = None
    site: SiteConfig | None = None
    roster: Roster | None = None
    problems: dict[Path, list[str]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All problems, by file; empty if there are none."""
        return told(self.problems, all_seen=self.config is not None and self.site is not None)


def examine(path: Path) -> Examined:
    """Read a gateway's file and those that it names."""
    found = Examined()
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
