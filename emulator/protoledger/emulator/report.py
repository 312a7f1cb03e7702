"""The result of an emulation, as a JSON object and as a table."""

import platform
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from rich.table import Table

from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.emulator.processes.networks import CHAINS, program_of
from protoledger.emulator.run import Emulation

_COMMITS = "{commits} ({commits_used} used elsewhere, {commits_rejected} rejected)"
_HELD_OUT = "accuracy on a site's held-out rows"


def make_report(emulation: Emulation) -> dict[str, Any]:
    """Make the report of a run that has ended."""
    progress = emulation.progress
    sites = list(progress.sites.values())
    compared = [site for site in sites if site.rounds]
    samples = sum(site.samples for site in sites)
    began = progress.first_round_at
    seconds = max(progress.last_round_at - began, 1e-9) if began is not None else 0.0
    round_ms = [ms for site in sites for ms in site.round_ms]
    ended = sum(site.done for site in sites)
    per_agent = max(1, emulation.options.agents * ended)
    totals = [site.totals or {} for site in sites]
    return {
        "accuracy": _share(sum(site.right for site in sites), samples),
        "accuracy_by_site": {site.name: site.accuracy for site in sites},
        "accuracy_own": _share(_sum(totals, "own_right"), samples),
        "accuracy_anywhere": _share(_sum(totals, "anywhere_right"), samples),
        "accuracy_same_label": _share(_sum(totals, "same_label"), samples),
        "holdout_accuracy": mean(emulation.holdout.values()),
        "holdout_accuracy_by_site": emulation.holdout,
        "holdout_accuracy_anywhere": mean(emulation.holdout_anywhere.values()),
        "holdout_accuracy_as_read": mean(emulation.holdout_as_read.values()),
        "holdout_rows": len(emulation.dealt.holdout_labels),
        "samples": samples,
        "rows_unused": emulation.dealt.rows_unused,
        "rounds_completed": sum(site.rounds for site in sites),
        "rounds_failed": sum(site.failed for site in sites),
        "failures": merge(site.reasons for site in sites),
        "excluded_by_site": {site.name: site.excluded for site in sites},
        "seconds": round(seconds, 3),
        "startup_seconds": None if began is None else round(began - emulation.started_at, 3),
        "samples_per_second": round(samples / seconds, 1) if seconds else None,
        "commits": sum(site.commits for site in sites),
        "commits_by_site": {site.name: site.commits for site in sites},
        "commits_rejected": sum(site.rejected for site in sites),
        "commits_used": len(progress.used),
        "predictions_helped": _sum(totals, "helped"),
        "predictions_hurt": _sum(totals, "hurt"),
        "helped_by": {site.name: (site.totals or {}).get("helped_by", {}) for site in sites},
        "hurt_by": {site.name: (site.totals or {}).get("hurt_by", {}) for site in sites},
        "gas_used": sum(site.gas for site in sites),
        "gas_deployment": emulation.deploy_gas,
        "prototypes": {site.name: site.prototypes for site in sites},
        "bytes_per_agent_round": {
            "sent": _per(progress.agents.values(), "sent", per_agent),
            "received": _per(progress.agents.values(), "received", per_agent),
        },
        "bytes_gateway_round": {
            "sent": _per(totals, "sent", max(1, ended)),
            "received": _per(totals, "received", max(1, ended)),
        },
        "round_ms": {
            "p50": percentile(round_ms, 50),
            "p95": percentile(round_ms, 95),
        },
        "aggregate_error_max": max((s.largest_error for s in compared), default=None),
        "aggregate_sum_error_max": max((site.sum_error for site in compared), default=None),
        "oracle": emulation.oracle
        and emulation.oracle | {"learnt_by_site": {site.name: site.outside for site in sites}},
        "network": progress.network or None,
        "versions": _versions(emulation),
    }


