"""What docs/protocol.md says of the code is so: its tables, and the tests that it names."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from protoledger.emulator.processes.liars import as_read
from protoledger.emulator.progress import opened_sums, true_sums
from protoledger.emulator.sources.catalogue import open_source
from protoledger.emulator.sources.dealing import deal
from protoledger.gateway.training.features import Scaler
from protoledger.gateway.training.model import SiteModel
from protoledger.protocol.code.layout import Layout
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.schema import Schema
from protoledger.runtime.site import AggregationConfig

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def table(head):
    """Return the rows of the table that begins so."""
    lines = PAGE[PAGE.index(head) :].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_every_test_that_it_names_exists():
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 15
    listed = subprocess.run(
        ["grep", "-rhoE", r"^def test_\w+", "tests", "--include=*.py"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert named - set(listed) == set()


def test_every_property_has_a_proof_and_a_test():
    rows = table("| property | proof | test |")
    assert len(rows) > 10
    for name, _proof, test in rows:
        assert re.search(r"`test_\w+`", test), name


def what_a_site_has(agents):
    """A row of the page's table, from the code."""
    plan = AggregationConfig().plan(agents)
    nu = plan.committee
    smallest = max(AggregationConfig().minimum(plan), plan.fewest(nu, agents))
    named = "yes" if plan.corrects(nu) else "no"
    numbers = [plan.collusion, plan.validity, nu, plan.needed(nu), plan.missing(nu), smallest]
    return [str(cell) for cell in (agents, *numbers, named)]


def test_what_a_site_has_is_what_the_code_gives():
    rows = table("| N | T | code |")
    assert [row[0] for row in rows][:8] == [str(n) for n in range(3, 11)]
    assert rows == [what_a_site_has(int(row[0])) for row in rows]


@pytest.mark.parametrize("agents", [*range(3, 40), 49, 50, 51, 100, 128, 500, 1000])
def test_defaults_are_as_it_says(agents):
    """ "Where the site file is silent": T, D, the code, positions, `minimum`."""
    plan = AggregationConfig().plan(agents)
    collusion = 1 + (agents >= 20) + (agents >= 50)

    def of(dropouts):
        proven = agents >= 3 * collusion + 1 + 2 * dropouts
        most = max(10, 5 * collusion + 1 + 2 * dropouts) if proven else agents
        return dropouts, "proven" if proven else "packed", min(agents, most, 64)

    assert plan.collusion == collusion
    try:
        AggregationConfig(dropouts=1).plan(agents)
        expected = of(1)
    except ConfigurationError:
        expected = of(0)
    assert (plan.dropouts, plan.validity, plan.committee) == expected
    assert AggregationConfig().minimum(plan) == collusion + 2


@pytest.mark.parametrize("positions", range(3, 20))
def test_the_packed_code_s_masks_are_as_it_says(positions):
    """M is the smallest for which the smallest set is less than ν."""
    plan = AggregationConfig(validity="packed").plan(positions)
    layout = Layout(1, (6,), 0, (True,))
    code = plan.code(layout, positions)

    def least(masks):
        h, d = positions - 1, masks + 1 - 1
        return 3 if 3 * d > 2 * h else max(3, 1 + (positions - 1) * (2 * h - d) // (2 * h) + 1)

    first = (positions + 1) // 2
    assert 2 * (first + 1) > positions + 1
    assert 2 * first <= positions + 1
    wanted = next((m for m in range(first, positions) if least(m) < positions), positions - 1)
    assert code.masks == wanted
    assert code.parts == max(1, positions - wanted - plan.dropouts)


def test_what_is_unanimous_and_what_differencing_gives_is_as_it_says():
    """Six agents of the emulator's house, 2,000 rounds, every agent as the target."""
    dealt = deal(open_source("house"), sites=1, agents=6, rounds=2000, seed=1)
    votes = dealt.sites[0].votes
    labels = range(len(dealt.labels))
    counts = np.array([(votes == label).sum(axis=0) for label in labels])
    unanimous = np.mean((counts > 0).sum(axis=0) == 1)
    recovered = []
    for target in range(len(votes)):
        own = np.array([votes[target] == label for label in labels]).astype(int)
        # sums without the target in one round, and with it in the next
        difference = counts[:, 1:] - (counts - own)[:, :-1]
        there = votes[target, 1:] >= 0
        recovered.append((difference == own[:, 1:]).all(axis=0)[there])
    found = re.search(
        r"(\d+) % of the rounds are unanimous, and differencing recovers (\d+) % of the votes", PAGE
    )
    assert [int(number) for number in found.groups()] == [
        round(100 * unanimous), round(100 * np.concatenate(recovered).mean()),
    ]  # fmt: skip


def learnt(schema, read, votes):
    """A model of what a gateway decodes, that, and how often it was right beforehand."""
    sums = opened_sums(schema, true_sums(schema, read, votes), 3)
    samples = schema.samples(sums.astype(np.uint32), len(read), 3)
    model, scaler = SiteModel(len(schema.channels), len(schema.labels)), Scaler(schema)
    steps = [(model.step(scaler.sample(s), s.label if s.label >= 0 else None), s) for s in samples]
    return model, samples, np.mean([outcome.right for outcome, s in steps if s.label >= 0])


@pytest.mark.long
def test_a_lie_within_the_range_costs_what_it_says():
    """Eight agents of the emulator's house, 200 rounds in each of six rooms."""
    costs, moved, flips = [], [], []
    for seed in range(6):
        dealt = deal(open_source("house"), sites=1, agents=8, rounds=200, seed=seed)
        schema = Schema(dealt.channels, dealt.labels)
        low = np.array([channel.low for channel in schema.channels])
        high = np.array([channel.high for channel in schema.channels])
        read, votes = dealt.sites[0].observed, dealt.sites[0].votes
        lie, narrow, vote = read.copy(), read.copy(), votes.copy()
        lie[-1] = np.where(np.isfinite(read[-1]), high, np.nan)
        narrow[-1] = np.where(np.isfinite(read[-1]), np.nanmax(read[:-1], axis=(0, 1)), np.nan)
        vote[-1] = np.where(votes[-1] >= 0, 1, -1)
        true, seen = dealt.holdout_values, as_read(dealt.holdout_values, high, 8, 1)

        def right(model, rows, low=low, high=high, wanted=dealt.holdout_labels):
            found = [model.answer(row).label for row in (rows - low) / (high - low)]
            return np.mean(np.array(found) == wanted)

        honest, samples, before = learnt(schema, read, votes)
        lied, false, after = learnt(schema, lie, vote)
        narrowed, _, _ = learnt(schema, narrow, vote)
        flips.append(np.mean([a.label != b.label for a, b in zip(samples, false, strict=True)]))
        moved.append(
            np.nanmean([b.values - a.values for a, b in zip(samples, false, strict=True)], 0)
        )
        costs.append([before, after, right(lied, seen), right(honest, true), right(lied, true),
                      right(narrowed, true)])  # fmt: skip
    ppm, celsius, percent, lux = np.mean(moved, axis=0)
    before, after, *others = (round(100 * share) for share in np.mean(costs, axis=0))
    assert before == after
    said = PAGE[PAGE.index("**Lies within the range.**") :].splitlines()[0]
    numbers = [int(n) for n in re.findall(r"(\d+) (?:ppm|°C|%|lx)", said)]
    expected = [round(ppm, -1), round(celsius), round(percent), round(lux, -1)]
    assert numbers == [*map(int, expected), round(100 * np.mean(flips)), after, *others]
