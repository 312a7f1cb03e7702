"""Write what each agent will read as CSV files, which the driver `replay` reads.

One file an agent, `<folder>/<site>/<agent>.csv`: the channels and the label (an index into the
source's labels), one row a window. Numbers are written so that they read back bit by bit; an empty
cell is a read that failed.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protoledger.emulator.errors import DealError
from protoledger.emulator.sources.dealing import Dealt
from protoledger.protocol.wire.schema import NO_LABEL


def label_column(dealt: Dealt) -> str:
    """Name of the recordings' label column: `label`, unless a channel is called so."""
    names = {channel.name for channel in dealt.channels}
    column = "label"
    while column in names:
        column += "_"
    return column


def site_ids(sites: int) -> list[str]:
    """Names for sites: site-1, site-2 and so on."""
    return [f"site-{site}" for site in range(1, sites + 1)]


def agent_ids(agents: int) -> list[str]:
    """Names for the agents of a site: agent-1, agent-2, …, padded so that they sort."""
    width = len(str(agents))
    return [f"agent-{agent:0{width}d}" for agent in range(1, agents + 1)]


def write_recordings(
    dealt: Dealt,
    folder: Path,
    *,
    sites: Sequence[str] | None = None,
    agents: Sequence[str] | None = None,
) -> list[list[Path]]:
    """Write all recordings; folders are created, existing files are replaced.

    Args:
        dealt: what to write.
        folder: where to.
        sites: names of the sites' folders; `site_ids` without it.
        agents: names of the agents' files, the same at each site; `agent_ids` without it.

    Returns:
        The files, by site and agent.

    Raises:
        DealError: there are not as many names as sites or agents.
        OSError: a file cannot be written.
    """
    sites = site_ids(dealt.plan.sites) if sites is None else sites
    agents = agent_ids(dealt.plan.agents) if agents is None else agents
    if len(sites) != dealt.plan.sites or len(agents) != dealt.plan.agents:
        raise DealError(
            f"{len(sites)} site names and {len(agents)} agent names for "
            f"{dealt.plan.sites} sites of {dealt.plan.agents} agents: give as many"
        )
    head = io.StringIO()
    names = [channel.name for channel in dealt.channels]
    csv.writer(head, lineterminator="\n").writerow([*names, label_column(dealt)])
    files = []
    for site, rows in zip(sites, dealt.sites, strict=True):
        (folder / site).mkdir(parents=True, exist_ok=True)
        files.append([folder / site / f"{agent}.csv" for agent in agents])
        for path, values, votes in zip(files[-1], rows.observed, rows.votes, strict=True):
            path.write_text(head.getvalue() + _lines(values, votes), encoding="utf-8", newline="\n")
    return files


def _lines(values: NDArray[np.float64], votes: NDArray[np.int64]) -> str:
    missing = np.isnan(values.sum(axis=1)).tolist()
    lines = []
    for row, gaps, vote in zip(values.tolist(), missing, votes.tolist(), strict=True):
        cells = [*map(repr, row)]
        if gaps:
            cells = ["" if cell == "nan" else cell for cell in cells]
        lines.append(f"{','.join(cells)},{'' if vote == NO_LABEL else vote}\n")
    return "".join(lines)
