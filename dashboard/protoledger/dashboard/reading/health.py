"""Health: agents and channels by state, what runs out, and the alerts that would fire now.

An alert that Ansible also gives Prometheus has the name of that rule, and says the same of this
moment; a test compares them. The others are the page's own.
"""

import os
from collections.abc import Iterator
from typing import Any, Final

from protoledger.dashboard.reading.files import GatewayFiles

ALERTS: Final = {
    "ProtoledgerGatewayUnreachable": "critical",
    "ProtoledgerBrokerDown": "critical",
    "ProtoledgerRoundsFail": "critical",
    "ProtoledgerAgentLies": "warning",
    "ProtoledgerAgentsMissing": "warning",
    "ProtoledgerChannelSilent": "warning",
    "ProtoledgerCommitsRejected": "warning",
    "OthersHurt": "info",
    "CertificateEnds": "warning",
    "ProtoledgerDiskFull": "warning",
}
"""Alerts and how urgent they are."""
CERTIFICATE_DAYS: Final = 14
"""A certificate is renewed earlier; one that lives for less warns in its last third."""
DISK_FREE: Final = 0.1
MANY: Final = 10
"""Right answers that the others may cost a site more than they bring."""
DAY_S: Final = 86_400.0


def health(files: GatewayFiles) -> dict[str, Any]:
    """Return what the tab shows of one site."""
    found = _state(files)
    return {**found, "events": files.events("TRUE", 50), "alerts": _shown(files, found)}


def alerts(files: GatewayFiles) -> list[dict[str, str]]:
    """Return the alerts of one site alone, as `health` has them."""
    return _shown(files, _state(files))


def _state(files: GatewayFiles) -> dict[str, Any]:
    about, now, status = files.document("about"), files.document("now"), files.status()
    words = now.get("members") or {}
    running = files.state(status) == "running"
    counts = now.get("contributors") or []
    channels = about.get("channels", [])
    missing = set(now.get("missing") or [])
    since, until = about.get("certificate") or (None, None)
    return {
        "agents": [
            {**agent, "state": words.get(agent.get("id"), "unknown") if running else "unknown"}
            for agent in about.get("agents", [])
        ],
        "channels": [
            {
                **channel,
                "contributors": counts[number] if number < len(counts) else None,
                "missing": channel.get("name") in missing,
            }
            for number, channel in enumerate(channels)
        ],
        "certificate_days": None if until is None else (until - files.clock()) / DAY_S,
        "certificate_lives_days": None if until is None else (until - since) / DAY_S,
        "disk": _disk(files),
        "connected": bool(status.get("connected")),
        "chain": now.get("chain", ""),
        "status": status,
    }


def _shown(files: GatewayFiles, found: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"name": name, "severity": ALERTS[name], "text": text}
        for name, text in _alerts(files, found, files.document("now"))
    ]


def _disk(files: GatewayFiles) -> dict[str, float] | None:
    try:
        found = os.statvfs(files.store_file.parent)
    except OSError:
        return None
    return {
        "free_bytes": float(found.f_bavail * found.f_frsize),
        "all_bytes": float(found.f_blocks * found.f_frsize),
    }


def _alerts(
    files: GatewayFiles, found: dict[str, Any], now: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    yield from _of_the_gateway(files, found, now)
    by_state: dict[str, list[str]] = {}
    for agent in found["agents"]:
        by_state.setdefault(agent["state"], []).append(str(agent.get("id")))
    if liars := by_state.get("excluded"):
        yield (
            "ProtoledgerAgentLies",
            f"Excluded, for what they sent contradicts the others: {_and(liars)}.",
        )
    if absent := [*by_state.get("missing", []), *by_state.get("suspended", [])]:
        yield "ProtoledgerAgentsMissing", f"Not here: {_and(absent)}."
    if lacking := [str(one["name"]) for one in found["channels"] if one["missing"]]:
        yield "ProtoledgerChannelSilent", f"Nobody reads {_and(lacking)}: left out of learning."
    counters = now.get("counters") or {}
    if rejected := counters.get("commits_rejected", 0):
        yield "ProtoledgerCommitsRejected", f"The contract refused {rejected} commits for good."
    if counters.get("hurt", 0) > counters.get("helped", 0) + MANY:
        yield "OthersHurt", "The other owners cost this site more right answers than they bring."


def _of_the_gateway(
    files: GatewayFiles, found: dict[str, Any], now: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    status, state = found["status"], files.state(found["status"])
    if state in {"stale", "stopped", "absent"}:
        yield (
            "ProtoledgerGatewayUnreachable",
            "The gateway does not run, or hangs: no round completes.",
        )
    elif not found["connected"]:
        yield "ProtoledgerBrokerDown", "The gateway has no connection to its broker."
    elif now.get("last_failed_at", 0) > status.get("last_completed_at", 0):
        yield "ProtoledgerRoundsFail", f"The last round failed: {status.get('last_failure', '')}"
    days, lives = found["certificate_days"], found["certificate_lives_days"]
    if days is not None and days < min(CERTIFICATE_DAYS, lives / 3):
        yield "CertificateEnds", f"The gateway's certificate ends in {days:.0f} days."
    disk = found["disk"]
    if disk is not None and disk["free_bytes"] < DISK_FREE * disk["all_bytes"]:
        yield (
            "ProtoledgerDiskFull",
            f"Only {disk['free_bytes'] / 1e9:.1f} GB are free beside the store.",
        )


def _and(names: list[str]) -> str:
    shown = names[:5]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(shown) + more
