"""The picture of a soak: memory, stores and logs, rounds, and when things went wrong."""

from collections import defaultdict
from pathlib import Path

from protoledger.experiments.figures import COLOURS, panels
from tests.soak.measure import FAILED, FAULT, ROUNDS, RSS, SIZE

MIB = 2**20


def kind_of(name: str) -> str:
    """Say what a process is."""
    return name if "." not in name else name.partition(".")[2].partition("-")[0]


def draw(rows: dict, path: Path) -> None:
    """Write the picture to a PNG file."""
    titles = ["memory (RSS), MiB", "stores and spools, MiB", "logs, KiB", "rounds"]
    figure, axes = panels(titles, rows=2)
    kinds = {"agent": 0, "gateway": 1, "broker": 2, "chain": 3}
    for (what, name, _), series in rows.items():
        hours = [at / 3600 for at, _ in series]
        if what == RSS:
            kind = kind_of(name)
            values = [float(value) / MIB for _, value in series]
            axes[0].plot(hours, values, color=COLOURS[kinds[kind]], linewidth=0.8, label=kind)
        elif what == SIZE:
            log = name.startswith("logs/")
            scale, axis = (2**10, axes[2]) if log else (MIB, axes[1])
            kind = kind_of(name.removeprefix("logs/")) if log else name.rpartition("/")[2]
            number = kinds.get(kind, 4) if log else _number(kind)
            values = [float(value) / scale for _, value in series]
            axis.plot(hours, values, color=COLOURS[number], linewidth=0.8, label=_short(kind))
        elif what in {ROUNDS, FAILED}:
            style = "-" if what == ROUNDS else ":"
            colour = COLOURS[0 if name.startswith("site-1") else 1]
            label = f"{name.partition('.')[0]}, {'completed' if what == ROUNDS else 'failed'}"
            values = [float(value) for _, value in series]
            axes[3].plot(hours, values, style, color=colour, linewidth=0.9, label=label)
    faults = [at / 3600 for (what, *_), series in rows.items() if what == FAULT for at, _ in series]
    for axis in axes:
        axis.set_xlabel("hours")
        axis.set_ylim(bottom=0)
        for at in faults:
            axis.axvline(at, color="#bbbbbb", linewidth=0.3, zorder=0)
        _legend(axis)
    figure.savefig(path, dpi=120)


def _short(name: str) -> str:
    return name if "agent-" not in name else "agents' " + name.split(".", 2)[-1].lstrip(".")


def _number(name: str) -> int:
    return sum(name.split(".", 1)[-1].encode()) % len(COLOURS)


def _legend(axis) -> None:
    seen = defaultdict(list)
    for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
        seen[label].append(handle)
    axis.legend([handles[0] for handles in seen.values()], list(seen), fontsize=6, loc="upper left")
