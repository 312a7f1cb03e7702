"""Kits as beginnings of agents' files, and the channels and labels of a site made from them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, Field

from protoledger.edge.config import AgentConfig
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.site import ChannelConfig, SiteConfig
from protoledger.runtime.yaml_files import fit, read

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_KITS = files("protoledger.edge") / "kits"
_SITE = "site"
_PARTS = ("name", "unit", "low", "high", "step")
_ADVICE = "Copy it beside the site's files, and give the agent its own id."
_OWN = {
    "site_file": "site.yaml",
    "roster_file": "roster.json",
    "identity_file": "identity.key",
    "credentials": "{certificate_file: tls.crt, key_file: tls.key}",
    "spool_file": "spool.db",
    "status_file": "status.json",
}


@dataclass(frozen=True)
class KitFile:
    """A kit's file.

    Attributes:
        name: its name, or the path of one's own.
        text: its YAML.
        channels: the channels that its sensors fill.
        votes: whether it has a label source.
        config: its content, as an agent without a name of its own.
    """

    name: str
    text: str
    channels: tuple[str, ...]
    votes: bool
    config: AgentConfig

    def problems_with(self, site: SiteConfig) -> list[str]:
        """List what of it does not fit a site."""
        return [f"kit {self.name}: {line}" for line in self.config.problems_with(site, None)]

    def agent_text(self, device: str) -> str:
        """Write it as the file of an agent, with the kit's comments."""
        own = {"id": json.dumps(device), **_OWN}  # quoted: YAML reads `42` and `no` otherwise
        lines, left = [], dict(own)
        for line in self.text.replace(_ADVICE, "").splitlines():
            key, colon, _ = line.partition(":")
            if colon and key in own:
                lines.append(f"{key}: {left.pop(key)}")
            else:
                lines.append(line.rstrip())
        first = next((n for n, line in enumerate(lines) if line.startswith("sensors:")), 0)
        lines[first:first] = [f"{key}: {value}" for key, value in left.items()]
        text = "\n".join([*lines, ""])
        content = yaml.safe_load(self.text)
        wanted = content | {key: yaml.safe_load(value) for key, value in own.items()}
        # a kit that writes these keys over several lines is written without its comments
        return text if _same(text, wanted) else yaml.safe_dump(wanted, sort_keys=False)


def _same(text: str, wanted: object) -> bool:
    try:
        return bool(yaml.safe_load(text) == wanted)
    except yaml.YAMLError:
        return False


def kit_names() -> list[str]:
    """Name the kits that come with protoledger."""
    found = (Path(entry.name) for entry in _KITS.iterdir())
    return sorted(path.stem for path in found if path.suffix == ".yaml" and path.stem != _SITE)


def open_kit(name: str) -> KitFile:
    """Read a kit by its name, or one's own by its path.

    Raises:
        ConfigurationError: there is none, or it is no agent's file; names every error in it.
    """
    place: Traversable = _KITS / f"{name}.yaml"
    if name not in kit_names():
        place = Path(name)
        if not name.endswith((".yaml", ".yml")):
            raise ConfigurationError(
                f"kit {name!r} is unknown; there are {', '.join(kit_names())}, or name a file that "
                f"ends in .yaml"
            )
    try:
        text = place.read_text(encoding="utf-8")
        content: Any = yaml.safe_load(text)
    except OSError as error:
        raise ConfigurationError(f"kit {name}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"kit {name}: is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"kit {name}: has no keys and values")
    # what every agent's file has, and `agent_text` writes
    named = {key: yaml.safe_load(value) for key, value in _OWN.items()}
    model, problems = fit({**content, **named, "id": "kit"}, AgentConfig)
    if model is None or problems:
        raise ConfigurationError(
            "\n  ".join([f"kit {name}: {len(problems)} problem(s)", *problems])
        )
    channels = tuple(sensor.channel for sensor in model.sensors)
    return KitFile(name, text, channels, model.label is not None, model)


@dataclass(frozen=True)
class OwnSchema:
    """What a site is to measure, as its owner says it.

    Attributes:
        channels: by name; each takes the place of the kits' own of this name.
        labels: the classes; empty: the kits'.
        whole: whether these are all channels, so that two sites can share contracts.
    """

    channels: Mapping[str, ChannelConfig]
    labels: tuple[str, ...] = ()
    whole: bool = False


class _Measured(BaseModel):
    """What is taken of a schema file; a site's file has more."""

    channels: tuple[ChannelConfig, ...] = Field(min_length=1, max_length=1024)
    labels: tuple[str, ...] = ()


def parse_channel(text: str) -> ChannelConfig:
    """Read a channel as it stands on a command line.

    >>> parse_channel("co2:ppm:400:5000:5").high
    5000.0

    Raises:
        ConfigurationError: it is none; says how it should be.
    """
    parts = text.split(":")
    if len(parts) != len(_PARTS):
        raise ConfigurationError(
            f"--channel {text!r}: has {len(parts)} parts; write {':'.join(_PARTS)}, such as "
            f"co2:ppm:400:5000:5 (a unit may be empty)"
        )
    content: dict[str, object] = dict(zip(_PARTS, parts, strict=True))
    for key in _PARTS[2:]:
        try:
            content[key] = float(str(content[key]))
        except ValueError:
            raise ConfigurationError(
                f"--channel {text!r}: {key} = {content[key]!r} is no number"
            ) from None
    channel, problems = fit(content, ChannelConfig)
    if channel is None or problems:
        raise ConfigurationError(*[f"--channel {text!r}: {line}" for line in problems])
    return channel


def open_schema(path: Path) -> OwnSchema:
    """Read the channels and labels of a file; of a site's file, only these are taken.

    Raises:
        ConfigurationError: names every error in them.
    """
    measured, problems = read(path, _Measured)
    if measured is None or problems:
        raise ConfigurationError(*[f"--schema {path}: {line}" for line in problems])
    return own_schema(measured.channels, measured.labels, whole=True)


def own_schema(
    channels: Sequence[ChannelConfig], labels: Sequence[str], *, whole: bool = False
) -> OwnSchema:
    """Collect what an owner named.

    Raises:
        ConfigurationError: a name is there twice.
    """
    names = [channel.name for channel in channels]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigurationError(f"channel named more than once: {', '.join(twice)}")
    return OwnSchema({channel.name: channel for channel in channels}, tuple(labels), whole)


def channels_and_labels(
    kits: Sequence[KitFile], own: OwnSchema
) -> tuple[list[ChannelConfig], list[str]]:
    """Give a new site what its kits measure, and what its owner wants.

    Raises:
        ConfigurationError: nobody says in which range a channel is, or nobody measures one.
    """
    used = {name for kit in kits for name in kit.channels}
    file = yaml.safe_load((_KITS / f"{_SITE}.yaml").read_text(encoding="utf-8"))
    of_kits = [ChannelConfig.model_validate(channel) for channel in file["channels"]]
    known = {} if own.whole else {channel.name: channel for channel in of_kits}
    known |= own.channels
    problems = [
        f"no range is known for {name!r}, which a kit measures: add it, for example "
        f"--channel {name}:UNIT:LOW:HIGH:STEP"
        for name in sorted(used - known.keys())
    ]
    problems += [
        f"channel {name!r} is measured by no kit; they measure {', '.join(sorted(used))}"
        for name in sorted(own.channels.keys() - used)
    ]
    if problems:
        raise ConfigurationError(*problems)
    votes = any(kit.votes for kit in kits)
    labels = list(own.labels) or (list(file["labels"]) if votes else [])
    return [channel for name, channel in known.items() if name in used], labels
