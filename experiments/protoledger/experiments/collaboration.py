"""Several gateways that learn and share commits in one process; the studies are built on this.

Each gateway is the `SiteModel` of a real gateway with the ledger's default settings. A commit goes
through the delta encoding and its int16 records, and the others receive the codebook that they
would reconstruct from the chain. A run consists of **rounds**; in a round each gateway learns its
share of rows and then decides what to offer: a commit, or prototypes sent straight to some others,
which no ledger sees and which cost no gas.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protoledger.experiments.streams import Rows, Split
from protoledger.experiments.variants.sharing import (
    UNION,
    Offer,
    Sharing,
    UnionSharing,
    make_sharing,
)
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.ledger.config import LedgerConfig
from protoledger.gateway.training.model import SiteModel

ROWS_A_ROUND: Final = 15
"""Beis-Penedo et al. (arXiv 2311.14136) decide about a commit after every 15 rows."""

HELD_AT_SITES: Final = 400
"""Held-out rows that each site is asked about one by one; all are asked of the union at once."""
KNOWN: Final = 30
"""Labelled rows from which a site's own mix of classes counts as known."""
BY_SITE: Final = {"own": "here, on each site's own mix", "worst_site": "at the worst site"}
"""What `Collaboration.by_site` measures, and titles for a table."""

SENT: Final = {
    "commits": "commits",
    "messages": "codebooks sent straight",
    "bytes_k": "kB of deltas and of what is sent straight",
}
"""What `Collaboration.sent` counts, and titles for a table."""

Publish = Callable[["Gateway", Codebook, bytes], int]
"""Publishes a delta; takes the gateway, the codebook after it and the delta; returns the gas."""


Spoil = Callable[[NDArray[np.float64], int], tuple[NDArray[np.float64], int]]
"""Replaces a sample and its label by what a gateway sees instead."""


def _free(_gateway: "Gateway", _after: Codebook, _delta: bytes) -> int:
    return 0


@dataclass(eq=False)
class Gateway:
    """One gateway of a run.

    Attributes:
        name: name of its owner on the ledger.
        model: the gateway's model.
        book: its codebook as it is on the ledger.
        commits: number of its commits.
        messages: number of codebooks that it sent straight to another.
        sent_bytes: total length of the commits' deltas and of the messages, each to each receiver.
        gas: total gas of the commits; messages take none.
        sharing: what it does with what others commit.
        last_label: the label of its last sample, -1 before the first.
    """

    name: str
    model: SiteModel
    book: Codebook = field(init=False)
    commits: int = 0
    messages: int = 0
    sent_bytes: int = 0
    gas: int = 0
    sharing: Sharing = field(default_factory=UnionSharing)
    last_label: int = -1

    def __post_init__(self) -> None:
        self.book = Codebook.empty(self.model.form)
        self.model.union.site = self.name

    def commit(self, wanted: Codebook, publish: Publish = _free) -> bool:
        """Commit as the ledger client would; returns whether there was a change to commit."""
        defaults = LedgerConfig.model_fields
        delta = self.book.delta_to(
            wanted,
            tolerance=defaults["tolerance"].get_default(),
            weight_ratio=defaults["weight_ratio"].get_default(),
            most=self.model.commits.omissions.owed,
        )
        if not delta:
            self.model.commits.rejected()
            return False
        after = self.book.apply(delta)
        self.gas += publish(self, after, delta)
        self.book = after
        self.commits += 1
        self.sent_bytes += len(delta)
        self.model.commits.accepted(after, self.model.commits.version + 1)
        return True


