"""The views: one JSON object for each tab of the page, the same in the JSON API and in a report."""

import json
import math
from collections.abc import Callable
from typing import Any, Final

from protoledger.dashboard.reading.files import GatewayFiles
from protoledger.dashboard.reading.health import alerts, health
from protoledger.dashboard.reading.learning import learning
from protoledger.dashboard.reading.ledger import ledger
from protoledger.dashboard.reading.trust import explanation, explanations, trust, votes

VIEWS: Final = ("now", "learning", "ledger", "trust", "explain", "health")
EVERY_S: Final = {"now": 1.0, "learning": 2.0, "ledger": 2.0, "trust": 3.0, "explain": 2.0,
                  "health": 2.0}  # fmt: skip
"""Seconds between two looks at what a view shows, at least."""


def view(name: str, sites: list[GatewayFiles]) -> bytes:
    """Return one view of all sites as JSON.

    Raises:
        KeyError: there is no such view.
    """
    for files in sites:
        files.begin()
    clock = sites[0].clock if sites else None
    found: dict[str, Any] = {"view": name, "at": clock() if clock is not None else 0.0}
    if name == "ledger":
        found |= ledger(sites)
    else:
        make = _BY_SITE[name]
        found["sites"] = [files.shown(make) for files in sites]
    return _encoded(found)


def explained(site: str, n: int, sites: list[GatewayFiles]) -> bytes | None:
    """Return one explanation as JSON; None if there is no such site or prediction."""
    for files in sites:
        files.begin()
        header = files.shown(lambda _: {})
        if header["name"] == site and (found := explanation(files, n)) is not None:
            return _encoded({"site": site, "labels": header["labels"], **found})
    return None


def _encoded(found: dict[str, Any]) -> bytes:
    """Encode as browsers decode: NaN and infinity are no JSON there, and bytes nowhere."""
    try:
        text = json.dumps(found, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError):
        text = json.dumps(_plain(found), separators=(",", ":"), allow_nan=False)
    return text.encode()


def _plain(value: Any) -> Any:
    """Return a value with null in place of what JSON does not have."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else None


def _now(files: GatewayFiles) -> dict[str, Any]:
    about, now, status = files.document("about"), files.document("now"), files.status()
    words = list((now.get("members") or {}).values())
    return {
        "agents": {word: words.count(word) for word in sorted(set(words))},
        "roster": len(about.get("agents", [])),
        "connected": bool(status.get("connected")),
        "rounds_in_the_last_minute": now.get("rounds_in_the_last_minute", 0),
        "completed": status.get("completed", now.get("completed", 0)),
        "failed": status.get("failed", now.get("failed", 0)),
        "last_failure": status.get("last_failure") or now.get("last_failure", ""),
        "last_failed_at": now.get("last_failed_at", 0),
        "last_completed_at": status.get("last_completed_at", now.get("last_completed_at", 0)),
        "every_s": about.get("every_s", 0),
        "prediction": now.get("prediction"),
        "missing": now.get("missing", []),
        "prototypes": now.get("prototypes", 0),
        "counters": now.get("counters") or {},
        "chain": now.get("chain", ""),
        "events": files.events("kind <> 'failed'", 8),
        "alerts": alerts(files),
        "others": votes(files),
    }


def _explain(files: GatewayFiles) -> dict[str, Any]:
    return {"predictions": explanations(files)}


_BY_SITE: Final[dict[str, Callable[[GatewayFiles], dict[str, Any]]]] = {
    "now": _now,
    "learning": learning,
    "trust": trust,
    "explain": _explain,
    "health": health,
}
