"""`protoledger bench privacy`: what noise in a round's sums costs in accuracy, and what it gives.

Rooms of the emulated house are read by the hour, with the site file's channels and privacy; other
channels than the house's are filled by one of these, stretched to their range. `--minutes 10` takes
each of the house's windows for an hour: rooms in which life is six times as slow. Each agent's
contribution is clipped and blinded by the code that runs in a round, with the real sampler; only
the secret sharing in between, which changes no sum, is left out. Every round is predicted before it
is learnt, and compared with whether somebody was really there. "mean ±" is the standard deviation
that noise gives to the widest channel's mean, in parts of its range; "commoner" is always to give
the answer that is right more often.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from protoledger.emulator.sources.dealing import DealPlan, SiteRows
from protoledger.emulator.sources.house import CHANNELS, LABELS, HouseSource
from protoledger.emulator.sources.house_rooms import WINDOW_H
from protoledger.gateway.training.features import Scaler
from protoledger.gateway.training.model import SiteModel
from protoledger.protocol.noise.accounting import UNIT
from protoledger.protocol.noise.mechanism import Noise, Privacy
from protoledger.protocol.wire.schema import NO_LABEL, Channel, Sample, Schema, Window
from protoledger.runtime.site import AggregationConfig, SiteConfig, load

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW_MINUTES: Final = round(60 * WINDOW_H)
AGENTS: Final = (6, 10, 20, 50)
EPSILONS: Final = (1.0, 3.0)
CLIPS: Final = (None, 0.05)
DELTA: Final = 1e-5
COMPOSED: Final = (1, 24, 100, 1000)

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        agents: N.
        epsilon: ε of a round.
        clip: as in `Privacy`.
        rho: of a round.
        composed: ε of so many rounds, by their number.
        spread: standard deviation that noise gives to a mean, in parts of the range, without
            what the agents read differently.
        noisy: share of rounds that are predicted right.
        plain: the same without noise.
        commoner: the same, if the answer is always the one that is right more often.
    """

    agents: int
    epsilon: float
    clip: float | None
    rho: float
    composed: dict[int, float]
    spread: float
    noisy: float
    plain: float
    commoner: float


