"""Everything that is wrong with an agent's files, before anything is opened.

An agent stops at the first file that does not fit; a person wants to mend them all in one go. So
`edge run` comes here once it has failed, and `edge check` always.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge.config import AgentConfig
from protocol.config import SiteConfig
from protocol.errors import ConfigurationError
from protocol.files import read_secret
from protocol.identity import Identity, Roster
from protocol.reading import read
from sensors import Wanted, find_problems


@dataclass
class Examined:
    """An agent's files, as far as they can be used.

    Attributes:
        config: the agent's file; None if too much of it is wrong.
        site: likewise.
        roster: None if it cannot be read or is not signed.
        problems: by file, `key = value: what is wrong; what to do`.
    """

    config: AgentConfig | None = None
    site: SiteConfig | None = None
    roster: Roster | None = None
    problems: dict[Path, list[str]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All problems, by file; empty if there are none."""
        lines = []
        for path, found in self.problems.items():
            if found:
                lines.append(f"{path}: {len(found)} problem{'s' if len(found) > 1 else ''}")
                lines += [f"  {line}" for line in found]
        return "\n".join(lines)


def examine(path: Path) -> Examined:
    """Read an agent's file and those that it names."""
    found = Examined()
    found.config, mine = read(path, AgentConfig)
    found.problems[path] = mine
    config = found.config
    if config is None:
        return found
    found.site, found.problems[config.site_file] = read(config.site_file, SiteConfig)
    if found.site is not None:
        _join(found, config, found.site)
        mine += config.problems_with(found.site, found.roster)
    mine += config.problems()
    mine += _sensor_problems(config)
    mine += _secret_problems(config, found.roster)
    return found


def _join(found: Examined, config: AgentConfig, site: SiteConfig) -> None:
    """Load the roster and fit the site to it."""
    theirs = found.problems[config.site_file]
    try:
        found.roster = Roster.load(config.roster_file, bytes.fromhex(site.fleet_key))
    except ConfigurationError as error:
        text = str(error).removeprefix(f"{config.roster_file}: ")
        found.problems[config.roster_file] = [text]
    try:
        if found.roster is None:
            site.as_schema().check_sums(site.aggregation.minimum_contributors)
        else:
            site.terms(found.roster)
    except ConfigurationError as error:
        theirs += error.problems


def _sensor_problems(config: AgentConfig) -> list[str]:
    wanted = [
        Wanted(f"sensors.{number}", sensor.driver, sensor.options, sensor.filters)
        for number, sensor in enumerate(config.sensors)
    ]
    if (label := config.label) is not None:
        wanted.append(Wanted("label", label.driver, label.options, label.filters))
    return find_problems(wanted)


def _secret_problems(config: AgentConfig, roster: Roster | None) -> Iterator[str]:
    shown = config.credentials
    secrets: list[tuple[str, Path | None, Callable[[Path], object]]] = [
        ("identity_file", config.identity_file, Identity.load),
        ("credentials.key_file", shown.key_file, read_secret),
        ("credentials.password_file", shown.password_file, read_secret),
    ]
    for key, path, look in secrets:
        try:
            loaded = None if path is None else look(path)
        except ConfigurationError as error:
            yield f"{key} = {str(path)!r}: {str(error).removeprefix(str(path)).lstrip(': ')}"
            continue
        listed = None if roster is None else roster.public_keys.get(config.id)
        if isinstance(loaded, Identity) and listed not in {None, loaded.public_key}:
            yield (
                f"{key} = {str(path)!r}: holds the key {loaded.public_key.hex()[:8]}…, the roster "
                f"has {(listed or b'').hex()[:8]}… for {config.id}; sign a roster with this key"
            )
    certificate = shown.certificate_file
    if certificate is not None and not certificate.is_file():
        yield f"credentials.certificate_file = {str(certificate)!r}: there is no such file"
