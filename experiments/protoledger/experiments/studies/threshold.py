"""The commit test and its level: what accuracy costs in gas, and how often a test is wrong.

False alarms are commits on streams without any improvement: candidate and committed state are
right equally often, and the test is looked at after each of 600 samples.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from protoledger.experiments import on_chain
from protoledger.experiments.collaboration import Collaboration
from protoledger.experiments.experiment import Experiment, Row, Table
from protoledger.experiments.figures import COLOURS, MARKERS, legend, panels
from protoledger.experiments.streams import DATA, deal, split
from protoledger.gateway.config import TestName
from protoledger.gateway.training.model import SiteModel
from protoledger.gateway.training.significance import make_test

GATEWAYS: Final = 4
LEVELS: Final = (0.001, 0.01, 0.05, 0.2, 0.5)
TESTS: Final[tuple[TestName, ...]] = ("e-process", "mcnemar", "interval")
LOOKS: Final = 600
NULL_STREAMS: Final = 40
DISCORDANT: Final = 0.3
"""Share of samples where just one of the two is right."""


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
            "gas_k": sum(gateway.gas for gateway in played.gateways) / 1000,
            "commits": played.commits,
            "false_alarms": false_alarms(job.test, job.alpha, job.seed),
        }
    ]


def false_alarms(name: TestName, alpha: float, seed: int) -> float:
    """Return the share of streams without improvement on which a test commits."""
    rng = np.random.default_rng([seed, 4])
    alarms = 0
    for _ in range(NULL_STREAMS):
        test = make_test(name, alpha)
        for kind in rng.random(LOOKS).tolist():
            test.observe(kind < DISCORDANT / 2, DISCORDANT / 2 <= kind < DISCORDANT)
            if test.significant:
                alarms += 1
                break
    return alarms / NULL_STREAMS


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
            [point["false_alarms"].mean for _, point in found],
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
        "gas_k": "gas, k",
        "commits": "commits",
        "false_alarms": "null streams with a commit",
    },
    jobs=jobs,
    run=run,
    draw=draw,
    chain=True,
)