@app.command()
def main(
    site_file: Annotated[
        Path | None,
        typer.Argument(metavar="[SITE FILE]", help="Takes channels, aggregation and privacy."),
    ] = None,
    agents: Annotated[list[int] | None, typer.Option(help="Agents of the site; repeat.")] = None,
    epsilon: Annotated[list[float] | None, typer.Option(help="ε a round; repeat.")] = None,
    rounds: Annotated[int, typer.Option(min=50, help="Rounds of a room.")] = 240,
    rooms: Annotated[int, typer.Option(min=1, help="Rooms that are averaged.")] = 3,
    minutes: Annotated[
        int, typer.Option(min=WINDOW_MINUTES, help="Of the house's time in a round.")
    ] = 60,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there.")
    ] = None,
) -> None:
    """Measure what noise costs in accuracy, and print what rounds cost in ε."""
    site = None if site_file is None else load(site_file, SiteConfig)
    schema = Schema(CHANNELS, LABELS) if site is None else site.as_schema()
    aggregation = AggregationConfig() if site is None else site.aggregation
    given = None if site is None else site.privacy
    delta = given.delta if given else DELTA
    epsilons = epsilon or ([given.epsilon] if given else EPSILONS)
    clips = [given.clip] if given else CLIPS
    rows = []
    for count in agents or AGENTS:
        seen = _deal(count, rounds, rooms, minutes // WINDOW_MINUTES, schema)
        plain = _right([_samples(one, schema) for one in seen], seen, schema)
        for one in epsilons:
            for clip in clips:
                # noise reaches as far as the budget of so many rounds demands
                privacy = Privacy(one, delta, given.budget if given else 15.0 * one, clip)
                noise = noise_of(privacy, schema, aggregation, count)
                rows.append(_row(noise, seen, schema, plain))
    Console().print(_table(rows, delta))
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def noise_of(
    privacy: Privacy, schema: Schema, aggregation: AggregationConfig, agents: int
) -> Noise:
    """Return the noise of a site with so many agents, also where the site would be refused."""
    plan = aggregation.plan(agents)
    minimum = aggregation.minimum(plan, noisy=True)
    return Noise(privacy, schema.layout(1), agents, plan.collusion, minimum)


def _row(noise: Noise, seen: list[SiteRows], schema: Schema, plain: float) -> Row:
    privacy, channels = noise.privacy, len(schema.channels)
    spreads = np.sqrt(np.array(noise.variances[:channels]) / noise.agents) / noise.plain.steps
    return Row(
        noise.agents,
        privacy.epsilon,
        privacy.clip,
        privacy.cost / UNIT,
        {many: privacy.epsilon_after(many * privacy.cost) for many in COMPOSED},
        float(spreads.max()),
        _right([_samples(one, schema, noise) for one in seen], seen, schema),
        plain,
        float(np.mean([max(np.mean(one.labels), 1 - np.mean(one.labels)) for one in seen])),
    )


def _deal(agents: int, rounds: int, rooms: int, each: int, schema: Schema) -> list[SiteRows]:
    windows = rounds * each
    plan = DealPlan(sites=rooms, agents=agents, rounds=windows, holdout_every=windows + 1)
    return [_averaged(room, each, schema) for room in HouseSource().deal(plan).sites]


def _averaged(room: SiteRows, each: int, schema: Schema) -> SiteRows:
    """Average so many of a room's windows at a time, in the channels of a site."""
    agents, rounds = len(room.votes), len(room.labels) // each
    read = room.observed.reshape(agents, rounds, each, -1)
    known = np.isfinite(read)
    totals = np.where(known, read, 0.0).sum(axis=2)
    means = np.where(known.any(axis=2), totals / np.maximum(known.sum(axis=2), 1), np.nan)
    occupied = 2 * room.labels.reshape(rounds, each).sum(axis=1) > each
    voted = room.votes.reshape(agents, rounds, each)
    ayes, noes = (voted == 1).sum(axis=2), (voted == 0).sum(axis=2)
    votes = np.where(ayes == noes, NO_LABEL, np.where(ayes > noes, 1, 0))
    clean = room.clean.reshape(rounds, each, -1).mean(axis=1)
    columns = [_as(channel, number) for number, channel in enumerate(schema.channels)]
    return SiteRows(
        np.stack([column(clean) for column in columns], axis=-1),
        occupied.astype(np.int64),
        np.stack([column(means) for column in columns], axis=-1),
        votes if len(schema.labels) > 1 else np.full_like(votes, NO_LABEL),
    )


def _as(channel: Channel, number: int) -> Any:
    """Take a channel of the house that has its name, or one in turn, stretched to its range."""
    names = [one.name for one in CHANNELS]
    if channel.name in names:
        at = names.index(channel.name)
        return lambda rows: rows[..., at]
    at, of = number % len(CHANNELS), CHANNELS[number % len(CHANNELS)]
    scale = (channel.high - channel.low) / (of.high - of.low)
    return lambda rows: channel.low + (rows[..., at] - of.low) * scale


def _samples(rows: SiteRows, schema: Schema, noise: Noise | None = None) -> Iterator[Sample]:
    """Play the rounds of a room: contributions, their sum, and what a gateway makes of it."""
    layout = schema.layout(1)
    minimum = 3 if noise is None else noise.minimum
    centre = () if noise is None else noise.first_centre
    for at in range(len(rows.labels)):
        windows = [
            Window(rows.observed[n, at][None], rows.votes[n, at][None])
            for n in range(len(rows.votes))
        ]
        given = [schema.contribution(window) for window in windows]
        shape = layout
        if noise is not None:
            given, shape = [noise.blind(one, centre) for one in given], noise.layout
        declared = np.array([one.declared for one in given])
        opened, counts = shape.openable(declared, minimum), shape.counts(declared)
        total = np.sum([shape.coordinates(one).astype(np.int64) for one in given], axis=0)
        sums = total[opened].astype(np.uint32)
        if noise is not None:
            sums = noise.estimates(sums, opened, counts, centre)
        symbols = schema.symbols(sums, opened, counts)
        if noise is not None:
            centre = noise.next_centre(centre, symbols)
        yield schema.samples(symbols, len(given), minimum)[0]


def _right(played: list[Iterator[Sample]], seen: list[SiteRows], schema: Schema) -> float:
    """Learn each room's rounds in turn; returns the share of right predictions."""
    right: list[NDArray[np.bool_]] = []
    for samples, rows in zip(played, seen, strict=True):
        scaler, model = Scaler(schema), SiteModel(len(schema.channels), max(2, len(schema.labels)))
        predicted: list[int | None] = []
        for sample in samples:
            x = scaler.sample(sample)
            if np.isnan(x).all():
                predicted.append(None)
                continue
            outcome = model.step(x, None if sample.label == NO_LABEL else sample.label)
            predicted.append(outcome.predicted)
        right.append(np.array([a == b for a, b in zip(predicted, rows.labels, strict=True)]))
    return float(np.mean(right))


def _table(rows: list[Row], delta: float) -> Table:
    table = Table(title=f"δ = {delta:g}, accuracy: each round predicted before it is learnt")
    for name in ("N", "ε", "clip", "ρ", *(f"ε of {n}" for n in COMPOSED[1:])):
        table.add_column(name, justify="right")
    for name in ("mean ±", "with", "without", "commoner"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            str(row.agents),
            f"{row.epsilon:g}",
            "–" if row.clip is None else f"±{100 * row.clip:g} %",
            f"{row.rho:.4f}",
            *(f"{row.composed[n]:.1f}" for n in COMPOSED[1:]),
            f"{100 * row.spread:.1f} %",
            f"{100 * row.noisy:.1f} %",
            f"{100 * row.plain:.1f} %",
            f"{100 * row.commoner:.1f} %",
        )
    return table
