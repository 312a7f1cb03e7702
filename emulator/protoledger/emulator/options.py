"""The options of an emulation, validated before any process starts."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from protoledger.emulator.processes.liars import Attack
from protoledger.emulator.sources.dealing import DEFAULT_NOISE
from protoledger.gateway.config import LearnerName, TestName
from protoledger.protocol.plans import Plan
from protoledger.runtime.site import AggregationConfig, Partitions

Learner = LearnerName
Test = TestName


class Options(BaseModel):
    """The options of `protoledger emulate`; `rounds` is None for all rows of the source."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    sites: int = Field(default=3, ge=1, le=50)
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
