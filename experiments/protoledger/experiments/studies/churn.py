"""Gateways that come and go, and partitions that heal: accuracy round by round.

Four gateways; between a third and two thirds of the rounds

- `partition`: two and two see nothing of each other, then all of it at once;
- `away`: one gateway is off, its codebook stays, and it comes back with what it knew;
- `revoked`: one gateway and its codebook are removed for good;
- `late`: one gateway begins only then, with the codebooks that it finds.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from protoledger.experiments.collaboration import BY_SITE, Collaboration, Gateway
from protoledger.experiments.experiment import Experiment, Row, Table
from protoledger.experiments.figures import legend, line, panels
from protoledger.experiments.streams import DATA, deal, split
from protoledger.gateway.training.model import SiteModel

GATEWAYS: Final = 4
STOPS: Final = 12
"""Moments at which accuracy is measured."""
STORIES: Final = ("nothing happens", "partition", "away", "revoked", "late")


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    data: str
    dirichlet: float | None
    story: str
    seed: int


def jobs(seed: int, quick: bool) -> list[Job]:  # noqa: FBT001 - see `Experiment`
    """List the runs of a seed."""
    return [
        Job(data, dirichlet, story, seed)
        for data in (("phishing",) if quick else DATA)
        for dirichlet in (None, 0.3)
        for story in STORIES
    ]


class _Run(Collaboration):
    """A run where, for a while, not all see all."""

    story = "nothing happens"
    troubled = False

    def tell(self, gateway: Gateway) -> None:
        """Tell those who can hear it."""
        for other in self.gateways:
            if other is not gateway and self._reaches(gateway, other):
                other.model.union.set(gateway.name, gateway.book)

    def _reaches(self, one: Gateway, other: Gateway) -> bool:
        if not self.troubled:
            return True
        sides = [self.gateways.index(gateway) < GATEWAYS // 2 for gateway in (one, other)]
        return sides[0] == sides[1] if self.story == "partition" else self.present(other)

    def present(self, gateway: Gateway) -> bool:
        """Whether a gateway learns now."""
        return not (
            self.troubled
            and self.story in ("away", "revoked", "late")
            and gateway is self.gateways[-1]
        )

    def begin(self, number: int) -> None:
        """Let begin and end what the story tells."""
        third, last = self.rounds // 3, self.gateways[-1]
        was, third_of = self.troubled, number // max(third, 1)
        self.troubled = {"late": third_of < 2, "revoked": third_of >= 1}.get(
            self.story, third_of == 1
        )
        if self.story == "revoked" and self.troubled and not was:
            for other in self.gateways[:-1]:
                other.model.union.set(last.name, None)
        if was and not self.troubled:  # all catch up with the ledger
            for gateway in self.gateways:
                if len(gateway.book):
                    self.tell(gateway)


def run(job: Job) -> list[Row]:
    """Play a story; measure the present gateways at 12 moments."""
    data = split(job.data, job.seed)
    played = _Run(
        data,
        deal(data.y, GATEWAYS, job.seed, job.dirichlet),
        lambda: SiteModel(data.x.shape[1], data.classes),
    )
    played.story = job.story
    stops = {round(played.rounds * (i + 1) / STOPS): (i + 1) / STOPS for i in range(STOPS)}
    rows: list[Row] = []
    for number in range(played.rounds):
        played.begin(number)
        played.round(number, absent=[g for g in played.gateways if not played.present(g)])
        if number + 1 in stops:
            present = [g for g in played.gateways if played.present(g)]
            rows.append(
                {
                    "data": job.data,
                    "dealt": "iid" if job.dirichlet is None else f"Dirichlet {job.dirichlet}",
                    "story": job.story,
                    "share_of_rounds": round(stops[number + 1], 3),
                    "accuracy": played.accuracy(present),
                    "worst": min(played.accuracy([gateway]) for gateway in present),
                    **played.by_site(present),
                    "commits": played.commits,
                }
            )
    return rows


def draw(table: Table) -> Figure:
    """Draw accuracy over time."""
    dealt = [str(value) for value in table.values("dealt")]
    names = [(str(data), how) for how in dealt for data in table.values("data")]
    figure, axes = panels([", ".join(name) for name in names], rows=len(dealt))
    for axis, (data, how) in zip(axes, names, strict=True):
        axis.axvspan(1 / 3, 2 / 3, color="grey", alpha=0.12, linewidth=0)
        lows = []
        for number, story in enumerate(table.values("story")):
            found = table.where(data=data, dealt=how, story=story)
            x = [float(named["share_of_rounds"]) for named, _ in found]
            line(axis, number, str(story), x, [point["accuracy"] for _, point in found])
            lows += [point["accuracy"].mean for _, point in found[1:]]
        axis.set(xlabel="share of the rounds", ylim=(np.quantile(lows, 0.05) - 0.05, None))
    axes[0].set_ylabel("held-out accuracy")
    legend(figure, axes[-1])
    return figure


EXPERIMENT = Experiment(
    name="churn",
    summary="Gateways that come and go, and partitions that heal, round by round.",
    keys=("data", "dealt", "story", "share_of_rounds"),
    measures={
        "accuracy": "accuracy, held out",
        "worst": "at the worst gateway",
        **BY_SITE,
        "commits": "commits",
    },
    jobs=jobs,
    run=run,
    draw=draw,
)
