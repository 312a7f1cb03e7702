"""Values in messages: a finite number, or an error that quotes nothing of the message."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoledger.sensors import errors
from protoledger.sensors.drivers.network.payload import PayloadOptions, number_in


@pytest.mark.parametrize(
    ("payload", "keys", "value"),
    [
        (b" 21.5\n", [], 21.5),
        (b'"21.5"', [], 21.5),
        (b"-3e2", [], -300.0),
        (b"on", [], 1.0),
        (b"False", [], 0.0),
        (b'{"a": {"b": [1, {"c": "7"}]}}', ["a", "b", "1", "c"], 7.0),
        (b'{"1": 5}', ["1"], 5.0),
        (b"[3, 4]", ["1"], 4.0),
        (b'{"t": 1e2}', ["t"], 100.0),
    ],
)
def test_values_are_found(payload, keys, value):
    assert number_in(payload, keys, {}) == value


@pytest.mark.parametrize(
    ("payload", "keys", "error", "said"),
    [
        (b"unavailable", [], errors.MissingValue, "no value now"),
        (b"", [], errors.MissingValue, "no value"),
        (b'{"t": null}', ["t"], errors.MissingValue, "no value"),
        (b'{"t": "unknown"}', ["t"], errors.MissingValue, "no value"),
        (b'{"temperature": 1}', [], errors.ReadFailed, "set `json_path`.*temperature"),
        (b'{"temperature": 1}', ["t"], errors.ReadFailed, "no 't' in the message, but temperature"),
        (b'{"a": {"b": 1}}', ["a"], errors.ReadFailed, "leads to b.*longer"),
        (b"[1]", ["1"], errors.ReadFailed, "a list of 1"),
        (b"5", ["t"], errors.ReadFailed, "a value without keys"),
        (b"21.5", ["t"], errors.ReadFailed, "value without keys"),
        (b"open", [], errors.ReadFailed, "`values`"),
        (b"1_000", [], errors.ReadFailed, "`values`"),
        (b"inf", [], errors.ReadFailed, "not a number"),
        (b'{"t": NaN}', ["t"], errors.ReadFailed, "not JSON"),
        (b'{"t": 1e999}', ["t"], errors.ReadFailed, "not a number"),
        (b'{"t": ' + b"9" * 400 + b"}", ["t"], errors.ReadFailed, "not a number"),
        (b"[" * 50_000, ["0"], errors.ReadFailed, "not JSON"),
        (b"\xff\xfe", [], errors.ReadFailed, "UTF-8"),
        (b"secret-code", [], errors.ReadFailed, "^(?!.*secret)"),
    ],
)
def test_what_is_no_value_is_told_with_a_remedy(payload, keys, error, said):
    with pytest.raises(error, match=said):
        number_in(payload, keys, {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()),
    st.lists(st.sampled_from(["a", "0", "1", "²", ""]), max_size=3),
)
def test_any_message_is_a_finite_number_or_a_transient_error(payload, keys):
    try:
        value = number_in(payload, keys, {"x": 2})
    except errors.TransientSensorError:
        return
    assert isinstance(value, float)
    assert value - value == 0.0


@given(
    st.lists(st.sampled_from(["a", "t", "0", "2"]), max_size=3),
    st.floats(-1e6, 1e6),
    st.sampled_from([{}, {"open": 1.0, "closed": 0.0}]),
)
def test_a_simulated_message_is_found_by_its_own_options(keys, value, values):
    options = PayloadOptions(json_path=keys, values=values)
    found = number_in(options.example(value), options.keys, options.values)
    assert found in values.values() if values else found == pytest.approx(value, abs=1e-3)
