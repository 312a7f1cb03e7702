"""Prio3 beside ours: rounds of the Rust crate `prio`, by a small program of its own.

`scripts/setup.sh prio` builds `experiments/prio` where cargo is installed. There, clients share a
vector among servers and prove to them that each number is within its range (Prio3SumVec, with the
range that our benchmark's channels have). As long as one server is honest the others learn the sum
alone, so T + 1 servers stand beside our T, and two beside everything, as that is how Prio is
deployed.

The program counts the scheme with its encoding. It signs and seals nothing: HPKE and TLS would come
on top. So ours without signatures stands beside it, seals included.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protoledger.experiments.benchmarks.aggregation.own_round import Size

_ROOT = Path(__file__).resolve().parents[5]
_MOST = 1000
"""Steps of a channel in `own_round`; Prio3SumVec has one range for all numbers of a vector."""
_ROUNDS = {5: 20, 10: 20, 50: 5}


@dataclass(frozen=True, slots=True)
class PrioRow:
    """One size; milliseconds of CPU, bytes sent in a round.

    Attributes:
        agents: clients that contribute, N.
        length: numbers in a vector.
        servers: of which all but one may collude.
        client_ms: of one client.
        server_ms: of one server, for all clients.
        client_bytes: from one client, to all servers together.
        server_bytes: from one server to each of the others.
    """

    agents: int
    length: int
    servers: int
    client_ms: float
    server_ms: float
    client_bytes: float
    server_bytes: float


def find_prio() -> tuple[Path | None, str]:
    """Build the program if need be; returns its path, or None and why there is none."""
    bash, script = shutil.which("bash"), _ROOT / "scripts" / "setup.sh"
    if bash is None or not script.is_file():
        return None, "there is no scripts/setup.sh here"
    done = subprocess.run([bash, script, "prio"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None, (done.stderr.strip().splitlines() or ["setup.sh failed"])[-1]
    return _ROOT / ".venv" / "prio" / "release" / "prio-round", ""


def prio_rows(sizes: "Iterable[Size]", program: Path) -> list[PrioRow]:
    """Measure all sizes, each with two servers and with one more than our T.

    Raises:
        RuntimeError: if a round fails, or its sum is wrong.
    """
    wanted = {
        (size.agents, size.length, servers) for size in sizes for servers in (2, size.collusion + 1)
    }
    return [_measured(program, *one) for one in sorted(wanted)]


def _measured(program: Path, agents: int, length: int, servers: int) -> PrioRow:
    rounds = _ROUNDS.get(agents, 3) if length <= _MOST else 1
    numbers = [str(number) for number in (agents, length, servers, _MOST, rounds)]
    done = subprocess.run([program, *numbers], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"Prio3's round failed: {(done.stderr.splitlines() or ['?'])[-1]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return PrioRow(agents, length, servers, **found)


def prio_table(rows: list[PrioRow]) -> Table:
    """Show the rows as a table."""
    table = Table(title="Prio3 (no seals, no signatures)", title_justify="left")
    columns = (
        "N",
        "L",
        "servers",
        "may collude",
        "client, ms",
        "a server, ms",
        "a contributor, ms",
    )
    for column in (*columns, "up/client", "a server to another"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(
            str(row.agents),
            f"{row.length:,}",
            str(row.servers),
            str(row.servers - 1),
            f"{row.client_ms:.3g}",
            f"{row.server_ms:.3g}",
            f"{row.server_ms / row.agents:.3g}",
            f"{row.client_bytes:,.0f}",
            f"{row.server_bytes:,.0f}",
        )
    return table
