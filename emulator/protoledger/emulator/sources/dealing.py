"""Deal a source's rows to sites and agents, and hold some out for the final accuracy.

A `RowSource` is either a table of rows (see `protoledger.emulator.sources.catalogue`) or a model
that computes rows (`protoledger.emulator.sources.house`). In both cases `deal` returns per site a
stream of rows, which all its agents observe at the same time through sensors of their own, and the
rows that are held out, on which the models are tested at the end.
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
class DealPlan:
    """How a source's rows are to be dealt.

    Attributes:
        sites: number of sites.
        agents: agents of each site.
        rounds: rounds of each site; None for as many as the source has.
        batch: rows that a round carries.
        noise: standard deviation of an agent's own noise, in standard deviations of the channel.
        seed: of all random numbers here.
        holdout_every: the last of each this many rows is held out.
    """

    sites: int
    agents: int
    rounds: int | None
    batch: int = 1
    noise: float = DEFAULT_NOISE
    seed: int = 0
    holdout_every: int = 5

    def check(self) -> None:
        """Check the ranges of all numbers.

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
        """A generator of random numbers, independent for each purpose, site and agent."""
        return np.random.default_rng((self.seed, purpose, site, agent))


@dataclass(frozen=True)
class SiteRows:
    """The rows of one site: R rows, A agents, C channels.

    Attributes:
        clean: float64 (R, C), the true values before any sensor.
        labels: int64 (R,), the true class, an index into the source's labels.
        observed: float64 (A, R, C), what each agent's sensors read; NaN where a read failed.
        votes: int64 (A, R), the label that each agent reports, NO_LABEL for none.
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
    """The rows of a source as they were dealt.

    Attributes:
        source: its name.
        plan: how they were dealt.
        channels: the same at all sites.
        labels: names of the classes.
        sites: per site its rows, a whole number of rounds.
        holdout_values: float64 (n, C), clean rows that no site sees.
        holdout_labels: int64 (n,), their classes.
        holdout_sites: int64 (n,), the site at whose place each was seen; None if all sites observe
            the same place.
        rows_unused: rows that are neither dealt nor held out.
        left_out: columns of a file that are neither channel nor label.
        notices: what a person should know about the source, one sentence each.
    """

    source: str
    plan: DealPlan
    channels: tuple[Channel, ...]
    labels: tuple[str, ...]
    sites: tuple[SiteRows, ...]
    holdout_values: NDArray[np.float64]
    holdout_labels: NDArray[np.int64]
    holdout_sites: NDArray[np.int64] | None = None
    rows_unused: int = 0
    left_out: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def rounds(self) -> tuple[int, ...]:
        """Rounds of each site; they differ by one at most."""
        return tuple(len(site.labels) // self.plan.batch for site in self.sites)

    def held_out_at(self, site: int) -> NDArray[np.bool_]:
        """Which of the held-out rows a site could have seen, bool (n,)."""
        if self.holdout_sites is None:
            return np.ones(len(self.holdout_labels), np.bool_)
        return np.equal(self.holdout_sites, site, dtype=np.bool_)

    @property
    def observed(self) -> tuple[NDArray[np.float64], ...]:
        """Per site, float64 (A, R, C): what the agents read, NaN where a read failed."""
        return tuple(site.observed for site in self.sites)

    @property
    def truth(self) -> tuple[NDArray[np.int64], ...]:
        """Per site, int64 (R,): the true classes."""
        return tuple(site.labels for site in self.sites)


class RowSource(ABC):
    """Something that has, or computes, rows of readings.

    Attributes:
        name: as it is given to `--source`.
        channels: what is measured.
        labels: names of the classes.
        left_out: columns of a file that are neither.
        notices: what a person should know about it, one sentence each.
    """

    name: str
    channels: tuple[Channel, ...]
    labels: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @abstractmethod
    def deal(self, plan: DealPlan) -> Dealt:
        """Deal rows by a plan that `deal` has checked.

        Raises:
            DealError: there are too few rows, or `rounds` is needed and missing.
        """


def deal(
    source: RowSource,
    *,
    sites: int,
    agents: int,
    rounds: int | None,
    batch: int = 1,
    noise: float = DEFAULT_NOISE,
    seed: int = 0,
    holdout_every: int = 5,
) -> Dealt:
    """Deal a source's rows; see `DealPlan` for the arguments and `Dealt` for the result.

    The same arguments give the same result, bit by bit. An agent's noise depends only on the seed,
    its site and its own number, so adding agents does not change the others.

    Raises:
        DealError: an argument is out of range, the source has too few rows or needs `rounds`, or
            the sum over so many agents would not fit in the field.
    """
    plan = DealPlan(
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
