"""Whether a soak went well, from its CSV file, its logs and what the chain says at the end.

**Memory.** Each life of a process that was seen for at least `LEAST` samples is judged over its
second half, when caches are full. It has grown if both hold: the lower end of the 95 % interval of
Theil's and Sen's slope (a median of slopes, which jumps do not move) is above zero, and that slope
makes more than `NOISE_BYTES` or `NOISE_SHARE` of the median, whichever is more, of the half. So a
run of H hours finds leaks of more than 1 MiB in H/2 hours, and a longer run finds smaller ones.

**Files.** The same rule, with the noise of a file: SQLite adds pages and reuses them, a log gets
lines with every fault. Stores may grow by 4 MiB in a half, logs by 32 KiB and 2 KiB for each fault.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import theilslopes

from tests.soak.measure import FAULT, RSS, SIZE

LEAST = 20
NOISE_BYTES, NOISE_SHARE = 1 << 20, 0.02
STORE_NOISE, LOG_NOISE, LOG_A_FAULT = 4 << 20, 32 << 10, 2 << 10
NOT_OURS = ("chain",)
"""Anvil keeps all of its past in memory: shown, not judged."""


@dataclass(frozen=True)
class Growth:
    """How a series grew over its second half.

    Attributes:
        name: of process or file, with the number of the life.
        hours: the length of the half.
        median: of the half, in bytes.
        bytes: slope times length.
        lowest: the same with the lower end of the slope's interval.
        allowed: what counts as noise.
    """

    name: str
    hours: float
    median: float
    bytes: float
    lowest: float
    allowed: float

    @property
    def grew(self) -> bool:
        """Whether this is more than noise."""
        return self.lowest > 0 and self.bytes > self.allowed


@dataclass(frozen=True)
class Finding:
    """One line of the verdict."""

    good: bool
    text: str


def read(path: Path) -> dict[tuple[str, str, int], list[tuple[float, str]]]:
    """Read the CSV: (seconds, value) by what, name and life."""
    found = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            key = row["what"], row["name"], int(row["life"])
            found[key].append((float(row["seconds"]), row["value"]))
    return dict(found)


def growth(name: str, series: list[tuple[float, float]], allowed: float) -> Growth | None:
    """Fit the second half; None if there are too few samples."""
    if len(series) < LEAST:
        return None
    middle = (series[0][0] + series[-1][0]) / 2
    half = [(at, value) for at, value in series if at >= middle]
    times, values = zip(*half, strict=True)
    slope, _, low, _ = theilslopes(values, times, 0.95)
    length = times[-1] - times[0]
    median = sorted(values)[len(values) // 2]
    return Growth(name, length / 3600, median, slope * length, low * length, allowed)


def memory(rows: dict) -> list[Growth]:
    """Judge every life that was long enough."""
    found = []
    for (what, name, life), series in sorted(rows.items()):
        if what == RSS:
            values = [(at, float(value)) for at, value in series]
            median = sorted(value for _, value in values)[len(values) // 2]
            allowed = max(NOISE_BYTES, NOISE_SHARE * median)
            found.append(growth(f"{name}, life {life}", values, allowed))
    return [one for one in found if one is not None]


def files(rows: dict) -> list[Growth]:
    """Judge stores, spools and logs."""
    faults = sum(len(series) for (what, *_), series in rows.items() if what == FAULT)
    found = []
    for (what, name, _), series in sorted(rows.items()):
        if what == SIZE:
            log = name.startswith("logs/")
            allowed = LOG_NOISE + LOG_A_FAULT * faults if log else STORE_NOISE
            found.append(growth(name, [(at, float(value)) for at, value in series], allowed))
    return [one for one in found if one is not None]


def growth_findings(what: str, found: list[Growth]) -> Iterable[Finding]:
    """Say which of them grew, and that none did."""
    judged = [one for one in found if not one.name.startswith((*NOT_OURS, "chain/"))]
    for one in (one for one in judged if one.grew):
        text = f"{what}: {one.name} grew by {one.bytes / 2**20:.2f} MiB in {one.hours:.1f} h"
        yield Finding(False, f"{text}, at a median of {one.median / 2**20:.1f} MiB")
    most = max(judged, key=lambda one: one.bytes / one.allowed, default=None)
    if most is None:
        yield Finding(False, f"{what}: too few samples to judge; run for longer")
    elif not any(one.grew for one in judged):
        text = f"{what}: none of {len(judged)} series grew beyond noise; closest {most.name}, "
        yield Finding(True, f"{text}{most.bytes / 2**10:+.0f} KiB in {most.hours:.1f} h")


def tracebacks(folder: Path) -> list[Finding]:
    """Look for tracebacks in all logs."""
    bad = []
    for path in sorted(folder.glob("*.log")):
        text = path.read_text(errors="replace")
        if "Traceback" in text:
            last = text.split("Traceback", 1)[1].splitlines()
            errors = [line for line in last[1:] if line and not line.startswith(" ")]
            bad.append(Finding(False, f"log: {path.name} has a traceback: {(errors or ['?'])[0]}"))
    return bad or [Finding(True, "log: no traceback in any")]


def frequent(folder: Path, most: int = 5) -> list[tuple[int, str]]:
    """Return the lines that were logged most often, numbers aside: none should be once a try."""
    counts: Counter[str] = Counter()
    for path in folder.glob("*.log"):
        for line in path.read_text(errors="replace").splitlines():
            counts[f"{path.name.split('-')[0]}: {re.sub(r'[0-9]+', '#', line)[:120]}"] += 1
    return [(count, line) for line, count in counts.most_common(most)]