class Collaboration:
    """A run of several gateways over one dealt stream.

    Args:
        data: the stream.
        dealt: the rows of each gateway, see `streams.deal`.
        make: makes a gateway's model.
        publish: publishes deltas on a chain; by default they are only passed on, without gas.
        sharing: the name of what gateways do with what others commit; see `variants.sharing`.
        seed: seed of what they draw for that.

    Attributes:
        right: samples that the union predicted correctly before they were learnt.
        seen: samples so far.
        same: samples with the label of the gateway's last one.
        spoil: by a gateway's name, what changes its samples.
        rng: what gateways draw from, see `Sharing.offer`.
    """

    def __init__(
        self,
        data: Split,
        dealt: list[Rows],
        make: Callable[[], SiteModel],
        publish: Publish = _free,
        *,
        sharing: str = UNION,
        seed: int = 0,
    ) -> None:
        self.data = data
        self.gateways = [
            Gateway(f"gateway-{i:02}", make(), sharing=make_sharing(sharing))
            for i in range(len(dealt))
        ]
        self.right = self.seen = self.same = 0
        self.spoil: dict[str, Spoil] = {}
        self._publish = publish
        self.rng = np.random.default_rng([seed, 4])
        self.rounds = max(1, -(-sum(map(len, dealt)) // (ROWS_A_ROUND * len(dealt))))
        self._dealt = [np.array_split(rows, self.rounds) for rows in dealt]

    def branch(self) -> "Collaboration":
        """Return an independent run in the same state as this one."""
        other = copy.copy(self)
        other.rng = copy.deepcopy(self.rng)
        other.gateways = [
            replace(gateway, model=restored(gateway), sharing=copy.deepcopy(gateway.sharing))
            for gateway in self.gateways
        ]
        for old, new in zip(self.gateways, other.gateways, strict=True):
            new.book = old.book
            for owner in self.gateways:
                if owner.name in old.model.union.owners:
                    new.model.union.set(owner.name, owner.book)
        return other

    def play(self) -> Iterator[int]:
        """Run round by round; yields the number of rounds that have ended."""
        for number in range(self.rounds):
            self.round(number)
            yield number + 1

    def round(
        self, number: int, silent: Gateway | None = None, absent: Sequence[Gateway] = ()
    ) -> None:
        """Let every gateway learn its rows of a round, and offer what its way of sharing says.

        Args:
            number: number of the round, from 0.
            silent: a gateway that offers nothing.
            absent: gateways that do not take part.
        """
        for gateway, rows in zip(self.gateways, self._dealt, strict=True):
            if gateway in absent:
                continue
            self.learn(gateway, rows[number])
            if gateway is not silent:
                self.offer(gateway)

    def learn(self, gateway: Gateway, rows: Rows) -> None:
        """Let a gateway predict and then learn its rows."""
        spoil = self.spoil.get(gateway.name)
        for row in rows:
            x, y = self.data.x[row], int(self.data.y[row])
            if spoil is not None:
                x, y = spoil(x, y)
            self.right += bool(gateway.model.step(x, y).right)
            self.same += y == gateway.last_label
            gateway.last_label = y
        self.seen += len(rows)

    def offer(self, gateway: Gateway, *, owed: bool = False) -> None:
        """Commit or send what a gateway offers now; see `Sharing.offer`."""
        others = [other.name for other in self.gateways if other is not gateway]
        for offer in gateway.sharing.offer(gateway.model, others, self.rng, owed=owed):
            if offer.to is None:
                self.share(gateway, offer.codebook)
            else:
                self.send(gateway, offer)

    def send(self, gateway: Gateway, offer: Offer) -> None:
        """Give a codebook straight to those that it is for; each gets all of it, as records."""
        for other in self.gateways:
            if other.name in (offer.to or ()):
                gateway.messages += 1
                gateway.sent_bytes += len(offer.codebook.encode())
                other.sharing.receive(other.model, gateway.name, offer.codebook)

    def share(self, gateway: Gateway, wanted: Codebook) -> None:
        """Commit, and give the codebook to the others."""
        if gateway.commit(wanted, self._publish):
            self.tell(gateway)

    def tell(self, gateway: Gateway) -> None:
        """Give all others the gateway's codebook as it is on the ledger."""
        for other in self.gateways:
            if other is not gateway:
                other.sharing.receive(other.model, gateway.name, gateway.book)

    def flush(self) -> None:
        """Let every gateway offer once what it owes, as one that is quiet or stopped does."""
        for gateway in self.gateways:
            self.offer(gateway, owed=True)

    @property
    def kappa_temporal(self) -> float:
        """How much better predictions were than each gateway's last label again: 1 is perfect."""
        others = self.seen - self.same
        return (self.right - self.same) / others if others else 0.0

    @property
    def commits(self) -> int:
        """Commits of all gateways so far."""
        return sum(gateway.commits for gateway in self.gateways)

    def sent(self) -> dict[str, float]:
        """Return `SENT`: how often and how much all gateways have sent so far."""
        return {
            "commits": self.commits,
            "messages": sum(gateway.messages for gateway in self.gateways),
            "bytes_k": sum(gateway.sent_bytes for gateway in self.gateways) / 1000,
        }

    def accuracy(self, of: list[Gateway] | None = None) -> float:
        """Return the mean accuracy of the gateways' unions on the held-out rows."""
        judged = of or self.gateways
        return float(np.mean([held_out(g.model, self.data, g.sharing) for g in judged]))

    def by_site(self, of: list[Gateway] | None = None) -> dict[str, float]:
        """Return `BY_SITE`: sites' accuracy here, each on its own mix of classes; the worst one's.

        Sites that have learnt nothing have no mix, and are left out.
        """
        found = [
            own_accuracy(gateway.model, self.data, gateway.model.seen, gateway.sharing)
            for gateway in of or self.gateways
            if gateway.model.seen.any()
        ]
        return {"own": float(np.mean(found)), "worst_site": min(found)}


class WithoutSharing(Collaboration):
    """The same gateways, and nobody hears of anybody."""

    def tell(self, gateway: Gateway) -> None:
        """Keep a codebook to oneself."""

    def send(self, gateway: Gateway, offer: Offer) -> None:
        """Keep it, too."""


def own_accuracy(
    model: SiteModel, data: Split, mix: NDArray[np.int64], sharing: Sharing | None = None
) -> float:
    """Return how often a site's answer `here` is right, where classes are as frequent as in `mix`.

    Held-out rows are weighed by their class; where none of its classes is held out, alike.
    """
    rows = _spread(len(data.held_y), HELD_AT_SITES)
    weights = as_mixed(data.held_y[rows], mix)
    told = (sharing or UnionSharing()).predict_here(model, data.held_x[rows])
    return float(weights @ (told == data.held_y[rows]))


@dataclass(frozen=True, slots=True)
class OwnGain:
    """What sharing gives a site on its own distribution, as shares of 1.

    Attributes:
        alone: accuracy of the same site in a run without sharing.
        here: accuracy of its answer `here`.
        error: standard error of the difference of the two, because held-out rows are few.
        halves: the difference on every other held-out row, and on those in between.
    """

    alone: float
    here: float
    error: float
    halves: tuple[float, float]


def worst_unchosen(gains: Sequence[OwnGain]) -> float:
    """Return the worst site's difference without the chance that made it the worst.

    The lowest of several measured differences is too low. So the site is chosen on one half of the
    rows and measured on the other, and the other way round.

    >>> lucky, steady = (OwnGain(0.9, 0.9, 0.01, halves) for halves in ((-0.02, 0.02), (0.0, 0.0)))
    >>> worst_unchosen([lucky, steady])
    0.01
    """
    halves = np.array([own.halves for own in gains])
    worst = halves.argmin(axis=0)
    return float(halves[worst[0], 1] + halves[worst[1], 0]) / 2


def own_gain(
    model: SiteModel,
    alone: SiteModel,
    data: Split,
    view: Spoil = lambda x, y: (x, y),
    most: int = HELD_AT_SITES,
    sharing: Sharing | None = None,
) -> OwnGain:
    """Compare a site with itself alone, on held-out rows as it sees them, in its mix of classes.

    Args:
        model: The site's model; it is settled.
        alone: The model of the same site in a run without sharing.
        data: The stream.
        view: How the site sees a sample.
        most: Held-out rows that are asked, at most.
        sharing: How the site answers; ours if left out.
    """
    rows = [
        view(data.held_x[row], int(data.held_y[row])) for row in _spread(len(data.held_y), most)
    ]
    labels = np.array([y for _, y in rows])
    weights = as_mixed(labels, model.seen)
    asked = np.array([x for x, _ in rows])
    here = (sharing or UnionSharing()).predict_here(model, asked) == labels
    by_itself = np.array([alone.predict_one(x) for x, _ in rows]) == labels
    gain = here.astype(np.float64) - by_itself
    halves = tuple(
        float(as_mixed(labels[half::2], model.seen) @ gain[half::2]) if len(gain) > half else 0.0
        for half in (0, 1)
    )
    spread = gain - float(weights @ gain)
    error = float(np.sqrt((weights**2) @ spread**2))
    return OwnGain(float(weights @ by_itself), float(weights @ here), error, (halves[0], halves[1]))


def as_mixed(labels: NDArray[np.int64], mix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return weights of sum 1 that make classes as frequent as in a mix; alike if none is in it.

    >>> as_mixed(np.array([0, 0, 1]), np.array([3, 1])).tolist()
    [0.375, 0.375, 0.25]
    """
    weights = (mix / np.maximum(np.bincount(labels, minlength=len(mix)), 1))[labels]
    if not weights.any():
        weights = np.ones(len(labels))
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


def _spread(many: int, most: int) -> NDArray[np.int64]:
    """Return at most so many rows, spread evenly over all."""
    return np.linspace(0, many - 1, min(most, many)).astype(np.int64)


def restored(gateway: Gateway) -> SiteModel:
    """Return a copy of a gateway's model without the codebooks of others."""
    return SiteModel.restore(gateway.model.state())


def held_out(model: SiteModel, data: Split, sharing: Sharing | None = None) -> float:
    """Return a model's accuracy on the held-out rows, as a way of sharing answers."""
    predicted = (sharing or UnionSharing()).predict(model, data.held_x)
    return float(np.mean(predicted == data.held_y))
