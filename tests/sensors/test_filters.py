"""What is doubted and why, what a probe makes of errors, and what is found before opening."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protoledger.sensors import (
    FilterOptions,
    Probe,
    Quality,
    Reading,
    SimulatedMachine,
    WantedSensor,
    errors,
    find_problems,
    open_probe,
    open_sensor,
    registry,
)
from protoledger.sensors.base import DriverOptions, Sensor
from protoledger.sensors.filters import FilterState


def judge(options, *readings):
    """Judge values that come every two seconds; returns the reasons."""
    state = FilterState(FilterOptions(**options))
    return [state.judge(value, 2.0 * i)[1] for i, value in enumerate(readings)]


def test_no_filter_doubts_nothing():
    assert judge({}, 1e9, -1e9, 0.0, 0.0, 0.0) == [""] * 5


def test_a_range_includes_its_ends():
    assert judge({"low": 0.0, "high": 1.0}, 0.0, 1.0, -0.1, 1.1) == ["", "", "below 0", "above 1"]


def test_a_lone_jump_is_doubted_and_leaves_no_trace():
    assert [bool(r) for r in judge({"max_change_per_s": 1}, 20, 90, 21, 22)] == [0, 1, 0, 0]


def test_a_step_is_believed_when_three_reads_agree():
    reasons = judge({"max_change_per_s": 1}, 20, 90, 90.5, 91, 91.5)
    assert [bool(reason) for reason in reasons] == [0, 1, 1, 0, 0]


def test_spikes_that_do_not_agree_are_never_believed():
    reasons = judge({"max_change_per_s": 1}, 20, 90, -50, 90, -50, 90, 20)
    assert [bool(reason) for reason in reasons] == [0, 1, 1, 1, 1, 1, 0]


def test_after_an_outage_more_change_is_allowed():
    state = FilterState(FilterOptions(max_change_per_s=0.1))
    assert state.judge(20.0, 0.0)[1] == ""
    assert state.judge(25.0, 2.0)[1] != ""
    assert state.judge(25.0, 60.0)[1] == ""


def test_a_range_error_is_no_reference_for_changes():
    reasons = judge({"max_change_per_s": 1, "high": 50}, 20, 90, 90, 90, 20.5)
    assert [bool(reason) for reason in reasons] == [0, 1, 1, 1, 0]


def test_a_value_that_never_moves_is_doubted_until_it_does():
    reasons = judge({"stuck_after_s": 4}, 7, 7, 7, 7, 7, 8, 8)
    assert reasons == ["", "", "", "the same for 6 s", "the same for 8 s", "", ""]


def test_the_median_swallows_a_spike_and_follows_a_step():
    state = FilterState(FilterOptions(median=True))
    got = [state.judge(value, float(i))[0] for i, value in enumerate([1, 2, 90, 3, 4, 50, 50, 50])]
    assert got == [1, 2, 2, 3, 4, 4, 50, 50]


def test_doubtful_readings_are_not_in_the_median():
    state = FilterState(FilterOptions(median=True, high=60.0))
    got = [state.judge(value, float(i)) for i, value in enumerate([1.0, 2.0, 90.0, 3.0])]
    assert got == [(1.0, ""), (2.0, ""), (90.0, "above 60"), (2.0, "")]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_a_value_is_handed_out_as_it_came_and_no_reason_tells_it(values):
    state = FilterState(FilterOptions(low=-1e5, high=1e5, max_change_per_s=3, stuck_after_s=5))
    for i, value in enumerate(values):
        got, reason = state.judge(value, float(i))
        assert got == value
        assert not reason or reason.startswith(("below -100000", "above 100000", "changed", "the"))


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=60), st.floats(-50, 50))
def test_a_sensor_that_settles_is_believed_again_whatever_it_did(before, settled):
    state = FilterState(FilterOptions(max_change_per_s=0.01))
    for i, value in enumerate(before):
        state.judge(value, float(i))
    reasons = [state.judge(settled, float(len(before) + i))[1] for i in range(4)]
    assert reasons[-1] == ""


def test_a_configuration_overrides_and_turns_off_a_drivers_filters():
    default = FilterOptions(low=0.0, high=100.0, max_change_per_s=5.0)
    wanted = FilterOptions.model_validate({"high": None, "low": 10.0, "median": True})
    assert default.overridden_by(wanted) == FilterOptions(
        low=10.0, high=None, max_change_per_s=5.0, median=True
    )
    assert default.overridden_by(FilterOptions()) == default


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"hihg": 3.0}, "hihg = 3.0: unknown key; did you mean 'high'"),
        ({"low": 90.0, "high": 10.0}, "swap"),
        ({"low": 200.0}, r"low = 200\.0 is not below high = 125\.0"),
        ({"max_change_per_s": 0}, "max_change_per_s = 0"),
        ({"median": "yes"}, "median = 'yes'"),
        ({"stuck_after_s": math.inf}, "stuck_after_s = inf"),
    ],
)
def test_filters_that_mean_nothing_are_refused(filters, said):
    with pytest.raises(errors.BadOptions, match=said):
        open_probe("cpu_temperature", {}, filters)


class Moody(Sensor):
    """Gives what it is told, or raises it."""

    Options = DriverOptions
    unit = "lx"

    def __init__(self, *moods):
        super().__init__(DriverOptions())
        self.moods = list(moods)

    def _measure(self):
        mood = self.moods.pop(0)
        if isinstance(mood, Exception):
            raise mood
        return mood


def test_a_probe_turns_whatever_happens_into_a_reading_and_counts_it():
    sensor = Moody(
        Reading(1.0), errors.ReadTimeout("no answer"), KeyError(), Reading(math.nan),
        Reading(2.0, Quality.SUSPECT, "the driver doubts it"), Reading(99.0), Reading(3.0),
    )  # fmt: skip
    with Probe(sensor, FilterOptions(high=50.0)) as probe:
        got = [probe.read() for _ in range(7)]
        assert probe.unit == "lx"
    assert [(r.quality.value, r.reason) for r in got] == [
        ("good", ""),
        ("missing", "no answer"),
        ("missing", "KeyError"),
        ("missing", "Moody gave nan, which is not a finite number"),
        ("suspect", "the driver doubts it"),
        ("suspect", "above 50"),
        ("good", ""),
    ]
    assert all(math.isnan(r.value) == (r.quality is Quality.MISSING) for r in got)
    assert probe.counts == {Quality.GOOD: 2, Quality.MISSING: 3, Quality.SUSPECT: 2}
    assert sensor.closed


def test_the_mocks_faults_are_found_by_the_filters():
    options = {
        "waveform": "sine", "level": 20.0, "amplitude": 2.0, "spike_rate": 0.05,
        "spike_size": 40.0, "missing_rate": 0.05, "seed": 3,
    }  # fmt: skip
    clock = iter(range(0, 10_000, 2))
    probe = Probe(
        open_sensor("mock", options),
        FilterOptions(max_change_per_s=0.5),
        lambda: float(next(clock)),
    )
    got = [probe.read() for _ in range(1000)]
    assert all(18 <= r.value <= 22 for r in got if r.quality is Quality.GOOD), "no spike got by"
    suspect = [r for r in got if r.quality is Quality.SUSPECT]
    assert all(abs(r.value - 20) > 30 for r in suspect), "nothing sound was doubted"
    assert 30 < len(suspect) < 70
    assert 30 < probe.counts[Quality.MISSING] < 70


def test_a_stuck_mock_is_found():
    clock = iter(range(0, 10_000, 2))
    probe = Probe(
        open_sensor("mock", {"noise": 1.0, "stuck_rate": 1.0, "stuck_reads": 10}),
        FilterOptions(stuck_after_s=12.0),
        lambda: float(next(clock)),
    )
    reasons = [bool(probe.read().reason) for _ in range(30)]
    assert reasons == ([False] * 7 + [True] * 3) * 3


DHT = {"pin": 4, "quantity": "temperature"}


def test_everything_that_is_wrong_is_told_at_once_with_key_value_and_suggestion():
    problems = find_problems(
        [
            WantedSensor("sensors.0", "dth22", {"pin": 4}),
            WantedSensor("sensors.1", "button", {"pni": 4, "bounce_s": 7}),
            WantedSensor("sensors.2", "dht22", DHT, {"lo": 3, "median": 1}),
            WantedSensor("sensors.3", "MotionSensor", {"pin": 3}),
            WantedSensor("sensors.4", "digital", {"pin": 4}),
            WantedSensor("label", "button", {"pin": 4}),
        ]
    )
    told = "\n".join(problems)
    for part in (
        "sensors.0.driver = 'dth22': no driver is called 'dth22'; did you mean 'dht22'?",
        "sensors.1.options.bounce_s = 7: ",
        "sensors.1.options.pni = 4: unknown key; did you mean 'pin'?",
        "sensors.1.options.pin: is missing; GPIO number",
        "sensors.2.filters.lo = 3: unknown key; did you mean 'low'?",
        "sensors.2.filters.median = 1: ",
        "sensors.3.driver = 'MotionSensor': no driver is called ",
        "did you mean 'motion'?",
        "sensors.4: GPIO4 is used twice: by 'dht22' at sensors.2 and by 'digital' here",
        "label: GPIO4 is used twice: by 'dht22' at sensors.2 and by 'button' here",
    ):
        assert part in told
    assert len(problems) == 9


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        (("dht22", DHT), ("dht22", {**DHT, "quantity": "humidity"}), None),
        (("dht22", DHT), ("am2302", {**DHT, "quantity": "humidity"}), None),
        (("dht22", DHT), ("dht22", DHT), "temperature of the chip on GPIO4"),
        (("dht22", DHT), ("dht11", {**DHT, "quantity": "humidity"}), "GPIO4"),
        (("dht22", DHT), ("ds18b20", {}), "GPIO4"),
        (("dht22", DHT), ("iio", {"name": "dht11", "channel": "temp", "pins": [4]}), "GPIO4"),
        (("ds18b20", {}), ("ds18b20", {}), "only thermometer"),
        (("ds18b20", {"id": "28-000000000001"}), ("ds18b20", {"id": "28-000000000002"}), None),
        (("ds18b20", {"pin": 17}), ("dht22", DHT), None),
        (("mcp3008", {"channel": 0}), ("mcp3008", {"channel": 1}), None),
        (("mcp3008", {"channel": 0}), ("mcp3008", {"channel": 0}), "CH0"),
        (("mcp3008", {"channel": 0}), ("mcp3008", {"channel": 0, "device": 1}), None),
        (("mcp3008", {"channel": 0}), ("button", {"pin": 9}), "GPIO9"),
        (("mcp3008", {"channel": 0}), ("light", {"pin": 7}), None),
        (("mcp3008", {"channel": 0, "device": 1}), ("light", {"pin": 7}), "GPIO7"),
        (("distance", {"echo": 5, "trigger": 6}), ("motion", {"pin": 6}), "GPIO6"),
        (
            ("iio", {"name": "bme280", "channel": "temp", "pins": [2, 3]}),
            ("iio", {"name": "bh1750", "channel": "illuminance", "pins": [2, 3]}),
            None,
        ),
        (
            ("iio", {"name": "bme280", "channel": "temp", "pins": [2, 3]}),
            ("button", {"pin": 3}),
            "GPIO3",
        ),
        (("mock", {}), ("mock", {}), None),
    ],
)
def test_pins_are_shared_by_those_who_can_and_by_no_others(one, other, clash):
    for pair in ((one, other), (other, one)):
        problems = find_problems(WantedSensor(f"s{i}", *wanted) for i, wanted in enumerate(pair))
        assert (len(problems) > 0) == (clash is not None), problems
        assert clash is None or clash in problems[0]


def test_what_has_no_problems_can_be_opened_together():
    wanted = [
        WantedSensor("a", "dht22", DHT),
        WantedSensor("b", "dht22", {**DHT, "quantity": "humidity"}),
        WantedSensor("c", "mcp3008", {"channel": 0}),
        WantedSensor("d", "mcp3008", {"channel": 5}),
        WantedSensor("e", "mcp3008", {"channel": 5, "device": 1}),
        WantedSensor("f", "motion", {"pin": 17}),
        WantedSensor("g", "button", {"pin": 27}),
        WantedSensor("h", "distance", {"echo": 24, "trigger": 23}),
    ]
    assert find_problems(wanted) == []
    with SimulatedMachine() as pi:
        probes = [open_probe(w.driver, w.options, w.filters, pi) for w in wanted]
        assert {probe.read().quality for probe in probes} == {Quality.GOOD}
        for probe in probes:
            probe.close()


def test_a_pin_that_problems_forbid_does_fail_when_opened():
    with SimulatedMachine() as pi, open_sensor("motion", {"pin": 17}, pi):
        for driver in ("button", "digital", "light", "motion"):
            with pytest.raises(errors.PinInUse):
                open_sensor(driver, {"pin": 17}, pi)


ODD = [None, True, -1, 4, 10**30, 2.5, math.nan, "", "4", "x\0", [], [4], {"a": 1}]


@given(
    st.sampled_from(sorted(registry._BUILT_IN)),
    st.dictionaries(
        st.sampled_from(["pin", "echo", "channel", "path", "name", "id", "quantity", "low", "x"]),
        st.sampled_from(ODD),
        max_size=4,
    ),
)
def test_no_options_make_the_check_itself_fail(driver, options):
    problems = find_problems([WantedSensor("sensors.0", driver, options, options)])
    assert all(problem.startswith("sensors.0") for problem in problems)
