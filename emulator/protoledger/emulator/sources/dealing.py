"""Deal a source's rows to sites and agents: what each agent will read, and what nobody is shown.

A `Source` is either a table of rows (see `protoledger.emulator.sources.catalogue`) or a model that
makes rows (`protoledger.emulator.sources.house`). Either way `deal` returns the same: per site a
stream of rows that all its agents observe at the same time, each through its own sensors, and the
rows held out, on which the models are examined at the end.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protoledger.emulator.errors import DealError
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.schema import Channel, Schema

# A hundredth of a channel's standard deviation: far below what separates classes, far above a step.
DEFAULT_NOISE = 0.01


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked of a source.

    Attributes:
        sites: number of sites.
        agents: agents of each site.
        rounds: rounds of each site; none for as many as the source has.
        batch: rows that a round carries.
        noise: standard deviation of an agent's own noise, in standard deviations of the channel.
        seed: all randomness follows from it.
        holdout_every: of so many rows the last is held out.
    """

    sites: int
    agents: int
    rounds: int | None
    batch: int = 1
    noise: float = DEFAULT_NOISE
    seed: int = 0
    holdout_every: int = 5

    def check(self) -> None:
        """Refuse numbers that mean nothing.

        Raises:
            DealError: names each wrong option and its value.
        """
        least = {"sites": 1, "agents": 1, "batch": 1, "seed": 0, "holdout_every": 2}
        wrong = [
            f"{name} is {getattr(self, name)}: at least {bound} is needed"
            for name, bound in least.items()
            if getattr(self, name) < bound
        ]
        if self.rounds is not None and self.rounds < 1:
            wrong.append(f"rounds is {self.rounds}: at least 1 is needed")
        if not (math.isfinite(self.noise) and self.noise >= 0):
            wrong.append(f"noise is {self.noise}: a finite number from 0 up is needed")
        if wrong:
            raise DealError("; ".join(wrong))

    def generator(self, purpose: int, site: int, agent: int = 0) -> np.random.Generator:
        """A stream of randomness of its own for each purpose, site and agent."""
        return np.random.default_rng((self.seed, purpose, site, agent))


@dataclass(frozen=True)
class SiteRows:
    """What happens at one site, row by row; R rows, A agents, C channels.

    Attributes:
        clean: float64 (R, C), the truth before any sensor.
        labels: int64 (R,), the true class, an index into the source's labels.
        observed: float64 (A, R, C), what each agent's sensors read; NaN where a read failed.
        votes: int64 (A, R), the label that each agent reports;
        `protoledger.protocol.wire.schema.NO_LABEL` for none.
    """

    clean: NDArray[np.float64]
    labels: NDArray[np.int64]
    observed: NDArray[np.float64]
    votes: NDArray[np.int64]

    def take(self, rows: NDArray[np.bool_]) -> "SiteRows":
        """The rows where the mask is true."""
        return SiteRows(
            self.clean[rows], self.labels[rows], self.observed[:, rows], self.votes[:, rows]
        )


@dataclass(frozen=True)
class Dealt:
    """A source, dealt.

    Attributes:
        source: its name.
        plan: what was asked.
        channels: of all sites.
        labels: names of the classes.
        sites: per site its rows, a whole number of rounds.
        holdout_values: float64 (n, C), clean rows that no site is shown.
        holdout_labels: int64 (n,), their classes.
        rows_unused: rows that are neither shown nor held out.
        left_out: columns of a file that are neither channel nor label.
    """

    source: str
    plan: Plan
    channels: tuple[Channel, ...]
    labels: tuple[str, ...]
    sites: tuple[SiteRows, ...]
    holdout_values: NDArray[np.float64]
    holdout_labels: NDArray[np.int64]
    rows_unused: int = 0
    left_out: tuple[str, ...] = ()

    @property
    def rounds(self) -> tuple[int, ...]:
        """Rounds of each site; they differ by one at most."""
        return tuple(len(site.labels) // self.plan.batch for site in self.sites)

    @property
    def observed(self) -> tuple[NDArray[np.float64], ...]:
        """Per site, float64 (A, R, C): what the agents read, NaN where a read failed."""
        return tuple(site.observed for site in self.sites)

    @property
    def truth(self) -> tuple[NDArray[np.int64], ...]:
        """Per site, int64 (R,): the true classes."""
        return tuple(site.labels for site in self.sites)


class Source(ABC):
    """Where rows come from.

    Attributes:
        name: as a person asks for it.
        channels: what is measured.
        labels: names of the classes.
        left_out: columns of a file that are neither.
    """

    name: str
    channels: tuple[Channel, ...]
    labels: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @abstractmethod
    def deal(self, plan: Plan) -> Dealt:
        """Deal a plan that `deal` has checked.

        Raises:
            DealError: there are not enough rows, or no end of them.
        """


def deal(
    source: Source,
    *,
    sites: int,
    agents: int,
    rounds: int | None,
    batch: int = 1,
    noise: float = DEFAULT_NOISE,
    seed: int = 0,
    holdout_every: int = 5,
) -> Dealt:
    """Deal a source's rows; see `Plan` for the arguments and `Dealt` for the result.

    The same arguments give the same result, bit by bit. An agent's noise depends on the seed, its
    site and its own number alone: more agents change nothing for those before.

    Raises:
        DealError: an argument means nothing, the source has too few rows or no end, or the sum
            over so many agents would not fit in the field.
    """
    plan = Plan(
        sites=sites,
        agents=agents,
        rounds=rounds,
        batch=batch,
        noise=noise,
        seed=seed,
        holdout_every=holdout_every,
    )
    plan.check()
    try:
        Schema(source.channels, source.labels).check_sums(agents)
    except ConfigurationError as error:
        raise DealError(f"source {source.name!r} with --agents {agents}: {error}") from error
    return source.deal(plan)
