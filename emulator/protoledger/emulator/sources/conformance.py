"""The rules that every source of rows keeps; see `RowSource` and `Dealt`.

python -m protoledger.conformance sources my_package:Source
"""

from collections.abc import Callable

import numpy as np

from protoledger.conformance import Suite, expect, plain
from protoledger.emulator.sources.dealing import Dealt, RowSource, deal
from protoledger.protocol.wire.schema import NO_LABEL, Schema

SITES, AGENTS, ROUNDS, BATCH = 2, 3, 4, 2

Make = Callable[[], RowSource]


def _dealt(make: Make, agents: int = AGENTS, seed: int = 7) -> Dealt:
    return deal(make(), sites=SITES, agents=agents, rounds=ROUNDS, batch=BATCH, seed=seed)


def is_a_source(make: Make) -> None:
    """It is a subclass of RowSource that is made without arguments, with a name and channels."""
    source = make()
    expect(isinstance(source, RowSource), f"it is {source!r}")
    expect(source.name, "its name is empty")
    names = [channel.name for channel in source.channels]
    expect(names and len(set(names)) == len(names), f"its channels are {names}")
    labels = source.labels
    expect(len(set(labels)) == len(labels) >= 2, f"its labels are {labels}")
    Schema(source.channels, source.labels)


def deals_as_asked(make: Make) -> None:
    """Every site gets whole rounds, observed by each of its agents."""
    dealt, source = _dealt(make), make()
    expect(len(dealt.sites) == SITES, f"{len(dealt.sites)} sites were dealt to, not {SITES}")
    rows, width = ROUNDS * BATCH, len(source.channels)
    for site in dealt.sites:
        forms = {
            "clean": (rows, width),
            "labels": (rows,),
            "observed": (AGENTS, rows, width),
            "votes": (AGENTS, rows),
        }
        for name, form in forms.items():
            found = getattr(site, name).shape
            expect(found == form, f"{name} has shape {found}, not {form}")


def values_are_in_range(make: Make) -> None:
    """Readings are in their channel's range or missing, and labels are declared."""
    dealt = _dealt(make)
    low = np.array([channel.low for channel in dealt.channels])
    high = np.array([channel.high for channel in dealt.channels])
    for site in dealt.sites:
        seen = np.isnan(site.observed) | ((site.observed >= low) & (site.observed <= high))
        expect(seen.all(), "a reading is outside of its channel's range")
        known = (site.labels >= 0) & (site.labels < len(dealt.labels))
        expect(known.all(), "a label is not declared")
        votes = (site.votes == NO_LABEL) | ((site.votes >= 0) & (site.votes < len(dealt.labels)))
        expect(votes.all(), "a vote is not a declared label")


def holds_rows_out(make: Make) -> None:
    """Some rows are held out, complete and labelled."""
    dealt = _dealt(make)
    held, labels = dealt.holdout_values, dealt.holdout_labels
    expect(len(held) == len(labels) > 0, f"{len(held)} rows are held out, {len(labels)} labels")
    expect(np.isfinite(held).all(), "a held-out row lacks a value")
    expect(((labels >= 0) & (labels < len(dealt.labels))).all(), "a label is not declared")
    mine = [dealt.held_out_at(site) for site in range(len(dealt.sites))]
    right = all(len(rows) == len(labels) and rows.any() for rows in mine)
    expect(right, "a site has no held-out row of its own place")


def is_deterministic(make: Make) -> None:
    """The same arguments deal the same, bit by bit; another seed does not."""
    first, second, other = _dealt(make), _dealt(make), _dealt(make, seed=8)
    for one, two in zip(first.sites, second.sites, strict=True):
        for name in ("clean", "labels", "observed", "votes"):
            same = getattr(one, name).tobytes() == getattr(two, name).tobytes()
            expect(same, f"{name} differs between two runs")
    same = all(
        np.array_equal(one.observed, two.observed, equal_nan=True)
        for one, two in zip(first.sites, other.sites, strict=True)
    )
    expect(not same, "another seed gives the same readings")


def more_agents_change_nothing(make: Make) -> None:
    """What an agent reads does not depend on how many others there are."""
    few, more = _dealt(make), _dealt(make, agents=AGENTS + 2)
    for one, two in zip(few.sites, more.sites, strict=True):
        same = np.array_equal(one.observed, two.observed[:AGENTS], equal_nan=True)
        expect(same, "with more agents the others read something else")


SUITE = Suite(
    plain,
    (
        is_a_source,
        deals_as_asked,
        values_are_in_range,
        holds_rows_out,
        is_deterministic,
        more_agents_change_nothing,
    ),
)
