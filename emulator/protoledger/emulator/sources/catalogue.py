"""The sources that a run can replay: simulated rooms, data sets, and any CSV file.

`open_source` opens one by its name. Others add sources by entry points in the group
`protoledger.sources`: a subclass of `RowSource` that is made without arguments.

A `TableSource` has a fixed number of rows: by default
every fifth is held out, the others go to the sites in turn, and each agent of a site observes the
site's row with its own noise.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from protoledger.emulator.errors import DataSourceError, DealError, UnknownSourceError
from protoledger.emulator.sources.channels import plan_channel
from protoledger.emulator.sources.csv_source import CsvTable, read_csv
from protoledger.emulator.sources.dealing import (
    DEFAULT_NOISE,
    DealPlan,
    Dealt,
    RowSource,
    SiteRows,
    deal,
)
from protoledger.emulator.sources.packaged import PACKAGED, read_packaged
from protoledger.plugins import Group, PluginError, UnknownPluginError

__all__ = [
    "DEFAULT_NOISE",
    "SOURCES",
    "SOURCE_NAMES",
    "Dealt",
    "RowSource",
    "TableSource",
    "deal",
    "open_source",
]

SOURCE_NAMES = ("house", *PACKAGED)
_HERE: Final = "protoledger.emulator.sources"
SOURCES: Final = Group(
    "protoledger.sources",
    "source",
    {"house": f"{_HERE}.house:HouseSource"}
    | dict.fromkeys(PACKAGED, f"{_HERE}.packaged:read_packaged"),
)

_NOISE = 1  # a purpose of `DealPlan.generator`


def open_source(
    name: str,
    label: str | None = None,
    *,
    missing: Collection[str] = (),
    ignore: Collection[str] = (),
) -> RowSource:
    """Open a source by its name, or a CSV file by its path.

    Args:
        name: one of `SOURCE_NAMES`, what another package calls its own, else a path.
        label: the file's label column; its last column without it.
        missing: values of the file that mean that there was no reading.
        ignore: columns of the file to leave out.

    Raises:
        DataSourceError: there is no such source or file, the file is wrong (each line and column is
            named), or a label is given although the source has its own.

    >>> [channel.name for channel in open_source("bananas").channels]
    ['x', 'y']
    """
    if name in SOURCES.names():
        if label is not None or missing or ignore:
            given = f"--label {label}" if label is not None else "--missing, --ignore"
            raise DataSourceError(
                f"{given}: for CSV files; source {name!r} has its own labels, leave it out"
            )
        return TableSource(name, read_packaged(name)) if name in PACKAGED else _made(name)
    path = Path(name)
    if not path.exists() and path.suffix == "" and len(path.parts) == 1:
        _made(name)  # raises, and lists what there is
    return TableSource(path.name, read_csv(path, label, missing=missing, ignore=ignore))


def _made(name: str) -> RowSource:
    """Make a source that needs no file.

    Raises:
        DataSourceError: there is none of this name, it cannot be imported, or it is no `RowSource`.
    """
    try:
        source: Any = SOURCES.find_class(name, RowSource)
    except UnknownPluginError as error:
        raise UnknownSourceError(f"{error}, or a CSV's path") from None
    except PluginError as error:
        raise DataSourceError(str(error)) from error
    made = source()
    assert isinstance(made, RowSource)  # noqa: S101 - its class is a subclass
    return made


def filled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace missing readings by the last one of their column before them, as a gateway does.

    At the beginning of a column the next one is taken.

    >>> filled(np.array([[np.nan], [1.0], [np.nan], [3.0]]))[:, 0].tolist()
    [1.0, 1.0, 1.0, 3.0]
    """
    known = ~np.isnan(values)
    rows = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(known, rows, -1), axis=0)
    first = np.argmax(known, axis=0)
    result: NDArray[np.float64] = np.take_along_axis(
        values, np.where(last < 0, first, last), axis=0
    )
    return result


class TableSource(RowSource):
    """A fixed number of labelled rows, read from a file.

    Where the file has no reading, no agent reads anything; in held-out rows such a cell has the
    last value before it.

    >>> table = CsvTable(("x",), ("a", "b"), np.arange(10.0)[:, None], np.arange(10) % 2)
    >>> dealt = deal(TableSource("ten", table), sites=2, agents=3, rounds=None, noise=0)
    >>> [site.clean[:, 0].tolist() for site in dealt.sites]
    [[0.0, 2.0, 5.0, 7.0], [1.0, 3.0, 6.0, 8.0]]
    >>> dealt.holdout_values[:, 0].tolist()
    [4.0, 9.0]
    """

    def __init__(self, name: str, table: CsvTable) -> None:
        """DealPlan the channels from the table's values.

        Raises:
            DataSourceError: a column's values are too large or too small to compute with.
        """
        self.name = name
        self.labels = table.labels
        self.left_out = table.left_out
        self.notices = table.notices
        self.table = table
        smallest, largest = np.nanmin(table.values, axis=0), np.nanmax(table.values, axis=0)
        self.channels = tuple(
            plan_channel(column, "", float(low), float(high))
            for column, low, high in zip(table.channels, smallest, largest, strict=True)
        )

    def deal(self, plan: DealPlan) -> Dealt:
        """Deal rows in turn; rows of a site that do not fill a whole round are not used."""
        total = len(self.table.classes)
        held_out = np.arange(total) % plan.holdout_every == plan.holdout_every - 1
        shown = np.flatnonzero(~held_out)
        piles = [shown[site :: plan.sites] for site in range(plan.sites)]
        rounds = len(piles[-1]) // plan.batch
        if rounds < 1 or (plan.rounds is not None and plan.rounds > rounds):
            raise DealError(self._too_few(plan, len(shown), rounds))
        values = filled(self.table.values)
        sites = []
        for site, pile in enumerate(piles):
            # A site may be one row, and so one round, ahead of the last.
            used = (len(pile) // plan.batch if plan.rounds is None else plan.rounds) * plan.batch
            sites.append(self._observe(plan, site, pile[:used]))
        return Dealt(
            source=self.name,
            plan=plan,
            channels=self.channels,
            labels=self.labels,
            sites=tuple(sites),
            holdout_values=values[held_out],
            holdout_labels=self.table.classes[held_out],
            rows_unused=len(shown) - sum(len(site.labels) for site in sites),
            left_out=self.left_out,
            notices=self.notices,
        )

    def _observe(self, plan: DealPlan, site: int, rows: NDArray[np.intp]) -> SiteRows:
        clean, labels = self.table.values[rows], self.table.classes[rows]
        spread = np.nanstd(self.table.values, axis=0)
        low = np.array([channel.low for channel in self.channels])
        high = np.array([channel.high for channel in self.channels])
        observed = np.empty((plan.agents, *clean.shape))
        for agent in range(plan.agents):
            noise = plan.generator(_NOISE, site, agent).standard_normal(clean.shape)
            np.clip(clean + noise * (plan.noise * spread), low, high, out=observed[agent])
        votes = np.broadcast_to(labels, (plan.agents, len(labels))).copy()
        return SiteRows(clean, labels, observed, votes)

    def _too_few(self, plan: DealPlan, shown: int, rounds: int) -> str:
        total = len(self.table.classes)
        return (
            f"source {self.name!r} has {total:,} rows, {shown:,} of them to show: enough for "
            f"{rounds:,} rounds of {plan.batch} at each of {plan.sites} sites, "
            f"{'some' if plan.rounds is None else f'{plan.rounds:,}'} were asked for: "
            + ("take --rounds all, " if rounds else "take ")
            + "fewer sites or a smaller batch"
        )
