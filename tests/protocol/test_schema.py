"""Readings to symbols and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoledger.protocol.code import field
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.schema import NO_LABEL, Channel, Schema, Window

SCHEMA = Schema(
    (Channel("temperature", "°C", -10, 50, 0.5), Channel("light", "lux", 0, 1000, 1)),
    ("empty", "occupied", "full"),
)


def summed(*windows):
    """What a gateway lays out of all windows' sums, everything opened."""
    layout = SCHEMA.layout(len(windows[0].labels))
    given = [SCHEMA.contribution(window) for window in windows]
    for one in given:
        layout.check(one)
    total = field.add(np.stack([layout.coordinates(one) for one in given]))
    declared = np.array([one.declared for one in given])
    opened = np.ones(layout.length, dtype=bool)
    return SCHEMA.symbols(total, opened, layout.counts(declared))


def window(temperature, light, label=NO_LABEL):
    return Window(np.array([[temperature, light]], dtype=float), np.array([label]))


VALUE = st.floats(-10, 50) | st.just(float("nan"))


@given(st.lists(st.tuples(VALUE, st.integers(-1, 2)), min_size=1, max_size=20))
def test_means_are_within_half_a_step_and_votes_are_counted(agents):
    sample = SCHEMA.samples(summed(*(window(t, 5, v) for t, v in agents)), len(agents))[0]
    read = [t for t, _ in agents if not np.isnan(t)]
    assert sample.counts.tolist() == [len(read), len(agents)]
    if read:
        assert abs(sample.values[0] - np.mean(read)) <= 0.25 + 1e-9
    else:
        assert np.isnan(sample.values[0])
    votes = np.bincount([v for _, v in agents if v >= 0], minlength=3)
    winners = np.flatnonzero(votes == votes.max())
    assert sample.label == (winners[0] if votes.any() and len(winners) == 1 else NO_LABEL)


def test_what_is_out_of_range_is_clipped():
    sample = SCHEMA.samples(summed(window(-400, 1e9)), 1)[0]
    assert sample.values.tolist() == [-10, 1000]


def test_several_windows_stay_apart():
    both = Window(np.array([[0.0, 1.0], [20.0, np.nan]]), np.array([0, 2]))
    first, second = SCHEMA.samples(summed(both), 1)
    assert first.values.tolist() == [0, 1]
    assert first.label == 0
    assert second.values[0] == 20
    assert np.isnan(second.values[1])
    assert second.label == 2


@given(st.lists(st.integers(0, field.P - 1), min_size=7, max_size=7))
def test_implausible_sums_never_become_a_value_out_of_range(symbols):
    sample = SCHEMA.samples(np.array(symbols, dtype=np.uint32), 5)[0]
    for value, channel in zip(sample.values, SCHEMA.channels, strict=True):
        assert np.isnan(value) or channel.low <= value <= channel.high
    assert -1 <= sample.label < 3


def test_sums_that_would_overflow_name_channel_and_step():
    fine = Schema((Channel("pressure", "Pa", 0, 1e5, 1e-4),), ())
    fine.check_sums(1)
    with pytest.raises(ConfigurationError, match=r"pressure.*raise its step"):
        fine.check_sums(3)


def test_the_digest_tells_schemas_apart():
    other = Schema(SCHEMA.channels, ("empty", "occupied"))
    assert other.digest != SCHEMA.digest
    assert len(SCHEMA.digest) == 32
