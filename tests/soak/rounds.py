"""What gateways tell while they are soaked: rounds, sums, samples, commits."""

from collections import Counter

import numpy as np

from protoledger.emulator.progress import opened_sums, true_sums
from tests.soak.verdict import Finding


class Told:
    """Folds the events of all lives of all gateways.

    Args:
        deployment: what runs.
    """

    def __init__(self, deployment):
        self._deployment = deployment
        self._minimum = deployment.options.minimum_contributors
        self._rows = deployment.recorded, deployment.dealt.sites[0]
        self.completed, self.failed, self.compared = Counter(), Counter(), Counter()
        self.reasons: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.samples, self.lost_samples = Counter(), Counter()
        self.committed, self.rejected = Counter(), Counter()
        self.merged: dict[tuple[str, str], int] = {}
        self.bad: list[str] = []
        self.last_full: dict[str, float] = {}

    def take(self, gateway: str, event: dict, now: float) -> None:
        """Take one event."""
        kind = event.get("event")
        if kind == "round":
            self._round(gateway, event, now)
        elif kind == "failed":
            self.failed[gateway] += 1
            self.reasons[str(event["reason"])[:80]] += 1
        elif kind == "committed":
            self.committed[gateway] = max(self.committed[gateway], event["version"])
        elif kind == "merged":
            pair = gateway, event["owner"]
            self.merged[pair] = max(self.merged.get(pair, 0), event["version"])
        elif kind == "rejected":
            self.rejected[gateway] += bool(event["permanent"])
        elif kind in {"lied", "disagrees", "dropped", "ledger_failed"} or (
            kind == "excluded" and event["agents"]
        ):
            self.bad.append(f"{gateway}: {event}")

    def _round(self, gateway, event, now):
        self.completed[gateway] += 1
        if event["samples"] < self.samples[gateway]:  # it was killed before it saved
            self.lost_samples[gateway] += self.samples[gateway] - event["samples"]
        self.samples[gateway] = event["samples"]
        if len(event["included"]) == len(self._deployment.recorded.agents):
            self.last_full[gateway] = now
        files, rows = self._rows
        if gateway != files.gateway:
            return
        at = (event["round"] - 1) % len(rows.labels)
        seen, here = slice(at, at + 1), event["included"]
        true = true_sums(self._deployment.schema, rows.observed[here, seen], rows.votes[here, seen])
        expected = opened_sums(self._deployment.schema, true, self._minimum)
        self.compared[gateway] += 1
        if not np.array_equal(event["sums"], expected):
            self.wrong.append(f"round {event['round']}")

    def findings(self, seconds: float, quiet_from: float, kills: Counter) -> list[Finding]:
        """Judge rounds, sums and samples."""
        sums = f"{sum(self.compared.values())} sums of recordings compared"
        found = [
            Finding(not self.wrong, f"sums: {sums}, {len(self.wrong)} wrong {self.wrong[:3]}"),
            Finding(not self.bad, f"blame: {self.bad[:3] or 'nobody was excluded, nothing lied'}"),
        ]
        for name in self._deployment.gateways:
            counts = f"{self.completed[name]} completed, {self.failed[name]} failed"
            full = self.last_full.get(name, 0.0)
            good = full > quiet_from
            text = f"rounds: {name}: {counts}; the last one with all agents {seconds - full:.0f} s"
            found.append(Finding(good, f"{text} before the end"))
            lost, cuts = self.lost_samples[name], kills[name]
            text = f"samples: {name}: {self.samples[name]} learnt, {lost} lost in {cuts} power cuts"
            found.append(Finding(lost <= cuts, text))  # a store is written once a second
        return found


def chain_findings(deployment, told: Told) -> list[Finding]:
    """Compare what gateways say they committed and took over with the chain."""
    from protoledger.contracts.client.binding import Buffer
    from protoledger.contracts.client.node import Node

    node, buffer = Node(deployment.chain_url), Buffer(deployment.contract)
    found = []
    for name, owner in deployment.owners.items():
        there = buffer.standing(node, owner).head.version
        other = next(gateway for gateway in deployment.gateways if gateway != name)
        taken = told.merged.get((other, owner), 0)
        own = told.committed[name]
        text = f"commits: {name}: version {own} by its own count, {there} on the chain, "
        found.append(Finding(own == there == taken, f"{text}{taken} at {other}"))
    return found
