"""Reads the files of an agent or a gateway and collects every error in them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.identity import Identity, Roster
from protoledger.runtime.identity_files import load_identity, load_roster
from protoledger.runtime.key_files import read_secret
from protoledger.runtime.site import CredentialsConfig, SiteConfig
from protoledger.runtime.yaml_files import read

Config = TypeVar("Config")


@dataclass
class DeviceFiles(Generic[Config]):
    """A device's files, as far as they can be used.

    Attributes:
        config: the device's own file; None if too much of it is wrong.
        site: the site file; None if too much of it is wrong.
        roster: the roster; None if it cannot be read or its signature is wrong.
        problems: the errors of each file, as `key = value: what is wrong; what to do`.
    """

    config: Config | None = None
    site: SiteConfig | None = None
    roster: Roster | None = None
    problems: dict[Path, list[str]] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All problems, by file; empty if there are none."""
        complete = self.config is not None and self.site is not None
        return format_problems(self.problems, complete=complete)


def format_problems(problems: Mapping[Path, Sequence[str]], *, complete: bool = True) -> str:
    """Format problems for a person, file by file; empty if there are none.

    Args:
        problems: the problems of each file.
        complete: whether everything could be checked in spite of them.

    >>> print(format_problems({Path("a.yaml"): ["id: is missing"], Path("b.yaml"): []}))
    a.yaml: 1 problem
      id: is missing
    """
    lines = []
    for path, found in problems.items():
        if found:
            lines.append(f"{path}: {len(found)} problem{'s' if len(found) > 1 else ''}")
            lines += [f"  {line}" for line in found]
    if lines and not complete:
        lines.append("then check again: what depends on these could not be checked yet")
    return "\n".join(lines)


def site_and_roster(
    site_file: Path, roster_file: Path, problems: dict[Path, list[str]]
) -> tuple[SiteConfig | None, Roster | None]:
    """Read the site file and the roster, and compare them; adds what is wrong to `problems`."""
    site, site_problems = read(site_file, SiteConfig)
    problems[site_file] = site_problems
    if site is None:
        return None, None
    roster = None
    try:
        roster = load_roster(roster_file, bytes.fromhex(site.fleet_key))
    except ConfigurationError as error:
        problems[roster_file] = [str(error).removeprefix(f"{roster_file}: ")]
    try:
        if roster is None:  # then what can be said without knowing how many agents there are
            site.as_schema().check_sums(site.aggregation.minimum_contributors or 3)
        else:
            site.terms(roster)
    except ConfigurationError as error:
        site_problems += error.problems
    return site, roster


def credential_problems(
    device: str, identity_file: Path, shown: CredentialsConfig, roster: Roster | None
) -> Iterator[str]:
    """Check a device's secret files: they exist, are private, and match the roster."""
    secrets: list[tuple[str, Path | None, Callable[[Path], object]]] = [
        ("identity_file", identity_file, load_identity),
        ("credentials.key_file", shown.key_file, read_secret),
        ("credentials.password_file", shown.password_file, read_secret),
    ]
    for key, path, read_file in secrets:
        if path is None:
            continue
        try:
            loaded = read_file(path)
        except ConfigurationError as error:
            yield secret_problem(key, path, error)
            continue
        if isinstance(loaded, Identity) and roster is not None and device in roster.public_keys:
            try:
                roster.check_owner(device, loaded)
            except ConfigurationError as error:
                yield secret_problem(key, path, error)
    certificate = shown.certificate_file
    if certificate is not None and not certificate.is_file():
        yield (
            f"credentials.certificate_file = {str(certificate)!r}: there is no such file; fetch "
            f"the device's certificate, or correct the path"
        )


def secret_problem(key: str, path: Path, error: Exception) -> str:
    """Format an error of a secret file under the configuration key that names the file."""
    return f"{key} = {str(path)!r}: {str(error).removeprefix(str(path)).lstrip(': ')}"
