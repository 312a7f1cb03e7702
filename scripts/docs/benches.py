"""Tables of the benchmarks' records, as docs/performance.md and docs/chain.md show them."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tables import DASH, figure, measured, part, plain_table, whole  # beside this file

Row = Mapping[str, Any]
WORDS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def _code(text: str) -> str:
    """Say a code as a sentence does.

    >>> _code("proven 7/10"), _code("packed 4 × 9/10")
    ('proven, 7 of 10', 'packed, 9 of 10')
    """
    return re.sub(r"^(\w+) (?:\d+ × )?(\d+)/(\d+)$", r"\1, \2 of \3", text)


# -- rounds --------------------------------------------------------------------------------------


def _named(row: Row, rows: list[Row]) -> str:
    """Say N, and T and L where they differ from the first row of that N."""
    first = next(one for one in rows if one["agents"] == row["agents"])
    name = f"{row['agents']}"
    if row["collusion"] != first["collusion"]:
        name += f", T = {row['collusion']}"
    return name + (f", L = {row['length']:,}" if row["length"] != first["length"] else "")


def aggregation() -> str:
    """Return a round's computation, ours and Flower's."""
    rows = measured("aggregation")["rows"]
    heads = (
        "N, code, answers needed", "gone", "client, ms", "with new keys",
        "gateway, ms a contributor", "bytes up a client", "Flower ÷ client", "÷ gateway",
    )  # fmt: skip
    cells = [
        [
            f"{_named(row, rows)}, {_code(row['code'])}",
            str(row["dropouts"]),
            f"{row['client_ms']:.2f} ({row['client_unsigned_ms']:.2f})",
            f"{row['client_rekeyed_ms']:.2f} ({row['client_rekeyed_unsigned_ms']:.2f})",
            figure(row["gateway_ms"] / row["agents"]),
            whole(row["client_bytes"]),
            whole(row["client_ratio"]),
            whole(row["gateway_ratio"]),
        ]
        for row in rows
    ]
    return plain_table(heads, cells)


def aggregation_parts() -> str:
    """Return what a client's time consists of, in per cent; parts that are 0 everywhere not."""
    rows = measured("aggregation")["rows"]
    staying = [row for row in rows if not row["dropouts"]]
    shares = []
    for row in staying:
        took = row["client_parts_ms"]
        total = sum(took.values()) or 1.0
        shares.append({name: f"{100 * ms / total:.0f}" for name, ms in took.items()})
    names = [name for name in shares[0] if any(share[name] != "0" for share in shares)]
    cells = [
        [_named(row, rows), *(share[name] for name in names)]
        for row, share in zip(staying, shares, strict=True)
    ]
    return plain_table(("N", *names), cells)


def prio() -> str:
    """Return Prio3's rounds beside ours with as many that may collude."""
    found = measured("aggregation")
    if not found.get("prio"):
        raise FileNotFoundError("Prio3 was not measured")
    heads = (
        "N, who may collude", "Prio3: servers", "client, ms", "each server, ms a contributor",
        "bytes up a client", "ours: code", "client without signatures, ms",
        "gateway, ms a contributor", "bytes up a client",
    )  # fmt: skip
    cells = []
    for ours in found["rows"]:
        theirs = [
            row for row in found["prio"]
            if (row["agents"], row["length"], row["servers"] - 1)
            == (ours["agents"], ours["length"], ours["collusion"])
        ]  # fmt: skip
        if ours["dropouts"] or not theirs:
            continue
        half = " (T = N/2)" if 2 * ours["collusion"] == ours["agents"] else ""
        colluding, row = WORDS[ours["collusion"]], theirs[0]
        cells.append(
            [
                f"{ours['agents']}, {colluding}{half}",
                str(row["servers"]),
                figure(row["client_ms"]),
                figure(row["server_ms"] / row["agents"]),
                whole(row["client_bytes"]),
                _code(ours["code"]).partition(",")[0],
                figure(ours["client_unsigned_ms"]),
                figure(ours["gateway_ms"] / ours["agents"]),
                whole(ours["client_bytes"]),
            ]
        )
    return plain_table(heads, cells)


