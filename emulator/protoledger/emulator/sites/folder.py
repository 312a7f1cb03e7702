"""The folder of a site: where its files are, and what it remembers.

owner/      the owner's secrets, see `protoledger.runtime.pki.owner`; stays with the owner
broker/     all that Mosquitto needs
devices/ID/ all that a device needs; its own keys too, unless it keeps them elsewhere
site.yaml   the site's file, which may be edited; `site renew` hands it out
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import msgspec
from msgspec import Meta, Struct

from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.topics import is_name
from protoledger.runtime.key_files import write_secret
from protoledger.runtime.pki.lock import alone
from protoledger.runtime.site import SiteConfig, load


class SitePlan(Struct, frozen=True, forbid_unknown_fields=True):
    """What `owner/site.json` remembers.

    Attributes:
        version: of this format.
        gateway: the gateway's id.
        agents: each agent's id.
        broker: host name or address of the broker.
        port: its TCP port.
        chain: the node's URL; empty for a site that learns alone.
    """

    version: Annotated[int, Meta(ge=1, le=1)]
    gateway: str
    agents: tuple[str, ...]
    broker: str
    port: Annotated[int, Meta(ge=1, le=65535)]
    chain: str

    @property
    def devices(self) -> tuple[str, ...]:
        """The gateway and the agents."""
        return (self.gateway, *self.agents)


@dataclass(frozen=True)
class SiteFolder:
    """The paths of a site's files.

    Attributes:
        path: the site's folder.
        plan: its devices, its broker and its chain.
    """

    path: Path
    plan: SitePlan

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what the folder remembers.

        Raises:
            ConfigurationError: it is no site's folder, or its memory is damaged.
        """
        file = path / "owner" / "site.json"
        try:
            plan = msgspec.json.decode(file.read_bytes(), type=SitePlan)
        except FileNotFoundError:
            raise ConfigurationError(
                f"{path} is not the folder of a site: there is no {file}; change to the folder "
                f"that `protoledger site init` made, or name it with --site"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"{file}: {error.strerror}") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{file}: {error}; restore it from a backup") from error
        if strange := [name for name in plan.devices if not is_name(name)]:
            raise ConfigurationError(f"{file}: {strange[0]!r} is no name of a device")
        return cls(path, plan)

    @classmethod
    @contextlib.contextmanager
    def locked(cls, path: Path) -> Iterator[Self]:
        """Read it and keep other commands from changing it during the block."""
        cls.read(path)  # a wrong folder gets no lock file
        with alone(path / "owner"):
            yield cls.read(path)

    @property
    def owner(self) -> Path:
        """The owner's secrets."""
        return self.path / "owner"

    @property
    def broker(self) -> Path:
        """The broker's files."""
        return self.path / "broker"

    @property
    def site_file(self) -> Path:
        """The site's file."""
        return self.path / "site.yaml"

    @property
    def roster_file(self) -> Path:
        """The signed roster; missing until enough devices are approved."""
        return self.path / "roster.json"

    @property
    def site(self) -> SiteConfig:
        """The site's file, validated."""
        return load(self.site_file, SiteConfig)

    def device(self, name: str) -> Path:
        """A device's folder."""
        return self.path / "devices" / name

    def config(self, name: str) -> Path:
        """A device's own file."""
        return self.device(name) / ("gateway.yaml" if name == self.plan.gateway else "agent.yaml")

    def handed_in(self, name: str) -> Path:
        """The approved request of a device."""
        return self.owner / "requests" / f"{name}.json"

    def public_half(self, name: str) -> Path:
        """The owner's record of an approved device."""
        return self.owner / "devices" / f"{name}.json"

    @property
    def approved(self) -> list[str]:
        """The agents whose requests the owner has approved."""
        return [agent for agent in self.plan.agents if self.public_half(agent).exists()]

    @property
    def waiting(self) -> list[str]:
        """The devices without an approved request."""
        return [one for one in self.plan.devices if not self.public_half(one).exists()]

    def with_agents(self, agents: tuple[str, ...]) -> "SiteFolder":
        """Remember other agents, on disk too."""
        return self.with_plan(agents=agents)

    def with_plan(self, **changes: object) -> "SiteFolder":
        """Remember something else, on disk too."""
        changed = SiteFolder(self.path, msgspec.structs.replace(self.plan, **changes))
        changed.save()
        return changed

    def save(self) -> None:
        """Write what the folder remembers, whole or not at all."""
        text = msgspec.json.format(msgspec.json.encode(self.plan), indent=2) + b"\n"
        write_secret(self.owner / "site.json", text, replace=True)
