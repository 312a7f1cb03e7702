"""The site file, shared word for word by a site's gateway and agents, and how files are read.

Every model is frozen, refuses unknown keys and describes each field: the reference page and the
JSON Schema are made from them. All that is wrong with a file is told at once.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from protoledger.protocol.code.plans import choose_partitions
from protoledger.protocol.code.seats import Plan
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.identity import Roster
from protoledger.protocol.wire.schema import Channel, Schema
from protoledger.protocol.wire.terms import Terms
from protoledger.protocol.wire.topics import NAME_PATTERN
from protoledger.runtime.yaml_files import read

Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class Model(BaseModel):
    """The base of all configuration: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ChannelConfig(Model):
    """One quantity that the site measures."""

    name: str = Field(min_length=1, max_length=64, description="Unique name of the channel.")
    unit: str = Field(default="", max_length=16, description="Unit as a person reads it.")
    low: float = Field(description="Smallest value kept; what is below is clipped.")
    high: float = Field(description="Largest value kept; what is above is clipped.")
    step: float = Field(gt=0, description="Resolution; readings are rounded to it.")
    private: bool = Field(
        default=True, description="Whether minimum_contributors agents must carry the channel."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.high - self.low < self.step:
            raise ValueError(f"high {self.high} must exceed low {self.low} by a step {self.step}")
        return self


class AggregationConfig(Model):
    """Whom the sums protect, and what they survive."""

    collusion: int = Field(default=1, ge=1, description="T: agents that may pool what they see.")
    dropouts: int = Field(default=1, ge=0, description="D: agents that may vanish in a round.")
    partitions: Literal["all", "auto"] | int = Field(
        default="all",
        description="K: parts of a vector; K + T + D agents make a group. `all`: one group of "
        "all agents; `auto`: what needs the least of `optimise`.",
    )
    optimise: Literal["bytes", "latency"] = Field(
        default="latency", description="What `partitions: auto` makes small."
    )
    minimum_contributors: int = Field(
        default=3,
        ge=3,
        description="The smallest number of agents whose sum may be decoded; at least collusion "
        "+ 2, or colluders could subtract themselves.",
    )

    def partitions_for(self, agents: int, length: int) -> int | None:
        """Return K for so many agents and symbols; None for one group of all.

        Raises:
            ConfigurationError: if no K fits.
        """
        if self.partitions == "auto":
            return choose_partitions(agents, self.collusion, self.dropouts, length, self.optimise)
        return None if self.partitions == "all" else self.partitions


class RoundConfig(Model):
    """What a round carries, and how long it may take."""

    windows: int = Field(default=1, ge=1, le=4096, description="B: windows in a round.")
    every_s: float = Field(
        default=10.0, ge=0, le=86_400, description="Seconds between rounds; 0: without a pause."
    )
    catch_up: int = Field(
        default=9000,
        ge=0,
        le=1_000_000,
        description="After an outage, most rounds without a pause in which agents hand in what "
        "they kept; they end as soon as nothing comes. None with every_s: 0.",
    )
    share_s: float = Field(default=2.0, gt=0, le=600, description="Time for shares to arrive.")
    sum_s: float = Field(default=2.0, gt=0, le=600, description="Time for sums to arrive.")


class BrokerConfig(Model):
    """Where the MQTT broker is, and how it is spoken to."""

    host: str = Field(description="Name or address; the certificate must bear it.")
    port: int = Field(default=8883, ge=1, le=65_535, description="TCP port.")
    ca_file: Path | None = Field(
        default=None, description="The authority that signed the broker's certificate."
    )
    plaintext: bool = Field(
        default=False, description="Speak without TLS; only towards a broker on this machine."
    )
    version: int = Field(
        default=5, ge=4, le=5, description="MQTT 5, or 4 for a broker that knows only 3.1.1."
    )

    @model_validator(mode="after")
    def _secured(self) -> Self:
        if not self.plaintext and self.ca_file is None:
            raise ValueError("ca_file is needed for TLS; or say plaintext: true")
        if self.plaintext and self.host not in {"localhost", "127.0.0.1", "::1"}:
            raise ValueError(f"plaintext towards {self.host} would show who reads what; use TLS")
        return self


class CredentialsConfig(Model):
    """What a client shows the broker."""

    certificate_file: Path | None = Field(default=None, description="Client certificate, PEM.")
    key_file: Path | None = Field(default=None, description="Its private key, mode 0600.")
    password_file: Path | None = Field(
        default=None, description="Password for the client's id, mode 0600."
    )


class SiteConfig(Model):
    """A site: what it measures, how it aggregates, where its broker is."""

    site: Name = Field(description="Name of the site, a level of the MQTT topics.")
    fleet_key: str = Field(
        pattern=r"^[0-9a-f]{64}$", description="Public key that signs the roster, hexadecimal."
    )
    channels: tuple[ChannelConfig, ...] = Field(min_length=1, max_length=1024)
    labels: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(
        max_length=255, description="Names of the classes; none for a site that only averages."
    )
    aggregation: AggregationConfig = AggregationConfig()
    round: RoundConfig = RoundConfig()
    broker: BrokerConfig

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for what, names in (
            ("channel", [channel.name for channel in self.channels]),
            ("label", list(self.labels)),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{what} named twice: {', '.join(twice)}")
        return self

    def as_schema(self) -> Schema:
        """Return the channels and labels as the protocol sees them."""
        return Schema(
            tuple(Channel(**channel.model_dump()) for channel in self.channels), self.labels
        )

    def terms(self, roster: Roster) -> Terms:
        """Fit this file to a roster.

        Raises:
            ConfigurationError: naming every knob that does not fit.
        """
        problems = [*self._roster_problems(roster)]
        schema, wanted = self.as_schema(), self.aggregation
        terms: Terms | None = None
        try:
            schema.check_sums(len(roster.agents))
        except ConfigurationError as error:
            problems += error.problems
        try:
            length = self.round.windows * schema.length
            partitions = wanted.partitions_for(len(roster.agents), length)
            terms = Terms(
                schema,
                Plan(len(roster.agents), wanted.collusion, wanted.dropouts, partitions),
                wanted.minimum_contributors,
                self.round.windows,
                max(1, round(1000 * self.round.share_s)),
                max(1, round(1000 * self.round.sum_s)),
            )
        except ConfigurationError as error:
            problems += error.problems
        if problems or terms is None:
            raise ConfigurationError(*problems)
        return terms

    def _roster_problems(self, roster: Roster) -> Iterator[str]:
        minimum = self.aggregation.minimum_contributors
        if roster.site != self.site:
            yield f"the roster is of site {roster.site!r}, this file of {self.site!r}"
        carried = Counter(name for agent in roster.agents for name in set(agent.channels))
        for channel in self.channels:
            carriers = carried[channel.name]
            if channel.private and carriers < minimum:
                yield (
                    f"channel {channel.name!r} is carried by {carriers} agents, "
                    f"minimum_contributors is {minimum}: its mean would show single readings; "
                    f"add kits, lower the minimum, or say `private: false` for the channel"
                )
        voters = sum(agent.votes for agent in roster.agents)
        if 0 < voters < minimum:
            yield (
                f"{voters} agents have a label source, minimum_contributors is {minimum}: no vote "
                f"would ever count; add label sources or lower the minimum"
            )


_Config = TypeVar("_Config", bound=Model)


def load(path: Path, shape: type[_Config]) -> _Config:
    """Read a YAML file into a model; paths in it are relative to the file.

    Raises:
        ConfigurationError: with one line for everything that is wrong.
    """
    model, problems = read(path, shape)
    if problems or model is None:
        raise ConfigurationError("\n  ".join([f"{path}: {len(problems)} problem(s)", *problems]))
    return model
