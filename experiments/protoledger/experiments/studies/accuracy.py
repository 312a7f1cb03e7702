"""Accuracy of 1 to 4 gateways on the three streams, limited and unlimited: the paper's table.

Source: Beis-Penedo et al., arXiv 2311.14136, section on results. We measure on held-out rows, which
no learner has seen; the paper measures on the rows that were learnt.
"""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from protoledger.experiments import on_chain
from protoledger.experiments.collaboration import BY_SITE, Collaboration, held_out
from protoledger.experiments.experiment import Experiment, Point, Row, Table
from protoledger.experiments.figures import legend, line, panels
from protoledger.experiments.streams import DATA, deal, split
from protoledger.gateway.config import TestName
from protoledger.gateway.training.model import SiteModel

Transactions = Literal["limited", "unlimited"]
"""The paper's words: by the commit test, or whatever changed."""
TESTS: Final[dict[Transactions, TestName]] = {"limited": "e-process", "unlimited": "always"}


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    data: str
    transactions: Transactions
    gateways: int
    seed: int
    on_chain: bool = False


def jobs(seed: int, quick: bool) -> list[Job]:  # noqa: FBT001 - see `Experiment`
    """List the runs of a seed."""
    return [
        Job(data, transactions, gateways, seed)
        for data in (("phishing",) if quick else DATA)
        for transactions in get_args(Transactions)
        for gateways in ((1, 2) if quick else (1, 2, 3, 4))
    ]


def play(job: Job) -> Collaboration:
    """Play a run to its end; then each gateway commits what is not yet on the ledger."""
    data = split(job.data, job.seed)
    features = data.x.shape[1]
    run = Collaboration(
        data,
        deal(data.y, job.gateways, job.seed),
        lambda: SiteModel(features, data.classes, test=TESTS[job.transactions]),
        *([on_chain.publisher(features, data.classes, job.gateways)] if job.on_chain else []),
    )
    for _ in run.play():
        pass
    run.flush()
    return run


def run(job: Job) -> list[Row]:
    """Measure a run with its codebooks, and without those of others."""
    played = play(job)
    united, by_site = played.accuracy(), played.by_site()
    for gateway in played.gateways:
        for other in played.gateways:
            gateway.model.union.set(other.name, None)
    alone = sum(held_out(g.model, played.data) for g in played.gateways) / len(played.gateways)
    return [
        {
            "data": job.data,
            "transactions": job.transactions,
            "gateways": job.gateways,
            "accuracy": united,
            **by_site,
            "alone": alone,
            "prequential": played.right / played.seen,
            "commits": played.commits,
        }
    ]


def draw(table: Table) -> Figure:
    """Draw accuracy over the number of gateways."""
    figure, axes, x = by_gateways(table, "accuracy", "held-out accuracy at a gateway")
    for axis, data in zip(axes, table.values("data"), strict=True):
        line(axis, 2, "limited, without the others", x, _alone(table, str(data)))
    legend(figure, axes[-1])
    return figure


def by_gateways(table: Table, measure: str, label: str) -> tuple[Figure, list[Axes], list[float]]:
    """Draw a measure over the number of gateways, a panel a stream, a line for limited or not.

    Returns:
        The figure, its panels, and the numbers of gateways; a legend is still to come.
    """
    names = [str(name) for name in table.values("data")]
    x = [float(number) for number in table.values("gateways")]
    figure, axes = panels(names)
    for axis, data in zip(axes, names, strict=True):
        for number, transactions in enumerate(table.values("transactions")):
            found = table.where(data=data, transactions=transactions)
            line(axis, number, str(transactions), x, [point[measure] for _, point in found])
        axis.set(xlabel="gateways", xticks=x)
    axes[0].set_ylabel(label)
    return figure, axes, x


def _alone(table: Table, data: str) -> list[Point]:
    return [p["alone"] for _, p in table.where(data=data, transactions="limited")]


EXPERIMENT = Experiment(
    name="accuracy",
    summary="Held-out accuracy of 1 to 4 gateways, limited and unlimited, as in the paper.",
    keys=("data", "transactions", "gateways"),
    measures={
        "accuracy": "accuracy, held out",
        **BY_SITE,
        "alone": "without the others' codebooks",
        "prequential": "prequential",
        "commits": "commits",
    },
    jobs=jobs,
    run=run,
    draw=draw,
)
