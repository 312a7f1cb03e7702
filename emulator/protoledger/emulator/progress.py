"""The state of a running emulation, folded from the events of its processes.

Each decoded sum is compared with the sum that the agents' recordings give.
"""

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
        name: name of the site.
        target: number of rounds that the site is to run.
        rounds: completed rounds.
        failed: failed rounds.
        reasons: number of failed rounds by reason.
        samples: labelled samples, each predicted before it was learnt.
        right: correct predictions among them.
        prototypes: prototypes of the site's own model.
        commits: commits of the site on the chain.
        version: version of the newest of them.
        rejected: commits that the chain refused permanently.
        gas: gas used by the commits.
        merged: commits of others that this site has taken over, as (owner, version).
        outside: samples of the oracle that this site has learnt from.
        batches: how many batches they came in.
        round_ms: duration of each completed round.
        excluded: agents that are proven to lie.
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
    excluded: list[str] = field(default_factory=list)
    sum_error: int = 0
    mean_error: float = 0.0
    totals: dict[str, int] | None = None

    @property
    def done(self) -> int:
        """Rounds that have ended, completed or failed."""
        return self.rounds + self.failed

    @property
    def largest_error(self) -> float:
        """The larger of both errors, in steps."""
        return max(self.mean_error, self.sum_error)

    @property
    def accuracy(self) -> float | None:
        """Share of samples that were predicted correctly; None before the first."""
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


class _Excluded(msgspec.Struct):
    agents: list[str]


class _Merged(msgspec.Struct):
    owner: str
    version: int


class _Committed(msgspec.Struct):
    gas: int
    version: int


class _Outside(msgspec.Struct):
    samples: int


class Progress:
    """All sites, so far.

    Args:
        sites: names of sites and devices.
        dealt: what the agents read.
        minimum: what fewer agents fill is opened by nobody.
        exact: whether sums should be what the agents read.
    """

    def __init__(
        self, sites: list[SiteFiles], dealt: Dealt, minimum: int = 1, *, exact: bool = True
    ) -> None:
        self.sites = {site.gateway: SiteProgress(site.name, site.rounds) for site in sites}
        self.agents: dict[str, dict[str, int]] = {}
        self.network: dict[str, int] = {}
        self.used: set[tuple[str, int]] = set()
        self.first_round_at: float | None = None
        self.last_round_at = 0.0
        self.news_at = time.monotonic()
        self._minimum, self._exact = minimum, exact
        self._dealt = dealt
        self._schema = Schema(dealt.channels, dealt.labels)
        self._rows = {site.gateway: rows for site, rows in zip(sites, dealt.sites, strict=True)}

    @property
    def incomplete(self) -> str:
        """Sites that finished without reporting all of their rounds; empty if there are none."""
        short = (s for s in self.sites.values() if s.totals is not None and s.done != s.target)
        return ", ".join(f"{site.name} {site.done} of {site.target}" for site in short)

    @property
    def finished(self) -> bool:
        """Whether every gateway has reported its totals."""
        return all(site.totals is not None for site in self.sites.values())

    @property
    def share(self) -> float:
        """Share of all rounds that have ended, 0 to 1."""
        return sum(s.done for s in self.sites.values()) / sum(s.target for s in self.sites.values())

    def received_batches(self, batches: int) -> bool:
        """Return whether every gateway has reported so many batches of outside samples."""
        return all(site.batches >= batches for site in self.sites.values())

    def settled(self, addresses: dict[str, str]) -> bool:
        """Return whether every gateway has taken over the newest commit of every other.

        Args:
            addresses: the address of each gateway's account on the chain.
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
            EmulatorError: the event is malformed, its sender is unknown, or says that this is not
                its chain.
        """
        kind = event.get("event")
        self.news_at = time.monotonic()
        try:
            if kind == "agent":
                counted = {k: v for k, v in event.items() if isinstance(v, int)}
                self.agents[str(event["id"])] = counted
            elif kind == "network":
                self.network = {k: v for k, v in event.items() if isinstance(v, int)}
            elif kind == "ledger_failed":  # the rounds would go on without a commit to the end
                raise EmulatorError(f"{sender}: {event['reason']}")
            else:
                self._take(self.sites[sender], sender, str(kind), event)
        except (msgspec.ValidationError, KeyError) as error:
            text = f"{sender} sent a malformed event {kind!r}: {error}"
            raise EmulatorError(text) from error

    def _take(self, site: SiteProgress, sender: str, kind: str, event: dict[str, object]) -> None:
        match kind:
            case "round":
                self._on_round(site, sender, msgspec.convert(event, _Round))
            case "failed":
                self._on_failed(site, msgspec.convert(event, _Failed))
            case "merged":
                merged = msgspec.convert(event, _Merged)
                site.merged.add((merged.owner, merged.version))
                if site.done < site.target:  # after the last round it can improve no prediction
                    self.used.add((merged.owner, merged.version))
            case "committed":
                self._on_commit(site, msgspec.convert(event, _Committed))
            case "excluded":
                site.excluded = msgspec.convert(event, _Excluded).agents
            case "rejected":
                site.rejected += event.get("permanent") is True
            case "outside":
                site.outside += msgspec.convert(event, _Outside).samples
                site.batches += 1
            case "finished":
                site.totals = {k: v for k, v in event.items() if isinstance(v, int)}
            case _:
                pass  # chain, dropped, lied, stopped: in the log

    def _on_failed(self, site: SiteProgress, failed: _Failed) -> None:
        site.failed += 1
        site.reasons[failed.reason] = site.reasons.get(failed.reason, 0) + 1

    def _on_commit(self, site: SiteProgress, commit: _Committed) -> None:
        if commit.version > site.version:  # one may be reported twice
            site.commits += 1
            site.version = commit.version
            site.gas += commit.gas

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
        """Compare a decoded round with what the included agents read."""
        batch = self._dealt.plan.batch
        rows = slice((done.round - 1) * batch, done.round * batch)
        read = self._rows[sender].observed[done.included, rows]
        votes = self._rows[sender].votes[done.included, rows]
        if not self._exact:
            return
        minimum = self._minimum
        expected = opened_sums(self._schema, true_sums(self._schema, read, votes), minimum)
        decoded = np.array(done.sums, dtype=np.int64)
        site.sum_error = max(site.sum_error, int(np.abs(decoded - expected).max()))
        samples = self._schema.samples(decoded.astype(np.uint32), len(done.included))
        few = np.isfinite(read).sum(axis=0) < minimum
        seen = np.where(few, np.nan, read)  # what fewer carry is opened by nobody
        site.mean_error = max(site.mean_error, mean_error(self._schema, samples, seen))