def summary_table(report: dict[str, Any]) -> Table:
    """Format a report as a table."""
    table = Table(title="Summary", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(justify="right")
    failed = report["rounds_failed"]
    rows = [
        ("rounds", f"{report['rounds_completed']} completed, {failed} failed"),
        ("round, median and 95 %", "{p50} and {p95} ms".format(**report["round_ms"])),
        ("samples", f"{report['samples']} ({report['samples_per_second'] or 0:.0f} a second)"),
        ("accuracy, predicted before learnt", percent(report["accuracy"])),
        (
            "each site alone; the last label again",
            f"{percent(report['accuracy_own'])}; {percent(report['accuracy_same_label'])}",
        ),
        (_HELD_OUT, percent(report["holdout_accuracy"])),
        ("anywhere, on those of all sites", percent(report["holdout_accuracy_anywhere"])),
        ("prototypes by site", ", ".join(str(n) for n in report["prototypes"].values())),
        ("commits", _COMMITS.format(**report)),
        ("gas", f"{report['gas_used']:,} in commits, {report['gas_deployment']:,} to deploy"),
        (
            "bytes of an agent in a round",
            "{sent:.0f} sent, {received:.0f} received".format(**report["bytes_per_agent_round"]),
        ),
        ("largest error of a decoded sum", f"{report['aggregate_sum_error_max']} steps"),
        ("largest error of a mean", f"{report['aggregate_error_max'] or 0:.3f} steps"),
        ("first round after", f"{report['startup_seconds'] or 0:.1f} s"),
        ("all rounds in", f"{report['seconds']:.1f} s"),
    ]
    if network := report["network"]:
        text = (
            "{connections} connections, {carried_bytes:,} bytes, {segments_sent_again:,} segments"
        )
        rows.append(("through the network file", f"{text} sent again".format(**network)))
    liars = [name for names in report["excluded_by_site"].values() for name in names]
    if liars:
        rows.insert(1, ("excluded, as proven liars", ", ".join(liars)))
    if report["holdout_accuracy_as_read"] is not None:
        at = [name for name, _ in rows].index(_HELD_OUT) + 1
        rows.insert(
            at, ("the same, with the lie in them", percent(report["holdout_accuracy_as_read"]))
        )
    if report["oracle"] is not None:
        rows[-2:-2] = _oracle_rows(report["oracle"])
    for name, value in rows:
        table.add_row(name, value)
    return table


def _oracle_rows(oracle: dict[str, Any]) -> list[tuple[str, str]]:
    signed = f"{oracle['quorum']} of {oracle['reporters']} reporters"
    learnt = ", ".join(str(count) for count in oracle["learnt_by_site"].values())
    answer = "none" if oracle["answer"] is None else f"{oracle['answer']:.3f} {oracle['unit']}"
    return [
        ("outside samples, learnt by site", f"{oracle['samples']}, {learnt}"),
        ("signed by, gas", f"{signed}, {oracle['gas']:,}"),
        (f"outside {oracle['feed']} on the chain", f"{answer} after {oracle['answers']} answers"),
    ]


def _sum(totals: list[dict[str, Any]], name: str) -> int:
    return sum(int(total.get(name, 0)) for total in totals)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def mean(values: Iterable[float]) -> float | None:
    """Return the mean; None of nothing."""
    listed = list(values)
    return float(np.mean(listed)) if listed else None


def percent(share: float | None) -> str:
    """Format a share of 0 to 1."""
    return "-" if share is None else f"{100 * share:.2f} %"


def percentile(values: list[float], below: float, digits: int = 2) -> float | None:
    """Return what so many per cent of the values are below; None of nothing."""
    return float(round(np.percentile(values, below), digits)) if values else None


def _per(counted: Any, name: str, count: int) -> float:
    return round(float(sum(one.get(name, 0) for one in counted)) / count, 1)


def merge(counted: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add up counts by their names."""
    merged: dict[str, int] = {}
    for one in counted:
        for key, value in one.items():
            merged[key] = merged.get(key, 0) + value
    return merged


def _versions(emulation: Emulation) -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("protoledger", "numpy", "paho-mqtt", "cryptography", "web3"):
        found[name] = version(name)
    if emulation.options.broker in {None, "mosquitto"} and (program := find_mosquitto()):
        found["mosquitto"] = _first_line([str(program), "-h"])
    if (chain := emulation.options.chain) in CHAINS:
        found[chain] = _first_line([str(program_of(chain)), "--version"])
    return found


def _first_line(command: list[str]) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return (ended.stdout or ended.stderr).partition("\n")[0].strip()
