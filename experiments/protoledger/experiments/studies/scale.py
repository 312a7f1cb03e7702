"""Four to 50 gateways, alike or each with classes of its own; and ways to merge.

`replace` and `learn` are the papers' ways (see `variants.sharing`), `gossip`, `gossip-all` and
`filtered` those of their successor (`variants.successor`); `median`, `krum`, `foolsgold` and
`flame` are defences of federated learning (`variants.baselines`); what others add is run, too.
"""

from dataclasses import dataclass
from typing import Final

from matplotlib.figure import Figure

from protoledger.experiments.collaboration import (
    BY_SITE,
    SENT,
    Collaboration,
    Publish,
    held_out,
)
from protoledger.experiments.experiment import Experiment, Row, Table
from protoledger.experiments.figures import over_gateways
from protoledger.experiments.streams import DATA, deal, split
from protoledger.experiments.variants.sharing import (
    BASELINES,
    MERGES,
    SHARING,
    SUCCESSOR,
    UNION,
)
from protoledger.gateway.training.model import SiteModel

JUDGED: Final = 10
"""Gateways whose accuracy is measured, at most: the first ones."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    data: str
    gateways: int
    dirichlet: float | None
    way: str
    seed: int


def jobs(seed: int, quick: bool) -> list[Job]:  # noqa: FBT001 - see `Experiment`
    """List the runs of a seed."""
    return [
        Job(data, gateways, dirichlet, way, seed)
        for data in (("phishing",) if quick else DATA)
        for dirichlet in (None, 0.3)
        for gateways in ((4, 10) if quick else (4, 10, 25, 50))
        for way in (UNION, *MERGES, *SUCCESSOR, *BASELINES, *SHARING.added())
    ]


def run(job: Job) -> list[Row]:
    """Play a run and measure it."""
    return [measured(job, play(job))]


def play(job: Job, *publish: Publish) -> Collaboration:
    """Play to the end, where each gateway offers once more what others lack."""
    data = split(job.data, job.seed)
    played = Collaboration(
        data,
        deal(data.y, job.gateways, job.seed, job.dirichlet),
        lambda: SiteModel(data.x.shape[1], data.classes),
        *publish,
        sharing=job.way,
        seed=job.seed,
    )
    for _ in played.play():
        pass
    played.flush()
    return played


def measured(job: Job, played: Collaboration) -> Row:
    """Return what a run reached and sent, with the others' codebooks and without."""
    judged = played.gateways[:JUDGED]
    together, by_site = played.accuracy(judged), played.by_site(judged)
    for gateway in judged:
        for other in played.gateways:
            gateway.model.union.set(other.name, None)
    alone = [held_out(gateway.model, played.data) for gateway in judged]
    return {
        "data": job.data,
        "dealt": "iid" if job.dirichlet is None else f"Dirichlet {job.dirichlet}",
        "gateways": job.gateways,
        "way": job.way,
        "accuracy": together,
        **by_site,
        "alone": sum(alone) / len(alone),
        **played.sent(),
    }


def draw(table: Table) -> Figure:
    """Draw accuracy over the number of gateways."""
    ways = [(str(way), "accuracy", {"way": way}) for way in table.values("way")]
    return over_gateways(table, [*ways, ("without the others", "alone", {"way": UNION})])


EXPERIMENT = Experiment(
    name="scale",
    summary="4 to 50 gateways, iid and Dirichlet 0.3; the papers' ways, others' defences.",
    keys=("data", "dealt", "gateways", "way"),
    measures={
        "accuracy": "accuracy, held out",
        **BY_SITE,
        "alone": "without the others' codebooks",
        **SENT,
    },
    jobs=jobs,
    run=run,
    draw=draw,
)
