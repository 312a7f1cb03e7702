"""Kits as beginnings of agents' files, and the channels that their sensors need."""

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from protoledger.edge.config import AgentConfig
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.site import ChannelConfig
from protoledger.runtime.yaml_files import fit

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_KITS = files("protoledger.edge") / "kits"
_SITE = "site"
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
    """

    name: str
    text: str
    channels: tuple[str, ...]
    votes: bool

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
    return KitFile(name, text, channels, votes=model.label is not None)


def known_channels() -> dict[str, ChannelConfig]:
    """The channels of the kits, by name, in their order."""
    found = yaml.safe_load((_KITS / f"{_SITE}.yaml").read_text(encoding="utf-8"))
    channels = [ChannelConfig.model_validate(channel) for channel in found["channels"]]
    return {channel.name: channel for channel in channels}


def known_labels() -> tuple[str, ...]:
    """The labels that the kits' label sources vote for."""
    found = yaml.safe_load((_KITS / f"{_SITE}.yaml").read_text(encoding="utf-8"))
    return tuple(found["labels"])
