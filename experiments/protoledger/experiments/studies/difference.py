"""Sites that differ: what sharing gives each of them, and what it costs the worst off.

Four gateways learn side by side. What differs is what a label means at a site (one of four turns
the classes round; two of four; two of four in half of the world only), how its sensors stand
(offsets and gains of 5 or 15 % of a range), which channels it has (one lacks a third), or which
classes it sees (Dirichlet shares). A site is judged on its **own distribution**: held-out rows as
that site would see them, weighted by its own mix of classes; *alone* is the same gateway in a run
without sharing. Of *anywhere*, the accuracy on all held-out rows counts, as they are for a site
that differs in nothing, beside that of the site alone on the same rows. Half-way every gateway
commits what it owes, as it does after quiet hours.

A site that has learnt less than 30 rows, as some do under Dirichlet shares, has no mix of classes
that anybody knows: after one row of one class it is right alone by always saying so. `worst_known`
leaves such sites out, the other measures do not. The worst of four differences is below their mean
by chance alone: `error` says by how much one of them is uncertain, because held-out rows are few,
and `worst_unchosen` is that of those sites which is the worst on one half of the rows, measured on
the other half.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from protoledger.experiments.collaboration import (
    KNOWN,
    Collaboration,
    OwnGain,
    Spoil,
    WithoutSharing,
    own_gain,
    worst_unchosen,
)
from protoledger.experiments.experiment import Experiment, Row, Table
from protoledger.experiments.figures import COLOURS, legend, panels
from protoledger.experiments.streams import DATA, Split, deal, split
from protoledger.gateway.training.model import SiteModel

GATEWAYS: Final = 4
DIFFERENCES: Final = (
    "none",
    "one contradicts",
    "two against two",
    "two in a region",
    "offsets 0.05",
    "offsets 0.15",
    "missing channels",
    "Dirichlet 0.3",
    "Dirichlet 0.1",
)
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Job:
    """One run with sharing, and one without."""

    data: str
    difference: str
    seed: int


def jobs(seed: int, quick: bool) -> list[Job]:  # noqa: FBT001 - see `Experiment`
    """List the runs of a seed."""
    return [
        Job(data, difference, seed)
        for data in (("phishing",) if quick else DATA)
        for difference in DIFFERENCES
    ]


def views(difference: str, data: Split, seed: int) -> list[Spoil]:
    """Return how each site sees a sample."""
    rng = np.random.default_rng([seed, 9])
    features, classes = data.x.shape[1], data.classes
    seen: list[Spoil] = [_as_it_is] * GATEWAYS
    if difference == "one contradicts":
        seen[-1] = _turned(classes, lambda _: True)
    elif difference == "two against two":
        seen[2:] = [_turned(classes, lambda _: True)] * 2
    elif difference == "two in a region":
        widest = int(np.argmax(data.x.var(axis=0)))
        middle = float(data.x[:, widest].mean())
        seen[2:] = [_turned(classes, lambda x: bool(x[widest] > middle))] * 2
    elif difference.startswith("offsets"):
        size = float(difference.split()[1])
        offsets = rng.normal(size=(GATEWAYS, features)) * size
        gains = 1 + rng.normal(size=(GATEWAYS, features)) * size
        seen = [_shifted(o, g) for o, g in zip(offsets, gains, strict=True)]
    elif difference == "missing channels":
        seen[-1] = _without(rng.permutation(features)[: max(1, features // 3)])
    return seen


def _as_it_is(x: Floats, y: int) -> tuple[Floats, int]:
    return x, y


def _turned(classes: int, where: Callable[[Floats], bool]) -> Spoil:
    return lambda x, y: (x, (y + 1) % classes if where(x) else y)


def _shifted(offset: Floats, gain: Floats) -> Spoil:
    return lambda x, y: (np.clip(x * gain + offset, -2, 2), y)


def _without(channels: NDArray[np.int64]) -> Spoil:
    def seen(x: Floats, y: int) -> tuple[Floats, int]:
        found = x.copy()
        found[channels] = np.nan
        return found, y

    return seen


def play(kind: type[Collaboration], job: Job) -> tuple[Collaboration, list[Spoil]]:
    """Play a run, with what is owed committed half-way beside what the test accepts."""
    data = split(job.data, job.seed)
    shares = float(job.difference.split()[1]) if job.difference.startswith("Dirichlet") else None
    dealt = deal(data.y, GATEWAYS, job.seed, shares)
    played = kind(data, dealt, lambda: SiteModel(data.x.shape[1], data.classes))
    seen = views(job.difference, data, job.seed)
    played.spoil = {g.name: view for g, view in zip(played.gateways, seen, strict=True)}
    for number in played.play():
        if number == played.rounds // 2:
            played.flush()
    return played, seen


def run(job: Job) -> list[Row]:
    """Measure every site, with the others and alone."""
    together, seen = play(Collaboration, job)
    apart, _ = play(WithoutSharing, job)
    sites = [
        (g.model, other.model, view)
        for g, other, view in zip(together.gateways, apart.gateways, seen, strict=True)
        if g.model.seen.any()
    ]
    own = [_own(*site, together.data) for site in sites]
    alone, here, error = (
        np.array([getattr(one, part) for one in own]) for part in ("alone", "here", "error")
    )
    elsewhere, everywhere = np.transpose([_anywhere(*site[:2], together.data) for site in sites])
    rows = np.array([model.seen.sum() for model, _, _ in sites])
    known = rows >= min(KNOWN, rows.max())
    return [
        {
            "data": job.data,
            "difference": job.difference,
            "alone": 100 * float(alone.mean()),
            "here": 100 * float(here.mean()),
            "worst": 100 * float((here - alone).min()),
            "worst_known": 100 * float((here - alone)[known].min()),
            "worst_unchosen": 100 * worst_unchosen([own[at] for at in np.flatnonzero(known)]),
            "error": 100 * float(error.mean()),
            "anywhere_alone": 100 * float(elsewhere.mean()),
            "anywhere": 100 * float(everywhere.mean()),
            "anywhere_worst": 100 * float((everywhere - elsewhere).min()),
            "prequential_alone": 100 * apart.right / apart.seen,
            "prequential": 100 * together.right / together.seen,
            "kappa_alone": apart.kappa_temporal,
            "kappa": together.kappa_temporal,
            "commits": together.commits,
        }
    ]


def _own(model: SiteModel, alone: SiteModel, view: Spoil, data: Split) -> OwnGain:
    return own_gain(model, alone, data, view, most=len(data.held_y))


def _anywhere(model: SiteModel, alone: SiteModel, data: Split) -> tuple[float, float]:
    """Measure a site on all rows; returns accuracy alone, and anywhere."""
    everywhere = np.array([model.answer(x).anywhere for x in data.held_x]) == data.held_y
    elsewhere = np.array([alone.predict_one(x) for x in data.held_x]) == data.held_y
    return float(elsewhere.mean()), float(everywhere.mean())


def draw(table: Table) -> Figure:
    """Draw, for each difference, what a site has alone and here, and the worst site's gain."""
    names = [str(name) for name in table.values("data")]
    figure, axes = panels(names, height=3.6)
    kinds = [str(kind) for kind in table.values("difference")]
    for axis, data in zip(axes, names, strict=True):
        found = [point for _, point in table.where(data=data)]
        for number, (measure, words) in enumerate(
            (("here", "mean over the sites"), ("worst", "worst site"))
        ):
            base = [p["alone"].mean if measure == "here" else 0.0 for p in found]
            axis.barh(
                np.arange(len(kinds)) + 0.2 - 0.4 * number,
                [p[measure].mean - b for p, b in zip(found, base, strict=True)],
                0.38,
                xerr=[p[measure].half for p in found],
                color=COLOURS[number],
                label=words,
                error_kw={"elinewidth": 0.8, "capsize": 2},
            )
        axis.set(yticks=range(len(kinds)), xlabel="points gained over alone, own distribution")
        axis.set_yticklabels(kinds)
        axis.invert_yaxis()
    legend(figure, axes[-1])
    return figure


EXPERIMENT = Experiment(
    name="difference",
    summary="Sites that contradict, or lack channels or classes: gain and worst site.",
    keys=("data", "difference"),
    measures={
        "alone": "alone, own distribution, %",
        "here": "here",
        "worst": "worst site, here less alone",
        "worst_known": "worst of those with 30 rows",
        "worst_unchosen": "the same, chosen on half of the rows, measured on the rest",
        "error": "standard error of a site's difference",
        "anywhere_alone": "alone, all rows",
        "anywhere": "anywhere",
        "anywhere_worst": "worst site, anywhere less alone",
        "prequential_alone": "prequential alone",
        "prequential": "prequential",
        "kappa_alone": "kappa-temporal alone",
        "kappa": "kappa-temporal",
        "commits": "commits",
    },
    jobs=jobs,
    run=run,
    draw=draw,
)
