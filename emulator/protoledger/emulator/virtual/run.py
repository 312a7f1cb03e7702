"""A whole deployment in virtual time, and its report."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.table import Table

from protoledger.emulator.errors import EmulatorError
from protoledger.emulator.report import mean, merge, percent, percentile
from protoledger.emulator.sources.catalogue import open_source
from protoledger.emulator.sources.dealing import deal
from protoledger.emulator.sources.recordings import agent_ids, site_ids
from protoledger.emulator.virtual.clock import Clock
from protoledger.emulator.virtual.ledger import VirtualLedger
from protoledger.emulator.virtual.links import Links, NetworkFile
from protoledger.emulator.virtual.site import Costs, VirtualSite, World
from protoledger.gateway.codebook.codebook import RecordFormat
from protoledger.gateway.learner import Warmup
from protoledger.gateway.training.commits import Omissions
from protoledger.gateway.training.model import SiteModel
from protoledger.protocol.wire.schema import Schema
from protoledger.protocol.wire.terms import Terms
from protoledger.runtime.site import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from protoledger.emulator.options import Options

BLOCK_S: Final = 12.0
"""Between blocks of a public chain; Ethereum's."""
EVERY_S: Final = 10.0
"""Between the beginnings of a site's rounds."""
JUDGED: Final = 20
HELD_OUT: Final = 300
"""Sites, and rows of each, that the accuracy on held-out rows is measured on, at most."""
_SAY_EVERY_S: Final = 5.0
_KERNELS_EVERY_S: Final = 0.5


class VirtualRun:
    """A deployment of `options.sites` sites in virtual time.

    Args:
        options: the options of `protoledger emulate`; those of processes have no meaning here.
        say: receives a line of text now and then.

    Raises:
        DataSourceError: the source cannot fill the plan.
        ConfigurationError: the network file has errors, or names devices that do not exist.
    """

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self._options, self._say = options, say
        began = time.process_time()
        self._dealt = deal(
            open_source(
                options.source, options.label, missing=options.missing, ignore=options.ignore
            ),
            sites=options.sites,
            agents=options.agents,
            rounds=options.rounds,
            batch=options.batch,
            noise=options.noise,
            seed=options.seed,
        )
        schema = Schema(self._dealt.channels, self._dealt.labels)
        half_ms = round(500 * options.round_seconds)
        terms = Terms(
            schema,
            options.plan,
            options.minimum_contributors,
            options.batch,
            round(1000 * EVERY_S),
            half_ms,
            half_ms,
        )
        self.clock = Clock()
        settings = NetworkFile() if options.network is None else load(options.network, NetworkFile)
        form = RecordFormat(len(schema.channels), max(1, len(schema.labels)))
        names = site_ids(options.sites)
        self.links = Links(self.clock, settings, _devices(names, options.agents), options.seed)
        omissions = Omissions.of(None, form.features)
        self.ledger = VirtualLedger(self.clock, self.links, form, omissions, BLOCK_S)
        self.costs = Costs()
        world = World(self.clock, self.links, self.ledger, terms, EVERY_S, self.costs)
        self.sites = [
            VirtualSite(name, rows, world, self._model(schema))
            for name, rows in zip(names, self._dealt.sites, strict=True)
        ]
        self.costs.seconds["keys and rows"] = time.process_time() - began

    def _model(self, schema: Schema) -> SiteModel:
        return SiteModel(
            len(schema.channels),
            max(1, len(schema.labels)),
            mode=self._options.learner,
            test=self._options.test,
            alpha=self._options.alpha,
        )

    def run(self) -> dict[str, Any]:
        """Run to the end; returns the report.

        Raises:
            EmulatorError: a decoded sum was not the true one.
        """
        began = time.monotonic()
        for site in self.sites:
            site.begin()
        with Warmup() as warmup:
            self._advance(warmup)
        report = self._report(time.monotonic() - began)
        if report["wrong_sums"]:
            raise EmulatorError(f"{report['wrong_sums']} sums are not the true ones")
        return report

    def _advance(self, warmup: Warmup) -> None:
        """Let everything happen, and say now and then how far it is."""
        said, learnt_s = time.monotonic(), 0.0
        while self.clock.advance():
            learning_s = self.costs.seconds["learning"]
            if learning_s > learnt_s + _KERNELS_EVERY_S:
                warmup.spent(learning_s - learnt_s)
                learnt_s = learning_s
            if time.monotonic() > said + _SAY_EVERY_S:
                said = time.monotonic()
                done = sum(site.found.completed for site in self.sites)
                self._say(f"{self.clock.now:.0f} s of virtual time, {done} rounds completed")

    def _report(self, seconds: float) -> dict[str, Any]:
        found = [site.found for site in self.sites]
        completed = sum(one.completed for one in found)
        reasons = merge(one.reasons for one in found)
        lasted = [second for one in found for second in one.seconds]
        shares = [one.right / one.samples for one in found if one.samples]
        alone = [one.own_right / one.samples for one in found if one.samples]
        judged = self.sites[:JUDGED]
        values, labels = self._dealt.holdout_values, self._dealt.holdout_labels
        rows = [np.flatnonzero(self._dealt.held_out_at(n))[:HELD_OUT] for n in range(len(judged))]
        held = [
            site.right_share(values[mine], labels[mine])
            for site, mine in zip(judged, rows, strict=True)
            if len(mine)
        ]
        return {
            "sites": len(self.sites),
            "agents": len(self.sites) * self._options.agents,
            "rounds_completed": completed,
            "rounds_failed": sum(reasons.values()),
            "failures": reasons,
            "sites_given_up": sum(one.given_up for one in found),
            "wrong_sums": sum(one.wrong_sums for one in found),
            "round_s": {"p50": percentile(lasted, 50, 3), "p95": percentile(lasted, 95, 3)},
            "messages_lost": self.links.lost,
            "messages_repeated": self.links.repeated,
            "megabytes": round(self.links.carried / 1e6, 3),
            "accuracy": mean(shares),
            "accuracy_worst_site": min(shares, default=None),
            "accuracy_alone": mean(alone),
            "holdout_accuracy": mean(held),
            "commits": sum(one.commits for one in found),
            "commit_bytes": sum(book.sent_bytes for book in self.ledger.books.values()),
            "virtual_seconds": round(self.clock.now, 3),
            "seconds": round(seconds, 3),
            "cpu_seconds": {part: round(s, 3) for part, s in self.costs.seconds.items()},
        }


