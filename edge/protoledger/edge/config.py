"""The configuration of an agent: its identity, its sensors, and how it samples them."""

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import Field

from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.noise.mechanism import Privacy
from protoledger.protocol.wire.identity import Roster
from protoledger.protocol.wire.schema import NO_LABEL
from protoledger.runtime.mqtt.home_assistant import HomeAssistantConfig
from protoledger.runtime.site import CredentialsConfig, LogLevel, Model, Name, SiteConfig
from protoledger.sensors import SensorError
from protoledger.sensors.registry import inputs, states


class SensorConfig(Model):
    """The sensor of one channel."""

    channel: str = Field(description="Name of a channel of the site file.")
    driver: str = Field(description="Name of the driver.")
    options: dict[str, object] = Field(default_factory=dict, description="The driver's options.")
    filters: dict[str, object] = Field(
        default_factory=dict, description="Changes to the driver's default filters."
    )
    calibration: dict[str, object] = Field(
        default_factory=dict, description="scale, offset and unit, applied before the filters."
    )


class InputConfig(Model):
    """A sensor that fills no channel; a derived channel computes with its readings."""

    name: Name = Field(description="The name by which expressions use it.")
    driver: str = Field(description="Name of the driver.")
    options: dict[str, object] = Field(default_factory=dict, description="The driver's options.")
    filters: dict[str, object] = Field(
        default_factory=dict, description="Changes to the driver's default filters."
    )
    calibration: dict[str, object] = Field(
        default_factory=dict, description="scale, offset and unit, applied before the filters."
    )


class LabelConfig(Model):
    """The agent's label source: a sensor whose reading is the number of a label."""

    driver: str = Field(description="Name of the driver.")
    options: dict[str, object] = Field(default_factory=dict, description="The driver's options.")
    filters: dict[str, object] = Field(
        default_factory=dict, description="Changes to the driver's default filters."
    )


class SamplingConfig(Model):
    """How readings are averaged into windows."""

    read_every_s: float = Field(default=2.0, gt=0, le=3600, description="Time between readings.")
    by_round: bool = Field(
        default=False,
        description="For recordings: window n is row n of the recording, counted from the first "
        "window of round 1, so that all agents of a site observe the same moment. Which rows were "
        "contributed is kept beside the identity file, in ID.spent.",
    )

    keep_windows: int = Field(
        default=8640,
        ge=0,
        le=1_000_000,
        description="Largest number of windows that the agent keeps while no round is announced; "
        "it keeps the first ones of an outage and contributes them afterwards.",
    )


class AgentPrivacyConfig(Model):
    """What the agent keeps of a site's privacy, and what it demands beyond the site file."""

    spent_file: Path = Field(
        description="File for what the agent's contributions have cost, which must outlive "
        "restarts: deleting it gives the agent its whole budget again."
    )
    epsilon: float | None = Field(
        default=None,
        gt=0,
        description="The agent does not start where a round may tell more than this ε.",
    )
    budget: float | None = Field(
        default=None,
        gt=0,
        description="ε that the agent spends at most, if the site's budget is larger.",
    )
    delta: float = Field(
        default=1e-5, gt=0, le=1e-3, description="δ for the agent's own epsilon and budget."
    )

    def limit(self, privacy: Privacy) -> int:
        """Return the units of ρ that the agent may spend at a site."""
        limit = privacy.units(privacy.budget)
        if self.budget is None:
            return limit
        return min(limit, Privacy(self.budget, self.delta, self.budget).cost)

    def problems(self, privacy: Privacy | None) -> Iterator[str]:
        """Compare with the site's privacy, as `AgentConfig.problems_with` does."""
        if privacy is None:
            if self.epsilon is not None or self.budget is not None:
                yield (
                    "privacy: the agent demands noise, and the site file has no `privacy`: its "
                    "sums are exact; ask the site's owner for it, or remove epsilon and budget here"
                )
        elif (self.epsilon or self.budget) and privacy.delta > self.delta:
            # noise ends where the site's δ allows it: beyond that no ε holds
            yield (
                f"privacy.delta = {self.delta:g}: the site's noise is for {privacy.delta:g}; lower "
                f"it in the site file, on all devices, or raise it here"
            )
        elif self.epsilon is not None:
            allowed = Privacy(self.epsilon, self.delta, self.epsilon).cost
            if privacy.cost > allowed:
                yield (
                    f"privacy.epsilon = {self.epsilon:g}: a round of the site costs "
                    f"{privacy.epsilon:g} (δ {privacy.delta:g}); lower it in the site file, on all "
                    f"devices, or raise it here"
                )


