"""The common style of the experiments' pictures.

The colours are those of Okabe and Ito (Color Universal Design, 2008), which colour-blind readers
can distinguish; each line also has its own marker.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from protoledger.experiments.experiment import Point, Table

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS: Final = "osD^vPX"
_STYLE: Final[dict[Any, Any]] = {
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def panels(
    titles: Sequence[str], *, rows: int = 1, height: float = 3.2
) -> tuple[Figure, list[Axes]]:
    """Return a figure with titled panels of equal width in one or more rows."""
    with mpl.rc_context(_STYLE):
        columns = -(-len(titles) // rows)
        figure = Figure(figsize=(3.4 * columns, height * rows), layout="constrained")
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis, title in zip(axes, titles, strict=False):
        axis.set_title(title)
    for axis in axes[len(titles) :]:
        axis.remove()
    return figure, axes[: len(titles)]


def line(axis: Axes, number: int, label: str, x: Sequence[float], y: Sequence[Point]) -> None:
    """Draw means as a line with their intervals; `number` chooses colour and marker, of 49."""
    axis.errorbar(
        x,
        [point.mean for point in y],
        yerr=[point.half for point in y],
        label=label,
        color=COLOURS[number % len(COLOURS)],
        marker=MARKERS[(number + number // len(COLOURS)) % len(MARKERS)],
        markersize=4,
        linewidth=1.2,
        capsize=2,
    )


def legend(figure: Figure, axis: Axes) -> None:
    """Draw the legend of one panel, which holds for all panels, under the figure."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))


def over_gateways(table: Table, curves: Sequence[tuple[str, str, Mapping[str, Any]]]) -> Figure:
    """Draw accuracy over the number of gateways, a panel for each stream and way of dealing it.

    Args:
        table: with the keys `data`, `dealt`, `gateways`.
        curves: label, measure, and which rows of a panel, by their other keys.
    """
    dealt = [str(value) for value in table.values("dealt")]
    names = [(str(data), how) for how in dealt for data in table.values("data")]
    figure, axes = panels([", ".join(name) for name in names], rows=len(dealt))
    for axis, (data, how) in zip(axes, names, strict=True):
        for number, (label, measure, rows) in enumerate(curves):
            found = table.where(data=data, dealt=how, **rows)
            x = [float(named["gateways"]) for named, _ in found]
            line(axis, number, label, x, [point[measure] for _, point in found])
        axis.set(xscale="log", xlabel="gateways")
        axis.set_xticks(x, [f"{value:.0f}" for value in x])
        axis.minorticks_off()
    axes[0].set_ylabel("held-out accuracy")
    legend(figure, axes[-1])
    return figure
