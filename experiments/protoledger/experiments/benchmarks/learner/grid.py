"""`protoledger bench streams`: accuracy over a grid of streams that nothing was tuned on.

Each sample is predicted before it is learnt. Beside our learners stands what repeating the last
label reaches: on recordings in time order accuracy says little without it. `--peers` adds river's
classifiers behind its StandardScaler, which takes minutes; `--recording FILE:LABEL` adds a CSV file
in its own order, with the held-out accuracy of every fifth row at eight checkpoints.
"""

import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from protoledger.experiments.benchmarks.learner.streams import Labelled, grid, recording
from protoledger.gateway.learner import ImprovedILVQ, XuILVQ, load_kernels
from protoledger.gateway.training.counters import kappa_temporal

if TYPE_CHECKING:
    from collections.abc import Callable

OURS: Final = ("same label", "reference", "prototypes", "improved")
PEERS: Final = ("knn", "hat", "arf", "srp", "amf")
CHECKPOINTS: Final = 8

Figures = dict[str, float]

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command()
def main(
    *,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there.")
    ] = None,
    peers: Annotated[bool, typer.Option(help="Measure river's classifiers as well.")] = False,
    recordings: Annotated[
        list[str] | None,
        typer.Option("--recording", metavar="FILE:LABEL", help="A recording in time order."),
    ] = None,
) -> None:
    """Measure the learner over a grid of streams, beside repeating the last label and peers."""
    console = Console()
    load_kernels()
    names = (*OURS, *(PEERS if peers else ()))
    recorded = [recording(file) for file in recordings or []]
    found = dict[str, Figures]()
    for stream in [*grid(), *recorded]:
        found[stream.name] = measure(stream, names)
        console.print(f"{stream.name:16}", *(f"{n} {v:.3f}" for n, v in found[stream.name].items()))
    console.print(summary(found, names))
    held = {stream.name: checkpoints(stream) for stream in recorded}
    for name, accuracies in held.items():
        console.print(f"{name}: held-out at checkpoints", *(f"{a:.3f}" for a in accuracies))
    if json_file is not None:
        json_file.write_text(json.dumps({"streams": found, "held_out": held}, indent=1))
        console.print(f"{json_file} written")


def measure(stream: Labelled, names: tuple[str, ...]) -> Figures:
    """Return the prequential accuracy of each learner, and of ours its kappa-temporal and time."""
    ys = stream.ys
    same = float((ys[1:] == ys[:-1]).mean())
    model = ImprovedILVQ(stream.xs.shape[1], stream.labels)
    began = time.thread_time()
    predicted = model.learn_many(stream.xs, ys)
    us = (time.thread_time() - began) / len(ys) * 1e6
    accuracies: dict[str, Callable[[], float]] = {
        "same label": lambda: same,
        "reference": partial(_reference, stream),
        "prototypes": partial(_prototypes, stream),
        "improved": lambda: float((predicted[1:] == ys[1:]).mean()),
        **{peer: partial(_peer, stream, peer) for peer in PEERS},
    }
    figures = {name: accuracies[name]() for name in names}
    kappa = kappa_temporal(figures["improved"], same, 1.0)
    return {**figures, "kappa-temporal": kappa, "µs": us}


def checkpoints(stream: Labelled) -> list[float]:
    """Return the accuracy on every fifth row, never learnt, after each eighth of the others."""
    held = np.arange(len(stream.ys)) % 5 == 4
    model = ImprovedILVQ(stream.xs.shape[1], stream.labels)
    found = []
    for rows in np.array_split(np.flatnonzero(~held), CHECKPOINTS):
        model.learn_many(stream.xs[rows], stream.ys[rows])
        right = model.predict_many(stream.xs[held]) == stream.ys[held]
        found.append(float(right.mean()))
    return found


def summary(found: dict[str, Figures], names: tuple[str, ...]) -> Table:
    """Return means over the streams, and what each loses at worst to the best peer."""
    table = Table(title=f"{len(found)} streams", title_justify="left")
    for name in ("learner", "mean accuracy", "worst loss to the best peer"):
        table.add_column(name)
    peers = [name for name in names if name in PEERS]
    for name in names:
        mean = np.mean([figures[name] for figures in found.values()])
        losses = {
            stream: figures[name] - max(figures[peer] for peer in peers)
            for stream, figures in found.items()
            if peers
        }
        worst = min(losses, key=lambda stream: losses[stream]) if losses else ""
        shown = f"{100 * losses[worst]:+.1f} ({worst})" if worst else ""
        table.add_row(name, f"{100 * float(mean):.2f}", shown)
    return table


def _reference(stream: Labelled) -> float:
    predicted = XuILVQ(stream.xs.shape[1], stream.labels).learn_many(stream.complete, stream.ys)
    return float((predicted[1:] == stream.ys[1:]).mean())


def _prototypes(stream: Labelled) -> float:
    """Return what the prototypes alone would answer, without the other experts."""
    model, right = ImprovedILVQ(stream.xs.shape[1], stream.labels), 0
    for number, (x, y) in enumerate(zip(stream.xs, stream.ys.tolist(), strict=True)):
        right += number > 0 and int(model.opinions(x).shares[0].argmax()) == y
        model.learn_one(x, y)
    return right / (len(stream.ys) - 1)


def _peer(stream: Labelled, name: str) -> float:
    from river import ensemble, forest, neighbors, preprocessing, tree  # noqa: PLC0415 - seconds

    made: dict[str, Callable[[], Any]] = {
        "knn": neighbors.KNNClassifier,
        "hat": partial(tree.HoeffdingAdaptiveTreeClassifier, seed=1),
        "arf": partial(forest.ARFClassifier, seed=1),
        "srp": partial(ensemble.SRPClassifier, n_models=10, seed=1),
        "amf": partial(forest.AMFClassifier, seed=1),
    }
    scaler: Any = preprocessing.StandardScaler
    model, right = scaler() | made[name](), 0
    for number, (row, y) in enumerate(
        zip(stream.complete.tolist(), stream.ys.tolist(), strict=True)
    ):
        x = dict(enumerate(row))
        right += number > 0 and model.predict_one(x) == y
        model.learn_one(x, y)
    return right / (len(stream.ys) - 1)
