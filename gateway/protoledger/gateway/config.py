"""A gateway's file: who it is, how it learns, and which ledger it shares what it learnt on."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from protoledger.gateway.learner import Mode, check_mode
from protoledger.gateway.ledger.config import LedgerConfig
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.identity import Roster
from protoledger.runtime.mqtt.home_assistant import HomeAssistantConfig
from protoledger.runtime.site import CredentialsConfig, LogLevel, Model, Name, SiteConfig

TestName = Literal["e-process", "mcnemar", "interval", "always"]
"""How a candidate is compared with what was committed last; see `training.significance`."""


class KernelsConfig(Model):
    """Compiled kernels: the same results sooner, once there is enough to learn that they pay."""

    enabled: bool = Field(default=True, description="Whether to compile; false learns in numpy.")
    path: Path | None = Field(
        default=None,
        description="Folder that keeps them, closed to other users; without it systemd's "
        "CacheDirectory, or `protoledger/kernels` in the user's cache.",
    )


LearnerName = Annotated[Mode, AfterValidator(check_mode)]
"""The name of a learner that is installed."""


class LearnerConfig(Model):
    """Which learner, and how large it may grow."""

    mode: LearnerName = Field(
        default="improved",
        description="`improved`: ours; `reference`: XuILVQ as it was published; or a learner that "
        "another package adds by an entry point in the group `protoledger.learners`.",
    )
    capacity: int = Field(
        default=128, ge=2, le=4096, description="Most prototypes of the improved learner."
    )
    ask_below: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Ask for a label where the most probable class leads the next by less than "
        "this: an `ask` event, and `label_wanted` on the gateway's health topic. Off without it.",
    )
    kernels: KernelsConfig = KernelsConfig()


class CommitConfig(Model):
    """What is significant enough to be written on the chain."""

    test: TestName = Field(
        default="e-process",
        description="How a candidate is compared with what was committed last; `always` commits "
        "the changes of every round.",
    )
    alpha: float = Field(default=0.05, gt=0, lt=1, description="Level of the test.")
    quiet_hours: float | None = Field(
        default=12.0,
        gt=0,
        description="After so many hours without a labelled sample the gateway commits what the "
        "chain lacks, whatever the test says; null: never.",
    )
    stop_s: float | None = Field(
        default=5.0,
        ge=0,
        le=45,
        description="A gateway that is stopped (or has run all its `rounds`) commits what the "
        "chain lacks, and waits at most so many seconds for that to land; what has not by then "
        "lands by itself, or is sent at the next start. null: it commits nothing then.",
    )


class HistoryConfig(Model):
    """What `protoledger dashboard` and `protoledger report` read."""

    enabled: bool = Field(
        default=True,
        description="Whether to keep a history beside the store: labels, answers and what others "
        "bring, at most a few megabytes; no readings.",
    )


class MetricsConfig(Model):
    """Where Prometheus may ask for metrics."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(ge=0, le=65_535, description="TCP port; 0 takes a free one.")
    agents: bool = Field(
        default=False, description="Whether to show of each agent whether it is present."
    )


class GatewayConfig(Model):
    """A gateway."""

    id: Name = Field(description="The gateway's name in the roster, and towards the broker.")
    site_file: Path = Field(description="The site file.")
    roster_file: Path = Field(description="The roster, signed by the fleet's key.")
    identity_file: Path = Field(description="The gateway's own signing key, mode 0600.")
    credentials: CredentialsConfig = CredentialsConfig()
    store_file: Path = Field(description="SQLite file with the model; made if missing.")
    learner: LearnerConfig = LearnerConfig()
    commit: CommitConfig = CommitConfig()
    ledger: LedgerConfig | None = Field(
        default=None, description="The chain; without it the site learns alone."
    )
    metrics: MetricsConfig | None = Field(
        default=None, description="Metrics for Prometheus; without it there are none."
    )
    history: HistoryConfig = HistoryConfig()
    log_level: LogLevel = Field(default="info", description="The least that is logged.")
    home_assistant: HomeAssistantConfig | None = Field(
        default=None, description="Tell Home Assistant predictions and health; off without it."
    )
    rounds: int | None = Field(
        default=None,
        ge=1,
        description="Open no round after this many; the gateway then only follows the chain.",
    )
    wait_for_agents_s: float = Field(
        default=10.0,
        ge=0,
        description="How long to wait at the start for the whole roster; then a quorum is enough.",
    )

    def check_against(self, roster: Roster, site: SiteConfig) -> None:
        """Compare with the site and the roster.

        Raises:
            ConfigurationError: naming everything that does not fit.
        """
        problems = []
        if self.id != roster.gateway.id:
            problems.append(f"the roster's gateway is {roster.gateway.id!r}, this is {self.id!r}")
        if len(site.channels) > 255:
            problems.append(f"a model has up to 255 channels, the site has {len(site.channels)}")
        if self.ledger is not None and not site.labels:
            problems.append("a site without labels has nothing for a ledger; remove `ledger`")
        if problems:
            raise ConfigurationError(*problems)
