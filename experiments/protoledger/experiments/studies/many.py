"""100 to 1,000 gateways of few rows each: what all of them know, and what drawing owners costs.

`scale` cuts one stream in pieces, which leaves hardly a row to each of a thousand. Here each
gateway sees `ROWS` rows of the stream, drawn with replacement, so that the more there are, the
more is known. Beyond `MOST_PROTOTYPES` of others a site draws the owners that it judges; the same
sites are asked with smaller bounds and with none.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from protoledger.experiments.collaboration import Collaboration, Gateway, held_out
from protoledger.experiments.experiment import Experiment, Row, Table
from protoledger.experiments.figures import over_gateways
from protoledger.experiments.streams import DATA, Rows, Split, deal, split
from protoledger.gateway.training.model import SiteModel
from protoledger.gateway.union.union import MOST_PROTOTYPES

ROWS: Final = 15
JUDGED: Final = 5
"""Gateways that are asked: the first ones that have seen a row."""
BOUNDS: Final = {
    "accuracy": (MOST_PROTOTYPES, "accuracy, held out"),
    "at_1024": (1024, "with at most 1,024 prototypes of others"),
    "at_256": (256, "with 256"),
    "all": (1_000_000, "with all"),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    data: str
    gateways: int
    dirichlet: float | None
    seed: int


def jobs(seed: int, quick: bool) -> list[Job]:  # noqa: FBT001 - see `Experiment`
    """List the runs of a seed."""
    return [
        Job(data, gateways, dirichlet, seed)
        for data in (("phishing",) if quick else DATA)
        for dirichlet in (None, 0.3)
        for gateways in ((30, 100) if quick else (100, 300, 1000))
    ]


def run(job: Job) -> list[Row]:
    """Play to the end, where each gateway commits what is not on the ledger, and measure."""
    data = split(job.data, job.seed)
    played = Collaboration(
        data,
        deal_again(data, job.gateways, job.seed, job.dirichlet),
        lambda: SiteModel(data.x.shape[1], data.classes),
    )
    for _ in played.play():
        pass
    played.flush()
    asked = [gateway for gateway in played.gateways if gateway.model.seen.any()][:JUDGED]
    found: dict[str, float] = {}
    voting = 0.0
    for name, (most, _) in BOUNDS.items():
        for gateway in asked:
            gateway.model.union.most = most
            gateway.model.union.judge_again()
        found[name] = played.accuracy(asked)
        if most == MOST_PROTOTYPES:
            voting = float(np.mean([gateway.model.union.voting for gateway in asked]))
    return [
        {
            "data": job.data,
            "dealt": "iid" if job.dirichlet is None else f"Dirichlet {job.dirichlet}",
            "gateways": job.gateways,
            **found,
            "alone": _alone(asked, played),
            "prototypes": sum(len(gateway.book) for gateway in played.gateways),
            "voting": voting,
            "commits": played.commits,
        }
    ]


def deal_again(data: Split, gateways: int, seed: int, dirichlet: float | None) -> list[Rows]:
    """Return the rows that each gateway sees, `ROWS` in the mean, drawn with replacement."""
    drawn = np.random.default_rng([seed, 3]).integers(0, len(data.y), ROWS * gateways)
    return [drawn[places] for places in deal(data.y[drawn], gateways, seed, dirichlet)]


def _alone(asked: list[Gateway], played: Collaboration) -> float:
    for gateway in asked:
        for other in played.gateways:
            gateway.model.union.set(other.name, None)
    return sum(held_out(gateway.model, played.data) for gateway in asked) / len(asked)


def draw(table: Table) -> Figure:
    """Draw accuracy over the number of gateways."""
    titles = {**{name: title for name, (_, title) in BOUNDS.items()}, "alone": "alone"}
    return over_gateways(table, [(title, name, {}) for name, title in titles.items()])


EXPERIMENT = Experiment(
    name="many",
    summary="100 to 1,000 gateways of 15 rows each, and what drawing owners costs.",
    keys=("data", "dealt", "gateways"),
    measures={
        **{name: title for name, (_, title) in BOUNDS.items()},
        "alone": "without the others' codebooks",
        "prototypes": "prototypes of all",
        "voting": "of these voting at a site",
        "commits": "commits",
    },
    jobs=jobs,
    run=run,
    draw=draw,
    seeds=10,
)