class AgentConfig(Model):
    """The configuration of an agent."""

    id: Name = Field(description="The agent's id in the roster; also its user name at the broker.")
    site_file: Path = Field(description="The site file.")
    roster_file: Path = Field(description="The roster, signed with the fleet's key.")
    identity_file: Path = Field(description="The agent's own signing key, mode 0600.")
    credentials: CredentialsConfig = CredentialsConfig()
    sampling: SamplingConfig = SamplingConfig()
    spool_file: Path | None = Field(
        default=None,
        description="SQLite file for the windows of a long outage, so that they survive a "
        "restart; it is written only during an outage. Without it they are kept in memory.",
    )
    status_file: Path | None = Field(
        default=None,
        description="File for the agent's state, which `edge check --running` reads: names of "
        "sensors and their problems, never readings.",
    )
    metrics_file: Path | None = Field(
        default=None,
        description="File for Prometheus' node exporter, with a name in `.prom`: the agent's and "
        "its sensors' state, never readings; off without it.",
    )
    privacy: AgentPrivacyConfig | None = Field(
        default=None, description="Needed where the site file has `privacy`."
    )
    log_level: LogLevel = Field(default="info", description="The least that is logged.")
    home_assistant: HomeAssistantConfig | None = Field(
        default=None,
        description="Publish the agent's state, never its readings, for Home Assistant; off by "
        "default.",
    )
    sensors: tuple[SensorConfig, ...] = Field(min_length=1, description="The agent's sensors.")
    inputs: tuple[InputConfig, ...] = Field(
        default=(), description="Sensors that fill no channel, for derived channels."
    )
    label: LabelConfig | None = Field(default=None, description="The agent's label source, if any.")

    def check_against(self, site: SiteConfig, roster: Roster) -> None:
        """Compare this file with the site file and the roster.

        Raises:
            ConfigurationError: names everything that does not fit.
        """
        problems = [*self.problems(), *self.problems_with(site, roster)]
        if problems:
            raise ConfigurationError(*problems)

    def problems(self) -> list[str]:
        """List what is wrong within this file, as `key = value: what; what to do`."""
        by_channel: dict[str, list[str]] = {}
        for number, sensor in enumerate(self.sensors):
            by_channel.setdefault(sensor.channel, []).append(f"sensors.{number}")
        return [
            f"{second}.channel = {name!r}: {first} fills this channel already; remove one of them"
            for name, (first, *others) in by_channel.items()
            for second in others
        ] + self._problems_with_inputs()

    def _problems_with_inputs(self) -> list[str]:
        """Find names that expressions use and no sensor has, and names that are used twice."""
        needs = [_inputs(sensor) for sensor in self.sensors]
        measured = [s.channel for s, need in zip(self.sensors, needs, strict=True) if not need]
        names = [*measured, *(sensor.name for sensor in self.inputs)]
        problems = [
            f"inputs.{number}.name = {sensor.name!r}: the name is used twice; change one of them"
            for number, sensor in enumerate(self.inputs)
            if names.count(sensor.name) > 1
        ]
        sources: dict[str, InputConfig | LabelConfig]
        sources = {f"inputs.{number}": sensor for number, sensor in enumerate(self.inputs)}
        if self.label is not None:
            sources["label"] = self.label
        problems += [
            f"{where}.driver = {source.driver!r}: only a channel can be computed from readings"
            for where, source in sources.items()
            if _inputs(source)
        ]
        for number, need in enumerate(needs):
            problems += [
                f"sensors.{number}.options: {name!r} is neither a channel that a sensor here "
                f"measures nor the name of an input; there are {_some(names) or 'none'}"
                for name in sorted(need - set(names))
            ]
        return problems

    def problems_with(self, site: SiteConfig, roster: Roster | None) -> list[str]:
        """List what does not fit the site file and the roster, as `problems` does."""
        known = [channel.name for channel in site.channels]
        problems = []
        for number, sensor in enumerate(self.sensors):
            if sensor.channel not in known:
                close = difflib.get_close_matches(sensor.channel, known, n=1)
                hint = f"did you mean {close[0]!r}? " if close else ""
                problems.append(
                    f"sensors.{number}.channel = {sensor.channel!r}: not a channel of the site; "
                    f"{hint}it has {', '.join(known)}"
                )
        if self.label is not None and not site.labels:
            problems.append("label: the site has no labels; remove it, or name them in site.yaml")
        misnamed = bool(problems)
        sampling, window_s = self.sampling, site.round.window_s
        if sampling.read_every_s > window_s and not sampling.by_round:
            problems.append(
                f"sampling.read_every_s = {sampling.read_every_s:g}: leaves windows of "
                f"{window_s:g} s (round.window_s of the site) empty; read more often"
            )
        problems += [*self._problems_with_privacy(site), *self._problems_with_votes(site.labels)]
        if roster is None:
            return problems
        return problems + self._problems_with_roster(roster, misnamed=misnamed)

    def _problems_with_privacy(self, site: SiteConfig) -> Iterator[str]:
        if self.privacy is not None:
            yield from self.privacy.problems(site.as_privacy())
        elif site.privacy is not None:
            yield (
                "privacy: the site's rounds cost privacy, and the agent must keep what it has "
                "spent; set privacy.spent_file, on a disk that outlives restarts"
            )

    def _problems_with_votes(self, labels: Sequence[str]) -> list[str]:
        """Find values of the label source that are no label's number and so would never vote."""
        if self.label is None or not labels:
            return []
        try:
            values = states(self.label.driver, self.label.options)
        except SensorError:
            return []  # reported where sensors are checked or opened
        listed = _some([f"{number} ({name})" for number, name in enumerate(labels)], most=10)
        return [
            f"label.options.{key} = {value:g}: no label has this number; the site has {listed}, "
            f"and {NO_LABEL} votes for none"
            for key, value in values.items()
            if value not in range(NO_LABEL, len(labels))
        ]

    def _problems_with_roster(self, roster: Roster, *, misnamed: bool) -> list[str]:
        member = next((agent for agent in roster.agents if agent.id == self.id), None)
        if member is None:
            listed = _some([agent.id for agent in roster.agents])
            return [
                (
                    f"id = {self.id!r}: no agent of the roster {self.roster_file}, which has "
                    f"{listed}; correct the id, or sign a roster with it"
                )
            ]
        problems = []
        measured = {sensor.channel for sensor in self.sensors}
        missing = sorted(set(member.channels) - measured)
        if missing and not misnamed:  # a corrected channel name would cure both
            problems.append(
                f"sensors: the roster says that {self.id} measures {', '.join(missing)}, but no "
                f"sensor here does; add one, or sign a roster without it"
            )
        if member.votes != (self.label is not None):
            says = "has a label source" if member.votes else "has no label source"
            problems.append(
                f"label: the roster says that {self.id} {says}, this file says otherwise; "
                f"correct one of them"
            )
        return problems


def _inputs(sensor: SensorConfig | InputConfig | LabelConfig) -> frozenset[str]:
    try:
        return inputs(sensor.driver, sensor.options)
    except SensorError:
        return frozenset()  # reported where sensors are checked or opened


def _some(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
