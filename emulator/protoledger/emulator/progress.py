"""What is known of a running emulation: folded from the events of its processes."""

import time
from dataclasses import dataclass, field

import msgspec
import numpy as np

from protoledger.emulator.errors import EmulatorError
from protoledger.emulator.site_files import SiteFiles
from protoledger.emulator.sources.dealing import Dealt
from protoledger.protocol.wire.schema import Sample, Schema


@dataclass
class SiteProgress:
    """One site, so far.

    Attributes:
        rounds: completed.
        failed: failed rounds.
        reasons: why they failed, by reason.
        samples: labelled samples, each predicted before it was learnt.
        right: of these, right.
        prototypes: of the site's own model.
        commits: that stand on the chain.
        version: of the newest of them.
        rejected: commits that the chain refused for good.
        gas: spent on commits.
        merged: commits of others that this site took over, as (owner, version).
        outside: samples of the oracle that this site has learnt from.
        batches: how many batches they came in.
        round_ms: duration of each completed round.
        sum_error: largest difference of a decoded sum from the true one, in steps.
        mean_error: largest difference of a decoded mean from the mean of what the sensors read
            before any rounding, in steps.
        totals: the gateway's own counters, once it has finished.
    """

    name: str
    target: int
    rounds: int = 0
    failed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    samples: int = 0
    right: int = 0
    prototypes: int = 0
    commits: int = 0
    version: int = 0
    rejected: int = 0
    gas: int = 0
    merged: set[tuple[str, int]] = field(default_factory=set)
    outside: int = 0
    batches: int = 0
    round_ms: list[float] = field(default_factory=list)
    sum_error: int = 0
    mean_error: float = 0.0
    totals: dict[str, int] | None = None

    @property
    def done(self) -> int:
        """Rounds that ended, either way."""
        return self.rounds + self.failed

    @property
    def largest_error(self) -> float:
        """The larger of both errors, in steps."""
        return max(self.mean_error, self.sum_error)

    @property
    def accuracy(self) -> float | None:
        """Share of samples predicted right, or None before the first."""
        return self.right / self.samples if self.samples else None


class _Round(msgspec.Struct):
    round: int
    ms: float
    included: list[int]
    sums: list[int]
    samples: int
    right: int
    prototypes: int


class _Failed(msgspec.Struct):
    round: int
    reason: str


class _Merged(msgspec.Struct):
    owner: str
    version: int


class _Committed(msgspec.Struct):
    gas: int
    version: int


class _Outside(msgspec.Struct):
    samples: int


