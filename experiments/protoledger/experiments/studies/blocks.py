"""Block time and finality: what waiting for the chain costs four gateways with different data.

Time is counted in rows: a gateway learns ten a second. A commit is in the next block, where its
owner sees it (and may commit again), and the others believe it when so many more blocks stand on
it. Only the waiting is played, so that 15 seconds take none; the transactions are those of `gas`.
"""

from dataclasses import dataclass
from math import floor
from typing import Final

from matplotlib.figure import Figure

from protoledger.experiments.collaboration import BY_SITE, ROWS_A_ROUND, Collaboration, Gateway
from protoledger.experiments.experiment import Experiment, Row, Table
from protoledger.experiments.figures import legend, line, panels
from protoledger.experiments.streams import DATA, deal, split
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.training.model import SiteModel

GATEWAYS: Final = 4
DIRICHLET: Final = 0.3
ROUND_S: Final = ROWS_A_ROUND / 10
BLOCK_S: Final = (0.25, 1.0, 2.0, 5.0, 12.0, 15.0)
FINALITY: Final = (0, 2)
"""Blocks on top of a commit's own before others believe it."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    data: str
    block_s: float
    finality: int
    seed: int


def jobs(seed: int, quick: bool) -> list[Job]:  # noqa: FBT001 - see `Experiment`
    """List the runs of a seed."""
    return [
        Job(data, block_s, finality, seed)
        for data in (("phishing",) if quick else DATA)
        for finality in FINALITY
        for block_s in BLOCK_S
    ]


class _Waiting(Collaboration):
    """A run whose commits are mined, and believed, only after a while."""

    def set_chain(self, block_s: float, finality: int) -> None:
        """Say how long things take; before the first round."""
        self._block_s, self._finality, self._now_s = block_s, finality, 0.0
        self._mined: list[tuple[float, Gateway, Codebook]] = []
        self._final: list[tuple[float, Gateway, Codebook]] = []

    def begin(self, number: int) -> None:
        """Let come true what the chain has brought until this round."""
        self._now_s = number * ROUND_S
        for entry in [entry for entry in self._mined if entry[0] <= self._now_s]:
            self._mined.remove(entry)
            mined_s, gateway, wanted = entry
            if gateway.commit(wanted):
                believed_s = mined_s + self._finality * self._block_s
                self._final.append((believed_s, gateway, gateway.book))
        for entry in [entry for entry in self._final if entry[0] <= self._now_s]:
            self._final.remove(entry)
            _, gateway, book = entry
            for other in self.gateways:
                if other is not gateway:
                    other.model.union.set(gateway.name, book)

    def share(self, gateway: Gateway, wanted: Codebook) -> None:
        """Send a commit to be mined in the next block."""
        next_block_s = (floor(self._now_s / self._block_s) + 1) * self._block_s
        self._mined.append((next_block_s, gateway, wanted))


def run(job: Job) -> list[Row]:
    """Play a run; nothing is committed beyond what the test accepts."""
    data = split(job.data, job.seed)
    played = _Waiting(
        data,
        deal(data.y, GATEWAYS, job.seed, DIRICHLET),
        lambda: SiteModel(data.x.shape[1], data.classes),
    )
    played.set_chain(job.block_s, job.finality)
    total = 0.0
    for number in range(played.rounds):
        played.begin(number)
        played.round(number)
        total += played.accuracy()
    return [
        {
            "data": job.data,
            "finality_blocks": job.finality,
            "block_s": job.block_s,
            "prequential": played.right / played.seen,
            "mean_accuracy": total / played.rounds,
            "accuracy": played.accuracy(),
            **played.by_site(),
            "commits": played.commits,
        }
    ]


def draw(table: Table) -> Figure:
    """Draw accuracy over block time."""
    names = [str(name) for name in table.values("data")]
    figure, axes = panels(names)
    for axis, data in zip(axes, names, strict=True):
        for number, finality in enumerate(table.values("finality_blocks")):
            found = table.where(data=data, finality_blocks=finality)
            x = [float(named["block_s"]) for named, _ in found]
            words = f"believed after {finality} more blocks"
            line(axis, number, words, x, [point["mean_accuracy"] for _, point in found])
        axis.set(xscale="log", xlabel="block time, seconds")
        axis.set_xticks(x, [f"{value:g}" for value in x], rotation=60)  # 12 and 15 are neighbours
        axis.minorticks_off()
    axes[0].set_ylabel("held-out accuracy, mean over the run")
    legend(figure, axes[-1])
    return figure


EXPERIMENT = Experiment(
    name="blocks",
    summary="Block times of 0.25 to 15 s and finality: what waiting for the chain costs.",
    keys=("data", "finality_blocks", "block_s"),
    measures={
        "mean_accuracy": "accuracy, held out, mean over the run",
        "accuracy": "at the end",
        **BY_SITE,
        "prequential": "prequential",
        "commits": "commits",
    },
    jobs=jobs,
    run=run,
    draw=draw,
)
