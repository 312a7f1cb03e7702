"""Dealing rows to sites and agents, and recordings that read back as what was dealt."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protoledger.emulator.errors import DealError
from protoledger.emulator.sources.catalogue import TableSource, deal, open_source
from protoledger.emulator.sources.csv_source import CsvTable
from protoledger.emulator.sources.recordings import label_column, write_recordings
from protoledger.protocol.wire.schema import NO_LABEL
from protoledger.sensors import open_sensor
from protoledger.sensors.errors import MissingValue


def numbered(rows, channels=1, names=None):
    values = np.arange(rows, dtype=float)[:, None] + np.arange(channels) / 10
    names = names or tuple(f"c{i}" for i in range(channels))
    return TableSource("n", CsvTable(names, ("a", "b"), values, np.arange(rows) % 2))


def test_packaged_data_need_no_import_of_river():
    code = "import sys; from protoledger.emulator.sources.catalogue import open_source"
    code += "; open_source('phishing')"
    code += "; sys.exit('river' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "rows", "channels", "labels"),
    [("phishing", 1250, 9, 2), ("image-segments", 2310, 18, 7), ("bananas", 5300, 2, 2)],
)
def test_packaged_data_are_whole(name, rows, channels, labels):
    source = open_source(name)
    dealt = deal(source, sites=3, agents=2, rounds=None)
    assert len(source.channels) == channels
    assert len(source.labels) == labels
    assert sum(map(len, dealt.truth)) + len(dealt.holdout_labels) + dealt.rows_unused == rows
    assert len(dealt.holdout_labels) == rows // 5
    assert dealt.rows_unused == 0


def test_bananas_begin_as_river_ships_them():
    table = open_source("bananas").table
    assert table.values[:2].tolist() == [[1.617466, -0.919233], [-1.394669, 1.094125]]
    assert [table.labels[c] for c in table.classes[:4]] == ["-1", "-1", "-1", "1"]
    assert Counter(table.classes.tolist()) == {0: 2924, 1: 2376}


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 200), st.integers(1, 5), st.integers(1, 7), st.none() | st.integers(1, 9),
    st.integers(2, 6),
)  # fmt: skip
def test_every_row_is_shown_once_or_held_out_or_counted_as_unused(n, sites, batch, rounds, every):
    source = numbered(n)
    ask = {"sites": sites, "agents": 1, "rounds": rounds, "batch": batch, "holdout_every": every}
    shown = [row for row in range(n) if row % every != every - 1]
    if len(shown[sites - 1 :: sites]) // batch < (rounds or 1):
        with pytest.raises(DealError, match="smaller batch"):
            deal(source, **ask)
        return
    dealt = deal(source, **ask)
    held = dealt.holdout_values[:, 0].tolist()
    assert held == list(range(every - 1, n, every))
    shown = [site.clean[:, 0].tolist() for site in dealt.sites]
    flat = [row for rows in shown for row in rows]
    assert len(set(flat)) == len(flat)
    assert not set(flat) & set(held)
    assert len(flat) + len(held) + dealt.rows_unused == n
    assert all(rows == sorted(rows) and len(rows) % batch == 0 for rows in shown)
    assert all(
        site.labels.tolist() == [r % 2 for r in rows]
        for site, rows in zip(dealt.sites, shown, strict=True)
    )
    if rounds is None:
        assert max(dealt.rounds) - min(dealt.rounds) <= 1
        assert dealt.rows_unused <= sites * (batch - 1)
    else:
        assert dealt.rounds == (rounds,) * sites


def test_too_many_rounds_say_how_many_there_are():
    with pytest.raises(
        DealError, match=r"10 rows, 8 of them.*4 rounds of 1 at each of 2.*--rounds all"
    ):
        deal(numbered(10), sites=2, agents=1, rounds=5)
    with pytest.raises(DealError, match="0 rounds of 9"):
        deal(numbered(10), sites=1, agents=1, rounds=None, batch=9)


def test_arguments_that_mean_nothing_are_all_told():
    with pytest.raises(DealError, match=r"sites is 0.*batch is -1.*seed is -1.*noise is nan"):
        deal(numbered(10), sites=0, agents=1, rounds=1, batch=-1, seed=-1, noise=float("nan"))
    with pytest.raises(DealError, match=r"--agents 100000.*step"):
        deal(numbered(10), sites=1, agents=100_000, rounds=1)


def test_the_same_seed_deals_the_same_and_another_does_not():
    def observed(**more):
        return deal(numbered(100, 3), **{"sites": 2, "agents": 3, "rounds": 20, **more}).observed

    first = observed(seed=1)
    assert all((a == b).all() for a, b in zip(first, observed(seed=1), strict=True))
    assert not (first[0] == observed(seed=2)[0]).any()
    more = observed(seed=1, agents=5)
    assert (more[0][:3] == first[0]).all(), "more agents change nothing for those before"


def test_noise_is_small_independent_and_inside_the_range():
    dealt = deal(numbered(12_000), sites=2, agents=4, rounds=4000, noise=0.05)
    spread = np.arange(12_000).std()
    errors = [(site.observed - site.clean)[:, :, 0] / spread for site in dealt.sites]
    stacked = np.concatenate(errors)
    assert stacked.std(axis=1) == pytest.approx(0.05, rel=0.1)
    cross = np.corrcoef(stacked) - np.eye(len(stacked))
    assert np.abs(cross).max() < 0.06, "agents and sites share no noise"
    wild = deal(numbered(100), sites=1, agents=5, rounds=50, noise=100.0)
    channel = wild.channels[0]
    assert wild.observed[0].min() == channel.low
    assert wild.observed[0].max() == channel.high
    quiet = deal(numbered(100), sites=1, agents=5, rounds=50, noise=0.0)
    assert (quiet.observed[0] == quiet.sites[0].clean).all()


def test_a_constant_channel_stays_constant():
    table = CsvTable(("c",), ("a", "b"), np.full((20, 1), 7.0), np.arange(20) % 2)
    assert (deal(TableSource("c", table), sites=1, agents=3, rounds=5).observed[0] == 7.0).all()


def play(path, column, rows):
    got = []
    with open_sensor("replay", {"path": str(path), "column": column, "pace": "seek"}) as sensor:
        assert len(sensor) == rows
        for row in range(rows):
            sensor.seek(row)
            try:
                got.append(sensor.read().value)
            except MissingValue:
                got.append(np.nan)
    return got


@pytest.mark.parametrize("name", ["house", "phishing"])
def test_recordings_replay_exactly_what_was_dealt(tmp_path, name):
    dealt = deal(open_source(name), sites=2, agents=3, rounds=120, seed=5)
    files = write_recordings(dealt, tmp_path)
    assert files[1][2] == tmp_path / "site-2" / "agent-3.csv"
    for paths, site in zip(files, dealt.sites, strict=True):
        for path, observed, votes in zip(paths, site.observed, site.votes, strict=True):
            for index, channel in enumerate(dealt.channels):
                expected = observed[:, index]
                np.testing.assert_array_equal(play(path, channel.name, 120), expected)
            labels = [NO_LABEL if np.isnan(v) else v for v in play(path, "label", 120)]
            assert labels == votes.tolist()
    assert name != "house" or any(np.isnan(o).any() for o in dealt.observed)


def test_names_of_channels_survive_the_recording(tmp_path):
    names = ('a "b", c', "label", "ü")
    dealt = deal(numbered(20, 3, names), sites=1, agents=1, rounds=4)
    assert label_column(dealt) == "label_"
    [[path]] = write_recordings(dealt, tmp_path, sites=["s"], agents=["x"])
    for index, name in enumerate(names):
        assert play(path, name, 4) == dealt.observed[0][0, :, index].tolist()
    assert play(path, "label_", 4) == dealt.truth[0].tolist()
    with pytest.raises(DealError, match="2 site names"):
        write_recordings(dealt, tmp_path, sites=["s", "t"])
