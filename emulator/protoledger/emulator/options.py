"""The options of an emulation, validated before any process starts."""

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from protoledger.emulator.processes.liars import Attack
from protoledger.emulator.sources.dealing import DEFAULT_NOISE
from protoledger.gateway.config import LearnerName, TestName
from protoledger.protocol.plans import Plan
from protoledger.runtime.site import AggregationConfig, Partitions

Learner = LearnerName
Test = TestName

MOST_SITES = 50
"""Of processes on one machine."""
_OF_PROCESSES = (
    *("liars", "drop_rate", "oracle", "broker", "broker_ca", "chain", "chain_key", "keep", "page"),
)


class Options(BaseModel):
    """The options of `protoledger emulate`; `rounds` is None for all rows of the source."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sites: int = Field(default=3, ge=1, le=10_000)
    agents: int = Field(default=6, ge=3, le=1000)
    rounds: int | None = Field(default=200, ge=1)
    batch: int = Field(default=1, ge=1, le=4096)
    source: str = "house"
    label: str | None = None
    missing: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    noise: float = Field(default=DEFAULT_NOISE, ge=0)
    validity: Literal["auto", "proven", "packed"] = "auto"
    collusion: int | None = Field(default=None, ge=1)
    dropouts: int | None = Field(default=None, ge=0)
    partitions: Partitions = "all"
    liars: int = Field(default=0, ge=0)
    attack: Attack = "beyond"
    drop_rate: float = Field(default=0.0, ge=0, le=1)
    round_seconds: float = Field(default=4.0, gt=0, le=600)
    seed: int = Field(default=0, ge=0)
    learner: Learner = "improved"
    test: Test = "e-process"
    alpha: float = Field(default=0.05, gt=0, lt=1)
    oracle: int = Field(default=0, ge=0, le=31)
    broker: str | None = None
    broker_ca: Path | None = None
    chain: str = "anvil"
    chain_key: Path | None = None
    keep: Path | None = None
    page: bool = False
    virtual: int | None = Field(default=None, ge=3, le=100_000)
    network: Path | None = None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        """Refuse what has a meaning only in virtual time, or only with processes."""
        fields = type(self).model_fields
        if self.virtual is None:
            if self.network is not None and (self.keep or ":" in (self.broker or "")):
                raise ValueError(
                    "--network leads devices through a relay of this run: no --keep, and a broker "
                    "that is started here"
                )
            if self.sites > MOST_SITES:
                raise ValueError(f"--sites {self.sites}: at most {MOST_SITES} without --virtual")
            return self
        given = [
            f"--{name.replace('_', '-')}"
            for name in _OF_PROCESSES
            if getattr(self, name) != fields[name].get_default()
        ]
        if given:
            raise ValueError(f"{', '.join(given)}: there is no such thing in virtual time")
        if self.virtual < self.agents:
            raise ValueError(f"--virtual {self.virtual}: a site has {self.agents} agents")
        return self

    @property
    def aggregation(self) -> AggregationConfig:
        """What the site files say of it."""
        return AggregationConfig(
            validity=self.validity,
            collusion=self.collusion,
            dropouts=self.dropouts,
            partitions=self.partitions,
        )

    @property
    def plan(self) -> Plan:
        """What follows for so many agents.

        Raises:
            ConfigurationError: if they cannot bear what is asked of them.
        """
        return self.aggregation.plan(self.agents)

    @property
    def minimum_contributors(self) -> int:
        """The smallest set that agents answer."""
        return self.aggregation.minimum(self.plan)