def network() -> str:
    """Return rounds over a broker."""
    heads = ("N, code", "rounds a second", "median, ms", "95 %", "agent", "broker", "gateway")
    cells = [
        [
            f"{row['agents']:,}, {_code(row['code'])}",
            f"{row['rounds_per_second']:.1f}",
            whole(row["latency_p50_ms"]),
            whole(row["latency_p95_ms"]),
            *(f"{row[f'{who}_cpu_ms']:.2f}" for who in ("agent", "broker", "gateway")),
        ]
        for row in measured("network")["rows"]
    ]
    return plain_table(heads, cells)


# -- the learner ---------------------------------------------------------------------------------


def learner() -> str:
    """Return both learners' accuracy and speed, in both ways and without kernels."""
    heads = (
        "stream, prototypes", "mode", "accuracy", "in a stream, µs", "one by one", "numpy",
        "plain Python", "numpy ÷", "Python ÷",
    )  # fmt: skip
    cells = []
    for row in measured("learner")["rows"]:
        if row["mode"].startswith("river"):
            continue
        made = row["data"].startswith("synthetic")  # noise has no accuracy that means something
        micros = ("us_per_sample", "us_one_by_one", "us_numpy", "us_python")
        cells.append(
            [
                f"{row['data'].partition('-1')[0]}, {row['prototypes']:,}",
                row["mode"],
                DASH if made else part(row["accuracy"], 4),
                *(figure(row[name]) for name in micros),
                *(whole(row[name]) for name in ("ratio_to_numpy", "ratio_to_python")),
            ]
        )
    return plain_table(heads, cells)


def learner_river() -> str:
    """Return river's classifiers beside the improved learner, a row a stream."""
    rows = measured("learner")["rows"]
    peers = list(dict.fromkeys(row["mode"] for row in rows if row["mode"].startswith("river")))
    if not peers:
        raise FileNotFoundError("river's classifiers were not measured")
    modes = [*peers, "improved"]
    heads = ["", *(w for mode in modes for w in (mode.removeprefix("river-"), "µs"))]
    cells = []
    for data in dict.fromkeys(row["data"] for row in rows if row["mode"] in peers):
        found = {row["mode"]: row for row in rows if row["data"] == data}
        said = [(part(found[m]["accuracy"], 4), figure(found[m]["us_per_sample"])) for m in modes]
        cells.append([data, *(cell for pair in said for cell in pair)])
    return plain_table(heads, cells)


# -- an agent, and an emulation's data -----------------------------------------------------------


def edge() -> str:
    """Return what one agent takes."""
    said = measured("edge")
    rows = (
        ("start to the first reading of all channels", "< 3 s", f"{said['first_reading_s']:.1f} s"),
        ("CPU, of one core", "< 1 %", f"{said['cpu_percent_of_a_core']:.2f} %"),
        ("resident memory", "< 60 MB", f"{said['rss_mb']:.1f} MB"),
        ("… of it its own; the rest are pages of libraries", "", f"{said['own_mb']:.1f} MB"),
        ("its peak", "", f"{said['peak_mb']:.1f} MB"),
        ("the peak of a Python that only loads its libraries", "",
         f"{said['libraries_peak_mb']:.1f} MB"),
        ("the agent's peak by theirs", "", f"{said['peak_by_libraries']:.2f}"),
        ("files for its card that hold anything, rounds going on", "",
         f"{whole(said['card_bytes_a_day_online'])} bytes"),
        ("written to the card in a day without a broker", "",
         f"{said['card_bytes_a_day_offline'] / 1e6:.1f} MB"),
    )  # fmt: skip
    return plain_table(("what", "aim", "measured"), rows)


