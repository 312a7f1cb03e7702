"""Ways of sharing at four gateways, by what they reach and what they cost: bytes and gas.

Ours, the papers' and their successor's (`variants.sharing`, `variants.successor`), over the three
streams, iid and by class. What is committed is a transaction on Anvil. What goes straight from one
gateway to another takes no gas; its bytes are counted once for each receiver.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from protoledger.experiments import on_chain
from protoledger.experiments.collaboration import BY_SITE, SENT
from protoledger.experiments.experiment import Experiment, Row, Table
from protoledger.experiments.figures import COLOURS, panels
from protoledger.experiments.streams import DATA, split
from protoledger.experiments.studies import scale
from protoledger.experiments.variants.sharing import MERGES, SHARING, SUCCESSOR, UNION

GATEWAYS: Final = 4


def jobs(seed: int, quick: bool) -> list[scale.Job]:  # noqa: FBT001 - see `Experiment`
    """List the runs of a seed."""
    first = scale.Job("", GATEWAYS, None, UNION, seed)
    return [
        replace(first, data=data, dirichlet=dirichlet, way=way)
        for data in (("phishing",) if quick else DATA)
        for dirichlet in (None, 0.3)
        for way in (UNION, *MERGES, *SUCCESSOR, *SHARING.added())
    ]


def run(job: scale.Job) -> list[Row]:
    """Play a run on a chain, and measure it."""
    data = split(job.data, job.seed)
    publish = on_chain.publisher(data.x.shape[1], data.classes, job.gateways)
    played = scale.play(job, publish)
    gas = sum(gateway.gas for gateway in played.gateways)
    return [{**scale.measured(job, played), "gas_k": gas / 1000}]


def draw(table: Table) -> Figure:
    """Draw accuracy over the bytes that are sent."""
    names = [(str(data), how) for how in table.values("dealt") for data in table.values("data")]
    figure, axes = panels(
        [f"{data}, {how}" for data, how in names], rows=len(table.values("dealt"))
    )
    for axis, (data, how) in zip(axes, names, strict=True):
        for named, point in table.where(data=data, dealt=how):
            number = table.values("way").index(named["way"])
            x, y = point["bytes_k"], point["accuracy"]
            bars = [None if np.isnan(part.half) else part.half for part in (x, y)]
            colour = COLOURS[number % len(COLOURS)]
            axis.errorbar(x.mean, y.mean, bars[1], bars[0], fmt="o", color=colour, capsize=2)
            axis.annotate(str(named["way"]), (x.mean, y.mean), (4, 4), textcoords="offset points")
        axis.set(xscale="log", xlabel="kB sent")
        axis.margins(x=0.2)
    axes[0].set_ylabel("held-out accuracy")
    return figure


EXPERIMENT = Experiment(
    name="ways",
    summary="Ours, the papers' ways and their successor's at four gateways: bytes and gas.",
    keys=("data", "dealt", "way"),
    measures={
        "accuracy": "accuracy, held out",
        **BY_SITE,
        "alone": "without the others' codebooks",
        **SENT,
        "gas_k": "gas, k",
    },
    jobs=jobs,
    run=run,
    draw=draw,
    chain=True,
)