def true_sums(schema: Schema, read: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """Sum up readings and votes with plain integers, independently of the protocol's code.

    Args:
        schema: channels and labels.
        read: readings, float64 (A, B, C), NaN where missing.
        votes: numbers of labels, int64 (A, B), −1 for none.

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


def opened_sums(schema: Schema, sums: np.ndarray, minimum: int) -> np.ndarray:
    """Leave out what no agent opens: channels and votes of fewer than the minimum.

    Args:
        schema: channels and labels.
        sums: int64 of shape (B·L,), see `true_sums`.
        minimum: of the site.
    """
    rows = sums.reshape(-1, schema.length).copy()
    channels = 2 * len(schema.channels)
    few = rows[:, 1:channels:2] < minimum
    rows[:, 0:channels:2][few] = 0
    rows[:, 1:channels:2][few] = 0
    rows[rows[:, channels:].sum(axis=1) < minimum, channels:] = 0
    opened: np.ndarray = rows.reshape(-1)
    return opened


def mean_error(schema: Schema, samples: list[Sample], read: np.ndarray) -> float:
    """Return the largest difference of decoded means from the readings' means, in steps.

    It is infinite if a channel was decoded although it was not read, or the other way round.
    """
    steps = np.array([channel.step for channel in schema.channels])
    low = np.array([channel.low for channel in schema.channels])
    high = np.array([channel.high for channel in schema.channels])
    counts = np.isfinite(read).sum(axis=0)
    totals = np.nansum(np.clip(read, low, high), axis=0)
    means = totals / np.maximum(counts, 1)
    decoded = np.array([sample.values for sample in samples])
    both = (counts > 0) & np.isfinite(decoded)
    if np.any((counts > 0) != np.isfinite(decoded)):
        return float("inf")
    return float((np.abs(decoded - means) / steps)[both].max(initial=0.0))