class Progress:
    """All sites, so far; and the truth that their sums are compared with.

    Args:
        sites: names of sites and devices.
        dealt: what the agents read.
    """

    def __init__(self, sites: list[SiteFiles], dealt: Dealt) -> None:
        self.sites = {site.gateway: SiteProgress(site.name, site.rounds) for site in sites}
        self.agents: dict[str, dict[str, int]] = {}
        self.used: set[tuple[str, int]] = set()
        self.first_round_at: float | None = None
        self.last_round_at = 0.0
        self.news_at = time.monotonic()
        self._dealt = dealt
        self._schema = Schema(dealt.channels, dealt.labels)
        self._rows = {site.gateway: rows for site, rows in zip(sites, dealt.sites, strict=True)}

    @property
    def untold(self) -> str:
        """Sites that finished with fewer rounds than they were to have; empty if there are none."""
        short = (s for s in self.sites.values() if s.totals is not None and s.done != s.target)
        return ", ".join(f"{site.name} {site.done} of {site.target}" for site in short)

    @property
    def finished(self) -> bool:
        """Whether every gateway has told its totals."""
        return all(site.totals is not None for site in self.sites.values())

    @property
    def share(self) -> float:
        """How much of all rounds has ended, 0 to 1."""
        return sum(s.done for s in self.sites.values()) / sum(s.target for s in self.sites.values())

    def told_of(self, batches: int) -> bool:
        """Whether every gateway has told of so many batches of outside samples."""
        return all(site.batches >= batches for site in self.sites.values())

    def settled(self, addresses: dict[str, str]) -> bool:
        """Whether every gateway has taken over the newest commit of every other.

        Args:
            addresses: each gateway's account on the chain.
        """
        for gateway, site in self.sites.items():
            if site.version and any(
                (addresses[gateway], site.version) not in other.merged
                for name, other in self.sites.items()
                if name != gateway
            ):
                return False
        return True

    def take(self, sender: str, event: dict[str, object]) -> None:
        """Fold one event.

        Raises:
            EmulatorError: if it is none that its sender may tell.
        """
        kind = event.get("event")
        self.news_at = time.monotonic()
        try:
            if kind == "agent":
                counted = {k: v for k, v in event.items() if isinstance(v, int)}
                self.agents[str(event["id"])] = counted
            else:
                self._take(self.sites[sender], sender, str(kind), event)
        except (msgspec.ValidationError, KeyError) as error:
            raise EmulatorError(f"{sender} told {kind!r}, which cannot be read: {error}") from error

    def _take(self, site: SiteProgress, sender: str, kind: str, event: dict[str, object]) -> None:
        match kind:
            case "round":
                self._on_round(site, sender, msgspec.convert(event, _Round))
            case "failed":
                failed = msgspec.convert(event, _Failed)
                site.failed += 1
                site.reasons[failed.reason] = site.reasons.get(failed.reason, 0) + 1
            case "merged":
                merged = msgspec.convert(event, _Merged)
                site.merged.add((merged.owner, merged.version))
                if site.totals is None:  # else no prediction is left that it could serve
                    self.used.add((merged.owner, merged.version))
            case "committed":
                commit = msgspec.convert(event, _Committed)
                if commit.version > site.version:  # one may be told twice
                    site.commits += 1
                    site.version = commit.version
                    site.gas += commit.gas
            case "rejected":
                site.rejected += event.get("permanent") is True
            case "outside":
                site.outside += msgspec.convert(event, _Outside).samples
                site.batches += 1
            case "finished":
                site.totals = {k: v for k, v in event.items() if isinstance(v, int)}
            case _:
                pass  # chain, dropped, lied, stopped: in the log

    def _on_round(self, site: SiteProgress, sender: str, done: _Round) -> None:
        now = time.monotonic()
        self.first_round_at = self.first_round_at or now - done.ms / 1000
        self.last_round_at = now
        site.rounds += 1
        site.samples, site.right = done.samples, done.right
        site.prototypes = done.prototypes
        site.round_ms.append(done.ms)
        self._compare(site, sender, done)

    def _compare(self, site: SiteProgress, sender: str, done: _Round) -> None:
        """Hold a decoded round against what the included agents were given to read."""
        batch = self._dealt.plan.batch
        rows = slice((done.round - 1) * batch, done.round * batch)
        read = self._rows[sender].observed[done.included, rows]
        votes = self._rows[sender].votes[done.included, rows]
        expected = true_sums(self._schema, read, votes)
        decoded = np.array(done.sums, dtype=np.int64)
        site.sum_error = max(site.sum_error, int(np.abs(decoded - expected).max()))
        samples = self._schema.samples(decoded.astype(np.uint32), len(done.included))
        site.mean_error = max(site.mean_error, mean_error(self._schema, samples, read))


def true_sums(schema: Schema, read: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """Add up what agents read, by plain integers and without the protocol's own code.

    Args:
        schema: channels and labels.
        read: float64 (A, B, C), NaN where missing.
        votes: int64 (A, B), −1 for none.

    Returns:
        int64 of shape (B·L,).
    """
    _, windows, channels = read.shape
    low = np.array([channel.low for channel in schema.channels])
    high = np.array([channel.high for channel in schema.channels])
    step = np.array([channel.step for channel in schema.channels])
    most = np.array([channel.steps for channel in schema.channels])
    present = np.isfinite(read)
    clipped = np.clip(np.where(present, read, low), low, high)
    steps = np.minimum(np.rint((clipped - low) / step).astype(np.int64), most)
    sums = np.zeros((windows, schema.length), dtype=np.int64)
    sums[:, 0 : 2 * channels : 2] = steps.sum(axis=0)
    sums[:, 1 : 2 * channels : 2] = present.sum(axis=0)
    for label in range(len(schema.labels)):
        sums[:, 2 * channels + label] = (votes == label).sum(axis=0)
    return sums.reshape(-1)


def mean_error(schema: Schema, samples: list[Sample], read: np.ndarray) -> float:
    """Return how far decoded means are from the means of the readings themselves, in steps."""
    steps = np.array([channel.step for channel in schema.channels])
    low = np.array([channel.low for channel in schema.channels])
    high = np.array([channel.high for channel in schema.channels])
    counts = np.isfinite(read).sum(axis=0)
    totals = np.nansum(np.clip(read, low, high), axis=0)
    means = totals / np.maximum(counts, 1)
    decoded = np.array([sample.values for sample in samples])
    both = (counts > 0) & np.isfinite(decoded)
    if np.any((counts > 0) != np.isfinite(decoded)):
        return float("inf")  # a channel that was read and not decoded, or the other way round
    return float((np.abs(decoded - means) / steps)[both].max(initial=0.0))
