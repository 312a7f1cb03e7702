"""The picture in docs/xuilvq.md: a stream in two features, and the prototypes of both modes."""

from pathlib import Path
from typing import Any

import numpy as np

from protoledger.experiments.benchmarks.learner.measures import Stream
from protoledger.gateway.learner import MODES, Mode, make_learner

COLOURS = ("#0072b2", "#d55e00")  # colour-blind readers can distinguish them, too
TINTS = ("#b3d4e8", "#f4cdb0")
GRID = 220
SHOWN = 1200


def draw(file: Path) -> None:
    """Learn bananas in both modes, and draw samples, prototypes and what is predicted where.

    Raises:
        OSError: The file cannot be written.
    """
    kind = "svg" if file.suffix == ".svg" else "png"
    import matplotlib as mpl  # noqa: PLC0415 - takes a second

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "protoledger"  # the same bytes each time
    from matplotlib import pyplot as plt  # noqa: PLC0415

    stream = Stream.packaged("bananas")
    figure, axes = plt.subplots(1, 2, figsize=(10, 5), sharey=True, layout="constrained")
    for axis, mode in zip(axes, reversed(MODES), strict=True):
        _draw_mode(axis, stream, mode)
    metadata = {"Date": None} if kind == "svg" else None
    figure.savefig(file, dpi=80, format=kind, metadata=metadata)
    plt.close(figure)


def _draw_mode(axis: Any, stream: Stream, mode: Mode) -> None:
    model = make_learner(mode, 2, 2)
    predicted = model.learn_many(stream.xs, stream.ys)
    low, high = stream.xs.min(axis=0) - 0.2, stream.xs.max(axis=0) + 0.2
    across, up = (np.linspace(a, b, GRID) for a, b in zip(low, high, strict=True))
    places = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    areas = model.predict_many(places).reshape(GRID, GRID)
    axis.contourf(across, up, areas, levels=[-0.5, 0.5, 1.5], colors=TINTS, alpha=0.5)
    found = model.prototypes()
    for label in (0, 1):
        samples = stream.xs[-SHOWN:][stream.ys[-SHOWN:] == label]
        axis.plot(*samples.T, ".", color=COLOURS[label], markersize=2, alpha=0.35)
        mine = found.classes == label
        axis.scatter(
            *found.features[mine].T,
            s=10 + 6 * np.sqrt(found.weights[mine].astype(float)),
            color=COLOURS[label],
            edgecolors="black",
            linewidths=0.8,
            label=f"class {label}: {mine.sum()} prototypes",
        )
    right = (predicted[1:] == stream.ys[1:]).mean()
    axis.set_title(f"{mode}: {right:.1%} right, predicted before learnt")
    axis.set_xlim(low[0], high[0])
    axis.set_ylim(low[1], high[1])
    axis.legend(loc="upper right", framealpha=0.9, fontsize="small")
