"""Scale, offset and unit; derived channels and the small language they are written in."""

import contextlib
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protoledger.sensors import (
    Calibration,
    Quality,
    WantedSensor,
    calibrate,
    errors,
    find_problems,
    open_probe,
    open_sensor,
)
from protoledger.sensors.filters import FilterOptions
from protoledger.sensors.synthetic.derived import DerivedOptions, DerivedSensor
from protoledger.sensors.synthetic.expression import Expression

NUMBER = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))


@given(NUMBER, NUMBER, NUMBER, NUMBER)
def test_two_points_give_a_line_through_both(read, true, other_read, other_true):
    assume(abs(read - other_read) > 0.1)
    assume(abs(true - other_true) > 0.1)
    found = calibrate([(read, true), (other_read, other_true)])
    assert found.apply(read) == pytest.approx(true, abs=1e-3)
    assert found.apply(other_read) == pytest.approx(other_true, abs=1e-3)
    assert calibrate([(read, true)]).apply(read) == pytest.approx(true)


@pytest.mark.parametrize("points", [[(1, 2), (1, 3)], [(1, 2), (2, 2)]])
def test_points_that_are_the_same_are_refused(points):
    with pytest.raises(ValueError, match="two ends of the range"):
        calibrate(points)


@given(
    st.floats(-100, 100).filter(lambda scale: abs(scale) > 1e-3), NUMBER, st.floats(-50, 130)
)  # fmt: skip
def test_a_drivers_own_filters_judge_calibrated_values_alike(scale, offset, value):
    own = FilterOptions(low=-40.0, high=125.0, max_change_per_s=0.5, stuck_after_s=60.0)
    calibration = Calibration(scale=scale, offset=offset)
    assume(min(abs(value + 40), abs(value - 125)) > 0.01)
    converted = calibration.convert(own)
    inside = converted.low < calibration.apply(value) < converted.high
    assert inside == (-40 < value < 125)
    assert converted.max_change_per_s == pytest.approx(0.5 * abs(scale))


def test_a_probe_calibrates_before_it_filters_and_has_the_new_unit():
    options = {"level": 20.0, "unit": "°C"}
    calibration = {"scale": 1.8, "offset": 32.0, "unit": "°F"}
    with open_probe("mock", options, {"high": 60.0}, calibration=calibration) as probe:
        reading = probe.read()
    assert (reading.value, probe.unit) == (68.0, "°F")
    assert (reading.quality, reading.reason) == (Quality.SUSPECT, "above 60")
    with open_probe("mock", {"level": 1e308}, calibration={"scale": 10.0}) as probe:
        assert probe.read().quality is Quality.MISSING


def test_wrong_calibrations_are_told_with_the_other_errors_of_the_file():
    problems = find_problems(
        [WantedSensor("sensors.0", "button", {"pin": 99}, {"lo": 1}, {"scale": 0.0, "ofset": 1.0})]
    )
    said = "\n".join(problems)
    for part in ("options.pin = 99", "filters.lo", "calibration.ofset", "did you mean 'offset'"):
        assert part in said
    [zero] = find_problems([WantedSensor("s", "mock", {}, {}, {"scale": 0.0})])
    assert "scale is 0" in zero


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a - b", 17.5),
        ("-(a + b) * 2 / 4 ** 2", -3.1875),
        ("dew_point(a, h)", 10.66),
        ("absolute_humidity(a, h)", 9.42),
        ("max(a, b, 30) - min(a, b) + abs(-1)", 27.0),
        ("sqrt(b * b) + log(exp(2))", 6.0),
    ],
)
def test_expressions_compute(text, value):
    expression = Expression(text)
    assert expression.value({"a": 21.5, "b": 4.0, "h": 50.0}) == pytest.approx(value, abs=0.05)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("__import__('os').system('id')", "not allowed"),
        ("open(a)", "no function 'open'"),
        ("a.real", "not allowed"),
        ("a[0]", "not allowed"),
        ("[a for a in (1,)]", "not allowed"),
        ("lambda: a", "not allowed"),
        ("(a := 3)", "not allowed"),
        ("f'{a}'", "not allowed"),
        ("a if a else a", "not allowed"),
        ("a @ a", "not allowed"),
        ("a == 1", "not allowed"),
        ("a + True", "not allowed"),
        ("a + 1j", "not allowed"),
        ("a + 'x'", "not allowed"),
        ("abs(x=a)", "not allowed"),
        ("abs(*a)", "not allowed"),
        ("dew_point(a)", "needs 2 arguments, not 1"),
        ("a +", "not an expression"),
        ("a; a", "not an expression"),
        ("1 + 1", "names no reading"),
        ("a + 1e999", "too large"),
        ("a" * 301, "more than 300"),
        ("(" * 250 + "a" + ")" * 40, "not an expression"),
        ("-" * 299 + "a", ""),
    ],
)
def test_what_is_no_such_expression_is_refused(text, said):
    if not said:
        assert abs(Expression(text).value({"a": 1.0})) == 1.0
        return
    with pytest.raises(ValueError, match=said):
        Expression(text)


@given(st.text(st.sampled_from("ab10.+-*/() ,e"), max_size=40), st.floats(-1e9, 1e9), NUMBER)
def test_any_text_is_refused_or_gives_a_finite_number(text, a, b):
    try:
        expression = Expression(text)
    except ValueError:
        return
    with contextlib.suppress(errors.ReadFailed):
        assert math.isfinite(expression.value(dict.fromkeys(expression.names, a) | {"b": b}))


def test_a_derived_sensor_needs_all_its_inputs():
    sensor = DerivedSensor(DerivedOptions(expression="dew_point(t, h)"))
    assert DerivedSensor.inputs(sensor.options) == {"t", "h"}
    sensor.supply({"t": 20.0})
    with pytest.raises(errors.MissingValue, match="it needs h, which has no good reading"):
        sensor.read()
    sensor.supply({"t": 20.0, "h": 0.0})
    with pytest.raises(errors.ReadFailed, match="not defined"):
        sensor.read()
    sensor.supply({"t": 20.0, "h": 100.0})
    assert sensor.read().value == pytest.approx(20.0)
    with pytest.raises(errors.BadOptions, match="no function 'eval'"):
        open_sensor("derived", {"expression": "eval(t)"})
