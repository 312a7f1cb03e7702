"""What a gateway gives away: prototypes as records, or more; bytes, accuracy, leakage.

Each way shares at the same moments (those of the commit test, and at the end):

- `deltas`: what is done; `no lone ones`: without prototypes that stand for a single sample;
- `whole codebook`: all int16 records at each commit; `full state`: the learner's float64 arrays,
  class statistics and metric;
- `rows`: every sample, as a central server would have it.

Leakage is what an observer learns about who was in the training set: the area under the ROC curve
of telling a gateway's learnt rows from held-out ones by the distance to the nearest shared
prototype of their class (0.5 is a coin; Shokri et al., IEEE S&P 2017, by nearest neighbours), and
the share of learnt rows that stand in what is shared as they are.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from protoledger.experiments.collaboration import Collaboration, Gateway, held_out
from protoledger.experiments.experiment import Experiment, Row, Table
from protoledger.experiments.figures import COLOURS, legend, panels
from protoledger.experiments.streams import DATA, Rows, Split, deal, split
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.learner import make_learner
from protoledger.gateway.learner.base import Floats
from protoledger.gateway.training.model import SiteModel

GATEWAYS: Final = 4
WAYS: Final = ("deltas", "no lone ones", "whole codebook", "full state", "rows")
RESOLUTION: Final = 0.005
"""Nearer than this in every channel, in ranges, a row counts as standing in it as it is; commits
leave smaller changes out."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run, in which all ways are counted."""

    data: str
    dirichlet: float | None
    seed: int


def jobs(seed: int, quick: bool) -> list[Job]:  # noqa: FBT001 - see `Experiment`
    """List the runs of a seed."""
    return [
        Job(data, dirichlet, seed)
        for data in (("phishing",) if quick else DATA)
        for dirichlet in (None, 0.3)
    ]


class _Counting(Collaboration):
    """A run that also counts what the other ways would have sent."""

    whole = state = 0

    def tell(self, gateway: Gateway) -> None:
        """Count at each commit."""
        self.whole += len(gateway.book.encode())
        self.state += len(gateway.model.learner.state())
        super().tell(gateway)


def run(job: Job) -> list[Row]:
    """Play a run and weigh each way."""
    data = split(job.data, job.seed)
    dealt = deal(data.y, GATEWAYS, job.seed, job.dirichlet)
    played = _Counting(data, dealt, lambda: SiteModel(data.x.shape[1], data.classes))
    for _ in played.play():
        pass
    played.flush()
    accuracy = played.accuracy()
    books = [gateway.book for gateway in played.gateways]
    heavy = [_heavy(book) for book in books]
    measured = {
        "deltas": (sum(g.sent_bytes for g in played.gateways), accuracy, books),
        "no lone ones": (0, _with(played, heavy), heavy),
        "whole codebook": (played.whole, accuracy, books),
        "full state": (played.state, accuracy, books),
        "rows": (8 * data.x.size, _central(data), None),
    }
    lone = sum(map(len, heavy)) / max(sum(map(len, books)), 1)
    rows: list[Row] = []
    for way in WAYS:
        size, reached, shared = measured[way]
        advantage, verbatim = (1.0, 1.0) if shared is None else _leakage(data, dealt, shared)
        rows.append(
            {
                "data": job.data,
                "dealt": "iid" if job.dirichlet is None else f"Dirichlet {job.dirichlet}",
                "way": way,
                "kilobytes": (measured["deltas"][0] * lone if way == "no lone ones" else size)
                / 1000,
                "accuracy": reached,
                "leakage": advantage,
                "verbatim": verbatim,
            }
        )
    return rows


def _heavy(book: Codebook) -> Codebook:
    keep = book.weights > 1
    return Codebook.from_prototypes(
        book.ids[keep],
        book.classes[keep],
        book.weights[keep],
        book.features()[keep],
        labels=book.form.labels,
    )


def _with(played: Collaboration, books: list[Codebook]) -> float:
    """Return the accuracy if these codebooks were all that is shared in the end."""
    for gateway in played.gateways:
        for other, book in zip(played.gateways, books, strict=True):
            if other is not gateway:
                gateway.model.union.set(other.name, None)
                gateway.model.union.set(other.name, book)
    return played.accuracy()


def _central(data: Split) -> float:
    """Return the accuracy of one learner that sees every row."""
    model = SiteModel(data.x.shape[1], data.classes)
    model.learner = make_learner("improved", data.x.shape[1], data.classes)
    model.learner.learn_many(data.x, data.y)
    return held_out(model, data)


def _leakage(data: Split, dealt: list[Rows], books: list[Codebook]) -> tuple[float, float]:
    """Return the area under the curve and the share of verbatim rows, over all gateways' rows."""
    inside, outside = list[Floats](), list[Floats]()
    for rows, book in zip(dealt, books, strict=True):
        if len(rows) and len(book):
            inside.append(_distances(data.x[rows], data.y[rows], book))
            outside.append(_distances(data.held_x, data.held_y, book))
    if not inside:
        return 0.5, 0.0
    near, far = np.concatenate(inside), np.concatenate(outside)
    order = np.searchsorted(np.sort(far), near, side="left")
    ties = np.searchsorted(np.sort(far), near, side="right") - order
    area = 1 - float((order + ties / 2).mean()) / len(far)
    return area, float((near <= RESOLUTION).mean())


def _distances(x: Floats, y: NDArray[np.int64], book: Codebook) -> Floats:
    """Return the largest difference in any channel to the nearest prototype of the class."""
    features = book.features()
    found = np.full(len(x), np.inf)
    for label in np.unique(y):
        prototypes = features[book.classes == label]
        rows = np.flatnonzero(y == label)
        if len(prototypes):
            gaps = np.abs(x[rows, None, :] - prototypes[None]).max(axis=2)
            found[rows] = gaps.min(axis=1)
    return found


def draw(table: Table) -> Figure:
    """Draw accuracy over bytes, and leakage beside it."""
    names = [str(name) for name in table.values("data")]
    figure, axes = panels([*names, *("" for _ in names)], rows=2, height=2.9)
    for column, data in enumerate(names):
        for number, way in enumerate(table.values("way")):
            (_, point), *_ = table.where(data=data, dealt="iid", way=way)
            for axis, measure in (
                (axes[column], "accuracy"),
                (axes[len(names) + column], "leakage"),
            ):
                axis.errorbar(
                    point["kilobytes"].mean,
                    point[measure].mean,
                    yerr=point[measure].half,
                    color=COLOURS[number],
                    marker="osD^v"[number],
                    linestyle="",
                    label=str(way),
                )
                axis.set(xscale="log")
                axis.xaxis.set_minor_formatter(NullFormatter())
        axes[len(names) + column].set(xlabel="kB sent by all", ylim=(0.4, 1.05))
    axes[0].set_ylabel("held-out accuracy, iid")
    axes[len(names)].set_ylabel("membership: area under ROC")
    legend(figure, axes[-1])
    return figure


EXPERIMENT = Experiment(
    name="ablation",
    summary="Prototypes against sharing full parameters or rows: bytes, accuracy, leakage.",
    keys=("data", "dealt", "way"),
    measures={
        "kilobytes": "kB",
        "accuracy": "accuracy, held out",
        "leakage": "membership, area under ROC",
        "verbatim": "learnt rows standing in it as they are",
    },
    jobs=jobs,
    run=run,
    draw=draw,
)
