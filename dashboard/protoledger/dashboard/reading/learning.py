"""Learning: accuracy over time beside what it must beat, by class, and the map of prototypes."""

import math
from collections import deque
from typing import Any, Final

from protoledger.dashboard.reading.curves import ascending, thinned
from protoledger.dashboard.reading.files import EVENT_CHARACTERS, GatewayFiles, content
from protoledger.gateway.training.history.tables import DRIFTED, SAMPLES_KEPT, SERIES_KEPT

WINDOW: Final = 100
"""Labelled samples over which a curve is a mean."""
FEWEST: Final = 5
"""Labelled samples before which a curve says nothing."""
DRAWN: Final = 240
"""Points of a curve at most."""
DRIFTS: Final = 50
MARKS: Final = 600
"""Prototypes on the map at most, the heaviest."""
SERIES: Final = ("here", "alone", "anywhere", "repeat")


def learning(files: GatewayFiles) -> dict[str, Any]:
    """Return what the tab shows of one site."""
    about, now = files.document("about"), files.document("now")
    labels = len(about.get("labels", []))
    samples = files.rows(
        "SELECT n, at, label, answer, alone, anywhere, repeated, flags FROM samples "
        "WHERE label IS NOT NULL AND n > (SELECT max(n) FROM samples) - ? ORDER BY n",
        [SAMPLES_KEPT],
    )
    curve = _long_ago(files, samples[0][0] if samples else None)
    _append(curve, _recent(samples))
    drawn = ascending(curve["at"], files.clock())
    curve = {name: [values[place] for place in drawn] for name, values in curve.items()}
    counters = now.get("counters") or {}
    return {
        "curve": curve,
        "window": WINDOW,
        "overall": _overall(counters),
        "confusion": _confusion(samples[-500:], labels),
        "drifts": [row[0] for row in samples if row[7] & DRIFTED][-DRIFTS:],
        "drifts_at": [row[1] for row in samples if row[7] & DRIFTED][-DRIFTS:],
        "drifts_in_all": counters.get("drifts", 0),
        "missing": now.get("missing", []),
        "channels": [channel.get("name") for channel in about.get("channels", [])],
        "prototypes": now.get("prototypes", 0),
        "map": _map(files),
    }


def _map(files: GatewayFiles) -> dict[str, Any]:
    """Return the map, without its lightest prototypes where it has too many to see."""
    found = files.document("map")
    prototypes = found.get("prototypes", [])
    if len(prototypes) > MARKS:
        heaviest = sorted(prototypes, key=lambda one: -one[3])[:MARKS]
        owners = sorted({one[0] for one in heaviest})
        found["owners"] = [found["owners"][number] for number in owners]
        found["prototypes"] = [[owners.index(one[0]), *one[1:]] for one in heaviest]
    return found


def _recent(samples: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
    """Return the means over the last samples, at some of the samples."""
    curve = _empty()
    window: deque[tuple[bool, ...]] = deque()
    sums = [0] * len(SERIES)
    step = max(1, len(samples) // DRAWN)
    for place, (n, at, label, *said, _flags) in enumerate(samples):
        right = tuple(answer == label for answer in said)
        window.append(right)
        for number, one in enumerate(right):
            sums[number] += one
        if len(window) > WINDOW:
            for number, one in enumerate(window.popleft()):
                sums[number] -= one
        if len(window) < FEWEST or ((len(samples) - 1 - place) % step):
            continue
        shares = [total / len(window) for total in sums]
        _point(curve, n, at, shares)
    return curve


def _empty() -> dict[str, list[Any]]:
    return {name: [] for name in ("n", "at", *SERIES, "kappa")}


def _point(curve: dict[str, list[Any]], n: int | None, at: float, shares: list[float]) -> None:
    """Add a point; shares as in `SERIES`."""
    curve["n"].append(n)
    curve["at"].append(round(at, 3))
    for name, share in zip(SERIES, shares, strict=True):
        curve[name].append(round(share, 4))
    curve["kappa"].append(kappa_temporal(shares[0], shares[3]))


def kappa_temporal(share: float, repeated: float) -> float | None:
    """Return accuracy between that of repeating the last label (0) and perfection (1).

    None where repeating is always right. Source: see `gateway.training.counters`.
    """
    return round((share - repeated) / (1 - repeated), 4) if repeated < 1 else None


def _long_ago(files: GatewayFiles, before: int | None) -> dict[str, list[Any]]:
    """Return means between the points that are kept of older samples."""
    curve = _empty()
    points = [
        (at, content(text))
        for at, text in files.rows(
            "SELECT at, content FROM points WHERE length(content) < ? ORDER BY id DESC LIMIT ?",
            [EVENT_CHARACTERS, 2 * SERIES_KEPT],
        )[::-1]
    ]
    points = [(at, point) for at, point in points if before is None or _number(point) < before]
    last: dict[str, Any] = {}
    names = ("right", "own_right", "anywhere_right", "same_label")
    for at, point in points:
        count = point.get("samples", 0) - last.get("samples", 0)
        if count < WINDOW // 2:
            continue
        shares = [(point.get(name, 0) - last.get(name, 0)) / count for name in names]
        last = point
        _point(curve, point.get("n"), at, shares)
    return {name: thinned(values, DRAWN) for name, values in curve.items()}


def _number(point: dict[str, Any]) -> float:
    n = point.get("n")
    return n if isinstance(n, int) else math.inf


def _append(curve: dict[str, list[Any]], more: dict[str, list[Any]]) -> None:
    for name, values in more.items():
        curve[name].extend(values)


def _overall(counters: dict[str, Any]) -> dict[str, Any]:
    samples = counters.get("samples", 0)
    if not samples:
        return {"samples": 0}
    shares = {
        "here": counters.get("right", 0) / samples,
        "alone": counters.get("own_right", 0) / samples,
        "anywhere": counters.get("anywhere_right", 0) / samples,
        "repeat": counters.get("same_label", 0) / samples,
    }
    return {
        "samples": samples,
        "unlabelled": counters.get("unlabelled", 0),
        **{name: round(share, 4) for name, share in shares.items()},
        "kappa": kappa_temporal(shares["here"], shares["repeat"]),
        "helped": counters.get("helped", 0),
        "hurt": counters.get("hurt", 0),
    }


def _confusion(samples: list[tuple[Any, ...]], labels: int) -> list[list[int]]:
    """Count the last labelled samples by class, and by answer; the last column: no answer."""
    table = [[0] * (labels + 1) for _ in range(labels)]
    for row in samples:
        label, answer = row[2], row[3]
        if 0 <= label < labels:
            known = answer is not None and 0 <= answer < labels
            table[label][answer if known else labels] += 1
    return table
