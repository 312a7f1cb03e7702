"""The commit test and its level: what accuracy costs in gas, and how often a test is wrong.

False alarms are commits without any improvement: two frozen models are right equally often, and the
test is looked at after each of many samples. They are drawn in four ways: outcomes that do not
depend on each other; errors of each model in clumps (a two-state Markov chain with autocorrelation
0.5 or 0.9); and spells of 50 equal labels, in each of which one of the two, drawn by lot, has all
the advantage, as between night and day. `delay` is the median number of samples until a gain of
0.05 in accuracy (0.85 against 0.80, independent) is found.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from protoledger.experiments import on_chain
from protoledger.experiments.collaboration import BY_SITE, Collaboration
from protoledger.experiments.experiment import Experiment, Row, Table
from protoledger.experiments.figures import COLOURS, MARKERS, legend, panels
from protoledger.experiments.streams import DATA, deal, split
from protoledger.gateway.config import TestName
from protoledger.gateway.training.model import SiteModel
from protoledger.gateway.training.significance import make_test

GATEWAYS: Final = 4
LEVELS: Final = (0.001, 0.01, 0.05, 0.2, 0.5)
TESTS: Final[tuple[TestName, ...]] = ("e-process", "mcnemar", "interval")
LOOKS: Final = 1000
LONGEST_WAIT: Final = 4000
NULL_STREAMS: Final = 20
ERRORS: Final = 0.2
"""Share of samples that each of two equal models gets wrong."""
GAIN: Final = 0.05
SPELL: Final = 50

Pairs = Iterator[tuple[bool, bool, int]]
"""Candidate right, committed right, and the label, sample by sample."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    data: str
    test: TestName
    alpha: float
    seed: int


def jobs(seed: int, quick: bool) -> list[Job]:  # noqa: FBT001 - see `Experiment`
    """List the runs of a seed; `always` has no level."""
    return [
        Job(data, test, alpha, seed)
        for data in (("phishing",) if quick else DATA)
        for test, levels in (*((test, LEVELS) for test in TESTS), ("always", (1 - 1e-9,)))
        for alpha in levels
    ]


def run(job: Job) -> list[Row]:
    """Play a run on chain; no commits beyond what the test accepts."""
    data = split(job.data, job.seed)
    features = data.x.shape[1]
    played = Collaboration(
        data,
        deal(data.y, GATEWAYS, job.seed),
        lambda: SiteModel(features, data.classes, test=job.test, alpha=job.alpha),
        on_chain.publisher(features, data.classes, GATEWAYS),
    )
    for _ in played.play():
        pass
    return [
        {
            "data": job.data,
            "test": job.test,
            "alpha": round(job.alpha, 3),
            "accuracy": played.accuracy(),
            **played.by_site(),
            "gas_k": sum(gateway.gas for gateway in played.gateways) / 1000,
            "commits": played.commits,
            **{kind: false_alarms(job.test, job.alpha, job.seed, kind) for kind in NULLS},
            "delay": delay(job.test, job.alpha, job.seed),
        }
    ]


def false_alarms(name: TestName, alpha: float, seed: int, kind: str) -> float:
    """Return the share of streams without improvement on which a test commits."""
    rng = np.random.default_rng([seed, 4])
    found = [_first_alarm(name, alpha, NULLS[kind](rng)) for _ in range(NULL_STREAMS)]
    return sum(at is not None for at in found) / NULL_STREAMS


def delay(name: TestName, alpha: float, seed: int) -> float:
    """Return the median number of samples until a gain of 0.05 is found, at most 4,000."""
    rng = np.random.default_rng([seed, 5])
    found = [_first_alarm(name, alpha, _improved(rng)) for _ in range(NULL_STREAMS // 2)]
    return float(np.median([LONGEST_WAIT if at is None else at for at in found]))


def _first_alarm(name: TestName, alpha: float, pairs: Pairs) -> int | None:
    test = make_test(name, alpha)
    for number, (candidate, committed, label) in enumerate(pairs, start=1):
        test.observe(candidate, committed, label)
        if test.significant:
            return number
    return None


def _clumped(correlation: float) -> Callable[[np.random.Generator], Pairs]:
    def pairs(rng: np.random.Generator) -> Pairs:
        begins, stays = ERRORS * (1 - correlation), ERRORS + (1 - ERRORS) * correlation
        wrong = rng.random(2) < ERRORS
        for draw, label in zip(rng.random((LOOKS, 2)), rng.integers(2, size=LOOKS), strict=True):
            wrong = draw < np.where(wrong, stays, begins)
            yield not wrong[0], not wrong[1], int(label)

    return pairs


def _in_spells(rng: np.random.Generator) -> Pairs:
    favoured = rng.random(LOOKS // SPELL + 1) < 0.5
    for number, differs in enumerate(rng.random(LOOKS) < 2 * ERRORS * (1 - ERRORS)):
        spell = number // SPELL
        yield (
            bool(not differs or favoured[spell]),
            bool(not differs or not favoured[spell]),
            spell % 2,
        )


def _improved(rng: np.random.Generator) -> Pairs:
    wrong = rng.random((LONGEST_WAIT, 2)) < (ERRORS - GAIN, ERRORS)
    for pair, label in zip(wrong, rng.integers(2, size=LONGEST_WAIT), strict=True):
        yield not pair[0], not pair[1], int(label)


NULLS: Final[dict[str, Callable[[np.random.Generator], Pairs]]] = {
    "independent": _clumped(0.0),
    "clumps 0.5": _clumped(0.5),
    "clumps 0.9": _clumped(0.9),
    "spells": _in_spells,
}


def draw(table: Table) -> Figure:
    """Draw accuracy over gas, one mark a level, and false alarms over the level."""
    names = [str(name) for name in table.values("data")]
    figure, axes = panels([*names, "false alarms"], rows=1)
    for axis, data in zip(axes, names, strict=False):
        for number, test in enumerate(table.values("test")):
            found = table.where(data=data, test=test)
            axis.errorbar(
                [point["gas_k"].mean for _, point in found],
                [point["accuracy"].mean for _, point in found],
                yerr=[point["accuracy"].half for _, point in found],
                color=COLOURS[number],
                marker=MARKERS[number],
                markersize=4,
                linewidth=1,
                elinewidth=0.6,
                label=str(test),
            )
        axis.set(xlabel="gas of all commits, thousands", xscale="log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.minorticks_off()
    axes[0].set_ylabel("held-out accuracy")
    for number, test in enumerate(table.values("test")):
        found = table.where(data=names[0], test=test) if test != "always" else []
        axes[-1].plot(
            [float(named["alpha"]) for named, _ in found],
            [point["independent"].mean for _, point in found],
            color=COLOURS[number],
            marker=MARKERS[number],
            label=str(test),
        )
    axes[-1].plot(LEVELS, LEVELS, color="grey", linestyle=":", label="what is promised")
    axes[-1].set(xlabel="level α", xscale="log", ylabel="null streams with a commit")
    legend(figure, axes[-1])
    return figure


EXPERIMENT = Experiment(
    name="threshold",
    summary="Tests and levels: accuracy against gas, and false alarms under repeated looks.",
    keys=("data", "test", "alpha"),
    measures={
        "accuracy": "accuracy, held out",
        **BY_SITE,
        "gas_k": "gas, k",
        "commits": "commits",
        **{kind: f"null streams with a commit: {kind}" for kind in NULLS},
        "delay": "samples to find a gain of 0.05",
    },
    jobs=jobs,
    run=run,
    draw=draw,
    chain=True,
)
