"""An agent's file: who it is, and what hangs on its pins."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from protocol.config import CredentialsConfig, Model, Name, SiteConfig
from protocol.errors import ConfigurationError
from protocol.identity import Roster


class SensorConfig(Model):
    """One driver and the channel that it fills."""

    channel: str = Field(description="A channel of the site file.")
    driver: str = Field(description="Name of the driver.")
    options: dict[str, object] = Field(default_factory=dict, description="The driver's options.")


class LabelConfig(Model):
    """Where the agent's vote comes from: a sensor whose reading is a label's number."""

    driver: str = Field(description="Name of the driver.")
    options: dict[str, object] = Field(default_factory=dict, description="The driver's options.")


class SamplingConfig(Model):
    """How readings become windows."""

    window_s: float = Field(default=10.0, gt=0, le=86_400, description="Length of a window.")
    read_every_s: float = Field(default=2.0, gt=0, le=3600, description="Time between readings.")
    by_round: bool = Field(
        default=False,
        description="For recordings: a window is the row that bears its number, counted from the "
        "first window of round 1, so that all agents of a site observe the same moment.",
    )

    @model_validator(mode="after")
    def _a_reading_a_window(self) -> Self:
        if self.read_every_s > self.window_s:
            raise ValueError(
                f"read_every_s {self.read_every_s} leaves windows of {self.window_s} s empty"
            )
        return self


class AgentConfig(Model):
    """An agent."""

    id: Name = Field(description="The agent's name in the roster, and towards the broker.")
    site_file: Path = Field(description="The site file.")
    roster_file: Path = Field(description="The roster, signed by the fleet's key.")
    identity_file: Path = Field(description="The agent's own signing key, mode 0600.")
    credentials: CredentialsConfig = CredentialsConfig()
    sampling: SamplingConfig = SamplingConfig()
    sensors: tuple[SensorConfig, ...] = Field(min_length=1, description="What it measures.")
    label: LabelConfig | None = Field(default=None, description="Its label source, if any.")

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [sensor.channel for sensor in self.sensors]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"channel filled by two sensors: {', '.join(twice)}")
        return self

    def check_against(self, site: SiteConfig, roster: Roster) -> None:
        """Compare with the site and the roster.

        Raises:
            ConfigurationError: naming everything that does not fit.
        """
        known = [channel.name for channel in site.channels]
        measured = {sensor.channel for sensor in self.sensors}
        problems = [
            f"channel {name!r} is none of the site's: {', '.join(known)}"
            for name in sorted(measured - set(known))
        ]
        member = next((agent for agent in roster.agents if agent.id == self.id), None)
        if member is None:
            problems.append(f"{self.id!r} is no agent of the roster {self.roster_file}")
        elif missing := sorted(set(member.channels) - measured):
            problems.append(
                f"the roster says that {self.id} carries {', '.join(missing)}; "
                f"no sensor here fills it"
            )
        if self.label is not None and not site.labels:
            problems.append("a label source is named, the site has no labels")
        if member is not None and member.votes != (self.label is not None):
            says = "has a label source" if member.votes else "has no label source"
            problems.append(f"the roster says that {self.id} {says}, this file says otherwise")
        if problems:
            raise ConfigurationError("; ".join(problems))