def sources() -> str:
    """Return what making and writing an emulation's data takes."""
    said = measured("sources")
    works = (
        ("make", "numpy draws as many numbers", "make_s", "numpy_draws_s", "make_by_numpy"),
        ("write", "csv writes them as they are", "write_s", "csv_writes_s", "write_by_csv"),
    )
    rows = [
        [work, figure(1000 * said[ours]), least, figure(1000 * said[theirs]), figure(said[ratio])]
        for work, least, ours, theirs, ratio in works
    ]
    return plain_table(("", "CPU, ms", "the least", "CPU, ms", "÷"), rows)


# -- the ledger ----------------------------------------------------------------------------------

TWO_SLOTS = {"phishing": 43_982, "image-segments": 62_622, "bananas": 42_818}
"""Median gas with three gateways, limited, when a commit wrote two slots; that code is gone."""


def operations() -> str:
    """Return the gas of each operation by the codebook's size."""
    rows = measured("ledger")["operations"]
    sizes = list(dict.fromkeys((row["prototypes"], row["features"]) for row in rows))
    gas = {(row["name"], row["prototypes"], row["features"]): row["gas"] for row in rows}
    cells = [
        [name, *(f"{gas[name, *size]:,}" for size in sizes)]
        for name in dict.fromkeys(row["name"] for row in rows)
    ]
    return plain_table(("operation", *(f"{n} × {m}" for n, m in sizes)), cells, left=1)


def _theirs(gas: float) -> str:
    """Say million gas as the authors' figures are known.

    >>> _theirs(4_600_000), _theirs(2_200_000_000)
    ('4.6 M', '2,200 M')
    """
    return f"{gas / 1e6:,g} M" if gas < 1e9 else f"{gas / 1e6:,.0f} M"


def ledger_runs() -> str:
    """Return whole runs beside the authors' own contracts."""
    heads = (
        "data, mode", "gateways", "commits", "median gas", "total gas", "theirs, total",
        "times less", "accuracy", "theirs", "prequential",
    )  # fmt: skip
    cells = [
        [
            f"{row['data']}, {row['mode']}",
            str(row["gateways"]),
            str(row["commits"]),
            whole(row["median_commit_gas"]),
            whole(row["total_gas"]),
            _theirs(row["authors_total_gas"]),
            f"{whole(row['times_less_gas'])}×",
            *(f"{row[k]:.3f}" for k in ("accuracy", "authors_accuracy", "prequential_accuracy")),
        ]
        for row in measured("ledger")["replay"]
    ]
    return plain_table(heads, cells, left=1)


def ledger_slots() -> str:
    """Return runs of three gateways, limited, beside those when a commit wrote two slots."""
    heads = (
        "data, three gateways, limited", "commits", "median gas", "with two slots (before)",
        "total gas", "theirs, total", "times less",
    )  # fmt: skip
    cells = [
        [
            row["data"],
            str(row["commits"]),
            whole(row["median_commit_gas"]),
            whole(TWO_SLOTS.get(row["data"])),
            whole(row["total_gas"]),
            _theirs(row["authors_total_gas"]),
            f"{whole(row['times_less_gas'])}×",
        ]
        for row in measured("ledger")["replay"]
        if (row["gateways"], row["mode"]) == (3, "limited")
    ]
    return plain_table(heads, cells, left=1)


def ledger_speed() -> str:
    """Return how fast the client is on each node."""
    heads = ("chain", "commits a second", "submit → another gateway's copy, median", "95 %")
    cells = [
        [
            f"{row['chain']}, {'WebSocket' if row['hinted'] else 'polling'}",
            whole(row["commits_per_second"]),
            f"{whole(row['merged_ms'])} ms",
            f"{whole(row['merged_p95_ms'])} ms",
        ]
        for row in measured("ledger")["speed"]
    ]
    return plain_table(heads, cells, left=1)


BLOCKS: dict[str, Callable[[], str]] = {
    "aggregation": aggregation,
    "aggregation-parts": aggregation_parts,
    "prio": prio,
    "network": network,
    "learner": learner,
    "learner-river": learner_river,
    "edge": edge,
    "sources": sources,
    "ledger-operations": operations,
    "ledger-runs": ledger_runs,
    "ledger-slots": ledger_slots,
    "ledger-speed": ledger_speed,
}
