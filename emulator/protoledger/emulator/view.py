"""The live view of a running emulation: a bar for all rounds, and a table of the sites.

If the output is not a terminal, a line is printed every few seconds instead.
"""

import time
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from protoledger.emulator.progress import Progress

LINE_EVERY_S = 5.0


class View:
    """Shows progress on a console; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._task = self._bars.add_task("rounds", total=None)
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._line_at = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Show no more; idempotent."""
        self._live.stop()

    def say(self, text: str) -> None:
        """Print a line about the current step."""
        self._console.print(text, style="dim", highlight=False)

    def show(self, progress: Progress) -> None:
        """Show the current progress."""
        sites = list(progress.sites.values())
        done, target = sum(s.done for s in sites), sum(s.target for s in sites)
        if self._console.is_terminal:
            self._bars.update(self._task, completed=done, total=target)
            self._live.update(Group(self._bars, sites_table(progress)))
        elif time.monotonic() - self._line_at > LINE_EVERY_S:
            self._line_at = time.monotonic()
            samples = sum(s.samples for s in sites)
            accuracy = sum(s.right for s in sites) / samples if samples else 0.0
            self._console.print(
                f"{done} of {target} rounds, {sum(s.failed for s in sites)} failed, "
                f"accuracy {100 * accuracy:.1f} %, {sum(s.commits for s in sites)} commits",
                highlight=False,
            )


def sites_table(progress: Progress) -> Table:
    """Return a table with a row for each site."""
    table = Table()
    table.add_column("site", overflow="ellipsis", max_width=12)
    for name in ("rounds", "failed", "accuracy", "prototypes", "commits", "gas"):
        table.add_column(name, justify="right", no_wrap=True)
    for site in progress.sites.values():
        table.add_row(
            site.name,
            f"{site.rounds}/{site.target}",
            str(site.failed),
            "-" if site.accuracy is None else f"{100 * site.accuracy:.1f} %",
            str(site.prototypes),
            f"{site.commits}" + (f" + {site.rejected} refused" if site.rejected else ""),
            f"{site.gas:,}",
        )
    return table
