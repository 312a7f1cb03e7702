"""The rooms: physics that balances, data that can be learnt and shared, faults that are there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoledger.emulator.errors import DealError
from protoledger.emulator.sources.catalogue import deal
from protoledger.emulator.sources.house import CHANNELS, Climate, HouseSource, live, relax
from protoledger.emulator.sources.house_rooms import WINDOW_H, draw_room, people_in
from protoledger.protocol.wire.schema import NO_LABEL


def houses(**more):
    return deal(HouseSource(), **{"sites": 3, "agents": 6, "rounds": 200, **more})


def room(seed=0):
    return draw_room(np.random.default_rng(seed))


def nearest(train, labels, values, k=5):
    centre, scale = train.mean(0), train.std(0)
    train, values = (train - centre) / scale, (values - centre) / scale
    order = np.argsort(((values[:, None] - train) ** 2).sum(2), axis=1)[:, :k]
    return (labels[order].mean(axis=1) > 0.5).astype(int)


@given(st.floats(0, 1e4), st.floats(0, 1e4), st.floats(1e-3, 50))
def test_relaxing_solves_its_equation(start, settled, rate):
    mean, end = relax(start, settled, rate)
    steps = 2000
    x, total = start, 0.0
    for _ in range(steps):
        half = x - rate * (x - settled) * WINDOW_H / steps / 2
        x -= rate * (half - settled) * WINDOW_H / steps
        total += half / steps
    tolerance = 1e-4 * (abs(start - settled) + 1e-6)
    assert end == pytest.approx(x, abs=tolerance)
    assert mean == pytest.approx(total, abs=10 * tolerance)


def test_co2_settles_where_the_balance_says():
    climate = Climate(room())
    build = climate.room
    for _ in range(500):
        co2, _, _, _ = climate.pass_window(12.0, 1, 1000.0, 0.0, [1.0, 1.0])
    expected = 420.0 + 1e6 * 0.018 / (build.volume_m3 * build.leaks_per_h)
    assert co2 == pytest.approx(expected, rel=1e-6)
    for _ in range(500):
        co2, _, humidity, light = climate.pass_window(12.0, 0, 50.0, 0.0, [1.0, 1.0])
    assert co2 == pytest.approx(420.0)
    assert 0 < humidity < 100
    assert light == 50.0


def test_a_lamp_is_lit_in_the_dark_and_heating_holds_the_set_point():
    climate = Climate(room(3))
    for _ in range(300):
        _, warmth, _, light = climate.pass_window(20.0, 1, 0.0, 0.0, [1.0, 1.0])
    assert light == climate.room.lamp_lux
    assert climate.room.set_point_c - 2.0 < warmth < climate.room.set_point_c + 3.0


@pytest.mark.parametrize("seed", range(12))
def test_rooms_stay_inside_the_channels_and_people_keep_hours(seed):
    build = room(seed)
    values, labels = live(build, np.random.default_rng(seed), 6 * 24 * 14)
    assert np.isfinite(values).all()
    for column, channel in zip(values.T, CHANNELS, strict=True):
        assert channel.low <= column.min()
        assert column.max() <= channel.high
        assert column.std() > 0
        assert np.mean((column == channel.low) | (column == channel.high)) < (
            0.6 if channel.name == "light" else 0.01
        ), "only the night's light lies on a bound"
    assert 0.15 < labels.mean() < 0.6
    hours = (build.start_h + np.arange(len(labels)) * WINDOW_H) % 24
    assert labels[(hours > 1) & (hours < 5)].mean() < 0.1
    people = people_in(build, np.random.default_rng(seed), 1000)
    assert max(people) <= build.people


def test_the_same_seed_gives_the_same_houses_whoever_else_is_there():
    one, two = houses(seed=7), houses(seed=7, sites=2, agents=6)
    for site in range(2):
        np.testing.assert_array_equal(one.observed[site], two.observed[site])
    other = houses(seed=8)
    assert not np.array_equal(one.sites[0].clean, other.sites[0].clean)
    assert not np.array_equal(one.sites[0].clean, one.sites[1].clean)
    first_agents = houses(seed=7, agents=3).observed[0]
    np.testing.assert_array_equal(first_agents[:2], one.observed[0][:2])


def test_shapes_and_holdout():
    dealt = houses(batch=3, rounds=17, holdout_every=4)
    assert dealt.rounds == (17, 17, 17)
    assert dealt.observed[0].shape == (6, 51, 4)
    assert dealt.holdout_values.shape == (3 * 17, 4)
    assert not np.isnan(dealt.holdout_values).any()
    clean = {row.tobytes() for site in dealt.sites for row in site.clean}
    assert not clean & {row.tobytes() for row in dealt.holdout_values}
    assert dealt.rows_unused == 0


def test_there_is_no_end_to_replay_to():
    with pytest.raises(DealError, match=r"no end.*--rounds"):
        houses(rounds=None)


def test_faults_are_there_and_can_be_turned_off():
    site = houses(rounds=2000).sites[0]
    missing = np.isnan(site.observed).mean()
    assert 0.005 < missing < 0.02
    same = (np.diff(site.observed[:, :, 0], axis=1) == 0).mean()
    assert 0 < same < 0.05, "stuck spells"
    wrong = (site.votes != site.labels) & (site.votes != NO_LABEL)
    assert wrong[:-1].sum() == 0
    assert 0.05 < wrong[-1][site.labels == 1].mean() < 0.3, "the last motion sensor misses people"
    quiet = houses(noise=0.0).sites[0]
    assert not np.isnan(quiet.observed).any()
    assert (quiet.votes == quiet.labels).all()


def test_agents_sit_apart_and_share_no_noise():
    dealt = houses(rounds=2000, seed=3)
    quiet = houses(rounds=2000, seed=3, noise=0.0)
    temperature = dealt.observed[0][:, :, 1]
    offsets = np.nanmean(temperature, axis=1)
    assert offsets.std() > 0.05
    own = np.nan_to_num(dealt.observed[0][:, :, 0] - quiet.observed[0][:, :, 0])
    own = np.clip(own, -60, 60)  # stuck spells are no noise
    cross = np.corrcoef(own) - np.eye(6)
    assert np.abs(cross).max() < 0.15


def test_presence_can_be_learnt_not_trivially_and_sharing_helps():
    alone, pooled, own = [], [], []
    for seed in range(3):
        dealt = houses(rounds=600, seed=seed)
        means = [np.nanmean(site.observed, axis=0) for site in dealt.sites]
        truth, values = dealt.holdout_labels, dealt.holdout_values
        for index, (mean, labels) in enumerate(zip(means, dealt.truth, strict=True)):
            guess = nearest(mean, labels, values)
            alone.append((guess == truth).mean())
            mine = dealt.held_out_at(index)
            own.append((guess[mine] == truth[mine]).mean())
        everyone = nearest(np.concatenate(means), np.concatenate(dealt.truth), values)
        pooled.append((everyone == truth).mean())
    assert 0.92 < np.mean(own) < 0.99
    assert 0.92 < np.mean(pooled) < 0.99
    assert np.mean(pooled) > np.mean(alone) + 0.02


def test_each_held_out_row_belongs_to_the_room_that_showed_it():
    dealt = houses(batch=3, rounds=17, holdout_every=4)
    mine = [dealt.held_out_at(site) for site in range(3)]
    assert np.array_equal(np.sum(mine, axis=0), np.ones(3 * 17))
    for site, rows in enumerate(mine):
        alone = houses(batch=3, rounds=17, holdout_every=4, sites=site + 1)
        assert np.array_equal(alone.holdout_values[-17:], dealt.holdout_values[rows])
