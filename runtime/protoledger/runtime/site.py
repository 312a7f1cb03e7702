"""The site file, of which a site's gateway and all its agents hold the same copy.

Every configuration model is frozen, refuses unknown keys and describes each field; the reference
page and the JSON Schema are generated from the models. `load` reports all errors of a file at once.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.noise.mechanism import Privacy
from protoledger.protocol.plans import (
    MAX_HOLDERS,
    Plan,
    choose_committee,
    choose_validity,
    default_collusion,
)
from protoledger.protocol.wire.identity import Roster
from protoledger.protocol.wire.schema import Channel, Schema
from protoledger.protocol.wire.terms import Terms
from protoledger.protocol.wire.topics import NAME_PATTERN
from protoledger.runtime.yaml_files import read

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
LogLevel = Literal["debug", "info", "warning", "error"]
Partitions = Literal["all"] | int
"""K, how many parts a vector is cut into: a number, or how to choose it."""


class Model(BaseModel):
    """Base class of all configuration: frozen, refuses unknown keys, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ChannelConfig(Model):
    """One quantity that the site measures."""

    name: str = Field(min_length=1, max_length=64, description="Unique name of the channel.")
    unit: str = Field(default="", max_length=16, description="Unit as a person reads it.")
    low: float = Field(description="Smallest value; smaller readings are clipped to it.")
    high: float = Field(description="Largest value; larger readings are clipped to it.")
    step: float = Field(gt=0, description="Resolution; readings are rounded to a multiple of it.")
    private: bool = Field(
        default=True,
        description="Whether at least minimum_contributors agents must measure the channel.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high - self.low < self.step:
            raise ValueError(f"high {self.high} must exceed low {self.low} by a step {self.step}")
        return self


class AggregationConfig(Model):
    """How many colluding and how many missing agents secure aggregation withstands."""

    validity: Literal["auto", "proven", "packed"] = Field(
        default="auto",
        description="`proven`: agents prove that what they contribute is valid, so that nobody "
        "bends a sum beyond its own readings' range. `packed`: shorter messages for long vectors "
        "and small sites, and one agent can bend a sum. `auto`: proven where the agents suffice "
        "for collusion and dropouts.",
    )
    collusion: int | None = Field(
        default=None,
        ge=1,
        description="T: agents that may pool what they see, or lie. By default 1, from 20 agents "
        "on 2, from 50 on 3.",
    )
    dropouts: int | None = Field(
        default=None,
        ge=0,
        description="D: agents that may vanish after they have shared. By default 1, and 0 where "
        "the agents do not suffice for that.",
    )
    positions: int | None = Field(
        default=None,
        ge=3,
        le=MAX_HOLDERS,
        description="Most agents that hold a position and answer; all others only contribute. By "
        "default about ten with proofs, else all.",
    )
    partitions: Partitions = Field(
        default="all",
        description="K: parts of a vector in the packed code; `all`: as many as fit.",
    )
    minimum_contributors: int | None = Field(
        default=None,
        ge=3,
        description="The smallest number of agents whose sum may be opened, and the fewest that "
        "must fill a channel or vote; at least collusion + 2, which it is by default, or colluders "
        "could subtract themselves.",
    )

    def plan(self, agents: int) -> Plan:
        """Fit this to so many agents.

        Raises:
            ConfigurationError: naming the knobs that do not fit.
        """
        if self.dropouts is not None:
            return self._plan(agents, self.dropouts)
        try:
            return self._plan(agents, 1)
        except ConfigurationError:
            return self._plan(agents, 0)

    def _plan(self, agents: int, dropouts: int) -> Plan:
        collusion = self.collusion or default_collusion(agents)
        validity = self.validity
        if validity == "auto":
            validity = choose_validity(agents, collusion, dropouts)
        parts = None if self.partitions == "all" else self.partitions
        committee = self.positions or choose_committee(agents, collusion, dropouts, validity)
        plan = Plan(agents, collusion, dropouts, validity, min(committee, agents), parts)
        if plan.missing(plan.committee) < dropouts:
            raise ConfigurationError(
                f"dropouts {dropouts} with collusion {collusion} and validity: {validity}: "
                f"{plan.committee} positions bear {plan.missing(plan.committee)} missing answers; "
                f"lower dropouts or collusion, or add agents"
            )
        return plan

    def minimum(self, plan: Plan, *, noisy: bool = False) -> int:
        """Return the smallest set for a plan; with noise: all but those that may be missing."""
        usual = plan.agents - plan.dropouts if noisy else 3
        return self.minimum_contributors or max(usual, plan.collusion + 2)


class RoundConfig(Model):
    """How many windows a round carries, and how long it may take."""

    windows: int = Field(default=1, ge=1, le=4096, description="B: windows in a round.")
    window_s: float = Field(
        default=10.0, ge=0.001, le=86_400, description="Length of a window, the same everywhere."
    )
    every_s: float = Field(
        default=10.0,
        ge=0,
        le=86_400,
        description="Seconds from the start of a round to the start of the next; 0: no pause.",
    )
    catch_up: int = Field(
        default=9000,
        ge=0,
        le=1_000_000,
        description="Largest number of rounds without a pause after an outage, in which agents "
        "contribute the windows that they kept; they end as soon as a round brings none. There "
        "are none with every_s: 0.",
    )
    share_s: float = Field(
        default=2.0, gt=0, le=600, description="Seconds that the gateway waits for boxes."
    )
    answer_s: float = Field(
        default=2.0, gt=0, le=600, description="Seconds that the gateway waits for answers."
    )


class PrivacyConfig(Model):
    """Noise that hides each agent in a round's sums, and how much all rounds together may tell."""

    epsilon: float = Field(
        gt=0, le=20, description="ε of one round: how much its sums may tell of one agent."
    )
    delta: float = Field(
        default=1e-5,
        gt=0,
        le=1e-3,
        description="δ: the probability for which ε does not hold, of all rounds together.",
    )
    budget: float = Field(
        gt=0,
        le=100,
        description="ε of all rounds together, for ever: an agent that has spent it contributes "
        "no more.",
    )
    clip: float | None = Field(
        default=None,
        gt=0,
        lt=0.5,
        description="How far from the last mean a value may be, in parts of its channel's range; "
        "what is further is clipped. The narrower, the less noise. Without it: the whole range.",
    )


class BrokerConfig(Model):
    """The address of the MQTT broker, and how to connect to it."""

    host: str = Field(description="Host name or address; the broker's certificate must name it.")
    port: int = Field(default=8883, ge=1, le=65_535, description="TCP port.")
    ca_file: Path | None = Field(
        default=None,
        description="Certificate (PEM) of the authority that signed the broker's certificate.",
    )
    plaintext: bool = Field(
        default=False, description="Connect without TLS; only to a broker on this machine."
    )
    version: int = Field(
        default=5, ge=4, le=5, description="5 for MQTT 5; 4 for a broker with MQTT 3.1.1 only."
    )

    @model_validator(mode="after")
    def _secured(self) -> Self:
        if not self.plaintext and self.ca_file is None:
            raise ValueError("ca_file is needed for TLS; name it, or set plaintext: true")
        if self.plaintext and self.host not in {"localhost", "127.0.0.1", "::1"}:
            raise ValueError(
                f"plaintext to {self.host}: the network could read and change messages; use TLS"
            )
        return self


class CredentialsConfig(Model):
    """How a client authenticates to the broker."""

    certificate_file: Path | None = Field(default=None, description="Client certificate, PEM.")
    key_file: Path | None = Field(default=None, description="Its private key, mode 0600.")
    password_file: Path | None = Field(
        default=None, description="Password for the client's id, mode 0600."
    )


class SiteConfig(Model):
    """A site: what it measures, how it aggregates, where its broker is."""

    site: Name = Field(description="Name of the site, a level of the MQTT topics.")
    fleet_key: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        description="Public key that verifies the roster's signature, hexadecimal.",
    )
    channels: tuple[ChannelConfig, ...] = Field(min_length=1, max_length=1024)
    labels: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(
        max_length=255, description="Names of the classes; empty for a site that only averages."
    )
    schema_hash: str | None = Field(
        default=None,
        pattern=r"^(0x)?[0-9a-f]{64}$",
        description="Hash of channels and labels, to which the contracts are bound: "
        "`protoledger schema FILE` prints it. If it is given, a change of either is refused.",
    )
    aggregation: AggregationConfig = AggregationConfig()
    round: RoundConfig = RoundConfig()
    privacy: PrivacyConfig | None = Field(
        default=None, description="Differential privacy of each round's sums; off without it."
    )
    broker: BrokerConfig

    @model_validator(mode="after")
    def _unchanged(self) -> Self:
        digest = self.as_schema().digest.hex()
        if self.schema_hash is not None and self.schema_hash.removeprefix("0x") != digest:
            raise ValueError(
                f"schema_hash is {self.schema_hash[:10]}…, but channels and labels hash to "
                f"{digest}: they were changed, and contracts that were deployed for the old ones "
                f"refuse this site; change them back, or write this hash and deploy new contracts"
            )
        return self

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for what, names in (
            ("channel", [channel.name for channel in self.channels]),
            ("label", list(self.labels)),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{what} named more than once: {', '.join(twice)}")
        return self

    def as_schema(self) -> Schema:
        """Return the channels and labels as the protocol's schema."""
        return Schema(
            tuple(Channel(**channel.model_dump()) for channel in self.channels), self.labels
        )

    def as_privacy(self) -> Privacy | None:
        """Return the site's privacy, if it has any."""
        return None if self.privacy is None else Privacy(**self.privacy.model_dump())

    def terms(self, roster: Roster) -> Terms:
        """Derive the terms of a round from this file and a roster.

        Raises:
            ConfigurationError: names every setting that does not fit the roster.
        """
        problems = [*self._roster_problems(roster)]
        terms: Terms | None = None
        try:
            terms = self.terms_of(len(roster.agents))
        except ConfigurationError as error:
            problems += error.problems
        if problems or terms is None:
            raise ConfigurationError(*problems)
        return terms

    def terms_of(self, agents: int) -> Terms:
        """Derive the terms of a round of a site with so many agents; see `terms`."""
        problems = [*self._hasty()]
        schema, wanted = self.as_schema(), self.aggregation
        terms: Terms | None = None
        try:
            schema.check_sums(agents)
        except ConfigurationError as error:
            problems += error.problems
        try:
            plan = wanted.plan(agents)
            terms = Terms(
                schema,
                plan,
                wanted.minimum(plan, noisy=self.privacy is not None),
                self.round.windows,
                _milliseconds(self.round.window_s),
                _milliseconds(self.round.share_s),
                _milliseconds(self.round.answer_s),
                self.as_privacy(),
            )
        except ConfigurationError as error:
            problems += error.problems
        if problems or terms is None:
            raise ConfigurationError(*problems)
        return terms

    def _hasty(self) -> Iterator[str]:
        """Find rounds that would spend privacy's budget before their windows are over."""
        covered = self.round.windows * self.round.window_s
        if self.privacy is not None and self.round.every_s < covered:
            yield (
                f"privacy with round.every_s {self.round.every_s:g}: a round costs as much of the "
                f"budget, however little has been read since the last one; set at least "
                f"{covered:g} s, windows × window_s, or lower these, or remove `privacy`"
            )

    def _minimum(self, agents: int) -> int:
        noisy = self.privacy is not None
        try:
            return self.aggregation.minimum(self.aggregation.plan(agents), noisy=noisy)
        except ConfigurationError:  # which is reported by itself
            return self.aggregation.minimum_contributors or 3

    def _roster_problems(self, roster: Roster) -> Iterator[str]:
        minimum = self._minimum(len(roster.agents))
        if roster.site != self.site:
            yield f"the roster is of site {roster.site!r}, this file of {self.site!r}"
        carried = Counter(name for agent in roster.agents for name in set(agent.channels))
        for channel in self.channels:
            carriers = carried[channel.name]
            if channel.private and carriers < minimum:
                yield (
                    f"channel {channel.name!r} is measured by {carriers} agents, but "
                    f"minimum_contributors is {minimum}: a mean of so few agents would show single "
                    f"readings; add agents, lower the minimum, or set `private: false` for the "
                    f"channel"
                )
        voters = sum(agent.votes for agent in roster.agents)
        if 0 < voters < minimum:
            yield (
                f"{voters} agents have a label source, but minimum_contributors is {minimum}: no "
                f"vote would ever count; add label sources or lower the minimum"
            )


def _milliseconds(seconds: float) -> int:
    return max(1, round(1000 * seconds))


_Config = TypeVar("_Config", bound=Model)


def load(path: Path, shape: type[_Config]) -> _Config:
    """Read a YAML file into a model; paths in it are relative to the file's folder.

    Raises:
        ConfigurationError: with one line for each error in the file.
    """
    model, problems = read(path, shape)
    if problems or model is None:
        raise ConfigurationError("\n  ".join([f"{path}: {len(problems)} problem(s)", *problems]))
    return model