def summary(report: dict[str, Any]) -> Table:
    """Format a report as a table."""
    table = Table(title="In virtual time", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(justify="right")
    lasted = report["round_s"]
    worst, alone = percent(report["accuracy_worst_site"]), percent(report["accuracy_alone"])
    rounds = max(1, report["rounds_completed"])
    rows = [
        ("sites, agents", f"{report['sites']:,}, {report['agents']:,}"),
        (
            "rounds",
            f"{report['rounds_completed']:,} completed, {report['rounds_failed']:,} failed",
        ),
        *((f"  {count} ×", reason) for reason, count in sorted(report["failures"].items())),
        ("sites given up", str(report["sites_given_up"])),
        ("wrong sums", str(report["wrong_sums"])),
        ("round, median and 95 %", f"{lasted['p50'] or 0:.3f} and {lasted['p95'] or 0:.3f} s"),
        ("messages lost, repeated", f"{report['messages_lost']}, {report['messages_repeated']}"),
        ("carried", f"{report['megabytes']:,} MB"),
        ("accuracy, predicted before learnt", percent(report["accuracy"])),
        ("  of the worst site; of sites alone", f"{worst}; {alone}"),
        ("accuracy on a site's held-out rows", percent(report["holdout_accuracy"])),
        ("commits", f"{report['commits']} of {report['commit_bytes']:,} bytes"),
        ("time", f"{report['virtual_seconds']:,.0f} s in {report['seconds']:,.1f} s"),
        *(
            (f"  CPU of {part}", f"{s:,.1f} s, {1000 * s / rounds:.1f} ms a round")
            for part, s in report["cpu_seconds"].items()
        ),
    ]
    for name, value in rows:
        table.add_row(name, value)
    return table


def _devices(sites: list[str], agents: int) -> list[str]:
    short = ["gateway", *agent_ids(agents)]
    return [f"{site}.{device}" for site in sites for device in short]
